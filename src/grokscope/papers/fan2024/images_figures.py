"""The figures on MNIST, from stored numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grokscope.analysis.seeds import envelope
from grokscope.analysis.stages import stages
from grokscope.papers.fan2024.images_experiments import PROBE, RANK
from grokscope.papers.fan2024.images_statistics import layers_of, width_of
from grokscope.recipes.curves import curve_of, phase_bands, whose
from grokscope.report.figures import Band, Curve, Figure, band, lines
from grokscope.report.runs import Run

Phases = Sequence[dict[str, Any]]
Cells = Mapping[str, Sequence[Run]]
TRAIN, TEST = "#0072B2", "#D55E00"
COLOURS = ("#0072B2", "#E69F00", "#D55E00", "#009E73")
LAYERS = (
    *("#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c"),
    *("#22a884", "#44bf70", "#7ad151", "#bddf26", "#d8b800", "#b08000"),
)
"""From the first layer to the last."""


def accuracies(cells: Cells, title: str, names: Sequence[str]) -> Figure:
    """Return train and test accuracy of several cells, a colour each."""
    curves = [
        one
        for runs, name, colour in zip(cells.values(), names, COLOURS, strict=False)
        for probe, dash in (("train", "dash"), ("test", "solid"))
        for one in curve_of(runs, f"{probe}/accuracy", f"{name}, {probe}", colour=colour, dash=dash)
    ]
    return lines(title, curves, y_title="accuracy", y_range=(-0.02, 1.03))


def by_depth(cells: Cells) -> Figure:
    """Return train and test accuracy by depth (Fan et al. 2024, Fig. 2)."""
    names = [f"{len(layers_of(runs[0]))} layers" for runs in cells.values()]
    return accuracies(cells, "Accuracy by depth", names)


def regimes(cells: Cells) -> Figure:
    """Return train and test accuracy by weight decay (Fan et al. 2024, Figs 6 and 7)."""
    names = [f"decay {runs[0].spec['optimizer']['weight_decay']:g}" for runs in cells.values()]
    return accuracies(cells, "Accuracy by weight decay", names)


def stage_bands(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return accuracies with the stages of the first run's test accuracy shaded."""
    found = stages(*runs[0].series("test/accuracy")) if runs and runs[0].has("test/accuracy") else ()
    bands = [Band(f"stage {number}", one.start, one.end) for number, one in enumerate(found, start=1)]
    curves = [
        *curve_of(runs, "train/accuracy", "train", colour=TRAIN, dash="dash"),
        *curve_of(runs, "test/accuracy", "test", colour=TEST),
    ]
    return lines(
        _titled("Stages of generalisation", runs), curves, y_title="accuracy", bands=bands, y_range=(-0.02, 1.03)
    )


def rank_and_accuracy(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the effective rank of each layer with test accuracy (Fan et al. 2024, Fig. 1)."""
    return _by_layer(runs, phases, f"{RANK}/effective", "Effective feature rank", "effective rank", accuracy=True)


def numerical_rank(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the numerical rank of each layer with test accuracy (Fan et al. 2024, Fig. 1)."""
    return _by_layer(runs, phases, f"{RANK}/numerical", "Numerical feature rank", "numerical rank", accuracy=True)


def probes(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the accuracy of a probe of each layer with that of the network (Fan et al. 2024, Fig. 1, bottom)."""
    drawn = _curves(runs[:1], f"{PROBE}/test")
    curves = [*drawn, *(_test(runs, "the network itself") if drawn else [])]
    bands = phase_bands(phases)
    return lines(_titled("Linear probes", runs), curves, y_title="test accuracy", bands=bands, y_range=(-0.02, 1.03))


def _by_layer(runs: Sequence[Run], phases: Phases, key: str, title: str, unit: str, *, accuracy: bool) -> Figure:
    curves = _curves(runs[:1], key)
    if curves and accuracy:
        curves += [replace(one, axis="right") for one in _test(runs, "test accuracy (right axis)")]
    bands = phase_bands(phases)
    return lines(_titled(title, runs), curves, y_title=unit, bands=bands, right_title="test accuracy")


def _curves(runs: Sequence[Run], key: str) -> list[Curve]:
    """Return a curve a layer, from dark to light."""
    return [
        one
        for number, layer in enumerate(layers_of(runs[0]) if runs else [], start=1)
        for one in curve_of(runs, key, f"layer {number}", module=layer, colour=_colour(number, runs[0]), dash="solid")
    ]


def _colour(number: int, run: Run) -> str:
    last = len(layers_of(run))
    return LAYERS[round((number - 1) / max(last - 1, 1) * (len(LAYERS) - 1))]


def _test(runs: Sequence[Run], name: str) -> list[Curve]:
    return curve_of(runs[:1], "test/accuracy", name, colour="#000000", dash="dash")


def _titled(title: str, runs: Sequence[Run]) -> str:
    said = whose(runs)
    return f"{title} ({said})" if said else title


def profile(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the numerical rank by layer at a few moments (Fan et al. 2024, Figs 3 and 4)."""
    run = runs[0]
    key, layers = f"{RANK}/numerical", layers_of(run)
    having = [layer for layer in layers if run.has(key, layer)]
    if len(having) != len(layers):
        return _over_layers("Rank by layer", [])
    steps = run.series(key, layers[0])[0]
    numbers = np.arange(1, len(layers) + 1)
    curves = [
        Curve(f"step {step:,}", numbers, np.array([_at(run, key, layer, step) for layer in layers]), colour)
        for step, colour in zip(_moments(run, steps), COLOURS, strict=False)
    ]
    curves.append(_threshold(run, len(layers)))
    return _over_layers(_titled("Rank by layer", runs), curves)


def _over_layers(title: str, curves: Sequence[Curve]) -> Figure:
    drawn = lines(title, curves, x_title="layer", y_title="numerical rank", log_x=False)
    drawn["layout"]["xaxis"] |= {"dtick": 1, "tick0": 1}
    return drawn


def _moments(run: Run, steps: np.ndarray) -> list[int]:
    """Return the measured steps nearest to where test accuracy starts and stops rising, with the first and last."""
    found = stages(*run.series("test/accuracy"))
    ends = [found[0].start, found[-1].end] if found else []
    nearest = [int(steps[np.argmin(np.abs(np.log(np.maximum(steps, 1)) - math.log(end)))]) for end in ends]
    return sorted({int(steps[0]), *nearest, int(steps[-1])})


def _at(run: Run, key: str, layer: str, step: int) -> float:
    steps, values = run.series(key, layer)
    return float(values[steps == step][0])


def _threshold(run: Run, layers: int) -> Curve:
    return Curve("0.75 of the width", np.array([1, layers]), np.full(2, 0.75 * width_of(run)), "#888888", "dot")


def profile_by_depth(cells: Cells) -> Figure:
    """Return the numerical rank by layer at the end, by depth (Fan et al. 2024, Figs 3 and 4)."""
    key, curves, deepest = f"{RANK}/numerical", [], None
    for runs, colour in zip(cells.values(), COLOURS, strict=False):
        having = [run for run in runs if all(run.has(key, layer) for layer in layers_of(run))]
        if not having:
            continue
        deepest = max([deepest, having[0]] if deepest else having[:1], key=lambda run: len(layers_of(run)))
        layers = layers_of(having[0])
        numbers = np.arange(1, len(layers) + 1)
        last = [(numbers, np.array([run.series(key, layer)[1][-1] for layer in layers])) for run in having]
        name = f"{len(layers)} layers" + (f" ({len(having)} seeds: median, range)" if len(having) > 1 else "")
        at, low, middle, high = envelope(last) if len(last) > 1 else (numbers, *([last[0][1]] * 3))
        curves.append(band(name, at, low, middle, high, colour=colour))
    if deepest is not None:
        curves.append(_threshold(deepest, len(layers_of(deepest))))
    return _over_layers("Rank by layer at the end", curves)


def norms(cells: Cells) -> Figure:
    """Return the norm of the weights by size of the training set, with a deep layer's rank (Fig. 5)."""
    curves: list[Curve] = []
    ranks: list[Curve] = []
    for runs, colour in zip(cells.values(), COLOURS, strict=False):
        name = f"{runs[0].spec['task']['train_examples']:,} images"
        for one in curve_of(runs, "weights/sum_of_squares", f"{name}, norm", colour=colour):
            roots = {side: None if at is None else np.sqrt(at) for side, at in (("low", one.low), ("high", one.high))}
            curves.append(replace(one, values=np.sqrt(one.values), **roots))
        layer = layers_of(runs[0])[-4]
        ranks += curve_of(
            runs, f"{RANK}/effective", f"{name}, rank", module=layer, colour=colour, dash="dot", axis="right"
        )
    return lines(
        "Norm of the weights by size of the training set",
        [*curves, *ranks],
        y_title="norm of all weights",
        right_title="effective rank of layer 9",
    )
