"""Runs the cells of a sweep in processes of their own, several at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grokscope.execution.processes import run_processes
from grokscope.store import check_writable
from grokscope.sweep.plan import Cell, Sweep


@dataclass(frozen=True)
class Done:
    """What became of a cell: its run directory, and why it failed if it did."""

    cell: Cell
    directory: Path
    problem: str | None = None


def run_pool(sweep: Sweep, root: Path, *, jobs: int = 1, tell: Callable[[str], None] = lambda text: None) -> list[Done]:
    """Run every cell that is not stored and finished, ``jobs`` processes at a time; return all, in order.

    A cell that fails does not stop the others. Running the same sweep again goes on where it stopped.

    Args:
        sweep: what to run.
        root: parent of all runs.
        jobs: processes at the same time.
        tell: called with one sentence for each cell that ends.

    Raises:
        StoreError: ``root`` cannot be written.
        Interrupted: SIGINT or SIGTERM came; every cell that had begun has a checkpoint.
    """
    check_writable(root)
    paths = sweep.write_cells(root)
    places = [cell.place(root) for cell in sweep.cells]
    left = [index for index, place in enumerate(places) if place.state != "finished"]
    count = 0

    def ended(position: int, problem: str | None) -> None:
        nonlocal count
        count += 1
        cell = sweep.cells[left[position]]
        values = ", ".join(f"{key}={value}" for key, value in cell.values.items())
        tell(f"[{count}/{len(left)}] {values} seed {cell.seed}: {problem or 'done'}")

    problems = run_processes(
        [[sys.executable, "-m", "grokscope", "run", str(paths[i]), "--out", str(root), "--json"] for i in left],
        jobs=jobs,
        # a process takes its threads from its spec; this keeps other libraries from taking more
        threads=max((sweep.cells[i].spec.numerics.threads for i in left), default=1),
        tell=ended,
    )
    found = dict(zip(left, problems, strict=True))
    return [
        Done(cell, cell.place(root).members[0] if index in found else places[index].members[0], found.get(index))
        for index, cell in enumerate(sweep.cells)
    ]
