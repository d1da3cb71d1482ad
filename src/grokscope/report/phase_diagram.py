"""Phase diagrams: when the cells of a grid fitted and generalised, as a map of two keys or as curves over one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Any

import numpy as np

from grokscope.errors import UsageError, unknown
from grokscope.report import theme
from grokscope.report.colours import colour_axis, logarithm, short
from grokscope.report.contours import contour, levels
from grokscope.report.figures import Curve, band, lines
from grokscope.report.steps import StepAxis
from grokscope.report.text import number

Row = Mapping[str, Any]
COLOURS = {
    "delay_ratio": "delay: generalised / fitted",
    "delay_steps": "delay (steps)",
    "generalise_step": "generalised at step",
}
"""What the colour of a cell may be, and what its bar says."""
SCALE: list[list[Any]] = [
    [0.0, "#fff3bf"], [0.25, "#fdc966"], [0.5, "#f4914a"], [0.75, "#d95442"], [1.0, "#a3244f"],
]  # fmt: skip
"""From no delay to the longest; light enough at both ends for black lines on it."""
CENSORED: dict[str, dict[str, Any]] = {
    "never generalised": {"symbol": "x", "color": "#444444"},
    "never fitted": {"symbol": "square", "color": "#777777"},
    "failed": {"symbol": "triangle-up", "color": "#D55E00"},
}
THEORY = ("#0072B2", "#009E73", "#AA4499", "#56B4E9")
BLANK = "#ececec"


@dataclass(frozen=True)
class GridAxis:
    """Where the values of a key are drawn: by their logarithm, by themselves, or one after the other.

    Attributes:
        key: dotted.
        values: distinct, numbers in rising order.
        kind: ``log``, ``linear`` or ``order``.
        places: positions, (values,).
    """

    key: str
    values: tuple[Any, ...]
    kind: str
    places: tuple[float, ...]

    @classmethod
    def of(cls, key: str, rows: Sequence[Row]) -> GridAxis:
        """Return the axis of the values that rows have for a key.

        Positive numbers whose ratios are more alike than their differences are drawn by their logarithm; numbers
        that span a decade beside a 0, and what is no number, one after the other.

        Example:
            >>> GridAxis.of("a", [{"values": {"a": v}} for v in (1, 10, 100)]).places
            (0.0, 1.0, 2.0)
        """
        values = list({repr(row["values"][key]): row["values"][key] for row in rows}.values())
        if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values):
            return cls(key, tuple(values), "order", tuple(map(float, range(len(values)))))
        values.sort()
        positive = [v for v in values if v > 0]
        wide = len(positive) > 1 and positive[-1] >= 10 * positive[0]
        if len(positive) == len(values) and len(values) > 1 and (wide or _geometric(values)):
            return cls(key, tuple(values), "log", tuple(math.log10(v) for v in values))
        if wide and values[0] == 0:
            return cls(key, tuple(values), "order", tuple(map(float, range(len(values)))))
        return cls(key, tuple(values), "linear", tuple(map(float, values)))

    def index(self, value: Any) -> int:
        """Return which of the values it is."""
        return self.values.index(value)

    @property
    def edges(self) -> list[float]:
        """Where cells meet: halfway between places, (values + 1,)."""
        at = self.places
        if len(at) == 1:
            return [at[0] - 0.5, at[0] + 0.5]
        inner = [(one + other) / 2 for one, other in pairwise(at)]
        return [2 * at[0] - inner[0], *inner, 2 * at[-1] - inner[-1]]

    def layout(self, label: str) -> dict[str, Any]:
        """Return the Plotly axis, ticked at the values (at most a dozen of them)."""
        apart = math.ceil(len(self.values) / 12)
        edges = self.edges
        scale = ' <span style="font-size:13px;color:#666666">(log scale)</span>' if self.kind == "log" else ""
        return theme.axis(
            theme.plain(label) + scale,
            tickmode="array",
            tickvals=list(self.places[::apart]),
            ticktext=[theme.plain(number(value)) for value in self.values[::apart]],
            range=[edges[0], edges[-1]],
            showgrid=False,
        )


def phase_diagram(
    title: str,
    rows: Sequence[Row],
    keys: Sequence[str],
    *,
    colour: str | None = None,
    labels: Mapping[str, str] | None = None,
    unit: str = "optimizer step",
    note: str = "",
) -> dict[str, Any]:
    """Return the phase diagram of a grid: a map of two keys, or curves over one.

    On a map the colour of a cell is its delay, on a logarithmic scale; black lines are where cells generalise at the
    same step, dotted ones where they fit, and dashed ones in colour where theory says they generalise. Cells most of
    whose runs never generalised, never fitted or failed have no colour but a mark.

    Args:
        title: plain text, like all other texts here.
        rows: of :func:`grokscope.analysis.grid.cell_row`, one for each combination of values.
        keys: the key to the right, and the key upwards.
        colour: ``delay_ratio``, ``delay_steps`` or ``generalise_step``; absent: the first unless no row has it.
        labels: what an axis says instead of its dotted key.
        unit: of ``fit_step`` and ``generalise_step``.
        note: in small print above.

    Raises:
        UsageError: there are not one or two keys, a row lacks one or two rows are one cell, or an unknown colour.
    """
    if len(keys) not in (1, 2) or len(set(keys)) < len(keys):
        raise UsageError(f"the phase diagram is to have the keys {', '.join(keys) or 'none'}: name one key, or two.")
    if colour is not None and colour not in COLOURS:
        raise unknown("colour of a phase diagram", colour, COLOURS)
    _check(rows, keys)
    if not rows:
        return {"data": [], "layout": theme.layout(title)}
    named = {key: (labels or {}).get(key, key) for key in keys}
    if len(keys) == 1:
        return _over_one(title, rows, GridAxis.of(keys[0], rows), named[keys[0]], unit)
    return _map(title, rows, [GridAxis.of(key, rows) for key in keys], [named[key] for key in keys], colour, note)


def _check(rows: Sequence[Row], keys: Sequence[str]) -> None:
    seen = set()
    for row in rows:
        missing = [key for key in keys if key not in row["values"]]
        if missing:
            raise UsageError(f"a row of the phase diagram lacks {missing[0]}: it has {', '.join(row['values'])}.")
        cell = repr([row["values"][key] for key in keys])
        if cell in seen:
            raise UsageError(f"two rows of the phase diagram have {', '.join(keys)} = {cell}: give one row a cell.")
        seen.add(cell)


def _geometric(values: Sequence[float]) -> bool:
    """Tell whether ratios of neighbours are more alike than their differences."""
    if len(values) < 3:
        return False
    ratios, steps = np.diff(np.log(values)), np.diff(values)
    return bool(np.ptp(ratios) * np.mean(steps) < np.ptp(steps) * np.mean(ratios) - 1e-12)


# -- a map of two keys -------------------------------------------------------------------------------


def _map(
    title: str, rows: Sequence[Row], axes: Sequence[GridAxis], labels: Sequence[str], colour: str | None, note: str
) -> dict[str, Any]:
    x, y = axes
    if colour is None:
        colour = "delay_ratio" if any(_positive(row.get("delay_ratio")) for row in rows) else "generalise_step"
    shape = (len(y.values), len(x.values))
    values, fits, steps = (np.full(shape, np.nan) for _ in range(3))
    texts = np.full(shape, "", object)
    names = list(dict.fromkeys(name for row in rows for name in row.get("theory") or ()))
    theory = {name: np.full(shape, np.nan) for name in names}
    marked: dict[str, list[tuple[float, float]]] = {state: [] for state in CENSORED}
    for row in rows:
        column, line = x.index(row["values"][x.key]), y.index(row["values"][y.key])
        at = line, column
        texts[at] = _told(row, dict(zip((x.key, y.key), labels, strict=True)))
        fits[at], steps[at] = _number(row.get("fit_step")), _number(row.get("generalise_step"))
        for name in names:
            theory[name][at] = _number((row.get("theory") or {}).get(name))
        if row["state"] in marked:
            marked[row["state"]].append((x.places[column], y.places[line]))
            steps[at] = np.nan
        else:
            values[at] = _number(row.get(colour))
    shown, low, high = logarithm(values)
    heat = {
        "type": "heatmap", "x": x.edges, "y": y.edges, "z": short(shown, max(abs(low), abs(high), 1.0)),
        "coloraxis": "coloraxis", "zsmooth": False, "customdata": texts.tolist(), "showlegend": False,
        "hovertemplate": "%{customdata}<extra></extra>", "hoverongaps": True,
    }  # fmt: skip
    chosen = levels(steps)
    drawn = [
        ("generalise at", steps, chosen, {"color": "#111111", "dash": "solid", "width": 1.8}),
        ("fit at", fits, levels(fits), {"color": "#111111", "dash": "dot", "width": 1.8}),
        *(
            (f"{name} at", theory[name], chosen or levels(theory[name]), {"color": tint, "dash": "dash", "width": 2.2})
            for name, tint in zip(names, cycle(THEORY), strict=False)
        ),
    ]
    data, annotations = [heat], []
    for name, what, at_levels, look in drawn:
        traces, said = _contours(name, what, at_levels, look, x.places, y.places)
        data += traces
        annotations += said
    data += [_marks(state, places) for state, places in marked.items() if places]
    layout = theme.layout(
        title,
        height=560,
        hovermode="closest",
        xaxis=x.layout(labels[0]),
        yaxis=y.layout(labels[1]),
        plot_bgcolor=BLANK,
        coloraxis=colour_axis(COLOURS[colour], low, high, scale=SCALE, log=True),
        annotations=[*annotations, *([theme.note(note)] if note else [])],
        showlegend=True,
    )
    layout["margin"] = {**layout["margin"], "t": 60}
    return {"data": data, "layout": layout}


def _contours(
    name: str, values: np.ndarray, at: Sequence[float], look: Mapping[str, Any], x: Sequence[float], y: Sequence[float]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return one trace with all lines of a kind, and the step beside each line."""
    # between cells steps are interpolated by their logarithm, as crossings are
    logs = np.log10(np.where(values > 0, values, np.nan))
    along: list[float | None] = []
    across: list[float | None] = []
    said = []
    for level in at:
        for line in contour(x, y, logs, math.log10(level)):
            along += [point[0] for point in line] + [None]
            across += [point[1] for point in line] + [None]
            middle = line[len(line) // 2] if len(line) > 2 else tuple(np.mean(line, 0).tolist())
            said.append(_beside(theme.tick_text(level), middle, look["color"]))
    if not along:
        return [], []
    steps = ", ".join(theme.tick_text(level) for level in at)
    trace = {
        "type": "scatter", "mode": "lines", "x": along, "y": across, "line": dict(look), "hoverinfo": "skip",
        "name": theme.plain(f"{name} {steps}"), "connectgaps": False,
    }  # fmt: skip
    return [trace], said


def _beside(text: str, point: Sequence[float], colour: str) -> dict[str, Any]:
    return {
        "text": text, "xref": "x", "yref": "y", "x": point[0], "y": point[1], "showarrow": False,
        "font": {"size": 12, "color": colour}, "bgcolor": "rgba(255,255,255,0.75)", "borderpad": 1,
    }  # fmt: skip


def _marks(state: str, places: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "x": [one for one, _ in places], "y": [other for _, other in places],
        "marker": {"size": 10, **CENSORED[state]}, "name": state, "hoverinfo": "skip",
    }  # fmt: skip


def _told(row: Row, labels: Mapping[str, str]) -> str:
    """Return what a cell says when it is pointed at."""
    spread = row.get("interval")
    around = f" ({number(spread[0])} to {number(spread[1])})" if spread else ""
    parts = [f"{label} = {number(row['values'][key])}" for key, label in labels.items()]
    parts += [
        f"{row['state']}: {row.get('never', 0)} never generalised, {row.get('never_fitted', 0)} never fitted, "
        f"{row.get('diverged', 0)} diverged, {row.get('failed', 0)} failed of {len(row.get('seeds') or ())} seeds",
        f"fitted at {number(row.get('fit_step'))}, generalised at {number(row.get('generalise_step'))}{around}",
        f"delay ratio {number(row.get('delay_ratio'))}",
        *(f"{name}: {number(value)}" for name, value in (row.get("theory") or {}).items()),
    ]
    return "<br>".join(theme.plain(part) for part in parts)


# -- curves over one key -----------------------------------------------------------------------------


def _over_one(title: str, rows: Sequence[Row], axis: GridAxis, label: str, unit: str) -> dict[str, Any]:
    ordered = sorted(rows, key=lambda row: axis.index(row["values"][axis.key]))
    drawable = axis.kind != "order" and min(axis.values) >= 0
    places = np.array(axis.values if drawable else range(len(ordered)), float)
    log = drawable and axis.kind == "log"

    def column(name: str, part: int | None = None) -> np.ndarray:
        found = [row.get(name) for row in ordered]
        return np.array([_number(one if part is None or one is None else one[part]) for one in found])

    seeds = max((len(row.get("seeds") or ()) for row in ordered), default=1)
    told = f" ({seeds} seeds: median, range)" if seeds > 1 else ""
    curves = [
        _ranged(f"generalised{told}", places, column("generalise_step"), column("interval", 0), column("interval", 1),
                theme.COLOURS["vermillion"]),
        _ranged(f"fitted{told}", places, column("fit_step"), column("fit_interval", 0), column("fit_interval", 1),
                theme.COLOURS["blue"]),
    ]  # fmt: skip
    names = dict.fromkeys(name for row in ordered for name in row.get("theory") or ())
    for name, tint in zip(names, cycle(THEORY[1:]), strict=False):
        forecast = np.array([_number((row.get("theory") or {}).get(name)) for row in ordered])
        curves.append(Curve(name, places, forecast, tint, "dash"))
    figure = lines(title, curves, x_title=label, y_title=unit, log_x=log, log_y=True)
    positions = StepAxis.of([places], log=log).place(places)
    for state in CENSORED:
        at = [index for index, row in enumerate(ordered) if row["state"] == state]
        if at:
            # where the runs ended: all that is known of a cell that did not get there is that it takes longer
            heights = [_number(ordered[index].get("last_step")) for index in at]
            trace = _marks(
                state, [(float(positions[index]), height) for index, height in zip(at, heights, strict=True)]
            )
            figure["data"].append({**trace, "y": theme.as_list(np.array(heights)), "name": f"{state} by then"})
    if not drawable:
        figure["layout"]["xaxis"] |= {
            "tickmode": "array", "tickvals": places.tolist(),
            "ticktext": [theme.plain(number(value)) for value in axis.values],
        }  # fmt: skip
    return figure


def _ranged(name: str, x: np.ndarray, middle: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> Curve:
    spread = np.isfinite(low).any() and not np.array_equal(low, high, equal_nan=True)
    return band(name, x, low, middle, high, colour=colour) if spread else Curve(name, x, middle, colour)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


def _positive(value: Any) -> bool:
    return _number(value) > 0
