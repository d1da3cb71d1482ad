"""The growth of a Fourier spectrum over training, as a heat map with the key frequencies marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from grokscope.errors import UsageError
from grokscope.report import theme
from grokscope.report.colours import log_ticks, logarithm
from grokscope.report.decimate import kept_columns
from grokscope.report.steps import StepAxis


def spectrum(
    title: str,
    frequencies: Sequence[int] | np.ndarray,
    steps: np.ndarray,
    values: np.ndarray,
    *,
    key_frequencies: Sequence[int] = (),
    log_x: bool = True,
    colour_title: str,
    x_title: str = "optimizer step",
    log_colour: bool = False,
    note: str = "",
) -> dict[str, Any]:
    """Return norms by frequency and step; each cell reaches half-way to its neighbours along the axis.

    Args:
        title: plain text, like all other texts here.
        frequencies: ascending integers, (frequencies,).
        steps: (steps,), in any order.
        values: (frequencies, steps); what is not finite is left blank.
        key_frequencies: marked at the right edge, named in the legend, and ticked.
        log_x: whether steps are on a log axis (step 0 at half of the first positive one).
        colour_title: what the values are, with the unit.
        x_title: what the steps are.
        log_colour: whether colours are on a log axis, at most six decades; what is not positive is left blank.
        note: in small print above.

    Raises:
        UsageError: the shape of ``values`` is another, or a key frequency is none of ``frequencies``.

    Example:
        >>> figure = spectrum("", [1, 2], np.array([1, 100]), np.ones((2, 2)), colour_title="norm")
        >>> [round(edge, 3) for edge in figure["data"][0]["x"]]
        [0.1, 10.0, 1000.0]
    """
    rows, at, values = np.asarray(frequencies), np.asarray(steps), np.asarray(values, float)
    if values.shape != (len(rows), len(at)):
        raise UsageError(
            f"the values have the shape {values.shape}: give one row for each of the {len(rows)} frequencies "
            f"and one column for each of the {len(at)} steps."
        )
    if strangers := sorted(set(map(int, key_frequencies)) - set(map(int, rows))):
        raise UsageError(f"the key frequencies {strangers} are not among those drawn: give them in the same unit.")
    axis = StepAxis.of([at], log=log_x)
    order = np.argsort(at, kind="stable")
    kept = order[kept_columns(axis.scaled(at[order]))]
    at, values = at[kept], values[:, kept]
    notes = [f"{len(kept):,} of {len(order):,} moments drawn"] if len(kept) < len(order) else []
    keys = sorted(set(map(int, key_frequencies)))
    edges = _edges(axis.scaled(at), log=log_x)
    colours, shown, hover = {}, values, "%{z:.4~g}"
    if log_colour:
        shown, low, high = logarithm(values)
        shown, hover = np.maximum(shown, low), "10<sup>%{z:.2f}</sup>"
        colours = {"zmin": low, "zmax": high if high > low else low + 1.0}
    data: list[dict[str, Any]] = [
        {
            "type": "heatmap", "x": edges, "y": rows.tolist(), "z": [theme.as_list(row) for row in shown],
            "customdata": [at.tolist()] * len(rows), "colorscale": "Viridis", "zsmooth": False, **colours,
            "colorbar": {
                "title": {"text": theme.plain(colour_title), "side": "right", "font": {"size": 15}},
                "thickness": 16, "outlinewidth": 0,
                "x": 1.03, "xanchor": "left",
                **(log_ticks(colours["zmin"], colours["zmax"]) if log_colour else {"exponentformat": "power"}),
            },
            "hovertemplate": f"step %{{customdata:,}}<br>frequency %{{y}}<br>{hover}<extra></extra>",
        }
    ]  # fmt: skip
    if keys and len(at):
        data.append(
            {
                "type": "scatter",
                "x": [edges[-1]] * len(keys),
                "y": keys,
                "mode": "markers",
                "cliponaxis": False,
                "name": f"key frequencies: {', '.join(map(str, keys))}",
                "showlegend": True,
                "marker": {"symbol": "triangle-left", "size": 12, "color": theme.COLOURS["vermillion"]},
                "hovertemplate": "key frequency %{y}<extra></extra>",
            }
        )
    x_axis = axis.layout(x_title, notes)
    if len(at):
        first, last = np.log10([edges[0], edges[-1]]).tolist() if log_x else (edges[0], edges[-1])
        # a little beyond the last cell: a marker that rounding puts outside the range is not drawn
        x_axis |= {"range": [first, last + 0.002 * (last - first)]}
    layout = theme.layout(
        title,
        height=480,
        hovermode="closest",
        xaxis=x_axis | {"showgrid": False},
        yaxis=theme.axis("frequency", showgrid=False, **_frequency_ticks(rows, keys)),
        meta={"decimated": {"moments": [len(kept), len(order)]} if notes else {}},
        annotations=[theme.note(note)] if note else [],
    )
    return {"data": data, "layout": layout}


def _edges(scaled: np.ndarray, *, log: bool) -> list[float]:
    """Return the (steps + 1) cell edges: half-way between neighbours as the axis shows them."""
    if not len(scaled):
        return []
    if len(scaled) == 1:
        edges = np.array([scaled[0] - 0.5, scaled[0] + 0.5])
    else:
        between = (scaled[:-1] + scaled[1:]) / 2
        edges = np.concatenate([[2 * scaled[0] - between[0]], between, [2 * scaled[-1] - between[-1]]])
    return (10.0**edges if log else edges).tolist()


def _frequency_ticks(rows: np.ndarray, keys: list[int]) -> dict[str, Any]:
    """Return ticks at the key frequencies, in bold, and at round ones that leave those room."""
    if not rows.size:
        return {}
    low, high = int(rows.min()), int(rows.max())
    room = (high - low + 1) / 20
    ticked: list[int] = []
    for key in keys:
        if not ticked or key - ticked[-1] >= room:
            ticked.append(key)
    apart = next((gap for gap in (1, 2, 5, 10, 20, 50, 100, 200, 500) if (high - low) / gap <= 10), 1000)
    regular = [low, *range(apart * (low // apart + 1), high + 1, apart)]
    regular = [one for one in regular if all(abs(one - key) >= room for key in keys)]
    ticks = sorted({*ticked, *regular})
    return {
        "tickvals": ticks,
        "ticktext": [f"<b>{tick}</b>" if tick in ticked else str(tick) for tick in ticks],
    }
