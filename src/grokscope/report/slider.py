"""A slider over moments of training, with a button that plays them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.report import theme

MOMENTS = 24
"""At most so many moments are drawn on a slider."""

ROOM = 96
"""Pixels that a slider takes below the panels."""


def chosen_moments(steps: Sequence[int] | np.ndarray, limit: int = MOMENTS) -> list[int]:
    """Return the places of at most ``limit`` of the ascending ``steps``: all, or those nearest to equal ratios.

    The first and the last are among them. Ratios begin at a three-hundredth of the last step: before that
    many moments would show nothing yet.

    Example:
        >>> chosen_moments([0, 1, 2, 4, 9, 10, 90, 100], 4)
        [0, 1, 5, 7]
    """
    steps = np.asarray(steps, float)
    if len(steps) <= limit:
        return list(range(len(steps)))
    if limit < 3:
        return [0, len(steps) - 1][2 - limit :]
    positive = steps[steps > 0]
    zeros = len(steps) - len(positive)
    begin = max(positive[0], positive[-1] / 300)
    # the first moment stands for itself where the ratios begin later
    aims = np.geomspace(begin, positive[-1], limit - (steps[0] < begin))
    apart = np.abs(np.log(positive)[None, :] - np.log(aims)[:, None])
    chosen = {0, *(apart.argmin(1) + zeros).tolist(), len(steps) - 1}
    # where several aims share a moment, the widest stretches without one are halved
    while len(chosen) < limit:
        order = sorted(chosen)
        gaps = [
            (np.log1p(steps[end]) - np.log1p(steps[begin]), begin, end)
            for begin, end in itertools.pairwise(order)
            if end - begin > 1
        ]
        if not gaps:
            break
        _, begin, end = max(gaps)
        chosen.add((begin + end) // 2)
    return sorted(chosen)


def with_slider(
    figure: Mapping[str, Any],
    frames: Sequence[Sequence[Mapping[str, Any]]],
    labels: Sequence[str],
    *,
    prefix: str = "step ",
    redraw: bool = False,
    titles: Sequence[Sequence[str]] = (),
    ranges: Sequence[tuple[float, float]] = (),
) -> dict[str, Any]:
    """Return the figure with a slider over ``frames``, standing at the last one, which the figure shows.

    Args:
        figure: as the last moment is drawn.
        frames: for each moment what changes, for each trace of the figure in its order.
        labels: what the slider says at each moment.
        prefix: before the label.
        redraw: whether the traces are of a kind that cannot move (heat maps).
        titles: for each moment what stands above the panels, where that changes; plain text.
        ranges: for each moment the values of the first and the last colour, where these change.

    Example:
        >>> made = with_slider({"data": [{"x": [2]}], "layout": {}}, [[{"x": [1]}], [{"x": [2]}]], ["0", "9"])
        >>> made["layout"]["sliders"][0]["active"], made["frames"][0]["data"]
        (1, [{'x': [1]}])
    """
    figure = {"data": list(figure["data"]), "layout": dict(figure["layout"])}
    if len(frames) < 2:
        return figure
    jump = {"mode": "immediate", "frame": {"duration": 0, "redraw": redraw}, "transition": {"duration": 0}}
    play = {
        "fromcurrent": True,
        "frame": {"duration": 350, "redraw": redraw},
        "transition": {"duration": 0 if redraw else 250, "easing": "linear"},
    }
    layout = figure["layout"]
    layout["sliders"] = [
        {
            "active": len(frames) - 1,
            "steps": [
                {"label": label, "method": "animate", "args": [[str(number)], jump]}
                for number, label in enumerate(labels)
            ],
            "currentvalue": {
                "prefix": prefix, "font": {"size": 15, "color": theme.INK}, "xanchor": "left", "offset": 8,
            },
            # what it stands at is said above; labels below would run into one another
            "font": {"size": 1, "color": "rgba(0,0,0,0)"},
            "ticklen": 4, "x": 0, "len": 1, "y": 0, "yanchor": "top", "pad": {"l": 100, "t": 44, "b": 6},
        }
    ]  # fmt: skip
    layout["updatemenus"] = [
        {
            "type": "buttons", "direction": "left", "showactive": False, "x": 0, "xanchor": "left", "y": 0,
            "yanchor": "top", "pad": {"t": 66, "r": 0}, "font": {"size": 15},
            "buttons": [
                {"label": "▶", "method": "animate", "args": [None, play]},
                {"label": "❚❚", "method": "animate", "args": [[None], jump]},
            ],
        }
    ]  # fmt: skip
    layout["height"] = layout["height"] + ROOM if "height" in layout else 440 + ROOM
    meta = dict(layout.get("meta", {}))
    for way in ("wide", "narrow"):
        if way in meta:
            meta[way] = {**meta[way], "height": meta[way]["height"] + ROOM}
    layout["meta"] = meta
    kinds = [{"type": trace["type"]} if "type" in trace else {} for trace in figure["data"]]
    figure["frames"] = [
        {
            "name": str(number),
            "data": [{**kind, **one} for kind, one in zip(kinds, frame, strict=True)],
            "traces": list(range(len(kinds))),
        }
        for number, frame in enumerate(frames)
    ]
    headings = layout.get("annotations", [])
    for frame, texts in zip(figure["frames"], titles, strict=False):
        kept = headings[len(texts) :]
        changed = [{**one, "text": theme.plain(text)} for one, text in zip(headings, texts, strict=False)]
        frame["layout"] = {"annotations": [*changed, *kept]}
    for frame, (low, high) in zip(figure["frames"], ranges, strict=False):
        frame["layout"] = {**frame.get("layout", {}), "coloraxis": {**layout["coloraxis"], "cmin": low, "cmax": high}}
    return figure
