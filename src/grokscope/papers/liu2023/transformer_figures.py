"""The figures of the transformer with its norm free and held, from stored numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grokscope.papers.liu2023.transformer import CLAMPED, FREE
from grokscope.recipes.curves import curve_of, level, phase_bands
from grokscope.report.figures import Curve, Figure, lines
from grokscope.report.runs import Run

TRAIN, TEST, NORM = "#0072B2", "#D55E00", "#000000"
SHOWN = {FREE: ("norm free, weight decay", "#D55E00"), CLAMPED: ("norm held, smaller start", "#009E73")}
Phases = Sequence[dict[str, Any]]


def accuracy(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test accuracy."""
    curves = [
        *curve_of(runs, "train/accuracy", "train", colour=TRAIN),
        *curve_of(runs, "test/accuracy", "test", colour=TEST),
    ]
    return lines("Accuracy", curves, y_title="accuracy", bands=phase_bands(phases), y_range=(-0.02, 1.03))


def norm(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return both losses, and the norm of the weights over that at the start (Liu et al. 2023, Fig. 7)."""
    curves = [
        *curve_of(runs, "train/loss", "train loss", colour=TRAIN),
        *curve_of(runs, "test/loss", "test loss", colour=TEST),
        *(_relative(one) for one in curve_of(runs, "weights/sum_of_squares", "norm (right axis)", colour=NORM)),
    ]
    start = replace(level(runs, 1.0, "at the start", colour="#888888"), axis="right")
    return lines(
        "Losses and the norm of the weights",
        [*curves, start],
        y_title="cross-entropy (nats)",
        log_y=True,
        bands=phase_bands(phases),
        right_title="‖θ‖ / ‖θ‖ at the start",
    )


def free_and_clamped(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Return the accuracies of both experiments on one axis."""
    curves: list[Curve] = []
    for name, some in runs.items():
        label, colour = SHOWN[name]
        for probe, dash in (("train", "dash"), ("test", "solid")):
            curves += curve_of(some, f"{probe}/accuracy", f"{probe}: {label}", colour=colour, dash=dash)
    return lines("Free and held", curves, y_title="accuracy", y_range=(-0.02, 1.03))


def _relative(curve: Curve) -> Curve:
    """Return sums of squares as norms over the first, on the right axis."""
    start = curve.values[0]
    ends: dict[str, Any] = {
        end: None if at is None else np.sqrt(at / start) for end, at in (("low", curve.low), ("high", curve.high))
    }
    return replace(curve, values=np.sqrt(curve.values / start), axis="right", dash="dash", **ends)
