"""Sums of logistic rises: those that a curve was made of are found again, and as many as there are."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings

from curves import noisy, seeds, sigmoid
from grokscope.analysis import logistics as module
from grokscope.analysis.logistics import best_rises, logistics
from grokscope.cadence import Cadence
from grokscope.errors import UsageError

STEPS = np.array(Cadence(per_decade=15).steps_until(100_000))
ONE = sigmoid(STEPS, 1000, 0.8, 0.1, 0.9)
TWO = sigmoid(STEPS, 300, 0.4, 0.1, 0.5) + sigmoid(STEPS, 8000, 0.5, 0.0, 0.4)


def test_the_documented_examples_hold():
    assert doctest.testmod(module).failed == 0


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_as_many_rises_as_there_are(seed):
    for curve, count in ((ONE, 1), (TWO, 2)):
        found = best_rises(STEPS, noisy(curve, 0.01, seed))
        assert found is not None
        assert len(found.heights) == count


def test_rises_are_those_that_were_put_in_whatever_the_unit_of_time():
    for factor in (1.0, 1e-3, 50.0):
        found = logistics(STEPS * factor, TWO, 2)
        assert found is not None
        assert found.centres == pytest.approx((300 * factor, 8000 * factor), rel=1e-3)
        assert found.heights == pytest.approx((0.4, 0.4), rel=1e-3)
        assert found.low == pytest.approx(0.1, abs=1e-3)
        assert found.scales[0] * 2 * np.log(9) == pytest.approx(0.4, rel=1e-3)


def test_what_does_not_rise_has_no_fit_and_what_falls_no_height():
    assert best_rises(STEPS, np.full(len(STEPS), 0.1)) is None
    assert logistics(STEPS[:5], ONE[:5], 1) is None
    found = logistics(STEPS, 1 - ONE, 1)
    assert found is not None
    assert found.heights[0] == pytest.approx(0, abs=1e-3)


def test_bad_values_get_one_sentence():
    with pytest.raises(UsageError, match="one rise or more"):
        logistics(STEPS, ONE, 0)
    with pytest.raises(UsageError, match="noise above 0"):
        logistics(STEPS, ONE, 1, noise=0)
    with pytest.raises(UsageError, match="one value a step"):
        logistics(STEPS, ONE[1:], 1)
