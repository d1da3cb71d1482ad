"""The gradient flow of a symmetric factorisation on observed entries, by d x d products alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from grokscope.errors import UsageError
from grokscope.linalg.chebyshev import Flow, Step, begin, covering

if TYPE_CHECKING:
    from grokscope.spec import Spec
    from grokscope.tasks.base import Task


@dataclass(frozen=True)
class Observed:
    """The observed entries of one member.

    Attributes:
        values: X* where observed, else 0, (d, d).
        mask: how often an entry is observed over n, (d, d): the weights of the mean over entries.
        decay: λ.
        initial: U and V at t = 0, (2, d, d).
        tolerance: relative error of an integration step.
    """

    values: np.ndarray
    mask: np.ndarray
    decay: float
    initial: np.ndarray
    tolerance: float

    def residual(self, factors: np.ndarray) -> np.ndarray:
        """Return (W − X*) over n on the observed entries, (d, d), of U and V stacked, (2, d, d)."""
        u, v = factors
        return self.mask * (u @ u.T - v @ v.T - self.values)

    def loss(self, time: float, variables: np.ndarray) -> float:
        """Return the mean squared error on the observed entries."""
        u, v = variables
        return float((self.mask * (u @ u.T - v @ v.T - self.values) ** 2).sum())

    @cached_property
    def flow(self) -> Flow:
        """dU/dt = −λU − SU, dV/dt = −λV + SV with S = 2 (R + Rᵀ), as an initial value problem."""

        def slope(factors: np.ndarray) -> np.ndarray:
            pull = self.residual(factors)
            pull = 2 * (pull + pull.T)
            return np.stack(
                [-self.decay * factors[0] - pull @ factors[0], -self.decay * factors[1] + pull @ factors[1]]
            )

        def radius(factors: np.ndarray) -> float:
            u, v = factors
            # Gauss-Newton: 2 w ‖J‖² with ‖J‖² <= 4 (σ_U² + σ_V²); and the bend of W times its residual
            largest = np.linalg.eigvalsh(u.T @ u)[-1] + np.linalg.eigvalsh(v.T @ v)[-1]
            pull = self.residual(factors)
            bend = 2 * float(np.abs(np.linalg.eigvalsh(pull + pull.T)).max())
            return float(8 * self.mask.max() * largest + bend + self.decay)

        return Flow(slope, radius, 1e-3 * self.tolerance, self.tolerance)

    def begin(self) -> Step:
        """Return the integration step of no length at the start."""
        return begin(self.flow, self.initial)

    def covering(self, step: Step, time: float) -> Step:
        """Return the integration step that covers ``time``."""
        return covering(self.flow, step, time)

    def parameters(self, time: float, variables: np.ndarray) -> dict[str, Tensor]:
        """Return U and V, (d, d) each."""
        return {name: torch.from_numpy(variables[index].copy()) for index, name in enumerate(("U", "V"))}


def follow(spec: Spec, task: Task, module: nn.Module) -> Observed:
    """Return the flow of a symmetric factorisation on a task.

    Raises:
        UsageError: the model is no symmetric factorisation, or the task does not name entries.
    """
    from grokscope.models.factorisation_settings import SymmetricFactorisationSettings

    settings: Any = spec.learner
    train = task.train
    if not isinstance(spec.model, SymmetricFactorisationSettings):
        raise UsageError(
            "the learner completion-flow follows a symmetric factorisation: set model.name = symmetric-factorisation."
        )
    if train is None or train.targets is None or train.inputs.is_floating_point() or train.inputs.shape[1:] != (2,):
        raise UsageError(
            "the learner completion-flow needs observed entries by their indices: set task.name = matrix-completion."
        )
    start = np.stack([parameter.detach().numpy().copy() for _, parameter in sorted(module.named_parameters())])
    count, values = np.zeros(start.shape[1:]), np.zeros(start.shape[1:])
    rows, columns = train.inputs.numpy().T
    np.add.at(count, (rows, columns), 1.0)
    values[rows, columns] = train.targets.double().flatten().numpy()
    return Observed(values, count / len(train), settings.weight_decay, start, settings.tolerance)
