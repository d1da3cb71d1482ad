"""Trains the cells of a sweep as the members of as few ensembles as possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from grokscope.errors import GrokscopeError, UsageError, first_line
from grokscope.execution.batches import as_members, batches, stored_runs
from grokscope.execution.progress import Progress
from grokscope.execution.signals import Interrupted
from grokscope.execution.train import train
from grokscope.store import check_writable
from grokscope.sweep.plan import Sweep
from grokscope.sweep.pool import Done


def run_ensemble(
    sweep: Sweep,
    root: Path,
    *,
    limit: int | None = None,
    tell: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
) -> list[Done]:
    """Train every cell that is not stored, as few computations as possible, one after the other; return all, in order.

    Cells that cannot be members of one ensemble (other shapes, say) are trained in another. A batch that fails does
    not stop the others. Running the same sweep again goes on where it stopped.

    Args:
        sweep: what to run.
        root: parent of all runs.
        limit: how many members are trained at a time, for what memory holds.
        tell: called with one sentence for each batch that begins or ends.
        progress: shows a training while it goes on.

    Raises:
        UsageError: the learner trains no ensembles, or no two of the cells fit into one.
        StoreError: ``root`` cannot be written.
        Interrupted: SIGINT or SIGTERM came; the batch that had begun has a checkpoint.
    """
    specs = [cell.spec for cell in sweep.cells]
    check_ensemble(sweep)
    check_writable(root)
    sweep.write_cells(root)
    paths = stored_runs(specs, root)
    left = [index for index, path in enumerate(paths) if path is None]
    groups = [[left[at] for at in group] for group in batches([specs[index] for index in left], limit=limit)]
    problems: dict[int, str] = {}
    for count, group in enumerate(groups, start=1):
        members = as_members([specs[index] for index in group])
        many = f"{len(group)} members" if len(group) > 1 else "1 run"
        head = f"[{count}/{len(groups)}] {many} of {len(specs)}"
        try:
            trained = train(members, root=root, progress=progress)
        except Interrupted:
            raise
        except (GrokscopeError, RuntimeError) as error:  # such as memory that is not there
            problems |= dict.fromkeys(group, f"{first_line(error)}.")
            tell(f"{head}: {first_line(error)}.")
            continue
        for index, path in zip(group, trained, strict=True):
            paths[index] = path
        tell(f"{head}: done")
    return [
        Done(cell, path or cell.place(root).members[0], problems.get(index))
        for index, (cell, path) in enumerate(zip(sweep.cells, paths, strict=True))
    ]


def check_ensemble(sweep: Sweep) -> None:
    """Refuse a sweep that no ensemble can train.

    Raises:
        UsageError: its learner trains no ensembles, it is one run, or its cells have to be one for all in everything
            that they differ in.
    """
    specs = [cell.spec for cell in sweep.cells]
    alone = next((spec.learner.name for spec in specs if not spec.learner.ensembles), None)
    if alone is not None:
        raise UsageError(f"the learner {alone} trains one member at a time: use --engine pool.")
    if len(specs) < 2:
        raise UsageError(
            "the sweep is one run, and an ensemble needs two: give more values or seeds, or --engine pool."
        )
    groups = batches(specs)
    if len(groups) == len(specs):
        raise UsageError(
            f"members of an ensemble cannot differ in {' or '.join(_parting(sweep, groups))}, so that no two of the "
            f"{len(specs)} cells can be trained together: use --engine pool."
        )


def _parting(sweep: Sweep, groups: Sequence[Sequence[int]]) -> list[str]:
    """Return the keys of the grid by which cells are in different batches; all of them if none does it alone."""
    found = []
    for key in sweep.grid:
        # with only this key different, are cells still apart?
        one = {repr({**sweep.cells[group[0]].values, key: None}) for group in groups}
        if len(one) < len(groups):
            found.append(key)
    return found or list(sweep.grid)
