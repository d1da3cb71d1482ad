from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokscope.analysis.phases import Phase, circuit_boundaries, current_phase, running_median, segment
from grokscope.analysis.transitions import TransitionRule
from grokscope.errors import UsageError

RULE = TransitionRule(fit=("train/accuracy", 0.99), generalise=("test/accuracy", 0.9))
NEEDED = ("train/accuracy", "test/loss", "fourier/excluded_loss", "weights/sum_of_squares")


def reader(table):
    def read(key):
        if key not in table:
            raise UsageError(f"unknown key {key}")
        steps, values = table[key]
        return np.asarray(steps), np.asarray(values, dtype=float)

    return read


# Nanda et al. 2023, mainline run (p = 113), read from the vector figures released with the code.
MAINLINE_STEPS = [
    0, 200, 600, 1000, 1400, 2000, 4000, 6000, 8000, 9000, 9400, 10000, 10500, 11000, 12000, 14000,
    20000, 39000,
]  # fmt: skip
MAINLINE = {
    # the figures give no train accuracy; the train loss is .020 at 200, and the paper says 100 % by 200–1400
    "train/accuracy": [0.009] + [1.0] * 17,
    "test/loss": [
        4.76, 16.1, 19.0, 23.1, 25.7, 25.2, 22.1, 18.9, 12.2, 6.7, 4.1, 0.57, 0.032, 2.0e-3, 1.7e-4, 7.4e-7,
        3.1e-7, 3.0e-7,
    ],
    "fourier/excluded_loss": [
        4.76, 1.24, 0.53, 0.34, 0.316, 0.39, 0.95, 2.57, 6.87, 10.3, 11.6, 13.4, 13.0, 11.3, 9.0, 6.2,
        5.9, 6.0,
    ],
    "weights/sum_of_squares": [
        1783, 3650, 3610, 3650, 3380, 3000, 2690, 2510, 2300, 2110, 2000, 1750, 1510, 1320, 1150, 995,
        964, 955,
    ],
}  # fmt: skip
# A run of the p = 53 setting, every 200 to 300 steps.
SMALL_STEPS = [0, 200, 400, 700, 1000, 1200, 1400, 1600, 2000]
SMALL = {
    "train/accuracy": [0.02, 0.9, 1, 1, 1, 1, 1, 1, 1],
    "test/loss": [4.05, 7.5, 8.4, 7.7, 5.6, 3.4, 1.2, 0.42, 0.23],
    "fourier/excluded_loss": [4.04, 1.58, 1.17, 2.13, 4.69, 7.3, 9.8, 10.0, 8.7],
    "weights/sum_of_squares": [888, 1400, 1470, 1490, 1460, 1380, 1220, 1010, 714],
}


def on(steps, table):
    return reader({key: (steps, values) for key, values in table.items()})


def test_published_curves_have_the_published_boundaries():
    phases = segment(on(MAINLINE_STEPS, MAINLINE), None, 39000)
    assert [phase.name for phase in phases] == ["memorisation", "circuit formation", "cleanup", "generalised"]
    first, second, third = (phase.end for phase in phases[:3])
    assert 1000 <= first <= 2000
    assert 6000 <= second <= 9500
    assert 11000 <= third <= 20000
    # on this grid the three are the observations nearest to 1400, 8000–9400 and 13–14 thousand
    assert (first, second, third) == (1400, 9000, 14000)


def test_phases_tile_the_run():
    phases = segment(on(MAINLINE_STEPS, MAINLINE), RULE, 39000)
    assert (phases[0].start, phases[-1].end) == (0, 39000)
    assert all(before.end == after.start for before, after in pairwise(phases))


def test_a_run_that_ends_in_cleanup_has_no_generalised_phase():
    # its weights still fall fast: the last observation alone is within 5 % of the last one
    assert circuit_boundaries(on(SMALL_STEPS, SMALL)) == (400, 1200, None)
    phases = segment(on(SMALL_STEPS, SMALL), None, 2000)
    assert phases == [
        Phase("memorisation", 0, 400),
        Phase("circuit formation", 400, 1200),
        Phase("cleanup", 1200, 2000),
    ]


@pytest.mark.parametrize("last", [6000, 8000])
def test_a_run_cut_before_cleanup_ends_in_circuit_formation(last):
    count = MAINLINE_STEPS.index(last) + 1
    cut = on(MAINLINE_STEPS[:count], {key: values[:count] for key, values in MAINLINE.items()})
    assert segment(cut, None, last) == [
        Phase("memorisation", 0, 1400),
        Phase("circuit formation", 1400, last),
    ]


def synthetic(steps, t1, t2, t3, *, end_of_squares=1000.0):
    """Curves with known boundaries: log Σw² falls by 1, 5 and 0 per 10⁴ steps between them."""
    steps = np.asarray(steps, dtype=float)
    excluded = np.exp(np.abs(np.log((steps + 1) / (t1 + 1))))
    slope = 1e-4
    log_squares = np.log(end_of_squares) + slope * (5 * np.clip(t3 - steps, 0, t3 - t2) + np.clip(t2 - steps, 0, None))
    return {
        "train/accuracy": (steps, (steps >= t1 / 4).astype(float)),
        # below half its maximum well before t2: the slope of the weights decides
        "test/loss": (steps, np.where(steps < (t1 + t2) / 2, 20.0, 5.0)),
        "fourier/excluded_loss": (steps, excluded),
        "weights/sum_of_squares": (steps, np.exp(log_squares)),
    }


@pytest.mark.parametrize(("t1", "t2", "t3"), [(1000, 6000, 8000), (2000, 5000, 9000)])
@pytest.mark.parametrize("end", [10_000, 30_000])
def test_known_boundaries_are_found_whatever_the_length_of_the_run(t1, t2, t3, end):
    steps = np.arange(0, end + 1, 100)
    first, second, third = circuit_boundaries(reader(synthetic(steps, t1, t2, t3)))
    assert first == t1
    # the first slope that is steeper belongs to the first observation after t2
    assert second == t2 + 100
    # 5 % above the final value, log 1.05 / 5e-4 = 97.6 steps before t3: not on this grid, so t3 itself
    assert third == t3


def test_a_falling_test_loss_decides_where_the_weights_already_fall_fast():
    steps = np.arange(0, 20_001, 100)
    table = synthetic(steps, 1000, 6000, 8000)
    table["test/loss"] = (steps, np.where(steps < 7000, 20.0, 5.0))
    assert circuit_boundaries(reader(table))[1] == 7000


def test_the_running_maximum_of_the_test_loss_is_the_one_so_far():
    steps = np.arange(0, 20_001, 100)
    table = synthetic(steps, 1000, 6000, 8000)
    # a spike long after cleanup began must not move its begin
    table["test/loss"] = (steps, np.where(steps < 3000, 20.0, np.where(steps == 15_000, 1e6, 5.0)))
    assert circuit_boundaries(reader(table))[1] == 6100


def test_keys_may_be_observed_on_grids_of_their_own():
    steps = np.arange(0, 20_001, 100)
    table = synthetic(steps, 1000, 6000, 8000)
    every = {"train/accuracy": 1, "test/loss": 3, "fourier/excluded_loss": 5, "weights/sum_of_squares": 1}
    thinned = {key: (s[:: every[key]], v[:: every[key]]) for key, (s, v) in table.items()}
    assert circuit_boundaries(reader(thinned)) == (1000, 6100, 8000)


def test_a_single_low_excluded_loss_is_smoothed_away():
    steps = np.arange(0, 20_001, 100)
    table = synthetic(steps, 1000, 6000, 8000)
    excluded = table["fourier/excluded_loss"][1].copy()
    excluded[steps == 5000] = 1e-3
    table["fourier/excluded_loss"] = (steps, excluded)
    assert circuit_boundaries(reader(table))[0] == 1000


def test_an_excluded_loss_below_its_minimum_before_the_fit_does_not_count():
    steps = np.arange(0, 20_001, 100)
    table = synthetic(steps, 1000, 6000, 8000)
    table["train/accuracy"] = (steps, (steps >= 2000).astype(float))
    assert circuit_boundaries(reader(table))[0] == 2000


@pytest.mark.parametrize("rise", [1.0, 1.4])
def test_without_a_rise_of_the_excluded_loss_all_is_memorisation(rise):
    steps = np.arange(0, 5001, 100)
    table = synthetic(steps, 1000, 3000, 4000)
    falling = np.minimum(np.exp(-np.minimum(steps, 1000) / 300), 1)
    table["fourier/excluded_loss"] = (steps, np.where(steps > 1500, falling * rise, falling))
    assert segment(reader(table), RULE, 5000) == [Phase("memorisation", 0, 5000)]


def test_a_run_that_never_fits_is_all_memorisation():
    steps = np.arange(0, 5001, 100)
    table = synthetic(steps, 1000, 3000, 4000)
    table["train/accuracy"] = (steps, np.full(len(steps), 0.99))  # the level itself is not above it
    assert segment(reader(table), None, 5000) == [Phase("memorisation", 0, 5000)]


@pytest.mark.parametrize("lost", NEEDED)
def test_without_one_of_the_keys_the_transition_rule_decides(lost):
    steps = np.arange(0, 10_001, 100)
    table = synthetic(steps, 1000, 6000, 8000) | {"test/accuracy": (steps, (steps >= 7000).astype(float))}
    del table[lost]
    names = [phase.name for phase in segment(reader(table), RULE, 10_000)]
    assert names == (
        ["memorisation", "generalised"] if lost == "train/accuracy" else ["memorisation", "plateau", "generalised"]
    )


def test_curves_that_cannot_be_smoothed_or_logged_count_as_missing():
    steps = np.arange(0, 10_001, 100)
    table = synthetic(steps, 1000, 6000, 8000)
    assert circuit_boundaries(reader(table | {"fourier/excluded_loss": ([0, 9], [1, 2])})) is None
    assert circuit_boundaries(reader(table | {"fourier/excluded_loss": (steps, np.full(101, np.nan))})) is None
    assert circuit_boundaries(reader(table | {"weights/sum_of_squares": (steps, np.zeros(101))})) is None


STEPS = [0, 10, 20, 30, 40, 50, 60, 70]
CROSSED = 30 * (40 / 30) ** 0.9  # nine tenths of the way from 30 to 40 in log-step


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        # at step 10 the train accuracy is 1 (nothing to interpolate from step 0)
        (
            "01111111",
            "00001111",
            [("memorisation", 0, 10), ("plateau", 10, CROSSED), ("generalised", CROSSED, 70)],
        ),
        ("01111111", "00000000", [("memorisation", 0, 10), ("plateau", 10, 70)]),
        ("00000000", "00000000", [("memorisation", 0, 70)]),
        ("01111111", "01111111", [("memorisation", 0, 10), ("generalised", 10, 70)]),
        ("00000000", "01111111", [("memorisation", 0, 10), ("generalised", 10, 70)]),
        ("11111111", "01111111", [("plateau", 0, 10), ("generalised", 10, 70)]),
        ("11111111", "11111111", [("generalised", 0, 70)]),
    ],
)
def test_phases_by_the_transition_rule(train, test, expected):
    read = reader(
        {
            "train/accuracy": (STEPS, [float(x) for x in train]),
            "test/accuracy": (STEPS, [float(x) for x in test]),
        }
    )
    phases = segment(read, RULE, 70)
    assert [(phase.name, phase.start, pytest.approx(phase.end, abs=1e-3)) for phase in phases] == [
        (name, pytest.approx(start, abs=1e-3), end) for name, start, end in expected
    ]


def test_phases_are_in_steps_whatever_axis_the_rule_has():
    read = reader(
        {
            "train/accuracy": (STEPS, [0, 1, 1, 1, 1, 1, 1, 1]),
            "test/accuracy": (STEPS, [0, 0, 0, 0, 0, 1, 1, 1]),
            "clock/time": (STEPS, np.array(STEPS) * 1e-3),
        }
    )
    assert segment(read, RULE.model_copy(update={"axis": "clock/time"}), 70) == segment(read, RULE, 70)


def test_without_a_rule_a_run_is_training():
    assert segment(reader({}), None, 70) == [Phase("training", 0, 70)]
    assert segment(reader({}), None, 0) == []
    assert Phase("training", 0, 70).as_dict() == {"name": "training", "start": 0, "end": 70}


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        (0.5, 0.1, "memorising"),
        (0.99, 0.1, "fitted"),
        (1.0, 0.9, "generalised"),
        (0.98, 0.95, "generalised"),
        (1.0, None, "fitted"),
        (None, 0.1, "training"),
        (float("nan"), 0.1, "training"),
        (1.0, float("nan"), "fitted"),
    ],
)
def test_current_phase(train, test, expected):
    latest = {key: v for key, v in (("train/accuracy", train), ("test/accuracy", test)) if v is not None}
    assert current_phase(latest, RULE) == expected


def test_current_phase_of_falling_and_of_relative_levels():
    falling = TransitionRule(
        fit=("train/loss", 0.1, "absolute", "falling"), generalise=("test/loss", 0.2, "absolute", "falling")
    )
    assert current_phase({"train/loss": 0.05, "test/loss": 3.0}, falling) == "fitted"
    assert current_phase({"train/loss": 0.05, "test/loss": 0.2}, falling) == "generalised"
    relative = TransitionRule(fit=("train/loss", 0.1, "fraction"), generalise=("test/loss", 0.2))
    assert current_phase({"train/loss": 0.0, "test/loss": 0.0}, relative) == "training"
    assert current_phase({"train/accuracy": 1.0}, None) == "training"


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_running_median_is_the_median_of_each_neighbourhood(values):
    padded = [values[0], *values, values[-1]]
    expected = [sorted(padded[i : i + 3])[1] for i in range(len(values))]
    assert running_median(np.array(values)).tolist() == expected
