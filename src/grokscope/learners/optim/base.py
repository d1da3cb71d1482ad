"""Optimizers as pairs of functions over named tensors: ``init`` makes the state, ``update`` takes a step.

Learning rate and weight decay are numbers or, in an ensemble, tensors with one entry a member (the
leading axis of every parameter); nothing else differs between a member and a run of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Scalar = float | Tensor
Step = int | Tensor
"""Which update it is, from 0: a number, or a tensor of shape () and float64 that lives on the device."""
Tensors = Mapping[str, Tensor]


class Optimizer(Protocol):
    """Two functions. ``update`` changes parameters and state in place."""

    def init(self, parameters: Tensors) -> dict[str, Tensor]:
        """Return the state before the first update, by name."""
        ...

    def update(
        self, parameters: Tensors, gradients: Tensors, state: dict[str, Tensor], step: Step, loss: Tensor | None = None
    ) -> None:
        """Take update ``step`` (from 0); ``loss`` is the value that was descended, () or (members,)."""
        ...


@dataclass(frozen=True)
class Schedule:
    """The learning rate of update ``step`` (from 0): linear warm-up from 0, then constant."""

    learning_rate: Scalar
    warmup_steps: int = 0

    def at(self, step: Step) -> Scalar:
        """Return the learning rate of update ``step``."""
        if isinstance(step, Tensor):
            return (
                self.learning_rate * (step / self.warmup_steps).clamp(max=1)
                if self.warmup_steps
                else self.learning_rate
            )
        if step >= self.warmup_steps:
            return self.learning_rate
        return self.learning_rate * (step / self.warmup_steps)

    def time(self, steps: int) -> Scalar:
        """Return the sum of the learning rates of the first ``steps`` updates: time as gradient flow counts it."""
        warming = min(steps, self.warmup_steps)
        ramp = warming * (warming - 1) / (2 * self.warmup_steps) if warming else 0.0
        return self.learning_rate * (ramp + steps - warming)


def along(value: Scalar, parameter: Tensor) -> Scalar:
    """Return a per-member value shaped to scale ``parameter`` member by member; numbers pass through."""
    if isinstance(value, Tensor):
        return value.to(parameter.dtype).view(-1, *[1] * (parameter.ndim - 1))
    return value
