"""The linear programme of maximal L1 margin: an interior-point method, with column generation over features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import linprog

from grokscope.theory.arrays import Array

FIRST = 64
"""How many features the first round has at least; four an example if these are more."""
ROUNDS = 500
ITERATIONS = 100
CLOSE = 0.995
"""Which share of the way to the boundary a step goes."""
ACTIVE = 1e-6
"""How near to 1 the price of a feature is that a vertex may use."""


def least_sum(rows: Array, feasible: Array, *, tolerance: float = 1e-10) -> tuple[Array, Array]:
    """Return argmin ‖w‖_1 such that Zw ≥ 1, and multipliers a ≥ 0 of the constraints.

    Z (n, d) and some w that satisfies the constraints, (d,), to w (d,), a (n,). Only some features enter the programme;
    those j with |Zᵀa|_j > 1, which could make the sum less, are added until there is none, so that the solution is one
    among all features. Multipliers from the middle of their face, which an interior-point method gives, leave few to
    add where those of a vertex would leave many. The given w takes part as one more column, which keeps every programme
    feasible. The solution is a vertex of the programme of the features whose price is 1. Source: Dantzig and Wolfe
    1960; Nocedal and Wright 2006, chapter 14.

    Example:
        >>> w, a = least_sum(np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, 1.0]))
        >>> w.round(6), a.round(6)
        (array([0.4, 0.2]), array([0.4, 0.2]))
    """
    count, features = rows.shape
    mixture = feasible / np.abs(feasible).sum()
    column = rows @ mixture
    first = min(features, max(FIRST, 4 * count))
    # the features of the given solution that move its margins most
    chosen = np.sort(np.argsort(-np.abs(mixture), kind="stable")[:first])
    best, least, multipliers = mixture / column.min(), 1 / column.min(), np.zeros(count)
    for _ in range(ROUNDS):
        part, multipliers = _interior(np.column_stack([rows[:, chosen], column]))
        w = part[-1] * mixture
        w[chosen] += part[:-1]
        best, least = _better(rows, w, best, least)
        prices = np.abs(multipliers @ rows)
        if least <= multipliers.sum() / prices.max() * (1 + tolerance):
            break
        prices[chosen] = 0
        new = np.argsort(-prices, kind="stable")[: max(FIRST, count)]
        new = new[prices[new] > 1]
        if not len(new):
            break
        chosen = np.union1d(chosen, new)
    active = np.flatnonzero(np.abs(multipliers @ rows) > 1 - ACTIVE)
    return _better(rows, _vertex(rows, active), best, least)[0], multipliers


def _better(rows: Array, w: Array, best: Array, least: float) -> tuple[Array, float]:
    """Return w over its least margin and its norm, or the best so far where that is less."""
    margin = float((rows @ w).min())
    total = float(np.abs(w).sum())
    return (w / margin, total / margin) if margin > 0 and total / margin <= least * (1 + 1e-12) else (best, least)


def _vertex(rows: Array, active: NDArray[np.intp]) -> Array:
    """Return a vertex solution of the programme of some features; 0 where they do not suffice."""
    count, features = len(rows), len(active)
    w = np.zeros(rows.shape[1])
    if features:
        part = rows[:, active]
        options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
        found = linprog(np.ones(2 * features), A_ub=np.hstack([-part, part]), b_ub=-np.ones(count), options=options)
        if found.status == 0:
            w[active] = found.x[:features] - found.x[features:]
    return w


def _interior(z: Array) -> tuple[Array, Array]:
    """Return the solution of one programme that has one, by Mehrotra's predictor-corrector steps.

    w = p − q with p, q ≥ 0; slack s = Zw − 1 ≥ 0; reduced costs 1 ∓ Zᵀa ≥ 0, of p and q.
    """
    count, features = z.shape
    a_max = 1 / np.abs(z).sum(0).max()
    x, cost = np.ones((2, features)), np.ones((2, features)) / 2
    a, s = np.full(count, a_max / 2), np.ones(count)
    sign = np.array([[1.0], [-1.0]])
    for _ in range(ITERATIONS):
        primal = 1 - z @ (x[0] - x[1]) + s
        dual = 1 - sign * (a @ z) - cost
        mean = (float((x * cost).sum()) + float(a @ s)) / (2 * features + count)
        if mean < 1e-15 * float(x.sum()) and np.abs(primal).max() < 1e-12:
            break
        ratio = x / cost
        system = (z * ratio.sum(0)) @ z.T
        system[np.diag_indices(count)] += s / a
        factor = _factor(system)
        if factor is None:
            break
        centring, dx, dcost, da, ds = 0.0, 0.0 * x, 0.0 * x, 0.0 * a, 0.0 * s
        for corrected in (False, True):
            target = centring * mean - x * cost - (dx * dcost if corrected else 0.0)
            slack = centring * mean - a * s - (da * ds if corrected else 0.0)
            moved = (target - x * dual) / cost
            da = cho_solve(factor, primal - z @ (moved[0] - moved[1]) + slack / a)
            dcost = dual - sign * (da @ z)
            dx = (target - x * dcost) / cost
            ds = (slack - s * da) / a
            up = min(_length(x, dx), _length(s, ds))
            down = min(_length(cost, dcost), _length(a, da))
            after = ((x + up * dx) * (cost + down * dcost)).sum() + ((a + down * da) * (s + up * ds)).sum()
            centring = (float(after) / (2 * features + count) / mean) ** 3
        if not (np.isfinite(da).all() and np.isfinite(dx).all()) or max(up, down) < 1e-10:
            break
        x, s = x + CLOSE * up * dx, s + CLOSE * up * ds
        cost, a = cost + CLOSE * down * dcost, a + CLOSE * down * da
    return x[0] - x[1], a


def _factor(system: Array) -> tuple[Array, bool] | None:
    """Return the Cholesky factor of a positive matrix, of a little more than it where rounding hides that it is one."""
    for share in (0.0, 1e-15, 1e-13, 1e-11):
        try:
            return cho_factor(system + np.diag(share * np.diag(system)), check_finite=False)
        except np.linalg.LinAlgError:
            continue
    return None


def _length(value: Array, change: Array) -> float:
    """Return the longest step, 1 at most, that leaves a value at or above 0."""
    falls = change < 0
    return min(1.0, float((-value[falls] / change[falls]).min())) if falls.any() else 1.0
