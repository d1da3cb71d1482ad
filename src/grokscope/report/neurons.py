"""Which frequency each neuron has, and how much of its variance that explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from grokscope.errors import UsageError
from grokscope.report import theme
from grokscope.report.panels import Panel, panels

BINS = 20
OTHER = "#9a9a9a"


def neuron_frequencies(
    title: str,
    frequencies: np.ndarray,
    shares: np.ndarray,
    *,
    largest: int,
    key_frequencies: Sequence[int] = (),
    mark: float | None = None,
    note: str = "",
) -> dict[str, Any]:
    """Return two counts of neurons: by share of variance (bars of 0.05, stacked), and by frequency.

    Args:
        title: plain text.
        frequencies: the best frequency of each neuron, (neurons,); not positive for a neuron without one.
        shares: of each neuron's variance that this frequency explains, 0 to 1, (neurons,); NaN is left out.
        largest: the last frequency of the axis, ⌊p/2⌋.
        key_frequencies: those with a colour of their own; the others are grey.
        mark: a share to draw a line at.
        note: in small print above.

    Raises:
        UsageError: the arrays differ in length.

    Example:
        >>> figure = neuron_frequencies("", np.array([3, 3]), np.array([0.91, 0.93]), largest=5, key_frequencies=[3])
        >>> figure["data"][0]["y"][18], figure["data"][-1]["y"]
        (2, [2])
    """
    best, shares = np.asarray(frequencies), np.asarray(shares, float)
    if best.shape != shares.shape:
        raise UsageError(f"there are {best.size} frequencies and {shares.size} shares: give both for each neuron.")
    kept = np.isfinite(shares) & (best > 0)
    best, shares = best[kept].astype(int), shares[kept]
    if not best.size:
        return panels(title, [], columns=1)
    keys = sorted({int(key) for key in key_frequencies})
    groups = [(f"k = {key}", theme.curve_style(number)[0], best == key) for number, key in enumerate(keys)]
    if (others := ~np.isin(best, keys)).any():
        groups.append(("other frequencies" if keys else "neurons", OTHER, others))
    places = np.clip((shares * BINS + 1e-9).astype(int), 0, BINS - 1)
    centres = ((np.arange(BINS) + 0.5) / BINS).round(4).tolist()
    by_share, by_frequency = [], []
    for name, colour, inside in groups:
        look = {"type": "bar", "name": name, "legendgroup": name, "marker": {"color": colour}}
        counts = np.bincount(places[inside], minlength=BINS)
        hover = f"{name}: %{{y}} neurons, share %{{x}} ± 0.025<extra></extra>"
        by_share.append({**look, "x": centres, "y": counts.tolist(), "width": 1 / BINS, "hovertemplate": hover})
        found, counts = np.unique(best[inside], return_counts=True)
        hover = "frequency %{x}: %{y} neurons<extra></extra>"
        by_frequency.append(
            {**look, "x": found.tolist(), "y": counts.tolist(), "width": 0.8, "showlegend": False,
             "hovertemplate": hover}
        )  # fmt: skip
    if mark is not None:
        by_share.append(
            {"type": "scatter", "x": [mark, mark], "y": [0, int(np.bincount(places).max())], "mode": "lines",
             "line": {"color": theme.INK, "dash": "dash", "width": 1.5}, "name": f"share {mark:g}",
             "hoverinfo": "skip"}
        )  # fmt: skip
    count = {"text": "neurons", "rangemode": "tozero"}
    drawn = [
        Panel("", by_share, x={"text": "share of variance explained by its frequency", "range": [0, 1]}, y=count,
              square=False),
        Panel("", by_frequency, x={"text": "best frequency", "range": [0.4, largest + 0.6]}, y=count, square=False),
    ]  # fmt: skip
    figure = panels(title, drawn, columns=2, note=note, barmode="stack", bargap=0)
    return {**figure, "layout": {**figure["layout"], "showlegend": True}}
