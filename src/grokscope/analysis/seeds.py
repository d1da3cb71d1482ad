"""Seeds are samples: medians and intervals over seeds, in which infinity ("never") is a value.

Percentiles are order statistics, never interpolated, so that an infinite value does not turn into NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
BOOTSTRAP_FROM = 6
"""Fewer seeds than this are shown as min–max: their bootstrap would say no more."""
LEAST_DEFINED = 0.5
"""Share of the resamples on which a statistic must be defined for its interval to mean anything."""

Interval = tuple[float, float]
Item = TypeVar("Item")


def present(values: Iterable[float | None]) -> list[float]:
    """Return the values that are there: None and NaN are left out, infinities stay."""
    return [float(value) for value in values if value is not None and not math.isnan(value)]


def median(values: Iterable[float | None]) -> float | None:
    """Return the median of the values that are there, or None; NaN only between -inf and inf.

    Example:
        >>> median([3.0, math.inf, None, 1.0]), median([1.0, math.inf])
        (3.0, inf)
    """
    ordered = sorted(present(values))
    if not ordered:
        return None
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return low if low == high else low / 2 + high / 2


def percentiles(values: Iterable[float | None], confidence: float = CONFIDENCE) -> Interval | None:
    """Return the central interval that holds at least ``confidence`` of the values; None without values.

    Example:
        >>> percentiles(range(101), 0.9)
        (5.0, 95.0)
    """
    ordered = sorted(present(values))
    if not ordered:
        return None
    # the tolerance keeps (1 - 0.9) / 2 * 100 = 4.999… at 5
    low = math.floor((1 - confidence) / 2 * (len(ordered) - 1) + 1e-9)
    return ordered[low], ordered[len(ordered) - 1 - low]


def bootstrap_each(
    function: Callable[[list[Item]], Mapping[str, float | None]],
    items: Sequence[Item],
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> dict[str, Interval | None]:
    """Return the percentile bootstrap interval of each statistic that ``function`` names.

    ``items`` are resampled with replacement, from ``seed`` alone. ``function`` must not depend on their
    order: each collection of items is evaluated once. A statistic that is None or NaN on more than half
    of the resamples has no interval; the rest of its resamples make it (Efron 1979).
    """
    count = len(items)
    if not count:
        return {}
    draws = np.sort(np.random.default_rng(seed).integers(0, count, (resamples, count)), axis=1)
    distinct, times = np.unique(draws, axis=0, return_counts=True)
    found: dict[str, list[float]] = {}
    for chosen, repeats in zip(distinct.tolist(), times.tolist(), strict=True):
        for name, value in function([items[index] for index in chosen]).items():
            found.setdefault(name, []).extend(present([value]) * repeats)
    return {
        name: percentiles(values, confidence) if len(values) >= LEAST_DEFINED * resamples else None
        for name, values in found.items()
    }


def bootstrap(
    function: Callable[[list[Item]], float | None],
    items: Sequence[Item],
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval | None:
    """Return the percentile bootstrap interval of one statistic; see :func:`bootstrap_each`.

    Example:
        >>> bootstrap(max, [2.0, 2.0, 2.0])
        (2.0, 2.0)
    """
    found = bootstrap_each(
        lambda chosen: {"": function(chosen)}, items, resamples=resamples, confidence=confidence, seed=seed
    )
    return found.get("")


def interval(values: Iterable[float | None]) -> Interval | None:
    """Return the interval shown over seeds: min–max for fewer than 6, else 95 % bootstrap of the median.

    None and NaN (a seed without a value) are left out; None if nothing is left.

    Example:
        >>> interval([3.0, 1.0, None, 2.0])
        (1.0, 3.0)
    """
    known = present(values)
    if not known:
        return None
    return (min(known), max(known)) if len(known) < BOOTSTRAP_FROM else bootstrap(median, known)


def envelope(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (steps, lowest, median, highest) of several curves at the steps all of them were observed at.

    Example:
        >>> one, two = (np.array([0, 1]), np.array([0.0, 1.0])), (np.array([1, 2]), np.array([3.0, 4.0]))
        >>> [column.tolist() for column in envelope([one, two])]
        [[1], [1.0], [2.0], [3.0]]
    """
    shared = curves[0][0]
    for steps, _ in curves[1:]:
        shared = np.intersect1d(shared, steps)
    stacked = np.stack([values[np.isin(steps, shared)] for steps, values in curves])
    return shared, stacked.min(0), np.median(stacked, axis=0), stacked.max(0)


def envelope_between(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the same of curves at positions of their own (times, say): between points each is interpolated.

    Shape and order as :func:`envelope`; the positions are all those that lie inside the range of every curve.

    Example:
        >>> one, two = (np.array([0, 2]), np.array([0.0, 2.0])), (np.array([0, 1, 2]), np.array([1.0, 1.0, 4.0]))
        >>> [column.tolist() for column in envelope_between([one, two])]
        [[0, 1, 2], [0.0, 1.0, 2.0], [0.5, 1.0, 3.0], [1.0, 1.0, 4.0]]
    """
    first, last = max(at.min() for at, _ in curves), min(at.max() for at, _ in curves)
    every = np.unique(np.concatenate([at for at, _ in curves]))
    shared = every[(every >= first) & (every <= last)]
    stacked = np.stack([np.interp(shared, at, values) for at, values in curves])
    return shared, stacked.min(0), np.median(stacked, axis=0), stacked.max(0)
