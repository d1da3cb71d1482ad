from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.report.decimate import LIMIT, kept_columns, kept_points


def test_a_short_curve_is_drawn_whole():
    assert kept_points(np.arange(float(LIMIT)), np.zeros(LIMIT)).tolist() == list(range(LIMIT))


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(300, 900), st.integers(5, 40))
def test_every_pixel_column_keeps_its_minimum_and_maximum(seed, count, pixels):
    random = np.random.default_rng(seed)
    positions = np.sort(random.uniform(0, 7, count))
    values = random.standard_cauchy(count)
    kept = kept_points(positions, values, limit=100, pixels=pixels)
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    assert kept[-1] == count - 1
    assert len(kept) <= 3 * pixels + 2
    width = (positions[-1] - positions[0]) / pixels
    column = np.minimum(((positions - positions[0]) / width).astype(int), pixels - 1)
    for one in np.unique(column):
        inside = np.flatnonzero(column == one)
        drawn = np.intersect1d(inside, kept)
        assert values[drawn].min() == values[inside].min()
        assert values[drawn].max() == values[inside].max()


def test_a_gap_shorter_than_a_pixel_stays_a_gap():
    values = np.sin(np.arange(10_000.0))
    values[5003] = np.nan
    assert 5003 in kept_points(np.arange(10_000.0), values)


def test_both_sides_of_a_ribbon_keep_their_extremes():
    low, high = np.zeros(5000), np.ones(5000)
    low[1111], high[2222] = -9, 9
    kept = kept_points(np.arange(5000.0), np.full(5000, 0.5), low, high)
    assert {1111, 2222} <= set(kept.tolist())


def test_points_at_one_position_and_curves_without_a_finite_value_are_survived():
    assert len(kept_points(np.zeros(5000), np.arange(5000.0))) == 2
    assert len(kept_points(np.arange(5000.0), np.full(5000, np.nan))) <= LIMIT


def test_moments_of_a_heat_map_are_real_ones_with_both_ends():
    kept = kept_columns(np.linspace(0, 1, 5000), limit=100)
    assert kept[0] == 0
    assert kept[-1] == 4999
    assert 100 <= len(kept) <= 101
