"""Initial value problems of gradient flows by the explicit Runge-Kutta-Chebyshev method, of order 2, with dense output.

s stages reach 2/3 s² times as far as one explicit step where the Jacobian's eigenvalues are real and negative, as those
of a gradient flow near its valley are; no linear system is solved. As in :mod:`grokscope.linalg.radau` the steps depend
on the error alone and a step is a value that can be stored. Formulas: Sommeijer, Shampine and Verwer 1998.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from grokscope.errors import GrokscopeError

DAMPING = 2 / 13
MOST_STAGES = 400
SAFETY = 0.8
LEAST_FACTOR, LARGEST_FACTOR = 0.1, 5.0


@dataclass(frozen=True)
class Flow:
    """dy/dt = slope(y), which does not depend on t; ``radius`` bounds the eigenvalues of its Jacobian at y.

    ``absolute`` and ``relative`` are tolerances of a step's error: its root mean square over the entries, each over
    absolute + relative · size, with the root mean square of y as the size. One scale for all entries is right where
    they mix, as those of a matrix do under rotations.
    """

    slope: Callable[[np.ndarray], np.ndarray]
    radius: Callable[[np.ndarray], float]
    absolute: float
    relative: float


@dataclass(frozen=True)
class Step:
    """A step of the method, whole: y and its slope at both ends, all of one shape, and the size the next one tries."""

    start: float
    end: float
    before: np.ndarray
    after: np.ndarray
    slope_before: np.ndarray
    slope_after: np.ndarray
    following: float

    def at(self, time: float) -> np.ndarray:
        """Return y at a time within the step by the cubic through values and slopes at its ends."""
        size = self.end - self.start
        if not size:
            return self.after
        s = (time - self.start) / size
        return (
            (1 + 2 * s) * (1 - s) ** 2 * self.before
            + s**2 * (3 - 2 * s) * self.after
            + size * (s * (1 - s) ** 2 * self.slope_before - s**2 * (1 - s) * self.slope_after)
        )


def begin(flow: Flow, state: np.ndarray, time: float = 0.0) -> Step:
    """Return the step of no length that an integration begins with; its first size is one explicit step's."""
    slope = flow.slope(state)
    # an error that is too large is found out; a state of 0 has no size to compare a first step with
    return Step(time, time, state, state, slope, slope, 0.25 / flow.radius(state))


def covering(flow: Flow, step: Step, time: float) -> Step:
    """Return the step that covers ``time``, taking as many as it needs from ``step`` on.

    Raises:
        GrokscopeError: the step size falls below what the precision of t resolves.

    Example:
        >>> decay = Flow(lambda y: -y, lambda y: 1.0, 1e-12, 1e-6)
        >>> step = covering(decay, begin(decay, np.ones(1)), 2.0)
        >>> round(float(step.at(2.0)[0]), 4)
        0.1353
    """
    while step.end < time:
        step = _next(flow, step)
    return step


def _next(flow: Flow, last: Step) -> Step:
    time, state, slope, size = last.end, last.after, last.slope_after, last.following
    radius = flow.radius(state)
    while True:
        if size < 4 * np.spacing(max(abs(time), 1e-300)):
            raise GrokscopeError(f"the integration stands still at t = {time:g}: loosen the tolerance.")
        stages = max(2, 1 + math.floor(math.sqrt(1 + 1.54 * size * radius)))
        if stages > MOST_STAGES:
            stages = MOST_STAGES
            size = (stages - 1) ** 2 / 1.54 / radius
        after = _stages(flow, state, slope, size, stages)
        slope_after = flow.slope(after)
        estimate = 0.8 * (state - after) + 0.4 * size * (slope + slope_after)
        scale = flow.absolute + flow.relative * max(_size(state), _size(after))
        error = _size(estimate) / scale
        factor = SAFETY * max(error, 1e-12) ** (-1 / 3) if math.isfinite(error) else LEAST_FACTOR
        factor = min(LARGEST_FACTOR, max(LEAST_FACTOR, factor))
        if error <= 1:
            return Step(time, time + size, state, after, slope, slope_after, size * factor)
        size *= min(factor, 0.9)


def _stages(flow: Flow, state: np.ndarray, slope: np.ndarray, size: float, stages: int) -> np.ndarray:
    first, table = _coefficients(stages)
    earlier, here = state, state + first * size * slope
    for mu, nu, pull, start_pull in table:
        following = (1 - mu - nu) * state + mu * here + nu * earlier
        following += size * (pull * flow.slope(here) + start_pull * slope)
        earlier, here = here, following
    return here


@lru_cache(maxsize=MOST_STAGES)
def _coefficients(stages: int) -> tuple[float, list[tuple[float, float, float, float]]]:
    """Return the factor of the first stage and (μ, ν, μ̃, γ̃) of the second to the last."""
    shift = 1 + DAMPING / stages**2
    values, slopes, bends = [1.0, shift], [0.0, 1.0], [0.0, 0.0]
    for _ in range(2, stages + 1):
        values.append(2 * shift * values[-1] - values[-2])
        slopes.append(2 * values[-2] + 2 * shift * slopes[-1] - slopes[-2])
        bends.append(4 * slopes[-2] + 2 * shift * bends[-1] - bends[-2])
    scale = slopes[stages] / bends[stages]
    weights = [0.0, 1 / shift, *(bends[j] / slopes[j] ** 2 for j in range(2, stages + 1))]
    weights[0] = weights[2]
    table = []
    for j in range(2, stages + 1):
        pull = 2 * weights[j] * scale / weights[j - 1]
        table.append(
            (
                2 * weights[j] * shift / weights[j - 1],
                -weights[j] / weights[j - 2],
                pull,
                -(1 - weights[j - 1] * values[j - 1]) * pull,
            )
        )
    return weights[1] * scale, table


def _size(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
