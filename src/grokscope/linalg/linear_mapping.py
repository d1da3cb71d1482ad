"""The linear mapping number: on how many affine maps a function is on data, softly counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError

Tail = Callable[[Tensor, Tensor], Tensor]
"""(values (v, ...), the example that each came from (v,)) -> outputs (v, ...), each row by itself."""

GRID = 21
CONSTANT = 1e-12
"""An output whose variance along a path is at most this times its largest square is constant, and so affine."""


@dataclass(frozen=True)
class Mappings:
    """What the matrix of pairwise linearities says.

    Attributes:
        eigenvalues: (N,), of the matrix, descending.
        entropy: of their sizes, normalised to sum 1, in bits; in [0, log2 N].
        number: 2 to the entropy, in [1, N].
        linearity: the mean of the matrix off its diagonal, in [0, 1].
    """

    eigenvalues: Float[Tensor, " n"]
    entropy: float
    number: float
    linearity: float


def squared_correlations(outputs: Float[Tensor, "m l k"]) -> Float[Tensor, "m k"]:
    """Return the squared correlation of each output with the position on its path, of ℓ equally spaced ones.

    r² = (Σ_λ (λ − ½) y(λ))² / (Σ_λ (λ − ½)² Σ_λ (y(λ) − ȳ)²), in [0, 1]; 1 where the output is constant along the
    path. float64.

    Raises:
        UsageError: there are fewer than three positions.

    Example:
        >>> grid = torch.linspace(0, 1, 21, dtype=torch.float64)
        >>> [round(float(squared_correlations(y[None, :, None])), 6) for y in (2 - 3 * grid, grid**2, 0 * grid)]
        [1.0, 0.932111, 1.0]
    """
    if outputs.ndim != 3 or outputs.shape[1] < 3 or not outputs.is_floating_point():
        raise UsageError(
            f"outputs of shape {tuple(outputs.shape)} and dtype {outputs.dtype} were given: they are real, (paths, "
            "three positions or more, outputs)."
        )
    values = outputs.double()
    grid = torch.linspace(-0.5, 0.5, values.shape[1], dtype=torch.float64, device=values.device)
    # by its largest size, so that no square leaves the range of numbers
    scale = values.abs().amax(1, keepdim=True)
    values = values / torch.where(scale == 0, 1.0, scale)
    centred = values - values.mean(1, keepdim=True)
    variance = centred.square().sum(1)
    along = (grid[:, None] * centred).sum(1)
    found = along.square() / (grid.square().sum() * variance)
    constant = variance / values.shape[1] <= CONSTANT
    return torch.where(constant, 1.0, found.clamp(max=1))


def linearities(tail: Tail, values: Tensor, *, grid: int = GRID, chunk: int = 4096) -> Float[Tensor, "n n"]:
    """Return how nearly affine a function is between each two of N values.

    L_ij is the mean over outputs k of the squared correlation between y_k(λ) = f_k(h_i + λ (h_j − h_i)) and λ, on
    ``grid`` positions λ = 0 … 1; L_ii = 1. Symmetric, in [0, 1], float64; NaN where an output is. The ends of all paths
    are computed once: N + N(N − 1)/2 × (grid − 2) rows go through. Source: Liu, Zhong and Tegmark 2023, section 2.

    Args:
        tail: f, see :data:`Tail`; values between two examples are told to be of the first.
        values: (N, ...), the h_i.
        grid: positions on a path.
        chunk: rows that go through at once.

    Raises:
        UsageError: there are fewer than two values, or they are not real numbers, or a number is out of range.

    Example:
        >>> found = linearities(lambda h, _: h**2, torch.tensor([[0.0], [1.0]], dtype=torch.float64))
        >>> round(found[0, 1].item(), 6)
        0.932111
    """
    if not values.is_floating_point() or values.is_meta or values.ndim < 2 or len(values) < 2:
        raise UsageError(
            f"values of shape {tuple(values.shape)} and dtype {values.dtype} were given: paths are between two or more "
            "rows of real numbers."
        )
    if grid < 3 or chunk < 1:
        raise UsageError(f"grid = {grid} and chunk = {chunk} were given: give three positions or more, and one row.")
    count = len(values)

    def run(given: Tensor, rows: Tensor) -> Tensor:
        parts = zip(given.split(chunk), rows.split(chunk), strict=True)
        return torch.cat([tail(part, which).flatten(1) for part, which in parts])

    ends = run(values, torch.arange(count, device=values.device))
    found = torch.eye(count, dtype=torch.float64, device=values.device)
    inside = torch.linspace(0, 1, grid, dtype=torch.float64, device=values.device)[1:-1].to(values.dtype)
    pairs = torch.triu_indices(count, count, 1, device=values.device)
    weights = inside.view(1, -1, *[1] * (values.ndim - 1))
    for one, other in zip(*(part.split(max(1, chunk // (grid - 2))) for part in pairs), strict=True):
        paths = torch.lerp(values[one][:, None], values[other][:, None], weights)
        outputs = run(paths.flatten(0, 1), one.repeat_interleave(grid - 2)).view(len(one), grid - 2, -1)
        outputs = torch.cat([ends[one][:, None], outputs, ends[other][:, None]], 1)
        found[one, other] = found[other, one] = squared_correlations(outputs).mean(1)
    return found


def mappings(matrix: Float[Tensor, "n n"]) -> Mappings:
    """Return the linear mapping number of a matrix of linearities, with its entropy and spectrum.

    Of its eigenvalues λ, p = |λ| / Σ|λ|, S = −Σ p log2 p and the number is 2^S: 1 for an affine function, c where c
    equal groups share a map each and pairs across them are not linear at all. It grows with N: compare at equal N. NaN
    where the matrix is not finite. Source: Liu, Zhong and Tegmark 2023, section 2.

    Raises:
        UsageError: the matrix is not a symmetric square of real numbers.

    Example:
        >>> round(mappings(torch.tensor([[1.0, 0.5], [0.5, 1.0]])).number, 6)
        1.754765
    """
    count = len(matrix)
    if matrix.ndim != 2 or matrix.shape != (count, count) or not count or not matrix.is_floating_point():
        raise UsageError(
            f"a matrix of shape {tuple(matrix.shape)} and dtype {matrix.dtype} was given: give a square one."
        )
    values = matrix.double()
    if not bool(torch.isfinite(values).all()):
        return Mappings(torch.full_like(values[0], math.nan), math.nan, math.nan, math.nan)
    if not torch.allclose(values, values.T):
        raise UsageError("a matrix that is not symmetric was given: the linearity of a pair has no order.")
    eigenvalues = torch.linalg.eigvalsh(values).flip(0)
    sizes = eigenvalues.abs()
    entropy = max(0.0, float(torch.special.entr(sizes / sizes.sum()).sum()) / math.log(2))
    off = (float(values.sum()) - float(values.trace())) / (count * (count - 1)) if count > 1 else math.nan
    return Mappings(eigenvalues, entropy, 2**entropy, off)
