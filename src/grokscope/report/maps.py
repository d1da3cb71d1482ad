"""Functions of a pair of residues, and of a pair of frequencies, as heat maps side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from grokscope.errors import UsageError
from grokscope.report.colours import colour_axis, logarithm, short
from grokscope.report.panels import Panel, panels
from grokscope.report.slider import with_slider

CELLS = 500_000
"""Numbers that one figure may hold (about 3 MB): fewer moments are drawn of larger maps."""


def moments_within(cells: int, limit: int = 8) -> int:
    """Return how many moments of maps with ``cells`` numbers together a figure may hold, at least one.

    Example:
        >>> moments_within(4 * 113**2), moments_within(10**9)
        (8, 1)
    """
    return max(1, min(limit, CELLS // max(cells, 1)))


def pair_maps(
    title: str,
    names: Sequence[str] | Sequence[Sequence[str]],
    values: np.ndarray,
    labels: Sequence[str],
    *,
    colour_title: str,
    colour_range: tuple[float, float] | None = None,
    scale: Any = "Viridis",
    columns: int = 4,
    note: str = "",
) -> dict[str, Any]:
    """Return functions of a and b as maps with one colour axis, with a slider over the moments.

    Args:
        title: plain text.
        names: what stands above each map, (maps,), or (moments, maps) where that changes.
        values: (moments, maps, p, p), a by b; a is drawn to the right and b upwards.
        labels: what the slider says at each moment.
        colour_title: what the values are, with the unit.
        colour_range: values of the first and the last colour, instead of what each moment needs.
        scale: the colours.
        columns: maps in a row on a wide screen.
        note: in small print above.

    Raises:
        UsageError: the shape of ``values`` does not fit the names and labels.

    Example:
        >>> figure = pair_maps("", ["head 0"], np.array([[[[0, 1], [2, 3]]]]), ["0"], colour_title="weight")
        >>> figure["data"][0]["z"]
        [[0.0, 2.0], [1.0, 3.0]]
    """
    values = np.asarray(values, float)
    changing = [list(one) for one in names if not isinstance(one, str)]
    last = changing[-1] if changing else [str(one) for one in names]
    if values.ndim != 4 or values.shape[:2] != (len(labels), len(last)):
        raise UsageError(
            f"the values have the shape {values.shape}: give (moments, maps, p, p) with {len(labels)} moments "
            f"and {len(last)} maps."
        )
    if not values.size or not np.isfinite(values).any():
        return panels(title, [], columns=1)
    ranges = [colour_range or _range(moment) for moment in values]
    frames = [
        [{"z": short(one.T, max(map(abs, ends)))} for one in moment]
        for moment, ends in zip(values, ranges, strict=True)
    ]
    drawn = [
        Panel(
            name,
            [
                {
                    "type": "heatmap", **frame, "coloraxis": "coloraxis", "zsmooth": False,
                    "hovertemplate": "a = %{x}, b = %{y}<br>%{z:.3~g}<extra></extra>",
                }
            ],
            x={"text": "a", "showgrid": False, "nticks": 5},
            y={"text": "b", "showgrid": False, "nticks": 5},
        )
        for name, frame in zip(last, frames[-1], strict=True)
    ]  # fmt: skip
    figure = panels(
        title,
        drawn,
        columns=columns,
        narrow_columns=2,
        note=note,
        coloraxis=colour_axis(colour_title, *ranges[-1], scale=scale),
    )
    changes = () if colour_range is not None else ranges
    return with_slider(figure, frames, labels, redraw=True, titles=changing, ranges=changes)


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest finite value, the latter above the former."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return low, high if high > low else low + 1.0


def fourier_planes(
    title: str,
    names: Sequence[str],
    values: np.ndarray,
    key_frequencies: Sequence[int] = (),
    *,
    colour_title: str,
    decades: float = 4.0,
    note: str = "",
) -> dict[str, Any]:
    """Return norms of 2-D Fourier coefficients as maps with one logarithmic colour axis.

    Rows and columns are the constant, cos 1, sin 1, cos 2, …; both axes are ticked at the key
    frequencies, between the cosine and the sine of each.

    Args:
        title: plain text.
        names: what stands above each map: its moment, (maps,).
        values: (maps, p, p), component of a by component of b; a is drawn to the right.
        key_frequencies: those ticked; without any, round ones are.
        colour_title: what the values are, with the unit.
        decades: what is smaller than the largest value by more has the first colour.
        note: in small print above.

    Raises:
        UsageError: the shape of ``values`` does not fit the names.

    Example:
        >>> figure = fourier_planes("", ["0"], np.ones((1, 5, 5)), [2], colour_title="norm")
        >>> figure["layout"]["xaxis"]["tickvals"], figure["layout"]["xaxis"]["ticktext"]
        ([2.0], ['2'])
    """
    values = np.asarray(values, float)
    if values.ndim != 3 or len(values) != len(names):
        raise UsageError(f"the values have the shape {values.shape}: give one (p, p) for each of {len(names)} names.")
    if not values.size or not (values > 0).any():
        return panels(title, [], columns=1)
    shown, low, high = logarithm(values, decades)
    modulus = values.shape[-1]
    ticked = component_ticks(modulus, key_frequencies)
    # in units of the frequency: the cosine of k lies a quarter below k, its sine a quarter above
    places = (0.25 + np.arange(modulus) / 2).tolist()
    drawn = [
        Panel(
            name,
            [
                {
                    "type": "heatmap", "x": places, "y": places, "z": short(np.maximum(one.T, low), 10.0),
                    "coloraxis": "coloraxis", "zsmooth": False,
                    "hovertemplate": (
                        "frequency %{x:.0f} of a, %{y:.0f} of b<br>10<sup>%{z:.2f}</sup><extra></extra>"
                    ),
                }
            ],
            x={"text": "frequency of a", "showgrid": False, **ticked},
            y={"text": "frequency of b", "showgrid": False, **ticked},
        )
        for name, one in zip(names, shown, strict=True)
    ]  # fmt: skip
    axis = colour_axis(colour_title, low, high, log=True)
    return panels(title, drawn, columns=2, note=note, coloraxis=axis)


def component_ticks(modulus: int, keys: Sequence[int]) -> dict[str, Any]:
    """Return ticks at the key frequencies, or at round ones; those too near to one another share one.

    Example:
        >>> component_ticks(113, [14, 41, 42])["ticktext"]
        ['14', '41, 42']
    """
    wanted = sorted({int(key) for key in keys}) or list(range(5, modulus // 2 + 1, 5 if modulus < 60 else 10))
    groups: list[list[int]] = []
    for frequency in wanted:
        if groups and frequency - groups[-1][-1] < modulus / 30:
            groups[-1].append(frequency)
        else:
            groups.append([frequency])
    return {
        "tickmode": "array",
        "tickvals": [sum(group) / len(group) for group in groups],
        "ticktext": [", ".join(map(str, group)) for group in groups],
    }
