"""Colour scales beyond Plotly's own: a cyclic one, a logarithmic one; and numbers short enough for a page."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from grokscope.report import theme

CYCLIC: list[list[Any]] = [
    [0.0, "#a8780d"], [0.1, "#cb6628"], [0.2, "#dc4c5f"], [0.3, "#d740ad"], [0.4, "#b258e8"], [0.5, "#7f79ef"],
    [0.6, "#3793cb"], [0.7, "#229d97"], [0.8, "#24a35f"], [0.9, "#7a941b"], [1.0, "#a8780d"],
]  # fmt: skip
"""Hues of nearly one lightness whose ends meet (after ``phase`` of Thyng et al. 2016), for residues and angles."""


def colour_axis(
    title: str, low: float, high: float, *, scale: Any = "Viridis", log: bool = False, **more: Any
) -> dict[str, Any]:
    """Return the colour axis that the panels of a figure share, with its bar.

    Args:
        title: what the colours are, with the unit.
        low: value of the first colour; its log10 where ``log``.
        high: value of the last colour; its log10 where ``log``.
        scale: the name of a Plotly scale, or a list of (position, colour).
        log: whether what is drawn are log10 of the values; the bar names the values.
        more: laid over the colour bar.
    """
    ticks = log_ticks(low, high) if log else {"exponentformat": "power"}
    return {
        "colorscale": scale,
        "cmin": low,
        "cmax": high if high > low else low + 1.0,
        "colorbar": {
            "title": {"text": theme.plain(title), "side": "right", "font": {"size": 14}},
            "thickness": 14, "outlinewidth": 0, "x": 1.02, "xanchor": "left", "tickfont": {"size": 13},
            **ticks, **more,
        },
    }  # fmt: skip


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """Return ticks of a colour bar from 10^low to 10^high, named by value.

    Example:
        >>> log_ticks(-2, 0.5)["ticktext"]
        ['10⁻²', '10⁻¹', '1']
    """
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    apart = max(1, math.ceil((last - first) / 8))
    values: list[float] = list(range(first, last + 1, apart))
    if len(values) < 2:
        values = [power + math.log10(digit) for power in range(first - 1, last + 1) for digit in (1, 2, 5)]
        values = [value for value in values if low - 1e-9 <= value <= high + 1e-9]
    return {
        "tickmode": "array",
        "tickvals": values,
        "ticktext": [_power(value) for value in values],
    }


def logarithm(values: np.ndarray, decades: float = 6.0) -> tuple[np.ndarray, float, float]:
    """Return log10 of values and the ends of their colour axis, at most ``decades`` below the largest.

    What is smaller has the first colour. What is not positive is NaN, a blank.

    Example:
        >>> shown, low, high = logarithm(np.array([1.0, 100.0, 0.0]))
        >>> (shown.tolist()[:2], low, high)
        ([0.0, 2.0], 0.0, 2.0)
    """
    shown = np.full(np.shape(values), np.nan)
    positive = np.isfinite(values) & (np.asarray(values) > 0)
    shown[positive] = np.log10(np.asarray(values, float)[positive])
    if not positive.any():
        return shown, 0.0, 1.0
    high = float(np.nanmax(shown))
    return shown, max(float(np.nanmin(shown)), high - decades), high


def short(values: np.ndarray, scale: float | None = None) -> list[Any]:
    """Return an array as nested lists with None where not finite, to a ten-thousandth of ``scale``.

    ``scale`` is the largest magnitude unless given: no colour and no screen shows more.

    Example:
        >>> short(np.array([[1 / 3, np.nan]]), scale=1.0)
        [[0.3333, None]]
    """
    values = np.asarray(values, float)
    finite = np.isfinite(values)
    if scale is None:
        scale = float(np.abs(values[finite]).max()) if finite.any() else 0.0
    decimals = 4 - math.floor(math.log10(scale) + 1e-9) if scale > 0 else 4
    rounded = np.round(np.where(finite, values, 0.0), decimals).astype(object)
    rounded[~finite] = None
    return rounded.tolist()


def _power(value: float) -> str:
    power = math.floor(value + 1e-9)
    digit = round(10 ** (value - power))
    ten = "1" if power == 0 else "10" + str(power).translate(theme.SUPERSCRIPTS)
    if digit == 1:
        return ten
    return str(digit) if power == 0 else f"{digit}·{ten}"
