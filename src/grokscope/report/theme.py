"""How every figure looks: colours, fonts, margins, the step axis, and how text and numbers get into it."""

from __future__ import annotations

import html
import math
import zlib
from typing import Any

import numpy as np

COLOURS: dict[str, str] = {
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "purple": "#AA4499",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "black": "#222222",
}
"""Okabe and Ito's colour-blind-safe colours (the yellow left out: unreadable as a line on white)."""

DASHES = ("solid", "dash", "dot", "dashdot")
"""Taken in turn once the colours are used up, so that no two curves look alike."""

PHASE_COLOURS: dict[str, str] = {
    "memorisation": "#E69F00",
    "circuit formation": "#56B4E9",
    "cleanup": "#CC79A7",
    "generalised": "#009E73",
    "anti-grokking": "#D55E00",
    "misgrokking": "#AA8800",
    "abrupt": "#777777",
    "plateau": "#7C86A8",
    "memorising": "#E6A92E",
    "generalising": "#22A87F",
    "collapsing": "#DB7020",
}
"""One colour a phase, the same in every figure."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, GRID, FRAME = "#222222", "#e6e6e6", "#999999"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def phase_colour(name: str) -> str:
    """Return the colour of a phase; a name that is not known gets one of the palette, always the same.

    Example:
        >>> phase_colour("cleanup")
        '#CC79A7'
    """
    palette = list(COLOURS.values())
    return PHASE_COLOURS.get(name.lower(), palette[zlib.crc32(name.encode()) % len(palette)])


def phase_opacity(name: str) -> float:
    """Return how strongly a phase is tinted: the ends that nobody wants, more than the rest."""
    return 0.22 if name.lower() in ("anti-grokking", "misgrokking") else 0.16


def curve_style(number: int) -> tuple[str, str]:
    """Return (colour, dash) of the ``number``-th curve that names none."""
    palette = list(COLOURS.values())
    return palette[number % len(palette)], DASHES[number // len(palette) % len(DASHES)]


def plain(text: object) -> str:
    """Return text as Plotly must be given it to show it letter by letter (it reads ``<b>`` and ``&…;``).

    Example:
        >>> plain("<b>loss")
        '&lt;b&gt;loss'
    """
    return html.escape(str(text), quote=False)


def translucent(colour: str, opacity: float) -> str:
    """Return ``#rrggbb`` as ``rgba(…)``; another way to write a colour is returned as it is."""
    if not (colour.startswith("#") and len(colour) == 7):
        return colour
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def tick_text(value: float) -> str:
    """Return a step as a short label: ``1,000`` up to six digits, ``2·10⁶`` above.

    Example:
        >>> tick_text(20000), tick_text(1e7)
        ('20,000', '10⁷')
    """
    if 0 < value < 1 or value >= 1e6:
        power = math.floor(math.log10(value) + 1e-9)
        factor = round(value / 10**power, 3)
        ten = "10" + str(power).translate(SUPERSCRIPTS)
        return ten if factor == 1 else f"{factor:g}·{ten}"
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def as_list(values: np.ndarray, shown: np.ndarray | None = None) -> list[float | int | None]:
    """Return numbers as a plain list with None (a gap) where not finite, or where ``shown`` is False."""
    kept = np.isfinite(values) if shown is None else np.isfinite(values) & shown
    return [value if keep else None for value, keep in zip(values.tolist(), kept.tolist(), strict=True)]


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Return an axis of the theme; ``title`` is taken as Plotly text."""
    return {
        "title": {"text": title, "standoff": 12, "font": {"size": 15}},
        "automargin": True,
        "showline": True,
        "linecolor": FRAME,
        "gridcolor": GRID,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": FRAME,
        "exponentformat": "power",
        **more,
    }


def note(text: str, above: int = 8) -> dict[str, Any]:
    """Return small print over a plot, ``above`` pixels over its upper edge: what holds for all of a figure."""
    return {
        "text": plain(text), "xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left",
        "yanchor": "bottom", "yshift": above, "showarrow": False, "font": {"size": 13, "color": "#555555"},
    }  # fmt: skip


def layout(title: str, *, height: int = 440, **more: Any) -> dict[str, Any]:
    """Return the layout all figures share; ``more`` is laid over it.

    Legends: ``legend`` (curves) lies below the plot, ``legend2`` (phases) above it; no click on a
    phase hides anything.
    """
    return {
        "title": {"text": plain(title), "x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 17}},
        "font": {"family": FONT, "size": 14, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "height": height,
        "autosize": True,
        "margin": {"l": 70, "r": 24, "t": 84, "b": 60},
        "hovermode": "x unified",
        "hoverlabel": {"font": {"size": 13}, "namelength": -1, "bgcolor": "rgba(255,255,255,0.94)"},
        "legend": {
            "orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "xanchor": "left",
            "font": {"size": 13}, "tracegroupgap": 0,
        },
        "legend2": {
            "orientation": "h", "y": 1.015, "yanchor": "bottom", "x": 0, "xanchor": "left",
            "font": {"size": 13}, "itemclick": False, "itemdoubleclick": False,
        },
        "modebar": {"orientation": "h", "bgcolor": "rgba(0,0,0,0)"},
        **more,
    }  # fmt: skip
