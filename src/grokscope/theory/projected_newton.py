"""Nonnegative quadratic programmes too large for a factor, by projected Newton steps of conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from grokscope.theory.arrays import Array

DIRECTIONS = 1000
"""How many products with the Hessian a Newton step may take."""


def nonnegative_minimum(
    product: Callable[[Array], Array], linear: Array, start: Array, *, tolerance: float = 1e-13, products: int = 40_000
) -> tuple[Array, int]:
    """Return argmin_{u≥0} uᵀHu/2 − bᵀu for a positive semi-definite H, and how many products with H it took.

    ``product`` gives Hu of an array of the shape of b; after about ``products`` of them it ends where it is, else where
    max_i |min(u_i, (Hu − b)_i)| is at most the tolerance. On the free variables (positive, or with a negative gradient)
    conjugate gradients find the Newton step; the search goes along the path that is bent at 0. Source: Bertsekas 1982,
    algorithm (32).

    Example:
        >>> nonnegative_minimum(lambda u: 2 * u, np.array([1.0, -1.0]), np.zeros(2))[0].tolist()
        [0.5, 0.0]
    """
    u, image, spent = start, product(start), 1
    while spent < products:
        gradient = image - linear
        error = float(np.abs(np.minimum(u, gradient)).max())
        if error <= tolerance:
            break
        free = (u > 0) | (gradient < 0)
        direction, count = _newton_step(product, np.where(free, -gradient, 0), free, min(0.1, np.sqrt(error)))
        spent += count
        value = float((u * (image / 2 - linear)).sum())
        length = 1.0
        while length > 1e-8:
            new = np.maximum(u + length * direction, 0)
            new_image, spent = product(new), spent + 1
            change = float(((new - u) * gradient).sum())
            if float((new * (new_image / 2 - linear)).sum()) <= value + 1e-4 * min(change, 0.0):
                break
            length /= 2
        else:
            break  # rounding hides what is left to gain
        u, image = new, new_image
    return u, spent


def _newton_step(
    product: Callable[[Array], Array], residual: Array, free: NDArray[np.bool_], accuracy: float
) -> tuple[Array, int]:
    """Return d with (Hd)_free = residual_free to a relative accuracy, d = 0 elsewhere, and the products it took."""
    step, search = np.zeros_like(residual), residual
    square = float((residual * residual).sum())
    enough = accuracy**2 * square
    count = 0
    while count < DIRECTIONS:
        count += 1
        image = np.where(free, product(search), 0)
        curvature = float((search * image).sum())
        if curvature <= 1e-18 * float((search * search).sum()):
            break
        length = square / curvature
        step = step + length * search
        residual = residual - length * image
        smaller = float((residual * residual).sum())
        if smaller <= enough:
            break
        search = residual + smaller / square * search
        square = smaller
    return step, count
