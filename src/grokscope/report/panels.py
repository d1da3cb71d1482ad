"""Several panels in one figure: where they lie on a wide screen and on a narrow one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grokscope.report import theme

WIDE, NARROW = 850, 230
"""Pixels that panels share on a desktop and on a phone, without margins and colour bar."""

TALLEST = 400
GAP_X, GAP_Y = 74, 84
"""Pixels between panels: tick labels and the axis title, and below them the next panel's own title."""


@dataclass(frozen=True)
class Panel:
    """One plot of several: the title above it, its traces, and what its axes have beyond the theme's.

    ``square`` gives both axes one unit length.
    """

    title: str
    traces: Sequence[Mapping[str, Any]]
    x: Mapping[str, Any] = field(default_factory=dict)
    y: Mapping[str, Any] = field(default_factory=dict)
    square: bool = True


def panels(
    title: str,
    drawn: Sequence[Panel],
    *,
    columns: int,
    narrow_columns: int = 1,
    note: str = "",
    **more: Any,
) -> dict[str, Any]:
    """Return panels in rows as one Plotly figure; without any, a figure without data.

    ``layout.meta`` holds the domains and the height twice, ``wide`` and ``narrow``, as a change of layout
    each: a page takes the one that its window has room for.

    Args:
        title: plain text, like all other texts here.
        drawn: row by row.
        columns: panels in a row on a wide screen; fewer panels are laid out in fewer columns.
        narrow_columns: the same on a narrow screen.
        note: in small print above the panels: what holds for all.
        more: laid over the layout (``coloraxis``, ``sliders`` …).

    Example:
        >>> panel = Panel("one", [{"type": "scatter", "x": [1], "y": [2]}])
        >>> figure = panels("two", [panel, panel], columns=2)
        >>> figure["data"][1]["xaxis"], figure["layout"]["xaxis2"]["domain"][1]
        ('x2', 1.0)
    """
    if not drawn:
        return {"data": [], "layout": theme.layout(title)}
    wide, narrow = (_arrangement(len(drawn), one, room) for one, room in ((columns, WIDE), (narrow_columns, NARROW)))
    data, axes, headings = [], {}, []
    for number, panel in enumerate(drawn):
        tail = "" if number == 0 else str(number + 1)
        data += [{**trace, "xaxis": f"x{tail}", "yaxis": f"y{tail}"} for trace in panel.traces]
        square: dict[str, Any] = {"scaleanchor": f"x{tail}", "constrain": "domain"} if panel.square else {}
        axes[f"xaxis{tail}"] = _axis(panel.x, f"y{tail}", {"constrain": "domain"} if panel.square else {})
        axes[f"yaxis{tail}"] = _axis(panel.y, f"x{tail}", square)
        headings.append(_heading(panel.title, tail))
    if note:
        headings.append(theme.note(note, above=26))
    layout = theme.layout(
        title,
        height=wide["height"],
        hovermode="closest",
        showlegend=False,
        **axes,
        annotations=headings,
        meta={"wide": wide, "narrow": narrow, "panels": len(drawn), "columns": min(columns, len(drawn))},
    )
    layout["margin"] = {**layout["margin"], "t": 104 if note else 88, "l": 62}
    for place, value in wide.items():
        axis, _, part = place.partition(".")
        if part:
            layout[axis] = {**layout[axis], part: value}
    return {"data": data, "layout": {**layout, **more}}


def _axis(own: Mapping[str, Any], anchor: str, square: Mapping[str, Any]) -> dict[str, Any]:
    axis = theme.axis(theme.plain(own.get("text", "")), anchor=anchor, **square)
    axis["title"] = {"text": axis["title"]["text"], "standoff": 4, "font": {"size": 13}}
    axis |= {"tickfont": {"size": 12}, "ticklen": 3}
    return axis | {name: value for name, value in own.items() if name != "text"}


def _heading(title: str, tail: str) -> dict[str, Any]:
    return {
        "text": theme.plain(title), "xref": f"x{tail} domain", "yref": f"y{tail} domain", "x": 0.5, "y": 1,
        "xanchor": "center", "yanchor": "bottom", "yshift": 2, "showarrow": False, "font": {"size": 14},
    }  # fmt: skip


def _arrangement(count: int, columns: int, room: float) -> dict[str, Any]:
    """Return domains of the axes and the figure's height (pixels) as one change of layout."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    gap = GAP_X if room == WIDE else GAP_X - 24
    width = (room - gap * (columns - 1)) / columns
    tall = min(width, TALLEST)
    height = rows * tall + (rows - 1) * GAP_Y
    change: dict[str, Any] = {"height": round(height + 150)}
    for number in range(count):
        row, column = divmod(number, columns)
        tail = "" if number == 0 else str(number + 1)
        left, top = column * (width + gap) / room, 1 - row * (tall + GAP_Y) / height
        change[f"xaxis{tail}.domain"] = [round(left, 4), round(min(1.0, left + width / room), 4)]
        change[f"yaxis{tail}.domain"] = [round(max(0.0, top - tall / height), 4), round(top, 4)]
    return change
