"""What the claims on MNIST are judged by, from the runs of a seed; imports no torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.analysis.transitions import TransitionRule, transition
from grokscope.papers.liu2023.landscape_statistics import Landscape, landscape_of
from grokscope.papers.liu2023.mnist_experiments import (
    DECAY_CELLS,
    ENTROPY_CELLS,
    ENTROPY_SCALES,
    MNIST,
    SCALE,
    SCALE_CELLS,
)
from grokscope.recipes.readings import last, slope, value_at
from grokscope.theory.norm_decay import decay_steps

Runs = Mapping[str, Any]
Values = dict[str, float | None]


def moments(run: Any) -> tuple[float, float]:
    """Return when a run fitted and generalised by its own rule, infinity for never."""
    found = transition(run.series, TransitionRule.model_validate(run.spec["transition"]))
    fit, generalise = found.fit_step, found.generalise_step
    return math.inf if fit is None else max(fit, 1.0), math.inf if generalise is None else max(generalise, 1.0)


def delay(run: Any) -> float | None:
    """Return how many times later a run generalised than it fitted, infinity for never; None if it never fitted."""
    fit, generalise = moments(run)
    return generalise / fit if math.isfinite(fit) else None


def norm_at(run: Any, step: float) -> float:
    """Return √Σθ² at a step, NaN where it was not measured."""
    return math.sqrt(value_at(run, "weights/sum_of_squares", step))


def groks(runs: Runs) -> Values:
    """Return how many times later the main run generalises than it fits, both steps, and accuracies then and after."""
    run = runs[MNIST]
    fit, generalise = moments(run)
    return {
        "delay_ratio": delay(run),
        "fit_step": fit,
        "generalise_step": generalise,
        "test_at_fit": value_at(run, "test/accuracy", fit) if math.isfinite(fit) else None,
        "test_accuracy": last(run, "test/accuracy"),
    }


def decay_law(runs: Runs) -> Values:
    """Return the slope of ln t_gen over ln γ, of all cells and of the two with least decay; None if one is censored."""
    cells = [runs[name] for name in DECAY_CELLS]
    decays = [math.log(_decay(run)) for run in cells]
    times = [math.log(moments(run)[1]) for run in cells]
    each = {f"generalise_step_{number}": moments(run)[1] for number, run in enumerate(cells, 1)}
    return {"slope": slope(decays, times), "smallest_slope": slope(decays[:2], times[:2]), **each}


def fit_law(runs: Runs) -> Values:
    """Return the range of t_fit over the weight decays as a share of its mean, and the slope of ln t_fit over ln γ."""
    cells = [runs[name] for name in DECAY_CELLS]
    times = [moments(run)[0] for run in cells]
    spread = float(np.ptp(times) / np.mean(times)) if np.isfinite(times).all() else None
    law = slope([math.log(_decay(run)) for run in cells], np.log(times).tolist())
    return {"spread": spread, "slope": law, **{f"fit_step_{n}": step for n, step in enumerate(times, 1)}}


def by_examples(runs: Runs) -> Values:
    """Return the least factor by which t_gen falls from one training size to the next, and what never generalises.

    ``censored`` counts the sizes, from the smallest, that did not generalise, None where none did: that is no critical
    size. A larger size that did not makes ``least_fall`` 0.
    """
    cells = sorted(runs.values(), key=lambda run: run.spec["task"]["train_examples"])
    times = [moments(run)[1] for run in cells]
    censored = sum(1 for _ in itertools.takewhile(math.isinf, times))
    falls = [before / after for before, after in itertools.pairwise(times[max(censored - 1, 0) :])]
    each = {f"generalise_step_{run.spec['task']['train_examples']}": t for run, t in zip(cells, times, strict=True)}
    if censored == len(times):
        return {"least_fall": None, "censored": None, **each}
    return {"least_fall": min(falls) if falls else None, "censored": censored, **each}


def by_scale(runs: Runs) -> Values:
    """Return the delay at each α, of the smallest, and how many times longer that of the largest is."""
    names = [*SCALE_CELLS, *(name for name in runs if name not in SCALE_CELLS)]
    found = _delays([runs[name] for name in names])
    delays = list(found.values())
    return {"smallest_scale": delays[0], "rise": _over(delays[-1], delays[0]), **found}


def by_entropy(runs: Runs) -> Values:
    """Return the delay with the cross-entropy at each α: of the largest, and of that which delays squared errors."""
    found = _delays([runs[name] for name in ENTROPY_CELLS])
    return {"largest_scale": found[f"delay_{ENTROPY_SCALES[-1]:g}"], "usual_scale": found[f"delay_{SCALE:g}"], **found}


def forecast(run: Any, goal: float) -> float:
    """Return t_fit + ln(w_fit / w) / −ln(1 − ηγ), when weight decay alone reaches a norm w after the fit.

    Infinity where the run never fits.
    """
    fit, _ = moments(run)
    if not math.isfinite(fit):
        return math.inf
    return fit + decay_steps(norm_at(run, fit), goal, float(run.spec["optimizer"]["learning_rate"]), _decay(run))


def forecasts(runs: Runs) -> Values:
    """Return :func:`missed` of the forecast from the norm of the landscape's least test loss, the critical norm."""
    return missed(runs, _land(runs).critical.norm)


def level_forecasts(runs: Runs) -> Values:
    """Return :func:`missed` of the forecast from the largest norm at which the landscape's test accuracy is enough.

    That is the accuracy from which a run counts as generalised.
    """
    level = TransitionRule.model_validate(runs[DECAY_CELLS[0]].spec["transition"]).generalise.level
    return missed(runs, _land(runs).reaching(level))


def missed(runs: Runs, goal: float) -> Values:
    """Return by which factor, at most, a forecast misses t_gen over the weight decays, and each over what happened."""
    cells = [runs[name] for name in DECAY_CELLS]
    told = [forecast(run, goal) if math.isfinite(goal) else math.nan for run in cells]
    ratios = [step / moments(run)[1] for step, run in zip(told, cells, strict=True)]
    known = [ratio for ratio in ratios if math.isfinite(ratio) and ratio > 0]
    return {
        "worst_factor": max(max(ratio, 1 / ratio) for ratio in known) if len(known) == len(ratios) else None,
        "forecast_slope": slope([math.log(_decay(run)) for run in cells], np.log(told).tolist()),
        "norm": goal,
        **{f"ratio_{number}": ratio for number, ratio in enumerate(ratios, 1)},
    }


def _land(runs: Runs) -> Landscape:
    return landscape_of([run for name, run in runs.items() if name not in DECAY_CELLS])


def _decay(run: Any) -> float:
    return float(run.spec["optimizer"]["weight_decay"])


def _delays(cells: Sequence[Any]) -> Values:
    return {f"delay_{run.spec['model']['initial_scale']:g}": delay(run) for run in cells}


def _over(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None or math.isinf(other) else one / other
