"""Rank correlation of two lists of values, with "never" as an infinite one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def rank_correlation(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, *, least: int = 2
) -> float | None:
    """Return Spearman's rank correlation, in [-1, 1]; ties and equal infinities have their mean rank.

    Args:
        x: values, (points,).
        y: values, (points,).
        least: with fewer points there is none.

    Returns:
        None with too few points, where a value is NaN, or where x or y does not change.

    Example:
        >>> round(rank_correlation([1, 2, 3, 4], [10, 20, float("inf"), float("inf")]), 4)
        0.9487
    """
    from scipy.stats import rankdata

    first, second = (np.asarray(values, float) for values in (x, y))
    if len(first) < least or np.isnan(first).any() or np.isnan(second).any():
        return None
    ranks = rankdata(first), rankdata(second)
    if not len(first) or np.ptp(ranks[0]) == 0 or np.ptp(ranks[1]) == 0:
        return None
    # the same order is 1, not 1 up to rounding
    return round(float(np.corrcoef(*ranks)[0, 1]), 12)
