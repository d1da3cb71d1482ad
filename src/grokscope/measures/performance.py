"""Loss and accuracy on every labelled probe: ``train/loss``, ``test/accuracy`` and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

from grokscope.batch import weighted_mean
from grokscope.measures.base import Key, Measure

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def loss(outputs: Tensor, targets: Tensor, weights: Tensor | None = None, *, kind: str = "cross-entropy") -> Tensor:
    """Return the mean loss in float64: cross-entropy in nats, or the squared error averaged over outputs.

    Targets that are real numbers, or the ``kind`` ``mean-squared-error`` (class targets are then one-hot),
    ask for the squared error.

    Example:
        >>> import torch
        >>> float(loss(torch.zeros(1, 4), torch.tensor([2])))  # ln 4
        1.3862943611198906
    """
    if kind == "mean-squared-error" and not targets.is_floating_point():
        targets = functional.one_hot(targets, outputs.shape[-1]).double()
    if targets.is_floating_point():
        errors = (outputs.double() - targets.double().view_as(outputs)).square().flatten(1).mean(1)
    else:
        errors = functional.cross_entropy(outputs.double(), targets, reduction="none")
    return weighted_mean(errors, weights)


def accuracy(outputs: Tensor, targets: Tensor, weights: Tensor | None = None, *, classes: int | None = None) -> Tensor:
    """Return the share of examples whose largest of the first ``classes`` outputs is the target.

    Example:
        >>> import torch
        >>> float(accuracy(torch.eye(2), torch.tensor([0, 0])))
        0.5
    """
    hits = outputs[..., :classes].argmax(-1) == targets
    return weighted_mean(hits.double(), weights)


def measure(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return loss and, for class targets, accuracy on each labelled probe.

    The loss is the one trained on, over all outputs; the accuracy is over the answers that can be right.
    """
    classes = snapshot.facts.classes if snapshot.facts is not None else None
    result: dict[str, Tensor] = {}
    for name, batch in snapshot.probes.items():
        if batch.targets is None or not len(batch):
            continue
        outputs = snapshot.logits(name)
        kind = snapshot.loss or "cross-entropy"
        result[f"{name}/loss"] = loss(outputs, batch.targets, batch.weights, kind=kind)
        if not batch.targets.is_floating_point():
            result[f"{name}/accuracy"] = accuracy(outputs, batch.targets, batch.weights, classes=classes)
    return result


PERFORMANCE = Measure(
    name="performance",
    version=1,
    keys={
        "<probe>/loss": Key("mean loss", "nats, or squared units", low=0, direction="train falls first, test later"),
        "<probe>/accuracy": Key("share of right answers", low=0, high=1, direction="train rises first, test later"),
    },
    reference="Power et al. 2022",
    compute=measure,
    needs=("labels",),
    bare_keys=True,
)
