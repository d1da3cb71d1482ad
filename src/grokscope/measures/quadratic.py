"""A network that is quadratic in its input, seen through a snapshot as its averages w̄ and M (Kumar et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.linalg.quadratic_student import Student
from grokscope.measures.base import DoesNotApply

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

ALPHA = "output_scale.alpha"
START = "output_scale.start."
"""Buffers by which a learner scales and centres the outputs: α, and the parameters at the start."""


@dataclass(frozen=True)
class Predictor:
    """What is trained, α f or α (f − f_0).

    Attributes:
        now: the averages of f, with α.
        start: those of f_0, where it is taken off; else None.
    """

    now: Student
    start: Student | None

    @property
    def effective(self) -> Student:
        """The averages of the predictor itself: those of f − f_0 where it is centred."""
        return self.now if self.start is None else self.now.centred(self.start)

    @property
    def is_finite(self) -> bool:
        """Whether all averages are finite."""
        return all(bool(torch.isfinite(t).all()) for t in (self.now.mean, self.now.second))


def predictor(snapshot: Snapshot, name: str) -> Predictor:
    """Return the averages that a network's outputs depend on, for the measure called ``name``.

    A module tells them by a method ``quadratic_student(tensors)`` of its parameters and buffers by name.

    Raises:
        DoesNotApply: the module has no such method, or is no quadratic form as it is set.
    """
    tell: Callable[[Mapping[str, Tensor]], Student | None] | None
    tell = getattr(snapshot.module, "quadratic_student", None)
    # of the start a learner may keep no more than the parameters: buffers that do not change are the module's own
    buffers = {} if snapshot.module is None else dict(snapshot.module.named_buffers())
    own = {**buffers, **snapshot.parameters, **snapshot.buffers}
    found = None if tell is None else tell(own)
    if tell is None or found is None:
        raise DoesNotApply(
            f"{name} is of a network that is quadratic in its input and says so by a method quadratic_student; "
            "this model is none."
        )
    alpha = float(snapshot.buffers[ALPHA]) if ALPHA in snapshot.buffers else 1.0
    first = {key.removeprefix(START): t for key, t in snapshot.buffers.items() if key.startswith(START)}
    start = tell({**own, **first}) if first else None
    return Predictor(replace(found, alpha=alpha), None if start is None else replace(start, alpha=alpha))
