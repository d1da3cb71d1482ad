"""Adam (Kingma & Ba 2015) with coupled, or AdamW (Loshchilov & Hutter 2019) with decoupled weight decay."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from grokscope.learners.optim.base import Scalar, Schedule, Step, Tensors, along


@dataclass(frozen=True)
class Adam:
    """m, v are bias-corrected running means of g and g²; θ ← θ - η m̂ / (√v̂ + ε).

    With ``decoupled`` the parameters are first multiplied by 1 - ηλ (AdamW); otherwise λθ is added to g. ``fused``
    does all of it in one pass over memory, by torch's own kernel: equal up to rounding.
    """

    schedule: Schedule
    weight_decay: Scalar = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    decoupled: bool = True
    fused: bool = False

    def init(self, parameters: Tensors) -> dict[str, Tensor]:
        """Return zero first and second moments."""
        return {f"{moment}.{n}": torch.zeros_like(p) for n, p in parameters.items() for moment in ("mean", "square")}

    def update(
        self, parameters: Tensors, gradients: Tensors, state: dict[str, Tensor], step: Step, loss: Tensor | None = None
    ) -> None:
        """Take update ``step`` in place."""
        if self.fused:
            self._fused(parameters, gradients, state, step)
            return
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

    @cached_property
    def _stretches(self) -> list[tuple[slice | None, float, float]]:
        """Members next to each other with the same rate and decay, as numbers; None is all of them."""
        rate, decay = self.schedule.learning_rate, self.weight_decay
        if not isinstance(rate, Tensor) and not isinstance(decay, Tensor):
            return [(None, rate, decay)]
        count = max(one.numel() for one in (rate, decay) if isinstance(one, Tensor))
        rates, decays = (one.tolist() if isinstance(one, Tensor) else [one] * count for one in (rate, decay))
        found: list[tuple[slice | None, float, float]] = []
        start = 0
        for at in range(1, count + 1):
            if at == count or (rates[at], decays[at]) != (rates[start], decays[start]):
                found.append((slice(start, at), rates[start], decays[start]))
                start = at
        return found

    def _fused(self, parameters: Tensors, gradients: Tensors, state: dict[str, Tensor], step: Step) -> None:
        names = list(parameters)
        # torch's kernel counts in float32, exact up to 2^24, where the bias corrections have long been 1
        count = torch.as_tensor(step + 1, dtype=torch.float32, device=parameters[names[0]].device)
        warm = Schedule(1.0, self.schedule.warmup_steps).at(step)
        warm = warm.float() if isinstance(warm, Tensor) else warm
        kernel: Any = getattr(torch, "_fused_adamw_" if self.decoupled else "_fused_adam_")
        tensors = [
            [parameters[name] for name in names],
            [gradients[name] for name in names],
            [state[f"mean.{name}"] for name in names],
            [state[f"square.{name}"] for name in names],
        ]
        for rows, rate, decay in self._stretches:
            kernel(
                *(tensors if rows is None else [[tensor[rows] for tensor in kind] for kind in tensors]),
                [],
                [count] * len(names),
                lr=rate * warm,
                beta1=self.beta1,
                beta2=self.beta2,
                weight_decay=decay,
                eps=self.epsilon,
                amsgrad=False,
                maximize=False,
            )
