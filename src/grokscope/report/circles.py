"""Residues on the circles of a network's key frequencies, over training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from grokscope.errors import UsageError
from grokscope.report import theme
from grokscope.report.colours import CYCLIC, colour_axis, short
from grokscope.report.panels import Panel, panels
from grokscope.report.slider import with_slider

MOST = 6
"""More circles than this are not drawn: the first ones are, and the figure says so."""


def circle_order(frequency: int, modulus: int) -> np.ndarray:
    """Return the residues in the order in which they lie on the circle of a frequency k: by k·a mod p.

    Neighbours differ by k⁻¹ mod p where k has an inverse; the first is repeated at the end, (p + 1,).

    Example:
        >>> circle_order(2, 5).tolist()
        [0, 3, 1, 4, 2, 0]
    """
    order = np.argsort(frequency * np.arange(modulus) % modulus, kind="stable")
    return np.append(order, order[0])


def circles(
    title: str,
    frequencies: Sequence[int],
    points: np.ndarray,
    labels: Sequence[str],
    *,
    note: str = "",
    unit: str = "",
) -> dict[str, Any]:
    """Return one panel for each frequency, all with the same scale, with a slider over the moments.

    Residues have the colours of their value and are joined in the order of the circle.

    Args:
        title: plain text.
        frequencies: k of each circle, (circles,); the first 6 are drawn.
        points: components along the cosine and the sine of each residue, (moments, circles, p, 2).
        labels: what the slider says at each moment.
        note: in small print above.
        unit: of the components.

    Raises:
        UsageError: the shape of ``points`` does not fit the frequencies and labels.

    Example:
        >>> angle = 2 * np.pi * np.arange(5) / 5
        >>> circle = np.stack([np.cos(angle), np.sin(angle)], -1)[None, None]
        >>> circles("", [1], circle, ["0"])["data"][0]["customdata"]
        [0, 1, 2, 3, 4, 0]
    """
    points = np.asarray(points, float)
    if points.ndim != 4 or points.shape[:2] != (len(labels), len(frequencies)) or points.shape[3] != 2:
        raise UsageError(
            f"the points have the shape {points.shape}: give (moments, circles, residues, 2) with "
            f"{len(labels)} moments and {len(frequencies)} circles."
        )
    if not points.size:
        return panels(title, [], columns=1)
    if len(frequencies) > MOST:
        note = f"{note}{' · ' if note else ''}{MOST} of {len(frequencies)} key frequencies drawn"
    shown, modulus = list(frequencies)[:MOST], points.shape[2]
    orders = [circle_order(int(frequency), modulus) for frequency in shown]
    reach = 1.12 * float(np.nanmax(np.abs(points[:, : len(shown)]))) or 1.0
    axis = {"range": [-reach, reach], "nticks": 5, "showgrid": False, "zeroline": True, "zerolinecolor": theme.GRID}
    of = f" ({unit})" if unit else ""

    def places(moment: int) -> list[dict[str, Any]]:
        found = []
        for number, order in enumerate(orders):
            along, across = points[moment, number, order].T
            found.append({"x": short(along, reach), "y": short(across, reach)})
        return found

    drawn = [
        Panel(
            f"k = {frequency}",
            [
                {
                    "type": "scatter", "mode": "lines+markers", **place, "customdata": order.tolist(),
                    "line": {"color": "rgba(110,110,110,0.35)", "width": 1},
                    "marker": {
                        "size": 7 if modulus <= 60 else 6, "color": order.tolist(), "coloraxis": "coloraxis",
                        "line": {"width": 0.5, "color": "#333333"},
                    },
                    "hovertemplate": "residue %{customdata}<br>cos %{x:.3~g}, sin %{y:.3~g}<extra></extra>",
                }
            ],
            x={"text": f"cosine component{of}", **axis},
            y={"text": f"sine component{of}", **axis},
        )
        for frequency, order, place in zip(shown, orders, places(len(labels) - 1), strict=True)
    ]  # fmt: skip
    figure = panels(
        title,
        drawn,
        columns=3 if len(shown) != 4 else 4,
        note=note,
        coloraxis=colour_axis("residue a", 0, modulus, scale=CYCLIC),
    )
    return with_slider(figure, [places(moment) for moment in range(len(labels))], labels)
