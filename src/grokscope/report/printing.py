"""The figures of a page as files for print: PDF, SVG and PNG, drawn by matplotlib from the same dictionaries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import GrokscopeError, UsageError, unknown
from grokscope.report import marks

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

FORMATS = ("pdf", "svg", "png")
COLUMN, PAGE = 3.4, 6.9
"""Inches across: one column of a two-column page for one plot, both for several panels."""

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "mathtext.default": "regular",
    # text stays text: TrueType in PDF, outlines in SVG, neither needs a font on the reader's side
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "grokscope",
    "savefig.dpi": 300,
}
STAMPS = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
"""No time in the files: the same numbers give the same bytes."""


def print_figures(
    figures: Sequence[tuple[str, str, str, Mapping[str, Any]]], directory: str | Path, formats: Sequence[str] = ("pdf",)
) -> list[Path]:
    """Write each figure of a page to ``directory/ID.FORMAT`` and return the paths.

    Sliders are printed as they stand, at the last moment. Captions are left to the text around.

    Args:
        figures: (id, title, caption, Plotly figure), as a page takes them; those without data are left out.
        directory: made if it is not there.
        formats: of ``pdf``, ``svg`` and ``png``.

    Raises:
        UsageError: a format is none of these.
        GrokscopeError: matplotlib is not installed, or a file cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown("print format", name, FORMATS)
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise GrokscopeError('print figures need matplotlib: pip install "grokscope[print]".') from error
    target, written = Path(directory), []
    try:
        target.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(STYLE):
            for identifier, _, _, figure in figures:
                if not figure.get("data"):
                    continue
                if not re.fullmatch(r"[\w.-]+", identifier):
                    raise UsageError(
                        f"the figure id {identifier!r} cannot name a file: use letters, digits and - only."
                    )
                drawing = draw(figure)
                for name in formats:
                    path = target / f"{identifier}.{name}"
                    drawing.savefig(path, format=name, metadata=STAMPS[name])
                    written.append(path)
    except OSError as error:
        raise GrokscopeError(f"could not write print figures to {target}: {error.strerror or error}.") from error
    return written


def draw(figure: Mapping[str, Any]) -> Drawing:
    """Return a Plotly figure of this package as a matplotlib one: curves, ribbons, phases, maps, panels, bars."""
    from matplotlib.figure import Figure as Drawing

    layout = figure["layout"]
    meta = layout.get("meta") or {}
    count, columns = meta.get("panels", 1), meta.get("columns", 1)
    rows = -(-count // columns)
    drawing = Drawing(figsize=_size(figure, rows, columns), layout="constrained")
    grid = drawing.subplots(rows, columns, squeeze=False)
    for spare in grid.flat[count:]:
        spare.set_axis_off()
    axes: dict[str, Any] = {}
    for number in range(count):
        tail = "" if number == 0 else str(number + 1)
        axes[f"y{tail}"] = grid.flat[number]
        if "panels" not in meta and "yaxis2" in layout:
            axes["y2"] = grid.flat[number].twinx()
            axes["y2"].spines["right"].set_visible(True)
    for shape in layout.get("shapes", ()):
        marks.shape(axes["y"], shape)
    maps = marks.traces(figure["data"], axes, layout)
    marks.titles(drawing, layout, axes)
    for name, axis in axes.items():
        tail = name[1:]
        right = name == "y2" and "panels" not in meta
        marks.axis(axis, "y", layout[f"yaxis{tail}"])
        if not right:
            marks.axis(axis, "x", layout[f"xaxis{tail}"])
    for mappable, bar, where in maps:
        shown = [axes[name] for name in where]
        marks.colour_bar(drawing, mappable, bar, shown if len(shown) < count else list(grid.flat))
    marks.legends(drawing, figure, axes)
    return drawing


def _size(figure: Mapping[str, Any], rows: int, columns: int) -> tuple[float, float]:
    """Return inches: room for the legend is added, not taken from the plot."""
    meta = figure["layout"].get("meta") or {}
    names = len(marks.legend_names(figure))
    across = PAGE if columns > 1 else COLUMN
    legend = 0.15 * -(-names // marks.legend_columns(figure, across)) if names else 0.0
    if "panels" not in meta:
        return COLUMN, 2.2 + legend
    each = (across - 0.6) / columns
    return across, min(9.2, rows * (each + (0.05 if columns > 2 else -0.1)) + 0.3 + legend)
