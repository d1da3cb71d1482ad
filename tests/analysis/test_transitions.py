from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from grokscope.analysis.transitions import (
    Level,
    TransitionRule,
    crossing,
    first_sustained,
    level_crossing,
    plateau,
    transition,
)
from grokscope.errors import UsageError

RULE = TransitionRule(fit=("train/accuracy", 0.99), generalise=("test/accuracy", 0.9))


def series(**columns):
    """Scalars by key (``__`` for ``/``), each as (steps, values)."""
    table = {key.replace("__", "/"): pair for key, pair in columns.items()}

    def read(key):
        if key not in table:
            raise UsageError(f"unknown key {key}")
        steps, values = table[key]
        return np.asarray(steps), np.asarray(values, dtype=float)

    return read


def cross(steps, values, level, **options):
    return crossing(np.asarray(steps), np.asarray(values, dtype=float), level, **options)


def test_interpolates_the_value_linearly_in_log_step():
    assert cross([1, 100], [0, 1], 0.5) == 10.0
    # a quarter of the way from 10 to 10 000 in log-step
    assert cross([10, 10_000], [0.0, 1.0], 0.25) == pytest.approx(10**1.75, rel=1e-14)


def test_a_level_met_exactly_is_crossed_exactly_there():
    # 7 · (29/7) is not 29 in floating point, and a criterion includes its bounds
    assert cross([7, 29], [0, 1], 1) == 29.0


def test_step_zero_is_never_interpolated_from():
    assert cross([0, 50], [0, 1], 0.5) == 50.0
    assert cross([0, 50], [1, 1], 0.5) == 0.0


def test_a_crossing_at_the_first_observation_is_that_observation():
    assert cross([20, 40], [0.95, 1], 0.9) == 20.0


def test_falling():
    assert cross([1, 100], [1, 0], 0.5, direction="falling") == 10.0
    assert cross([1, 100], [0, 1], 0.5, direction="falling") == 1.0


def test_sustain_passes_over_a_spike():
    steps, values = [1, 10, 100, 1000, 10_000], [0, 1, 0, 1, 1]
    assert cross(steps, values, 0.5) == pytest.approx(10**0.5)
    assert cross(steps, values, 0.5, sustain=2) == pytest.approx(10**2.5)
    assert cross(steps, values, 0.5, sustain=3) is None


def test_too_few_observations_left_is_never():
    assert cross([1, 2, 3], [0, 1, 1], 0.5, sustain=3) is None
    assert cross([1], [1], 0.5, sustain=3) is None
    assert cross([], [], 0.5) is None


def test_nan_is_never_across_and_never_interpolated():
    nan = np.nan
    assert cross([1, 10, 100], [nan, nan, nan], 0.5) is None
    assert cross([1, 10, 100], [0, nan, 1], 0.5) == 100.0
    assert cross([1, 10, 100, 1000], [0, 1, nan, 1], 0.5, sustain=2) is None


def test_infinite_values_cross_but_are_not_interpolated():
    assert cross([1, 10], [0, np.inf], 0.5) == 10.0
    assert cross([1, 10], [-np.inf, 1], 0.5) == 10.0


@pytest.mark.parametrize(
    ("across", "sustain", "expected"),
    [([0, 1, 0, 1, 1], 1, 1), ([0, 1, 0, 1, 1], 2, 3), ([0, 1, 0, 1, 1], 3, None), ([], 1, None)],
)
def test_first_sustained(across, sustain, expected):
    assert first_sustained(np.array(across, dtype=bool), sustain) == expected


CURVES = st.lists(st.integers(-64, 64), min_size=2, max_size=12).map(lambda v: np.array(v) / 64)


@given(CURVES, st.integers(0, 1), st.sampled_from([0.001, 0.5, 3.0, 1e4]), st.integers(1, 3))
def test_crossing_scales_with_the_axis(values, start, factor, sustain):
    steps = np.arange(start, start + len(values)) * 7
    here = crossing(steps, values, 0.25, sustain=sustain)
    there = crossing(steps * factor, values, 0.25, sustain=sustain)
    assert (here is None) == (there is None)
    if here is not None:
        assert there == pytest.approx(here * factor, rel=1e-12)


@given(CURVES, st.sampled_from([0.5, 2.0, 8.0]), st.integers(-4, 4))
def test_crossing_is_unchanged_by_an_increasing_affine_map_of_values_and_level(values, slope, shift):
    # powers of two and small dyadic numbers: the map is exact in floating point
    steps = np.arange(1, len(values) + 1)
    assert crossing(steps, values, 0.25) == crossing(steps, slope * values + shift, slope * 0.25 + shift)


@given(CURVES)
def test_falling_is_rising_upside_down(values):
    steps = np.arange(1, len(values) + 1)
    assert crossing(steps, values, 0.25) == crossing(steps, -values, -0.25, direction="falling")


@given(CURVES, st.integers(1, 3))
def test_a_crossing_lies_between_the_last_observation_before_and_the_first_across(values, sustain):
    steps = np.arange(1, len(values) + 1)
    found = crossing(steps, values, 0.25, sustain=sustain)
    across = [i for i in range(len(values) - sustain + 1) if all(values[i : i + sustain] >= 0.25)]
    if not across:
        assert found is None
    else:
        assert steps[max(across[0] - 1, 0)] <= found <= steps[across[0]]


def test_plateau_is_the_median_of_the_last_tenth_but_at_least_three():
    assert plateau(np.array([0.0, 0.0, 1.0, 9.0, 2.0])) == 2.0
    assert plateau(np.arange(100.0)) == 94.5
    assert plateau(np.array([5.0])) == 5.0
    assert plateau(np.array([1.0, np.nan, 3.0])) == 2.0
    assert np.isnan(plateau(np.full(4, np.nan)))


def test_fraction_level_is_between_the_start_and_the_plateau():
    read = series(k=([0, 1, 100, 200, 300], [2, 2, 4, 4, 4]))
    level = Level(key="k", level=0.5, kind="fraction")
    assert level_crossing(read, level, sustain=1) == pytest.approx(10.0)


def test_fraction_level_follows_a_scalar_down():
    read = series(k=([0, 1, 100, 200, 300], [4, 4, 2, 2, 2]))
    level = Level(key="k", level=0.5, kind="fraction")
    assert level_crossing(read, level, sustain=3) == pytest.approx(10.0)


@pytest.mark.parametrize("values", [[1, 1, 1, 1], [np.nan, 0, 1, 1], [np.nan] * 4, [0, np.inf, np.inf, np.inf]])
def test_a_scalar_without_a_way_to_go_crosses_no_fraction(values):
    read = series(k=([0, 1, 2, 3], values))
    assert level_crossing(read, Level(key="k", level=0.5, kind="fraction"), sustain=1) is None


def test_a_clock_is_read_at_the_observed_steps():
    read = series(k=([1, 2], [0, 1]), clock__time=([0, 2], [0.0, 8.0]))
    # positions 4 and 8: half way in log-time
    level = Level(key="k", level=0.5)
    assert level_crossing(read, level, sustain=1, axis="clock/time") == pytest.approx(32**0.5)


def test_observations_off_the_clock_do_not_count():
    read = series(k=([0, 10, 20], [0, 0, 1]), clock__time=([0, 10], [0.0, 1.0]))
    assert level_crossing(read, Level(key="k", level=0.5), sustain=1, axis="clock/time") is None


def test_an_unknown_key_or_clock_is_never():
    read = series(k=([0, 1], [0, 1]))
    assert level_crossing(read, Level(key="other", level=0.5), sustain=1) is None
    assert level_crossing(read, Level(key="k", level=0.5), sustain=1, axis="clock/time") is None
    assert level_crossing(series(k=([], [])), Level(key="k", level=0.5), sustain=1) is None


STEPS = [0, 1, 10, 100, 1000, 10_000]


def test_transition_of_a_grokking_run():
    read = series(train__accuracy=(STEPS, [0, 0, 1, 1, 1, 1]), test__accuracy=(STEPS, [0, 0, 0, 1, 1, 1]))
    found = transition(read, RULE)
    fit, generalise = 10**0.99, 10**1.9
    assert found.fit_step == pytest.approx(fit)
    assert found.generalise_step == pytest.approx(generalise)
    assert found.delay_steps == pytest.approx(generalise - fit)
    assert found.delay_ratio == pytest.approx(generalise / fit)
    assert found.censored is False
    assert list(found.as_dict()) == ["fit_step", "generalise_step", "delay_steps", "delay_ratio", "censored"]


def test_never_generalised_is_null_and_censored():
    read = series(train__accuracy=(STEPS, [0, 0, 1, 1, 1, 1]), test__accuracy=(STEPS, [0, 0, 0, 0, 0.2, 0.3]))
    found = transition(read, RULE)
    assert found.fit_step == pytest.approx(10**0.99)
    assert (found.generalise_step, found.delay_steps, found.delay_ratio) == (None, None, None)
    assert found.censored is True


def test_fit_at_step_zero_has_a_delay_but_no_ratio():
    read = series(train__accuracy=(STEPS, [1] * 6), test__accuracy=(STEPS, [0, 0, 0, 1, 1, 1]))
    found = transition(read, RULE)
    assert found.fit_step == 0.0
    assert found.delay_steps == found.generalise_step
    assert found.delay_ratio is None


def test_a_rule_may_be_written_in_pairs_and_comes_back_from_json():
    rule = TransitionRule.model_validate(
        {
            "fit": ["train/loss", 0.1, "fraction", "falling"],
            "generalise": ["test/loss", 0.5],
            "axis": "clock/time",
        }
    )
    assert (rule.fit.kind, rule.fit.direction, rule.generalise.kind) == ("fraction", "falling", "absolute")
    assert TransitionRule.model_validate_json(rule.model_dump_json()) == rule


@pytest.mark.parametrize(
    "fit", [("train/loss",), ("k", 1, "absolute", "rising", 3), ("k", float("nan")), ("k", 1, "share")]
)
def test_a_wrong_level_is_refused(fit):
    with pytest.raises(ValidationError):
        TransitionRule(fit=fit, generalise=("test/loss", 0.5))
