"""Integrity of a run directory: every file read, every digest compared; nothing is changed.

What the settings mean is not known here; ``grokscope.execution.verify`` adds that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from grokscope.errors import CheckpointError, GrokscopeError
from grokscope.store.checkpoints import CheckpointStore, Entry
from grokscope.store.columns import SCALARS, SEALED, Columns, from_lines, from_parquet, log_files
from grokscope.store.layout import SPEC, STATE
from grokscope.store.lock import is_locked
from grokscope.store.reader import StoredRun
from grokscope.store.writer import ENDED


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: ``ok``, ``damaged`` or ``missing``, what it is, and what was found."""

    status: Literal["ok", "damaged", "missing"]
    what: str
    detail: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the fields by name."""
        return asdict(self)


def verify_files(directory: Path) -> list[Finding]:
    """Return the findings on the files of a run directory, in the order of ``SCHEMA.md``.

    A torn last line is damage only where the run has ended: a killed or a living writer leaves one.
    """
    run = StoredRun(directory)
    found = [_document(run, SPEC), _document(run, "environment.json")]
    events = _guarded("events.jsonl", lambda: _events(run))
    found += events
    ended = all(one.status == "ok" for one in events) and run.status in ENDED
    found += _guarded(SCALARS, lambda: _log(directory, ended=ended))
    found += _guarded(SEALED, lambda: _sealed(directory, ended=ended))
    found += _guarded("arrays", lambda: _arrays(directory))
    if all(one.status == "ok" for one in events):
        found += _guarded("inputs", lambda: _inputs(run))
    found += _guarded("checkpoints", lambda: verify_checkpoints(directory))
    found.append(_lock(directory))
    return found


def verify_checkpoints(directory: Path, logs: dict[str, Path] | None = None) -> list[Finding]:
    """Return the findings on the checkpoints of a run or a group.

    ``logs`` are the files that the marks of its index point into, by their names; absent: the run's own log.
    """
    store = CheckpointStore(directory)
    folder = directory / "checkpoints"
    if not folder.is_dir():
        return []
    entries = store.entries()
    found = [problem for entry in entries if (problem := _checkpoint(store, entry)) is not None]
    for entry in entries:
        found += _marks(entry, {"0": directory / SCALARS} if logs is None else logs)
    if not found:
        last = f", the last at step {entries[-1].step}" if entries else ""
        found.append(Finding("ok", "checkpoints", f"{len(entries)} with their digests{last}"))
    known = {entry.path.name for entry in entries}
    if loose := sorted(path.name for path in folder.glob("*.safetensors") if path.name not in known):
        found.append(Finding("ok", "checkpoints", f"{', '.join(loose)} never reached the index and is not used"))
    return found


def _guarded(what: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what ``look`` finds; what it cannot read is damage."""
    try:
        return look()
    except GrokscopeError as error:
        return [Finding("damaged", what, str(error))]
    except OSError as error:
        return [Finding("damaged", what, f"cannot be read: {error.strerror}.")]


def _document(run: StoredRun, name: str) -> Finding:
    if not (run.directory / name).exists():
        return Finding("missing", name, "restore it from a copy.")
    try:
        _ = run.spec if name == SPEC else run.environment
    except GrokscopeError as error:
        return Finding("damaged", name, str(error))
    return Finding("ok", name, "parses")


def _lines(path: Path, *, ended: bool) -> list[Finding]:
    """Return the broken lines of a file of JSON lines (with their numbers), and its torn end."""
    *lines, unfinished = path.read_bytes().split(b"\n")
    broken = [number for number, line in enumerate(lines, start=1) if not _parses(line)]
    torn = len(unfinished)
    if not torn and broken and broken[-1] == len(lines):
        torn = len(lines[broken.pop() - 1]) + 1
    found = []
    if broken:
        shown = ", ".join(map(str, broken[:5])) + (", …" if len(broken) > 5 else "")
        found.append(Finding("damaged", path.name, f"line {shown} is broken."))
    if torn and ended:
        found.append(Finding("damaged", path.name, f"ends in a torn line ({torn} bytes), though the run has ended."))
    elif torn:
        found.append(Finding("ok", path.name, f"ends in a torn line ({torn} bytes), which the next writer cuts off"))
    return found


def _parses(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _events(run: StoredRun) -> list[Finding]:
    path = run.directory / "events.jsonl"
    if not path.exists():
        return [Finding("missing", path.name, "nothing tells how the run went: restore it from a copy.")]
    # whether the run has ended is written here, and a torn end cannot say that it has
    found = _lines(path, ended=False)
    if any(one.status == "damaged" for one in found):
        return found
    events = run.events()
    wrong = [number for number, event in enumerate(events, start=1) if not {"time", "kind"} <= set(event)]
    if wrong:
        return [*found, Finding("damaged", path.name, f"line {wrong[0]} is no event: it lacks time or kind.")]
    return [*found, Finding("ok", path.name, f"{len(events)} events, status {run.status}")]


def _log(directory: Path, *, ended: bool) -> list[Finding]:
    found: list[Finding] = []
    if not (directory / SCALARS).exists():
        found.append(Finding("missing", SCALARS, "the log is gone: restore it from a copy."))
    for path in log_files(directory):
        torn = _lines(path, ended=ended)
        found += torn
        if any(one.status == "damaged" and "broken" in one.detail for one in torn):
            continue
        columns = from_lines([path])
        problem = _order(columns) if path.name == SCALARS else None
        twice = _twice(columns)
        if problem is not None:
            found.append(Finding("damaged", path.name, problem))
        if twice is not None:
            found.append(Finding("damaged", path.name, twice))
        if problem is None and twice is None and not any(one.status == "damaged" for one in torn):
            found.append(Finding("ok", path.name, f"{len(columns.step)} rows{_extent(columns)}"))
    return found


def _extent(columns: Columns) -> str:
    return f", steps {columns.step.min()} to {columns.step.max()}" if columns.step.size else ""


def _order(columns: Columns) -> str | None:
    back = np.flatnonzero(np.diff(columns.step) < 0)
    if not back.size:
        return None
    line = int(back[0]) + 2
    return f"line {line} goes back from step {columns.step[line - 2]} to step {columns.step[line - 1]}."


def _twice(columns: Columns) -> str | None:
    seen: set[tuple[Any, ...]] = set()
    rows = zip(columns.step.tolist(), columns.key, columns.module, columns.version.tolist(), strict=True)
    for number, row in enumerate(rows, start=1):
        if row in seen:
            return f"line {number} holds {row[1]} at step {row[0]} a second time."
        seen.add(row)
    return None


def _sealed(directory: Path, *, ended: bool) -> list[Finding]:
    path = directory / SEALED
    if not path.exists():
        return [Finding("ok", path.name, "not there: the JSON lines are read")] if ended else []
    lines = log_files(directory)
    if not lines:
        return [Finding("damaged", path.name, "there are no JSON lines that it could be compared with.")]
    sealed, log = from_parquet(path), from_lines(lines)
    if len(sealed.step) != len(log.step):
        detail = f"holds {len(sealed.step)} rows, the JSON lines {len(log.step)}: remove it and they are read."
        return [Finding("damaged", path.name, detail)]
    for name, column in sealed.as_dict().items():
        other = log.as_dict()[name]
        same = column == other
        if name == "value":
            same = same | (np.isnan(column) & np.isnan(other))
        if not np.all(same):
            row = int(np.flatnonzero(~np.asarray(same, bool))[0])
            said = f"{name} {column[row]} where the JSON lines have {other[row]}"
            return [Finding("damaged", path.name, f"row {row + 1} has {said}: remove it and they are read.")]
    return [Finding("ok", path.name, f"{len(sealed.step)} rows, the same as the JSON lines")]


def _arrays(directory: Path) -> list[Finding]:
    from safetensors import SafetensorError, safe_open

    found: list[Finding] = []
    paths = sorted((directory / "arrays").rglob("*.safetensors"))
    for path in paths:
        try:
            with safe_open(str(path), framework="numpy") as file:
                _ = list(file.keys())
        except (SafetensorError, OSError) as error:
            name = path.relative_to(directory).as_posix()
            found.append(Finding("damaged", name, f"is not a readable array file: {error}."))
    if paths and not found:
        found.append(Finding("ok", "arrays", f"{len(paths)} files"))
    return found


def _inputs(run: StoredRun) -> list[Finding]:
    root = run.directory / "inputs"
    told = {str(event.get("name")): event for event in run.events("input")}
    found: list[Finding] = []
    for name, event in told.items():
        path = root / name
        if not path.is_file():
            found.append(Finding("missing", f"inputs/{name}", "an event says that it was copied here."))
        elif hashlib.sha256(path.read_bytes()).hexdigest() != event.get("sha256"):
            found.append(Finding("damaged", f"inputs/{name}", "its SHA-256 is not the one its event recorded."))
    if told and not found:
        found.append(Finding("ok", "inputs", f"{len(told)} with their digests"))
    return [*found, *_first_state(run)]


def _first_state(run: StoredRun) -> list[Finding]:
    """Return the finding on the state that a fork begins from: its spec names it too, and its identity holds it."""
    try:
        parent = run.spec.get("parent")
    except GrokscopeError:
        return []  # said of spec.json already
    if not isinstance(parent, dict):
        return []
    path = run.directory / STATE
    if not path.is_file():
        return [Finding("missing", STATE, "the spec says that the run begins from it: restore it, or fork again.")]
    if hashlib.sha256(path.read_bytes()).hexdigest() != parent.get("state"):
        return [Finding("damaged", STATE, "its SHA-256 is not the one in spec.json, which the run began from.")]
    return [Finding("ok", STATE, "the state that spec.json names")]


def _checkpoint(store: CheckpointStore, entry: Entry) -> Finding | None:
    name = f"checkpoints/{entry.path.name}"
    if not entry.path.exists():
        return Finding("missing", name, f"the index has it, for step {entry.step}.")
    size = entry.path.stat().st_size
    if size != entry.bytes:
        return Finding("damaged", name, f"has {size} bytes where the index has {entry.bytes}.")
    try:
        store.load(entry.step)
    except CheckpointError as error:
        return Finding("damaged", name, str(error))
    return None


def _marks(entry: Entry, logs: dict[str, Path]) -> Iterable[Finding]:
    """Yield a finding where the log that belongs to a checkpoint is shorter than it was then."""
    for name, mark in entry.marks.items():
        path = logs.get(name)
        if path is None or not path.exists():
            continue
        if path.stat().st_size < mark:
            detail = f"ends at byte {path.stat().st_size}, before the checkpoint at step {entry.step} (byte {mark})."
            yield Finding("damaged", path.name, detail)
        elif mark:
            with path.open("rb") as file:
                file.seek(mark - 1)
                if file.read(1) != b"\n":
                    detail = f"no line ends at byte {mark}, where the checkpoint at step {entry.step} was taken."
                    yield Finding("damaged", path.name, detail)


def _lock(directory: Path) -> Finding:
    if is_locked(directory):
        return Finding("ok", "lock", "a process is writing here; what it is writing now may look torn")
    return Finding("ok", "lock", "free")
