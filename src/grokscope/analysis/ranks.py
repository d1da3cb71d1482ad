"""Rank correlation of two lists of values, with "never" as an infinite one."""

from __future__ import annotations

import math
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


def partial_rank_correlation(
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    given: Sequence[float] | np.ndarray,
    *,
    least: int = 3,
) -> float | None:
    """Return the rank correlation of x and y without what both share with a third, in [-1, 1].

    (ρ_xy − ρ_xz ρ_yz) / √((1 − ρ_xz²)(1 − ρ_yz²)), z the given (Kendall 1942, for Spearman's ρ).

    Args:
        x: values, (points,).
        y: values, (points,).
        given: values, (points,).
        least: with fewer points there is none.

    Returns:
        None where one of the three correlations is none, or x or y is a monotone function of the given.

    Example:
        >>> round(partial_rank_correlation([1, 2, 3, 4], [2, 1, 4, 3], [2, 3, 1, 4]), 6)  # 0.6, 0.4 and -0.4
        0.904762
    """
    xy, xz, yz = (rank_correlation(a, b, least=least) for a, b in ((x, y), (x, given), (y, given)))
    if xy is None or xz is None or yz is None:
        return None
    left = (1 - xz**2) * (1 - yz**2)
    # of a function of the given nothing is left but rounding
    return round((xy - xz * yz) / math.sqrt(left), 12) if left > 1e-9 else None
