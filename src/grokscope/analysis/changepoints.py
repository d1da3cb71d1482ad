"""A second, independent detector: change points of one curve by ruptures (Truong, Oudre & Vayatis 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from grokscope.analysis.series import Series, finite

Scale = Literal["linear", "log"]
PENALTY = 3.0
"""Times ln(points) · σ²: a change point adds a place, a level and a slope (Bayesian information criterion)."""
LEAST_NOISE = 0.02
"""Share of the range of the curve that σ is at least: finer than this no curve is described."""
LEAST_POINTS = 3
"""Observations in a segment, at least: two lie on a line whatever they are."""
MOVING = 2.0
"""A segment moves if it is this many times steeper than a straight line through the whole curve."""
LEAST_MOVE = 0.1
"""Share of the range that a transition moves, at least."""


@dataclass(frozen=True)
class Move:
    """A transition as the second detector sees it: between two change points, or at one jump.

    ``width`` is log10(end / start) in decades; ``before`` and ``after`` are the levels, on the curve's own
    scale. At a jump ``start`` and ``end`` are the observations on its two sides.
    """

    start: float
    end: float
    width: float
    before: float
    after: float

    def as_dict(self) -> dict[str, float]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Changes:
    """The change points of one curve, in steps, and the moves that pairs of them bound."""

    key: str
    scale: Scale
    points: tuple[float, ...]
    moves: tuple[Move, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, moves as dictionaries."""
        return asdict(self)


def changepoints(series: Series, key: str, scale: Scale = "linear", *, penalty: float = PENALTY) -> Changes | None:
    """Return where the curve of ``key`` over log-step changes its level or its slope; None if it cannot be told.

    PELT of ruptures minimises Σ over segments of the squared error of a straight line in log10 step, plus
    ``penalty`` · ln(points) · σ² for each change point, exactly and over all observations. σ is the scatter of
    the observations about the line through their two neighbours (median absolute deviation, made normal),
    at least 2 % of the range of the curve. A change point is where the two lines meet, if they do between
    the observations on its two sides, else the middle of these in log-step.

    A ramp has two change points. Segments at least twice as steep as a straight line through the whole
    curve, and jumps, that follow each other in one direction are one move with a width; it counts from 10 %
    of the range on.

    Args:
        series: reads the key; step 0 has no logarithm and is left out.
        key: a scalar.
        scale: ``log`` takes log10 of the values first; values that are not positive are left out.
        penalty: larger finds fewer.
    """
    read = finite(series, key)
    if read is None:
        return None
    steps, values = read
    kept = (steps > 0) & (values > 0) if scale == "log" else steps > 0
    steps, values = steps[kept], values[kept]
    if len(steps) < 2 * LEAST_POINTS:
        return None
    heights = np.log10(values) if scale == "log" else values
    extent = float(heights.max() - heights.min())
    if extent == 0:
        return Changes(key, scale, (), ())
    places = np.log10(steps)
    unit = (heights - heights.min()) / extent
    cuts = _pelt(places, unit, penalty * math.log(len(unit)) * max(_scatter(places, unit), LEAST_NOISE) ** 2)
    lines = [_line(places[a:b], unit[a:b]) for a, b in pairwise((0, *cuts, len(unit)))]
    points = tuple(
        10 ** _meeting(places[cut - 1 : cut + 1], *pair) for cut, pair in zip(cuts, pairwise(lines), strict=True)
    )
    moves = tuple(_moves(places, unit, cuts, lines, points))
    return Changes(key, scale, points, tuple(_on_scale(move, heights.min(), extent, scale) for move in moves))


def _pelt(places: np.ndarray, heights: np.ndarray, penalty: float) -> list[int]:
    """Return the indices at which new segments begin."""
    from ruptures import Pelt
    from ruptures.base import BaseCost

    class LineCost(BaseCost):
        """Squared error of the least-squares line, from running sums: ruptures' own solves each anew."""

        min_size = LEAST_POINTS

        @property
        def model(self) -> str:
            return "line"

        def fit(self, signal: np.ndarray) -> LineCost:
            self.signal = signal
            x, y = (signal - signal.mean(0)).T
            self.sums = [(0.0,) * 5, *zip(*(np.cumsum(v).tolist() for v in (x, y, x * x, x * y, y * y)), strict=True)]
            return self

        def error(self, start: int, end: int) -> float:
            x, y, xx, xy, yy = (high - low for high, low in zip(self.sums[end], self.sums[start], strict=True))
            count = end - start
            xx, xy, yy = xx - x * x / count, xy - x * y / count, yy - y * y / count
            return max(0.0, yy - xy * xy / xx)

    signal = np.column_stack([places, heights])
    found = Pelt(custom_cost=LineCost(), min_size=LEAST_POINTS, jump=1).fit(signal).predict(pen=penalty)
    return [int(end) for end in found[:-1]]


def _scatter(places: np.ndarray, heights: np.ndarray) -> float:
    left, here, right = places[:-2], places[1:-1], places[2:]
    share = (here - left) / (right - left)
    off = heights[1:-1] - (1 - share) * heights[:-2] - share * heights[2:]
    # the variance of the difference is that of one observation times 1 + the squared shares
    off = off / np.sqrt(1 + share**2 + (1 - share) ** 2)
    return float(np.median(np.abs(off)) / 0.6745)


def _line(places: np.ndarray, heights: np.ndarray) -> tuple[float, float]:
    slope, level = np.polyfit(places - places[0], heights, 1)
    return float(slope), float(level - slope * places[0])


def _meeting(around: np.ndarray, first: tuple[float, float], second: tuple[float, float]) -> float:
    if first[0] != second[0]:
        place = (second[1] - first[1]) / (first[0] - second[0])
        if around[0] <= place <= around[1]:
            return float(place)
    return float(around.mean())


def _moves(
    places: np.ndarray,
    heights: np.ndarray,
    cuts: Sequence[int],
    lines: Sequence[tuple[float, float]],
    points: Sequence[float],
) -> list[Move]:
    least_slope = MOVING / float(places[-1] - places[0])
    edges = (0, *cuts, len(places))
    ends = (float(10 ** places[0]), *points, float(10 ** places[-1]))
    parts: list[tuple[float, float, float, float]] = []  # start, end, before, after
    for index, (slope, level) in enumerate(lines):
        if index and _jumps(lines[index - 1], lines[index], places[edges[index] - 1 : edges[index] + 1]):
            left, right = float(places[edges[index] - 1]), float(places[edges[index]])
            before = lines[index - 1][0] * left + lines[index - 1][1]
            parts.append((10**left, 10**right, before, slope * right + level))
        if abs(slope) >= least_slope:
            start, end = ends[index], ends[index + 1]
            parts.append((start, end, slope * math.log10(start) + level, slope * math.log10(end) + level))
    merged: list[tuple[float, float, float, float]] = []
    for part in parts:
        before = merged[-1] if merged else None
        # what follows begins no later than the next observation after what came before
        if (
            before is not None
            and part[0] <= before[1] * (1 + 1e-9)
            and (part[3] - part[2]) * (before[3] - before[2]) > 0
        ):
            merged[-1] = (before[0], max(before[1], part[1]), before[2], part[3])
        else:
            merged.append(part)
    return [
        Move(start, end, math.log10(end / start), before, after)
        for start, end, before, after in merged
        if abs(after - before) >= LEAST_MOVE
    ]


def _jumps(first: tuple[float, float], second: tuple[float, float], around: np.ndarray) -> bool:
    middle = float(around.mean())
    gap = abs(second[0] * middle + second[1] - first[0] * middle - first[1])
    return gap >= LEAST_MOVE


def _on_scale(move: Move, lowest: float, extent: float, scale: Scale) -> Move:
    levels = [lowest + extent * level for level in (move.before, move.after)]
    before, after = (10**level if scale == "log" else level for level in levels)
    return Move(move.start, move.end, move.width, float(before), float(after))
