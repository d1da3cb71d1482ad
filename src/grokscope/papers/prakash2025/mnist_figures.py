"""The figures of the MNIST runs over training, from stored numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grokscope.execution.spectrum_data import binned
from grokscope.papers.prakash2025.mnist_experiments import COMPLEXITY, LAYERS
from grokscope.recipes.curves import curve_of, level, phase_bands, whose
from grokscope.report import theme
from grokscope.report.esd import spectrum_panel
from grokscope.report.figures import Curve, Figure, lines
from grokscope.report.panels import panels
from grokscope.report.runs import Run

TRAIN, TEST, FC1, FC2, NORM = "#0072B2", "#D55E00", "#0072B2", "#009E73", "#000000"
LIVE, ENTROPY, SPARSITY, CIRCUIT, TRAPS = "#56B4E9", "#E69F00", "#AA4499", "#009E73", "#0072B2"
IDEAL = (2.0, 5.0)
"""α of layers that generalise: fat tails, 2 the best; below 2 the paper calls a layer over-trained, above 5 random."""
Phases = Sequence[dict[str, Any]]


def accuracy(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test accuracy over log-steps (Prakash & Martin 2025, Fig. 1)."""
    curves = [
        *curve_of(runs, "train/accuracy", "train", colour=TRAIN),
        *curve_of(runs, "test/accuracy", "test", colour=TEST),
        level(runs, 0.1, "chance"),
    ]
    return lines("Accuracy", curves, y_title="accuracy", bands=phase_bands(phases), y_range=(-0.02, 1.03))


def exponents(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return α of the two hidden layers over log-steps, with the band in which it is to lie (Figs 2 and 7)."""
    curves = _by_layer(runs, "htsr/alpha", "α")
    drawn = lines("Exponent of the tail", curves, y_title="α", bands=phase_bands(phases), log_y=True)
    return _with_band(drawn, *IDEAL, "2 to 5") if curves else drawn


def traps(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return correlation traps by layer, and the largest entry that foretells them without an SVD (Table 2)."""
    curves = [
        *_by_layer(runs, "correlation_traps/traps_ww", "traps"),
        *_by_layer(runs, "correlation_traps/largest_entry", "largest entry, right axis", dash="dot", axis="right"),
    ]
    return lines(
        "Correlation traps", curves, y_title="traps",
        right_title="largest entry", bands=phase_bands(phases),
    )  # fmt: skip


def bulk_test(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the p-value of shuffled layers against the law of Marchenko and Pastur (Table 1)."""
    curves = _by_layer(runs, "correlation_traps/ks_p_value", "p")
    return lines("Shuffled layers against chance", curves, y_title="p-value", log_y=True, bands=phase_bands(phases))


def norm(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the norm of all parameters, and of those that some output depends on (Fig. 5)."""
    curves = [
        *curve_of(runs, "norms/total_l2", "all parameters", colour=NORM),
        *_by_layer(runs, "norms/l2", "norm"),
    ]
    return lines("Norm of the weights", curves, y_title="√Σθ²", log_y=True, bands=phase_bands(phases))


def units(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the share of hidden units that are off for every training image."""
    names = {"layers.0": "first", "layers.1": "second"}
    modules = sorted({module for run in runs for module in run.modules("units/dead") if module is not None})
    curves = [
        curve
        for module, colour, name in zip(modules, (FC1, FC2), names.values(), strict=False)
        for curve in curve_of(runs, "units/dead", f"{name} hidden layer", module=module, colour=colour)
    ]
    return lines("Dead units", curves, y_title="share of units", bands=phase_bands(phases), y_range=(-0.02, 1.03))


COMPETING = (
    ("test/accuracy", None, "test accuracy", TEST),
    ("htsr/alpha", "layers.0.weight", "α of FC1", TRAPS),
    ("correlation_traps/traps_ww", "layers.0.weight", "traps of FC1", LIVE),
    ("norms/total_l2", None, "norm", NORM),
    ("weight_entropy/first", None, "absolute entropy of FC1", ENTROPY),
    ("sparsity/mean", None, "activation sparsity", SPARSITY),
    (f"{COMPLEXITY}/complexity", None, "circuit complexity", CIRCUIT),
)
"""Key, module, name and colour of what is held against the test accuracy."""


def measures(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return all measures, each between its least and largest median value, which the legend gives (Figs 4 to 6)."""
    curves: list[Curve] = []
    for key, module, name, colour in COMPETING:
        style: dict[str, Any] = {"colour": colour, "dash": "solid" if key.startswith(("test", "htsr")) else "dash"}
        curves += [_scaled(one, name) for one in curve_of(runs, key, name, module=module, **style)]
    return lines(
        "All measures", curves, y_title="least to largest value", bands=phase_bands(phases), y_range=(-0.03, 1.03)
    )


def spectra(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the spectra of both layers at the start, at the best test accuracy and at the end, beside a shuffle's.

    The power law of the tail is the one that was fitted then; the bulk is that of entries of the same variance. The
    eigenvalues of the shuffle that are traps are marked.
    """
    run = runs[0]
    if not {"spectra", "correlation_traps"} <= set(run.arrays()):
        return {"data": [], "layout": theme.layout("Spectra")}
    steps = sorted({*run.array_steps("spectra")} & {*run.array_steps("correlation_traps")})
    at, accuracies = run.series("test/accuracy")
    best = int(at[np.nanargmax(accuracies)])
    moments = dict.fromkeys((steps[0], min(steps, key=lambda step: abs(step - best)), steps[-1]))
    drawn = []
    for row, (layer, name) in enumerate(LAYERS.items()):
        for step in moments:
            found = _spectrum(run, row, layer, step)
            if found is not None:
                drawn.append(spectrum_panel(f"{name}, step {step:,}", *found, first=not drawn))
    note = whose(runs)
    return panels("Spectra", drawn, columns=3, note=note, showlegend=True)


def _spectrum(run: Run, row: int, layer: str, step: int) -> tuple[dict[str, Any], list[float], int] | None:
    """Return the binned spectrum of a layer, λ of its shuffle, and how many of these are traps."""

    def stored(key: str) -> float:
        at, values = run.series(key, layer)
        return float(values[list(at).index(step)])

    values, shuffled = (run.array(name, step)["eigenvalues"][row] for name in ("spectra", "correlation_traps"))
    values, shuffled = (one[np.isfinite(one)] for one in (values, shuffled))
    if not len(values) or values.max() <= 0:
        return None
    lower, upper = stored("marchenko_pastur/lower"), stored("marchenko_pastur/upper")
    edge = np.sqrt(lower / upper)
    ratio = ((1 - edge) / (1 + edge)) ** 2  # of the sides: what (1 − √c)² / (1 + √c)² is the ratio of edges for
    law = (stored("htsr/alpha"), stored("htsr/xmin"))
    # σ = 1 is in units of the entries' variance, which a shuffle keeps: nothing is fitted
    found = binned(values, law=law, bulk=(float(ratio), 1.0))
    return found, shuffled.tolist(), round(stored("correlation_traps/traps"))


def _by_layer(runs: Sequence[Run], key: str, what: str, **style: Any) -> list[Curve]:
    colours = dict(zip(LAYERS, (FC1, FC2), strict=True))
    return [
        curve
        for layer, name in LAYERS.items()
        for curve in curve_of(runs, key, f"{name}, {what}", module=layer, colour=colours[layer], **style)
    ]


def _scaled(curve: Curve, name: str) -> Curve:
    finite = curve.values[np.isfinite(curve.values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    span = high - low or 1.0

    def scaled(values: np.ndarray) -> np.ndarray:
        return (np.asarray(values, float) - low) / span

    return replace(curve, name=f"{name} ({low:.3g} to {high:.3g})", values=scaled(curve.values), low=None, high=None)


def _with_band(figure: Figure, low: float, high: float, name: str) -> Figure:
    """Return the figure with a horizontal band, and its lower edge, behind the curves."""
    log = figure["layout"]["yaxis"].get("type") == "log"
    whole = {"xref": "paper", "x0": 0, "x1": 1, "yref": "y", "layer": "below"}
    ends = {"y0": low, "y1": high}
    label = {
        "text": name, "xref": "paper", "x": 0.005, "xanchor": "left", "yref": "y", "showarrow": False,
        "y": float(np.log10(low)) if log else low, "yanchor": "bottom", "font": {"size": 12, "color": "#555555"},
    }  # fmt: skip
    shapes = [
        {"type": "rect", **whole, **ends, "fillcolor": "#000000", "opacity": 0.06, "line": {"width": 0}},
        {"type": "line", **whole, "y0": low, "y1": low, "line": {"color": "#555555", "dash": "dash", "width": 1.5}},
    ]
    layout = figure["layout"]
    layout["shapes"] = [*layout.get("shapes", ()), *shapes]
    layout["annotations"] = [*layout.get("annotations", ()), label]
    return figure
