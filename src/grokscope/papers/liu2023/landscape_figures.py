"""Losses and accuracies over the norm of the weights, from runs on spheres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.papers.liu2023.landscape_statistics import Landscape, Which, landscape_of
from grokscope.report.figures import Band, Curve, Figure, Vertical, band, lines
from grokscope.report.runs import Run

TRAIN, TEST = "#0072B2", "#D55E00"
PALETTE = ("#009E73", "#E69F00", "#D55E00", "#0072B2")
NORM = "norm of the weights √Σθ² (parameters)"
Cells = Mapping[str, Sequence[Run]]


def losses(runs: Cells) -> Figure:
    """Return train and test loss over the norm, with the critical norm and the grokking window (Fig. 3c)."""
    return _drawn(runs, ("train", "test"), "Loss", y_title="mean squared error", log_y=True, marked=True)


def accuracies(runs: Cells) -> Figure:
    """Return train and test accuracy over the norm (Fig. 3a, b)."""
    return _drawn(
        runs, ("train_accuracy", "test_accuracy"), "Accuracy", y_title="accuracy", y_range=(-0.02, 1.03), marked=False
    )


def messiness(runs: Cells) -> Figure:
    """Return test loss, and dotted train loss, over the norm for each messiness (Fig. 8)."""
    groups: dict[float, dict[str, Sequence[Run]]] = {}
    for name, some in runs.items():
        if some:
            groups.setdefault(float(some[0].spec["task"]["messiness"]), {})[name] = some
    curves: list[Curve] = []
    for colour, (m, cells) in zip(PALETTE, sorted(groups.items()), strict=False):
        lands = landscapes(cells)
        curves += _over_norms(lands, "test", f"test, m = {m:g}", colour=colour)
        curves += _over_norms(lands, "train", f"train, m = {m:g}", colour=colour, dash="dot")
    return lines("Loss", curves, x_title=NORM, y_title="mean squared error", log_y=True)


def landscapes(cells: Cells, which: Which = "final") -> list[Landscape]:
    """Return the landscape of each seed that has a run at every norm and at three norms or more."""
    seeds: dict[int, list[Run]] = {}
    for run in (run for some in cells.values() for run in some):
        seeds.setdefault(int(run.spec["seed"]["base"]), []).append(run)
    whole = max((len(some) for some in seeds.values()), default=0)
    return [landscape_of(some, which) for some in seeds.values() if len(some) == whole > 2]


def _drawn(runs: Cells, fields: tuple[str, str], title: str, *, marked: bool, **look: Any) -> Figure:
    final, best = landscapes(runs), landscapes(runs, "best")
    curves: list[Curve] = []
    for field, colour in zip(fields, (TRAIN, TEST), strict=True):
        probe = field.partition("_")[0]
        curves += _over_norms(final, field, f"{probe}, final", colour=colour)
        curves += _over_norms(best, field, f"{probe}, best", colour=colour, dash="dot", ribbon=False)
    more: dict[str, Any] = {}
    if marked and final:
        at = [land.critical.norm for land in final]
        more["verticals"] = [Vertical("w_c, least test loss", float(np.median(at)), low=min(at), high=max(at))]
        middle = sorted(final, key=lambda land: land.mismatch)[len(final) // 2]
        more["bands"] = [Band("fits and does not generalise", *ends) for ends in middle.window]
    return lines(title, curves, x_title=NORM, **look, **more)


def _over_norms(lands: Sequence[Landscape], field: str, name: str, *, ribbon: bool = True, **style: Any) -> list[Curve]:
    """Return a quantity over the norm, its median and range over seeds, whose norms are nearly the same."""
    if not lands:
        return []
    norms = np.median([land.norms for land in lands], axis=0)
    values = np.array([getattr(land, field) for land in lands])
    middle = np.median(values, axis=0)
    if len(lands) == 1 or not ribbon:
        return [Curve(name, norms, middle, **style)]
    return [band(f"{name} ({len(lands)} seeds)", norms, values.min(0), middle, values.max(0), **style)]
