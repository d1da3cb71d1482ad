"""Slingshots: short returns of the train loss after the fit, set apart so that no phase begins or ends in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grokscope.analysis.definitions import DEFINITIONS, Definitions
from grokscope.analysis.series import Series, finite

TRAIN_ACCURACY = "train/accuracy"
TRAIN_LOSS = "train/loss"
Stretch = tuple[float, float]


def slingshots(series: Series, fit_step: float | None = None, definitions: Definitions = DEFINITIONS) -> list[Stretch]:
    """Return the slingshots of a run as (first step above, first step back), in order.

    In a slingshot train loss > factor · max(running minimum since the fit, floor), factor 100, floor
    1e-7 nats. It has to come back: a stretch that lasts to the end of the run, or until more than twice
    the step at which it began, is another course of the run and no slingshot. Thilak et al. 2022 name it.

    Args:
        series: reads ``train/loss``; without it there are none.
        fit_step: where the run fitted; absent: its first train accuracy above ``fitted_accuracy``.
        definitions: the constants.

    Example:
        >>> steps, loss = np.array([100, 110, 120, 130, 140]), np.array([1e-3, 1e-4, 1.0, 1e-4, 1e-4])
        >>> slingshots(lambda key: (steps, loss), fit_step=100)
        [(120.0, 130.0)]
    """
    loss = finite(series, TRAIN_LOSS)
    fit = _fitted(series, definitions) if fit_step is None else fit_step
    if loss is None or fit is None:
        return []
    steps, values = (column[loss[0] >= fit] for column in loss)
    if len(steps) < 3:
        return []
    least = np.maximum(np.minimum.accumulate(values), definitions.slingshot_floor)
    above = np.concatenate([[False], values[1:] > definitions.slingshot_factor * least[:-1], [False]])
    starts, ends = np.flatnonzero(~above[:-1] & above[1:]) + 1, np.flatnonzero(above[:-1] & ~above[1:]) + 1
    return [
        (float(steps[start]), float(steps[end]))
        for start, end in zip(starts, ends, strict=True)
        if end < len(steps) and steps[end] <= definitions.slingshot_ratio * steps[start]
    ]


def _fitted(series: Series, definitions: Definitions) -> float | None:
    accuracy = finite(series, TRAIN_ACCURACY)
    if accuracy is None:
        return None
    fitted = np.flatnonzero(accuracy[1] > definitions.fitted_accuracy)
    return float(accuracy[0][fitted[0]]) if len(fitted) else None


def without(series: Series, stretches: Sequence[Stretch]) -> Series:
    """Return a reader of the same scalars that leaves out every observation in [start, end) of a stretch."""
    if not stretches:
        return series

    def read(key: str) -> tuple[np.ndarray, np.ndarray]:
        steps, values = series(key)
        kept = np.ones(len(steps), dtype=bool)
        for start, end in stretches:
            kept &= (steps < start) | (steps >= end)
        return steps[kept], values[kept]

    return read


def until(series: Series, last: float | None) -> Series:
    """Return a reader of the same scalars up to and including the step ``last``; all of them if it is None."""
    if last is None:
        return series

    def read(key: str) -> tuple[np.ndarray, np.ndarray]:
        steps, values = series(key)
        return steps[steps <= last], values[steps <= last]

    return read
