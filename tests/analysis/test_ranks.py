"""Rank correlation: by hand, ties, infinities, and where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from grokscope.analysis.ranks import partial_rank_correlation, rank_correlation


def test_by_hand() -> None:
    assert rank_correlation([1, 2, 3], [10, 30, 20]) == 0.5
    assert rank_correlation([1, 2, 3, 9], [4, 3, 2, -7]) == -1
    # never is later than ever, and as late as never
    assert rank_correlation([1, 2, 3], [5, math.inf, math.inf]) == pytest.approx(math.sqrt(3) / 2)


@pytest.mark.parametrize("pair", [([1, 2], [3, 3]), ([1, 1], [2, 3]), ([1, math.nan], [2, 3]), ([], []), ([1], [2])])
def test_none(pair: tuple[list[float], list[float]]) -> None:
    assert rank_correlation(*pair) is None
    assert rank_correlation([1, 2, 3], [1, 2, 3], least=4) is None


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=12))
def test_it_is_the_correlation_of_ranks_and_knows_only_the_order(pairs: list[tuple[int, int]]) -> None:
    x, y = (np.array(values, float) for values in zip(*pairs, strict=True))
    found = rank_correlation(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert found is None
        return
    assert found is not None
    assert found == pytest.approx(float(np.corrcoef(rankdata(x), rankdata(y))[0, 1]), abs=1e-9)
    assert rank_correlation(np.exp(x), y**3) == found
    assert rank_correlation(-x, y) == -found


def test_partial_correlation_is_that_of_what_ranks_of_the_given_leave_unexplained() -> None:
    drawn = np.random.default_rng(0)
    x, y, z = drawn.normal(size=(3, 30))
    y, z = y + x, z + x
    ranks = [rankdata(one) for one in (x, y, z)]
    left = [one - np.polyval(np.polyfit(ranks[2], one, 1), ranks[2]) for one in ranks[:2]]
    assert partial_rank_correlation(x, y, z) == pytest.approx(np.corrcoef(left[0], left[1])[0, 1])
    # monotone changes of any of the three leave it
    assert partial_rank_correlation(np.exp(x), y**3, -z) == pytest.approx(partial_rank_correlation(x, y, z) or 0.0)


def test_there_is_no_partial_correlation_with_a_function_of_the_given() -> None:
    rising = np.arange(6.0)
    assert partial_rank_correlation(rising, rising[::-1], rising**3) is None
    assert partial_rank_correlation(rising, np.ones(6), rising[[1, 0, 3, 2, 5, 4]]) is None
    assert partial_rank_correlation(rising[:2], rising[:2], rising[:2]) is None
