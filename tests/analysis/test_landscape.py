"""Reduced landscapes against closed forms: parabolas, straight lines and an L beside a U."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokscope.analysis.landscape import grokking_window, largest_norm, least_loss, mismatch
from grokscope.errors import UsageError


@given(st.floats(-1.5, 1.5), st.floats(0.1, 3), st.floats(-5, 1), st.lists(st.floats(0.2, 1.5), min_size=5, max_size=5))
def test_a_parabola_is_found_exactly_on_an_uneven_grid(
    centre: float, bend: float, low: float, gaps: list[float]
) -> None:
    w = np.cumsum([-3.0, *gaps])
    found = least_loss(np.exp(w).tolist(), np.exp(low + bend * (w - centre) ** 2).tolist())
    if found.interior:
        assert math.log(found.norm) == pytest.approx(centre, abs=1e-6)
        assert math.log(found.loss) == pytest.approx(low, abs=1e-6)
    else:
        assert abs(centre - math.log(found.norm)) <= min(abs(centre - one) for one in w) + 1e-9


def test_at_an_end_the_minimum_is_that_end() -> None:
    found = least_loss([1, 2, 4], [3, 2, 1])
    assert (found.norm, found.loss, found.interior) == (4, 1, False)
    assert least_loss([1, 2, 4], [5, 5, 5]).interior is False
    flat = least_loss([1, 2, 4, 8], [7, 5, 5, 5.0])
    assert flat.interior
    assert 2 <= flat.norm <= 4


def test_the_unit_of_the_norm_does_not_matter() -> None:
    norms, train, test = np.array([1.0, 3, 9, 27, 81]), [1, 0.1, 1e-4, 1e-5, 1e-4], [1, 0.2, 0.1, 0.3, 2.0]
    one, other = least_loss(norms, test), least_loss(10 * norms, test)
    assert other.norm == pytest.approx(10 * one.norm)
    assert mismatch(10 * norms, train, test) == pytest.approx(mismatch(norms, train, test))
    # and a loss that is stored as a sum over ten outputs has the same window and gap
    ten = [np.multiply(10, one) for one in (train, test)]
    assert mismatch(norms, *ten) == pytest.approx(mismatch(norms, train, test))


def test_an_l_beside_a_u() -> None:
    """ln w = 0 … 4; train falls to e^-10 at 2 and stays; test is |ln w − 1| − 3 in its logarithm."""
    w = np.arange(5.0)
    train, test = np.exp([0, -5, -10, -10, -10]), np.exp(np.abs(w - 1) - 3)
    [(low, high)] = grokking_window(np.exp(w), train, test, fitted=math.exp(-4), worse=math.e)
    # test is e times its least at ln w = 0 and 2; train is fitted from 0.8: the window is from 2 on
    assert (math.log(low), math.log(high)) == (pytest.approx(2), pytest.approx(4))
    # the logarithm of test over train goes from 8 to 10 there
    assert mismatch(np.exp(w), train, test, fitted=math.exp(-4), worse=math.e) == pytest.approx(18)


def test_the_window_ends_between_norms_and_may_be_in_two_pieces() -> None:
    norms = np.exp(np.arange(6.0))
    train, test = np.exp([0.0, -8, -8, -8, 0, -8]), np.exp([2.0, 0, 2, 2, 2, 2])
    found = grokking_window(norms, train, test, fitted=math.exp(-4), worse=math.e)
    assert np.log(found) == pytest.approx(np.array([[1.5, 3.5], [4.5, 5]]))
    # by hand, the mean of ln(test / train) from 1.5 to 2, 3, 3.5 and from 4.5 to 5
    gap = mismatch(norms, train, test, fitted=math.exp(-4), worse=math.e)
    assert gap == pytest.approx(0.5 * 9.5 + 10 + 0.5 * 8 + 0.5 * 8)
    # below the least test loss, where a smaller norm fits as well, is none of it
    assert grokking_window(norms, train, test[::-1].copy(), fitted=math.exp(-4), worse=math.e) == [
        (pytest.approx(math.exp(4.5)), pytest.approx(math.exp(5)))
    ]


def test_the_largest_norm_that_reaches_a_level() -> None:
    norms = np.exp(np.arange(5.0))
    accuracy = [0.1, 0.9, 0.5, 0.8, 0.4]
    assert math.log(largest_norm(norms, accuracy, 0.7)) == pytest.approx(3.25)
    assert math.log(largest_norm(norms, accuracy, 0.9)) == pytest.approx(1)
    assert math.log(largest_norm(norms, accuracy, 0.4)) == pytest.approx(4)
    assert math.isnan(largest_norm(norms, accuracy, 0.95))


def test_where_nothing_is_fitted_there_is_no_window() -> None:
    assert grokking_window([1, 2, 4], [1, 0.5, 0.4], [1, 0.6, 3.0]) == []
    assert mismatch([1, 2, 4], [1, 0.5, 0.4], [1, 0.6, 3.0]) == 0


@pytest.mark.parametrize(
    ("norms", "losses", "message"),
    [
        ([1, 2], [1, 1], "a landscape was given 2 norms and 2 losses: give three norms or more"),
        ([1, 2, 4], [1, 1], "a landscape was given 3 norms and 2 losses: give three"),
        ([1, 4, 2], [1, 1, 1], "rising, and a loss for each"),
        ([1, 2, 4], [1, 0, 1], "a landscape holds the value 0: norms and losses must be positive and finite"),
        ([1, 2, 4], [1, math.nan, 1], "holds the value nan"),
        ([-1, 2, 4], [1, 1, 1], "holds the value -1"),
    ],
)
def test_what_is_no_landscape_is_refused(norms: list[float], losses: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        least_loss(norms, losses)
