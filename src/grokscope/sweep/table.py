"""What a sweep found: one row a combination of the grid's values, over its seeds; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grokscope.analysis.grid import Theory, cell_row
from grokscope.registry import PAPERS, load
from grokscope.store import open_run
from grokscope.sweep.pool import Done


def phase_table(results: Sequence[Done]) -> list[dict[str, Any]]:
    """Return, for each combination of values, when its seeds fitted and generalised.

    A row is that of :func:`grokscope.analysis.grid.cell_row`, with the ``seeds`` and the directories of their ``runs``;
    ``failed`` counts the seeds whose run failed.
    """
    groups: dict[str, list[Done]] = {}
    for done in results:
        groups.setdefault(repr(sorted(done.cell.values.items())), []).append(done)
    return [_row(members) for members in groups.values()]


def theory_of(paper: str, experiment: str) -> Theory | None:
    """Return the forecast that an experiment declares, None where it has none."""
    known = {one.name: one for one in PAPERS.get(paper).experiments} if paper in PAPERS else {}
    named = known[experiment].theory if experiment in known else None
    return None if named is None else load(named)


def _row(members: Sequence[Done]) -> dict[str, Any]:
    runs = [open_run(done.directory) for done in members if done.problem is None]
    spec = members[0].cell.spec
    row = cell_row(
        members[0].cell.values,
        runs,
        failed=len(members) - len(runs),
        theory=theory_of(spec.paper, spec.experiment),
    )
    seeds = [done.cell.seed for done in members]
    return {**row, "seeds": seeds, "runs": [str(done.directory) for done in members]}
