"""What is computed of a seed's runs for each claim on matrix completion; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from grokscope.papers.lyu2024.completion import (
    ALPHA_CELLS,
    ALPHAS,
    DECAY_CELLS,
    FINE,
    MAIN,
    PERTURBED,
    alpha_cell,
)
from grokscope.recipes.readings import TIME, first, last, over, slope, value_at

Runs = Mapping[str, Any]
Values = dict[str, float | None]
WINDOW = (0.5, 1.5)
"""λt between which the power of the unobserved entries is fitted, within the kernel regime."""
EXCESS = 1.05
"""Norm over that of pure decay at the onset."""


def decay_of(run: Any) -> float:
    """Return λ."""
    return float(run.spec["learner"]["weight_decay"])


def scale_of(run: Any) -> float:
    """Return α."""
    return float(run.spec["model"]["initial_scale"])


def half(run: Any, clock: str | None = TIME) -> float:
    """Return when test loss is half of that of the completion of the kernel regime; infinity if never."""
    return first(run, "test/loss", last(run, "completion/early_test_loss") / 2, falling=True, clock=clock)


def completion_times(runs: Runs) -> Values:
    """Return the step of half the plateau, the plateau at λt = 1, and the end beside the convex optimum."""
    run = runs[MAIN]
    final, optimum = last(run, "test/loss"), last(run, "completion/late_test_loss")
    steps, losses = over(run, "train/loss")
    plateau = value_at(run, "test/loss", 1 / decay_of(run), clock=TIME)
    return {
        "half_step": half(run, None),
        "plateau": plateau,
        "final_over_optimum": final / optimum,
        "final_loss": final,
        "optimum_loss": optimum,
        "train_after_10": float(np.interp(10, steps, losses)),
        "twentieth_step": first(run, "test/loss", plateau / 20, falling=True),
    }


def unobserved_are_zero(runs: Runs) -> Values:
    """Return the mean size of unobserved entries at λt = 1 and their power of α e^{−λt} until λt = 1.5."""
    run = runs[MAIN]
    at, values = over(run, "completion/unobserved_mean", TIME)
    scaled = at * decay_of(run)
    inside = (scaled >= WINDOW[0]) & (scaled <= WINDOW[1]) & (values > 0)
    return {
        "exponent": slope(list(math.log(scale_of(run)) - scaled[inside]), list(np.log(values[inside]))),
        "unobserved": value_at(run, "completion/unobserved_mean", 1 / decay_of(run), clock=TIME),
    }


def late_is_least_nuclear_norm(runs: Runs) -> Values:
    """Return at the end the distance to the late completion, ‖θ‖² over the nuclear norm, and the rank."""
    return _end(runs[MAIN])


def perturbed_ends_there(runs: Runs) -> Values:
    """Return the same of the run from a perturbed start."""
    return _end(runs[PERTURBED])


def _end(run: Any) -> Values:
    keys = ("late_distance", "nuclear_consistency", "effective_rank")
    return {key: last(run, f"completion/{key}") for key in keys}


def transition_by_scale(runs: Runs) -> Values:
    """Return the slope of λ times the transition in the logarithm of the initial scale, and that of the onset."""
    halves = [decay_of(runs[name]) * half(runs[name]) for name in ALPHA_CELLS]
    onsets = [decay_of(runs[name]) * onset(runs[name]) for name in ALPHA_CELLS]
    logarithms = [math.log(alpha) for alpha in ALPHAS]
    named = {f"at_{alpha}": value for alpha, value in zip(ALPHAS, halves, strict=True)}
    return {"slope": slope(logarithms, halves), "onset_slope": slope(logarithms, onsets), **named}


def transition_by_decay(runs: Runs) -> Values:
    """Return λ times the transition at each weight decay, and the range of these."""
    found = {f"at_{decay_of(runs[name]):g}": decay_of(runs[name]) * half(runs[name]) for name in DECAY_CELLS}
    return {"range": max(found.values()) - min(found.values()), **found}


def onset(run: Any) -> float:
    """Return the time t at which the norm passes 1.05 of pure decay; infinity if it never does."""
    return first(run, "transition_forecast/norm_ratio", EXCESS, clock=TIME)


def resolved(runs: Runs) -> Values:
    """Return by what share the transition moves when the tolerance is halved."""
    coarse, fine = half(runs[alpha_cell(10)]), half(runs[FINE])
    return {"moved": abs(fine / coarse - 1)}
