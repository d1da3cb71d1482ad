"""What is computed of a seed's runs for the claim on label noise; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from grokscope.papers.lyu2024.label_noise import HALF, NAME, RATES, name_of
from grokscope.recipes.readings import TIME, first, slope, until

Values = dict[str, float | None]
RATIO = "transition_forecast/norm_ratio"


def steps_to_half(run: Any) -> float:
    """Return the step from which test loss is below half of minimum-norm interpolation's; infinity if it never is.

    Three observations in a row must be: the loss of a network that label noise moves fluctuates.
    """
    return first(run, "test/loss", HALF, sustain=3, falling=True)


def rate_of(run: Any) -> float:
    """Return η."""
    return float(run.spec["learner"]["learning_rate"])


def steps_by_rate(runs: Mapping[str, Any]) -> Values:
    """Return how far steps · η² is from its mean over learning rates, at most and relative, and what it is at each.

    ``power`` is the slope of log steps in log η, −2 in theory; ``norm_deviation`` the largest deviation of the norm
    from the decay that the noise amounts to, at η = 1e-3 up to t = 62.
    """
    steps = [steps_to_half(runs[name_of(rate)]) for rate in RATES]
    scaled = np.array([count * rate**2 for count, rate in zip(steps, RATES, strict=True)])
    deviation = float(np.abs(scaled / scaled.mean() - 1).max()) if np.isfinite(scaled).all() else math.inf
    norms = until(runs[NAME], RATIO, 62.0, clock=TIME)
    return {
        "largest_deviation": deviation,
        "power": slope([math.log(rate) for rate in RATES], [math.log(count) for count in steps]),
        **{f"at_{rate:g}": float(value) for rate, value in zip(RATES, scaled, strict=True)},
        "norm_deviation": float(np.abs(norms - 1).max()),
    }
