from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curves import GRIDS, LAST, RULE, apart, grids, noisy, over, places, ramp, reader, seeds, sigmoid
from grokscope.analysis.agreement import agreement
from grokscope.analysis.changepoints import LEAST_POINTS, changepoints
from grokscope.analysis.phases import Boundaries, boundaries
from grokscope.cadence import Cadence
from grokscope.papers.nanda2023.reference import reference_series

few = settings(max_examples=25)


def curve(steps, values):
    return reader({"k": (steps, values)})


@few
@given(grids, places(600, 8000), st.sampled_from([0.0, 0.02]), seeds)
def test_a_step_is_one_move_between_its_two_observations(steps, place, noise, seed):
    found = changepoints(curve(steps, noisy(np.where(steps < place, 0.1, 0.9), noise, seed)), "k")
    (move,) = found.moves
    before = steps[steps < place][-1]
    # noise may bend a line once more (in one curve of thirty), which moves nothing
    assert len(found.points) == 1 or (noise and len(found.points) == 2)
    assert any(before <= point <= steps[steps >= place][0] for point in found.points)
    assert (move.start, move.end) == (pytest.approx(before), pytest.approx(steps[steps >= place][0]))
    # of the line through as few as 6 observations with noise of 0.02
    assert (move.before, move.after) == (pytest.approx(0.1, abs=0.06), pytest.approx(0.9, abs=0.06))


@few
@given(grids, places(600, 2000), st.floats(0.4, 0.8))
def test_a_ramp_has_two_change_points_and_is_one_move_with_a_width(steps, start, width):
    end = start * 10**width
    found = changepoints(curve(steps, ramp(steps, start, end, 0.2, 0.7)), "k")
    (move,) = found.moves
    assert len(found.points) == 2
    assert apart(steps, move.start, start) <= 1
    assert apart(steps, move.end, end) <= 1
    assert move.width == pytest.approx(np.log10(move.end / move.start))
    assert (move.before, move.after) == (pytest.approx(0.2, abs=0.05), pytest.approx(0.7, abs=0.05))


@few
@given(grids, places(600, 6000), st.floats(0.0, 0.06))
def test_a_ramp_too_short_for_a_line_is_right_to_the_observations_a_line_needs(steps, start, width):
    end = start * 10**width
    (move,) = changepoints(curve(steps, ramp(steps, start, end)), "k").moves
    assert move.start <= end
    assert move.end >= start
    assert max(apart(steps, move.start, start), apart(steps, move.end, end)) <= LEAST_POINTS


def test_two_stages_are_two_moves():
    steps = GRIDS["log"]
    found = changepoints(curve(steps, ramp(steps, 100, 200, 0, 0.5) + ramp(steps, 3000, 5000, 0, 0.5)), "k")
    assert [(round(move.before, 1), round(move.after, 1)) for move in found.moves] == [(0, 0.5), (0.5, 1)]
    up_and_down = changepoints(curve(steps, ramp(steps, 100, 800) - ramp(steps, 800, 5000)), "k")
    assert [move.after > move.before for move in up_and_down.moves] == [True, False]


@few
@given(grids, places(600, 6000), st.floats(0.3, 2.0), st.floats(0.3, 2.0))
def test_a_bend_is_where_two_lines_meet(steps, place, falling, rising):
    logs = np.log10(np.maximum(steps, 1) / place)
    values = 10 ** np.where(logs < 0, -falling * logs, rising * logs)
    found = changepoints(curve(steps, values), "k", "log")
    nearest = min(found.points, key=lambda point: abs(np.log(point / place)))
    assert apart(steps, nearest, place) <= 1


@settings(max_examples=8)
@given(grids, st.floats(-5, 5), st.sampled_from([0.01, 1.0]), seeds)
def test_noise_about_a_level_or_a_line_has_no_change(steps, level, noise, seed):
    line = noisy(level + 0.5 * np.log10(np.maximum(steps, 1)), noise, seed)
    for values in (noisy(np.full(len(steps), level), noise, seed), line):
        found = changepoints(curve(steps, values), "k", penalty=6)
        assert len(found.points) <= 1
    assert changepoints(curve(steps, np.full(len(steps), level)), "k").points == ()


def test_noise_about_a_level_is_seldom_a_change():
    found = [
        changepoints(curve(steps, noisy(np.full(len(steps), 0.1), 0.02, seed)), "k").points
        for seed in range(15)
        for steps in GRIDS.values()
    ]
    # 20 of 600 over seeds 0-199
    assert sum(bool(points) for points in found) <= 5


def test_a_larger_penalty_finds_fewer():
    steps = GRIDS["log"]
    values = curve(steps, noisy(sigmoid(steps, 900, 0.4), 0.02, 3))
    counts = [len(changepoints(values, "k", penalty=penalty).points) for penalty in (0.1, 3, 300, 3e5)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0


@given(st.floats(0.01, 100), st.floats(-5, 5))
@settings(max_examples=20)
def test_change_points_do_not_depend_on_the_unit_of_the_scalar(scale, shift):
    steps = GRIDS["log"]
    values = sigmoid(steps, 900, 0.4)
    one, other = (changepoints(curve(steps, v), "k").points for v in (values, shift + scale * values))
    assert one == pytest.approx(other, rel=1e-6)


def test_what_cannot_be_told():
    assert changepoints(reader({}), "k") is None
    assert changepoints(curve(np.arange(6), np.arange(6)), "k") is None  # five steps above 0
    steps = np.arange(10)
    assert changepoints(curve(steps, np.full(10, -1.0)), "k", "log") is None
    # a value that has no logarithm is left out, whatever it is
    values = np.where(steps < 5, 1.0, 100.0)
    with_zero = np.concatenate([values, [0.0]])
    found = changepoints(curve(np.arange(11), with_zero), "k", "log")
    assert found.points == changepoints(curve(steps, values), "k", "log").points
    assert (found.moves[0].before, found.moves[0].after) == (pytest.approx(1), pytest.approx(100))
    assert set(found.as_dict()) == {"key", "scale", "points", "moves"}


@pytest.mark.parametrize("cadence", [Cadence(every=100), Cadence(every=200, per_decade=10), Cadence(per_decade=20)])
def test_both_detectors_agree_on_the_reference_run(cadence):
    read = reference_series(np.array(cadence.steps_until(39_000)))
    told = agreement(read, RULE, boundaries(read, RULE))
    assert [one.boundary for one in told] == [
        "fit_step",
        "memorisation_end",
        "circuit_formation_end",
        "generalise_step",
        "cleanup_end",
    ]
    assert all(one.agrees for one in told)
    # each without knowing of the other: within 25 % of what the paper draws by hand
    hand = {"memorisation_end": 1400, "circuit_formation_end": 9400, "cleanup_end": 14_000}
    for one in told:
        if one.boundary in hand:
            assert 0.75 < one.nearest / hand[one.boundary] < 1.25


def test_a_boundary_without_a_change_is_not_agreed_with():
    steps = GRIDS["log"]
    read = over(steps, train__accuracy=np.ones(len(steps)), test__accuracy=sigmoid(steps, 1000, 0.2))
    found = Boundaries(fit_step=50, generalise_step=10_000)
    fit, generalise = agreement(read, RULE, found)
    assert (fit.agrees, fit.nearest, fit.intervals) == (False, None, None)
    assert not generalise.agrees
    assert generalise.nearest == pytest.approx(1000, rel=0.4)
    assert generalise.intervals == pytest.approx(apart(steps, generalise.nearest, 10_000), abs=1e-3)


def test_boundaries_that_cannot_be_asked_about_are_left_out():
    steps = GRIDS["log"]
    read = over(steps, test__accuracy=sigmoid(steps, 1000, 0.2))
    assert agreement(read, RULE, Boundaries(fit_step=20, memorisation_end=30)) == []
    assert agreement(read, None, Boundaries(generalise_step=1100)) == []
    assert agreement(read, RULE, Boundaries(generalise_step=0)) == []
    (one,) = agreement(read, RULE, Boundaries(generalise_step=1100))
    assert (one.agrees, one.intervals, one.as_dict()["nearest"]) == (True, 0.0, 1100)


@few
@given(grids, places(500, 2000), places(5000, 12_000))
def test_it_sees_a_collapse_and_not_a_slingshot(steps, rise, fall):
    test = np.where(steps < rise, 0.01, np.where(steps < fall, 1.0, 0.4))
    loss = np.where(steps < 100, 4.0, 1e-6)
    flung = (steps > 3000) & (steps < 4000)
    read = over(
        steps,
        train__accuracy=steps >= 100,
        test__accuracy=np.where(flung, 0.3, test),
        train__loss=np.where(flung, 1.0, loss),
    )
    found = boundaries(read, RULE)
    told = {one.boundary: one for one in agreement(read, RULE, found)}
    assert told["collapse_step"].agrees
    assert told["collapse_step"].intervals <= 1
    assert found.collapse_step < LAST
