"""Grids of runs: rows of a phase diagram from runs of several experiments, and its figures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.analysis.grid import CellRun, Theory, cell_row
from grokscope.analysis.transitions import TransitionRule
from grokscope.errors import UsageError
from grokscope.report.phase_diagram import phase_diagram
from grokscope.report.text import number

MOST = 12
"""Figures of a grid of more than two keys."""
CAPTION = (
    "Black lines join cells that generalise at the same step, dotted ones cells that fit at the same step; dashed "
    "lines in colour are where theory says they generalise. Cells without a colour have a mark that says why."
)
CAPTION_OVER_ONE = (
    "Medians over seeds and their range; dashed lines are what theory says. A mark stands where the runs of a cell "
    "ended that did not get there."
)
Drawn = tuple[str, str, str, dict[str, Any]]
"""(id, title, caption, Plotly figure), as a page takes them."""


def grid_rows(
    runs: Mapping[str, Sequence[CellRun]] | Sequence[CellRun],
    keys: Sequence[str],
    *,
    rule: TransitionRule | None = None,
    theory: Theory | None = None,
) -> list[dict[str, Any]]:
    """Return one row a cell of the runs of a figure drawn together, by what their specs have for ``keys``.

    Args:
        runs: by experiment, or one after the other; seeds of a cell have the same values.
        keys: dotted keys of the spec, as in ``learner.output_scale``.
        rule: what counts as generalised; each run's own unless given.
        theory: a forecast of the step at which a run generalises.

    Raises:
        UsageError: a run has no such key.
    """
    each = list(runs) if not isinstance(runs, Mapping) else [run for some in runs.values() for run in some]
    cells: dict[str, tuple[dict[str, Any], list[CellRun]]] = {}
    for run in each:
        values = {key: value_of(run, key) for key in keys}
        cells.setdefault(repr(values), (values, []))[1].append(run)
    rows = []
    for values, members in cells.values():
        row = cell_row(values, members, rule=rule, theory=theory)
        seeds = [member.spec["seed"]["base"] for member in members]
        rows.append({**row, "seeds": seeds, "runs": [str(member.directory) for member in members]})
    return rows


def value_of(run: CellRun, key: str) -> Any:
    """Return what the spec of a run has for a dotted key.

    Raises:
        UsageError: it has no such key.
    """
    node: Any = run.spec
    for word in key.split("."):
        if not isinstance(node, Mapping) or word not in node:
            raise UsageError(f"the run {run.directory} has no {key} in its spec: name a key that all cells have.")
        node = node[word]
    return node


def onset_step(run: CellRun) -> dict[str, float | None]:
    """Return the step at which the stored ``transition_forecast`` says a run leaves the kernel regime.

    A forecast is in the flow's time, which is read off the run's clock; beyond the end the clock goes on at its last
    rate. Where transitions are counted on a clock the forecast is its own. It is an ``Experiment.theory``.
    """
    name, key, clock = "kernel regime ends (theory)", "transition_forecast/onset_time", "clock/time"
    try:
        forecasts, (steps, times) = run.series(key)[1], run.series(clock)
    except (KeyError, ValueError):
        return {name: None}
    known = forecasts[np.isfinite(forecasts)]
    if not len(known) or len(times) < 2:
        return {name: None}
    moment = float(known[-1])
    if (run.spec.get("transition") or {}).get("axis", "step") != "step":
        return {name: moment}
    rate = float((times[-1] - times[-2]) / (steps[-1] - steps[-2]))
    later = float(steps[-1] + (moment - times[-1]) / rate) if rate > 0 else None
    return {name: float(np.interp(moment, times, steps)) if moment <= times[-1] else later}


def phase_figures(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str], *, labels: Mapping[str, str] | None = None, **look: Any
) -> list[Drawn]:
    """Return the phase diagrams of a grid: of its two keys, or of the two with most values for each value of the rest.

    A key with one value is told in the title and not drawn. ``look`` goes to
    :func:`grokscope.report.phase_diagram.phase_diagram`.
    """
    varied = [key for key in keys if len({repr(row["values"][key]) for row in rows}) > 1] or list(keys)[:1]
    counts = {key: len({repr(row["values"][key]) for row in rows}) for key in varied}
    drawn = sorted(sorted(varied, key=lambda key: -counts[key])[:2], key=varied.index)
    rest = [key for key in keys if key not in drawn]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(repr([row["values"][key] for key in rest]), []).append(row)
    figures = []
    caption = CAPTION if len(drawn) == 2 else CAPTION_OVER_ONE
    for index, members in enumerate(itertools.islice(groups.values(), MOST)):
        where = ", ".join(f"{(labels or {}).get(key, key)} = {number(members[0]['values'][key])}" for key in rest)
        title = f"Phase diagram{': ' if where else ''}{where}"
        figure = phase_diagram(title, members, drawn, labels=labels, **look)
        figures.append((f"phase-diagram-{index + 1}" if len(groups) > 1 else "phase-diagram", title, caption, figure))
    return figures
