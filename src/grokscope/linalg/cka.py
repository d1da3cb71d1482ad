"""Linear centred kernel alignment: how alike two representations of the same examples are."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.moments import checked_samples


def linear_cka(x: Float[Tensor, "n d"], y: Float[Tensor, "n e"], *, unbiased: bool = False) -> float:
    """Return the linear CKA of two representations of n examples, in [0, 1]; NaN where one is constant.

    ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) in Frobenius norms, columns centred. Equal to HSIC(XXᵀ, YYᵀ) over the root of the product
    of HSICs; of the two forms, the one with the smaller matrices is computed. Invariant to rotation, shift and scale
    of either. With n examples of many features it is near 1 for unrelated ones: the ``unbiased`` estimate of HSIC
    (Song et al. 2012), which may be negative, has expectation 0 there. Kornblith et al. 2019, eq. 3 and 4.

    Args:
        x: (n, d).
        y: (n, e), the same examples.
        unbiased: take the unbiased estimate; n of at least 4.

    Raises:
        UsageError: they are not matrices of finite real numbers with equally many rows, or there are too few.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
        >>> round(linear_cka(x, 3 * x + 1), 12)
        1.0
    """
    one, other = checked_samples(x), checked_samples(y)
    if len(one) != len(other):
        raise UsageError(f"representations of {len(one)} and {len(other)} examples were given: give the same examples.")
    if unbiased or min(one.shape[1], other.shape[1]) > len(one):
        return cka_of_grams(gram(one), gram(other), unbiased=unbiased)
    one, other = _centred(one), _centred(other)
    return _ratio(
        float((other.T @ one).square().sum()),
        float((one.T @ one).square().sum()),
        float((other.T @ other).square().sum()),
    )


def gram(samples: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    """Return the Gram matrix ZZᵀ of centred features, (n, n), in float64: all that CKA needs of a representation.

    Raises:
        UsageError: the samples are not a matrix of finite real numbers.

    Example:
        >>> gram(torch.tensor([[0.0], [2.0]])).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    values = _centred(checked_samples(samples))
    return values @ values.T


def cka_of_grams(one: Float[Tensor, "n n"], other: Float[Tensor, "n n"], *, unbiased: bool = False) -> float:
    """Return the CKA of two representations from their Gram matrices, see :func:`linear_cka`.

    Raises:
        UsageError: they are not square matrices of the same size, or, for the unbiased estimate, smaller than 4.

    Example:
        >>> round(cka_of_grams(torch.eye(3), torch.eye(3)), 12)
        1.0
    """
    if one.shape != other.shape or one.ndim != 2 or one.shape[0] != one.shape[1]:
        raise UsageError(
            f"Gram matrices of shapes {tuple(one.shape)} and {tuple(other.shape)} were given: give two (n, n)."
        )
    if unbiased and len(one) < 4:
        raise UsageError(f"{len(one)} examples were given: the unbiased estimate needs 4.")
    alike = _unbiased if unbiased else _biased
    return _ratio(alike(one, other), alike(one, one), alike(other, other))


def _centred(values: Tensor) -> Tensor:
    centred = values - values.mean(0)
    # a constant column is constant up to the rounding of its mean
    return torch.where(centred.abs() > 1e-14 * values.abs().amax(0), centred, 0.0)


def _ratio(cross: float, one: float, other: float) -> float:
    if not one > 0 or not other > 0:
        return math.nan
    return cross / (math.sqrt(one) * math.sqrt(other))


def _biased(one: Tensor, other: Tensor) -> float:
    one, other = one.to(torch.float64), other.to(torch.float64)
    one = one - one.mean(0)
    other = other - other.mean(1, keepdim=True)
    # tr(K H L H) with H = 1 − 11ᵀ/n on one side of each
    return float((one * other).sum())


def _unbiased(one: Tensor, other: Tensor) -> float:
    """Return n (n − 3) HSIC₁ of Song et al. 2012, eq. 4."""
    count = len(one)
    one = one.to(torch.float64) - torch.diag(one.to(torch.float64).diag())
    other = other.to(torch.float64) - torch.diag(other.to(torch.float64).diag())
    sums = float(one.sum()) * float(other.sum()) / ((count - 1) * (count - 2))
    rows = float(one.sum(0) @ other.sum(0))
    return float((one * other).sum()) + sums - 2 * rows / (count - 2)
