"""What is computed of a seed's runs for each claim on diagonal networks; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from grokscope.papers.lyu2024.diagonal import DECAY_CELLS, GAUSSIAN, NORM_CELLS, NORMS, SPARSE, norm_cell
from grokscope.recipes.readings import TIME, first, last, slope, until, value_at

Runs = Mapping[str, Any]
Values = dict[str, float | None]
RATIO = "transition_forecast/norm_ratio"
ONSET = 1.05
"""Where the norm is 5 % above that of pure decay, the onset."""


def onset(run: Any) -> float:
    """Return the time t at which the norm passes 1.05 of pure decay; infinity if it never does."""
    return first(run, RATIO, ONSET, clock=TIME)


def decay_of(run: Any) -> float:
    """Return λ."""
    return float(run.spec["learner"]["weight_decay"])


def grokking_times(runs: Runs) -> Values:
    """Return the steps at which train accuracy is 1 and test accuracy passes 0.74 and 0.98, and the final norm."""
    run = runs[SPARSE]
    return {
        "accuracy_74_step": first(run, "test/accuracy", 0.74),
        "accuracy_98_step": first(run, "test/accuracy", 0.98),
        "fit_step": first(run, "train/accuracy", 1.0),
        "final_norm": final_norm(run),
        "final_loss": last(run, "train/loss"),
    }


def misgrokking_times(runs: Runs) -> Values:
    """Return the steps at which test accuracy falls through 0.9, 0.75 and 0.6, and what it falls from and to."""
    run = runs[GAUSSIAN]
    found = {f"accuracy_{level}_step": _falls(run, level / 100) for level in (90, 75, 60)}
    return {
        **found,
        "early_accuracy": value_at(run, "test/accuracy", 1000.0, clock=TIME),
        "final_norm": final_norm(run),
        "final_accuracy": last(run, "test/accuracy"),
    }


def _falls(run: Any, level: float) -> float:
    """Return the step at which test accuracy falls through a level after it was above it."""
    steps, values = run.series("test/accuracy")
    highest = int(np.argmax(values))
    below = np.flatnonzero(values[highest:] <= level)
    if not len(below):
        return math.inf
    here = highest + int(below[0])
    if here == 0 or values[here - 1] == values[here]:
        return float(steps[here])
    share = (values[here - 1] - level) / (values[here - 1] - values[here])
    return float(steps[here - 1] * (steps[here] / steps[here - 1]) ** share)


def final_norm(run: Any) -> float:
    """Return ‖θ‖ at the end."""
    return math.sqrt(last(run, "weights/sum_of_squares"))


def early_is_max_l2_margin(runs: Runs) -> Values:
    """Return the cosine to the classifier of maximal L2 margin at λt = 1."""
    run = runs[SPARSE]
    return {"cosine_l2": value_at(run, "max_margin/cosine_l2", 1 / decay_of(run), clock=TIME)}


def late_is_max_l1_margin(runs: Runs) -> Values:
    """Return the cosine to the classifier of maximal L1 margin and the KKT residual at the end."""
    run = runs[SPARSE]
    return {"cosine_l1": last(run, "max_margin/cosine_l1"), "residual": last(run, "stationarity/residual")}


def norm_decays(runs: Runs) -> Values:
    """Return the largest deviation of the norm from pure decay, relative, until half of the time of the onset."""
    run = runs[SPARSE]
    found = onset(run)
    if not math.isfinite(found):
        return {"deviation": None}
    return {"deviation": float(np.abs(until(run, RATIO, found / 2, clock=TIME) - 1).max()), "onset_time": found}


def onset_by_scale(runs: Runs) -> Values:
    """Return the slope of λ times the onset in the logarithm of the initial norm, and the onsets."""
    found = {name: decay_of(runs[name]) * onset(runs[name]) for name in NORM_CELLS}
    line = slope([math.log(norm) for norm in NORMS], list(found.values()))
    return {"slope": line, **{f"at_{norm}": found[norm_cell(norm)] for norm in NORMS}}


def onset_by_decay(runs: Runs) -> Values:
    """Return how λ times the onset changes from a weight decay to the next smaller one: at most, and in all."""
    found = [decay_of(runs[name]) * onset(runs[name]) for name in DECAY_CELLS]
    changes = np.diff(found)
    named = {f"at_{decay_of(runs[name]):g}": value for name, value in zip(DECAY_CELLS, found, strict=True)}
    return {"largest_change": float(changes.max()), "total_change": float(changes.sum()), **named}


def roles_swapped(runs: Runs) -> Values:
    """Return test accuracies of both oracles and of the network at the end, and how near it is to each in its time.

    ``late_gap`` is between the accuracies of network and classifier of maximal L1 margin at the end, ``early_cosine``
    that of the weights to the classifier of maximal L2 margin at λt = 1.
    """
    run = runs[GAUSSIAN]
    late, final = last(run, "max_margin/late_accuracy"), last(run, "test/accuracy")
    return {
        "oracle_accuracy": last(run, "max_margin/early_accuracy"),
        "final_accuracy": final,
        "late_oracle_accuracy": late,
        "late_gap": abs(final - late),
        "early_cosine": value_at(run, "max_margin/cosine_l2", 1 / decay_of(run), clock=TIME),
    }


def resolved(runs: Runs) -> Values:
    """Return by what share the onset moves when the tolerance is halved."""
    coarse, fine = onset(runs[norm_cell(128)]), onset(runs["half-tolerance"])
    return {"moved": abs(fine / coarse - 1)}
