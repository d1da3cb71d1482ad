"""A second opinion on stages: how many logistic rises over log-time describe a curve best, by a criterion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from grokscope.errors import UsageError

NOISE = 0.02
"""Standard deviation of what is not told apart from a curve: no real curve is a sum of logistic ones exactly."""
CENTRES, WIDTHS = 16, (0.1, 0.3, 0.8)
"""Of the grid of starts: positions, and scales' widths in decades from 10 % to 90 % of the way."""
_SCALE = 1 / (2 * math.log(9))


@dataclass(frozen=True)
class Logistics:
    """A sum of logistic rises: value(t) = ``low`` + Σ height / (1 + (t / centre)^(-1 / (scale ln 10))).

    Attributes:
        low: where it starts.
        centres: steps, ascending.
        heights: what each rise gains, none negative.
        scales: decades; 4.394 of them are from 10 % to 90 % of the way.
        criterion: Σ residual² / noise² + k ln n, k = 1 + 3 rises: smaller is better.
    """

    low: float
    centres: tuple[float, ...]
    heights: tuple[float, ...]
    scales: tuple[float, ...]
    criterion: float


def logistics(steps: np.ndarray, values: np.ndarray, rises: int, *, noise: float = NOISE) -> Logistics | None:
    """Return the sum of ``rises`` logistic rises of least squares, or None with fewer observations than parameters.

    Least squares over the observations after step 0, each weighing the same: the best point of a grid of centres and
    widths, heights solved for, is refined by a trust region. Heights are not negative, centres lie within what was
    observed, and no rise is narrower than half of the least interval of observation.

    Args:
        steps: (points,), ascending.
        values: (points,); points that are not finite are left out.
        rises: 1 or more.
        noise: standard deviation that the criterion counts residuals in.

    Raises:
        UsageError: fewer rises than one, a noise that is not above 0, or steps and values of different lengths.

    Example:
        >>> steps = 10 ** np.linspace(0, 4, 61)
        >>> found = logistics(steps, 0.1 + 0.8 / (1 + (100 / steps) ** 3), 1)
        >>> found is not None and (round(found.centres[0]), round(found.heights[0], 2))
        (100, 0.8)
    """
    from scipy.optimize import least_squares

    if rises < 1 or not noise > 0:
        raise UsageError(f"rises = {rises} and noise = {noise:g} were given: take one rise or more, and noise above 0.")
    at, seen = np.asarray(steps, float), np.asarray(values, float)
    if at.shape != seen.shape:
        raise UsageError(
            f"steps of shape {at.shape} and values of shape {seen.shape} were given: give one value a step."
        )
    kept = (at > 0) & np.isfinite(seen)
    places, seen = np.log10(at[kept]), seen[kept]
    if len(seen) < 2 + 3 * rises or np.ptp(seen) == 0:
        return None
    least = float(np.diff(places).min()) / 2 * _SCALE

    def curve(parameters: np.ndarray) -> np.ndarray:
        low, rest = parameters[0], parameters[1:].reshape(3, rises)
        return low + _units(places, rest[0], np.exp(rest[2])) @ rest[1]

    start = _start(places, seen, rises)
    extent = float(np.ptp(seen))
    bounds = (
        [float(seen.min()) - extent] + [places[0]] * rises + [0.0] * rises + [math.log(least)] * rises,
        [float(seen.max())]
        + [places[-1]] * rises
        + [2 * extent] * rises
        + [math.log(4 * float(np.ptp(places)))] * rises,
    )
    inside = np.clip(start, np.array(bounds[0]) + 1e-9, np.array(bounds[1]) - 1e-9)
    best = least_squares(lambda parameters: curve(parameters) - seen, inside, bounds=bounds).x
    rest = best[1:].reshape(3, rises)
    order = np.argsort(rest[0])
    error = float(np.sum((curve(best) - seen) ** 2))
    return Logistics(
        low=float(best[0]),
        centres=tuple((10 ** rest[0][order]).tolist()),
        heights=tuple(rest[1][order].tolist()),
        scales=tuple(np.exp(rest[2][order]).tolist()),
        criterion=error / noise**2 + (1 + 3 * rises) * math.log(len(seen)),
    )


def best_rises(steps: np.ndarray, values: np.ndarray, *, most: int = 2, noise: float = NOISE) -> Logistics | None:
    """Return the fit of 1 to ``most`` rises with the smallest criterion; None where there is none.

    Example:
        >>> steps = 10 ** np.linspace(0, 5, 76)
        >>> rise = lambda centre: 1 / (1 + (centre / steps) ** 5)
        >>> found = best_rises(steps, 0.4 * rise(100) + 0.5 * rise(10_000))
        >>> found is not None and [round(height, 2) for height in found.heights]
        [0.4, 0.5]
    """
    fits = [logistics(steps, values, rises, noise=noise) for rises in range(1, most + 1)]
    return min((fit for fit in fits if fit is not None), key=lambda fit: fit.criterion, default=None)


def _units(places: np.ndarray, centres: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return rises of height 1, (points, rises)."""
    return 0.5 + 0.5 * np.tanh((places[:, None] - centres) / (2 * scales))


def _start(places: np.ndarray, seen: np.ndarray, rises: int) -> np.ndarray:
    """Return the best start of a grid: low, centres, heights, logarithms of scales."""
    grid = np.linspace(places[0], places[-1], CENTRES + 2)[1:-1]
    found, least = np.zeros(0), math.inf
    for centres in combinations(grid, rises):
        for width in WIDTHS:
            scales = np.full(rises, width * _SCALE)
            columns = np.column_stack([np.ones(len(places)), _units(places, np.array(centres), scales)])
            solved = np.linalg.lstsq(columns, seen, rcond=None)[0]
            solved[1:] = np.maximum(solved[1:], 0)
            error = float(np.sum((columns @ solved - seen) ** 2))
            if error < least:
                found, least = np.concatenate([solved[:1], centres, solved[1:], np.log(scales)]), error
    return found
