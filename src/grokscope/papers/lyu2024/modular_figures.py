"""The figures of modular addition, over the time of the flow, from stored numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.papers.lyu2024.modular_statistics import LOG_TIME
from grokscope.recipes.curves import curve_of, level, stored_level
from grokscope.recipes.flow import TEST, TIME, TRAIN, over_time, train_and_test
from grokscope.report.figures import Curve, Figure, lines
from grokscope.report.runs import Run

RATIO, MARGIN = "#009E73", "#CC79A7"
EXPONENT = "log10 of the time of the gradient flow"
Phases = Sequence[dict[str, Any]]


def accuracy(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test accuracy (Lyu et al. 2024, Fig. 2)."""
    modulus = runs[0].spec["task"]["modulus"]
    curves = [
        *train_and_test(runs, "accuracy"),
        level(runs, 1 / modulus, f"chance 1/{modulus}", clock=TIME),
        *stored_level(
            runs, "early_predictor/accuracy", "kernel regime, test", clock=TIME, colour=RATIO, dash="dashdot"
        ),
    ]
    return over_time("Accuracy", curves, runs, phases, y_title="accuracy", y_range=(-0.02, 1.03))


def loss(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test loss."""
    curves = train_and_test(runs, "loss")
    return over_time("Loss", curves, runs, phases, y_title="cross-entropy (nats)", log_y=True)


def norm(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the norm over that of pure decay, and the normalised margin."""
    ratio, margin = "transition_forecast/norm_ratio", "margin/train/normalised"
    curves = [
        *curve_of(runs, ratio, "‖θ(t)‖ over ‖θ(0)‖ e^{−λt}", clock=TIME, colour=RATIO),
        *curve_of(runs, margin, "normalised margin (right axis)", clock=TIME, colour=MARGIN, axis="right"),
    ]
    return over_time(
        "Norm against pure decay, and the normalised margin",
        curves,
        runs,
        phases,
        y_title="norm over that of pure decay",
        log_y=True,
        y_range=(0.9, 30),
        right_title="least margin over ‖θ‖²",
        right_log=True,
    )


def early(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return how near outputs and parameters are to the early solution."""
    curves = [
        *curve_of(runs, "early_predictor/cosine", "cosine of the logits, test", clock=TIME, colour=TEST),
        *curve_of(runs, "early_predictor/direction_cosine", "cosine of the change", clock=TIME, colour=RATIO),
        *curve_of(runs, "early_predictor/agreement", "answered alike, test", clock=TIME, colour=MARGIN),
    ]
    title = "How near it is to the solution of the kernel regime"
    return over_time(title, curves, runs, phases, y_title="cosine; share")


def kernel(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return how far the tangent kernel has turned, and its alignment with the labels."""
    name = "ntk:examples=60"
    curves = [
        *curve_of(runs, f"{name}/distance", "distance from the start", clock=TIME, colour=RATIO),
        *curve_of(runs, f"{name}/alignment", "alignment with the labels", clock=TIME, colour=MARGIN),
    ]
    return over_time("Tangent kernel", curves, runs, phases, y_title="1 − cosine; alignment")


def scales(by_experiment: Mapping[str, Sequence[Run]]) -> Figure:
    """Return the test accuracy of every cell over λt (Lyu et al. 2024, Fig. 2b and c)."""
    curves = []
    for runs in by_experiment.values():
        decay, scale = runs[0].spec["optimizer"]["weight_decay"], runs[0].spec["model"]["initial_scale"]
        for curve in curve_of(runs, "test/accuracy", f"α = {scale:g}, λ = {decay:g}", clock=TIME):
            scaled = np.asarray(curve.steps, float) * decay
            curves.append(Curve(curve.name, scaled, curve.values, None, None, "left", curve.low, curve.high))
    title = "Test accuracy by initial scale and by weight decay"
    return lines(
        title, curves, x_title="λ times the time of the gradient flow", y_title="accuracy", y_range=(-0.02, 1.03)
    )


def log_time(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test accuracy over log10 of the time (Lyu et al. 2024, Fig. 4b)."""
    curves = [
        *_exponents(curve_of(runs, "train/accuracy", "train", clock=LOG_TIME, colour=TRAIN)),
        *_exponents(curve_of(runs, "test/accuracy", "test", clock=LOG_TIME, colour=TEST)),
    ]
    title = "Accuracy over the exponent of time"
    return lines(title, curves, x_title=EXPONENT, y_title="accuracy", y_range=(-0.02, 1.03))


def log_margin(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the normalised margin over log10 of the time."""
    curves = _exponents(
        curve_of(runs, "margin/train/normalised", "least margin over ‖θ‖²", clock=LOG_TIME, colour=MARGIN)
    )
    title = "Normalised margin over the exponent of time"
    return lines(title, curves, x_title=EXPONENT, y_title="least margin over ‖θ‖²", log_y=True)


def _exponents(curves: Sequence[Curve]) -> list[Curve]:
    """Return curves over ln t as curves over log10 t, from t = 1 on: an axis of logarithms has no place for less."""
    shown = []
    for one in curves:
        at = np.asarray(one.steps, float) / math.log(10)
        kept = at > 0
        low, high = (None if side is None else side[kept] for side in (one.low, one.high))
        shown.append(Curve(one.name, at[kept], one.values[kept], one.colour, one.dash, one.axis, low, high))
    return shown
