"""The figures of the transformers, from stored numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from grokscope.papers.fan2024.transformers import RANK
from grokscope.recipes.curves import curve_of, modules_of, phase_bands
from grokscope.report.figures import Figure, lines
from grokscope.report.runs import Run

COLOURS = ("#0072B2", "#E69F00", "#D55E00")


def by_depth(cells: Mapping[str, Sequence[Run]]) -> Figure:
    """Return train and test accuracy by depth."""
    curves = [
        one
        for runs, colour in zip(cells.values(), COLOURS, strict=False)
        for probe, dash in (("train", "dash"), ("test", "solid"))
        for one in curve_of(
            runs,
            f"{probe}/accuracy",
            f"{_layers(runs[0])}, {probe}",
            colour=colour,
            dash=dash,
        )
    ]
    return lines("Accuracy by depth", curves, y_title="accuracy", y_range=(-0.02, 1.03))


def _layers(run: Run) -> str:
    layers = run.spec["model"]["layers"]
    return f"{layers} layer{'s' if layers > 1 else ''}"


def ranks(runs: Sequence[Run], phases: Sequence[dict[str, Any]]) -> Figure:
    """Return the effective rank of each layer with test accuracy."""
    key = f"{RANK}/effective"
    curves = [one for module in modules_of(runs[:1], key) for one in curve_of(runs[:1], key, module, module=module)]
    if curves:
        accuracy = curve_of(runs[:1], "test/accuracy", "test accuracy (right axis)", colour="#000000", dash="dash")
        curves += [replace(one, axis="right") for one in accuracy]
    bands = phase_bands(phases)
    return lines("Effective feature rank", curves, y_title="effective rank", bands=bands, right_title="test accuracy")
