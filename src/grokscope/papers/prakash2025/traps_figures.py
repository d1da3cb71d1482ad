"""The figures on trap removal, from stored numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grokscope.papers.prakash2025.mnist_experiments import FIRST, LAST, LAYERS
from grokscope.papers.prakash2025.traps_statistics import last_traps
from grokscope.recipes.curves import chance_line, curve_of, phase_bands
from grokscope.report import theme
from grokscope.report.figures import Figure, lines
from grokscope.report.runs import Run

COLOURS = {FIRST: "#0072B2", LAST: "#009E73"}
OTHER = "#D55E00"
Phases = Sequence[dict[str, Any]]


def removal(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return each trap's change of the test error against the divergence of the predictions, by layer."""
    places: dict[str, list[tuple[str, float, float]]] = {}
    for run in runs:
        for name, (divergence, change) in last_traps(run).items():
            layer = name.rpartition("[")[0]
            places.setdefault(layer, []).append((f"{name}, seed {run.spec['seed']['base']}", divergence, change))
    data: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "markers", "name": LAYERS.get(layer, "readout" if layer == LAST else layer),
            "x": [one[1] for one in found], "y": [one[2] for one in found], "text": [one[0] for one in found],
            "marker": {"size": 9, "color": COLOURS.get(layer, OTHER)},
            "hovertemplate": "%{text}<br>%{x:.3g} nats, %{y:.3f}<extra></extra>",
        }
        for layer, found in sorted(places.items())
    ]  # fmt: skip
    layout = theme.layout(
        "Traps taken out, one at a time",
        hovermode="closest",
        xaxis=theme.axis("Jensen–Shannon divergence of predictions (nats)", rangemode="tozero"),
        yaxis=theme.axis("change of the test error", zeroline=True, zerolinecolor="#888888"),
    )
    return {"data": data, "layout": layout}


def prototype(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return how often the most frequent class is predicted on inputs without a pattern, beside the test accuracy."""
    curves = [
        *curve_of(runs, "trap_removal/normal_share", "normal inputs", colour="#CC79A7"),
        *curve_of(runs, "trap_removal/shuffled_share", "pixels in random places", colour="#0072B2"),
        *curve_of(runs, "test/accuracy", "test accuracy", colour="#D55E00", dash="dot"),
        chance_line(runs, 0.1, "chance"),
    ]
    return lines("One answer to everything?", curves, y_title="share, accuracy", bands=phase_bands(phases))
