"""What a claim reads off a run's stored scalars: when a level is crossed, what a value was then, what it is at the end.

Each takes ``clock``, the key of a clock (``clock/time``) to count by instead of the optimizer step. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from grokscope.analysis.series import RunLike, on_clock
from grokscope.analysis.transitions import crossing

TIME = "clock/time"
"""The clock of the gradient flow: the sum of the learning rates."""


def over(run: RunLike, key: str, clock: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and values of a key, both (points,), where it is finite and the clock covers it.

    Raises:
        UsageError: the run has no such key or clock.
    """
    steps, values = run.series(key)
    at = steps.astype(float) if clock is None else on_clock(run.series(clock), steps)
    seen = np.isfinite(values) & np.isfinite(at)
    return at[seen], values[seen]


def first(
    run: RunLike, key: str, level: float, *, sustain: int = 1, falling: bool = False, clock: str | None = None
) -> float:
    """Return where ``key`` crosses ``level`` for ``sustain`` observations in a row; infinity if it never does."""
    at, values = over(run, key, clock)
    found = crossing(at, values, level, sustain=sustain, direction="falling" if falling else "rising")
    return math.inf if found is None else found


def last(run: RunLike, key: str) -> float:
    """Return the last finite value of ``key``; NaN where it has none."""
    _, values = over(run, key)
    return float(values[-1]) if len(values) else math.nan


def value_at(run: RunLike, key: str, position: float, *, clock: str | None = None) -> float:
    """Return ``key`` at a position, linear between observations; NaN outside of them."""
    at, values = over(run, key, clock)
    if not len(at) or not at[0] <= position <= at[-1]:
        return math.nan
    return float(np.interp(position, at, values))


def until(run: RunLike, key: str, position: float, *, clock: str | None = None) -> np.ndarray:
    """Return the values of ``key`` up to and including a position, (points,)."""
    at, values = over(run, key, clock)
    return values[at <= position]


def slope(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return the slope of the line of least squares through (x, y); None where a value is not finite or x is constant.

    Example:
        >>> slope([0.0, 1.0, 2.0], [1.0, 3.0, 5.0])
        2.0
    """
    if len(x) < 2 or not np.isfinite([*x, *y]).all() or np.ptp(x) == 0:
        return None
    centred = np.asarray(x) - np.mean(x)
    return float(centred @ np.asarray(y) / (centred @ centred))
