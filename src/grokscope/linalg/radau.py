"""Stiff initial value problems by the Radau IIA method of order 5, on a grid of its own, with dense output.

The steps are chosen by the error alone, never by the moments that are asked for, and a step is a value that can be
stored: whoever reads the solution at some moments, in whatever order and after whatever restart, reads the same bits.
Formulas: Hairer and Wanner 1996, Solving Ordinary Differential Equations II, Sec. IV.8.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lu_factor, lu_solve

from grokscope.errors import GrokscopeError

Slopes = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From times (k,) and states (k, n) to derivatives (k, n): several moments at once share what they have in common."""

_ROOT = math.sqrt(6)
_NODES = np.array([(4 - _ROOT) / 10, (4 + _ROOT) / 10, 1.0])
_STAGES = np.array(
    [
        [(88 - 7 * _ROOT) / 360, (296 - 169 * _ROOT) / 1800, (-2 + 3 * _ROOT) / 225],
        [(296 + 169 * _ROOT) / 1800, (88 + 7 * _ROOT) / 360, (-2 - 3 * _ROOT) / 225],
        [(16 - _ROOT) / 36, (16 + _ROOT) / 36, 1 / 9],
    ]
)
_REAL = 3 + 3 ** (2 / 3) - 3 ** (1 / 3)
"""The real eigenvalue of the inverse of the stages' matrix."""
_ERROR = np.array([-13 - 7 * _ROOT, -13 + 7 * _ROOT, -1.0]) / 3
# the cubic through 0 at the start and through the stages, by the powers of the time since the start
_POLYNOMIAL = np.linalg.inv(np.stack([_NODES, _NODES**2, _NODES**3], 1))

MOST_ITERATIONS = 6
SAFETY = 0.9
LEAST_FACTOR, LARGEST_FACTOR = 0.2, 8.0
SLOW = 0.02
"""A Newton iteration that contracts slower than this asks for a new Jacobian after the step."""


@dataclass(frozen=True)
class Problem:
    """dy/dt = slopes(t, y); ``jacobian(t, y)``, (n, n), need not be exact: it only decides how fast Newton converges.

    ``absolute``, () or (n,), and ``relative`` are the tolerances of the error of a step.
    """

    slopes: Slopes
    jacobian: Callable[[float, np.ndarray], np.ndarray]
    absolute: float | np.ndarray
    relative: float


@dataclass(frozen=True)
class Step:
    """A step of the method, whole: with it the integration goes on as if it had never stopped.

    Attributes:
        start: t at its beginning.
        end: t at its end.
        state: y at its beginning, (n,).
        stages: what y has changed by at the three nodes, (3, n); the last is the end.
        following: the size the next step will try.
        jacobian: the one in use, (n, n); of no rows where the next step is to make a new one.
    """

    start: float
    end: float
    state: np.ndarray
    stages: np.ndarray
    following: float
    jacobian: np.ndarray

    @property
    def last(self) -> np.ndarray:
        """Y at the end, (n,)."""
        return self.state + self.stages[-1]

    def at(self, time: float) -> np.ndarray:
        """Return y at a time within the step, (n,), by the polynomial of order 3 through the stages."""
        if self.end == self.start:
            return self.state
        share = (time - self.start) / (self.end - self.start)
        return self.state + np.array([share, share**2, share**3]) @ (_POLYNOMIAL @ self.stages)


def begin(state: np.ndarray, first: float, time: float = 0.0) -> Step:
    """Return the step of no length that an integration begins with; ``first`` is the size it will try."""
    none = np.zeros((0, len(state)))
    return Step(time, time, state, np.zeros((3, len(state))), first, none)


def covering(problem: Problem, step: Step, time: float) -> Step:
    """Return the step that covers ``time``, taking as many as it needs from ``step`` on.

    Raises:
        GrokscopeError: the step size falls below what the precision of t resolves.

    Example:
        >>> decay = Problem(lambda t, y: -y, lambda t, y: -np.eye(1), 1e-10, 1e-8)
        >>> round(float(covering(decay, begin(np.ones(1), 0.1), 2.0).at(2.0)[0]), 6)
        0.135335
    """
    while step.end < time:
        step = _next(problem, step)
    return step


def _next(problem: Problem, before: Step) -> Step:
    time, state, size = before.end, before.last, before.following
    scale = problem.absolute + problem.relative * np.abs(state)
    slope = problem.slopes(np.array([time]), state[None])[0]
    jacobian, fresh = before.jacobian, False
    if not len(jacobian):
        jacobian, fresh = problem.jacobian(time, state), True
    while True:
        if size < 4 * np.spacing(max(abs(time), 1e-300)):
            raise GrokscopeError(f"the integration stands still at t = {time:g}: loosen the tolerance.")
        guess = _extrapolated(before, size)
        stages, contraction = _newton(problem, time, state, size, jacobian, guess, scale)
        if stages is None:
            if fresh:
                size /= 2
            else:
                jacobian, fresh = problem.jacobian(time, state), True
            continue
        matrix = lu_factor(_REAL / size * np.eye(len(state)) - jacobian, check_finite=False)
        estimate = lu_solve(matrix, slope + _ERROR @ stages / size, check_finite=False)
        error = _norm(estimate / np.maximum(scale, problem.absolute + problem.relative * np.abs(state + stages[-1])))
        if error > 1 and (before.start == before.end or not math.isfinite(error)):
            # Hairer and Wanner, eq. 8.20: where the first estimate is too pessimistic for stiff components
            again = problem.slopes(np.array([time]), (state + estimate)[None])[0]
            error = _norm(lu_solve(matrix, again + _ERROR @ stages / size, check_finite=False) / scale)
        factor = LEAST_FACTOR if not math.isfinite(error) else SAFETY * max(error, 1e-10) ** -0.25
        factor = min(LARGEST_FACTOR, max(LEAST_FACTOR, factor))
        if not error <= 1:
            size *= min(factor, 0.9)
            continue
        keep = jacobian if contraction <= SLOW else np.zeros((0, len(state)))
        # a step that hardly changes is left as it is: its size is then a round number no longer, but stable
        return Step(time, time + size, state, stages, size * (1.0 if 1 <= factor < 1.2 else factor), keep)


def _extrapolated(before: Step, size: float) -> np.ndarray:
    """Return the stages that the last step's polynomial foresees, (3, n)."""
    if before.end == before.start:
        return np.zeros((3, len(before.state)))
    return np.stack([before.at(before.end + node * size) for node in _NODES]) - before.last


def _newton(
    problem: Problem,
    time: float,
    state: np.ndarray,
    size: float,
    jacobian: np.ndarray,
    stages: np.ndarray,
    scale: np.ndarray,
) -> tuple[np.ndarray | None, float]:
    """Return the stages that solve Z = h A F(Z) with how fast Newton contracted; None where it does not converge."""
    count = len(state)
    matrix = lu_factor(np.eye(3 * count) - size * np.kron(_STAGES, jacobian), check_finite=False)
    target = max(10 * np.finfo(float).eps / problem.relative, min(0.03, problem.relative**0.5))
    last, rate = math.inf, 0.0
    for iteration in range(MOST_ITERATIONS):
        slopes = problem.slopes(time + size * _NODES, state + stages)
        if not np.isfinite(slopes).all():
            return None, rate
        change = lu_solve(matrix, (size * _STAGES @ slopes - stages).ravel(), check_finite=False).reshape(3, count)
        norm = _norm(change / scale)
        if iteration:
            rate = norm / last if last > 0 else 0.0
            left = MOST_ITERATIONS - 1 - iteration
            if rate >= 1 or rate**left / (1 - rate) * norm > target:
                return None, rate
        stages = stages + change
        if norm == 0 or (iteration and rate / (1 - rate) * norm < target) or (not iteration and norm < 1e-2 * target):
            return stages, rate
        last = norm
    return None, rate


def _norm(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
