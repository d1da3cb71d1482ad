"""Stochastic gradient descent with momentum and coupled weight decay (as torch.optim.SGD)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from grokscope.learners.optim.base import Scalar, Schedule, Step, Tensors, along

Rate = Literal["constant", "norm-scheduled", "loss-normalised"]


@dataclass(frozen=True)
class SGD:
    """g ← g + λθ;  v ← μv + g;  θ ← θ - η v (or g + μv with ``nesterov``).

    The learning rate η is the schedule's or, to follow a gradient flow in fewer steps,

    - ``norm-scheduled``: η max(1, ‖θ_0‖ / ‖θ‖)^``norm_power``, at most ``largest_rate``. For an L-homogeneous model
      the power 2(L - 1) keeps η times the sharpness constant while the norm decays.
    - ``loss-normalised``: max(``least_rate``, η / loss), the loss being that before the step, at most
      ``largest_rate``. With the logarithm of the loss as ``logarithmic`` objective the step is taken on log loss, of
      which loss and gradient do not underflow.

    The sum of the rates is the time of the flow. ``members`` says how many members the tensors stack.
    """

    schedule: Schedule
    weight_decay: Scalar = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    rate: Rate = "constant"
    largest_rate: float = math.inf
    least_rate: float = 0.0
    norm_power: float = 2.0
    logarithmic: bool = False
    members: int | None = None

    def init(self, parameters: Tensors) -> dict[str, Tensor]:
        """Return zero velocities, or nothing without momentum; and the clocks of a rate that changes."""
        state: dict[str, Tensor] = {}
        if self.momentum:
            state = {f"velocity.{name}": torch.zeros_like(p) for name, p in parameters.items()}
        if self.rate != "constant":
            some = next(iter(parameters.values()))
            shape = () if self.members is None else (self.members,)
            state["log_time"] = torch.full(shape, -math.inf, dtype=torch.float64, device=some.device)
            if self.rate == "norm-scheduled":
                state["initial_norm"] = self._norm(parameters)
        return state

    def update(
        self, parameters: Tensors, gradients: Tensors, state: dict[str, Tensor], step: Step, loss: Tensor | None = None
    ) -> None:
        """Take update ``step`` in place."""
        rate = self.schedule.at(step)
        if self.rate != "constant":
            log_rate, rate = self._changing(rate, parameters, state, loss)
            state["log_time"] = torch.logaddexp(state["log_time"], log_rate)
        decays = isinstance(self.weight_decay, Tensor) or self.weight_decay != 0
        for name, parameter in parameters.items():
            direction = gradients[name]
            if decays:
                direction = (along(self.weight_decay, parameter) * parameter).add_(direction)
            if self.momentum:
                velocity = state[f"velocity.{name}"].mul_(self.momentum).add_(direction)
                direction = direction + self.momentum * velocity if self.nesterov else velocity
            moved = self._along(rate, parameter)
            # in place where it is nobody else's: fresh memory costs more than the product
            parameter.sub_(direction.mul_(moved) if decays and not self.momentum else moved * direction)

    def clocks(self, state: Tensors, step: int) -> dict[str, Scalar]:
        """Return ``time``, the sum of all learning rates so far, or its logarithm where it may overflow."""
        if self.rate == "constant":
            return {"time": self.schedule.time(step)}
        if self.rate == "loss-normalised":
            return {"log_time": state["log_time"]}
        return {"time": state["log_time"].exp()}

    # -- parts ------------------------------------------------------------------------------------

    def _along(self, rate: Scalar, parameter: Tensor) -> Scalar:
        # one number for a single run: a tensor without axes keeps its own precision
        return rate.to(parameter.dtype) if isinstance(rate, Tensor) and not rate.ndim else along(rate, parameter)

    def _norm(self, parameters: Tensors) -> Tensor:
        squares = [p.double().square().flatten(0 if self.members is None else 1).sum(-1) for p in parameters.values()]
        return torch.stack(squares).sum(0).sqrt()

    def _changing(
        self, rate: Scalar, parameters: Tensors, state: Tensors, loss: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the logarithm of the rate in the units of the flow, and the factor of what is descended."""
        assert loss is not None
        base = torch.as_tensor(rate, dtype=torch.float64, device=state["log_time"].device)
        cap = torch.full_like(base, self.largest_rate)
        if self.rate == "norm-scheduled":
            growth = (state["initial_norm"] / self._norm(parameters)).clamp(min=1) ** self.norm_power
            chosen = torch.minimum(base * growth, cap)
            return chosen.log(), chosen
        log_loss = loss.double() if self.logarithmic else loss.double().log()
        floor = torch.full_like(base, self.least_rate)
        log_rate = torch.minimum(cap.log(), torch.maximum(floor.log(), base.log() - log_loss))
        # a step on log L follows ∇L / L
        return log_rate, (log_rate + log_loss).exp() if self.logarithmic else log_rate.exp()
