from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokscope.analysis.seeds import bootstrap, bootstrap_each, interval, median, percentiles, present

INF, NAN = math.inf, math.nan


def test_present_keeps_infinity_and_drops_what_is_no_value():
    assert present([1, None, INF, NAN, -INF]) == [1.0, INF, -INF]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3, 1, 2], 2), ([1, 2], 1.5), ([1, INF, INF], INF), ([1, INF], INF), ([None, 4], 4), ([], None)],
)
def test_median(values, expected):
    assert median(values) == expected


def test_percentiles_do_not_turn_infinity_into_nan():
    assert percentiles([0.0] * 50 + [INF] * 50) == (0.0, INF)
    assert percentiles([NAN, None]) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.95]))
def test_percentiles_hold_at_least_their_share(values, confidence):
    low, high = percentiles(values, confidence)
    assert sum(low <= value <= high for value in values) >= confidence * len(values)


def test_fewer_than_six_seeds_are_shown_as_min_and_max():
    assert interval([5.0, 1.0, 3.0]) == (1.0, 5.0)
    assert interval([5.0, 1.0, None, NAN, INF, 2.0, 3.0]) == (1.0, INF)
    assert interval([7.0]) == (7.0, 7.0)
    assert interval([None]) is None


def test_six_seeds_are_shown_by_the_bootstrap_of_their_median():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 600.0]
    low, high = interval(values)
    assert (low, high) != (1.0, 600.0)
    assert low <= median(values) <= high
    assert interval([INF] * 6) == (INF, INF)
    # medians are means of two order statistics, or (of an odd bootstrap) themselves
    halves = {(a + b) / 2 for a in values for b in values}
    assert {low, high} <= halves


def test_bootstrap_of_the_mean_has_the_width_of_its_standard_error():
    values = list(np.random.default_rng(3).normal(size=200))
    low, high = bootstrap(lambda chosen: float(np.mean(chosen)), values)
    expected = 2 * 1.96 * np.std(values) / math.sqrt(len(values))
    # the end points of 2000 resamples have a Monte Carlo error of about 3 % of the width
    assert high - low == pytest.approx(expected, rel=0.12)
    assert low < np.mean(values) < high


def test_bootstrap_depends_on_its_seed_alone():
    values = list(np.random.default_rng(0).normal(size=30))

    def mean(chosen):
        return float(np.mean(chosen))

    assert bootstrap(mean, values) == bootstrap(mean, values)
    assert bootstrap(mean, values) != bootstrap(mean, values, seed=1)


def test_three_items_are_resampled_in_ten_ways_at_most():
    calls = []
    bootstrap(lambda chosen: calls.append(tuple(sorted(chosen))) or 0.0, [1, 2, 3])
    assert len(calls) == len(set(calls)) == 10


def test_an_exact_bootstrap_distribution():
    # of two items the mean is 0, 1/2, 1 with 1/4, 1/2, 1/4: 95 % is all of it, 40 % its middle
    values = [0.0, 1.0]
    assert bootstrap(lambda chosen: sum(chosen) / 2, values) == (0.0, 1.0)
    assert bootstrap(lambda chosen: sum(chosen) / 2, values, confidence=0.4) == (0.5, 0.5)


def test_statistics_are_bootstrapped_together_and_drop_resamples_without_a_value():
    def spread(chosen):
        different = len(set(chosen)) > 1
        return {"spread": max(chosen) - min(chosen) if different else None, "never": None}

    found = bootstrap_each(spread, [1.0, 2.0, 4.0])
    # a third of 1/9: all three equal in 3 of 27 draws
    assert found == {"spread": (1.0, 3.0), "never": None}


def test_a_statistic_undefined_on_most_resamples_has_no_interval():
    # all three different: 6 draws of 27
    found = bootstrap(lambda chosen: 1.0 if len(set(chosen)) == 3 else None, [1, 2, 3])
    assert found is None
    assert bootstrap(lambda chosen: 1.0, []) is None
