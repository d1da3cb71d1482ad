"""Curves with known change points, on the cadences that runs are observed on."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from grokscope.analysis.transitions import TransitionRule
from grokscope.cadence import Cadence
from grokscope.errors import UsageError

RULE = TransitionRule(fit=("train/accuracy", 0.99), generalise=("test/accuracy", 0.9))
LAST = 20_000
CADENCES = {
    "linear": Cadence(every=100),
    "log": Cadence(per_decade=20),
    "mixed": Cadence(every=200, per_decade=10),
}
GRIDS = {name: np.array(cadence.steps_until(LAST)) for name, cadence in CADENCES.items()}

grids = st.sampled_from(sorted(GRIDS)).map(GRIDS.__getitem__)
seeds = st.integers(0, 2**32 - 1)
noises = st.sampled_from([0.0, 0.01])


def places(lowest: float, highest: float):
    """Steps, drawn evenly in their logarithm."""
    return st.floats(np.log10(lowest), np.log10(highest)).map(lambda place: float(10**place))


def reader(table):
    """Scalars by key, each as (steps, values)."""

    def read(key):
        if key not in table:
            raise UsageError(f"unknown key {key}")
        steps, values = table[key]
        return np.asarray(steps), np.asarray(values, dtype=float)

    return read


def over(steps, **columns):
    """Scalars by key (``__`` for ``/``), all on the same steps."""
    return reader({key.replace("__", "/"): (steps, values) for key, values in columns.items()})


def sigmoid(steps, centre, width, low=0.0, high=1.0):
    """From ``low`` to ``high``, ``width`` decades from 10 % to 90 % of the way; ``low`` at step 0."""
    with np.errstate(divide="ignore"):
        place = (np.log10(steps) - np.log10(centre)) * 2 * np.log(9) / width
    return low + (high - low) * (0.5 + 0.5 * np.tanh(place / 2))


def ramp(steps, start, end, low=0.0, high=1.0):
    """Straight in log-step from ``low`` at ``start`` to ``high`` at ``end``."""
    return np.interp(np.log10(np.maximum(steps, 1e-3)), np.log10([start, end]), [low, high])


def noisy(values, scale, seed):
    """With normal noise of standard deviation ``scale``."""
    return values + np.random.default_rng(seed).normal(0, 1, len(values)) * scale


def apart(steps, first, second):
    """How many intervals of observation lie between two steps."""
    index = np.arange(len(steps))
    return abs(np.interp(first, steps, index) - np.interp(second, steps, index))


def interval(steps, step):
    """The interval of observation around a step, in decades."""
    steps = steps[steps > 0]
    after = int(np.clip(np.searchsorted(steps, step), 1, len(steps) - 1))
    return float(np.log10(steps[after] / steps[after - 1]))
