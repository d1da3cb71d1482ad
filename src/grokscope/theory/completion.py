"""What a symmetric factorisation completes a matrix to, early and late, computed without training (Lyu et al. 2024).

Early, in the kernel regime from U = V = α 1, only observed entries and their mirror images move. Late, with a weight
decay λ on the factors, it is the matrix of least loss plus (λ/2) times the nuclear norm: over U Uᵀ − V Vᵀ = W the least
‖U‖² + ‖V‖² is ‖W‖_* (their eq. 44).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grokscope.errors import GrokscopeError, UsageError
from grokscope.theory.arrays import Array, real
from grokscope.theory.certificate import Certificate


@dataclass(frozen=True)
class EarlyCompletion:
    """The minimum-norm fit with the tangent features at (1, 1): W = 2 (δ_U + δ_Uᵀ) with δ_V = −δ_U.

    Attributes:
        matrix: W, (d, d): the observed values and their mirror images, 0 elsewhere.
        norm: ‖h‖ = ‖(δ_U, δ_V)‖, at α = 1; at another α it is 1/α times that.
    """

    matrix: Array
    norm: float


@dataclass(frozen=True)
class Completion:
    """A matrix of least nuclear norm, or of least loss plus nuclear norm.

    Attributes:
        matrix: W, (d, d), symmetric.
        nuclear_norm: Σ|λ_k(W)|.
        certificate: bounds on the objective.
    """

    matrix: Array
    nuclear_norm: float
    certificate: Certificate


def early_completion(mask: Any, values: Any) -> EarlyCompletion:
    """Return the completion of the kernel regime at (U, V) = (1, 1).

    Args:
        mask: (d, d), true where an entry is observed.
        values: (d, d); what stands at entries that are not observed does not matter.

    Raises:
        UsageError: shapes differ or are not square, nothing is observed, an observed value is not finite, or (i, j) and
            (j, i) are observed with different values, which no symmetric matrix has.

    Example:
        >>> early_completion([[False, True], [False, False]], [[0, 1], [0, 0]]).matrix.tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    weights, target = _observed(mask, values)
    matrix = np.where((weights + weights.T) > 0, _mirrored(weights, target), 0.0)
    # W = δ_U + δ_Uᵀ − δ_V − δ_Vᵀ is fitted at least norm by δ_U = −δ_V = W/4, of which the mirror images are free
    return EarlyCompletion(matrix, float(np.sqrt(2) * np.linalg.norm(matrix) / 4))


def regularised_completion(
    mask: Any, values: Any, weight_decay: float, *, tolerance: float = 1e-8, most_iterations: int = 100_000
) -> Completion:
    """Return the symmetric W of least (1/n) Σ_Ω (W − X)² + (λ/2) ‖W‖_*, by accelerated proximal gradient steps.

    The certificate is of the dual max Σ_Ω (Y X − (n/4) Y²) over Y on Ω with ‖(Y + Yᵀ)/2‖_op ≤ λ/2.

    Args:
        mask: (d, d), true where an entry is observed; both (i, j) and (j, i) count where both are.
        values: (d, d).
        weight_decay: λ, of the factors.
        tolerance: relative duality gap.
        most_iterations: after which it is given up.

    Raises:
        UsageError: as :func:`early_completion`, or a decay that is not positive.
        GrokscopeError: the gap is not reached.

    Example:
        >>> found = regularised_completion([[True]], [[1.0]], 0.2)
        >>> round(float(found.matrix[0, 0]), 6)  # (w − 1)² + 0.1 |w| is least at 0.95
        0.95
    """
    weights, target = _observed(mask, values)
    if not weight_decay > 0 or not np.isfinite(weight_decay):
        raise UsageError(f"weight_decay = {weight_decay:g} was given: give a positive one, or minimum_nuclear_norm.")
    count = weights.sum()
    step, threshold = count / 2, weight_decay / 2
    here = ahead = np.zeros_like(target)
    momentum, last = 1.0, np.inf
    for iteration in range(most_iterations):
        pull = weights * (ahead - target) / count
        values_, vectors = np.linalg.eigh(ahead - step * (pull + pull.T))
        shrunk = np.sign(values_) * np.maximum(np.abs(values_) - step * threshold, 0)
        following = (vectors * shrunk) @ vectors.T
        if iteration % 10 == 0:
            certificate = _regularised_gap(weights, target, following, float(np.abs(shrunk).sum()), weight_decay)
            if certificate.gap <= tolerance:
                return Completion(following, float(np.abs(shrunk).sum()), certificate)
        # O'Donoghue and Candès 2015: momentum that points uphill is dropped
        if float(((ahead - following) * (following - here)).sum()) > 0:
            momentum = 1.0
        grown = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / grown * (following - here)
        here, momentum, last = following, grown, certificate.gap
    raise GrokscopeError(f"the completion is {last:.1e} from optimal after {most_iterations} steps: raise tolerance.")


def _regularised_gap(weights: Array, target: Array, matrix: Array, nuclear: float, decay: float) -> Certificate:
    count = weights.sum()
    residual = weights * (matrix - target)
    primal = float((residual**2).sum() / count) + decay / 2 * nuclear
    dual = -2 * residual / count
    size = float(np.abs(np.linalg.eigvalsh((dual + dual.T) / 2)).max())
    linear, square = float((dual * target).sum()), float((dual**2).sum()) * count / 4
    # along the ray of this Y the dual is a parabola: its top, or where the bound cuts it
    top = linear / (2 * square) if square else 1.0
    scale = max(0.0, min(top, decay / 2 / size if size else top))
    return Certificate(primal, scale * linear - scale**2 * square, 0.0)


def minimum_nuclear_norm(
    mask: Any, values: Any, *, tolerance: float = 1e-6, most_iterations: int = 50_000
) -> Completion:
    """Return the symmetric W of least ‖W‖_* that has the observed entries, by Douglas-Rachford splitting.

    The certificate is of the dual max Σ_Ω Y X over Y on Ω with ‖(Y + Yᵀ)/2‖_op ≤ 1; its residual is 0, as W is
    projected onto the observed entries.

    Args:
        mask: (d, d), true where an entry is observed.
        values: (d, d).
        tolerance: relative duality gap.
        most_iterations: after which it is given up.

    Raises:
        UsageError: as :func:`early_completion`.
        GrokscopeError: the gap is not reached.

    Example:
        >>> found = minimum_nuclear_norm([[False, True], [False, False]], [[0, 1], [0, 0]])
        >>> round(found.nuclear_norm, 4)
        2.0
    """
    weights, target = _observed(mask, values)
    known = (weights + weights.T) > 0
    fixed = np.where(known, _mirrored(weights, target), 0.0)
    scale = float(np.abs(fixed).max())
    if scale == 0:
        return Completion(fixed, 0.0, Certificate(0.0, 0.0, 0.0))
    fixed = fixed / scale
    state, step = fixed.copy(), 1.0
    certificate = Certificate(np.inf, 0.0, 0.0)
    for iteration in range(most_iterations):
        values_, vectors = np.linalg.eigh(state)
        small = (vectors * (np.sign(values_) * np.maximum(np.abs(values_) - step, 0))) @ vectors.T
        projected = np.where(known, fixed, 2 * small - state)
        state = state + projected - small
        if iteration % 10 == 0:
            certificate = _nuclear_gap(known, fixed, projected, (state - projected) / step)
            if certificate.gap <= tolerance:
                bounds = Certificate(scale * certificate.primal, scale * certificate.dual, 0.0)
                return Completion(scale * projected, bounds.primal, bounds)
    raise GrokscopeError(
        f"the completion is {certificate.gap:.1e} from optimal after {most_iterations} steps: raise tolerance."
    )


def _nuclear_gap(known: NDArray[np.bool_], fixed: Array, matrix: Array, dual: Array) -> Certificate:
    primal = float(np.abs(np.linalg.eigvalsh(matrix)).sum())
    supported = np.where(known, dual, 0.0)
    size = float(np.abs(np.linalg.eigvalsh(supported)).max())
    bound = float((supported * fixed).sum()) / max(size, 1e-300)
    return Certificate(primal, max(bound, 0.0), 0.0)


def _observed(mask: Any, values: Any) -> tuple[Array, Array]:
    """Return how often each entry is observed, 0 or 1, and the values with 0 elsewhere, both (d, d)."""
    weights = real("mask", mask, axes=2)
    given = values.detach().cpu() if hasattr(values, "detach") else values
    try:
        target = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"values cannot be read as an array of real numbers ({error}).") from error
    if weights.shape != target.shape or weights.shape[0] != weights.shape[1]:
        raise UsageError(
            f"mask {weights.shape} and values {target.shape} were given: give two square ones of one size."
        )
    if not np.isin(weights, (0.0, 1.0)).all():
        raise UsageError("mask has entries other than 0 and 1: give true where an entry is observed.")
    if not weights.any():
        raise UsageError("no entry is observed: there is nothing to complete.")
    seen = weights > 0
    if not np.isfinite(target[seen]).all():
        raise UsageError("an observed value is NaN or infinite: all must be finite.")
    target = np.where(seen, target, 0.0)
    both = seen & seen.T
    wrong = np.argwhere(both & (np.abs(target - target.T) > 1e-9 * np.abs(target).max()))
    if len(wrong):
        i, j = wrong[0]
        raise UsageError(
            f"entries ({i}, {j}) and ({j}, {i}) are observed as {target[i, j]:g} and {target[j, i]:g}: no symmetric "
            "matrix has both."
        )
    return weights, target


def _mirrored(weights: Array, target: Array) -> Array:
    return np.where(weights > 0, target, target.T)
