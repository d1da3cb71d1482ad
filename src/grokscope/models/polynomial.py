"""The polynomial student: one hidden layer whose nonlinearity is nearly linear (Kumar et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from grokscope.errors import UsageError
from grokscope.linalg.quadratic_student import Student, initial_weights, limit_weights, student

if TYPE_CHECKING:
    from grokscope.facts import Facts
    from grokscope.models.polynomial_settings import PolynomialStudentSettings


class PolynomialStudent(nn.Module):
    """Inputs ``(batch, D)`` to outputs ``(batch, 1)``; the w_i are the rows of ``hidden.weight``.

    ε is the buffer ``epsilon``, so that members of an ensemble may have one each.
    """

    epsilon: Tensor
    readout: nn.Linear | None

    def __init__(self, settings: PolynomialStudentSettings, facts: Facts, generator: torch.Generator) -> None:
        super().__init__()
        if facts.geometry is None or facts.outputs != 1:
            raise UsageError(
                "the polynomial student has one output of real inputs: choose a regression task such as "
                "polynomial-regression."
            )
        dimensions = math.prod(facts.geometry.shape)
        self.degree = 0 if settings.nonlinearity == "quadratic" else int(settings.nonlinearity[-1])
        width = settings.width or 2 * dimensions
        self.hidden = nn.Linear(dimensions, width, bias=False, dtype=torch.float64, device="meta")
        self.hidden.weight = nn.Parameter(_start(settings, facts, generator, dimensions))
        self.register_buffer("epsilon", torch.tensor(settings.epsilon, dtype=torch.float64))
        readout = None
        if settings.readouts == "trained":
            readout = nn.Linear(width, 1, bias=False, dtype=torch.float64, device="meta")
            readout.weight = nn.Parameter(initial_weights(generator, 1, width))
        self.readout = readout

    def forward(self, inputs: Tensor) -> Tensor:
        """Return f(x) for a batch of inputs."""
        h = self.hidden(inputs.flatten(1))
        active = h + self.epsilon / 2 * self._curved(h)
        if self.readout is None:
            return active.mean(-1, keepdim=True)
        return self.readout(active) / active.shape[-1]

    def _curved(self, h: Tensor) -> Tensor:
        square = h.square()
        match self.degree:
            case 2:
                return square - 1
            case 3:
                return h * (square - 3)
            case 4:
                return square * (square - 6) + 3
            case _:
                return square

    @property
    def has_fixed_readouts(self) -> bool:
        """Whether the w_i are all that is trained, so that the tangent kernel is in closed form."""
        return self.readout is None

    def quadratic_student(self, tensors: Mapping[str, Tensor]) -> Student | None:
        """Return the averages w̄ and M that f depends on, at the given values of its parameters and buffers.

        None where f is no quadratic form without a constant. Measures ask any module for them by this method.
        """
        if self.degree:
            return None
        readouts = None if self.readout is None else tensors["readout.weight"][0]
        return student(tensors["hidden.weight"], alpha=1.0, epsilon=float(tensors["epsilon"]), readouts=readouts)


def _start(settings: PolynomialStudentSettings, facts: Facts, generator: torch.Generator, dimensions: int) -> Tensor:
    if settings.width is None:
        return settings.initial_scale * limit_weights(dimensions)
    weights = initial_weights(generator, settings.width, dimensions)
    if settings.aligned:
        known = facts.quadratic
        if known is None:
            raise UsageError(
                f"model.aligned = {settings.aligned:g} starts the student towards a target (β·x)²; this task has none: "
                "set task.target = 'square'."
            )
        solution = math.sqrt(2 * known.scale / settings.epsilon) * torch.from_numpy(known.direction)
        signs = 1.0 - 2.0 * (torch.arange(settings.width, dtype=torch.float64) % 2)
        weights = (1 - settings.aligned) * weights + settings.aligned * torch.outer(signs, solution)
    return settings.initial_scale * weights
