"""The stabilised explicit integrator: order, stability, and that what is read does not depend on who asks when."""

from __future__ import annotations

import numpy as np
import pytest

from grokscope.errors import GrokscopeError
from grokscope.linalg.chebyshev import Flow, Step, begin, covering

RATES = np.geomspace(1e-2, 1e4, 40)


def decay(relative: float) -> Flow:
    """Return independent decays, stiff by six orders of magnitude."""
    return Flow(lambda y: -RATES * (y - 1), lambda y: float(RATES[-1]), 1e-12, relative)


def solved(relative: float, time: float) -> np.ndarray:
    flow = decay(relative)
    return covering(flow, begin(flow, np.zeros(40)), time).at(time)


def test_stiff_decay_is_followed_within_the_tolerance() -> None:
    exact = 1 - np.exp(-RATES * 5.0)
    errors = [float(np.abs(solved(relative, 5.0) - exact).max()) for relative in (1e-3, 1e-4, 1e-5)]
    assert errors[0] < 5e-2
    assert errors[1] < errors[0]
    assert errors[2] < 0.3 * errors[1]
    assert errors[2] < 1e-3


def test_long_steps_are_stable() -> None:
    """At rest the steps grow far beyond 2/radius, the limit of an explicit step, and stay at rest."""
    flow = decay(1e-4)
    step = covering(flow, begin(flow, np.zeros(40)), 2e4)
    assert step.end - step.start > 100 * 2 / RATES[-1]
    assert step.at(2e4) == pytest.approx(1, abs=1e-3)


def test_order_two() -> None:
    """One step of half the size has an eighth of the error, at any number of stages."""
    from grokscope.linalg.chebyshev import _stages

    flow = Flow(lambda y: -y * y, lambda y: 2.0, 1e-12, 1e-6)
    for stages in (2, 5, 17):
        errors = []
        for size in (0.2, 0.1, 0.05):
            start = np.array([1.0])
            errors.append(abs(float(_stages(flow, start, flow.slope(start), size, stages)[0]) - 1 / (1 + size)))
        assert errors[0] / errors[1] == pytest.approx(8, rel=0.35)
        assert errors[1] / errors[2] == pytest.approx(8, rel=0.25)


def test_what_is_read_depends_neither_on_the_questions_nor_on_a_restart() -> None:
    flow = decay(1e-5)
    straight = covering(flow, begin(flow, np.zeros(40)), 5.0)
    step = begin(flow, np.zeros(40))
    for time in (1e-5, 0.1, 0.11, 3.0):
        step = covering(flow, step, time)
        arrays = (step.before, step.after, step.slope_before, step.slope_after)
        step = Step(step.start, step.end, *(array.copy() for array in arrays), step.following)
    assert np.array_equal(covering(flow, step, 5.0).at(5.0), straight.at(5.0))


def test_dense_output_meets_the_ends() -> None:
    flow = decay(1e-4)
    step = covering(flow, begin(flow, np.zeros(40)), 1.0)
    assert np.array_equal(step.at(step.start), step.before)
    assert step.at(step.end) == pytest.approx(step.after, abs=1e-14)


def test_a_solution_that_ends_is_told() -> None:
    flow = Flow(lambda y: y**2, lambda y: float(2 * abs(y).max()), 1e-9, 1e-9)
    with pytest.raises(GrokscopeError, match="stands still"), np.errstate(all="ignore"):
        covering(flow, begin(flow, np.ones(1)), 2.0)
