"""What the claims on the student of a random network are judged by, from the runs of a seed; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.analysis.landscape import grokking_window, least_loss, mismatch
from grokscope.papers.liu2023.teacher_student_experiments import (
    DECAYS,
    LANDSCAPE,
    LEVEL,
    SWEEP,
    SWEEP_SCALE,
    THRESHOLDS,
    named,
)
from grokscope.recipes.readings import first, last, over, slope, value_at
from grokscope.theory.norm_decay import decay_steps

Runs = Mapping[str, Any]
Values = dict[str, float | None]
LOOSE, STRICT = THRESHOLDS
SMALL, LARGE = 0.5, SWEEP_SCALE
"""Starts of Fig. 2b that generalise fast, and late."""


@dataclass(frozen=True)
class Landscape:
    """Reduced losses over norms of the weights, in rising order; each (norms,).

    ``least_train`` and ``least_test`` are the least over the training rather than those at its end, which is early
    stopping by the very loss that is shown.
    """

    norms: np.ndarray
    train: np.ndarray
    test: np.ndarray
    least_train: np.ndarray
    least_test: np.ndarray


def landscape(runs: Sequence[Any]) -> Landscape:
    """Return the losses of runs whose norm was held, one a norm, at their ends and at their least.

    Raises:
        UsageError: a run has no losses or no norm.
    """
    ordered = sorted(runs, key=lambda run: last(run, "weights/sum_of_squares"))
    curves = {key: [over(run, key)[1] for run in ordered] for key in ("train/loss", "test/loss")}
    # of the updated parameters alone: at step 0 nothing is reduced
    return Landscape(
        np.array([math.sqrt(last(run, "weights/sum_of_squares")) for run in ordered]),
        *(np.array([values[-1] for values in curves[key]]) for key in curves),
        *(np.array([values.min() for values in curves[key]]) for key in curves),
    )


def landscape_shape(runs: Runs) -> Values:
    """Return how far the reduced training loss is an L and the reduced test loss a U.

    ``train_share`` is the largest training loss at norms above w_c, where test loss is least, over the largest of all;
    ``interior`` is 1 where the least test loss is at neither end, ``ends`` the lower of those at the ends over it.
    ``least_scale`` is w_c over the norm of the usual start, ``window`` how many times the norm grows in the grokking
    window above w_c, ``mismatch`` its area. Values with ``best_`` are of the least losses over training instead of the
    last ones.
    """
    found = landscape(list(runs.values()))
    usual = _usual_norm(runs, found)
    return {
        **_shape(found.norms, found.train, found.test, usual),
        **{
            f"best_{name}": value
            for name, value in _shape(found.norms, found.least_train, found.least_test, usual).items()
        },
    }


def _usual_norm(runs: Runs, found: Landscape) -> float:
    scales = sorted(float(run.spec["model"]["initial_scale"]) for run in runs.values())
    return float(np.interp(0.0, np.log(scales), found.norms))


def _shape(norms: np.ndarray, train: np.ndarray, test: np.ndarray, usual: float) -> Values:
    given = [values.tolist() for values in (norms, train, test)]
    least = least_loss(given[0], given[2])
    above = train[norms > least.norm]
    windows = [ends for ends in grokking_window(*given) if ends[1] > least.norm]
    return {
        "train_share": float(above.max() / train.max()) if len(above) else None,
        "interior": float(least.interior),
        "ends": float(min(test[0], test[-1]) / test.min()),
        "least_scale": least.norm / usual,
        "window": math.prod(high / low for low, high in windows),
        "mismatch": mismatch(*given),
    }


def fitted(run: Any, threshold: str = LOOSE) -> float:
    """Return the step at which 95 % of the training examples are within a threshold; infinity for never."""
    return max(first(run, f"threshold_accuracy/train@{threshold}", LEVEL), 1.0)


def generalised(run: Any, threshold: str = LOOSE) -> float:
    """Return the step at which 95 % of the test examples are within a threshold; infinity for never."""
    return max(first(run, f"threshold_accuracy/test@{threshold}", LEVEL), 1.0)


def _ratio(run: Any, threshold: str) -> float | None:
    fit = fitted(run, threshold)
    return generalised(run, threshold) / fit if math.isfinite(fit) else None


def decay_slope(runs: Runs) -> Values:
    """Return the slope of ln t_gen over ln γ from a large start, at the looser threshold.

    ``strict_slope_all`` is at the stricter threshold, ``strict_slope`` without the largest decay there, at which the
    norm falls below that of the networks that generalise and test data are lost again before they are within it. None
    where a run never generalised.
    """
    sweep = _sweep(runs)
    times = {
        threshold: [generalised(runs[named(SWEEP_SCALE, decay)], threshold) for decay in sweep]
        for threshold in THRESHOLDS
    }

    def fitted_line(threshold: str, count: int) -> float | None:
        return slope([math.log(decay) for decay in sweep[:count]], [math.log(t) for t in times[threshold][:count]])

    return {
        "slope": fitted_line(LOOSE, len(sweep)),
        "strict_slope": fitted_line(STRICT, len(sweep) - 1),
        "strict_slope_all": fitted_line(STRICT, len(sweep)),
        **{f"generalise_step_{decay:g}": time for decay, time in zip(sweep, times[LOOSE], strict=True)},
        **{f"strict_generalise_step_{decay:g}": time for decay, time in zip(sweep, times[STRICT], strict=True)},
    }


def fit_spread(runs: Runs) -> Values:
    """Return by what share the step of fitting varies over weight decays, its largest over its least less 1."""
    steps = {decay: fitted(runs[named(SWEEP_SCALE, decay)]) for decay in _sweep(runs)}
    known = all(math.isfinite(step) for step in steps.values())
    return {
        "spread": max(steps.values()) / min(steps.values()) - 1 if known else math.inf,
        **{f"fit_step_{decay:g}": step for decay, step in steps.items()},
    }


def small_start(runs: Runs) -> Values:
    """Return the largest delay ratio from a small start over weight decays, and what the small start gains.

    The ratio is at the looser threshold, whose error a small start is soon below. ``least_gain`` is therefore at the
    stricter one: how many times earlier than the large start of the same weight decay the small one generalises, the
    least over decays; a large start that never does counts with the run's last observation.
    """
    small, large = ({decay: runs[named(scale, decay)] for decay in DECAYS} for scale in (SMALL, LARGE))
    ratios = [_ratio(run, LOOSE) for run in small.values()]
    known = [ratio for ratio in ratios if ratio is not None]
    strict = {decay: generalised(run, STRICT) for decay, run in small.items()}
    waited = {
        decay: min(generalised(run, STRICT), float(over(run, "test/loss")[0][-1])) for decay, run in large.items()
    }
    return {
        "largest_ratio": max(known) if len(known) == len(ratios) else None,
        "least_gain": min(waited[decay] / strict[decay] for decay in DECAYS),
        "large_start_ratio": _ratio(large[0.0], LOOSE),
        **{f"generalise_step_{decay:g}": generalised(run) for decay, run in small.items()},
        **{f"strict_generalise_step_{decay:g}": time for decay, time in strict.items()},
    }


def largest_accurate_norm(runs: Sequence[Any]) -> float | None:
    """Return the largest norm of a landscape at which 95 % of the test examples are within the looser threshold.

    Between two norms the share is linear in the logarithm of the norm. None where there is none, or it is the largest.
    """
    ordered = sorted(runs, key=lambda run: last(run, "weights/sum_of_squares"))
    norms = [0.5 * math.log(last(run, "weights/sum_of_squares")) for run in ordered]
    shares = [last(run, f"threshold_accuracy/test@{LOOSE}") for run in ordered]
    inside = [index for index, share in enumerate(shares) if share >= LEVEL]
    if not inside or inside[-1] == len(shares) - 1:
        return None
    at = inside[-1]
    along = (shares[at] - LEVEL) / (shares[at] - shares[at + 1])
    return math.exp(norms[at] + along * (norms[at + 1] - norms[at]))


def forecast(run: Any, norm: float) -> dict[str, float | None]:
    """Return when weight decay alone has taken the norm from that at the fit to ``norm``, as a step; None for never.

    Source: Liu et al. 2023, Sec. 2, where it is w_c. As an accuracy by threshold is passed before the loss is least,
    ``norm`` is here the largest at which the landscape passes it.
    """
    name = "norm decays to that of the landscape (theory)"
    fit = fitted(run)
    square = value_at(run, "weights/sum_of_squares", fit)
    if not math.isfinite(square):
        return {name: None}
    optimizer = run.spec["optimizer"]
    steps = decay_steps(math.sqrt(square), norm, optimizer["learning_rate"], optimizer["weight_decay"])
    return {name: fit + steps if math.isfinite(steps) else None}


def landscape_forecast(runs: Runs) -> Values:
    """Return by what factor the landscape's forecast of the step of generalising is wrong at most over weight decays.

    ``norm`` is that of the landscape, ``forecast_…`` and ``generalise_step_…`` are by weight decay. No value where the
    landscape has no such norm, infinity where a run does not generalise.
    """
    norm = largest_accurate_norm([run for name, run in runs.items() if name.startswith(LANDSCAPE)])
    if norm is None:
        return {"worst_factor": None}
    factors, found = [], {}
    for decay in _sweep(runs):
        run = runs[named(SWEEP_SCALE, decay)]
        [foreseen], late = forecast(run, norm).values(), generalised(run)
        found |= {f"forecast_{decay:g}": foreseen, f"generalise_step_{decay:g}": late}
        factors.append(math.inf if foreseen is None else max(foreseen / late, late / foreseen))
    return {"worst_factor": max(factors), "norm": norm, **found}


def _sweep(runs: Runs) -> list[float]:
    return [decay for decay in SWEEP if named(SWEEP_SCALE, decay) in runs]
