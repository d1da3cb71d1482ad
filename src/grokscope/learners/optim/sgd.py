"""Stochastic gradient descent with momentum and coupled weight decay (as torch.optim.SGD)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from grokscope.learners.optim.base import Scalar, Schedule, Step, Tensors, along


@dataclass(frozen=True)
class SGD:
    """g ← g + λθ;  v ← μv + g;  θ ← θ - η v (or g + μv with ``nesterov``)."""

    schedule: Schedule
    weight_decay: Scalar = 0.0
    momentum: float = 0.0
    nesterov: bool = False

    def init(self, parameters: Tensors) -> dict[str, Tensor]:
        """Return zero velocities, or nothing without momentum."""
        if not self.momentum:
            return {}
        return {f"velocity.{name}": torch.zeros_like(p) for name, p in parameters.items()}

    def update(self, parameters: Tensors, gradients: Tensors, state: dict[str, Tensor], step: Step) -> None:
        """Take update ``step`` in place."""
        rate = self.schedule.at(step)
        for name, parameter in parameters.items():
            direction = gradients[name] + along(self.weight_decay, parameter) * parameter
            if self.momentum:
                velocity = state[f"velocity.{name}"].mul_(self.momentum).add_(direction)
                direction = direction + self.momentum * velocity if self.nesterov else velocity
            parameter.sub_(along(rate, parameter) * direction)
