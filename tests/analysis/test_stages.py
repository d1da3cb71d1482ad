"""Stages, swings and lags on curves that are known."""

from __future__ import annotations

import doctest
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curves import GRIDS, LAST, grids, noisy, places, ramp, seeds, sigmoid
from grokscope.analysis import stages as module
from grokscope.analysis.stages import StageRule, double_descent, lag, stages, swings
from grokscope.cadence import Cadence
from grokscope.errors import UsageError

LOG = np.array(Cadence(per_decade=15).steps_until(100_000))
CURVES = {
    0: 0.1 + 0 * LOG,
    1: sigmoid(LOG, 1000, 0.8, 0.1, 0.9),
    2: sigmoid(LOG, 300, 0.4, 0.1, 0.5) + sigmoid(LOG, 8000, 0.4, 0.0, 0.4),
    3: sigmoid(LOG, 30, 0.4, 0.1, 0.35) + sigmoid(LOG, 700, 0.4, 0.0, 0.3) + sigmoid(LOG, 20_000, 0.4, 0.0, 0.3),
}


def test_the_documented_examples_hold():
    assert doctest.testmod(module).failed == 0


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(CURVES)), st.sampled_from([0.0, 0.003, 0.006]), seeds)
def test_as_many_stages_are_found_as_there_are_with_noise_and_without(count, noise, seed):
    assert len(stages(LOG, noisy(CURVES[count], noise, seed))) == count


def test_a_stage_by_hand():
    # from 0.2 to 0.8 over one decade, 0.6 a decade: it begins and ends where it was drawn, up to the smoothing
    (found,) = stages(LOG, ramp(LOG, 100, 1000, 0.2, 0.8))
    assert math.log10(found.start / 100) == pytest.approx(0, abs=0.08)
    assert math.log10(found.end / 1000) == pytest.approx(0, abs=0.08)
    assert (found.low, found.high) == (pytest.approx(0.2, abs=0.03), pytest.approx(0.8, abs=0.03))
    assert found.height == found.high - found.low


@pytest.mark.parametrize(("decades", "count"), [(0.05, 1), (0.1, 1), (0.35, 2), (1.0, 2)])
def test_a_plateau_must_last(decades, count):
    steps = 10 ** np.arange(0, 5, 0.04)
    rest = ramp(steps, 1000 * 10**decades, 10_000 * 10**decades, 0.0, 0.4)
    assert len(stages(steps, ramp(steps, 100, 1000, 0.1, 0.5) + rest)) == count


@pytest.mark.parametrize(("slope", "count"), [(0.03, 2), (0.05, 2), (0.09, 1), (0.4, 1)])
def test_a_plateau_must_be_flat(slope, count):
    # half a decade of the given slope between two rises of one a decade; a quarter of 0.25 is 0.0625
    steps = 10 ** np.arange(0, 5, 0.04)
    places = np.log10(steps)
    curve = np.interp(places, [2, 2.4, 2.9, 3.3], [0.1, 0.5, 0.5 + 0.5 * slope, 0.9 + 0.5 * slope])
    assert len(stages(steps, curve)) == count


@pytest.mark.parametrize(("gain", "count"), [(0.04, 0), (0.1, 1)])
def test_a_stage_must_gain(gain, count):
    assert len(stages(LOG, ramp(LOG, 100, 160, 0.1, 0.1 + gain))) == count


def test_what_rises_slowly_is_no_stage():
    assert stages(LOG, ramp(LOG, 1, 100_000, 0.1, 0.9)) == ()  # 0.16 a decade
    assert len(stages(LOG, ramp(LOG, 1, 100_000, 0.1, 0.9), StageRule(slope=0.1))) == 1


def test_what_only_makes_good_a_fall_is_no_stage():
    dip = np.where((LOG > 3000) & (LOG < 8000), 0.6, 0.0)
    assert len(stages(LOG, CURVES[1] - dip)) == 1
    assert len(stages(LOG, CURVES[2] - np.where((LOG > 900) & (LOG < 2000), 0.2, 0.0))) == 2


def test_one_observation_that_leaps_is_no_stage():
    leap = CURVES[0].copy()
    leap[40] = 0.9
    assert stages(LOG, leap) == ()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(CURVES)), st.floats(-3, 6), seeds)
def test_the_unit_of_time_does_not_matter(count, decades, seed):
    curve = noisy(CURVES[count], 0.003, seed)
    factor = 10**decades
    found, scaled = stages(LOG, curve), stages(LOG * factor, curve)
    assert len(found) == len(scaled)
    for one, other in zip(found, scaled, strict=True):
        assert other.start == pytest.approx(one.start * factor, rel=1e-6)
        assert other.end == pytest.approx(one.end * factor, rel=1e-6)
        assert other.height == pytest.approx(one.height, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(grids, places(200, 6000))
def test_a_single_rise_is_one_stage_on_every_cadence(steps, centre):
    found = stages(steps, sigmoid(steps, centre, 0.5, 0.1, 0.9))
    assert len(found) == (1 if steps[steps > 0][0] < centre / 3 else len(found))
    assert len(found) <= 1


def test_a_rise_that_goes_on_at_the_end_ends_there():
    (found,) = stages(LOG, ramp(LOG, 10_000, 1_000_000, 0.1, 0.9))
    assert found.end == pytest.approx(100_000, rel=0.03)


def test_too_little_is_no_stage_and_gaps_are_left_out():
    assert stages(np.array([0, 1, 2, 3]), np.array([0.0, 0, 1, 1])) == ()
    curve = CURVES[2].copy()
    curve[::7] = np.nan
    assert len(stages(LOG, curve)) == 2


def test_bad_curves_and_rules_get_one_sentence():
    with pytest.raises(UsageError, match="give one value a step"):
        stages(np.arange(4), np.zeros(3))
    with pytest.raises(UsageError, match="do not ascend"):
        stages(np.array([1, 1, 2]), np.zeros(3))
    with pytest.raises(UsageError, match="must be above 0"):
        StageRule(slope=0)
    with pytest.raises(UsageError, match="odd number"):
        StageRule(median=2)
    with pytest.raises(UsageError, match="above 0"):
        swings(np.arange(3), np.zeros(3), 0)


def test_swings_are_the_moves_between_turning_points():
    values = np.repeat([60.0, 40.0, 43.0, 38.0, 50.0, 47.0, 55.0, 20.0], 3)
    found = swings(np.arange(len(values)), values, 5)
    # 40 to 43 and 50 to 47 are smaller than 5
    assert [swing.change for swing in found] == [-22.0, 17.0, -35.0]
    assert found[0].end == found[1].start
    assert [swing.change for swing in swings(np.arange(len(values)), values, 3)] == [-20, 3, -5, 12, -3, 8, -35]
    assert swings(np.arange(5), np.zeros(5), 1) == ()
    assert swings(np.arange(1), np.zeros(1), 1) == ()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=2, max_size=40), st.integers(1, 20))
def test_swings_alternate_and_are_as_large_as_asked(values, least):
    found = swings(np.arange(len(values)), np.array(values, float), least, median=1)
    assert all(abs(swing.change) >= least for swing in found)
    assert all(a.change * b.change < 0 and a.end == b.start for a, b in itertools.pairwise(found))
    assert bool(found) == (max(values) - min(values) >= least)
    mirrored = swings(np.arange(len(values)), -np.array(values, float), least, median=1)
    assert [-swing.change for swing in mirrored] == [swing.change for swing in found]


def test_double_descent_needs_all_three():
    rise_fall = np.repeat([40.0, 60.0, 30.0], 3)
    assert double_descent(np.arange(9), rise_fall, 5) is None
    fall = np.repeat([60.0, 40.0], 3)
    assert double_descent(np.arange(6), fall, 5) is None
    whole = np.repeat([30.0, 60.0, 40.0, 50.0, 20.0], 3)
    found = double_descent(np.arange(15), whole, 5)
    assert found is not None
    assert [swing.change for swing in found] == [-20, 10, -30]
    assert double_descent(np.arange(15), whole, 11) is None


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.8, 0.8), st.floats(0.3, 1.0), st.floats(0.1, 100))
def test_the_lag_is_that_of_two_equal_rises(decades, width, scale):
    first, second = sigmoid(LOG, 1000, width), sigmoid(LOG, 1000 * 10**decades, width)
    found = lag((LOG, first), (LOG, scale * second))
    assert found is not None
    assert found[0] == pytest.approx(decades, abs=0.03)
    assert found[1] > 0.9
    back = lag((LOG, scale * second), (LOG, first))
    assert back is not None
    assert back[0] == pytest.approx(-found[0], abs=0.011)


def test_no_lag_of_what_does_not_move_or_was_not_seen_together():
    moving = (LOG, sigmoid(LOG, 1000, 0.5))
    assert lag(moving, (LOG, np.ones(len(LOG)))) is None
    early, late = np.array([1, 2, 3, 4, 5, 6]), np.array([10, 20, 30, 40, 50, 60])
    assert lag((early, early / 6), (late, late / 60)) is None
    assert lag((GRIDS["linear"], sigmoid(GRIDS["linear"], LAST / 10, 0.5)), moving) is not None
