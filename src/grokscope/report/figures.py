"""Curves over training as Plotly figure dictionaries: ``{"data": [...], "layout": {...}}``, JSON-ready.

Nothing is computed here: every number drawn was stored, or was given by an analysis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from grokscope.errors import UsageError
from grokscope.report import theme
from grokscope.report.decimate import kept_points
from grokscope.report.spectrum import spectrum
from grokscope.report.steps import StepAxis, round_ticks
from grokscope.report.text import number

__all__ = ["Band", "Curve", "Figure", "Vertical", "band", "lines", "spectrum"]

Figure = dict[str, Any]
MARKED = 40
"""Curves up to this many points show them."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A line: values (points,) at steps (points,), NaN a gap; ``low`` and ``high`` add a ribbon."""

    name: str
    steps: np.ndarray
    values: np.ndarray
    colour: str | None = None
    dash: Literal["solid", "dash", "dot", "dashdot"] | None = None
    axis: Literal["left", "right"] = "left"
    low: np.ndarray | None = None
    high: np.ndarray | None = None


@dataclass(frozen=True)
class Band:
    """A phase from ``start`` to ``end``, in steps; None: the beginning, the end of the run."""

    name: str
    start: float | None
    end: float | None


@dataclass(frozen=True)
class Vertical:
    """A moment, drawn as a vertical line: ``at`` in the units of the axis; ``low`` to ``high`` shade a range."""

    name: str
    at: float
    colour: str = "#000000"
    dash: Literal["solid", "dash", "dot", "dashdot"] = "dash"
    low: float | None = None
    high: float | None = None


def band(
    name: str,
    steps: np.ndarray,
    low: np.ndarray,
    mid: np.ndarray,
    high: np.ndarray,
    *,
    colour: str | None = None,
    dash: Literal["solid", "dash", "dot", "dashdot"] | None = None,
    axis: Literal["left", "right"] = "left",
) -> Curve:
    """Return the curve of many seeds: a line at ``mid`` (the median) in a ribbon from ``low`` to ``high``.

    All arrays have the shape (points,); the name should say what the three are.

    Example:
        >>> band("test, median of 3 seeds", np.arange(2), np.zeros(2), np.ones(2), np.ones(2)).low.tolist()
        [0.0, 0.0]
    """
    return Curve(name, steps, mid, colour, dash, axis, low, high)


def lines(
    title: str,
    curves: Sequence[Curve],
    *,
    x_title: str = "optimizer step",
    y_title: str,
    log_x: bool = True,
    log_y: bool = False,
    bands: Sequence[Band] = (),
    right_title: str | None = None,
    right_log: bool = False,
    y_range: tuple[float, float] | None = None,
    verticals: Sequence[Vertical] = (),
) -> Figure:
    """Return curves over steps, with phases shaded behind them and named in a row above.

    On a log axis step 0 is drawn at half of the first positive step and the axis says so. What is
    not finite, or not positive on a log value axis, is a gap. Curves longer than 2000 points are
    drawn with the extremes of each pixel column; ``layout.meta["decimated"]`` and the axis say so.

    Args:
        title: plain text, like all other texts here.
        curves: drawn in this order; those without a colour take the palette's in turn.
        x_title: what the steps are, with the unit.
        y_title: what the values are, with the unit.
        log_x: whether steps are on a log axis.
        log_y: whether values are.
        bands: the phases.
        right_title: what the curves with ``axis="right"`` are.
        right_log: whether their axis is logarithmic.
        y_range: both ends of the left axis in values, instead of what the data needs.
        verticals: moments; those outside the axis are left out.

    Raises:
        UsageError: arrays of a curve differ in length, a step is negative, or a curve is on a right
            axis that has no title.

    Example:
        >>> curve = Curve("test", np.array([0, 1, 10]), np.array([0.1, 0.5, 1.0]))
        >>> lines("Accuracy", [curve], y_title="accuracy")["data"][0]["x"]
        [0.5, 1.0, 10.0]
    """
    for curve in curves:
        _check(curve, right_title)
    steps = StepAxis.of([curve.steps for curve in curves], log=log_x)
    shown = [one for one in bands if not _hidden(one, steps)]
    data: list[dict[str, Any]] = []
    shortened: dict[str, list[int]] = {}
    for place, curve in enumerate(curves):
        log = right_log if curve.axis == "right" else log_y
        traces, kept = _traces(curve, theme.curve_style(place), steps, log=log)
        data += traces
        if kept < len(curve.steps):
            shortened[curve.name] = [kept, len(curve.steps)]
    data += [_phase_entry(name) for name in dict.fromkeys(one.name for one in shown)]
    moments = [one for one in verticals if _inside(one, steps)]
    data += [_vertical_entry(one) for one in moments]
    notes = []
    if shortened:
        drawn, total = (sum(pair[which] for pair in shortened.values()) for which in (0, 1))
        notes.append(f"{drawn:,} of {total:,} points: min and max of each pixel")
    on_left, on_right = ([curve for curve in curves if curve.axis == side] for side in ("left", "right"))
    more: dict[str, Any] = {
        "xaxis": steps.layout(x_title, notes),
        "yaxis": _value_axis(y_title, on_left, log_y, y_range),
        "shapes": [*(_shape(one, steps) for one in shown), *(s for one in moments for s in _vertical(one, steps))],
        "meta": {"decimated": shortened},
        "showlegend": True,
    }
    if on_right:
        more["yaxis2"] = _value_axis(right_title or "", on_right, right_log) | {
            "overlaying": "y", "side": "right", "showgrid": False, "tickmode": "auto",
        }  # fmt: skip
    return {"data": data, "layout": theme.layout(title, **more)}


def _check(curve: Curve, right_title: str | None) -> None:
    arrays = [curve.steps, curve.values, *(one for one in (curve.low, curve.high) if one is not None)]
    lengths = [len(one) for one in arrays]
    if len(set(lengths)) > 1:
        raise UsageError(f"the curve {curve.name!r} has arrays of lengths {lengths}: give one value for each step.")
    if (curve.low is None) != (curve.high is None):
        raise UsageError(f"the curve {curve.name!r} has one side of a ribbon only: give both low and high.")
    if curve.axis == "right" and right_title is None:
        raise UsageError(f"the curve {curve.name!r} is on the right axis: give right_title, with its unit.")


def _traces(curve: Curve, style: tuple[str, str], steps: StepAxis, *, log: bool) -> tuple[list[dict[str, Any]], int]:
    """Return the traces of a curve, the ribbon first, and how many of its points they hold."""
    order = np.argsort(curve.steps, kind="stable")
    middle, *sides = [np.asarray(one, float)[order] for one in (curve.values, curve.low, curve.high) if one is not None]
    if log:
        middle, *sides = [np.where(one > 0, one, np.nan) for one in (middle, *sides)]
    at = np.asarray(curve.steps)[order]
    kept = kept_points(steps.scaled(at), middle, *sides)
    at, x = at[kept], theme.as_list(steps.place(at[kept]))
    stepped = "," if np.issubdtype(at.dtype, np.integer) else ",.5~g"
    colour, dash = curve.colour or style[0], curve.dash or style[1]
    on_right = {"yaxis": "y2"} if curve.axis == "right" else {}
    name, y = theme.plain(curve.name), theme.as_list(middle[kept])
    line = {
        "type": "scatter", "name": name, "legendgroup": name, "x": x, "y": y, "customdata": at.tolist(),
        "mode": "lines+markers" if len(x) <= MARKED or _alone(middle[kept]) else "lines",
        "line": {"color": colour, "dash": dash, "width": 2.2}, "marker": {"size": 5},
        "hovertemplate": f"%{{y:.4~g}} at %{{customdata:{stepped}}}", "connectgaps": False, **on_right,
    }  # fmt: skip
    return [*_ribbon(line, colour, x, [side[kept] for side in sides]), line], len(x)


def _ribbon(line: dict[str, Any], colour: str, x: list[Any], sides: list[np.ndarray]) -> list[dict[str, Any]]:
    """Return a filled outline for each stretch without gaps: Plotly would fill across a gap."""
    if not sides:
        return []
    low, high = sides
    whole = np.isfinite(low) & np.isfinite(high)
    pieces = np.split(np.arange(len(x)), np.flatnonzero(np.diff(whole.astype(int))) + 1)
    outlines = []
    for piece in (one for one in pieces if one.size and whole[one[0]]):
        along = [x[index] for index in piece]
        outlines.append(
            {
                "type": "scatter",
                "x": along + along[::-1],
                "y": low[piece].tolist() + high[piece][::-1].tolist(),
                "fill": "toself",
                "fillcolor": theme.translucent(colour, 0.18),
                "mode": "lines",
                "line": {"width": 0, "color": colour},
                "hoverinfo": "skip",
                "showlegend": False,
                "name": line["name"],
                "legendgroup": line["legendgroup"],
                **({"yaxis": line["yaxis"]} if "yaxis" in line else {}),
            }
        )
    return outlines


def _alone(values: np.ndarray) -> bool:
    """Tell whether a point has gaps on both sides: a line alone would not show it."""
    finite = np.concatenate([[False], np.isfinite(values), [False]])
    return bool((finite[1:-1] & ~finite[:-2] & ~finite[2:]).any())


def _value_axis(
    title: str, drawn: Sequence[Curve], log: bool, ends: tuple[float, float] | None = None
) -> dict[str, Any]:
    """Return a value axis; a log one names all digits, 1-2-5 or powers of ten, the fewer the longer it is."""
    axis = theme.axis(theme.plain(title))
    if log:
        positive = [one[np.isfinite(one) & (one > 0)] for curve in drawn for one in [np.asarray(curve.values, float)]]
        values = np.concatenate([np.zeros(0), *positive])
        reach = values.max() / values.min() if values.size else 1.0
        axis |= {"type": "log", "minorloglabels": "none" if reach >= 30 else "complete"}
        if 4 <= reach < 30:
            # its own digits of a decade would be written 5x10
            ticks = round_ticks(float(values.min()) / 5, float(values.max()) * 5)
            axis |= {"tickmode": "array", "tickvals": ticks, "ticktext": [number(tick) for tick in ticks]}
    if ends is not None:
        axis["range"] = [math.log10(end) for end in ends] if log else list(ends)
    return axis


def _hidden(one: Band, steps: StepAxis) -> bool:
    start, end = _ends(one, steps)
    return not end > start


def _ends(one: Band, steps: StepAxis) -> tuple[float, float]:
    """Return a phase's ends as positions inside the axis; its margins belong to the first and last phase."""
    low, high = steps.bounds()
    start = low if one.start is None or one.start <= steps.low else float(one.start)
    end = high if one.end is None or one.end >= steps.high else max(float(one.end), low)
    return start, end


def _shape(one: Band, steps: StepAxis) -> dict[str, Any]:
    start, end = _ends(one, steps)
    return {
        "type": "rect", "xref": "x", "yref": "paper", "x0": start, "x1": end, "y0": 0, "y1": 1,
        "layer": "below",
        "line": {"width": 0}, "fillcolor": theme.phase_colour(one.name),
        "opacity": theme.phase_opacity(one.name), "name": theme.plain(one.name),
    }  # fmt: skip


def _inside(one: Vertical, steps: StepAxis) -> bool:
    low, high = steps.bounds()
    return low <= one.at <= high


def _vertical(one: Vertical, steps: StepAxis) -> list[dict[str, Any]]:
    low, high = steps.bounds()
    whole = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1}
    line = {"color": one.colour, "dash": one.dash, "width": 1.8}
    shapes: list[dict[str, Any]] = [{"type": "line", "x0": one.at, "x1": one.at, "line": line, **whole}]
    if one.low is not None and one.high is not None and one.high > one.low:
        ends = {"x0": max(one.low, low), "x1": min(one.high, high)}
        shapes.append({"type": "rect", **ends, **whole, "fillcolor": one.colour, "opacity": 0.08, "line": {"width": 0}})
    return shapes


def _vertical_entry(one: Vertical) -> dict[str, Any]:
    """Return an invisible trace that names a vertical line in the legend."""
    return {
        "type": "scatter", "x": [None], "y": [None], "mode": "lines", "name": theme.plain(one.name),
        "line": {"color": one.colour, "dash": one.dash, "width": 1.8}, "hoverinfo": "skip",
    }  # fmt: skip


def _phase_entry(name: str) -> dict[str, Any]:
    """Return an invisible trace for the row above the plot: text inside a thin band would not fit."""
    colour = theme.translucent(theme.phase_colour(name), 2.2 * theme.phase_opacity(name))
    return {
        "type": "scatter", "x": [None], "y": [None], "mode": "markers", "name": theme.plain(name),
        "marker": {
            "symbol": "square", "size": 13, "color": colour, "line": {"width": 1, "color": theme.FRAME},
        },
        "legend": "legend2", "hoverinfo": "skip",
    }  # fmt: skip
