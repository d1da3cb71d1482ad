"""The figures of the networks over training, from stored numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grokscope.papers.kumar2024.networks_experiments import KERNEL
from grokscope.papers.kumar2024.networks_statistics import FRACTIONS
from grokscope.recipes.curves import curve_of, level, modules_of, phase_bands
from grokscope.recipes.grids import grid_rows
from grokscope.report.figures import Curve, Figure, lines
from grokscope.report.phase_diagram import phase_diagram
from grokscope.report.runs import Run

TRAIN, TEST, LAZY, NORM, ALIGNMENT = "#0072B2", "#D55E00", "#009E73", "#000000", "#CC79A7"
PALETTE = ("#0072B2", "#56B4E9", "#009E73", "#F0E442", "#E69F00", "#D55E00", "#CC79A7")
NTK: str = KERNEL["measures"][0]
SCALE = "learner.output_scale"
Phases = Sequence[dict[str, Any]]


def accuracy(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test accuracy, with that of a kernel regression at the start (Kumar et al. 2024, Figs 2, 6)."""
    curves = [
        *curve_of(runs, "train/accuracy", "train", colour=TRAIN),
        *curve_of(runs, "test/accuracy", "test", colour=TEST),
        *_at_start(runs, f"{NTK}/regression_accuracy", "kernel of the start, test"),
    ]
    return lines("Accuracy", curves, y_title="accuracy", bands=phase_bands(phases), y_range=(-0.02, 1.03))


def loss(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test loss over their initial values, with the fractions that delays are read off at."""
    curves = [
        *_relative(runs, "train/loss", "train", TRAIN),
        *_relative(runs, "test/loss", "test", TEST),
        *(level(runs, fraction, f"{fraction:g} of the start", colour="#BBBBBB") for fraction in FRACTIONS),
    ]
    return lines("Loss", curves, y_title="loss / loss at the start", log_y=True, bands=phase_bands(phases))


def thresholds(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the accuracy by threshold on train and test examples (Kumar et al. 2024, Figs 17 and 18)."""
    curves: list[Curve] = []
    levels = sorted(modules_of(runs, "threshold_accuracy/test"), key=float)
    for index, threshold in enumerate(levels):
        colour = PALETTE[index % len(PALETTE)]
        for probe, dash in (("train", "dash"), ("test", "solid")):
            key, name = f"threshold_accuracy/{probe}", f"{probe}, below {threshold}"
            curves += curve_of(runs, key, name, module=threshold, colour=colour, dash=dash)
    return lines(
        "Accuracy by threshold", curves, y_title="share of examples", bands=phase_bands(phases), y_range=(-0.02, 1.03)
    )


def laziness(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the squared norm of the weights, the movement of the tangent kernel and its alignment."""
    weights = curve_of(runs, "weights/sum_of_squares", "sum of squared weights", colour=NORM)
    side: Any = {"axis": "right"} if weights else {}
    mark = " (right axis)" if weights else ""
    curves = [
        *weights,
        *curve_of(runs, f"{NTK}/movement", f"movement of the kernel{mark}", colour=LAZY, **side),
        *curve_of(runs, f"{NTK}/alignment", f"alignment with labels{mark}", colour=ALIGNMENT, **side),
    ]
    y = "movement and alignment"
    titles: Any = (
        {"y_title": "sum of squared weights", "right_title": y, "right_log": True} if weights else {"y_title": y}
    )
    return lines("From lazy to rich", curves, log_y=True, bands=phase_bands(phases), **titles)


def by_scale(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Return when the runs of a sweep fitted and generalised, over their output scale."""
    rows = grid_rows(runs, (SCALE,))
    return phase_diagram("Fit and generalisation by output scale", rows, (SCALE,), labels={SCALE: "output scale α"})


def _relative(runs: Sequence[Run], key: str, name: str, colour: str) -> list[Curve]:
    """Return a loss over its value at the start; of several seeds the ribbon over the median's start."""

    def over(curve: Curve) -> Curve:
        start = curve.values[0]
        ribbon = {end: None if at is None else at / start for end, at in (("low", curve.low), ("high", curve.high))}
        return replace(curve, values=curve.values / start, **ribbon)

    return [over(curve) for curve in curve_of(runs, key, name, colour=colour)]


def _at_start(runs: Sequence[Run], key: str, name: str) -> list[Curve]:
    having = [run for run in runs if run.has(key)]
    if not having:
        return []
    values = [float(run.series(key)[1][0]) for run in having]
    return [level(having, float(np.median(values)), name, colour=LAZY, dash="dash")]
