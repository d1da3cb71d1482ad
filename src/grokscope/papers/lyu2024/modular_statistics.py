"""What is computed of a seed's runs for each claim on modular addition; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from grokscope.analysis.transitions import crossing
from grokscope.papers.lyu2024.modular import COLLAPSED, DECAYS, MAIN, SCALES, WITHOUT
from grokscope.recipes.readings import TIME, first, last, over, value_at

Runs = Mapping[str, Any]
Values = dict[str, float | None]
LOG_TIME = "clock/log_time"
SUSTAIN = 2
FITTED = 0.99


def reaches(run: Any, level: float, clock: str = TIME) -> float:
    """Return where test accuracy reaches a level after the fit, on a clock; infinity if it never does.

    A network that knows nothing may answer 5 % of some hundred pairs by chance.
    """
    fit = first(run, "train/accuracy", FITTED, clock=clock)
    at, values = over(run, "test/accuracy", clock)
    later = at >= fit
    found = crossing(at[later], values[later], level, sustain=SUSTAIN)
    return math.inf if found is None else found


def scaled_half(run: Any) -> float:
    """Return λ times the time at which test accuracy reaches one half."""
    return float(run.spec["optimizer"]["weight_decay"]) * reaches(run, 0.5)


def sharpness(run: Any) -> float:
    """Return t_95 / t_5 of test accuracy: 1 is a jump."""
    return reaches(run, 0.95) / reaches(run, 0.05)


def groks(runs: Runs) -> Values:
    """Return the times of the fit and of half of the test accuracy, and the accuracies then and at the end."""
    run = runs[MAIN]
    fit = first(run, "train/accuracy", 1.0, clock=TIME)
    half = reaches(run, 0.5)
    return {
        "accuracy_at_fit": value_at(run, "test/accuracy", fit, clock=TIME) if math.isfinite(fit) else None,
        "final_accuracy": last(run, "test/accuracy"),
        "half_over_fit": half / fit,
        "fit_time": fit,
        "half_time": half,
    }


def later_and_sharper(runs: Runs) -> Values:
    """Return whether λ t_50 rises and t_95/t_5 falls from each start to the next larger one (1 or 0), with both.

    ``shift`` is what the time of one half moves by from α = 10 to 100, over (ln 10)/λ.
    """
    cells = [runs[name] for name in SCALES]
    halves, sharp = [scaled_half(run) for run in cells], [sharpness(run) for run in cells]
    found: Values = {
        "later": float(all(np.diff(halves) > 0)) if np.isfinite(halves).all() else 0.0,
        "sharper": float(all(np.diff(sharp) < 0)) if np.isfinite(sharp).all() else 0.0,
        "shift": (halves[2] - halves[1]) / math.log(10),
    }
    for run, half, sharpened in zip(cells, halves, sharp, strict=True):
        scale = run.spec["model"]["initial_scale"]
        found |= {f"scaled_half_{scale:g}": half, f"sharpness_{scale:g}": sharpened}
    return found


def sooner_with_decay(runs: Runs) -> Values:
    """Return how the time of one half falls with weight decay.

    ``ratio`` is that at the smallest decay over that at the next; ``ordered`` is 1 where each larger decay is sooner.
    """
    names = [name for name in ("modular-scale-1", *DECAYS) if name in runs]
    cells = sorted((runs[name] for name in names), key=lambda run: run.spec["optimizer"]["weight_decay"])
    halves = [reaches(run, 0.5) for run in cells]
    return {"ratio": halves[0] / halves[1], "ordered": float(all(np.diff(halves) < 0)), "half_time": halves[0]}


def collapses(runs: Runs) -> Values:
    """Return the train accuracy at the end, its best one, and the best test accuracy, where decay is too large."""
    _, train = over(runs[COLLAPSED], "train/accuracy")
    _, test = over(runs[COLLAPSED], "test/accuracy")
    found = {"train_accuracy": float(train[-1]), "test_accuracy": float(test.max())}
    return {**found, "best_train_accuracy": float(train.max())}


def not_sharp(runs: Runs) -> Values:
    """Return log10 of the times of the fit and of 5, 50 and 95 % of the test accuracy, and their ratios.

    ``margin_fell`` is the largest share by which the normalised margin is below what it was before: 0 under flow.
    """
    run = runs[WITHOUT]
    fit = first(run, "train/accuracy", FITTED, clock=LOG_TIME) / math.log(10)
    five, half, most = (reaches(run, level, LOG_TIME) / math.log(10) for level in (0.05, 0.5, 0.95))
    _, margin = over(run, "margin/train/normalised")
    positive = margin[margin > 0]
    highest = np.maximum.accumulate(positive) if len(positive) else np.ones(1)
    return {
        "half_over_first": half / five,
        "first_over_fit": five / fit,
        "spread": most / five,
        "half": half,
        "fit": fit,
        "first": five,
        "most": most,
        "margin_fell": float((1 - positive / highest).max()) if len(positive) else None,
        "final_accuracy": last(run, "test/accuracy"),
    }
