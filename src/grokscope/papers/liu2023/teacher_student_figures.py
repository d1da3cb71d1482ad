"""The figures of the student of a random network, from stored numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.analysis.landscape import grokking_window, least_loss
from grokscope.papers.liu2023.teacher_student_experiments import LANDSCAPE, THRESHOLDS
from grokscope.papers.liu2023.teacher_student_statistics import forecast, landscape, largest_accurate_norm
from grokscope.recipes.curves import curve_of, phase_bands
from grokscope.recipes.grids import grid_rows
from grokscope.recipes.readings import last
from grokscope.report.figures import Band, Curve, Figure, Vertical, band, lines
from grokscope.report.phase_diagram import phase_diagram
from grokscope.report.runs import Run

TRAIN, TEST, NORM, STRICT = "#0072B2", "#D55E00", "#000000", "#CC79A7"
DECAY, SCALE = "optimizer.weight_decay", "model.initial_scale"
LABELS = {DECAY: "weight decay γ", SCALE: "start α"}
Phases = Sequence[dict[str, Any]]


def accuracy(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the share of train and test examples within both thresholds (Liu et al. 2023, Fig. 2b)."""
    curves: list[Curve] = []
    for threshold, dash in zip(THRESHOLDS, ("solid", "dot"), strict=True):
        for probe, colour in (("train", TRAIN), ("test", TEST)):
            key, name = f"threshold_accuracy/{probe}", f"{probe}, below {threshold}"
            curves += curve_of(runs, key, name, module=threshold, colour=colour, dash=dash)
    return lines(
        "Accuracy by threshold", curves, y_title="share of examples", bands=phase_bands(phases), y_range=(-0.02, 1.03)
    )


def norm(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return both losses with the sum of squared weights beside them."""
    curves = [
        *curve_of(runs, "train/loss", "train loss", colour=TRAIN),
        *curve_of(runs, "test/loss", "test loss", colour=TEST),
        *curve_of(runs, "weights/sum_of_squares", "Σθ² (right axis)", colour=NORM, axis="right", dash="dash"),
    ]
    return lines(
        "Losses and the norm of the weights",
        curves,
        y_title="mean squared error",
        log_y=True,
        bands=phase_bands(phases),
        right_title="Σθ² (parameters²)",
        right_log=True,
    )


def by_decay(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Return when the runs of a sweep fitted and generalised over weight decay, and what the norm's decay says.

    The dashed line has the norm to come to from the runs of the landscape, where there are any.
    """
    swept, held = _parted(runs)
    norm = _norm_to_reach(held)
    rows = grid_rows(swept, (DECAY,), theory=None if norm is None else lambda run: forecast(run, norm))
    return phase_diagram("Fit and generalisation by weight decay", rows, (DECAY,), labels=LABELS)


def by_start(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Return when runs generalised over start and weight decay, as a phase diagram."""
    rows = grid_rows(runs, (SCALE, DECAY))
    return phase_diagram("Delay by start and weight decay", rows, (SCALE, DECAY), labels=LABELS)


def reduced_losses(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Return train and test loss over the norm that was held: an L and a U (Liu et al. 2023, Fig. 2a)."""
    seeds = _by_seed(runs)
    each = [landscape(some) for some in seeds]
    if not each:
        return lines("Reduced losses", [], y_title="mean squared error")
    norms = np.median([one.norms for one in each], axis=0)
    curves = [
        _over_seeds(name, norms, [getattr(one, key) for one in each], colour, dash)
        for name, key, colour, dash in (
            ("train", "train", TRAIN, "solid"),
            ("test", "test", TEST, "solid"),
            ("train, least over training", "least_train", TRAIN, "dot"),
            ("test, least over training", "least_test", TEST, "dot"),
        )
    ]
    middle = [np.median([getattr(one, key) for one in each], axis=0).tolist() for key in ("train", "test")]
    enough = len(norms) >= 3
    least = least_loss(norms.tolist(), middle[1]) if enough else None
    windows = (
        [] if least is None else [ends for ends in grokking_window(norms.tolist(), *middle) if ends[1] > least.norm]
    )
    return lines(
        "Reduced losses",
        curves,
        x_title="norm of the weights √Σθ²",
        y_title="mean squared error",
        log_y=True,
        bands=[Band("grokking window", low, high) for low, high in windows],
        verticals=[Vertical("w_c", least.norm)] if least is not None and least.interior else [],
    )


def sensitivity(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Return over the norm how far outputs move with inputs, and with parameters: two traces tr(JᵀJ)."""
    seeds = [sorted(some, key=_square) for some in _by_seed(runs)]
    norms = np.median([[_square(run) ** 0.5 for run in some] for some in seeds], axis=0) if seeds else np.zeros(0)
    curves = []
    for name, key, colour in (
        ("by inputs: mean ‖∂f/∂x‖²", "input_jacobian/square", TRAIN),
        ("by parameters: trace of the tangent kernel", "ntk:examples=100/trace", TEST),
    ):
        if seeds and all(run.has(key) for some in seeds for run in some):
            curves.append(
                _over_seeds(name, norms, [[last(run, key) for run in some] for some in seeds], colour, "solid")
            )
    return lines(
        "Sensitivity by norm", curves, x_title="norm of the weights √Σθ²", y_title="tr(JᵀJ) after training", log_y=True
    )


def _parted(runs: Mapping[str, Sequence[Run]]) -> tuple[dict[str, Sequence[Run]], dict[str, Sequence[Run]]]:
    held = {name: some for name, some in runs.items() if name.startswith(LANDSCAPE)}
    return {name: some for name, some in runs.items() if name not in held}, held


def _norm_to_reach(held: Mapping[str, Sequence[Run]]) -> float | None:
    """Return the largest norm at which test data are within the threshold, the median over seeds; None without one."""
    found = [norm for some in _by_seed(held) if (norm := largest_accurate_norm(some)) is not None]
    return float(np.median(found)) if found else None


def _by_seed(runs: Mapping[str, Sequence[Run]]) -> list[list[Run]]:
    """Return the runs of each seed that has all cells."""
    seeds: dict[int, list[Run]] = {}
    for some in runs.values():
        for run in some:
            seeds.setdefault(int(run.spec["seed"]["base"]), []).append(run)
    return [some for some in seeds.values() if len(some) == len(runs)]


def _over_seeds(name: str, at: np.ndarray, values: Sequence[Any], colour: str, dash: Any) -> Curve:
    if len(values) == 1:
        return Curve(name, at, np.asarray(values[0]), colour, dash)
    middle, low, high = (function(np.asarray(values), axis=0) for function in (np.median, np.min, np.max))
    return band(f"{name} ({len(values)} seeds: median, range)", at, low, middle, high, colour=colour, dash=dash)


def _square(run: Run) -> float:
    return last(run, "weights/sum_of_squares")
