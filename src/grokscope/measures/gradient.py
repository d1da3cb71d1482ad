"""The update that leaves a moment: sizes of gradient and step, and whether the step shrinks the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.measures.base import Key, Measure
from grokscope.measures.weights import flat

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def measure(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return ‖g‖, ‖Δθ‖ and the cosine of the angle between Δθ and θ (-1 is pure shrinking)."""
    record = snapshot.trial_step()
    assert record is not None
    before = flat(record.before, record.before)
    change = flat(record.after, record.before) - before
    gradient = flat(record.gradient, record.before)
    size = change.norm() * before.norm()
    cosine = torch.where(size > 0, change @ before / size, torch.zeros_like(size))
    return {"norm": gradient.norm(), "update_norm": change.norm(), "update_weight_cosine": cosine}


GRADIENT = Measure(
    name="gradient",
    version=1,
    kind="step",
    keys={
        "norm": Key("Euclidean norm of the gradient followed", low=0),
        "update_norm": Key("Euclidean norm of the update", "parameters", low=0),
        "update_weight_cosine": Key("cosine between update and weights", low=-1, high=1),
    },
    reference="standard",
    compute=measure,
    needs=("update",),
    cost="heavy",
)
