"""The stiff integrator: known solutions, order, and that what is read does not depend on who asks when."""

from __future__ import annotations

import numpy as np
import pytest

from grokscope.errors import GrokscopeError
from grokscope.linalg.radau import Problem, Step, begin, covering


def robertson(relative: float) -> Problem:
    """Return Robertson's kinetics, the classic stiff problem."""

    def slopes(_: np.ndarray, y: np.ndarray) -> np.ndarray:
        a, b, c = 0.04 * y[:, 0], 1e4 * y[:, 1] * y[:, 2], 3e7 * y[:, 1] ** 2
        return np.stack([b - a, a - b - c, c], 1)

    def jacobian(_: float, y: np.ndarray) -> np.ndarray:
        return np.array(
            [[-0.04, 1e4 * y[2], 1e4 * y[1]], [0.04, -1e4 * y[2] - 6e7 * y[1], -1e4 * y[1]], [0, 6e7 * y[1], 0]]
        )

    return Problem(slopes, jacobian, 1e-3 * relative * np.array([1, 1e-4, 1]), relative)


START = np.array([1.0, 0.0, 0.0])


def test_robertson_at_the_published_times() -> None:
    """Hairer and Wanner 1996, Sec. IV.10: y(40) to the digits printed there."""
    problem = robertson(1e-8)
    step = covering(problem, begin(START, 1e-4), 40.0)
    assert step.at(40.0) == pytest.approx([0.7158270688, 0.9185534765e-5, 0.2841637457], rel=1e-6)
    step = covering(problem, step, 4e6)
    assert step.at(4e6)[0] == pytest.approx(5.1681e-4, rel=1e-3)
    assert step.at(4e6).sum() == pytest.approx(1, abs=1e-9)


def test_tighter_tolerance_is_nearer() -> None:
    """An oscillator that is not stiff: the error falls with the tolerance."""

    def turn(_: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([y[:, 1], -y[:, 0]], 1)

    matrix = np.array([[0.0, 1.0], [-1.0, 0.0]])
    errors = []
    for relative in (1e-4, 1e-6, 1e-8):
        problem = Problem(turn, lambda t, y: matrix, relative, relative)
        found = covering(problem, begin(np.array([1.0, 0.0]), 0.1), 10.0).at(10.0)
        errors.append(float(np.abs(found - [np.cos(10), -np.sin(10)]).max()))
    assert errors[0] < 1e-2
    assert errors[1] < 0.1 * errors[0]
    assert errors[2] < 0.1 * errors[1]
    assert errors[2] < 1e-6


def test_an_inexact_jacobian_changes_the_work_and_not_the_answer() -> None:
    exact = robertson(1e-7)
    rough = Problem(exact.slopes, lambda t, y: 1.2 * exact.jacobian(t, y), exact.absolute, exact.relative)
    one = covering(exact, begin(START, 1e-4), 40.0).at(40.0)
    other = covering(rough, begin(START, 1e-4), 40.0).at(40.0)
    assert other == pytest.approx(one, rel=1e-4)


def test_what_is_read_depends_neither_on_the_questions_nor_on_a_restart() -> None:
    problem = robertson(1e-6)
    straight = covering(problem, begin(START, 1e-4), 40.0)
    step = begin(START, 1e-4)
    for time in (0.001, 0.3, 0.31, 7.0, 39.9):
        step = covering(problem, step, time)
        # stored and read back, as a checkpoint does
        step = Step(step.start, step.end, step.state.copy(), step.stages.copy(), step.following, step.jacobian.copy())
    assert np.array_equal(covering(problem, step, 40.0).at(40.0), straight.at(40.0))


def test_dense_output_meets_the_ends() -> None:
    problem = robertson(1e-6)
    step = covering(problem, begin(START, 1e-4), 1.0)
    assert step.at(step.start) == pytest.approx(step.state, abs=1e-15)
    assert step.at(step.end) == pytest.approx(step.last, abs=1e-12)
    assert begin(START, 1.0).at(0.0).tolist() == START.tolist()


def test_a_solution_that_ends_is_told() -> None:
    """y' = y² from 1 is 1 / (1 - t)."""
    problem = Problem(lambda t, y: y**2, lambda t, y: np.array([[2 * y[0]]]), 1e-9, 1e-9)
    with pytest.raises(GrokscopeError, match="stands still at t = 1"), np.errstate(over="ignore"):
        covering(problem, begin(np.ones(1), 0.01), 2.0)
