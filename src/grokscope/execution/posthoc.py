"""Snapshots from stored checkpoints, for measuring after the fact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from grokscope.errors import UsageError
from grokscope.execution.place import place_of
from grokscope.monitor.settings import MONITORED
from grokscope.store import ENDED, CheckpointStore, StoredRun

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def is_monitored(run: StoredRun) -> bool:
    """Tell whether a run was recorded by gs.Monitor in a training of somebody else's."""
    return run.spec["learner"]["name"] == MONITORED


def checkpoints_of(run: StoredRun) -> CheckpointStore:
    """Return the checkpoints a run was trained with: its own, or those of its ensemble.

    Raises:
        StoreError: the folder of its ensemble cannot be read.
    """
    _, place, _ = place_of(run)
    return CheckpointStore(place.checkpoints)


@contextmanager
def opened(run: StoredRun, model: Any = None) -> Iterator[Callable[[int], Snapshot]]:
    """Within the context, a function from a checkpoint's step to its snapshot, under the run's numerics.

    A snapshot is open until the next one is asked for. The task and the learner are built once. ``model`` is the
    code of a model that was monitored (``grokscope.monitor.stored``).

    Raises:
        UsageError: ``model`` is not that of the run, or the run makes its own.
        CheckpointError: by the function, where there is no usable checkpoint at that step.
    """
    if is_monitored(run):
        from grokscope.monitor.stored import opened as monitored

        with monitored(run, model) as moment:
            yield moment
        return
    if model is not None:
        raise UsageError(f"{run.directory} makes its model from its spec: leave --model out, it is for monitored runs.")
    from grokscope.loop.encoding import decode_checkpoint
    from grokscope.numerics import applied

    specs, place, _ = place_of(run)
    member = [path.resolve() for path in place.members].index(run.directory.resolve())
    store = CheckpointStore(place.checkpoints)
    with applied(specs[0].numerics):
        learner = specs[0].learner.build(ensemble=specs[0].engine == "ensemble")
        tasks = [spec.task.build(spec.seed) for spec in specs]
        last: list[Snapshot] = []
        lasting: dict[Any, Any] = {}

        def at(step: int) -> Snapshot:
            while last:
                last.pop().close()
            stored, _ = decode_checkpoint(store.load(step))
            snapshot = learner.snapshot(learner.restore(specs, tasks, stored), member)
            snapshot.keep_lasting(lasting)
            last.append(snapshot)
            return snapshot

        try:
            yield at
        finally:
            while last:
                last.pop().close()


@contextmanager
def snapshot_at(run: StoredRun, step: int) -> Iterator[Snapshot]:
    """Within the context, the snapshot of a run at one of its checkpoints, under the run's numerics.

    Raises:
        CheckpointError: there is no usable checkpoint at that step.
    """
    with opened(run) as at:
        yield at(step)


def measured(run: StoredRun, step: int, names: Sequence[str]) -> list[tuple[str, str | None, float]]:
    """Return the rows (key, module, value) of the named measures at a checkpoint, as logged live."""
    from grokscope.execution.observe import rows_of

    with snapshot_at(run, step) as snapshot:
        return rows_of(snapshot, names)


def usable_steps(run: StoredRun) -> list[int]:
    """Return the steps of the checkpoints that are part of a run, ascending.

    An ensemble trains on after a member of it has ended: what it stored later is not the member's.
    """
    steps = checkpoints_of(run).steps()
    last = run.last_step
    if run.spec.get("group") is None or last is None or run.status not in ENDED:
        return steps
    return [step for step in steps if step <= last]
