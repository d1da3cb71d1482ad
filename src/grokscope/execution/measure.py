"""Back-fill: measures taken on stored checkpoints, as if they had been taken while the run trained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import CheckpointError, StoreError, UsageError
from grokscope.execution.observe import Row, transient_name
from grokscope.execution.posthoc import is_monitored, opened, usable_steps
from grokscope.store import ENDED, RunWriter, StoredRun, decode_value, read_lines, seal

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.measures.base import Measure
    from grokscope.snapshot import Snapshot

Tensors = dict[str, "Tensor"]


@dataclass(frozen=True)
class Reading:
    """What a measure gave at one checkpoint: rows (key, module, value, version) and tensors by array name."""

    step: int
    rows: list[Row]
    arrays: dict[str, Tensors] = field(default_factory=dict)


@dataclass(frozen=True)
class Filled:
    """What was done for one measure, as :func:`read_checkpoints` and :func:`backfill` return it.

    ``reason`` says why it gave nothing, or what it could not give; ``problems`` are the checkpoints
    that could not be read or measured, a sentence each. ``reference`` is (step, tensors) of the moment
    that a hindsight measure looked back from, where the run did not hold it yet.
    """

    measure: str
    version: int
    readings: list[Reading]
    reason: str | None = None
    problems: tuple[str, ...] = ()
    reference: tuple[int, Tensors] | None = None

    @property
    def steps(self) -> list[int]:
        """The steps that were measured, ascending."""
        return [reading.step for reading in self.readings]

    @property
    def arrays(self) -> list[str]:
        """The names of the arrays it gave that stay, sorted."""
        given = {name for reading in self.readings for name in reading.arrays}
        return sorted(given - {transient_name(self.measure)})

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-ready, its numbers counted."""
        return {
            "measure": self.measure,
            "version": self.version,
            "steps": self.steps,
            "rows": sum(len(reading.rows) for reading in self.readings),
            "arrays": self.arrays,
            "reason": self.reason,
            "problems": list(self.problems),
        }


def read_checkpoints(
    run: StoredRun,
    measures: Sequence[str],
    *,
    steps: Sequence[int] | None = None,
    model: Any = None,
    tell: Callable[[str], None] | None = None,
) -> list[Filled]:
    """Return what measures give at the checkpoints of a run; nothing is written.

    A hindsight measure also gives what it gives at the end of a training: its comparison with the stored
    reference, or with the last checkpoint, if the run has ended and has not diverged.

    Args:
        run: the run.
        measures: names of measures.
        steps: these checkpoints only.
        model: the code of a model that was monitored, as a module or what makes it.
        tell: told of each checkpoint in turn.

    Raises:
        UsageError: an unknown measure, or a step without a checkpoint.
        StoreError: there is no checkpoint.
    """
    from grokscope.measures.base import named

    if not measures:
        raise UsageError("name at least one measure; grokscope list measures shows them.")
    chosen: list[Measure] = [named(name) for name in dict.fromkeys(measures)]
    known = usable_steps(run)
    if not known:
        if is_monitored(run):
            raise StoreError(
                f"{run.directory} has no checkpoint to measure: have gs.Monitor store some, with checkpoints=, or name "
                f"{chosen[0].name} in its measures."
            )
        raise StoreError(
            f"{run.directory} has no checkpoint to measure: resume it, or run it anew with "
            f'--set record.measures=["{chosen[0].name}"].'
        )
    for step in steps or ():
        if step not in known:
            shown = ", ".join(map(str, known))
            raise UsageError(f"{run.directory} has no checkpoint at step {step}: there are {shown}.")
    with opened(run, model) as at:
        looks = [_Look(measure, run, known[-1], at) for measure in chosen]
        for step in sorted(set(known if steps is None else steps)):
            if tell is not None:
                tell(f"measuring the checkpoint at step {step}")
            try:
                snapshot = at(step)
            except CheckpointError as error:
                for look in looks:
                    look.problems.append(str(error))
                continue
            for look in looks:
                look.take(snapshot)
    without = model is None and is_monitored(run)
    return [_asking_for_code(look) if without else look.filled() for look in looks]


def _asking_for_code(look: _Look) -> Filled:
    """Say how a measure that gave nothing might give something: a monitored run has no code of its model."""
    filled = look.filled()
    if filled.readings or filled.reason is None or not {"module", "labels", "real-inputs"} & set(look.measure.needs):
        return filled
    hint = "Without --model FILE.py:function only the weights of a monitored run can be measured."
    return replace(filled, reason=f"{filled.reason} {hint}")


def backfill(
    run: StoredRun,
    measures: Sequence[str],
    *,
    steps: Sequence[int] | None = None,
    model: Any = None,
    tell: Callable[[str], None] | None = None,
) -> list[Filled]:
    """Take measures at the checkpoints of a run, write what they give into it, and seal it again.

    Rows go to ``backfill-<measure>.jsonl``; those it has at other steps, keys and versions stay. Tensors
    go to ``arrays/``, as they do live. Values equal those taken while training, bit for bit.

    Args and errors are those of :func:`read_checkpoints`, and StoreError: the run is being written.
    """
    from grokscope.loop.encoding import encode_tensors

    with contextlib.closing(RunWriter.reopen(run.directory)) as writer:
        done = read_checkpoints(run, measures, steps=steps, model=model, tell=tell)
        ended = run.status in ENDED
        for filled in done:
            for problem in filled.problems:
                writer.event("measure_failed", measure=filled.measure, version=filled.version, reason=problem)
            if not filled.readings:
                continue
            for reading in filled.readings:
                for name, tensors in reading.arrays.items():
                    # a run that goes on looks back on these when it ends, and drops them then
                    if tensors and not (ended and name == transient_name(filled.measure)):
                        writer.array(name, reading.step, encode_tensors(tensors))
            if filled.reference is not None:
                step, tensors = filled.reference
                values = {"step": step, "version": filled.version}
                writer.reference(filled.measure, encode_tensors(tensors, values))
            writer.backfill(filled.measure, _merged(run, filled))
            writer.event("backfilled", measure=filled.measure, version=filled.version, steps=len(filled.steps))
        writer.position()
        if any(filled.readings for filled in done):
            seal(run.directory)
    return [_with_versions(run, filled) for filled in done]


def run_of_checkpoint(path: Path) -> tuple[list[StoredRun], int]:
    """Return the runs whose checkpoint a file is (an ensemble's holds every member), and its step.

    Raises:
        UsageError: the file is no checkpoint of a run.
    """
    import json

    from grokscope.execution.place import GROUP_FILE

    home = path.parent.parent
    if path.parent.name == "checkpoints" and path.stem.isdecimal() and path.suffix == ".safetensors":
        if (home / "spec.json").is_file():
            return [StoredRun(home)], int(path.stem)
        if (home / GROUP_FILE).is_file():
            names = json.loads((home / GROUP_FILE).read_text())["members"]
            root = home.resolve().parents[1]
            return [StoredRun(root / name) for name in names], int(path.stem)
    raise UsageError(
        f"{path} is not a checkpoint of a run: give a run directory, or a file RUN/checkpoints/STEP.safetensors."
    )


class _Look:
    """One measure on its way through the checkpoints."""

    def __init__(self, measure: Measure, run: StoredRun, last: int, at: Callable[[int], Snapshot]) -> None:
        self.measure = measure
        self.readings: list[Reading] = []
        self.problems: list[str] = []
        self.reason: str | None = None
        self._reference: Tensors | None = None
        self._new_reference: tuple[int, Tensors] | None = None
        if measure.hindsight is not None:
            try:
                self._reference = self._look_back(run, last, at)
            except Exception as error:
                self.problems.append(f"in hindsight: {type(error).__name__}: {error}")

    def filled(self) -> Filled:
        """Return what was found."""
        unique = tuple(dict.fromkeys(self.problems))
        measure = self.measure
        return Filled(measure.name, measure.version, self.readings, self.reason, unique, self._new_reference)

    def take(self, snapshot: Snapshot) -> None:
        """Measure one moment; what fails is a problem and ends nothing."""
        from grokscope.measures.base import DoesNotApply, evaluate

        measure = self.measure
        try:
            found = evaluate(measure, snapshot)
            arrays = {measure.name: found.arrays}
            rows = list(found.rows)
            if measure.hindsight is not None:
                collected = snapshot.memo(("collected", measure.name), lambda: None)
                # as live: the arrays of the online variant follow from these
                arrays = {measure.name: collected.kept, transient_name(measure.name): collected.transient}
                later = self._in_hindsight({**collected.kept, **collected.transient})
                rows += later.rows
                arrays[f"{measure.name}.hindsight"] = later.arrays
        except DoesNotApply as reason:
            self.reason = str(reason)
            return
        except Exception as error:
            self.problems.append(f"at step {snapshot.step}: {type(error).__name__}: {error}")
            return
        kept = {name: stored(tensors) for name, tensors in arrays.items() if tensors}
        rows_ = [(key, module, value, measure.version) for key, module, value in rows]
        self.readings.append(Reading(snapshot.step, rows_, kept))

    def _in_hindsight(self, collected: Tensors) -> Any:
        from grokscope.measures.base import Reading as Found
        from grokscope.measures.base import flatten

        hindsight = self.measure.hindsight
        if hindsight is None or self._reference is None:
            return Found([])
        return flatten(self.measure, hindsight.compare(self._reference, stored(collected)))

    def _look_back(self, run: StoredRun, last: int, at: Callable[[int], Snapshot]) -> Tensors | None:
        """Return the reference that the training stored, else that of the last checkpoint."""
        from grokscope.loop.encoding import decode
        from grokscope.measures.base import why_not

        hindsight, name = self.measure.hindsight, self.measure.name
        assert hindsight is not None
        if run.status not in ("finished", "stopped"):
            why = "the run diverged" if run.status == "diverged" else "the run has no end yet"
            self.reason = f"{why}: there is no final network to look back from, so only keys in _online are given."
            return None
        if name in run.references():
            known = decode((run.directory / "arrays" / "references" / f"{name}.safetensors").read_bytes())
            if known.values.get("version") == self.measure.version:
                return known.tensors
        snapshot = at(last)
        if why_not(self.measure, snapshot) is not None:
            return None
        if run.last_step is not None and last < run.last_step:
            self.reason = (
                f"looked back from the last checkpoint, at step {last}; the run ended at step {run.last_step}."
            )
        tensors = stored(hindsight.reference(snapshot))
        self._new_reference = (last, tensors)
        return tensors


def stored(tensors: Tensors) -> Tensors:
    """Return tensors as they come back from a file: what hindsight measures are given live."""
    from grokscope.loop.encoding import decode, encode_tensors

    return decode(encode_tensors(tensors)).tensors


def _with_versions(run: StoredRun, filled: Filled) -> Filled:
    """Say where the log holds other versions of what was measured: no figure may mix them."""
    keys = {key for reading in filled.readings for key, *_ in reading.rows}
    rows = run.rows()
    others = {int(v) for key, v in zip(rows["key"], rows["version"], strict=True) if key in keys} - {filled.version}
    if not others:
        return filled
    older = f"the log also holds version {', '.join(map(str, sorted(others)))} of it: do not mix them in one figure."
    return replace(filled, reason=f"{filled.reason} {older}" if filled.reason else older)


def _merged(run: StoredRun, filled: Filled) -> list[tuple[int, str, str | None, float, int]]:
    """Return the measure's back-filled rows with the new ones in place of those of the same moment and key."""
    merged: dict[tuple[int, str, str | None, int], float] = {}
    for row in read_lines(run.directory / f"backfill-{filled.measure}.jsonl"):
        merged[int(row["step"]), row["key"], row["module"], int(row["version"])] = decode_value(row["value"])
    for reading in filled.readings:
        for key, module, value, version in reading.rows:
            merged[reading.step, key, module, version] = value
    in_order = sorted(merged.items(), key=lambda item: item[0][0])
    return [(step, key, module, value, version) for (step, key, module, version), value in in_order]
