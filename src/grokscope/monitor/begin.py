"""Where a monitored run is written: a new directory, or one that is gone on with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokscope.batch import Batch
from grokscope.errors import StoreError, UsageError
from grokscope.execution.place import environment
from grokscope.execution.plan import document
from grokscope.facts import Facts
from grokscope.monitor.stored import bytes_in, initial_of, inputs_of, state_of, tensors_of
from grokscope.monitor.subject import Subject
from grokscope.snapshot import Snapshot
from grokscope.spec import resolve
from grokscope.store import RunWriter, StoredRun, check_writable, find_runs
from grokscope.store.layout import SPEC


@dataclass(frozen=True)
class Begun:
    """A run to write into: its writer, its first moment, what is stored for later and up to which checkpoint."""

    writer: RunWriter
    initial: Snapshot
    bytes: int = 0
    checkpoint: int = -1


def begun(
    out: Path,
    tree: Mapping[str, Any],
    initial: Snapshot,
    subject: Subject,
    probes: Mapping[str, Batch],
    facts: Facts | None,
    *,
    resume: bool,
    storage: int | None,
) -> Begun:
    """Return the run that a monitor writes: a new one, or with ``resume`` the last one in ``out``.

    ``storage`` bounds the bytes kept for measuring later; None keeps none.

    Raises:
        UsageError: the run to go on with is of another model or other data.
        StoreError: the directory cannot be written, or another process writes it.
    """
    directory, there = place_for(out, resume=resume)
    check_writable(directory)
    if there:
        check_continues(directory, tree)
        writer = RunWriter.reopen(directory)
        writer.status("running")
        run = StoredRun(directory)
        entries = run.checkpoints.entries()
        size = bytes_in(directory) + sum(entry.bytes for entry in entries)
        return Begun(writer, initial_of(run, subject, initial), size, entries[-1].step if entries else -1)
    inputs: dict[str, bytes] = {}
    if storage is not None:
        tensors = {**tensors_of(probes), **state_of(initial)}
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if size > storage:
            warnings.warn(
                f"the data are not stored in {directory}: with the first parameters they take {size:,} bytes, and "
                f"storage= allows {storage:,}; measures that look at data cannot be taken later.",
                UserWarning,
                stacklevel=4,
            )
        inputs = inputs_of(initial, probes if size <= storage else None, facts)
    spec = resolve(tree)
    writer = RunWriter.create(directory, spec=document(spec), environment=environment(), inputs=inputs)
    return Begun(writer, initial, sum(map(len, inputs.values())))


def place_for(out: Path, *, resume: bool) -> tuple[Path, bool]:
    """Return the directory of a run, and whether one is gone on with.

    ``out`` itself, or where it holds a run already the next free ``out.2``, ``out.3``; with ``resume`` the last of
    these that there is.

    Raises:
        StoreError: it is a file, or a directory with other things in it.
    """
    copies = {1: out} if (out / SPEC).exists() else {}
    for path in out.parent.glob(f"{out.name}.*"):
        number = path.name[len(out.name) + 1 :]
        if number.isdecimal() and (path / SPEC).exists():
            copies[int(number)] = path
    if resume and copies:
        return copies[max(copies)], True
    if out.exists() and not out.is_dir():
        raise StoreError(f"out = {str(out)!r} is a file: give a directory for the run.")
    if out.is_dir() and not copies and (runs := find_runs(out)):
        raise StoreError(f"out = {str(out)!r} holds runs ({runs[0].name}): give a directory of its own in it.")
    return (out, False) if not copies else (out.with_name(f"{out.name}.{max(copies) + 1}"), False)


def check_continues(directory: Path, tree: Mapping[str, Any]) -> None:
    """Refuse to go on with a run of another model or other data.

    Raises:
        UsageError: they differ.
    """
    stored = StoredRun(directory).spec
    for what, part, keys in (
        ("model", "model", ("type", "parameters")),
        ("data", "task", ("probes", "loss")),
    ):
        for key in keys:
            if stored.get(part, {}).get(key) != tree[part][key]:
                raise UsageError(
                    f"{directory} is the run of another {what} (its {key} differs): leave resume=True out."
                )
