"""The figures of the polynomial student, from stored numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.papers.kumar2024.polynomial_statistics import TEST, TRAIN, falls, moved
from grokscope.papers.kumar2024.polynomial_sweeps import AT
from grokscope.recipes.curves import curve_of, level, phase_bands, stored_level
from grokscope.recipes.grids import grid_rows
from grokscope.recipes.readings import last
from grokscope.report.figures import Curve, Figure, lines
from grokscope.report.phase_diagram import phase_diagram as diagram
from grokscope.report.runs import Run

FITTED, HELD, LAZY, KERNEL = "#0072B2", "#D55E00", "#E69F00", "#888888"
VARIANCE, MISALIGNED, LINEAR = "#56B4E9", "#CC79A7", "#009E73"
PALETTE = ("#440154", "#3b528b", "#21918c", "#5ec962", "#b8a000")
RELATIVE = "loss over loss at the start"
Phases = Sequence[dict[str, Any]]
Cells = Mapping[str, Sequence[Run]]


def loss(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test loss with the linearised network's and the kernel regression's (Fig. 1b)."""
    curves = [
        *curve_of(runs, TRAIN, "train", colour=FITTED),
        *curve_of(runs, TEST, "test", colour=HELD),
        *curve_of(runs, "quadratic_kernel/lazy_test_loss_relative", "test, linearised", colour=LAZY, dash="dash"),
        *stored_level(
            runs, "quadratic_kernel/regression_error_relative", "test, kernel regression", colour=KERNEL, dash="dot"
        ),
    ]
    return lines("Loss", curves, y_title=RELATIVE, bands=phase_bands(phases))


def statistics(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the expected test loss and its three parts (Fig. 4)."""
    named = "sufficient_statistics/{}".format
    curves = [
        *curve_of(runs, named("population_loss"), "expected test loss", colour="#000000"),
        *curve_of(runs, "test/loss", "measured test loss", colour=HELD, dash="dot"),
        *curve_of(runs, named("misalignment"), "misalignment", colour=MISALIGNED),
        *curve_of(runs, named("linear_power"), "linear power", colour=LINEAR),
        *curve_of(runs, named("variance"), "variance", colour=VARIANCE),
    ]
    return lines("What the test loss is made of", curves, y_title="squared error", bands=phase_bands(phases))


def alignment(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the kernel's alignment with the labels and the size of the weights (Fig. 1c)."""
    curves = [
        *curve_of(runs, "quadratic_kernel/alignment", "kernel alignment", colour=MISALIGNED),
        *curve_of(runs, "weights/sum_of_squares", "‖θ‖²", colour="#000000", dash="dash", axis="right"),
    ]
    return lines(
        "Features", curves, y_title="alignment of kernel and labels", bands=phase_bands(phases),
        right_title="sum of squared weights", right_log=True,
    )  # fmt: skip


def movement(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return how far kernel and parameters are from their start, and the gap to the linearised test loss."""
    curves = [
        *curve_of(runs, "quadratic_kernel/movement", "kernel movement ‖K − K₀‖/‖K₀‖", colour=FITTED),
        *curve_of(runs, "quadratic_kernel/distance", "kernel distance, size apart", colour=LINEAR),
        *curve_of(runs, "quadratic_kernel/lazy_gap", "gap to the linearised test loss", colour=HELD),
        level(runs, 0.05, "5 %"),
    ]
    return lines("Leaving the lazy regime", curves, y_title="relative change", log_y=True, bands=phase_bands(phases))


def _swept(title: str, cells: Cells, key: str, label: str) -> Figure:
    """Return test and train loss by a key of the spec; further draws at one value count like seeds."""
    curves: list[Curve] = []
    by_value: dict[float, list[Run]] = {}
    for run in (run for runs in cells.values() for run in runs):
        by_value.setdefault(_of(run, key), []).append(run)
    for (value, runs), colour in zip(sorted(by_value.items()), PALETTE, strict=False):
        name = f"{label} = {value:g}"
        curves += curve_of(runs, TEST, f"test, {name}", colour=colour)
        curves += curve_of(runs, TRAIN, f"train, {name}", colour=colour, dash="dot")
    return lines(title, curves, y_title=RELATIVE, log_y=True, y_range=(1e-3, 2))


def _of(run: Run, key: str) -> float:
    section, name = key.split(".")
    return float(run.spec[section][name])


def output_scales(cells: Cells) -> Figure:
    """Return losses by output scale (Fig. 3a)."""
    return _swept("From rich to lazy", cells, "learner.output_scale", "α")


def nonlinearities(cells: Cells) -> Figure:
    """Return losses by ε (Fig. 3b)."""
    return _swept("Nonlinearity", cells, "model.epsilon", "ε")


def sizes(cells: Cells) -> Figure:
    """Return losses by the number of examples (Fig. 9)."""
    return _swept("Number of examples", cells, "task.examples", "P")


def aligned(cells: Cells) -> Figure:
    """Return losses by the share of the solution in the start (Fig. 10)."""
    return _swept("An aligned start", cells, "model.aligned", "c")


def labels(cells: Cells) -> Figure:
    """Return losses by which eigenvector of the initial kernel the labels are (Fig. 5)."""
    return _swept("Eigenvectors as labels", cells, "task.eigenvector", "eigenvector")


def phase_diagram(cells: Cells) -> Figure:
    """Return when each cell generalises, over output scale and ε (Fig. 3e)."""
    keys = ("model.epsilon", "learner.output_scale")
    names = {"model.epsilon": "ε, strength of the nonlinearity", "learner.output_scale": "output scale α"}
    return diagram("Delay in loss", grid_rows(cells, keys), keys, colour="delay_steps", labels=names, unit="epoch")


def collapse(cells: Cells) -> Figure:
    """Return parameter movement and test loss over σ² α, one point a cell (Fig. 7)."""
    points: dict[float, list[tuple[float, float, float, float]]] = {}
    for runs in cells.values():
        for run in runs:
            sigma, alpha = _of(run, "model.initial_scale"), _of(run, "learner.output_scale")
            at = (sigma**2 * alpha, moved(run), falls(run, TEST, 0.2), last(run, TEST))
            points.setdefault(sigma, []).append(at)
    curves: list[Curve] = []
    for (sigma, rows), colour in zip(sorted(points.items()), PALETTE[::2], strict=False):
        scale, shift, when, _ = (np.array(column, float) for column in zip(*sorted(rows), strict=True))
        curves.append(Curve(f"movement at step {AT:,}, σ = {sigma:g}", scale, shift, colour=colour))
        reached = np.where(np.isfinite(when), when, np.nan)
        curves.append(Curve(f"test at a fifth, σ = {sigma:g}", scale, reached, colour=colour, dash="dot", axis="right"))
    return lines(
        "One parameter", curves, x_title="σ² α", y_title="‖θ − θ₀‖/‖θ₀‖", right_title="optimizer step", right_log=True
    )
