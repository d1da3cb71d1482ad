"""``grokscope sweep``: a grid of runs, resumable."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from grokscope.cli.output import Json, Out, number, table, write, write_json
from grokscope.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from grokscope.sweep.plan import Sweep
    from grokscope.sweep.pool import Done


def sweep(
    name: str,
    *,
    grid: Annotated[list[str], Parameter(negative="", help="KEY=V1,V2,... once for each key that varies")],
    scale: str = "cpu",
    seeds: int = 1,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="", help="KEY=VALUE for every cell")] = None,
    engine: Literal["pool", "ensemble"] = "pool",
    jobs: Annotated[int | None, Parameter(help="of the pool: processes at the same time (default: 1)")] = None,
    batch: Annotated[
        int | None, Parameter(help="of the ensemble: members at the same time (default: all that fit together)")
    ] = None,
    out: Out = None,
    json: Json = False,
) -> int:
    """Run every combination of the grid's values for every seed, and draw when each generalised.

    The same command again goes on where it stopped: finished cells are not run anew, interrupted ones resumed.
    The phase diagram is a page in the sweep's directory.

    Args:
        name: PAPER/EXPERIMENT, or a spec file.
        scale: smoke, cpu or paper.
        seeds: how many seeds, from 0.
        engine: pool: a process a run; ensemble: all cells as one computation, for small models many times faster.
    """
    from pathlib import Path

    from grokscope.spec import parse_assignment
    from grokscope.store import default_root
    from grokscope.sweep.page import write_page
    from grokscope.sweep.plan import parse_grid, plan
    from grokscope.sweep.table import phase_table

    if (jobs is not None and jobs < 1) or seeds < 1:
        raise UsageError(f"jobs = {jobs}, seeds = {seeds}: both must be at least 1.")
    if batch is not None and (engine != "ensemble" or batch < 2):
        raise UsageError(f"batch = {batch}: it is of --engine ensemble, and at least 2 members.")
    if jobs is not None and engine == "ensemble":
        raise UsageError(f"jobs = {jobs} is of --engine pool: an ensemble is one process; give it numerics.threads.")
    root = Path(out) if out else default_root()
    planned = plan(
        name,
        parse_grid(grid),
        scale=scale,
        seeds=range(seeds),
        changes=dict(parse_assignment(text) for text in set_ or ()),
    )
    done = _run(planned, root, engine, jobs or 1, batch)
    rows = phase_table(done)
    page = write_page(planned, rows, root)
    if json:
        document = {"schema": 1, "kind": "sweep", "experiment": name, "scale": scale, "rows": rows}
        write_json({**document, "directory": str(planned.directory(root)), "report": str(page)})
    else:
        keys = list(planned.grid)
        shown = [
            (
                *(row["values"][key] for key in keys),
                row["fit_step"],
                row["generalise_step"],
                "–" if row["interval"] is None else f"{number(row['interval'][0])} to {number(row['interval'][1])}",
                row["delay_ratio"],
                f"{row['never']}/{len(row['seeds'])}",
                row["failed"],
            )
            for row in rows
        ]
        table((*keys, "fitted", "generalised", "range", "delay ratio", "never", "failed"), shown)
        write()
        write(f"cells: {planned.directory(root)}")
        write(f"phase diagram: {page}")
    for one in done:
        if one.problem is not None:
            sys.stderr.write(f"{one.cell.values} seed {one.cell.seed}: {one.problem}\n")
    return 1 if any(one.problem is not None for one in done) else 0


def _run(planned: Sweep, root: Path, engine: str, jobs: int, batch: int | None) -> list[Done]:
    if engine == "ensemble":
        from grokscope.cli.live import progress
        from grokscope.sweep.ensemble import run_ensemble

        return run_ensemble(planned, root, limit=batch, tell=_tell, progress=progress())
    from grokscope.sweep.pool import run_pool

    return run_pool(planned, root, jobs=jobs, tell=_tell)


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
