"""The figures of MNIST over training and over sweeps, from stored numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grokscope.papers.liu2023.landscape_statistics import landscape_of
from grokscope.papers.liu2023.mnist import FORECASTS, SIZES, STARTS
from grokscope.papers.liu2023.mnist_experiments import DECAY_CELLS
from grokscope.papers.liu2023.mnist_statistics import forecast, moments
from grokscope.recipes.curves import curve_of, phase_bands
from grokscope.recipes.grids import grid_rows
from grokscope.report.figures import Curve, Figure, Vertical, band, lines
from grokscope.report.phase_diagram import phase_diagram
from grokscope.report.runs import Run

TRAIN, TEST, NORM, LAW = "#0072B2", "#D55E00", "#000000", "#888888"
THEORY, REACHING = "#009E73", "#CC79A7"
PALETTE = ("#56B4E9", "#0072B2", "#CC79A7", "#D55E00")
Phases = Sequence[dict[str, Any]]
Cells = Mapping[str, Sequence[Run]]


def accuracy(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test accuracy, with the norm of the weights on the right (Liu et al. 2023, Fig. 3d)."""
    curves = [
        *curve_of(runs, "train/accuracy", "train", colour=TRAIN),
        *curve_of(runs, "test/accuracy", "test", colour=TEST),
        *norm_of(runs, "norm of the weights (right axis)", axis="right", colour=NORM, dash="dash"),
    ]
    right: Any = {"right_title": "√Σθ² (parameters)", "right_log": True} if len(curves) > 2 else {}
    return lines("Accuracy", curves, y_title="accuracy", bands=phase_bands(phases), y_range=(-0.02, 1.03), **right)


def loss(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test loss."""
    curves = [
        *curve_of(runs, "train/loss", "train", colour=TRAIN),
        *curve_of(runs, "test/loss", "test", colour=TEST),
    ]
    name = "cross-entropy (nats)" if runs[0].spec["learner"]["loss"] == "cross-entropy" else "mean squared error"
    return lines("Loss", curves, y_title=name, log_y=True, bands=phase_bands(phases))


def norm_of(runs: Sequence[Run], name: str, **style: Any) -> list[Curve]:
    """Return the norm of all parameters over training, of several seeds with its range."""

    def root(curve: Curve) -> Curve:
        ends = {end: None if at is None else np.sqrt(at) for end, at in (("low", curve.low), ("high", curve.high))}
        return replace(curve, values=np.sqrt(curve.values), **ends)

    return [root(curve) for curve in curve_of(runs, "weights/sum_of_squares", name, **style)]


def decays(runs: Cells) -> Figure:
    """Return when runs fitted and generalised over their weight decay, a line of slope −1, and the forecasts."""
    runs = at_scale(runs, FORECASTS)
    cells = {name: some for name, some in runs.items() if name in DECAY_CELLS and some}
    spheres = [some for name, some in runs.items() if name not in DECAY_CELLS]
    curves = [
        *over_decays(cells, lambda run: moments(run)[0], "fitted", TRAIN),
        *over_decays(cells, lambda run: moments(run)[1], "generalised", TEST),
    ]
    if curves and curves[-1].colour == TEST:
        first = curves[-1]
        law = first.values[0] * first.steps[0] / first.steps
        curves.append(Curve("slope −1", first.steps, law, LAW, "dot"))
    for name, colour, goals in forecasters(cells, spheres):
        curves += over_decays(cells, lambda run, g=goals: _told(run, g), name, colour, dash="dash")
    return lines(
        "Fit and generalisation by weight decay", curves, x_title="weight decay γ", y_title="optimizer step", log_y=True
    )


def over_decays(cells: Cells, read: Callable[[Run], float], name: str, colour: str, **style: Any) -> list[Curve]:
    """Return a moment over weight decay, median and range over the seeds that have it."""
    rows = []
    for some in cells.values():
        values = [value for value in map(read, some) if np.isfinite(value)]
        if values:
            decay = float(some[0].spec["optimizer"]["weight_decay"])
            rows.append((decay, min(values), float(np.median(values)), max(values)))
    if not rows:
        return []
    at, low, middle, high = np.array(sorted(rows)).T
    if all(len(some) == 1 for some in cells.values()):
        return [Curve(name, at, middle, colour, **style)]
    return [band(f"{name} (median, range of seeds)", at, low, middle, high, colour=colour, **style)]


def forecasters(cells: Cells, spheres: Sequence[Sequence[Run]]) -> list[tuple[str, str, dict[int, float]]]:
    """Return name, colour and, by seed, the norm that each forecast waits for; nothing without landscapes.

    These are the norm of least test loss, and the largest with the test accuracy that counts as generalised.
    """
    seeds: dict[int, list[Run]] = {}
    for run in (run for some in spheres for run in some):
        seeds.setdefault(int(run.spec["seed"]["base"]), []).append(run)
    lands = {seed: landscape_of(some) for seed, some in seeds.items() if len(some) > 2}
    if not lands or not cells:
        return []
    level = float(next(iter(cells.values()))[0].spec["transition"]["generalise"]["level"])
    return [
        ("forecast by w_c", THEORY, {seed: land.critical.norm for seed, land in lands.items()}),
        (
            f"forecast by the norm of accuracy {level:g}",
            REACHING,
            {seed: land.reaching(level) for seed, land in lands.items()},
        ),
    ]


def _told(run: Run, goals: Mapping[int, float]) -> float:
    goal = goals.get(int(run.spec["seed"]["base"]), np.nan)
    return forecast(run, goal) if np.isfinite(goal) else np.nan


def forecasts(runs: Cells) -> Figure:
    """Return the norm over training at each weight decay, the critical norm and the forecasts."""
    runs = at_scale(runs, FORECASTS)
    cells = {name: some for name, some in runs.items() if name in DECAY_CELLS and some}
    known = forecasters(cells, [some for name, some in runs.items() if name not in DECAY_CELLS])
    curves: list[Curve] = []
    moments_of: list[Vertical] = []
    for colour, some in zip(PALETTE, cells.values(), strict=False):
        gamma = f"γ = {some[0].spec['optimizer']['weight_decay']:g}"
        curves += norm_of(some, gamma, colour=colour)
        when = [step for step in (_told(run, known[-1][2]) for run in some) if np.isfinite(step)] if known else []
        if when:
            middle = float(np.median(when))
            moments_of.append(Vertical(f"forecast, {gamma}", middle, colour, low=min(when), high=max(when)))
    for (_, colour, goals), name in zip(known, ("w_c of the landscape", "accuracy reached, landscape"), strict=False):
        steps = curves[0].steps
        curves.append(Curve(name, steps, np.full(len(steps), np.median(list(goals.values()))), colour, "dash"))
    return lines("Norm of the weights", curves, y_title="√Σθ² (parameters)", log_y=True, verticals=moments_of)


def examples(runs: Cells) -> Figure:
    """Return when runs fitted and generalised over their number of training images."""
    return swept(
        at_scale(runs, SIZES), "task.train_examples", "training images", "Fit and generalisation by training images"
    )


def scales(runs: Cells) -> Figure:
    """Return when runs fitted and generalised over the size of their start."""
    return swept(
        at_scale(runs, STARTS),
        "model.initial_scale",
        "α, the start over the usual one",
        "Fit and generalisation by start",
    )


def at_scale(runs: Cells, about: Mapping[str, Any]) -> Cells:
    """Return the cells that a sweep has at the scale of its runs: another scale may share a name with it."""
    scale = next((some[0].spec.get("scale") for some in runs.values() if some), None)
    names = about["experiments_by_scale"].get(scale, about["experiments"])
    return {name: some for name, some in runs.items() if name in names}


def swept(runs: Cells, key: str, label: str, title: str) -> Figure:
    """Return a phase diagram over one key."""
    return phase_diagram(title, grid_rows(runs, (key,)), (key,), labels={key: label})


def entropy(runs: Cells) -> Figure:
    """Return test accuracy, and dotted train accuracy, for each size of the start."""
    curves: list[Curve] = []
    for colour, some in zip(PALETTE, runs.values(), strict=False):
        scale = f"α = {some[0].spec['model']['initial_scale']:g}"
        curves += curve_of(some, "test/accuracy", f"test, {scale}", colour=colour)
        curves += curve_of(some, "train/accuracy", f"train, {scale}", colour=colour, dash="dot")
    return lines("Accuracy with the cross-entropy", curves, y_title="accuracy", y_range=(-0.02, 1.03))
