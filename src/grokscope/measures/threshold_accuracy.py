"""Share of examples predicted within a threshold: an accuracy for regression, which depends on the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from grokscope.batch import weighted_mean
from grokscope.errors import UsageError
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.performance import losses

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def within(errors: Tensor, threshold: float) -> Tensor:
    """Return 1 where the error of an example is below ``threshold``, else 0, shape (examples,), in float64.

    Example:
        >>> import torch
        >>> within(torch.tensor([0.5e-3, 2e-3]), 1e-3).tolist()
        [1.0, 0.0]
    """
    return (errors < threshold).double()


def measure(
    snapshot: Snapshot, *, thresholds: str = "1e-4 5e-4 1e-3 5e-3 1e-2 5e-2 1e-1"
) -> dict[str, dict[str, Tensor]]:
    """Return, for each labelled probe and threshold, the share of examples with a smaller squared error.

    Args:
        snapshot: a moment of any model.
        thresholds: of the squared error averaged over outputs, with spaces between them.
    """
    levels = _levels(thresholds)
    result: dict[str, dict[str, Tensor]] = {}
    for name, batch in snapshot.probes.items():
        targets = batch.targets
        if targets is None or not len(batch):
            continue
        if not targets.is_floating_point() and targets.ndim > 1:
            raise DoesNotApply(
                "threshold_accuracy compares the outputs of an example with its target; these targets are sequences "
                "of classes."
            )
        errors = losses(snapshot.logits(name), targets, kind="mean-squared-error")
        result[name] = {text: weighted_mean(within(errors, level), batch.weights) for text, level in levels.items()}
    return result


def _levels(thresholds: str) -> dict[str, float]:
    try:
        found = {f"{float(text):g}": float(text) for text in thresholds.split()}
    except ValueError:
        found = {}
    if not found or not all(0 < level < float("inf") for level in found.values()):
        raise UsageError(
            f"threshold_accuracy:thresholds = {thresholds!r}: give positive numbers with spaces between them."
        )
    return found


THRESHOLD_ACCURACY = Measure(
    name="threshold_accuracy",
    version=1,
    keys={
        "<probe>": Key(
            "share of examples whose squared error, averaged over outputs, is below a threshold, by threshold",
            low=0,
            high=1,
            direction="depends on the threshold: one and the same fall of the loss jumps earlier or later",
        )
    },
    reference="Kumar et al. 2024, Figs 17, 18",
    cites=("kumar2024",),
    compute=measure,
    needs=("labels",),
)
