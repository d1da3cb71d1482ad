"""What a Plotly figure consists of, drawn on matplotlib axes: traces, axes, titles, legends, colour bars.

Only what this package's figures use is known.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

DASHES = {"solid": "-", "dash": (0, (4, 2)), "dot": (0, (1, 1.5)), "dashdot": (0, (5, 2, 1, 2))}
MARKERS = {"triangle-left": "<", "triangle-up": "^", "square": "s", "x": "X"}
PER_POINT = 0.62
"""A width in pixels on the page, in points on paper: both plots have about as many of them across."""


def plain(text: str) -> str:
    r"""Return Plotly text without its tags, as matplotlib shows it letter by letter.

    Example:
        >>> plain("loss &lt;0&gt;<br><span>log</span>")
        'loss <0>\nlog'
    """
    return html.unescape(re.sub(r"<[^>]*>", "", text.replace("<br>", "\n"))).replace("$", r"\$")


def colour(text: str) -> Any:
    """Return a colour as matplotlib takes it: ``rgba(…)`` as a tuple.

    Example:
        >>> colour("rgba(255,0,0,0.5)")
        (1.0, 0.0, 0.0, 0.5)
    """
    if text.startswith("rgba("):
        *parts, alpha = (float(part) for part in text[5:-1].split(","))
        return (*(part / 255 for part in parts), alpha)
    return text


def numbers(values: Any) -> np.ndarray:
    """Return values with None (a gap) as NaN."""
    return np.array(values, float)


def scale(colours: Any) -> Any:
    """Return a colour map: by Plotly's name, or from its (position, colour) pairs."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    if isinstance(colours, str):
        return colormaps[colours.lower()]
    return LinearSegmentedColormap.from_list("", [(float(place), name) for place, name in colours])


def traces(data: Sequence[Mapping[str, Any]], axes: Mapping[str, Any], layout: Mapping[str, Any]) -> list[Any]:
    """Draw every trace; return (mappable, colour bar, names of axes) of each colour axis."""
    shared: dict[str, list[str]] = {}
    maps: list[tuple[Any, Mapping[str, Any], list[str]]] = []
    stacked: dict[str, dict[float, float]] = {}
    latest: dict[str, Any] = {}
    for trace in data:
        name = trace.get("yaxis", "y")
        if trace["type"] == "heatmap":
            mappable = _heat_map(axes[name], trace, layout)
        elif trace["type"] == "bar":
            _bars(axes[name], trace, stacked.setdefault(name, {}))
            continue
        else:
            mappable = _scatter(axes[name], trace, layout)
        if mappable is None:
            continue
        if "coloraxis" in trace or "coloraxis" in trace.get("marker", {}):
            shared.setdefault("coloraxis", []).append(name)
            latest["coloraxis"] = mappable
        elif "colorbar" in trace:
            maps.append((mappable, trace["colorbar"], [name]))
    maps += [(latest[axis], layout[axis]["colorbar"], names) for axis, names in shared.items()]
    return maps


def _heat_map(axis: Any, trace: Mapping[str, Any], layout: Mapping[str, Any]) -> Any:
    z = np.array([numbers(row) for row in trace["z"]])
    edges = [_edges(trace.get(name), size) for name, size in (("x", z.shape[1]), ("y", z.shape[0]))]
    look = layout[trace["coloraxis"]] if "coloraxis" in trace else trace
    low, high = (look.get(name, look.get(other)) for name, other in (("cmin", "zmin"), ("cmax", "zmax")))
    return axis.pcolormesh(
        *edges, np.ma.masked_invalid(z), cmap=scale(look["colorscale"]), vmin=low, vmax=high, rasterized=True, zorder=1
    )


def _edges(places: Any, size: int) -> np.ndarray:
    """Return the edges of cells that are given by their edges, by their centres, or not at all."""
    at = np.arange(size, dtype=float) if places is None else numbers(places)
    if len(at) == size + 1:
        return at
    half = (at[1] - at[0]) / 2 if size > 1 else 0.5
    return np.append(at - half, at[-1] + half)


def _bars(axis: Any, trace: Mapping[str, Any], below: dict[float, float]) -> None:
    x, heights = numbers(trace["x"]), numbers(trace["y"])
    bottom = [below.get(place, 0.0) for place in x.tolist()]
    axis.bar(x, heights, trace["width"], bottom=bottom, color=trace["marker"]["color"], lw=0, zorder=2)
    below.update(zip(x.tolist(), (heights + bottom).tolist(), strict=True))


def _scatter(axis: Any, trace: Mapping[str, Any], layout: Mapping[str, Any]) -> Any:
    x, y = numbers(trace["x"]), numbers(trace["y"])
    line = trace.get("line", {})
    if trace.get("fill") == "toself":
        axis.fill(x, y, color=colour(trace["fillcolor"]), lw=0, zorder=2)
        return None
    if "lines" in trace["mode"]:
        width = PER_POINT * line.get("width", 2)
        style = {"color": colour(line["color"]), "linestyle": DASHES[line.get("dash", "solid")], "linewidth": width}
        small = {"marker": "o", "markersize": 1.8} if "markers" in trace["mode"] and not _coloured(trace) else {}
        axis.plot(x, y, **style, **small, zorder=3)
    if trace["mode"] == "lines" or ("lines" in trace["mode"] and not _coloured(trace)):
        return None
    marker = trace["marker"]
    size = (PER_POINT * marker["size"]) ** 2
    if _coloured(trace):
        look = layout[marker["coloraxis"]]
        return axis.scatter(
            x, y, 0.6 * size, numbers(marker["color"]), cmap=scale(look["colorscale"]), vmin=look["cmin"],
            vmax=look["cmax"], linewidths=0.2, edgecolors="#333333", zorder=4,
        )  # fmt: skip
    axis.scatter(
        x, y, size, color=colour(marker["color"]), marker=MARKERS.get(marker.get("symbol"), "o"), clip_on=False, lw=0,
        zorder=5,
    )  # fmt: skip
    return None


def _coloured(trace: Mapping[str, Any]) -> bool:
    return "coloraxis" in trace.get("marker", {})


def shape(axes: Any, one: Mapping[str, Any]) -> None:
    """Draw a phase behind the curves, or the vertical line that marks a step."""
    if one["type"] == "line":
        look = one["line"]
        axes.axvline(one["x0"], color=colour(look["color"]), linestyle=DASHES[look["dash"]], lw=1, zorder=1)
    else:
        axes.axvspan(one["x0"], one["x1"], color=one["fillcolor"], alpha=one["opacity"], lw=0, zorder=0)


def axis(axes: Any, which: str, look: Mapping[str, Any]) -> None:
    """Give one axis of a plot its scale, range, ticks and title."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    log = look.get("type") == "log"
    one = axes.xaxis if which == "x" else axes.yaxis
    getattr(axes, f"set_{which}scale")("log" if log else "linear")
    getattr(axes, f"set_{which}label")(plain(look["title"]["text"]))
    if "range" in look:
        ends = [10.0**end if log else end for end in look["range"]]
        getattr(axes, f"set_{which}lim")(*ends)
    elif look.get("rangemode") == "tozero":
        getattr(axes, f"set_{which}lim")(0, None)
    if "tickvals" in look:
        one.set_major_locator(FixedLocator(look["tickvals"]))
        one.set_ticklabels([plain(text) for text in look["ticktext"]])
        one.set_minor_locator(FixedLocator(look["minor"]["tickvals"]) if "minor" in look else NullLocator())
        one.set_minor_formatter(NullFormatter())
    elif "nticks" in look:
        one.set_major_locator(MaxNLocator(look["nticks"] - 1, steps=[1, 2, 5, 10]))
    elif log:
        low, high = getattr(axes, f"get_{which}lim")()
        if high < 50 * low:
            # powers of ten alone would leave such an axis nearly without numbers
            one.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0, 7.0) if high < 10 * low else (1.0, 2.0, 5.0)))
            one.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            one.set_minor_formatter(NullFormatter())
    if look.get("showgrid", True):
        one.grid(True, color="#e6e6e6", linewidth=0.4, zorder=0)
        axes.set_axisbelow(True)
    if "scaleanchor" in look:
        axes.set_aspect("equal", adjustable="box")


def titles(drawing: Any, layout: Mapping[str, Any], axes: Mapping[str, Any]) -> None:
    """Draw the headings of panels, and above all what holds for all: the note and the moment of a slider."""
    words = []
    for one in layout.get("annotations", ()):
        if one["yref"] == "paper" and one.get("xref") == "x":
            above = axes["y"].get_xaxis_transform()
            axes["y"].text(one["x"], 1.02, plain(one["text"]), transform=above, ha="center", fontsize=7, clip_on=False)
        elif one["yref"] == "y" and one.get("xref") == "x":
            box = {"boxstyle": "square,pad=0.1", "fc": (1, 1, 1, 0.75), "lw": 0}
            tint = colour(one["font"]["color"])
            axes["y"].text(one["x"], one["y"], plain(one["text"]), color=tint, fontsize=6, ha="center", va="center",
                           bbox=box, zorder=6)  # fmt: skip
        elif one["yref"] == "paper":
            words.append(plain(one["text"]))
        elif one["text"]:
            axes[one["yref"].split()[0]].set_title(plain(one["text"]), pad=3)
    for slider in layout.get("sliders", ()):
        words.append(plain(slider["currentvalue"]["prefix"] + slider["steps"][slider["active"]]["label"]))
    if words:
        drawing.suptitle(" · ".join(words), x=0.01, ha="left", fontsize=7.5, color="#444444")


def colour_bar(drawing: Any, mappable: Any, bar: Mapping[str, Any], axes: Sequence[Any]) -> None:
    """Draw a colour bar beside some axes."""
    made = drawing.colorbar(mappable, ax=axes, aspect=28, fraction=0.05, pad=0.03)
    made.outline.set_visible(False)
    made.set_label(plain(bar["title"]["text"]))
    if "tickvals" in bar:
        made.set_ticks(bar["tickvals"], labels=[plain(text) for text in bar["ticktext"]])
    made.ax.tick_params(width=0.6, length=2)


def legend_names(figure: Mapping[str, Any]) -> list[str]:
    """Return what the legend of curves says, in its order."""
    if not figure["layout"].get("showlegend", True):
        return []
    entries = (trace for trace in figure["data"] if trace.get("legend") != "legend2" and trace.get("showlegend", True))
    return list(dict.fromkeys(plain(trace["name"]) for trace in entries if "name" in trace))


def legend_columns(figure: Mapping[str, Any], inches: float) -> int:
    """Return how many entries of the legend have room beside one another."""
    names = legend_names(figure)
    return max(1, min(len(names), int(16.5 * inches) // (max(map(len, names), default=0) + 7)))


def legends(drawing: Any, figure: Mapping[str, Any], axes: Mapping[str, Any]) -> None:
    """Draw the legend of curves below all axes, and that of phases above."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    layout = figure["layout"]
    below: dict[str, Any] = {}
    for trace in figure["data"] if layout.get("showlegend", True) else ():
        if trace.get("legend") == "legend2" or not trace.get("showlegend", True) or "name" not in trace:
            continue
        name = plain(trace["name"])
        if trace["type"] == "bar":
            below[name] = Patch(color=trace["marker"]["color"], lw=0)
        elif trace["type"] == "scatter" and "lines" in trace["mode"]:
            line = trace["line"]
            width = PER_POINT * line.get("width", 2)
            dash = DASHES[line.get("dash", "solid")]
            below[name] = Line2D([], [], color=colour(line["color"]), linestyle=dash, linewidth=width)
        elif trace["type"] == "scatter":
            marker = trace["marker"]
            symbol = MARKERS.get(marker.get("symbol"), "o")
            below[name] = Line2D([], [], color=colour(marker["color"]), marker=symbol, ls="", markersize=4)
    if below:
        columns = legend_columns(figure, drawing.get_figwidth())
        drawing.legend(
            below.values(), below.keys(), loc="outside lower left", ncols=columns, columnspacing=1.2, borderpad=0.2
        )
    above: dict[str, Any] = {}
    for one in layout.get("shapes", ()):
        if one["type"] == "rect":  # a line has its name beside it
            above[plain(one["name"])] = Patch(color=one["fillcolor"], alpha=min(1, 2.2 * one["opacity"]), lw=0)
    if above:
        drawing.legend(
            above.values(), above.keys(), loc="outside upper left", ncols=len(above), columnspacing=1.0,
            handlelength=1.0, handletextpad=0.4, borderpad=0.2,
        )  # fmt: skip
