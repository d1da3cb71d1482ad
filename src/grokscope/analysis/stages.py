"""In how many stages a scalar rises over log-time, how often it turns, and what moves before what: ``docs/phases.md``.

Everything is invariant under a change of the unit of time. The step 0 has no logarithm and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from grokscope.analysis.series import running_median
from grokscope.errors import UsageError

GRID = 0.01
"""Decades between the points at which slopes are taken."""
LEAST_OBSERVATIONS = 5


@dataclass(frozen=True)
class StageRule:
    """What counts as a stage: a steep rise that gains enough, with a plateau before the next one.

    Attributes:
        slope: value gained a decade above which the scalar rises.
        gain: what a stage must gain in all.
        plateau: decades that a plateau lasts at least.
        flatness: share of ``slope`` that the mean slope over a plateau's length stays below.
        smoothing: decades, standard deviation of the Gaussian the curve is smoothed with.
        median: observations (odd) in the running median taken before that.
    """

    slope: float = 0.25
    gain: float = 0.05
    plateau: float = 0.15
    flatness: float = 0.25
    smoothing: float = 0.03
    median: int = 3

    def __post_init__(self) -> None:
        for name in ("slope", "gain", "plateau", "flatness"):
            if not getattr(self, name) > 0:
                raise UsageError(f"a stage's {name} of {getattr(self, name):g} was given: it must be above 0.")
        if self.smoothing < 0 or self.median < 1 or self.median % 2 == 0:
            raise UsageError(
                f"smoothing = {self.smoothing:g} and median = {self.median} were given: take 0 or more decades and an "
                "odd number of observations."
            )


RULE = StageRule()


@dataclass(frozen=True)
class Stage:
    """A stage: the steps it starts and ends at, and the smoothed values ``low`` and ``high`` there."""

    start: float
    end: float
    low: float
    high: float

    @property
    def height(self) -> float:
        """What it gains."""
        return self.high - self.low


def stages(steps: np.ndarray, values: np.ndarray, rule: StageRule = RULE) -> tuple[Stage, ...]:
    """Return the stages in which a scalar rises over log-time, in order; empty where it does not.

    The running median over 3 observations, linear in log-step between observations, smoothed by a Gaussian of 0.03
    decades, is m; M is its running maximum, so that what only makes good a fall is no stage. A point belongs to a
    plateau if it lies in some interval of ``plateau`` decades over which M gains less than flatness · slope · plateau.
    Between plateaus, a stage is what lies from the first to the last point with dM/d log10 t > slope, if it gains
    ``gain``.

    Args:
        steps: (points,), ascending.
        values: (points,), larger is better; points that are not finite are left out.
        rule: the constants.

    Raises:
        UsageError: steps and values differ in length, or the steps are not ascending.

    Example:
        >>> steps = 10 ** np.linspace(0, 5, 101)
        >>> rise = lambda centre: 1 / (1 + (centre / steps) ** 6)
        >>> [round(stage.height, 1) for stage in stages(steps, 0.4 * rise(100) + 0.5 * rise(10_000))]
        [0.4, 0.5]
    """
    read = _smoothed(steps, values, rule)
    if read is None:
        return ()
    places, highest = read[0], np.maximum.accumulate(read[1])
    flat = _plateaus(places, highest, rule)
    steep = ~flat & (np.gradient(highest, places) > rule.slope)
    found = []
    for first, last in _runs(~flat):
        inside = np.flatnonzero(steep[first : last + 1]) + first
        if len(inside) and highest[inside[-1]] - highest[inside[0]] >= rule.gain:
            ends = inside[0], inside[-1]
            (start, end), (low, high) = 10 ** places[list(ends)], highest[list(ends)]
            found.append(Stage(float(start), float(end), float(low), float(high)))
    return tuple(found)


@dataclass(frozen=True)
class Swing:
    """A move between two turning points: their steps, and by how much the scalar changed (negative: it fell)."""

    start: float
    end: float
    change: float


def swings(steps: np.ndarray, values: np.ndarray, least: float, *, median: int = 3) -> tuple[Swing, ...]:
    """Return the moves of a scalar by ``least`` or more, falls and rises in turn, in order.

    A turning point of the running median is one from which it comes back by at least ``least``; smaller moves belong
    to the larger ones they interrupt.

    Args:
        steps: (points,), ascending; observations at step 0 count.
        values: (points,); points that are not finite are left out.
        least: in units of the scalar.
        median: observations (odd) in the running median.

    Raises:
        UsageError: ``least`` is not above 0, or steps and values do not go together.

    Example:
        >>> found = swings(np.arange(7), np.array([9.0, 5, 2, 2, 2.5, 6, 6]), 3)
        >>> [swing.change for swing in found]
        [-7.0, 4.0]
    """
    if not least > 0:
        raise UsageError(f"swings of {least:g} were asked for: give what a move changes at least, above 0.")
    at, seen = _checked(steps, values)
    if len(at) < 2:
        return ()
    smooth = running_median(seen, median)
    turns = [0]
    low = high = extreme = 0
    way = 0
    for index in range(1, len(smooth)):
        value = smooth[index]
        if way == 0:
            low, high = (index if value < smooth[low] else low), (index if value > smooth[high] else high)
            if smooth[high] - smooth[low] >= least:
                way = 1 if high > low else -1
                turns, extreme = [low if way > 0 else high], index
        elif way * (value - smooth[extreme]) >= 0:
            extreme = index
        elif way * (smooth[extreme] - value) >= least:
            turns.append(extreme)
            extreme, way = index, -way
    if way == 0:
        return ()
    turns.append(extreme)
    return tuple(Swing(float(at[a]), float(at[b]), float(smooth[b] - smooth[a])) for a, b in pairwise(turns))


def double_descent(steps: np.ndarray, values: np.ndarray, least: float) -> tuple[Swing, Swing, Swing] | None:
    """Return the first fall, rise and fall of ``least`` or more each, or None where there is none.

    Example:
        >>> found = double_descent(np.arange(6), np.array([60.0, 40, 40, 50, 50, 30]), 5)
        >>> found is not None and [swing.change for swing in found]
        [-20.0, 10.0, -20.0]
    """
    found = swings(steps, values, least)
    for index, swing in enumerate(found[:-2]):
        if swing.change < 0:
            return swing, found[index + 1], found[index + 2]
    return None


def lag(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    *,
    most: float = 1.0,
    rule: StageRule = RULE,
) -> tuple[float, float] | None:
    """Return by how many decades the second scalar moves after the first, and how the two moves correlate there.

    The derivatives by log10 t of both smoothed curves (see :func:`stages`), centred, over the steps that both have;
    their normalised cross-correlation has its largest value, within ±``most`` decades, at the lag returned. Negative:
    the second moves first. None where one of them does not move or fewer than 5 observations are shared.

    Args:
        first: steps and values.
        second: steps and values; of a scalar that falls as the first rises give the negative.
        most: decades.
        rule: the smoothing.

    Example:
        >>> steps = 10 ** np.linspace(0, 5, 101)
        >>> rise = lambda centre: 1 / (1 + (centre / steps) ** 6)
        >>> late = lag((steps, rise(1000.0)), (steps, rise(2000.0)))
        >>> late is not None and round(late[0], 1)
        0.3
    """
    one, other = (_smoothed(*each, rule) for each in (first, second))
    if one is None or other is None:
        return None
    start, end = max(one[0][0], other[0][0]), min(one[0][-1], other[0][-1])
    count = math.floor((end - start) / GRID + 1e-9) + 1
    if count < LEAST_OBSERVATIONS:
        return None
    places = start + GRID * np.arange(count)
    moves = []
    for place, values in (one, other):
        slope = np.gradient(np.interp(places, place, values), GRID)
        centred = slope - slope.mean()
        size = float(np.sqrt(centred @ centred))
        if size <= 1e-12 * max(1.0, float(np.abs(values).max())):
            return None
        moves.append(centred / size)
    reach = min(round(most / GRID), count - 1)
    correlation = np.correlate(moves[1], moves[0], "full")[count - 1 - reach : count + reach]
    best = int(np.argmax(correlation))
    return (best - reach) * GRID, float(correlation[best])


def _checked(
    steps: Sequence[float] | np.ndarray, values: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    at, seen = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    if at.shape != seen.shape or at.ndim != 1:
        raise UsageError(
            f"steps of shape {at.shape} and values of shape {seen.shape} were given: give one value a step."
        )
    if (np.diff(at) <= 0).any():
        raise UsageError("steps were given that do not ascend: sort them, and keep one value a step.")
    kept = np.isfinite(seen)
    return at[kept], seen[kept]


def _smoothed(steps: np.ndarray, values: np.ndarray, rule: StageRule) -> tuple[np.ndarray, np.ndarray] | None:
    """Return log10 steps, ``GRID`` apart from the first positive one on, and the smoothed curve there."""
    at, seen = _checked(steps, values)
    at, seen = at[at > 0], seen[at > 0]
    if len(at) < LEAST_OBSERVATIONS:
        return None
    places = np.log10(at)
    # of lengths alone, so that another unit of time gives the same grid
    along = GRID * np.arange(math.floor((places[-1] - places[0]) / GRID + 1e-6) + 1)
    curve = np.interp(along, places - places[0], running_median(seen, rule.median))
    if rule.smoothing:
        reach = math.ceil(4 * rule.smoothing / GRID)
        weights = np.exp(-0.5 * (GRID * np.arange(-reach, reach + 1) / rule.smoothing) ** 2)
        # a rise that goes on at an end goes on in what is put beside it
        padded = (
            np.pad(curve, reach, mode="reflect", reflect_type="odd")
            if len(curve) > reach
            else np.pad(curve, reach, mode="edge")
        )
        curve = np.convolve(padded, weights / weights.sum(), "valid")
    return places[0] + along, curve


def _plateaus(places: np.ndarray, highest: np.ndarray, rule: StageRule) -> np.ndarray:
    """Return which points lie in an interval of a plateau's length with less than a plateau's gain, (points,)."""
    width = round(rule.plateau / GRID)
    flat = np.zeros(len(places), dtype=bool)
    if len(places) <= width:
        return flat
    for first in np.flatnonzero(highest[width:] - highest[:-width] < rule.flatness * rule.slope * rule.plateau):
        flat[first : first + width + 1] = True
    return flat


def _runs(inside: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and last index of each stretch that is true."""
    edges = np.diff(np.concatenate([[False], inside, [False]]).astype(int))
    return list(zip(np.flatnonzero(edges > 0).tolist(), (np.flatnonzero(edges < 0) - 1).tolist(), strict=True))
