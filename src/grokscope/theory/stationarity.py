"""How far a point is from the optimality conditions of maximal margin and of minimal norm.

Parameters θ (P,), gradients of the constraints with respect to them (n, P), margins q (n,). A training with weight
decay has multipliers of its own, the derivatives of its loss; otherwise the best ones are found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.errors import UsageError
from grokscope.theory.arrays import Array, real
from grokscope.theory.quadratic import nonnegative_minimum


@dataclass(frozen=True)
class Stationarity:
    """How far a point is from satisfying the Karush–Kuhn–Tucker conditions of a norm problem.

    Attributes:
        residual: ‖θ − Σ_i a_i ∇q_i‖ / ‖θ‖, 0 to 1; 0 at a stationary point.
        complementarity: Σ_i a_i (q_i − q_min) / Σ_i a_i q_i, 0 where only the least margins carry weight; for
            equalities, which have no such condition, 0.
        infeasibility: the largest violation of a constraint (equalities); 0 for margins, which can be scaled to 1.
        multipliers: a (n,), those that satisfy the conditions best.
    """

    residual: float
    complementarity: float
    infeasibility: float
    multipliers: Array


def decay_residual(parameters: Any, gradient: Any, weight_decay: float) -> float:
    """Return ‖λθ + ∇L‖ / (λ‖θ‖): how far training with weight decay is from a stationary point.

    With ∇L = −Σ_i r_i ∇q_i, r_i = −∂L/∂q_i, this is the residual of the margin problem for its own multipliers r/λ.
    θ and ∇L (P,), λ > 0; without units, at least 0, 1 where the data exert no force. Raises UsageError for λ ≤ 0, θ = 0
    or shapes that differ. Source: Lyu et al. 2024, theorem 3.5.

    Example:
        >>> decay_residual([3, 4], [0, 0], 0.1)
        1.0
    """
    theta, slope = _pair(parameters, gradient)
    if not weight_decay > 0:
        raise UsageError(f"weight_decay = {weight_decay} was given: without decay there is no such residual; give > 0.")
    return float(np.linalg.norm(weight_decay * theta + slope)) / (weight_decay * float(np.linalg.norm(theta)))


def alignment(parameters: Any, gradient: Any) -> float:
    """Return cos(θ, −∇L): 1 where the data push exactly outwards, as at a direction of stationary margin.

    Without units, −1 to 1; nan where ∇L = 0. Raises UsageError for θ = 0 or shapes that differ. Source: Lyu and Li
    2020, section 4.3.

    Example:
        >>> alignment([3, 4], [-6, -8])
        1.0
    """
    theta, slope = _pair(parameters, gradient)
    # over their largest entries, so that neither overflows nor vanishes
    largest = float(np.abs(slope).max())
    if not largest:
        return float("nan")
    theta, slope = theta / np.abs(theta).max(), slope / largest
    return float(-theta @ slope / (np.linalg.norm(theta) * np.linalg.norm(slope)))


def complementarity(margins: Any, weights: Any) -> float:
    """Return Σ_i r_i (q_i − q_min) / Σ_i r_i q_i: 0 where only examples of least margin carry weight.

    Margins q (n,), weights r ≥ 0 (n,); without units, 0 to 1; nan unless all margins are positive and some weight is.
    Raises UsageError for negative weights. Source: Lyu and Li 2020, definition C.4.

    Example:
        >>> complementarity([1, 3], [1, 1])
        0.5
    """
    q, r = real("margins", margins, axes=1), real("weights", weights, axes=1)
    if q.shape != r.shape:
        raise UsageError(f"{len(q)} margins and {len(r)} weights were given: give one weight a margin.")
    if r.min() < 0:
        raise UsageError(f"weights has {r.min():g}: weights are at least 0.")
    if q.min() <= 0 or not r.max():
        return float("nan")
    return float(r @ (q - q.min()) / (r @ q))


def margin_stationarity(parameters: Any, gradients: Any, margins: Any) -> Stationarity:
    """Return how far θ is from a stationary point of min ‖θ‖²/2 such that q_i(θ) ≥ 1, up to its scale.

    The multipliers are argmin_{a≥0} ‖θ − Σ_i a_i ∇q_i‖²/2 + Σ_i a_i (q_i − q_min), which is 0 exactly where both
    conditions hold; for a linear model it is the duality gap. For a homogeneous model scaling θ changes nothing. Raises
    UsageError where a margin is not positive (no multiple of θ is feasible), θ = 0, or shapes do not fit. Source: Lyu
    and Li 2020, theorem 4.4, for the conditions.

    Example:
        >>> margin_stationarity([2, 1], [[2, 1], [1, 3]], [5, 5]).residual < 1e-7  # w = (2, 1), q = x·w
        True
    """
    theta, rows = _constraints(parameters, gradients)
    q = real("margins", margins, axes=1)
    if len(q) != len(rows):
        raise UsageError(f"{len(q)} margins were given for {len(rows)} gradients: give one a constraint.")
    if q.min() <= 0:
        raise UsageError(f"the least margin is {q.min():g}: the margin problem needs all examples to be right.")
    sizes = np.linalg.norm(rows, axis=1)
    sizes[sizes == 0] = 1.0
    unit = rows / sizes[:, None]
    a = nonnegative_minimum(unit @ unit.T, unit @ theta - (q - q.min()) / sizes) / sizes
    residual = float(np.linalg.norm(theta - a @ rows) / np.linalg.norm(theta))
    return Stationarity(residual, complementarity(q, a) if a.max() else 0.0, 0.0, a)


def norm_stationarity(parameters: Any, gradients: Any, errors: Any) -> Stationarity:
    """Return how far θ is from a stationary point of min ‖θ‖²/2 such that f_i(θ) = y_i.

    The multipliers are argmin_a ‖θ − Σ_i a_i ∇f_i‖, of any sign; errors f_i(θ) − y_i (n,) say how far it is from
    feasible. Raises UsageError for θ = 0 or shapes that do not fit. Source: Lyu et al. 2024, theorem 3.10.

    Example:
        >>> round(norm_stationarity([1, 1], [[1, 0]], [0]).residual, 6)
        0.707107
    """
    theta, rows = _constraints(parameters, gradients)
    off = real("errors", errors, axes=1)
    if len(off) != len(rows):
        raise UsageError(f"{len(off)} errors were given for {len(rows)} gradients: give one a constraint.")
    a: Array = np.linalg.lstsq(rows.T, theta)[0].astype(np.float64)
    residual = float(np.linalg.norm(theta - a @ rows) / np.linalg.norm(theta))
    return Stationarity(residual, 0.0, float(np.abs(off).max()), a)


def _pair(parameters: Any, gradient: Any) -> tuple[Array, Array]:
    theta, slope = real("parameters", parameters, axes=1), real("gradient", gradient, axes=1)
    if theta.shape != slope.shape:
        raise UsageError(f"parameters has {len(theta)} entries and gradient {len(slope)}: give as many.")
    _not_zero(theta)
    return theta, slope


def _constraints(parameters: Any, gradients: Any) -> tuple[Array, Array]:
    theta, rows = real("parameters", parameters, axes=1), real("gradients", gradients, axes=2)
    if rows.shape[1] != len(theta):
        raise UsageError(f"gradients has the shape {rows.shape} for {len(theta)} parameters: give (n, parameters).")
    _not_zero(theta)
    return theta, rows


def _not_zero(theta: Array) -> None:
    if not theta.any():
        raise UsageError("all parameters are 0: at 0 there is no direction to compare with.")
