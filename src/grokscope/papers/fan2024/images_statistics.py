"""What the claims on MNIST are judged by, from the runs of a seed; imports no torch.

Layers are counted from 1, the readout last. Which layers stand for "the deep ones", levels and shares are the sheet's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from grokscope.analysis.logistics import best_rises
from grokscope.analysis.ranks import rank_correlation
from grokscope.analysis.series import running_median
from grokscope.analysis.stages import double_descent, lag, stages
from grokscope.analysis.transitions import plateau
from grokscope.papers.fan2024.images_experiments import (
    DECAYS,
    DEPTHS,
    LARGE,
    MIDDLE,
    PROBE,
    RANK,
    SMALL,
    named,
)
from grokscope.recipes.readings import first, last, over

Runs = Mapping[str, Any]
Values = dict[str, float | None]
Regime = Literal["none", "immediate", "grokking", "two-stage", "collapse"]

FIT, GENERALISED = 0.95, 0.8
WITHOUT_DELAY = 1.25
"""Steps of generalisation over those of the fit up to which a run generalises without delay."""
SWING = 0.05
"""Of the width: the least fall or rise of a rank that counts."""
NEAR = 0.15
"""Decades within which two moves are at the same time."""
LOOKS = 30
"""How often the paper measures ranks and probes in a run."""
LOST = 0.9
"""Share of the best train accuracy below which the fit is lost, and the accuracy below which a network underfits."""
KINDS = ("numerical", "effective")
REGIMES: Mapping[tuple[int, float], Regime] = {
    (SMALL, 0.005): "none",
    (SMALL, 0.01): "grokking",
    (SMALL, 0.05): "two-stage",
    (MIDDLE, 0.005): "immediate",
    (MIDDLE, 0.01): "grokking",
    (MIDDLE, 0.05): "two-stage",
}
"""What Fan et al. 2024 (Figs 6 and 7) report of 12 layers, by images and weight decay."""


def layers_of(run: Any) -> list[str]:
    """Return the linear layers of a run's network in their order, the readout last."""
    return [f"layers.{number}" for number in range(len(run.spec["model"]["widths"]) + 1)]


def width_of(run: Any) -> int:
    """Return the width of the hidden layers."""
    return int(run.spec["model"]["widths"][0])


def rank(run: Any, kind: str, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and one kind of rank of a layer, both (points,), where it is finite."""
    return over(run, f"{RANK}/{kind}@{layer}")


def looked_at(run: Any, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and values of a key, both (points,), from the first moment on that the paper measures ranks at.

    It does so 30 times, evenly spread: first after a thirtieth of the run, when what only the start has done is over.
    """
    steps, values = over(run, key)
    late = steps >= steps[-1] / LOOKS
    return steps[late], values[late]


def stage_count(run: Any) -> int:
    """Return in how many stages test accuracy rises (:func:`grokscope.analysis.stages.stages`)."""
    return len(stages(*over(run, "test/accuracy")))


def gap(fit: float, generalise: float) -> float:
    """Return log10(t_generalise / t_fit); infinity where it never generalises, NaN where it never fits.

    Example:
        >>> gap(100, 1000), gap(100, math.inf)
        (1.0, inf)
    """
    if not math.isfinite(fit):
        return math.nan
    return math.log10(generalise / fit) if math.isfinite(generalise) else math.inf


def depth_delays(runs: Runs) -> Values:
    """Return how many times later the next deeper network fits and generalises, at least, and how much its gap grows.

    ``fit_rise`` and ``generalise_rise`` are the smaller factor of 4 to 8 and 8 to 12 layers; never is infinity, and no
    factor above it is known. ``gap_rise`` is log10(t_test / t_train) of 12 layers less that of 4.
    """
    at = {depth: (crossing(runs, depth, "train", FIT), crossing(runs, depth, "test", GENERALISED)) for depth in DEPTHS}
    gaps = {depth: gap(*at[depth]) for depth in DEPTHS}
    shallow, deep = gaps[DEPTHS[0]], gaps[DEPTHS[-1]]
    found: Values = {
        "fit_rise": _least_factor([at[depth][0] for depth in DEPTHS]),
        "generalise_rise": _least_factor([at[depth][1] for depth in DEPTHS]),
        "gap_rise": None if math.isnan(deep) or not math.isfinite(shallow) else deep - shallow,
    }
    for depth in DEPTHS:
        found[f"fit_{depth}"], found[f"generalise_{depth}"] = at[depth]
    return found


def crossing(runs: Runs, depth: int, probe: str, level: float) -> float:
    """Return when the network of a depth reaches an accuracy on 5000 images; infinity if never."""
    return first(runs[named(depth, MIDDLE)], f"{probe}/accuracy", level)


def _least_factor(times: Sequence[float]) -> float | None:
    factors = []
    for before, after in pairwise(times):
        if not math.isfinite(before):
            return None
        factors.append(after / before)
    return min(factors)


def two_stages(runs: Runs) -> Values:
    """Return the number of stages of test accuracy at each depth, and how much the later ones of 12 layers gain.

    ``rises_…`` are how many logistic rises describe the same curves best, one or two: a second opinion.
    """
    found: Values = {f"stages_{depth}": float(stage_count(runs[named(depth, LARGE)])) for depth in DEPTHS}
    deepest = stages(*over(runs[named(DEPTHS[-1], LARGE)], "test/accuracy"))
    found["later_gain"] = sum(stage.height for stage in deepest[1:])
    for depth in DEPTHS:
        best = best_rises(*over(runs[named(depth, LARGE)], "test/accuracy"))
        found[f"rises_{depth}"] = None if best is None else float(len(best.heights))
    return found


def descents(runs: Runs) -> Values:
    """Return the share of layers whose rank falls as test accuracy rises, within ±0.15 decades, over its runs.

    Of the layers from the sixth to the last hidden one of the networks given: those at whose best lag of −d rank behind
    d accuracy, by log-time, the two moves are no further apart. ``effective_share`` is of the effective rank,
    ``numerical_share`` of the numerical one; a rank that does not move is not near. ``effective_lag`` and
    ``numerical_lag`` are the medians. All over what the paper looks at (:func:`looked_at`).
    """
    found: Values = {}
    for kind in KINDS:
        lags = {name: _lags(run, kind) for name, run in runs.items()}
        known = [value for each in lags.values() for value in each if value is not None]
        found[f"{kind}_share"] = _near([value for each in lags.values() for value in each])
        found[f"{kind}_lag"] = float(np.median(known)) if known else None
        found |= {f"{kind}_share of {name}": _near(each) for name, each in lags.items()}
    return found


def _near(lags: Sequence[float | None]) -> float:
    """Return the share of lags that are known and within :data:`NEAR`."""
    return sum(value is not None and abs(value) <= NEAR + 1e-9 for value in lags) / len(lags)


def _lags(run: Any, kind: str) -> list[float | None]:
    accuracy = looked_at(run, "test/accuracy")
    found = []
    for layer in layers_of(run)[5:-1]:
        steps, values = looked_at(run, f"{RANK}/{kind}@{layer}")
        together = lag(accuracy, (steps, -values))
        found.append(None if together is None else together[0])
    return found


def rank_descents(runs: Runs) -> Values:
    """Return in how many layers a rank falls, rises and falls, each by 5 % of the width, with 7000 images.

    Over what the paper looks at (:func:`looked_at`).
    """
    run = runs[named(12, LARGE)]
    least = SWING * width_of(run)
    found: Values = {}
    for kind in KINDS:
        ranks = [looked_at(run, f"{RANK}/{kind}@{layer}") for layer in layers_of(run)[:-1]]
        found[f"{kind}_layers"] = float(sum(double_descent(*one, least) is not None for one in ranks))
    return found


def probe_agreement(runs: Runs) -> Values:
    """Return the least Spearman correlation over hidden layers of probe with test accuracy, and that of each layer.

    ``least`` is over all that was measured, ``least_looked`` over what the paper looks at (:func:`looked_at`).
    """
    (run,) = runs.values()
    places, values = over(run, "test/accuracy")
    found: Values = {}
    for name, seen in (("", over), ("_looked", looked_at)):
        each: Values = {}
        for number, layer in enumerate(layers_of(run)[:-1], start=1):
            steps, probe = seen(run, f"{PROBE}/test@{layer}")
            each[f"layer_{number}{name}"] = rank_correlation(probe, np.interp(steps, places, values))
        known = [value for value in each.values() if value is not None]
        found |= {f"least{name}": min(known) if len(known) == len(each) else None, **each}
    return found


def norms_and_ranks(runs: Runs) -> Values:
    """Return how far apart norms and ranks of 12 layers on 2000, 5000 and 7000 images are, at most over training.

    ``norm_gap`` is the largest norm over the smallest at the same step, less 1; ``rank_gap`` the largest difference
    between the ranks of one hidden layer at one step over the width, numerical; ``effective_gap`` that of effective
    ranks.
    """
    cells = [runs[named(12, examples)] for examples in (SMALL, MIDDLE, LARGE)]
    norms = [np.sqrt(values) for values in _shared([over(run, "weights/sum_of_squares") for run in cells])]
    found: Values = {"norm_gap": float((np.max(norms, 0) / np.min(norms, 0)).max() - 1)}
    for name, kind in (("rank_gap", "numerical"), ("effective_gap", "effective")):
        gaps = [
            np.ptp(_shared([rank(run, kind, layer) for run in cells]), 0).max() for layer in layers_of(cells[0])[:-1]
        ]
        found[name] = float(max(gaps)) / width_of(cells[0])
    return found


def _shared(series: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the values of series at the steps that all of them have, (series, points)."""
    steps = series[0][0]
    for at, _ in series[1:]:
        steps = np.intersect1d(steps, at)
    return np.array([values[np.isin(at, steps)] for at, values in series])


PAPER_TUNNELS = {MIDDLE: {4: 1, 8: 3, 12: 6}, LARGE: {4: 1, 8: 5, 12: 6}}
"""Layers whose numerical rank is below 0.75 of the width, the readout among them, as Fan et al. 2024 report."""


def tunnels(runs: Runs) -> Values:
    """Return how long the tunnel of each network is at the end, and how far from the paper's table at most.

    ``least_growth`` is by how many layers the tunnel is longer in 12 than in 4 layers, the smaller of both sizes;
    ``disorder`` how many layers it is shorter in a deeper network, at most.
    """
    found: Values = {}
    differences, growth, disorder = [], [], []
    for examples, table in PAPER_TUNNELS.items():
        lengths = [last(runs[named(depth, examples)], f"{RANK}/tunnel_length") for depth in DEPTHS]
        found |= {f"length_{depth}_{examples}": one for depth, one in zip(DEPTHS, lengths, strict=True)}
        differences += [abs(one - table[depth]) for depth, one in zip(DEPTHS, lengths, strict=True)]
        growth.append(lengths[-1] - lengths[0])
        disorder += [before - after for before, after in pairwise(lengths)]
    return {
        "least_growth": min(growth),
        "disorder": max(0.0, *disorder),
        "difference": max(differences),
        **found,
    }


def collapse_step(run: Any) -> float | None:
    """Return from which step on the fit of a run is lost with the rank of its layers, or None.

    The fit is lost where the median train accuracy of the last tenth of the observations is below 0.9 of the best
    (running median over 3), from the first step on after which it stays below that. A network whose best is below 0.9
    underfits: it never had what it lost. With the rank: some hidden layer's numerical or effective rank ends below half
    of its largest; of a network that underfits the step is where the first such rank stays below that half.
    """
    steps, values = over(run, "train/accuracy")
    smooth = running_median(values)
    level = LOST * float(smooth.max())
    lost = [step for layer in layers_of(run)[:-1] for kind in KINDS for step in _halved(*rank(run, kind, layer))]
    if not lost:
        return None
    if plateau(values) < level:
        return _from_then_on(steps, smooth < level)
    return min(lost) if smooth.max() < LOST else None


def _halved(steps: np.ndarray, values: np.ndarray) -> list[float]:
    """Return the step from which a rank stays below half of its largest; nothing where it does not."""
    if not len(values) or values[-1] >= 0.5 * values.max():
        return []
    return [_from_then_on(steps, values < 0.5 * values.max())]


def _from_then_on(steps: np.ndarray, holds: np.ndarray) -> float:
    """Return the step from which something holds to the end, where it holds at the end."""
    fails = np.flatnonzero(~holds)
    return float(steps[min(fails[-1] + 1, len(steps) - 1)]) if len(fails) else float(steps[0])


def regime(run: Any) -> Regime:
    """Return how a run generalises.

    ``collapse`` where fit and rank are lost (:func:`collapse_step`); ``none`` where test accuracy never reaches 0.8;
    ``two-stage`` where it rises in two stages or more; else ``immediate`` where it gets there no later than 1.25 times
    the step at which train accuracy is 0.95, and ``grokking`` where later.
    """
    if collapse_step(run) is not None:
        return "collapse"
    fit, generalise = first(run, "train/accuracy", FIT), first(run, "test/accuracy", GENERALISED)
    if not math.isfinite(generalise):
        return "none"
    if stage_count(run) >= 2:
        return "two-stage"
    return "grokking" if generalise > WITHOUT_DELAY * fit else "immediate"


NUMBERS: Mapping[Regime, float] = {"collapse": -1, "none": 0, "immediate": 1, "grokking": 2, "two-stage": 3}
"""How a verdict writes a regime."""


def regimes(runs: Runs) -> Values:
    """Return in how many of the six cells the regime is the paper's, and each as a number (:data:`NUMBERS`).

    ``order`` is how many of the four steps from one weight decay to the next bring generalisation earlier.
    """
    found: Values = {}
    matches = order = 0
    for examples in (SMALL, MIDDLE):
        times = []
        for decay in DECAYS:
            run = runs[named(12, examples, decay)]
            kind = regime(run)
            matches += kind == REGIMES[examples, decay]
            found[f"regime_{examples}_{decay:g}"] = NUMBERS[kind]
            times.append(first(run, "test/accuracy", GENERALISED))
        order += sum(after < before for before, after in pairwise(times))
    return {"matches": float(matches), "order": float(order), **found}
