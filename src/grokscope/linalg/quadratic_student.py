"""A two-layer network that is quadratic in its input, in closed form: loss and tangent kernel (Kumar et al. 2024).

f(x) = (α/N) Σ_i φ(w_i·x), φ(h) = h + (ε/2) h², with N weight vectors w_i in R^D and readouts fixed to 1; inputs are
x ~ N(0, 1/D), the target is c (β·x)². All that f depends on is w̄ = (1/N) Σ w_i and M = (1/N) Σ w_i w_i^T:
f(x) = α w̄·x + (αε/2) x^T M x.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError


@dataclass(frozen=True)
class Student:
    """The network by its sufficient statistics.

    Attributes:
        mean: w̄, (D,).
        second: M, (D, D).
        alpha: the output scale α.
        epsilon: the strength ε of the quadratic part.
        width: N, or None for the limit N → ∞ with the prefactor α²/N of the kernel left out.
    """

    mean: Float[Tensor, " D"]
    second: Float[Tensor, "D D"]
    alpha: float
    epsilon: float
    width: int | None = None

    def __call__(self, inputs: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
        """Return f(x) = α w̄·x + (αε/2) x^T M x."""
        points = inputs.to(self.mean.dtype)
        curved = torch.einsum("nd,de,ne->n", points, self.second, points)
        return self.alpha * (points @ self.mean + self.epsilon / 2 * curved)

    def centred(self, initial: Student) -> Student:
        """Return the statistics of f − f_0, whose loss is that of the centred predictor."""
        return Student(self.mean - initial.mean, self.second - initial.second, self.alpha, self.epsilon, self.width)


def student(weights: Float[Tensor, "N D"], *, alpha: float, epsilon: float, readouts: Tensor | None = None) -> Student:
    """Return the student of N weight vectors, (N, D), in float64; ``readouts`` a_i, (N,), weigh both averages.

    Raises:
        UsageError: the weights are not a matrix of at least one row, or there is not one readout for each.

    Example:
        >>> one = student(torch.tensor([[2.0]]), alpha=3, epsilon=0.5)
        >>> one(torch.tensor([[1.0], [2.0]])).tolist()  # 6x + 3x²
        [9.0, 24.0]
    """
    if weights.ndim != 2 or not weights.numel():
        raise UsageError(f"weights of shape {tuple(weights.shape)} were given: give (neurons, inputs).")
    if readouts is not None and readouts.shape != weights.shape[:1]:
        raise UsageError(f"readouts of shape {tuple(readouts.shape)} were given for {len(weights)} neurons.")
    rows = weights.to(torch.float64)
    scaled = rows if readouts is None else readouts.to(torch.float64)[:, None] * rows
    return Student(scaled.mean(0), rows.T @ scaled / len(rows), alpha, epsilon, len(rows))


def initial_weights(generator: torch.Generator, width: int, dimensions: int) -> Float[Tensor, "N D"]:
    """Return N weight vectors drawn from N(0, 1), (width, dimensions), in float64.

    Example:
        >>> initial_weights(torch.Generator().manual_seed(0), 3, 2).shape
        torch.Size([3, 2])
    """
    return torch.randn(width, dimensions, generator=generator, dtype=torch.float64)


def limit_weights(dimensions: int) -> Float[Tensor, "N D"]:
    """Return the 2D weight vectors ±√D e_j, whose averages are exactly those of N → ∞: w̄ = 0 and M = 1.

    All weight vectors follow one affine map, so a network of these is the network of infinite width, at any time.

    Example:
        >>> limit_weights(1).tolist()
        [[1.0], [-1.0]]
    """
    axes = dimensions**0.5 * torch.eye(dimensions, dtype=torch.float64)
    return torch.cat([axes, -axes])


def population_loss(student: Student, target: Float[Tensor, " D"], *, scale: float = 0.5) -> dict[str, float]:
    """Return the exact mean of (f(x) − c (β·x)²)² over x ~ N(0, 1/D), in its three parts, target units².

    With Q = αεM − 2c ββ^T: ``variance`` (tr Q/D)²/4, ``misalignment`` ‖Q‖²_F/(2D²), ``linear_power`` α²‖w̄‖²/D. In
    memorisation the linear power rises; in generalisation first misalignment falls, then linear power. Reference:
    Kumar et al. 2024; the exact form is ours.

    Args:
        student: the network, or ``student.centred(initial)`` for the predictor f − f_0.
        target: β, (D,).
        scale: c.

    Example:
        >>> identity = Student(torch.zeros(2), torch.eye(2), alpha=1, epsilon=1)
        >>> population_loss(identity, torch.ones(2))["misalignment"]
        0.25
    """
    second, mean, direction = (t.to(torch.float64) for t in (student.second, student.mean, target))
    if direction.shape != mean.shape:
        raise UsageError(f"a target of shape {tuple(target.shape)} was given for {len(mean)} inputs.")
    size = len(mean)
    error = student.alpha * student.epsilon * second - 2 * scale * torch.outer(direction, direction)
    return {
        "variance": float((error.trace() / size).square() / 4),
        "misalignment": float(error.square().sum() / (2 * size**2)),
        "linear_power": float(student.alpha**2 * mean.square().sum() / size),
    }


def tangent_kernel(student: Student, inputs: Float[Tensor, "n D"], others: Float[Tensor, "m D"]) -> Tensor:
    """Return K(x, x') = (α²/N) x·x' [1 + ε w̄·(x + x') + ε² x^T M x'], (n, m), in float64.

    For width None the prefactor is left out, which alignment does not see. Reference: Kumar et al. 2024, Eq. 5.

    Example:
        >>> one = student(torch.tensor([[2.0]]), alpha=3, epsilon=0.5)
        >>> tangent_kernel(one, torch.tensor([[1.0]]), torch.tensor([[2.0]])).item()
        108.0
    """
    left, right, mean, second = (t.to(torch.float64) for t in (inputs, others, student.mean, student.second))
    linear = (left @ mean)[:, None] + (right @ mean)[None]
    bracket = 1 + student.epsilon * linear + student.epsilon**2 * left @ second @ right.T
    prefactor = 1.0 if student.width is None else student.alpha**2 / student.width
    return prefactor * (left @ right.T) * bracket
