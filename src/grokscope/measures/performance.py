"""Loss and accuracy on every labelled probe: ``train/loss``, ``test/accuracy`` and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from grokscope.batch import Batch, weighted_mean
from grokscope.given import IGNORED
from grokscope.measures.base import DoesNotApply, Key, Measure

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def losses(outputs: Tensor, targets: Tensor, *, kind: str = "cross-entropy") -> Tensor:
    """Return the loss of each example, (examples,), in float64: cross-entropy in nats, or mean squared error.

    Targets that are real numbers, or the ``kind`` ``mean-squared-error`` (class targets are then one-hot),
    ask for the squared error averaged over outputs. Targets (examples, positions) give each example the mean
    over its positions; those marked with -100 are left out.

    Example:
        >>> import torch
        >>> float(losses(torch.zeros(1, 4), torch.tensor([2])))  # ln 4
        1.3862943611198906
    """
    if kind == "mean-squared-error" and not targets.is_floating_point():
        targets = functional.one_hot(targets, outputs.shape[-1]).double()
    if targets.is_floating_point():
        return (outputs.double() - targets.double().view_as(outputs)).square().reshape(len(outputs), -1).mean(1)
    if targets.ndim > 1:
        each = functional.cross_entropy(outputs.double().movedim(-1, 1), targets, reduction="none")
        return _over_positions(each, targets)
    return functional.cross_entropy(outputs.double(), targets, reduction="none")


def hits(outputs: Tensor, targets: Tensor, *, classes: int | None = None) -> Tensor:
    """Return 1 where the largest of the first ``classes`` outputs is the target, else 0, (examples,), in float64.

    Targets (examples, positions) give each example the share of its positions, those marked with -100 left out.

    Example:
        >>> import torch
        >>> hits(torch.eye(2), torch.tensor([0, 0])).tolist()
        [1.0, 0.0]
    """
    right = (outputs[..., :classes].argmax(-1) == targets).double()
    return _over_positions(right, targets) if targets.ndim > 1 else right


def _over_positions(each: Tensor, targets: Tensor) -> Tensor:
    counted = (targets != IGNORED).double()
    return (each * counted).flatten(1).sum(1) / counted.flatten(1).sum(1).clamp(min=1)


def measure(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return loss and, for class targets, accuracy on each labelled probe.

    The loss is the one trained on, over all outputs; the accuracy is over the answers that can be right.
    """
    result: dict[str, Tensor] = {}
    for name, batch in snapshot.probes.items():
        if batch.targets is None or not len(batch):
            continue
        each, right = examples(snapshot, name)
        weights = example_weights(batch)
        result[f"{name}/loss"] = weighted_mean(each, weights)
        if right is not None:
            result[f"{name}/accuracy"] = weighted_mean(right, weights)
    if not result:
        raise DoesNotApply("performance needs labelled examples; there are none in the data.")
    return result


def example_weights(batch: Batch) -> Tensor | None:
    """Return the weights of examples, (examples,): 0 where no target counts; None if all count alike.

    Example:
        >>> import torch
        >>> example_weights(Batch(torch.zeros(2, 1), torch.tensor([1, IGNORED]))).tolist()
        [1.0, 0.0]
    """
    targets = batch.targets
    if targets is None or targets.is_floating_point() or not (targets == IGNORED).any():
        return batch.weights
    counted = (targets != IGNORED).reshape(len(targets), -1).any(1).double()
    return counted if batch.weights is None else counted * batch.weights


def examples(snapshot: Snapshot, name: str) -> tuple[Tensor, Tensor | None]:
    """Return the losses and hits of a probe's examples, computed once a snapshot and looked up in its parent."""
    batch = snapshot.probe(name)
    whole = snapshot.probes.get(batch.parent) if batch.parent is not None else None
    assert batch.targets is not None

    def compute() -> tuple[Tensor, Tensor | None]:
        assert batch.targets is not None
        # part of another probe with other targets (relabelled examples, say) shares its predictions only
        if whole is not None and whole.targets is not None and torch.equal(whole.targets[batch.rows], batch.targets):
            each, right = examples(snapshot, str(batch.parent))
            return each[batch.rows], None if right is None else right[batch.rows]
        outputs = snapshot.logits(name)
        classes = snapshot.facts.classes if snapshot.facts is not None else None
        each = losses(outputs, batch.targets, kind=snapshot.loss or "cross-entropy")
        return each, None if batch.targets.is_floating_point() else hits(outputs, batch.targets, classes=classes)

    return snapshot.memo(("examples", name), compute)


PERFORMANCE = Measure(
    name="performance",
    version=1,
    keys={
        "<probe>/loss": Key("mean loss", "nats, or squared units", low=0, direction="train falls first, test later"),
        "<probe>/accuracy": Key("share of right answers", low=0, high=1, direction="train rises first, test later"),
    },
    reference="Power et al. 2022",
    cites=("power2022",),
    compute=measure,
    needs=("labels",),
    bare_keys=True,
)
