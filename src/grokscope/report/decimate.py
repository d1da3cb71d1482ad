"""Fewer points for a long curve, and no extreme lost: the minimum and the maximum of every pixel column."""

from __future__ import annotations

import numpy as np

LIMIT = 2000
"""Curves up to this many points are drawn whole."""

PIXELS = 900
"""Columns a longer curve is divided into: about the width of a plot on a screen."""


def kept_points(positions: np.ndarray, *values: np.ndarray, limit: int = LIMIT, pixels: int = PIXELS) -> np.ndarray:
    """Return the indices (ascending, int64) of the points to draw.

    Up to ``limit`` points: all of them. Beyond: the first and the last point and, in each of ``pixels``
    equal columns along the axis, the minimum and the maximum of each of ``values`` and the first
    point that is not finite (a gap stays a gap). At most ``3 · pixels · len(values) + 2`` points.

    Args:
        positions: where the points lie along the axis, ascending, (points,): log10 of the step on a log axis.
        values: curves that share these positions (the middle, the low and the high of a ribbon), (points,).
        limit: how many points are drawn whole.
        pixels: number of columns.

    Example:
        >>> spike = np.zeros(5000); spike[1234] = 1.0
        >>> bool(1234 in kept_points(np.arange(5000.0), spike))
        True
    """
    count = len(positions)
    if count <= limit:
        return np.arange(count)
    low, high = float(positions[0]), float(positions[-1])
    span = high - low if high > low else 1.0
    column = np.clip((pixels * (positions - low) / span).astype(np.int64), 0, pixels - 1)
    kept = {0, count - 1}
    edges = np.flatnonzero(np.diff(column)) + 1
    for begin, end in zip([0, *edges.tolist()], [*edges.tolist(), count], strict=True):
        for series in values:
            part = series[begin:end]
            finite = np.flatnonzero(np.isfinite(part))
            if finite.size:
                kept.add(begin + int(finite[np.argmin(part[finite])]))
                kept.add(begin + int(finite[np.argmax(part[finite])]))
            if finite.size < part.size:
                kept.add(begin + int(np.argmin(np.isfinite(part))))
    return np.array(sorted(kept), dtype=np.int64)


def kept_columns(positions: np.ndarray, *, limit: int = PIXELS) -> np.ndarray:
    """Return the indices of the moments of a heat map to draw: all, or the last one of each pixel column.

    Columns of a heat map hold many numbers, so there is no one minimum to keep; each drawn column is
    a real moment, never a mean.

    Example:
        >>> kept_columns(np.arange(4.0)).tolist()
        [0, 1, 2, 3]
    """
    count = len(positions)
    if count <= limit:
        return np.arange(count)
    low, high = float(positions[0]), float(positions[-1])
    column = np.clip((limit * (positions - low) / (high - low or 1.0)).astype(np.int64), 0, limit - 1)
    last = np.append(np.flatnonzero(np.diff(column)), count - 1)
    return np.unique(np.append(0, last))
