"""Spectra of weight matrices as figures: the density of the eigenvalues, their tail, and the laws fitted to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from grokscope.report import theme
from grokscope.report.panels import Panel, panels
from grokscope.report.text import number

INK, LAW, BULK = theme.COLOURS["blue"], theme.COLOURS["vermillion"], theme.COLOURS["green"]
KINDS = {
    "linear": "blue", "attention": "vermillion", "convolution": "green", "embedding": "purple", "recurrent": "orange",
}  # fmt: skip
LEVELS = ((2.0, "α = 2"), (6.0, "α = 6"))
Spectrum = Mapping[str, Any]


def density_and_tail(spectrum: Spectrum) -> dict[str, Any]:
    """Return the spectrum of one matrix: its density on the left, the share of eigenvalues beyond λ on the right.

    Both on log-log axes, with the power law of the tail from xmin on, and the Marchenko–Pastur law of the bulk.

    Args:
        spectrum: what ``grokscope.execution.spectrum_data.binned`` returns.
    """
    law, bulk = spectrum["law"], spectrum["bulk"]
    x = {"type": "log", "text": "eigenvalue λ = σ²", "minorloglabels": "none"}
    left = [
        _points("eigenvalues", spectrum["centres"], spectrum["density"], shown=True),
        *([_line("Marchenko–Pastur bulk", bulk, "density", BULK, "solid", shown=True)] if bulk else []),
        *([_line(_named(spectrum), law, "density", LAW, "dash", shown=True)] if law else []),
    ]
    right = [
        _points("eigenvalues", spectrum["points"], spectrum["exceeding"]),
        *([_line("Marchenko–Pastur bulk", bulk, "exceeding", BULK, "solid")] if bulk else []),
        *([_line(_named(spectrum), law, "exceeding", LAW, "dash")] if law else []),
    ]
    hidden = spectrum["hidden"]
    note = f"{hidden:,} of {spectrum['count']:,} eigenvalues are too small to be shown." if hidden else ""
    figure = panels(
        "",
        [
            Panel("Density", left, x, _logarithmic("density", spectrum["density"]), square=False),
            Panel(
                "Share beyond λ",
                right,
                x,
                _logarithmic("share of eigenvalues ≥ λ", spectrum["exceeding"]),
                square=False,
            ),
        ],
        columns=2,
        note=note,
        showlegend=True,
    )
    for size in figure["layout"]["meta"].values():
        if isinstance(size, dict):
            size["height"] = _lower(size["height"])
    figure["layout"]["height"] = _lower(figure["layout"]["height"])
    return figure


def spectrum_panel(
    title: str, spectrum: Spectrum, shuffled: Sequence[float], traps: int, *, first: bool = True
) -> Panel:
    """Return the share of eigenvalues beyond λ, and that of the same entries shuffled, with the laws of the spectrum.

    Args:
        title: of the panel.
        spectrum: what ``grokscope.execution.spectrum_data.binned`` returns.
        shuffled: the eigenvalues of a shuffle of the matrix, not all 0.
        traps: how many of them, the largest, are marked.
        first: whether the legend has its curves; those of other panels have the same names.
    """
    law, bulk = spectrum["law"], spectrum["bulk"]
    ordered = sorted((float(value) for value in shuffled if value > 0), reverse=True)
    shares = [(rank + 1) / len(shuffled) for rank in range(len(ordered))]
    beside = _points("entries shuffled", ordered, shares, shown=first)
    beside["marker"] = {"size": 5, "color": theme.FRAME, "symbol": "circle-open"}
    marked = _points("traps", ordered[:traps] or [None], shares[:traps] or [None], shown=first)
    marked["marker"] = {"size": 13, "color": theme.COLOURS["purple"], "symbol": "x-open", "line": {"width": 2}}
    name = f"{title}, α = {number(spectrum['alpha'], 3)}" if law else title
    traces = [
        beside,
        _points("eigenvalues", spectrum["points"], spectrum["exceeding"], shown=first),
        *([_line("Marchenko–Pastur bulk", bulk, "exceeding", BULK, "solid", shown=first)] if bulk else []),
        *([_line("power law of the tail", law, "exceeding", LAW, "dash", shown=first)] if law else []),
        marked,
    ]
    reach = (math.log10(min(*spectrum["points"], ordered[-1])), math.log10(max(*spectrum["points"], ordered[0])))
    x = {
        "type": "log",
        "text": "eigenvalue λ = σ²",
        "minorloglabels": "none",
        "range": [max(reach[0], reach[1] - 4.0), reach[1] + 0.15],
    }
    return Panel(name, traces, x, _logarithmic("share ≥ λ", [*spectrum["exceeding"], *shares]), square=False)


EACH_TICK = 12
"""Up to so many matrices have a tick each."""


def exponents(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return α of every matrix in the order of the file, with its standard error, coloured by kind.

    Args:
        layers: ``name``, ``kind``, ``alpha``, ``sigma`` and ``few`` (whether the tail has too few eigenvalues for α
            to be precise, drawn hollow); those whose ``alpha`` is not a number are left out.
    """
    traces: list[dict[str, Any]] = []
    kinds = dict.fromkeys(layer["kind"] for layer in layers)
    for kind in sorted(kinds, key=list(KINDS).index):
        found = [
            (place, one) for place, one in enumerate(layers) if one["kind"] == kind and math.isfinite(one["alpha"])
        ]
        if not found:
            continue
        colour = theme.COLOURS[KINDS[kind]]
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": kind,
                "x": [place + 1 for place, _ in found], "y": [one["alpha"] for _, one in found],
                "error_y": {
                    "type": "data", "array": [one["sigma"] for _, one in found], "thickness": 1, "width": 0,
                    "color": theme.translucent(colour, 0.45),
                },
                "marker": {
                    "size": 8, "color": colour,
                    "symbol": ["circle-open" if one["few"] else "circle" for _, one in found],
                },
                "customdata": [theme.plain(one["name"]) for _, one in found],
                "hovertemplate": "%{customdata}<br>α = %{y:.3f}<extra></extra>",
            }
        )  # fmt: skip
    if not traces:
        return {"data": [], "layout": theme.layout("")}
    shapes = [
        {
            "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level, "layer": "below",
            "line": {"color": theme.FRAME, "width": 1.5, "dash": "dash"}, "name": name,
        }
        for level, name in LEVELS
    ]  # fmt: skip
    names = [
        {
            "text": name, "xref": "paper", "x": 1, "xanchor": "right", "y": level, "yanchor": "bottom",
            "showarrow": False, "font": {"size": 12, "color": "#555555"},
        }
        for level, name in LEVELS
    ]  # fmt: skip
    layout = theme.layout(
        "",
        hovermode="closest",
        # of a few matrices each has its tick: Plotly would put ticks between them, rounded to the same numbers
        xaxis=theme.axis(
            "matrix, in the order of the file",
            rangemode="tozero",
            tickformat="d",
            **({"dtick": 1} if len(layers) <= EACH_TICK else {}),
        ),
        yaxis=theme.axis("exponent α of the tail", rangemode="tozero"),
        shapes=shapes,
        annotations=names,
        showlegend=True,
    )
    return {"data": traces, "layout": layout}


def _named(spectrum: Spectrum) -> str:
    return f"power law, α = {number(spectrum['alpha'], 3)} from λ = {number(spectrum['xmin'], 3)}"


def _points(name: str, x: Sequence[float | None], y: Sequence[float | None], *, shown: bool = False) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": name, "legendgroup": name, "showlegend": shown,
        "x": list(x), "y": list(y), "marker": {"size": 5, "color": INK},
        "hovertemplate": "λ = %{x:.4~g}<br>%{y:.3~g}<extra></extra>",
    }  # fmt: skip


def _line(
    name: str, curve: Mapping[str, Any], which: str, colour: str, dash: str, *, shown: bool = False
) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "name": theme.plain(name), "legendgroup": name, "showlegend": shown,
        "x": list(curve["x"]), "y": list(curve[which]), "line": {"color": colour, "dash": dash, "width": 2.2},
        "hoverinfo": "skip",
    }  # fmt: skip


def _logarithmic(title: str, drawn: Sequence[float]) -> dict[str, Any]:
    """Return a log axis that the points decide: fitted curves fall to 0 at the edge of the bulk."""
    low, high = math.log10(min(drawn)), math.log10(max(drawn))
    room = 0.06 * (high - low) + 0.12
    return {"type": "log", "text": title, "range": [low - room, high + 2 * room], "minorloglabels": "none"}


def _lower(height: float) -> int:
    return round(height - 70)
