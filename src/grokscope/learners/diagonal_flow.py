"""The gradient flow of a diagonal network as n equations instead of 2d, exact for every width d."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from grokscope.errors import UsageError
from grokscope.linalg.radau import Problem, Step, begin, covering

if TYPE_CHECKING:
    from grokscope.spec import Spec
    from grokscope.tasks.base import Task

FLAT = 0.1
"""Exponents up to which cosh is taken as 1 in the Jacobian, which is then the Gram matrix of the inputs."""


@dataclass(frozen=True)
class Reduced:
    """The data and the numbers of one member's flow.

    Attributes:
        inputs: X, (n, d), float64.
        targets: y, (n,): ±1 for classes, else the values.
        classes: whether the loss is log(1 + e^{−y f}), else (f − y)².
        start: a, the value of every parameter at t = 0.
        decay: λ.
        tolerance: relative error of an integration step.
    """

    inputs: Tensor
    targets: Tensor
    classes: bool
    start: float
    decay: float
    tolerance: float

    def scores(self, times: Tensor, duals: Tensor) -> Tensor:
        """Return f on the training data, (k, n), at times (k,) and p (k, n)."""
        size = 2 * self.start**2 * torch.exp(-2 * self.decay * times)
        # X is read twice for all moments together: that is what a step costs
        return ((size[:, None] * torch.sinh(4 * (duals @ self.inputs))) @ self.inputs.T).contiguous()

    def pulls(self, scores: Tensor) -> Tensor:
        """Return −∂L/∂f_i, (k, n): what pulls each example's score."""
        count = scores.shape[-1]
        if self.classes:
            return self.targets * torch.sigmoid(-self.targets * scores) / count
        return -2 * (scores - self.targets) / count

    def losses(self, scores: Tensor) -> Tensor:
        """Return L, (k,)."""
        if self.classes:
            return torch.nn.functional.softplus(-self.targets * scores).mean(-1)
        return (scores - self.targets).square().mean(-1)

    def problem(self) -> Problem:
        """Return dp/dt as an initial value problem."""
        # what changes a score by 1 at the start: the unit in which p is measured
        unit = 1 / (8 * self.start**2 * float(self.inputs.square().sum(1).max()))
        # the Jacobian only steers Newton's iteration, for which single precision is enough
        single = self.inputs.float()
        gram = (single @ single.T).double()

        def slopes(times: np.ndarray, duals: np.ndarray) -> np.ndarray:
            moments, points = torch.from_numpy(times), torch.from_numpy(np.ascontiguousarray(duals))
            return self.pulls(self.scores(moments, points)).numpy()

        def jacobian(time: float, dual: np.ndarray) -> np.ndarray:
            point = torch.from_numpy(dual)
            exponent = 4 * (point @ self.inputs)
            size = 8 * self.start**2 * math.exp(-2 * self.decay * time)
            if float(exponent.abs().max()) < FLAT:
                growth = size * gram
            else:
                growth = (((size * torch.cosh(exponent)).float() * single) @ single.T).double()
            scores = self.scores(torch.tensor([time], dtype=torch.float64), point[None])[0]
            count = len(scores)
            if self.classes:
                share = torch.sigmoid(-self.targets * scores)
                bend = share * (1 - share) / count
            else:
                bend = torch.full_like(scores, 2 / count)
            return (-bend[:, None] * growth).numpy()

        return Problem(slopes, jacobian, self.tolerance * unit, self.tolerance)

    def first_step(self) -> float:
        """Return a size for the first integration step: what moves a score by about a hundredth."""
        unit = 1 / (8 * self.start**2 * float(self.inputs.square().sum(1).max()))
        pull = float(self.pulls(torch.zeros(1, len(self.targets), dtype=torch.float64)).abs().max())
        return 0.01 * unit / max(pull, 1e-30)

    def parameters(self, time: float, variables: np.ndarray) -> dict[str, Tensor]:
        """Return u and v, (d,) each, at p."""
        exponent = 2 * (torch.from_numpy(np.ascontiguousarray(variables)) @ self.inputs)
        shrunk = self.start * math.exp(-self.decay * time)
        return {"u": shrunk * torch.exp(exponent), "v": shrunk * torch.exp(-exponent)}

    def begin(self) -> Step:
        """Return the integration step of no length at p = 0."""
        return begin(np.zeros(len(self.targets)), self.first_step())

    def covering(self, step: Step, time: float) -> Step:
        """Return the integration step that covers ``time``."""
        return covering(self.equations, step, time)

    def loss(self, time: float, variables: np.ndarray) -> float:
        """Return the loss on the training data."""
        moment, duals = torch.tensor([time], dtype=torch.float64), torch.from_numpy(np.ascontiguousarray(variables))
        return float(self.losses(self.scores(moment, duals[None]))[0])

    @cached_property
    def equations(self) -> Problem:
        """The initial value problem of p, made once: it holds the data in single precision and their Gram matrix."""
        return self.problem()


def follow(spec: Spec, task: Task, module: nn.Module) -> Reduced:
    """Return the flow of a diagonal network on a task.

    Raises:
        UsageError: the model is no diagonal network, or the task has no finite set of labelled examples.
    """
    from grokscope.models.diagonal_settings import DiagonalNetworkSettings

    settings: Any = spec.learner
    if not isinstance(spec.model, DiagonalNetworkSettings):
        raise UsageError("the learner diagonal-flow follows a diagonal network: set model.name = diagonal-network.")
    if task.train is None or task.train.targets is None:
        raise UsageError("the learner diagonal-flow needs a finite set of labelled examples; this task streams.")
    inputs, targets = task.train.inputs.double().flatten(1), task.train.targets
    classes = not targets.is_floating_point()
    return Reduced(
        inputs=inputs,
        targets=(2.0 * targets - 1).double() if classes else targets.double().flatten(),
        classes=classes,
        start=float(next(module.parameters()).detach()[0]),
        decay=settings.weight_decay,
        tolerance=settings.tolerance,
    )
