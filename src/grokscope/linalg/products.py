"""A matrix that is only known by its products with vectors, and what cannot be one."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from grokscope.errors import UsageError

MatVec = Callable[[Tensor], Tensor]
"""(dimension,) in float64 -> (dimension,): linear, and the same for the same vector."""


class NoMatrix(UsageError):
    """The products that a function gave are not those of a symmetric matrix of finite numbers."""


def checked(product: Tensor, dimension: int) -> Tensor:
    """Return a product with a matrix, detached, in float64.

    Raises:
        NoMatrix: it is not finite, or not of the shape (dimension,).

    Example:
        >>> import torch
        >>> checked(torch.ones(2), 2).dtype
        torch.float64
    """
    if product.shape != (dimension,):
        raise NoMatrix(f"a product has the shape {tuple(product.shape)}: it must have ({dimension},).")
    product = product.detach().double()
    if not bool(product.isfinite().all()):
        raise NoMatrix("a product with the matrix is not finite: check the point that the matrix is taken at.")
    return product
