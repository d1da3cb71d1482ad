"""Trains specs into run directories: a single run, or the members of an ensemble as one computation."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import CheckpointError, StoreError
from grokscope.execution.fits import check_begins, check_points
from grokscope.execution.place import TRANSIENT, Place, environment, find_place, place_of, write_group
from grokscope.execution.plan import document
from grokscope.execution.progress import Moment, Progress, Silent
from grokscope.execution.signals import Interrupted, caught
from grokscope.spec import Spec
from grokscope.store import CheckpointStore, RunWriter, default_root, is_locked, open_run, seal

if TYPE_CHECKING:
    from grokscope.execution.observe import Observer
    from grokscope.learners.base import Learner
    from grokscope.loop.loop import Ended


def train(
    specs: Sequence[Spec],
    *,
    root: Path | str | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    inputs: Mapping[str, bytes] | None = None,
) -> list[Path]:
    """Train specs, together if they are an ensemble's members, and return their run directories.

    A training that is stored and finished is not repeated unless ``fresh``; one that was interrupted
    goes on from its last checkpoint. ``inputs`` are copied into each new run: of a fork, its first state.

    Raises:
        UsageError: the specs cannot be trained as they are; nothing has been trained.
        StoreError: the directory cannot be written, or another process writes it.
        Interrupted: SIGINT or SIGTERM came; everything so far is stored.
    """
    root = Path(root) if root is not None else default_root()
    place = find_place(specs, root, fresh=fresh)
    if place.state == "finished":
        _tidy(place)
    else:
        _train(specs, place, root, progress or Silent(), inputs)
    return list(place.members)


def resume(directory: Path, *, progress: Progress | None = None) -> list[Path]:
    """Go on with the training that a run belongs to; a finished one is left as it is."""
    specs, place, root = place_of(open_run(directory))
    if place.state == "finished":
        _tidy(place)
    else:
        _train(specs, place, root, progress or Silent())
    return list(place.members)


def _train(
    specs: Sequence[Spec], place: Place, root: Path, progress: Progress, inputs: Mapping[str, bytes] | None = None
) -> None:
    check_begins(specs)
    with contextlib.ExitStack() as stack:
        # unless torch had to be asked, spec.json is written before it is loaded: even a failed import leaves a trace
        writers = []
        for spec, directory in zip(specs, place.members, strict=True):
            if (directory / "spec.json").exists():
                writer = RunWriter.reopen(directory)
                stack.callback(writer.close)
                writer.status("running")
            else:
                writer = RunWriter.create(directory, spec=document(spec), environment=environment(), inputs=inputs)
                stack.callback(writer.close)
            writers.append(writer)
        write_group(place, root)
        try:
            _train_locked(specs, place, writers, progress)
        except Interrupted:
            raise
        except KeyboardInterrupt:
            for writer in writers:
                with contextlib.suppress(StoreError):
                    writer.status("interrupted", "a second signal, without a checkpoint")
            raise
        except BaseException as error:
            for writer in writers:
                with contextlib.suppress(StoreError):
                    writer.status("failed", f"{type(error).__name__}: {error}")
            raise
        finally:
            progress.close()


def _train_locked(specs: Sequence[Spec], place: Place, writers: list[RunWriter], progress: Progress) -> None:
    from grokscope.execution.disk import disk_use
    from grokscope.execution.hindsight import complete
    from grokscope.execution.observe import Observer
    from grokscope.execution.parent import first_state
    from grokscope.loop.encoding import encode_checkpoint
    from grokscope.loop.loop import Hooks, Plan, run_loop
    from grokscope.numerics import applied

    spec = specs[0]
    limit = spec.learner.steps
    with applied(spec.numerics), caught() as interrupted:
        tasks = [one.task.build(one.seed) for one in specs]
        learner = spec.learner.build(ensemble=spec.engine == "ensemble")
        check_points(spec, learner)
        store = CheckpointStore(place.checkpoints)
        state, ended_before = _restored(specs, tasks, learner, store, writers)
        begun = told = state is not None
        if state is None:
            for writer in writers:
                writer.truncate(0, -1)
            state = first_state(specs, tasks, learner, place)
        observers = [Observer(one, writer) for one, writer in zip(specs, writers, strict=True)]
        for index, status in ended_before.items():
            observers[index].ended = status
        started = time.perf_counter()
        progress.start(specs, learner.step(state), limit)

        def observe(state: Any, step: int) -> Ended | None:
            nonlocal told
            for index, observer in enumerate(observers):
                if observer.ended is None:
                    snapshot = learner.snapshot(state, index)
                    observer.observe(snapshot, learner.scalars(state, index))
                    if observer.ended == "stopped":
                        # the others may train on, and this member's end is here
                        complete(observer, snapshot)
                    snapshot.close()
            if not told:
                told = True
                progress.note(str(disk_use(specs, learner.state_dict(state), [w.directory for w in writers])))
            return _all_ended(observers, step)

        def checkpoint(state: Any, step: int) -> None:
            stored = learner.state_dict(state)
            ended = {str(index): o.ended for index, o in enumerate(observers) if o.ended is not None}
            data = encode_checkpoint(stored, ended)
            store.save(step, data, {str(index): writer.position() for index, writer in enumerate(writers)})

        def mark(step: int) -> None:
            for one, writer in zip(specs, writers, strict=True):
                for part, label in zip(one.interventions, one.intervention_labels, strict=True):
                    if step in (part.start, part.stop):
                        action = "start" if step == part.start else "stop"
                        writer.event("intervention", name=label, action=action, step=step)

        plan = Plan(
            limit=limit,
            observe=[recording.cadence for recording in spec.record.plan()],
            checkpoint=spec.record.checkpoints,
            breaks=sorted({s for part in spec.interventions for s in (part.start, part.stop) if s is not None}),
        )
        hooks = Hooks(
            observe=observe,
            checkpoint=checkpoint,
            interrupted=interrupted,
            mark=mark,
            progress=lambda step: progress.update(_moment(step, limit, observers)),
        )
        if begun and (ended := _all_ended(observers, learner.step(state))) is not None:
            # killed after the last member had ended and before that was written down
            _finish(learner, state, ended, observers, started)
            return
        state, ended = run_loop(learner, state, plan, hooks, fresh=not begun)
        if ended.status == "interrupted":
            for writer in writers:
                writer.status("interrupted", ended.reason)
            raise Interrupted(
                f"stopped by {ended.reason} at step {ended.step}; go on with: grokscope resume {place.members[0]}",
                ended.reason or "SIGINT",
            )
        _finish(learner, state, ended, observers, started)


def _all_ended(observers: Sequence[Observer], step: int) -> Ended | None:
    """Return how the training ended, if no member is left to train."""
    from grokscope.loop.loop import Ended

    statuses = {observer.ended for observer in observers}
    if None in statuses:
        return None
    return Ended("diverged" if statuses == {"diverged"} else "stopped", step)


def _finish(learner: Learner, state: Any, ended: Ended, observers: Sequence[Observer], started: float) -> None:
    from grokscope.execution.hindsight import complete, drop_transient

    for index, observer in enumerate(observers):
        if observer.ended is None:
            last = learner.snapshot(state, index)
            complete(observer, last)
            last.close()
        elif observer.ended == "diverged" and any(m.hindsight for m in observer.measures.values()):
            observer.writer.event(
                "hindsight_left_open",
                step=ended.step,
                reason="the run diverged: there is no final network to look back from; what was collected is kept",
            )
    observing = sum(observer.seconds for observer in observers)
    share = observing / max(time.perf_counter() - started, 1e-9)
    for observer in observers:
        observer.writer.event("observe_share", share=share, seconds=observing, step=ended.step)
        seal(observer.writer.directory)
    # a status says that all the rest is done, and what only the rest needed goes last
    for observer in observers:
        observer.writer.status(observer.ended or ended.status, ended.reason)
    for observer in observers:
        if observer.ended != "diverged":
            drop_transient(observer.writer)


def _tidy(place: Place) -> None:
    """Drop what a training that was killed between its last status and its last line left behind."""
    for directory in place.members:
        run = open_run(directory)
        left = run.status != "diverged" and any(name.endswith(TRANSIENT) for name in run.arrays())
        if left and not is_locked(directory):
            from grokscope.execution.hindsight import drop_transient

            with contextlib.closing(RunWriter.reopen(directory)) as writer:
                drop_transient(writer)


def _restored(
    specs: Sequence[Spec], tasks: Sequence[Any], learner: Learner, store: CheckpointStore, writers: list[RunWriter]
) -> tuple[Any, dict[int, str]]:
    """Return the state of the newest usable checkpoint, with the logs cut back to it, or None for a start at 0."""
    from grokscope.loop.encoding import decode_checkpoint

    before: int | None = None
    told: list[str] = []
    while (found := store.latest(before)) is not None:
        entry, data, problems = found
        told += problems
        for problem in problems:
            for writer in writers:
                writer.event("checkpoint_skipped", reason=problem)
        try:
            stored, ended = decode_checkpoint(data)
            state = learner.restore(specs, tasks, stored)
            for index, writer in enumerate(writers):
                writer.truncate(entry.marks[str(index)], entry.step)
        except (CheckpointError, StoreError, KeyError) as error:
            # this checkpoint, or the log that goes with it, is damaged: an earlier one may not be
            for writer in writers:
                writer.event("checkpoint_skipped", step=entry.step, reason=str(error))
            before = entry.step - 1
            continue
        store.remove_after(entry.step)
        for writer in writers:
            writer.event("resumed", step=entry.step)
        return state, ended
    for problem in store.problems():
        if problem not in told:
            for writer in writers:
                writer.event("checkpoint_skipped", reason=problem)
    # none is usable: what is left of them must not be mistaken for checkpoints of the new start
    store.remove_after(-1)
    return None, {}


def _moment(step: int, limit: int, observers: Sequence[Observer]) -> Moment:
    from grokscope.analysis.phases import current_phase

    phases = [o.ended or current_phase(o.latest, o.spec.transition) for o in observers]
    return Moment(step, limit, [observer.latest for observer in observers], phases)
