"""What the claims on MNIST are judged by, from stored scalars; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.analysis import ranks
from grokscope.papers.golechha2024.mnist_experiments import (
    DROPOUT,
    FITTED,
    GENERALISED,
    INCREASING,
    MNIST,
    WITHOUT_DECAY,
)
from grokscope.recipes.readings import first, last, over, value_at

Runs = Mapping[str, Any]
Pool = Mapping[str, Sequence[Any]]
Values = dict[str, float | None]

TRAIN, TEST = "train/accuracy", "test/accuracy"
SQUARES = "weights/sum_of_squares"
ENTROPY, FIRST_ENTROPY = "weight_entropy/sum", "weight_entropy/first"
SCALE_FREE = "weight_entropy/normalised@layers.0.weight"
COMPLEXITY, CHANGE = "circuit_complexity/complexity", "circuit_complexity/output_change"
SPARSITY = "sparsity/mean"
SEEN, UNSEEN = "dead_weights/with_gradient_norm", "dead_weights/without_gradient_norm"
FIRST_DEAD = "dead_weights/matrix_dead_norm@layers.0.weight"
MEASURES = {"entropy": (ENTROPY, -1), "complexity": (COMPLEXITY, -1), "sparsity": (SPARSITY, 1)}
"""The paper's three, with the sign that their correlation with the test accuracy is said to have."""
COMPANIONS = {"scale_free": (SCALE_FREE, -1), "output_change": (CHANGE, -1)}
"""The forms of two of them that do not know the scale."""
TAKEN_OFF = 0.1
"""Of its way from the fit to its largest value: where test accuracy counts as having begun to rise."""
LEAST_POINTS = 4
SIDES = {"digits": 8}
"""Pixels along a side of data sets whose images are not of 28 x 28."""


def fit(run: Any) -> float:
    """Return the step of the fit, 1 at least; infinity if there is none."""
    return max(first(run, TRAIN, FITTED), 1.0)


def delay(run: Any) -> float | None:
    """Return how many times later test than train accuracy reaches its level; infinity for never, None without fit."""
    fitted = fit(run)
    return max(first(run, TEST, GENERALISED), 1.0) / fitted if math.isfinite(fitted) else None


def norm_at(run: Any, step: float) -> float:
    """Return ‖θ‖ at a step."""
    return math.sqrt(value_at(run, SQUARES, step))


def ratio(run: Any, key: str) -> float | None:
    """Return the last value of a key over that at the fit; None where it did not fit or was 0 then."""
    fitted = fit(run)
    if not math.isfinite(fitted):
        return None
    before = value_at(run, key, fitted)
    return last(run, key) / before if before else None


def groks(runs: Runs) -> Values:
    """Return the delay ratio of the run with weight decay, and how much of its norm is lost by the end."""
    run = runs[MNIST]
    return {
        "delay_ratio": delay(run),
        "norm_fall": 1 - norm_at(run, float(over(run, SQUARES)[0][-1])) / norm_at(run, 0),
        "fit_step": first(run, TRAIN, FITTED),
        "generalise_step": first(run, TEST, GENERALISED),
        "accuracy_at_fit": value_at(run, TEST, fit(run)) if math.isfinite(fit(run)) else None,
        "test_accuracy": last(run, TEST),
    }


def _rising(run: Any) -> Values:
    squares, fitted, then = ratio(run, SQUARES), fit(run), first(run, TEST, GENERALISED)
    later = after_fit(run, TEST)[0]
    return {
        "test_accuracy": float(later.max()) if len(later) else None,
        "norm_ratio": None if squares is None else math.sqrt(squares),
        "norm_ratio_then": norm_at(run, then) / norm_at(run, fitted) if max(then, fitted) < math.inf else None,
        "accuracy_at_fit": value_at(run, TEST, fit(run)) if math.isfinite(fit(run)) else None,
        "last_test_accuracy": last(run, TEST),
        "delay_ratio": delay(run),
        "seen_ratio": ratio(run, SEEN),
        "unseen_ratio": ratio(run, UNSEEN),
    }


def generalises_while_growing(runs: Runs) -> Values:
    """Return the largest test accuracy after the fit of the run with a reward, and how its norm has grown since then.

    ``norm_ratio`` is of the end over the fit, ``norm_ratio_then`` of the step at which it generalised; ``seen_ratio``
    and ``unseen_ratio`` are, at the end, of the norm of what has a gradient, and of what has none.
    """
    return _rising(runs[INCREASING])


def generalises_without_decay(runs: Runs) -> Values:
    """Return the same of the run that has neither weight decay nor a reward."""
    return _rising(runs[WITHOUT_DECAY])


def growth_is_unseen(runs: Runs) -> Values:
    """Return how the norm with a gradient has changed since the fit, and how well the growth of dead weights is known.

    ``prediction_error`` is the largest relative distance of the norm of dead weights of the first layer from
    :func:`dead_norm` over the run; ``unseen_share`` the part of Σθ² that has no gradient at the end.
    """
    run = runs[INCREASING]
    at, measured = over(run, FIRST_DEAD)
    predicted = predicted_dead_norm(run, at)
    return {
        "seen_ratio": ratio(run, SEEN),
        "prediction_error": float(np.max(np.abs(measured / predicted - 1))),
        "dead_growth": float(measured[-1] / measured[0]),
        "unseen_share": last(run, "dead_weights/without_gradient_share"),
        "seen_ratio_without_reward": ratio(runs[MNIST], SEEN),
    }


def predicted_dead_norm(run: Any, at: np.ndarray) -> np.ndarray:
    """Return :func:`dead_norm` with the settings of a run, from the norm it began with."""
    optimizer = run.spec["optimizer"]
    shape = first_layer(run)
    return dead_norm(
        at,
        bound=float(run.spec["model"]["initial_scale"]) / math.sqrt(shape[1]),
        start=float(over(run, FIRST_DEAD)[1][0]),
        reward=-float(run.spec["learner"]["l2"]),
        rate=float(optimizer["learning_rate"]),
        decay=float(optimizer["weight_decay"]),
        epsilon=float(optimizer["epsilon"]),
        beta2=float(optimizer["beta2"]),
    )


def dead_norm(
    at: np.ndarray,
    *,
    bound: float,
    start: float,
    reward: float,
    rate: float,
    decay: float,
    epsilon: float,
    beta2: float = 0.999,
) -> np.ndarray:
    """Return the norm of weights that no data sees under AdamW on the loss − δ ‖θ‖², at steps in rising order.

    Their gradient is −2δw alone: a step changes |w| by η (2δ|w| / (√v + ε) − λ |w|), v the second moment. While 2δ|w|
    is far below ε that is exponential growth at η (2δ/ε − λ), and far above it η a step, whatever δ, or somewhat more,
    as v lags behind. Initial sizes are uniform in [0, ``bound``], scaled to the norm at the ``start``; five steps are
    taken at once, for 64 sizes, and the first moment's delay is neglected.

    Example:
        >>> given = dict(bound=0.1, start=2.0, rate=1e-3, decay=0.01, epsilon=1e-8)
        >>> round(float(dead_norm(np.array([0.0, 1000.0]), reward=0.0, **given)[1] / 2 / np.exp(-0.01)), 4)
        1.0
        >>> round(float(dead_norm(np.array([0.0, 1000.0]), reward=2e-10, **given)[1] / 2 / np.exp(0.03)), 3)
        1.0
    """
    sizes = bound * (np.arange(64) + 0.5) / 64
    scale = start / math.sqrt(float(np.mean(sizes**2)))
    moment, found, now = np.zeros(64), [], 0.0
    for then in at:
        count = math.ceil((then - now) / 5) if then > now else 0
        for index in range(count):
            step = (then - now) / count
            pushed = 2 * reward * sizes
            kept = beta2**step
            moment = kept * moment + (1 - kept) * pushed**2
            debiased = moment / (1 - beta2 ** (now + (index + 1) * step))
            sizes = sizes + step * rate * (pushed / (np.sqrt(debiased) + epsilon) - decay * sizes)
        now = float(then)
        found.append(scale * math.sqrt(float(np.mean(sizes**2))))
    return np.array(found)


def first_layer(run: Any) -> tuple[int, int]:
    """Return the shape (outputs, inputs) of the first weight matrix of a run on square images of one channel."""
    task = run.spec["task"]
    side = SIDES.get(task["dataset"], 28) // int(task["pool"])
    return int(run.spec["model"]["widths"][0]), side**2


def after_fit(run: Any, *keys: str) -> list[np.ndarray]:
    """Return keys at the steps after the fit at which all of them were observed, (points,) each; empty without fit."""
    series = [over(run, key) for key in keys]
    steps = series[0][0]
    for at, _ in series[1:]:
        steps = np.intersect1d(steps, at)
    steps = steps[steps >= first(run, TRAIN, FITTED)]
    return [values[np.searchsorted(at, steps)] for at, values in series]


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Return Spearman's rank correlation; None for fewer than four points or where one does not change."""
    return ranks.rank_correlation(x, y, least=LEAST_POINTS)


def partial_correlation(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float | None:
    """Return the rank correlation of x and y without what both share with ``given``; None where nothing is left."""
    return ranks.partial_rank_correlation(x, y, given, least=LEAST_POINTS)


def measure_falls(runs: Runs, key: str, companion: str) -> Values:
    """Return the rank correlation of a measure with test accuracy after the fit, for both runs, with its companion's.

    ``worst`` is the larger of the two: −1 is a fall at every step at which test accuracy rises. ``early_change`` is how
    much the measure changes up to the fit, over its change after it, in the run with weight decay.
    """
    found: Values = {}
    for name, run in (("baseline", runs[MNIST]), ("increasing", runs[INCREASING])):
        accuracy, values, other = after_fit(run, TEST, key, companion)
        found[name] = rank_correlation(values, accuracy)
        found[f"{name}_companion"] = rank_correlation(other, accuracy)
    run = runs[MNIST]
    at_fit = value_at(run, key, fit(run)) if math.isfinite(fit(run)) else math.nan
    after = last(run, key) - at_fit
    found["early_change"] = (at_fit - float(over(run, key)[1][0])) / after if after else None
    known = [found[name] for name in ("baseline", "increasing")]
    worst = None if None in known else max(one for one in known if one is not None)
    return {"worst": worst, **found}


def entropy_falls(runs: Runs) -> Values:
    """Return :func:`measure_falls` of the absolute weight entropy; its companion is the scale-free one."""
    return measure_falls(runs, ENTROPY, SCALE_FREE)


def complexity_falls(runs: Runs) -> Values:
    """Return :func:`measure_falls` of the circuit complexity; its companion is the relative change of the outputs."""
    return measure_falls(runs, COMPLEXITY, CHANGE)


def plateau(run: Any) -> float | None:
    """Return the slope of sparsity in log-time from the fit to where test accuracy takes off, over its earlier maximum.

    Both are in size, slopes between observations. None where it does not fit or test accuracy does not rise after it.
    """
    fitted = fit(run)
    if not math.isfinite(fitted):
        return None
    at, accuracy = over(run, TEST)
    begin = value_at(run, TEST, fitted)
    risen = begin + TAKEN_OFF * (float(accuracy.max()) - begin)
    later = at[(at > fitted) & (accuracy >= risen)]
    steps, values = over(run, SPARSITY)
    early = (steps >= 1) & (steps <= fitted)
    if not len(later) or early.sum() < 2:
        return None
    slopes = np.abs(np.diff(values[early]) / np.diff(np.log(steps[early])))
    change = value_at(run, SPARSITY, float(later[0])) - value_at(run, SPARSITY, fitted)
    return abs(change) / math.log(float(later[0]) / fitted) / float(slopes.max())


def sparsity_waits(runs: Runs) -> Values:
    """Return :func:`plateau` of both runs, ``worst`` the larger, and the rank correlation after the fit."""
    found: Values = {"baseline": plateau(runs[MNIST]), "increasing": plateau(runs[INCREASING])}
    known = [one for one in found.values() if one is not None]
    for name, run in (("baseline", runs[MNIST]), ("increasing", runs[INCREASING])):
        found[f"{name}_correlation"] = rank_correlation(*after_fit(run, SPARSITY, TEST))
    return {"worst": max(known) if len(known) == 2 else None, **found}


def dropout_removes_delay(runs: Runs) -> Values:
    """Return the delay ratio with dropout and without, and how much later it generalises and fits with it."""
    run, other = runs[DROPOUT], runs[MNIST]
    later = {}
    for name, key, level in (("generalise", TEST, GENERALISED), ("fit", TRAIN, FITTED)):
        step, without = first(run, key, level), first(other, key, level)
        later[f"{name}_ratio"] = step / without if math.isfinite(without) else None
        later[f"{name}_step"] = step
    return {"delay_ratio": delay(run), "without": delay(other), **later, "test_accuracy": last(run, TEST)}


def closed_form(runs: Runs) -> Values:
    """Return how far the entropy of the first matrix at the start is from its expectation, over the expectation."""
    run = runs[MNIST]
    rows, columns = first_layer(run)
    bound = float(run.spec["model"]["initial_scale"]) / math.sqrt(columns)
    expected = rows * columns * (bound / 4 - bound / 2 * math.log(bound))
    measured = float(over(run, FIRST_ENTROPY)[1][0])
    return {"error": abs(measured - expected) / abs(expected), "measured": measured, "expected": expected}


def correlations(run: Any) -> Values:
    """Return the rank correlations of a run's measures and norm with test accuracy after the fit, and its leads.

    By name, with ``lead_`` before it for how many decades before test accuracy the measure has made half of its way.
    """
    found: Values = {"norm": rank_correlation(*after_fit(run, SQUARES, TEST))}
    for name, (key, _) in {**MEASURES, **COMPANIONS}.items():
        found[name] = rank_correlation(*after_fit(run, key, TEST))
        found[f"lead_{name}"] = lead(run, key)
    return found


def over_cells(runs: Sequence[Any]) -> Values:
    """Return the rank correlations with test accuracy over the observations after the fit of all runs together.

    By name, with ``partial_`` before it for that given the norm. Cells differ in start, decay and reward, so that the
    norm is not tied to the step, as it is within a run.
    """
    keys = [TEST, SQUARES, *(key for key, _ in {**MEASURES, **COMPANIONS}.values())]
    parts = [after_fit(run, *keys) for run in runs]
    accuracy, squares, *measures = (np.concatenate([part[index] for part in parts]) for index in range(len(keys)))
    found: Values = {"norm": rank_correlation(squares, accuracy)}
    for name, values in zip({**MEASURES, **COMPANIONS}, measures, strict=True):
        found[name] = rank_correlation(values, accuracy)
        found[f"partial_{name}"] = partial_correlation(values, accuracy, squares)
    return found


def lead(run: Any, key: str) -> float | None:
    """Return log10 of the step at which test accuracy has made half of its way after the fit over that of a measure."""
    halves = []
    for one in (TEST, key):
        at, values = over(run, one)
        kept = at >= first(run, TRAIN, FITTED)
        at, values = at[kept], values[kept]
        if len(at) < LEAST_POINTS or values[-1] == values[0]:
            return None
        halves.append(float(at[np.argmax((values - values[0]) / (values[-1] - values[0]) >= 0.5)]))
    return math.log10(halves[0] / halves[1])


def better_than_norm(runs: Pool) -> Values:
    """Return how the measures correlate with test accuracy over the cells and seeds of the grid, beside the norm.

    ``gain_…`` is |ρ_measure| − |ρ_norm| and ``partial_…`` the correlation given the norm times the sign that is claimed
    for it, both by :func:`over_cells`; ``weakest_gain`` is the least over the three measures. ``within_…`` is the
    median over runs of the correlation within a run, ``lead_…`` that of :func:`lead`.
    """
    every = [run for some in runs.values() for run in some]
    together, each = over_cells(every), [correlations(run) for run in every]
    found: Values = {"norm": together["norm"], "within_norm": _middle([row["norm"] for row in each])}
    for name, (_, sign) in {**MEASURES, **COMPANIONS}.items():
        found[name] = together[name]
        found[f"gain_{name}"] = _stronger(together[name], together["norm"])
        partial = together[f"partial_{name}"]
        found[f"partial_{name}"] = None if partial is None else sign * partial
        found[f"within_{name}"] = _middle([row[name] for row in each])
        found[f"lead_{name}"] = _middle([row[f"lead_{name}"] for row in each])
    gains = [found[f"gain_{name}"] for name in MEASURES]
    found["weakest_gain"] = None if None in gains else min(one for one in gains if one is not None)
    return {"runs": float(len([row for row in each if row["norm"] is not None])), **found}


def _stronger(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else abs(one) - abs(other)


def _middle(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return float(np.median(known)) if known else None
