"""Snapshots from stored checkpoints, for measuring after the fact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from grokscope.execution.place import place_of
from grokscope.store import CheckpointStore, StoredRun

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


@contextmanager
def snapshot_at(run: StoredRun, step: int) -> Iterator[Snapshot]:
    """Within the context, the snapshot of a run at one of its checkpoints, under the run's numerics.

    Raises:
        CheckpointError: there is no usable checkpoint at that step.
    """
    from grokscope.loop.encoding import decode_checkpoint
    from grokscope.numerics import applied

    specs, place, _ = place_of(run)
    member = [path.resolve() for path in place.members].index(run.directory.resolve())
    stored, _ = decode_checkpoint(CheckpointStore(place.checkpoints).load(step))
    with applied(specs[0].numerics):
        learner = specs[0].learner.build(ensemble=specs[0].engine == "ensemble")
        tasks = [spec.task.build(spec.seed) for spec in specs]
        snapshot = learner.snapshot(learner.restore(specs, tasks, stored), member)
        yield snapshot
        snapshot.close()


def measured(run: StoredRun, step: int, names: Sequence[str]) -> list[tuple[str, str | None, float]]:
    """Return the rows (key, module, value) of the named measures at a checkpoint, as logged live."""
    from grokscope.execution.observe import rows_of

    with snapshot_at(run, step) as snapshot:
        return rows_of(snapshot, names)
