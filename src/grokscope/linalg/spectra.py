"""Singular values of a weight, and what is read off them: norms, ranks, entropies.

A weight is a tensor as PyTorch stores it, of any dtype and on any device: (rows, columns) or the kernel of a
convolution (out, in, *kernel). Functions of singular values take them on the last axis, (…, n) to (…), and do
not ask for an order. Everything is in float64 and the same for a matrix and its transpose.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError, unknown

Layout = Literal["pooled", "flat"]
LAYOUTS = ("pooled", "flat")
METHODS = ("auto", "svd", "gram")

GRAM_ASPECT = 2.0
"""From this aspect ratio on the eigenvalues of the smaller Gram matrix are 2 to 10 times faster than the SVD."""
GRAM_FLOOR = 1e-6
"""The Gram matrix is trusted where λ_min ≥ this × λ_max: its absolute error of about ε λ_max, ε = 2e-16, is then
below 1e-9 of every eigenvalue. Below it the SVD decides."""
SAFE = (1e-100, 1e100)
"""Between these the squares of entries, and sums of them, are far from the limits of float64."""
RANK_PRECISION = torch.finfo(torch.float32).eps
"""Relative rounding that weights narrower than float64 are taken to carry when their rank is counted."""


def checked(weight: Tensor) -> Tensor:
    """Return a weight in float64, detached.

    Raises:
        UsageError: it is not a tensor of real numbers with values, with at least two axes, not empty and all finite.

    Example:
        >>> checked(torch.ones(2, 3)).dtype
        torch.float64
    """
    if not isinstance(weight, Tensor):
        raise UsageError(f"a weight of type {type(weight).__name__} was given: give a torch.Tensor.")
    shape = tuple(weight.shape)
    if weight.is_meta:
        raise UsageError(f"a weight of shape {shape} on the meta device was given, without values: load them first.")
    if weight.is_quantized or not weight.is_floating_point():
        kind = str(weight.dtype).removeprefix("torch.")
        raise UsageError(f"a weight of dtype {kind} was given: give real floating-point numbers (dequantise first).")
    if weight.ndim < 2:
        raise UsageError(f"a weight of shape {shape} was given: give a matrix (rows, columns), or a kernel.")
    if weight.numel() == 0:
        raise UsageError(f"an empty weight of shape {shape} was given: its spectrum has no values.")
    found = weight.detach().to(torch.float64)
    # a finite sum has finite terms; only an infinite one is worth a second look
    wrong = 0 if math.isfinite(float(found.sum())) else found.numel() - int(found.isfinite().sum())
    if wrong:
        raise UsageError(f"a weight of shape {shape} holds {wrong} values that are NaN or infinite.")
    return found


def as_slices(weight: Tensor, *, layout: Layout = "pooled") -> Float[Tensor, "positions rows columns"]:
    """Return a weight as a stack of matrices (positions, rows, columns) in float64, with columns ≥ rows.

    Args:
        weight: (rows, columns), or a kernel (out, in, *kernel) with P positions.
        layout: of a kernel: ``pooled`` gives its P matrices (out, in), each times √(P/2), as WeightWatcher
            0.7.5.5 does where it takes them one by one (pooled it takes √(1/2)); ``flat`` gives the one matrix
            (out, in × P).

    Raises:
        UsageError: the weight has no spectrum (see :func:`checked`), or there is no such layout.

    Example:
        >>> as_slices(torch.ones(4, 2, 3, 3)).shape, as_slices(torch.ones(4, 2, 3, 3), layout="flat").shape
        (torch.Size([9, 2, 4]), torch.Size([1, 4, 18]))
    """
    if layout not in LAYOUTS:
        raise unknown("layout", str(layout), LAYOUTS)
    found = checked(weight)
    if found.ndim == 2:
        stack = found[None]
    elif layout == "flat":
        stack = found.flatten(1)[None]
    else:
        stack = found.flatten(2).permute(2, 0, 1)
        stack = stack * math.sqrt(len(stack) / 2)
    return stack if stack.shape[-1] >= stack.shape[-2] else stack.mT


def singular_values(
    weight: Tensor, *, layout: Layout = "flat", method: Literal["auto", "svd", "gram"] = "auto"
) -> Float[Tensor, " n"]:
    """Return the singular values of a weight, descending: n = min(rows, columns), times P for pooled kernels.

    Args:
        weight: (rows, columns) or (out, in, *kernel).
        layout: see :func:`as_slices`.
        method: ``auto`` takes √eig(W Wᵀ) where the matrix is at least twice as long as wide and the result is exact
            to 1e-9 in every value (smallest λ ≥ 1e-6 of the largest), else the SVD; ``gram`` and ``svd`` insist.

    Raises:
        UsageError: the weight has no spectrum (see :func:`checked`), or there is no such layout or method.

    Example:
        >>> singular_values(torch.tensor([[0.0, 2.0], [1.0, 0.0]])).tolist()
        [2.0, 1.0]
    """
    if method not in METHODS:
        raise unknown("method", str(method), METHODS)
    return singular_values_of(as_slices(weight, layout=layout), method=method)


def singular_values_of(slices: Float[Tensor, "positions rows columns"], *, method: str = "auto") -> Float[Tensor, " n"]:
    """Return the singular values of a stack from :func:`as_slices`, all in one vector, descending."""
    return slice_values(slices, method=method).flatten().sort(descending=True).values


def slice_values(
    slices: Float[Tensor, "positions rows columns"], *, method: str = "auto"
) -> Float[Tensor, "positions rows"]:
    """Return the singular values of each matrix of a stack with columns ≥ rows, descending; as :func:`singular_values`.

    Example:
        >>> slice_values(torch.ones(2, 1, 4, dtype=torch.float64)).tolist()
        [[2.0], [2.0]]
    """
    rows, columns = slices.shape[-2:]
    axes = (-2, -1)
    scale = torch.maximum(slices.amax(axes, keepdim=True), -slices.amin(axes, keepdim=True))
    # entries whose squares would overflow or vanish are divided by the largest first
    scale = torch.where((scale > 0) & ((scale < SAFE[0]) | (scale > SAFE[1])), scale, 1.0)
    unit = slices / scale if bool((scale != 1).any()) else slices
    if method == "gram" or (method == "auto" and columns >= GRAM_ASPECT * rows):
        squares = torch.linalg.eigvalsh(unit @ unit.mT).flip(-1).clamp_min(0)
        if method == "gram" or bool((squares[..., -1] >= GRAM_FLOOR * squares[..., 0]).all()):
            return squares.sqrt() * scale[..., 0]
    # LAPACK is several times faster on a tall matrix than on the same one lying down
    return torch.linalg.svdvals(unit.mT) * scale[..., 0]


def eigenvalues(weight: Tensor, *, layout: Layout = "pooled") -> Float[Tensor, " n"]:
    """Return the empirical spectral density of a weight: λ = σ², ascending; not divided by the number of columns.

    Example:
        >>> eigenvalues(torch.diag(torch.tensor([3.0, 1.0]))).tolist()
        [1.0, 9.0]
    """
    return singular_values(weight, layout=layout).square().flip(0)


def rank_tolerance(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> float:
    """Return the tolerance, relative to σ_max, below which a singular value counts as 0: max(rows, columns) ε.

    ε is that of float64 for float64 weights and that of float32 for all others: weights stored in fewer digits are
    exact numbers all the same, and what lies below float32 has been produced by rounding.

    Example:
        >>> rank_tolerance((2, 1024)) == 2.0**-13
        True
    """
    precision = torch.finfo(torch.float64).eps if dtype == torch.float64 else RANK_PRECISION
    return max(shape) * precision


def numerical_rank(values: Float[Tensor, "*batch n"], *, tolerance: float) -> Float[Tensor, "*batch"]:
    """Return how many singular values exceed ``tolerance`` × the largest: 0 for a zero matrix.

    Example:
        >>> float(numerical_rank(torch.tensor([1.0, 1e-3, 1e-9]), tolerance=1e-6))
        2.0
    """
    found = _real(values)
    return (found > tolerance * found.amax(-1, keepdim=True)).sum(-1).to(torch.float64)


def stable_rank(values: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    """Return Σσ² / max σ², in [1, n]; NaN where all are 0. Rudelson and Vershynin 2007.

    Example:
        >>> float(stable_rank(torch.tensor([2.0, 1.0, 1.0])))
        1.5
    """
    return _shares(values).sum(-1)


def effective_rank(values: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    """Return exp(−Σ p ln p) with p = σ/Σσ, in [1, n]; NaN where all are 0. Roy and Vetterli 2007.

    Example:
        >>> round(float(effective_rank(torch.tensor([1.0, 1.0, 0.0]))), 12)
        2.0
    """
    return _entropy(_real(values)).exp()


def participation_ratio(values: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    """Return (Σλ)²/Σλ² with λ = σ², in [1, n]; NaN where all are 0.

    Example:
        >>> float(participation_ratio(torch.tensor([1.0, 1.0, 1.0, 0.0])))
        3.0
    """
    shares = _shares(values)
    return shares.sum(-1).square() / shares.square().sum(-1)


def spectral_entropy(values: Float[Tensor, "*batch n"], *, tolerance: float = 0.0) -> Float[Tensor, "*batch"]:
    """Return −Σ p ln p / ln(rank) with p = λ/Σλ, λ = σ²: 1 where all are equal; NaN for rank 0 or 1.

    Args:
        values: singular values.
        tolerance: of the rank, see :func:`numerical_rank`. Martin, Peng and Mahoney 2021.

    Example:
        >>> round(float(spectral_entropy(torch.tensor([2.0, 2.0, 0.0]))), 12)
        1.0
    """
    ranks = numerical_rank(values, tolerance=tolerance)
    entropy = _entropy(_shares(values))
    return torch.where(ranks > 1, entropy / ranks.clamp_min(2).log(), math.nan)


def determinant_tail(values: Float[Tensor, " n"]) -> tuple[int, float]:
    """Return (k, λ_k): the largest eigenvalues whose rescaled product is still at least 1, and the first below them.

    λ̃ = λ n/Σλ has mean 1. Going down from the largest, the product of the λ̃ first exceeds 1 and then falls below it:
    k is the number of eigenvalues taken, the last included, when it does, and λ_k that last one, not rescaled. Under
    an ideal fit of the tail it equals the number of eigenvalues in the power law (Martin and Hinrichs 2025). (n, NaN)
    where the product never falls below 1; (0, NaN) for a zero matrix.

    Example:
        >>> determinant_tail(torch.tensor([4.0, 1.0, 0.25]).sqrt())
        (3, 0.25)
    """
    found = _real(values).square().sort(descending=True).values
    total = float(found.sum())
    if total == 0:
        return 0, math.nan
    logs = (found * (len(found) / total)).log().cumsum(0)
    below = (logs < -1e-12 * len(found)).nonzero()  # equal values: their product is 1 but for rounding
    if len(below) == 0:
        return len(found), math.nan
    index = int(below[0])
    return index + 1, float(found[index])


def matrix_norms(weight: Tensor) -> dict[str, float]:
    """Return the norms of all entries of a weight: ``l1`` = Σ|w|, ``l2`` = √Σw² (Frobenius), ``largest`` = max |w|.

    Example:
        >>> matrix_norms(torch.tensor([[3.0, -4.0]]))
        {'l1': 7.0, 'l2': 5.0, 'largest': 4.0}
    """
    entries = checked(weight)
    least, most = torch.aminmax(entries)
    return {
        "l1": float(torch.linalg.vector_norm(entries, 1)),
        "l2": float(torch.linalg.vector_norm(entries)),
        "largest": float(torch.maximum(-least, most)),
    }


def summary(values: Float[Tensor, " n"], *, tolerance: float) -> dict[str, float]:
    """Return norms, ranks and entropies of singular values as numbers; NaN where they are undefined.

    Args:
        values: singular values.
        tolerance: of the numerical rank, relative to the largest; see :func:`rank_tolerance`.

    Example:
        >>> found = summary(torch.tensor([2.0, 0.0]), tolerance=1e-6)
        >>> found["spectral_norm"], found["nuclear_norm"], found["numerical_rank"], found["log_norm"]
        (2.0, 2.0, 1.0, 0.6020599913279624)
    """
    squares = float(_real(values).square().sum())
    largest = float(values.max())
    return {
        "spectral_norm": largest,
        "nuclear_norm": float(_real(values).sum()),
        "log_norm": math.log10(squares) if squares > 0 else math.nan,
        "log_spectral_norm": 2 * math.log10(largest) if largest > 0 else math.nan,
        "stable_rank": float(stable_rank(values)),
        "effective_rank": float(effective_rank(values)),
        "numerical_rank": float(numerical_rank(values, tolerance=tolerance)),
        "participation_ratio": float(participation_ratio(values)),
        "spectral_entropy": float(spectral_entropy(values, tolerance=tolerance)),
    }


def _real(values: Tensor) -> Tensor:
    if values.ndim == 0 or values.shape[-1] == 0:
        raise UsageError(f"singular values of shape {tuple(values.shape)} were given: give at least one.")
    return values.to(torch.float64)


def _shares(values: Tensor) -> Tensor:
    """Return λ/λ_max, λ = σ²; NaN where all are 0."""
    found = _real(values)
    return (found / found.amax(-1, keepdim=True)).square()


def _entropy(masses: Tensor) -> Tensor:
    shares = masses / masses.sum(-1, keepdim=True)
    return -torch.special.xlogy(shares, shares).sum(-1)
