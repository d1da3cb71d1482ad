from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curves import RULE, apart, grids, noisy, over, places, reader, sigmoid
from grokscope.analysis.phases import Phase, boundaries, circuit_boundaries, current_phase, running_median, segment
from grokscope.analysis.transitions import TransitionRule
from grokscope.cadence import Cadence
from grokscope.papers.nanda2023.reference import HAND_BOUNDARIES, REFERENCE_STEPS, reference_series

NEEDED = ("train/accuracy", "test/loss", "fourier/excluded_loss", "weights/sum_of_squares")


MAINLINE_STEPS = list(REFERENCE_STEPS)
MAINLINE = {key: reference_series()(key)[1].tolist() for key in NEEDED}
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


@pytest.mark.parametrize("rule", [None, RULE])
@pytest.mark.parametrize(
    "cadence",
    [Cadence(every=50), Cadence(every=100), Cadence(every=200, per_decade=10), Cadence(per_decade=20)],
)
def test_the_boundaries_drawn_by_hand_are_found_within_a_quarter_on_every_cadence(cadence, rule):
    found = boundaries(reference_series(np.array(cadence.steps_until(39_000))), rule)
    three = (found.memorisation_end, found.circuit_formation_end, found.cleanup_end)
    for ours, hand in zip(three, HAND_BOUNDARIES, strict=True):
        assert 0.75 <= ours / hand <= 1.25
    assert 8000 <= three[1] <= 9400
    assert 13_000 <= three[2] <= 14_200


def test_how_the_boundaries_bear_the_error_with_which_the_curves_were_read():
    # each of the 18 read points off by up to 5 %, straight in between
    steps = np.array(Cadence(every=200, per_decade=10).steps_until(39_000))
    calm, knots = reference_series(steps), np.log10(np.maximum(REFERENCE_STEPS, 20))
    curves = {key: calm(key)[1] for key in NEEDED}
    near = []
    for seed in range(300):
        random = np.random.default_rng(seed)
        error = {
            key: np.interp(np.log10(np.maximum(steps, 20)), knots, random.uniform(0.95, 1.05, len(knots)))
            for key in NEEDED[1:]
        }
        three = circuit_boundaries(on(steps, {key: curves[key] * error.get(key, 1) for key in NEEDED}))
        near.append([abs(ours / hand - 1) <= 0.25 for ours, hand in zip(three, HAND_BOUNDARIES, strict=True)])
    # the end of cleanup is soft: its band of 5 % is as wide as the error
    assert np.mean(near, axis=0).tolist() == pytest.approx([0.98, 1.0, 0.77], abs=0.03)


@pytest.mark.parametrize("last", [10_500, 11_000, 12_000, 13_000])
def test_a_run_that_ends_while_the_weights_fall_has_not_ended_its_cleanup(last):
    # every observation of its last 5 % is close to its last one
    assert circuit_boundaries(reference_series(np.arange(0, last + 1, 20)))[2] is None


@given(grids, places(200, 1000), places(3000, 9000))
def test_the_ends_of_a_run_that_nobody_wants(steps, first, last):
    last_step = float(steps[-1])
    late = over(steps, train__accuracy=steps >= 50, test__accuracy=np.where((steps > first) & (steps < last), 1, 0.1))
    early = over(steps, train__accuracy=steps >= 50, test__accuracy=np.where((steps > 0) & (steps < last), 1, 0.1))
    for read, name in ((late, "anti-grokking"), (early, "misgrokking")):
        found, phases = boundaries(read, RULE), segment(read, RULE, last_step)
        expected = name if found.fit_step < found.generalise_step / 2 or name == "misgrokking" else "misgrokking"
        assert phases[-1] == Phase(expected, found.declined.step, last_step)
        assert phases[-2].name == "generalised"
        assert phases[-2].end == found.declined.step
        assert {found.collapse_step, found.misgrokking_step} == {None, found.declined.step}


def test_a_circuit_run_that_collapses_keeps_its_circuit_phases():
    steps = np.arange(0, 39_001, 100)
    calm = reference_series(steps)

    def read(key):
        at, values = calm(key)
        if key == "test/accuracy":
            return at, np.where(at > 30_000, 0.4, values)
        # the weights grow again while the run forgets
        return at, np.where(at > 30_000, values * 3, values) if key == "weights/sum_of_squares" else values

    phases = segment(read, RULE, 39_000)
    assert [phase.name for phase in phases] == [
        "memorisation",
        "circuit formation",
        "cleanup",
        "generalised",
        "anti-grokking",
    ]
    assert phases[:3] == segment(calm, RULE, 39_000)[:3]
    assert 30_000 <= phases[-1].start <= 30_100


@pytest.mark.parametrize(("width", "abrupt"), [(0.1, True), (0.4, True), (0.8, False)])
def test_a_sharp_transition_without_delay_is_abrupt(width, abrupt):
    steps = np.array(Cadence(per_decade=20).steps_until(20_000))
    accuracy = sigmoid(steps, 1000, width, 0.25, 1.0)
    read = over(steps, train__accuracy=accuracy, test__accuracy=accuracy)
    rule = RULE.model_copy(update={"fit": RULE.generalise.model_copy(update={"key": "train/accuracy"})})
    phases = segment(read, rule, 20_000)
    if not abrupt:
        assert [phase.name for phase in phases] == ["memorisation", "generalised"]
        return
    assert [phase.name for phase in phases] == ["plateau", "abrupt", "generalised"]
    # a tenth of the way, half of the width before the middle
    assert phases[1].start == pytest.approx(1000 / 10 ** (width / 2), rel=0.01)
    assert phases[2].start == boundaries(read, rule).generalise_step


@given(grids, places(500, 1500), places(3500, 7000), st.floats(1.3, 1.8))
def test_circuit_boundaries_are_right_to_one_interval_on_every_cadence(steps, first, second, ratio):
    # beyond 1.1 t3 the run has to go on
    third = second * ratio
    found = circuit_boundaries(reader(synthetic(steps, first, second, third)))
    assert apart(steps, found[0], first) <= 1
    # Σw² is within 5 % of its final value log(1.05) / 5e-4 steps before it settles
    settled = third - np.log(1.05) / 5e-4
    # a slope over an interval is 1.5 times the median once (1.5 - 1) / (5 - 1) of the interval lies after the bend
    for ours, true, most in ((found[1], second, 1 + 1 / 8), (found[2], settled, 1)):
        assert true <= ours
        assert apart(steps, ours, true) <= most + 1e-9
    assert 1.1 * found[2] <= steps[-1]


@given(grids, places(100, 2000), places(3000, 10_000))
def test_fit_and_generalisation_are_right_to_one_interval_on_every_cadence(steps, fit, generalised):
    read = over(steps, train__accuracy=steps >= fit, test__accuracy=steps >= generalised)
    found = boundaries(read, RULE)
    assert apart(steps, found.fit_step, fit) <= 1
    assert apart(steps, found.generalise_step, generalised) <= 1


@given(grids, st.floats(0.0, 0.5), st.sampled_from([0.0, 0.02]), st.integers(0, 2**32 - 1))
def test_a_run_that_never_generalises_has_no_boundary_but_its_fit(steps, level, noise, seed):
    test = noisy(np.where(steps > 0, level, 0.0), noise, seed)
    found = boundaries(over(steps, train__accuracy=steps >= 200, test__accuracy=test), RULE)
    assert {name for name, step in found.steps().items() if step is not None} == {"fit_step"}
