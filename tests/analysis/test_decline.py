from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curves import GRIDS, LAST, RULE, apart, grids, noises, noisy, over, places, ramp, seeds, sigmoid
from grokscope.analysis.decline import collapse, decline, misgrokking
from grokscope.analysis.definitions import Definitions
from grokscope.analysis.phases import segment
from grokscope.analysis.transitions import TransitionRule

FIT = 100


def run(steps, test, train=None):
    return over(steps, train__accuracy=steps >= FIT if train is None else train, test__accuracy=test)


@given(grids, places(500, 3000), places(5000, 12_000), st.floats(0.0, 0.7), noises, seeds)
def test_a_collapse_is_found_where_it_is(steps, rise, fall, final, noise, seed):
    test = np.where(steps < rise, 0.01, np.where(steps < fall, 0.97, final))
    found = decline(run(steps, noisy(test, noise, seed)), RULE)
    assert found.kind == "anti-grokking"
    assert apart(steps, found.step, fall) <= 1
    assert found.peak == pytest.approx(0.97, abs=0.04)
    assert found.final == pytest.approx(final, abs=0.03)


@given(grids, places(4000, 8000), st.floats(0.05, 0.3), st.floats(0.0, 0.6))
def test_a_slow_collapse_is_where_a_tenth_of_the_gain_is_lost(steps, centre, width, final):
    falling = sigmoid(steps, centre, width, 1.0, final)
    curve = run(steps, np.where(steps < 1000, 0.0, falling))
    # (1 - v) / (1 - final) of the fall is done where v = 0.9
    share = 0.1 / (1 - final)
    place = centre * 10 ** (np.log(share / (1 - share)) * width / (2 * np.log(9)))
    assert apart(steps, collapse(curve, RULE), place) <= 1
    assert misgrokking(curve, RULE) is None


@given(grids, places(1000, 10_000), st.floats(0.0, 0.6), st.sampled_from([0.6, 0.8, 0.999]), noises, seeds)
def test_early_good_and_late_bad_is_misgrokking_at_whatever_level(steps, fall, final, early, noise, seed):
    final *= early
    test = np.where(steps == 0, 0.01, np.where(steps < fall, early, final))
    found = decline(run(steps, noisy(test, noise * early, seed)), RULE)
    assert found.kind == "misgrokking"
    assert apart(steps, found.step, fall) <= 1
    assert collapse(run(steps, test), RULE) is None


def test_the_published_misgrokking_run():
    # Lyu et al. 2024, Fig. 1b: train accuracy is 1 from step 1; chance is one half
    steps = np.array([1, 10, 100, 1e3, 1e4, 1e5, 3e5, 4.5e5, 5.3e5, 7.4e5, 1e6, 2e6, 5e6, 1e7, 2e7])
    test = np.array([0.999] * 7 + [0.9, 0.75, 0.6, 0.58, 0.57, 0.56, 0.55, 0.55])
    found = decline(run(steps, test, np.ones(15)), RULE)
    assert found.kind == "misgrokking"
    # it starts past its level: declined where it is short of it again
    assert 3e5 < found.step <= 5.3e5


def test_the_published_collapse():
    # Prakash & Martin 2025: test 0.85 near 10^6, about 0.45 at 10^7, train 1
    steps = np.array([0, 1e2, 1e3, 1e4, 1e5, 2e5, 5e5, 1e6, 1.5e6, 2e6, 3e6, 5e6, 8e6, 1e7])
    test = np.array([0.1, 0.2, 0.3, 0.35, 0.5, 0.7, 0.84, 0.85, 0.84, 0.8, 0.7, 0.55, 0.48, 0.45])
    rule = TransitionRule(fit=("train/accuracy", 0.99), generalise=("test/accuracy", 0.8))
    found = decline(run(steps, test), rule)
    assert found.kind == "anti-grokking"
    assert 1.5e6 < found.step < 3e6
    assert [phase.name for phase in segment(run(steps, test), rule, 1e7)] == [
        "memorisation",
        "plateau",
        "generalised",
        "anti-grokking",
    ]


@given(grids, places(2000, 9000), st.floats(0.01, 0.9), noises, seeds)
def test_a_curve_that_does_not_come_down_has_no_decline(steps, centre, width, noise, seed):
    assert decline(run(steps, noisy(sigmoid(steps, centre, width), noise, seed)), RULE) is None


@given(grids, st.floats(0.0, 0.3), st.sampled_from([0.0, 0.01, 0.05]), seeds)
def test_a_run_that_never_generalises_has_no_decline(steps, level, noise, seed):
    assert decline(run(steps, noisy(np.full(len(steps), level), noise, seed)), RULE) is None


@given(grids, places(2000, 4000))
def test_a_dip_that_heals_is_no_decline(steps, place):
    test = np.where(steps < 500, 0.0, 1.0)
    test[(steps > place) & (steps < 2 * place)] = 0.3
    assert decline(run(steps, test), RULE) is None


def test_a_decline_that_is_not_sustained_is_none():
    steps = np.arange(0, 2001, 100)
    test = np.where(steps < 500, 0.0, 1.0)
    for fallen, expected in ((2, None), (3, 1750.0)):
        late = test.copy()
        late[-fallen:] = 0.0
        found = collapse(run(steps, late), RULE)
        assert found is expected or 1700 < found <= 1800


def test_a_small_decline_is_none():
    # Prakash & Martin's control: peak .88, plateau .84
    steps = GRIDS["log"]
    test = np.where(steps < 1000, 0.1, np.where(steps < 5000, 0.88, 0.84))
    rule = TransitionRule(fit=("train/accuracy", 0.99), generalise=("test/accuracy", 0.8))
    assert decline(run(steps, test), rule) is None
    assert decline(run(steps, test), rule, Definitions(decline_share=0.97)).kind == "anti-grokking"


def test_where_the_fit_goes_too_it_is_a_collapse():
    steps = GRIDS["mixed"]
    test = np.where(steps < 1000, 0.0, np.where(steps < 9000, 1.0, 0.1))
    train = np.where(steps < FIT, 0.1, np.where(steps < 9000, 1.0, 0.15))
    assert decline(run(steps, test, train), RULE).kind == "collapse"
    assert segment(run(steps, test, train), RULE, LAST)[-1].name == "collapse"
    # a fit that sinks from 1 to 0.97 is still a fit
    assert decline(run(steps, test, np.where(steps > 9000, 0.97, train)), RULE).kind == "anti-grokking"


@settings(max_examples=40)
@given(grids, places(200, 2000), st.floats(2.1, 5.0))
def test_ordinary_overfitting_is_no_misgrokking(steps, best, later):
    # the test accuracy comes down while the train accuracy still rises
    test = np.where(steps < best, 0.9 * steps / best, np.where(steps < 1.5 * best, 0.89, 0.5))
    assert decline(run(steps, test, ramp(steps, 1, later * best)), RULE) is None


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_what_was_never_good_does_not_misgrok(share):
    steps = GRIDS["log"]
    test = np.where(steps == 0, 0.0, np.where(steps < 3000, share, share / 2))
    assert decline(run(steps, test), RULE) is None
    assert decline(run(steps, test), RULE, Definitions(early_gain=0.1)).kind == "misgrokking"


def test_a_loss_declines_upwards():
    rule = TransitionRule(
        fit=("train/loss", 0.01, "absolute", "falling"), generalise=("test/loss", 0.1, "absolute", "falling")
    )
    steps = GRIDS["log"]
    test = np.where(steps < 1000, 4.0, np.where(steps < 8000, 0.05, 3.0))
    curve = over(steps, train__loss=np.where(steps < FIT, 4.0, 1e-3), test__loss=test)
    found = decline(curve, rule)
    assert (found.kind, found.peak, found.final) == ("anti-grokking", 0.05, 3.0)
    assert apart(steps, found.step, 8000) <= 1
    # a tenth of the gain of 3.95 is lost
    assert found.threshold == pytest.approx(0.05 + 0.395)


def test_without_a_rule_or_a_fit_or_observations_there_is_none():
    steps = GRIDS["linear"]
    test = np.where(steps < 5000, 1.0, 0.0)
    assert decline(run(steps, test), None) is None
    assert decline(run(steps, test, np.full(len(steps), 0.5)), RULE) is None
    assert decline(over(steps, train__accuracy=steps >= FIT), RULE) is None
    assert decline(run(steps[:3], test[:3]), RULE) is None
    assert set(decline(run(steps, test), RULE).as_dict()) == {"kind", "step", "peak", "final", "threshold"}
