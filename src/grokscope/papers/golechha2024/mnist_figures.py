"""The figures on MNIST over training, from stored numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grokscope.analysis.seeds import interval, present
from grokscope.papers.golechha2024 import mnist_statistics as statistics
from grokscope.papers.golechha2024.mnist_experiments import CURVE, DROPOUT, FITTED, GENERALISED, SHARES
from grokscope.recipes.curves import curve_of, phase_bands
from grokscope.recipes.grids import grid_rows
from grokscope.recipes.readings import first
from grokscope.report import theme
from grokscope.report.figures import Curve, Figure, Vertical, lines
from grokscope.report.phase_diagram import phase_diagram
from grokscope.report.runs import Run
from grokscope.report.text import number

TRAIN, TEST, NORM = "#0072B2", "#D55E00", "#000000"
ENTROPY, COMPLEXITY, SPARSITY = "#009E73", "#CC79A7", "#E69F00"
UNSEEN, PREDICTED = "#882255", "#999999"
DELTA, START, DECAY = "learner.l2", "model.initial_scale", "optimizer.weight_decay"
Phases = Sequence[dict[str, Any]]
NAMES = {
    "norm": "norm",
    "entropy": "weight entropy",
    "complexity": "circuit complexity",
    "sparsity": "activation sparsity",
    "scale_free": "weight entropy, scale-free",
    "output_change": "change of the outputs",
}


def progress(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return accuracies, and norm and measures between their extremes (Golechha 2024, Figs 1 and 2)."""
    curves = [
        *curve_of(runs, "train/accuracy", "train accuracy", colour=TRAIN, dash="dash"),
        *curve_of(runs, "test/accuracy", "test accuracy", colour=TEST),
    ]
    for key, name, colour, dash in (
        (statistics.SQUARES, "norm", NORM, "solid"),
        (statistics.ENTROPY, "weight entropy", ENTROPY, "solid"),
        (statistics.COMPLEXITY, "circuit complexity, log", COMPLEXITY, "solid"),
        (statistics.SPARSITY, "activation sparsity", SPARSITY, "solid"),
    ):
        shape = np.sqrt if key == statistics.SQUARES else np.log if key == statistics.COMPLEXITY else np.asarray
        curves += [_between(one, shape) for one in curve_of(runs, key, name, colour=colour, dash=dash)]
    return lines(
        "Three measures, the norm and the accuracy",
        curves,
        y_title="accuracy, or share of the range",
        bands=phase_bands(phases),
        verticals=_moments(runs),
    )


def _moments(runs: Sequence[Run]) -> list[Vertical]:
    """Return when several seeds fitted and generalised, medians and ranges; of one run the phases say it."""
    if len(runs) < 2:
        return []
    found = []
    for name, key, level, dash in (
        ("fitted", statistics.TRAIN, FITTED, "dash"),
        ("generalised", statistics.TEST, GENERALISED, "dashdot"),
    ):
        steps = [step for run in runs if run.has(key) and (step := first(run, key, level)) < math.inf]
        if steps:
            # a range of seeds that are not all there would be too narrow
            ends = (min(steps), max(steps)) if len(steps) == len(runs) else (None, None)
            found.append(Vertical(name, float(np.median(steps)), dash=dash, low=ends[0], high=ends[1]))  # type: ignore[arg-type]
    return found


def _between(curve: Curve, shape: Callable[[Any], Any]) -> Curve:
    """Return a curve between 0 and 1, its least and largest values in its name."""
    values = np.asarray(curve.values, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = [
            np.asarray(shape(np.asarray(one, float))) for one in (values, curve.low, curve.high) if one is not None
        ]
    finite = scaled[0][np.isfinite(scaled[0])]
    if not finite.size or np.ptp(finite) == 0:
        return replace(curve, values=np.full_like(values, 0.5), low=None, high=None)
    low, span = float(finite.min()), float(np.ptp(finite))
    drawn = [(one - low) / span for one in scaled]
    ends = np.sqrt([values.min(), values.max()]) if shape is np.sqrt else [np.nanmin(values), np.nanmax(values)]
    name = f"{curve.name}, {number(float(ends[0]))} to {number(float(ends[1]))}"
    ribbon = {"low": drawn[1], "high": drawn[2]} if len(drawn) == 3 else {}
    return replace(curve, name=name, values=drawn[0], **ribbon)


def norm_split(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the norm, split by whether an output depends on the parameter, with what is predicted of dead weights."""
    whole = curve_of(runs, statistics.SQUARES, "all parameters", colour=NORM)
    curves = [
        *(_rooted(one) for one in whole),
        *curve_of(runs, statistics.SEEN, "with a gradient", colour=TRAIN),
        *curve_of(runs, statistics.UNSEEN, "without a gradient", colour=UNSEEN),
        *curve_of(runs, "dead_weights/matrix_dead_norm", "of pixels never on", module="layers.0.weight", colour=TEST),
        *_prediction(runs),
    ]
    return lines(
        "Which weights the norm is of", curves, y_title="Euclidean norm", log_y=True, bands=phase_bands(phases)
    )


def _rooted(curve: Curve) -> Curve:
    ends = {name: None if one is None else np.sqrt(one) for name, one in (("low", curve.low), ("high", curve.high))}
    return replace(curve, values=np.sqrt(curve.values), **ends)


def _prediction(runs: Sequence[Run]) -> list[Curve]:
    """Return the norm of dead weights of the first run as its settings say it is, where it has any."""
    having = [run for run in runs if run.has("dead_weights/matrix_dead_norm", "layers.0.weight")]
    if not having:
        return []
    steps, values = having[0].series(statistics.FIRST_DEAD)
    if not values[0] > 0:
        return []
    whose = f" (seed {having[0].spec['seed']['base']})" if len(runs) > 1 else ""
    return [
        Curve(f"the same, predicted{whose}", steps, statistics.predicted_dead_norm(having[0], steps), PREDICTED, "dash")
    ]


def scale_free(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the forms of the measures that do not know the scale of the weights."""
    used = curve_of(runs, "weight_entropy/used_share", "share of the weights in use", module="layers.0.weight")
    curves = [
        *(replace(one, colour=ENTROPY) for one in used),
        *curve_of(runs, statistics.CHANGE, "change of the outputs (right axis)", colour=COMPLEXITY, axis="right"),
        *curve_of(runs, statistics.SPARSITY, "activation sparsity", colour=SPARSITY),
        *curve_of(runs, "units/dead_mean", "units never on", colour=UNSEEN, dash="dash"),
        *curve_of(runs, "units/always_on_mean", "units always on", colour=PREDICTED, dash="dot"),
    ]
    return lines(
        "The same measures without the scale",
        curves,
        y_title="share",
        right_title="‖z − z′‖ / ‖z‖",
        bands=phase_bands(phases),
        y_range=(-0.02, 1.03),
    )


def loss(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test loss."""
    curves = [
        *curve_of(runs, "train/loss", "train", colour=TRAIN),
        *curve_of(runs, "test/loss", "test", colour=TEST),
    ]
    return lines("Loss", curves, y_title="loss", log_y=True, bands=phase_bands(phases))


def pruning(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return how far the outputs move with several shares of the weights at 0."""
    keys = {0.1: "circuit_complexity", **dict(zip(SHARES, CURVE, strict=True))}
    curves = [
        one
        for share, key in sorted(keys.items())
        for one in curve_of(runs, f"{key}/output_change", f"{share:.0%} of the weights")
    ]
    title = "Circuit complexity by the share of the weights"
    return lines(title, curves, y_title="‖z − z′‖ / ‖z‖", log_y=True, bands=phase_bands(phases))


def dropout(by_experiment: Mapping[str, Sequence[Run]]) -> Figure:
    """Return the accuracies with dropout and without (Golechha 2024, Fig. 3)."""
    curves = []
    for name, runs in by_experiment.items():
        told, colour = ("with dropout", TEST) if name == DROPOUT else ("without", TRAIN)
        for probe, dash in (("train", "dash"), ("test", "solid")):
            curves += curve_of(runs, f"{probe}/accuracy", f"{told}, {probe}", colour=colour, dash=dash)
    return lines("With dropout and without", curves, y_title="accuracy", y_range=(-0.02, 1.03))


def correlations(by_experiment: Mapping[str, Sequence[Run]]) -> Figure:
    """Return rank correlations with test accuracy: within runs, and over the cells of a seed given the norm."""
    every = [run for runs in by_experiment.values() for run in runs if _known(run)]
    seeds: dict[int, list[Run]] = {}
    for run in every:
        seeds.setdefault(run.spec["seed"]["base"], []).append(run)
    within = [statistics.correlations(run) for run in every]
    over = [statistics.over_cells(runs) for runs in seeds.values()]
    data: list[dict[str, Any]] = []
    shown: list[str] = []
    for name, told in NAMES.items():
        kinds = [(within, name, told, TRAIN)]
        if name != "norm":
            kinds.append((over, f"partial_{name}", f"{told}, given the norm", TEST))
        for rows, key, label, colour in kinds:
            values = present([row.get(key) for row in rows])
            if values:
                data += _forest(values, label, len(shown), colour)
                shown.append(label)
    layout = theme.layout(
        "How the measures go with test accuracy after the fit",
        height=140 + 38 * max(len(shown), 1),
        hovermode="closest",
        showlegend=False,
        xaxis=theme.axis(
            "rank correlation with test accuracy", range=[-1.05, 1.05], zeroline=True, zerolinecolor="#888888"
        ),
        yaxis=theme.axis("", tickvals=list(range(len(shown))), ticktext=shown, range=[len(shown) - 0.5, -0.5]),
    )
    return {"data": data, "layout": layout}


def _known(run: Run) -> bool:
    return all(run.has(key.partition("@")[0]) for key in (statistics.ENTROPY, statistics.SQUARES, "test/accuracy"))


def _forest(values: list[float], label: str, place: int, colour: str) -> list[dict[str, Any]]:
    """Return a dot for each run, and the median with its interval."""
    middle = float(np.median(values))
    ends = interval(values) or (middle, middle)
    # dots of equal height hide one another
    offsets = np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else np.zeros(1)
    told = f"{label}: {middle:.2f} [{ends[0]:.2f}, {ends[1]:.2f}], of {len(values)}"
    dots = {
        "type": "scatter", "mode": "markers", "x": values, "y": (place + offsets).tolist(), "name": label,
        "marker": {"size": 5, "color": theme.translucent(colour, 0.45)}, "hovertemplate": "%{x:.2f}<extra></extra>",
    }  # fmt: skip
    line = {
        "type": "scatter", "mode": "lines", "x": list(ends), "y": [place, place], "name": label,
        "line": {"color": colour, "width": 4}, "hoverinfo": "skip",
    }  # fmt: skip
    mark = {
        "type": "scatter", "mode": "markers", "x": [middle], "y": [place], "name": told,
        "marker": {"size": 12, "color": colour, "symbol": "diamond"}, "hovertemplate": f"{told}<extra></extra>",
    }  # fmt: skip
    return [dots, line, mark]


def grid(by_experiment: Mapping[str, Sequence[Run]]) -> Figure:
    """Return when the cells without a reward generalised, over their start and their weight decay."""
    chosen = {name: [run for run in runs if not run.spec["learner"].get("l2")] for name, runs in by_experiment.items()}
    rows = grid_rows({name: runs for name, runs in chosen.items() if runs}, (START, DECAY))
    labels = {START: "start α", DECAY: "weight decay"}
    return phase_diagram("Fit and generalisation, without a reward", rows, (START, DECAY), labels=labels)
