"""The figures of sums of symbols, from stored numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.recipes.curves import curve_of, phase_bands
from grokscope.recipes.readings import last
from grokscope.report.figures import Curve, Figure, lines
from grokscope.report.runs import Run

TRAIN, TEST = "#0072B2", "#D55E00"
PALETTE = ("#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7")


def by_messiness(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Return train and test loss over the held norm, a colour a messiness (Liu et al. 2023, Fig. 6)."""
    cells: dict[float, list[tuple[float, float, float]]] = {}
    for some in runs.values():
        square, train, test = (
            float(np.median([last(run, key) for run in some]))
            for key in ("weights/sum_of_squares", "train/loss", "test/loss")
        )
        cells.setdefault(float(some[0].spec["task"]["messiness"]), []).append((square**0.5, train, test))
    curves: list[Curve] = []
    for number, messiness in enumerate(sorted(cells)):
        norms, train, test = (np.array(column) for column in zip(*sorted(cells[messiness]), strict=True))
        colour = PALETTE[number % len(PALETTE)]
        curves.append(Curve(f"test, m = {messiness:g}", norms, test, colour))
        curves.append(Curve(f"train, m = {messiness:g}", norms, train, colour, "dot"))
    return lines(
        "Reduced losses by messiness",
        curves,
        x_title="norm of the weights √Σθ²",
        y_title="mean squared error",
        log_y=True,
    )


def loss(runs: Sequence[Run], phases: Sequence[dict[str, Any]]) -> Figure:
    """Return train and test loss over steps."""
    curves = [*curve_of(runs, "train/loss", "train", colour=TRAIN), *curve_of(runs, "test/loss", "test", colour=TEST)]
    return lines("Loss", curves, y_title="mean squared error", log_y=True, bands=phase_bands(phases))
