"""The page of a sweep: its phase diagrams and its cells; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grokscope.recipes.grids import phase_figures
from grokscope.report.page import document, figure_card
from grokscope.report.text import escape, number, row, table
from grokscope.store import atomic_write
from grokscope.sweep.plan import Sweep

PAGE = "phase-diagram.html"
HEADS = (
    ("state", "state"), ("fitted", "fit_step"), ("generalised", "generalise_step"), ("range", "interval"),
    ("delay ratio", "delay_ratio"),
)  # fmt: skip


def write_page(sweep: Sweep, rows: Sequence[dict[str, Any]], root: Path) -> Path:
    """Write the page of a sweep into its directory and return its path."""
    path = sweep.directory(root) / PAGE
    atomic_write(path, render(sweep, rows).encode())
    return path


def render(sweep: Sweep, rows: Sequence[dict[str, Any]]) -> str:
    """Return the page as HTML."""
    rule = sweep.cells[0].spec.transition
    unit = "optimizer step" if rule is None or rule.axis == "step" else rule.axis
    figures = phase_figures(rows, list(sweep.grid), unit=unit) if rule is not None else []
    parts = [
        ("figures", "Phase diagram", "".join(figure_card(*one) for one in figures)),
        ("cells", "Cells", _cells(list(sweep.grid), rows)),
    ]
    states = [one["state"] for one in rows]
    spec = sweep.cells[0].spec
    seeds = sorted({cell.seed for cell in sweep.cells})
    return document(
        title=f"Sweep of {sweep.name}",
        subtitle=f"{', '.join(sweep.grid)} · {spec.scale} scale · seed{'s' * (len(seeds) > 1)} "
        + ", ".join(map(str, seeds)),
        lead="",
        facts=[("cells", len(rows)), ("runs", len(sweep.cells))]
        + [(state, states.count(state)) for state in dict.fromkeys(states)],
        parts=parts,
        footer="Made by grokscope from the stored numbers of the runs.",
        javascript="inline" if figures else None,
    )


def _cells(keys: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    def text(value: Any) -> str:
        return " to ".join(number(one) for one in value) if isinstance(value, list) else number(value)

    lines = "".join(
        row(
            [(key, escape(number(one["values"][key]))) for key in keys]
            + [(head, escape(text(one[name]))) for head, name in HEADS]
        )
        for one in rows
    )
    return table("Cells of the sweep, medians over seeds", (*keys, *(head for head, _ in HEADS)), lines)
