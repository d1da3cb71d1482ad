"""The one writer of a run directory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from grokscope.errors import StoreError, UsageError, unknown
from grokscope.store.files import append, atomic_write, safe_name, sync, translated
from grokscope.store.jsonl import dumps, encode_value, last_line, repair_tail
from grokscope.store.layout import SCHEMA, SPEC
from grokscope.store.lock import DirectoryLock

STATUSES = ("running", "finished", "stopped", "interrupted", "diverged", "failed")
ENDED = ("finished", "stopped", "diverged")
"""Those of a run that has come to its end: there is nothing to go on with."""
Row = tuple[int, str, str | None, float, int]


def document(values: Mapping[str, Any]) -> bytes:
    """Return the bytes of a JSON document for people, with its ``"schema"``."""
    return (dumps({"schema": SCHEMA, **values}, readable=True) + "\n").encode()


def log_lines(rows: Iterable[Row]) -> bytes:
    """Return rows (step, key, module or None, value, version) as the lines of a log."""
    return "".join(_scalar_line(*row) for row in rows).encode()


def _scalar_line(step: int, key: str, module: str | None, value: float, version: int) -> str:
    if not key or "@" in key:
        raise UsageError(f"{key!r} cannot be the key of a scalar: write measure/key, the module apart from it.")
    if step < 0:
        raise UsageError(f"step {step} of {key}: steps count from 0.")
    number = encode_value(value)
    spelled = repr(number) if isinstance(number, float) else f'"{number}"'
    # the spelling of dumps(), written out because this is called for every number of every run
    return (
        f'{{"key":{_text(key)},"module":{_text(module)},"step":{int(step)},'
        f'"value":{spelled},"version":{int(version)}}}\n'
    )


@lru_cache(maxsize=4096)
def _text(text: str | None) -> str:
    return dumps(text)


class RunWriter:
    """Writes one run directory and holds its lock; every line is with the OS when a call returns.

    Make one with :meth:`create` or :meth:`reopen`. After a refused write (disk full, …) the files
    hold whole lines only and the writer can be used again.

    Example:
        >>> with RunWriter.create(directory, spec={}, environment={}) as writer:  # doctest: +SKIP
        ...     writer.scalars(0, [("train/loss", None, 4.73, 1)])
    """

    def __init__(self, directory: Path | str, lock: DirectoryLock) -> None:
        self.directory = Path(directory)
        self._lock = lock
        self._scalars = self.directory / "scalars.jsonl"
        self._events = self.directory / "events.jsonl"
        self._sealed = self.directory / "scalars.parquet"
        self._last_step = (last_line(self._scalars) or {}).get("step")
        self._not_durable: set[Path] = set()

    @classmethod
    def create(
        cls,
        directory: Path | str,
        *,
        spec: Mapping[str, Any],
        environment: Mapping[str, Any],
        inputs: Mapping[str, bytes] | None = None,
    ) -> RunWriter:
        """Start a run: its directory, lock, ``environment.json``, inputs, ``spec.json`` and status ``running``.

        Raises:
            StoreError: a run is there already, another writer is at it, or it cannot be written.
        """
        directory = Path(directory)
        with translated(directory):
            directory.mkdir(parents=True, exist_ok=True)
        lock = DirectoryLock(directory)
        lock.acquire()
        try:
            for name in (SPEC, "scalars.jsonl"):
                if (directory / name).exists():
                    raise StoreError(f"{directory} holds a run already ({name}): resume it or choose another.")
            writer = cls(directory, lock)
            # spec.json makes a directory a run, so it comes when nothing else is missing
            atomic_write(directory / "environment.json", document(environment))
            for name, data in (inputs or {}).items():
                writer.input(name, data)
            atomic_write(directory / SPEC, document(spec))
            append(writer._scalars, b"")
            writer.status("running")
        except BaseException:
            lock.release()
            raise
        return writer

    @classmethod
    def reopen(cls, directory: Path | str) -> RunWriter:
        """Continue a run: take its lock, cut torn last lines off, remove unfinished temporary files.

        The status stays as it is; a caller that trains on says ``status("running")``.

        Raises:
            StoreError: no run is there, another writer is at it, or it cannot be written.
        """
        directory = Path(directory)
        if not (directory / SPEC).is_file():
            raise StoreError(f"{directory} is not a run (no {SPEC}): give the directory of a run.")
        lock = DirectoryLock(directory)
        lock.acquire()
        try:
            for path in (*directory.glob("*.jsonl"), directory / "checkpoints" / "index.jsonl"):
                repair_tail(path)
            for path in directory.rglob(".*.tmp"):
                with contextlib.suppress(OSError):
                    path.unlink()
            return cls(directory, lock)
        except BaseException:
            lock.release()
            raise

    def scalars(self, step: int, rows: Iterable[tuple[str, str | None, float, int]]) -> None:
        """Append rows (key, module or None, value, version) of one step, all of them or none.

        Raises:
            StoreError: they could not be written; the log is as it was before.
            UsageError: a key is empty or contains ``@``, or the step is negative.
        """
        lines = [_scalar_line(step, *row) for row in rows]
        if lines:
            self._changing_log()
            append(self._scalars, "".join(lines).encode(), kept=self._kept())
            self._last_step = max(step, self._last_step or 0)

    def position(self) -> int:
        """Make everything written so far durable and return the log's length in bytes."""
        self._check_open()
        for path in self._not_durable:
            sync(path)
        self._not_durable.clear()
        sync(self._scalars)
        return self._scalars.stat().st_size

    def truncate(self, position: int, step: int) -> None:
        """Cut the log back to ``position`` bytes and remove arrays of steps after ``step``; back-fills stay.

        Raises:
            StoreError: the log is shorter than that, or the position is not the end of a line.
        """
        self._check_open()
        size = self._scalars.stat().st_size if self._scalars.exists() else 0
        if position > size:
            raise StoreError(
                f"the log of {self.directory} ends at byte {size}, but step {step} ends at byte {position}: "
                "resume from an earlier checkpoint."
            )
        with translated(self._scalars, kept=self._kept()):
            if position and not _ends_line(self._scalars, position):
                raise StoreError(
                    f"byte {position} of the log of {self.directory}, where step {step} should end, is not "
                    "the end of a line: resume from an earlier checkpoint."
                )
            if position < size:
                self._changing_log()
                os.truncate(self._scalars, position)
            for path in (self.directory / "arrays").rglob("*.safetensors"):
                if path.stem.isdecimal() and not self._is_reference(path) and int(path.stem) > step:
                    path.unlink()
        self._not_durable = {path for path in self._not_durable if path.exists()}
        self._last_step = (last_line(self._scalars) or {}).get("step")

    def event(self, kind: str, **fields: Any) -> None:
        """Append an event with the time of now (Unix seconds).

        Raises:
            StoreError: it could not be written.
            UsageError: a field is called ``time``, which is the event's own.
        """
        self._check_open()
        if "time" in fields:
            raise UsageError(f"the event {kind!r} has a field 'time', which is set by the store: name it otherwise.")
        line = dumps({"time": time.time(), "kind": kind, **fields}) + "\n"
        append(self._events, line.encode(), kept=self._kept())

    def status(self, name: str, reason: str | None = None) -> None:
        """Record what the run is now: one of :data:`STATUSES`, with a reason in words where there is one."""
        if name not in STATUSES:
            raise unknown("status", name, STATUSES)
        self.event("status", status=name, reason=reason)

    def array(self, name: str, step: int, data: bytes) -> None:
        """Store safetensors bytes under a name (words joined by ``/``) and a step."""
        self._check_open()
        folder = self._array_folder(name)
        path = folder / f"{step:010d}.safetensors"
        atomic_write(path, data, durable=False, kept=self._kept())
        self._not_durable |= {path, folder}

    def reference(self, name: str, data: bytes) -> None:
        """Store safetensors bytes that belong to the run as a whole: an oracle's solution, say."""
        self._check_open()
        path = self.directory / "arrays" / "references" / f"{safe_name(name, nested=True)}.safetensors"
        atomic_write(path, data, kept=self._kept())

    def input(self, name: str, data: bytes) -> str:
        """Copy bytes from elsewhere into the run; return their SHA-256, which is an event too."""
        self._check_open()
        atomic_write(self.directory / "inputs" / safe_name(name, nested=True), data, kept=self._kept())
        digest = hashlib.sha256(data).hexdigest()
        self.event("input", name=name, sha256=digest, bytes=len(data))
        return digest

    def backfill(self, measure: str, rows: Iterable[Row]) -> None:
        """Replace the measure's back-filled rows (step, key, module or None, value, version) at once."""
        lines = log_lines(rows)
        self._changing_log()
        path = self.directory / f"backfill-{safe_name(measure)}.jsonl"
        atomic_write(path, lines, kept=self._kept())

    def drop_arrays(self, name: str) -> None:
        """Remove all steps of an array; one that is not there is none to remove."""
        self._check_open()
        folder = self._array_folder(name)
        with translated(folder):
            for path in folder.glob("*.safetensors"):
                path.unlink()
            if folder.is_dir() and not any(folder.iterdir()):  # it may hold the folders of longer names
                shutil.rmtree(folder)
        self._not_durable = {path for path in self._not_durable if path.exists()}

    def text(self, name: str, content: str) -> None:
        """Write a text file such as ``report.html`` into the run directory, at once."""
        self._check_open()
        atomic_write(self.directory / safe_name(name), content.encode(), kept=self._kept())

    def close(self) -> None:
        """Release the lock; closing twice is harmless."""
        self._lock.release()

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if not self._lock.held:
            raise StoreError(f"the writer of {self.directory} is closed: reopen the run to write into it.")

    def _changing_log(self) -> None:
        self._check_open()
        with translated(self._sealed):  # the sealed file would be older than the log
            self._sealed.unlink(missing_ok=True)

    def _kept(self) -> str:
        return "" if self._last_step is None else f"everything up to step {self._last_step} is kept, "

    def _array_folder(self, name: str) -> Path:
        if safe_name(name, nested=True).split("/")[0] == "references":
            raise UsageError("arrays of a step cannot be called 'references', where the run's references lie.")
        return self.directory / "arrays" / name

    def _is_reference(self, path: Path) -> bool:
        return path.is_relative_to(self.directory / "arrays" / "references")


def _ends_line(path: Path, position: int) -> bool:
    with path.open("rb") as file:
        file.seek(position - 1)
        return file.read(1) == b"\n"
