"""What can only be measured once it is known how the run ended."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from grokscope.execution.observe import Observer, transient_name
from grokscope.execution.place import TRANSIENT
from grokscope.loop.encoding import decode, encode_tensors
from grokscope.measures.base import Measure, flatten, why_not
from grokscope.store import RunWriter, StoredRun

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.snapshot import Snapshot


def complete(observer: Observer, last: Snapshot) -> None:
    """Compare everything the hindsight measures collected with the last snapshot.

    A measure that raises leaves an event; the others are completed all the same.
    """
    started = time.perf_counter()
    look_back(observer.measures.values(), observer.writer, last)
    observer.seconds += time.perf_counter() - started


def look_back(measures: Iterable[Measure], writer: RunWriter, last: Snapshot) -> None:
    """Compare everything that hindsight measures collected into a run with the snapshot it ended with."""
    for measure in measures:
        if measure.hindsight is None:
            continue
        try:
            if why_not(measure, last) is None:
                _complete(measure, writer, last)
        except Exception as error:
            writer.event(
                "measure_failed",
                measure=measure.name,
                version=measure.version,
                step=last.step,
                reason=f"in hindsight: {type(error).__name__}: {error}",
            )


def _complete(measure: Measure, writer: RunWriter, last: Snapshot) -> None:
    assert measure.hindsight is not None
    run = StoredRun(writer.directory)
    reference = measure.hindsight.reference(last)
    writer.reference(measure.name, encode_tensors(reference, {"step": last.step, "version": measure.version}))
    rows = []
    names = [name for name in (measure.name, transient_name(measure.name)) if name in run.arrays()]
    for step in sorted({step for name in names for step in run.array_steps(name)}):
        collected = {key: tensor for name in names for key, tensor in _stored(run, name, step).items()}
        reading = flatten(measure, measure.hindsight.compare(reference, collected))
        rows += [(step, key, module, value, measure.version) for key, module, value in reading.rows]
        if reading.arrays:
            writer.array(f"{measure.name}.hindsight", step, encode_tensors(reading.arrays))
    writer.backfill(measure.name, rows)


def drop_transient(writer: RunWriter) -> None:
    """Remove what the hindsight measures no longer need; called when the run has been sealed."""
    for name in StoredRun(writer.directory).arrays():
        if name.endswith(TRANSIENT):
            writer.drop_arrays(name)


def _stored(run: StoredRun, name: str, step: int) -> dict[str, Tensor]:
    path = run.directory / "arrays" / name / f"{step:010d}.safetensors"
    return decode(path.read_bytes()).tensors if path.exists() else {}
