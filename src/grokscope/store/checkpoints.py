"""Checkpoints: bytes with a digest, so that a damaged one is noticed and the one before it used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grokscope.errors import CheckpointError
from grokscope.store.files import append, atomic_write, translated
from grokscope.store.jsonl import dumps, read_lines, repair_tail


@dataclass(frozen=True)
class Entry:
    """One checkpoint: step, file, digest, the positions in other files that belong to it, and its size."""

    step: int
    path: Path
    sha256: str
    marks: dict[str, int] = field(default_factory=dict)
    bytes: int = 0


@dataclass(frozen=True)
class CheckpointStore:
    """The checkpoints below a directory: ``checkpoints/<step>.safetensors`` and ``checkpoints/index.jsonl``.

    Args:
        directory: a run's or a group's directory; it need not exist before the first :meth:`save`.

    Example:
        >>> store = CheckpointStore(directory)  # doctest: +SKIP
        >>> store.save(100, data, marks={"scalars": writer.position()})  # doctest: +SKIP
    """

    directory: Path

    @property
    def _folder(self) -> Path:
        return Path(self.directory) / "checkpoints"

    @property
    def _index(self) -> Path:
        return self._folder / "index.jsonl"

    def save(self, step: int, data: bytes, marks: Mapping[str, int]) -> None:
        """Store a checkpoint durably, in place of an earlier one of the same step.

        Args:
            step: the step after which the state is as in ``data``.
            data: safetensors bytes.
            marks: positions in other files, such as ``{"scalars": bytes of the log}``.

        Raises:
            StoreError: the disk is full, read-only, …; earlier checkpoints are untouched.
        """
        path = self._path(step)
        entries = self.entries()
        steps = [entry.step for entry in entries]
        kept = f"checkpoints up to step {steps[-1]} are kept, " if steps else ""
        repair_tail(self._index)
        if step in steps:  # its index line must not stay with other bytes if we die in between
            self._rewrite([entry for entry in entries if entry.step != step])
        atomic_write(path, data, kept=kept)
        entry = Entry(step, path, hashlib.sha256(data).hexdigest(), dict(marks), len(data))
        append(self._index, _line(entry), durable=True, kept=kept)

    def entries(self) -> list[Entry]:
        """Return all checkpoints in the index, by step."""
        found: dict[int, Entry] = {}
        for row in read_lines(self._index):
            try:
                step = int(row["step"])
                marks = {str(name): int(mark) for name, mark in row["marks"].items()}
                # a name only: an index from elsewhere cannot lead out of the directory
                path = self._folder / Path(row["file"]).name
                found[step] = Entry(step, path, str(row["sha256"]), marks, int(row["bytes"]))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(
                    f"{self._index} has a line that is not an entry ({dumps(row)}): remove that line."
                ) from error
        return [found[step] for step in sorted(found)]

    def steps(self) -> list[int]:
        """Return the steps of all checkpoints in the index, ascending."""
        return [entry.step for entry in self.entries()]

    def load(self, step: int) -> bytes:
        """Return the bytes of a checkpoint after comparing them with their digest.

        Raises:
            CheckpointError: there is none at this step, or its file is missing or damaged.
        """
        entries = {entry.step: entry for entry in self.entries()}
        if step not in entries:
            known = ", ".join(map(str, entries)) or "none"
            raise CheckpointError(f"{self.directory} has no checkpoint at step {step}: there are {known}.")
        return _verified(entries[step])

    def latest(self, before: int | None = None) -> tuple[Entry, bytes, list[str]] | None:
        """Return the newest sound checkpoint at or before a step, its bytes, and the problems of newer ones.

        Returns:
            None where there is no sound one; :meth:`problems` tells whether there are damaged ones.
        """
        problems: list[str] = []
        for entry in reversed(self.entries()):
            if before is None or entry.step <= before:
                try:
                    return entry, _verified(entry), problems
                except CheckpointError as error:
                    problems.append(str(error))
        return None

    def problems(self) -> list[str]:
        """Return a sentence for each missing or damaged checkpoint, by step."""
        found: list[str] = []
        for entry in self.entries():
            try:
                _verified(entry)
            except CheckpointError as error:
                found.append(str(error))
        return found

    def remove_after(self, step: int) -> None:
        """Remove the checkpoints of later steps, those that never reached the index included."""
        entries = self.entries()
        if any(entry.step > step for entry in entries):
            self._rewrite([entry for entry in entries if entry.step <= step])
        with translated(self._folder):
            for path in self._folder.glob("*.safetensors"):
                if path.stem.isdecimal() and int(path.stem) > step:
                    path.unlink()

    def _path(self, step: int) -> Path:
        return self._folder / f"{step:010d}.safetensors"

    def _rewrite(self, entries: list[Entry]) -> None:
        atomic_write(self._index, b"".join(map(_line, entries)))


def _line(entry: Entry) -> bytes:
    row = {
        "step": entry.step,
        "file": entry.path.name,
        "sha256": entry.sha256,
        "bytes": entry.bytes,
        "marks": entry.marks,
    }
    return (dumps(row) + "\n").encode()


def _verified(entry: Entry) -> bytes:
    try:
        data = entry.path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(
            f"the checkpoint at step {entry.step} is missing ({entry.path}): use another step."
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"the checkpoint at step {entry.step} ({entry.path}) cannot be read: {error.strerror}."
        ) from error
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise CheckpointError(
            f"the checkpoint at step {entry.step} ({entry.path}) is corrupt ({len(data)} bytes whose SHA-256 "
            "is not the recorded one): use another step."
        )
    return data
