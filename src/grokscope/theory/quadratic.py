"""Nonnegative quadratic programmes of the dual of a hard margin, by an interior-point method."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from grokscope.theory.arrays import Array

ITERATIONS = 200
PATIENCE = 8
"""How many steps may pass without a smaller error: then rounding is all that is left."""
CLOSE = 0.995
"""Which share of the way to the boundary a step goes."""


def nonnegative_minimum(hessian: Array, linear: Array, *, tolerance: float = 1e-15) -> Array:
    """Return argmin_{u≥0} uᵀHu/2 − bᵀu for a positive semi-definite H for which there is one.

    Mehrotra's predictor-corrector steps, then the equations of the active set they show, where these give a feasible
    point of smaller error. H (n, n), b (n,) to (n,); its work is that of about twenty Cholesky factors. Source: Nocedal
    and Wright 2006, algorithm 16.4.

    Example:
        >>> nonnegative_minimum(np.eye(2), np.array([1.0, -1.0])).round(6)
        array([1., 0.])
    """
    count = len(linear)
    scale = max(float(np.abs(hessian).max()), 1e-300)
    size = max(float(np.abs(linear).max()), 1e-300)
    h, b = hessian / scale, linear / size
    ridge = np.finfo(np.float64).eps * np.trace(h) / count
    u, s = np.ones(count), np.ones(count)
    best, least, since = u, np.inf, 0
    for _ in range(ITERATIONS):
        residual = h @ u - b - s
        mean = float(u @ s) / count
        error = float(np.abs(residual).max()) + mean
        since = 0 if error < 0.9 * least else since + 1
        if error < least:
            best, least = u, error
        if error < tolerance or since > PATIENCE:
            break
        system = h + np.diag(s / u + ridge)
        try:
            factor = cho_factor(system, check_finite=False)
        except np.linalg.LinAlgError:
            break
        du = cho_solve(factor, -residual - s)
        ds = h @ du + residual
        alpha = _length(u, s, du, ds)
        centring = (float((u + alpha * du) @ (s + alpha * ds)) / count / mean) ** 3
        du = cho_solve(factor, -residual - s + (centring * mean - du * ds) / u)
        ds = h @ du + residual
        alpha = CLOSE * _length(u, s, du, ds)
        if not np.isfinite(du).all() or alpha < 1e-12:
            break
        u, s = u + alpha * du, s + alpha * ds
    return _polished(h, b, best) * (size / scale)


def _length(u: Array, s: Array, du: Array, ds: Array) -> float:
    """Return the longest step, 1 at most, that leaves u and s at or above 0."""
    steps = [1.0]
    for value, change in ((u, du), (s, ds)):
        falls = change < 0
        if falls.any():
            steps.append(float((-value[falls] / change[falls]).min()))
    return min(steps)


def optimality(hessian: Array, linear: Array, u: Array) -> float:
    """Return max_i |min(u_i, (Hu − b)_i)|, which is 0 exactly at a minimum.

    Example:
        >>> optimality(np.eye(2), np.array([1.0, -1.0]), np.array([1.0, 0.0]))
        0.0
    """
    return float(np.abs(np.minimum(u, hessian @ u - linear)).max())


def _polished(h: Array, b: Array, u: Array) -> Array:
    """Return the solution of the equations of the active set, where it is better than ``u``."""
    gradient = h @ u - b
    support = u > np.maximum(gradient, 0)
    if not support.any():
        return u
    face = h[np.ix_(support, support)]
    refined = np.zeros_like(u)
    try:
        factor = cho_factor(face, check_finite=False)
        part = cho_solve(factor, b[support])
        part += cho_solve(factor, b[support] - face @ part)
    except np.linalg.LinAlgError:
        part = np.linalg.lstsq(face, b[support])[0]
    if not np.isfinite(part).all():
        return u
    refined[support] = np.maximum(part, 0)
    return refined if optimality(h, b, refined) < optimality(h, b, u) else u
