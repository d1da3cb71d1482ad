"""Runs the cells of a sweep in processes of their own, several at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

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
    """
    check_writable(root)
    paths = sweep.write_cells(root)
    results: dict[int, Done] = {}
    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        waiting = {}
        for index, (cell, path) in enumerate(zip(sweep.cells, paths, strict=True)):
            place = cell.place(root)
            if place.state == "finished":
                results[index] = Done(cell, place.members[0])
                continue
            waiting[pool.submit(_run, path, root, cell.spec.numerics.threads)] = index
        for count, future in enumerate(as_completed(waiting), 1):
            index = waiting[future]
            cell = sweep.cells[index]
            results[index] = Done(cell, cell.place(root).members[0], future.result())
            values = ", ".join(f"{key}={value}" for key, value in cell.values.items())
            ended = results[index].problem or "done"
            tell(f"[{count}/{len(waiting)}] {values} seed {cell.seed}: {ended}")
    return [results[index] for index in sorted(results)]


def _run(path: Path, root: Path, threads: int) -> str | None:
    """Run one spec file in a process; return None, or the sentence in which it failed."""
    command = [sys.executable, "-m", "grokscope", "run", str(path), "--out", str(root), "--json"]
    # the process takes its threads from its spec; this keeps other libraries from taking more
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryFile() as errors:
        code = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment).returncode
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
    return None if code == 0 else (lines[-1] if lines else f"exit code {code}")
