"""Adam (Kingma & Ba 2015) with coupled, or AdamW (Loshchilov & Hutter 2019) with decoupled weight decay."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from grokscope.learners.optim.base import Scalar, Schedule, Step, Tensors, along


@dataclass(frozen=True)
class Adam:
    """m, v are bias-corrected running means of g and g²; θ ← θ - η m̂ / (√v̂ + ε).

    With ``decoupled`` the parameters are first multiplied by 1 - ηλ (AdamW); otherwise λθ is added to g.
    """

    schedule: Schedule
    weight_decay: Scalar = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    decoupled: bool = True

    def init(self, parameters: Tensors) -> dict[str, Tensor]:
        """Return zero first and second moments."""
        return {f"{moment}.{n}": torch.zeros_like(p) for n, p in parameters.items() for moment in ("mean", "square")}

    def update(
        self, parameters: Tensors, gradients: Tensors, state: dict[str, Tensor], step: Step, loss: Tensor | None = None
    ) -> None:
        """Take update ``step`` in place."""
        rate = self.schedule.at(step)
        unbias_mean = 1 - self.beta1 ** (step + 1)
        unbias_square = (1 - self.beta2 ** (step + 1)) ** 0.5
        decays = isinstance(self.weight_decay, Tensor) or self.weight_decay != 0
        for name, parameter in parameters.items():
            gradient = gradients[name]
            if decays and self.decoupled:
                parameter.mul_(1 - along(rate, parameter) * along(self.weight_decay, parameter))
            elif decays:
                gradient = gradient + along(self.weight_decay, parameter) * parameter
            mean = state[f"mean.{name}"].lerp_(gradient, 1 - self.beta1)
            square = state[f"square.{name}"].mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
            denominator = square.sqrt().div_(unbias_square).add_(self.epsilon)
            parameter.sub_(along(rate, parameter) * (mean / denominator).div_(unbias_mean))
