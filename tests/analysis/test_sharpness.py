from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curves import GRIDS, LAST, RULE, grids, interval, noises, noisy, over, places, ramp, seeds, sigmoid
from grokscope.analysis.definitions import Definitions
from grokscope.analysis.sharpness import fit_sigmoid, sharpness
from grokscope.papers.nanda2023.reference import reference_series


@settings(max_examples=60)
@given(grids, places(100, 6000), st.floats(0.05, 0.8), st.sampled_from([0.0, 0.3, 0.6]), noises, seeds)
def test_a_sigmoid_is_found_with_its_width_its_place_and_its_levels(steps, centre, width, low, noise, seed):
    # nobody can know a level that was not seen
    seen = 10 ** (1.2 * width)
    centre = float(np.clip(centre, seen * steps[steps > 0][0], LAST / seen))
    found = fit_sigmoid(steps, noisy(sigmoid(steps, centre, width, low, 1.0), noise * (1 - low), seed))
    one = interval(steps, centre)
    assert found.width() == pytest.approx(width, abs=max(one, 0.1 * width))
    assert math.log10(found.centre / centre) == pytest.approx(0, abs=max(one, 0.05 * width))
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("cadence", sorted(GRIDS))
def test_without_noise_the_fit_is_the_curve(cadence):
    steps = GRIDS[cadence]
    found = fit_sigmoid(steps, sigmoid(steps, 2000, 0.4, 0.3, 0.8))
    assert (found.centre, found.width()) == (pytest.approx(2000, rel=1e-4), pytest.approx(0.4, rel=1e-3))
    assert (found.low, found.high) == (pytest.approx(0.3, abs=1e-4), pytest.approx(0.8, abs=1e-4))
    assert found.residual < 1e-3
    # 20 % to 80 %: 2 ln 4 over 2 ln 9
    assert found.width(0.2) == pytest.approx(0.4 * math.log(4) / math.log(9), rel=1e-3)


@settings(max_examples=40)
@given(grids, places(300, 10_000))
def test_a_step_is_not_resolved_and_no_wider_than_an_interval(steps, place):
    found = sharpness(over(steps, train__accuracy=steps >= 1, test__accuracy=steps >= place), RULE)
    assert not found.resolved
    assert found.width == pytest.approx(interval(steps, place), abs=1e-9)
    assert math.log10(found.centre / place) == pytest.approx(0, abs=interval(steps, place))


def test_a_scalar_that_falls_is_as_sharp_as_its_mirror_image():
    steps = GRIDS["log"]
    rising, falling = (fit_sigmoid(steps, sigmoid(steps, 900, 0.3, *levels)) for levels in ((0, 4), (4, 0)))
    assert falling.width() == pytest.approx(rising.width(), rel=1e-3)
    assert (falling.low, falling.high) == (pytest.approx(4, abs=1e-3), pytest.approx(0, abs=1e-3))


@settings(max_examples=25)
@given(st.floats(0.01, 100), st.floats(-5, 5))
def test_the_width_does_not_depend_on_the_unit_of_the_scalar(scale, shift):
    steps = GRIDS["log"]
    values = sigmoid(steps, 700, 0.25)
    assert fit_sigmoid(steps, shift + scale * values).width() == pytest.approx(fit_sigmoid(steps, values).width(), 1e-4)


def test_step_zero_is_left_out():
    steps = GRIDS["linear"]
    values = sigmoid(steps, 3000, 0.2, 0.5, 1.0)
    other = values.copy()
    other[0] = -1e6
    assert fit_sigmoid(steps, other) == fit_sigmoid(steps, values)


def test_a_rise_that_is_not_seen_to_its_end_is_not_extrapolated():
    steps = GRIDS["log"]
    found = fit_sigmoid(steps, ramp(steps, 1000, 200_000))
    assert found.high <= ramp(steps, 1000, 200_000).max() + 1e-6


@pytest.mark.parametrize("test", [np.full(201, 0.1), np.linspace(0, 0.6, 201)])
def test_a_run_that_never_generalised_has_no_sharpness(test):
    steps = GRIDS["linear"]
    assert sharpness(over(steps, train__accuracy=steps >= 100, test__accuracy=test), RULE) is None


def test_without_a_rule_or_observations_or_a_move_there_is_no_sharpness():
    steps = GRIDS["linear"]
    curve = over(steps, train__accuracy=steps >= 100, test__accuracy=sigmoid(steps, 3000, 0.2))
    assert sharpness(curve, None) is None
    assert fit_sigmoid(np.array([0, 1, 2, 3, 4]), np.array([0, 0, 0, 1, 1.0])) is None
    assert fit_sigmoid(steps, np.ones(len(steps))) is None
    # at its level from the first positive step on: nothing in log-step
    assert sharpness(over(steps, train__accuracy=steps >= 1, test__accuracy=steps >= 1), RULE) is None


def test_what_follows_a_decline_is_not_fitted():
    steps = GRIDS["log"]
    rise = sigmoid(steps, 800, 0.3)
    fallen = np.where(steps > 8000, 0.2, rise)
    one, other = (sharpness(over(steps, train__accuracy=steps >= 50, test__accuracy=v), RULE) for v in (rise, fallen))
    assert other.width == pytest.approx(one.width, rel=0.02)


def test_slingshots_are_not_fitted():
    steps = GRIDS["log"]
    rise, loss = sigmoid(steps, 800, 0.3), np.where(steps < 50, 4.0, 1e-4)
    flung = (steps > 3000) & (steps < 4000)
    test, loss = np.where(flung, 0.1, rise), np.where(flung, 3.0, loss)
    curve = over(steps, train__accuracy=steps >= 50, test__accuracy=test, train__loss=loss)
    assert sharpness(curve, RULE).width == pytest.approx(0.3, rel=0.01)


def test_the_tail_is_the_definitions():
    steps = GRIDS["log"]
    curve = over(steps, train__accuracy=steps >= 50, test__accuracy=sigmoid(steps, 800, 0.3))
    assert sharpness(curve, RULE, Definitions(sigmoid_tail=0.2)).width == pytest.approx(0.3 * 0.6309, rel=1e-2)


def test_the_reference_run_generalises_within_a_sixth_of_a_decade():
    # .225 at 8000 and .99 at 10500 (a factor 1.3): 10 % to 90 % of the way from .07 to 1
    found = sharpness(reference_series(), RULE)
    assert 0.1 < found.width < 0.17
    assert 9000 < found.centre < 9500
    assert found.resolved
