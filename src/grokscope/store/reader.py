"""Reading a run, while it is written or years later; nothing here changes a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from grokscope.errors import StoreError, UsageError, unknown
from grokscope.store.checkpoints import CheckpointStore
from grokscope.store.columns import Columns, fingerprint, flat_key, from_lines, joined, load, split_key
from grokscope.store.files import read_bytes, safe_name
from grokscope.store.jsonl import read_lines
from grokscope.store.layout import HISTORY, SCHEMA, SPEC
from grokscope.store.lock import is_locked

Series = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class StoredRun:
    """A run directory, read: every call sees the files as they are then.

    The parsed log is kept until its files change, so asking for many keys parses it once.

    Example:
        >>> run = open_run("runs/nanda2023/modular-addition/cpu-s0-1a2b3c4d")  # doctest: +SKIP
        >>> steps, values = run.series("test/accuracy")  # doctest: +SKIP
    """

    directory: Path
    _cache: dict[str, tuple[Any, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def spec(self) -> dict[str, Any]:
        """The tree of ``spec.json``, without the file's ``"schema"``."""
        return _document(self.directory / SPEC)

    @property
    def environment(self) -> dict[str, Any]:
        """The tree of ``environment.json``, without the file's ``"schema"``."""
        return _document(self.directory / "environment.json")

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the events, or those of one kind, in the order in which they were written."""
        events = read_lines(self.directory / "events.jsonl")
        return [event for event in events if kind is None or event.get("kind") == kind]

    @property
    def status(self) -> str:
        """The last status recorded; ``running`` without a live writer is ``interrupted``."""
        return self._status()[0]

    @property
    def status_reason(self) -> str | None:
        """Why the status is what it is, where that is known."""
        return self._status()[1]

    def _status(self) -> tuple[str, str | None]:
        last = (self.events("status") or [{"status": "running"}])[-1]
        name = str(last.get("status"))
        if name == "running" and not is_locked(self.directory):
            return "interrupted", "its process ended without recording why"
        return name, last.get("reason")

    @property
    def wall_seconds(self) -> float:
        """Seconds spent, summed over sessions.

        A session begins with the status ``running`` and ends with the next other status, or with the
        last event before the next session where a killed process recorded none.
        """
        total, begin, end = 0.0, None, 0.0
        for event in self.events():
            time = float(event.get("time", end))
            status = event.get("status") if event.get("kind") == "status" else None
            if status == "running":
                if begin is not None:
                    total += max(0.0, end - begin)
                begin = end = time
            elif begin is not None:
                end = time
                if status is not None:
                    total += max(0.0, end - begin)
                    begin = None
        return total if begin is None else total + max(0.0, end - begin)

    def keys(self) -> list[str]:
        """Return all flat keys (``key`` or ``key@module``), sorted."""
        return sorted(flat_key(*pair) for pair in self._series())

    def has(self, key: str, module: str | None = None) -> bool:
        """Tell whether :meth:`series` knows the key."""
        return _pair(key, module) in self._series()

    def modules(self, key: str) -> list[str | None]:
        """Return the modules with which ``key`` was recorded: None (no module) first, then by name."""
        found = [module for name, module in self._series() if name == key]
        return sorted(found, key=lambda module: (module is not None, module or ""))

    def series(self, key: str, module: str | None = None) -> Series:
        """Return steps (int64) and values (float64) of a key, both of shape (points,), by step.

        Where a step was recorded by several versions of a measure, the highest one is returned.

        Args:
            key: ``measure/key``, or flat ``measure/key@module``.
            module: the module path, where the key has it apart.

        Raises:
            UsageError: the run has no such key; the nearest ones are offered.
            StoreError: the log is broken.
        """
        pair = _pair(key, module)
        if pair not in self._series():
            raise unknown("key", flat_key(*pair), self.keys())
        steps, values = self._series()[pair]
        return steps.copy(), values.copy()

    def rows(self, *keys: str) -> dict[str, np.ndarray]:
        """Return columns step, key, module, value, version in log order: every version of every row.

        Args:
            keys: flat keys; one without ``@`` means all its modules; none at all means every row.

        Raises:
            UsageError: the run has no such key.
        """
        columns = self._columns().as_dict()
        if not keys:
            return {name: column.copy() for name, column in columns.items()}
        pairs = set(self._series())
        chosen: set[tuple[str, str | None]] = set()
        for key in keys:
            name, module = split_key(key)
            matching = {pair for pair in pairs if pair[0] == name and module in (None, pair[1])}
            if not matching:
                raise unknown("key", key, {*self.keys(), *(pair[0] for pair in pairs)})
            chosen |= matching
        kept = np.array([pair in chosen for pair in zip(columns["key"], columns["module"], strict=True)], bool)
        return {name: column[kept] for name, column in columns.items()}

    def final(self) -> dict[str, float]:
        """Return the last value of each flat key."""
        series = self._series()
        return {flat_key(*pair): float(series[pair][1][-1]) for pair in sorted(series, key=lambda p: flat_key(*p))}

    @property
    def last_step(self) -> int | None:
        """The largest step in the log, or None if it is empty."""
        steps = self._columns().step
        return int(steps.max()) if steps.size else None

    def arrays(self) -> list[str]:
        """Return the names of the arrays stored by step, sorted."""
        return sorted(self._array_files())

    def array_steps(self, name: str) -> list[int]:
        """Return the steps at which an array was stored, ascending.

        Raises:
            UsageError: there is no such array.
        """
        files = self._array_files()
        if name not in files:
            raise unknown("array", name, files)
        return sorted(files[name])

    def array(self, name: str, step: int) -> dict[str, np.ndarray]:
        """Return the tensors stored under a name at a step.

        Raises:
            UsageError: there is no such array, or none at this step.
            StoreError: the file is damaged.
        """
        steps = self.array_steps(name)
        if step not in steps:
            near = min(steps, key=lambda other: abs(other - step))
            raise UsageError(f"the array {name!r} was not stored at step {step}: the nearest is step {near}.")
        return _tensors(self._array_files()[name][step])

    def references(self) -> list[str]:
        """Return the names of the run's reference arrays, sorted."""
        root = self.directory / "arrays" / "references"
        return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.safetensors"))

    def reference(self, name: str) -> dict[str, np.ndarray]:
        """Return the tensors of a reference array.

        Raises:
            UsageError: there is no such reference.
            StoreError: the file is damaged.
        """
        if name not in self.references():
            raise unknown("reference", name, self.references())
        return _tensors(self.directory / "arrays" / "references" / f"{safe_name(name, nested=True)}.safetensors")

    @property
    def checkpoints(self) -> CheckpointStore:
        """The checkpoints in this directory."""
        return CheckpointStore(self.directory)

    def whole(self) -> StoredRun:
        """Return a fork with the scalars its parent logged before it, from step 0 on; another run as it is."""
        return _Whole(self.directory) if (self.directory / HISTORY).is_file() else self

    def _array_files(self) -> dict[str, dict[int, Path]]:
        root = self.directory / "arrays"
        found: dict[str, dict[int, Path]] = {}
        for path in root.rglob("*.safetensors"):
            name = path.parent.relative_to(root).as_posix()
            if path.stem.isdecimal() and name.split("/")[0] not in ("references", "."):
                found.setdefault(name, {})[int(path.stem)] = path
        return found

    def _kept(self, name: str, make: Callable[[], Any]) -> Any:
        state = fingerprint(self.directory)
        if self._cache.get(name, (None, None))[0] != state:
            self._cache[name] = (state, make())
        return self._cache[name][1]

    def _columns(self) -> Columns:
        return self._kept("columns", lambda: load(self.directory))

    def _series(self) -> dict[tuple[str, str | None], Series]:
        return self._kept("series", lambda: _by_key(self._columns()))


class _Whole(StoredRun):
    """A fork whose log begins where its parent's does."""

    def _columns(self) -> Columns:
        history = self.directory / HISTORY
        return self._kept("columns", lambda: joined([from_lines([history]), load(self.directory)]))


def open_run(path: Path | str) -> StoredRun:
    """Return the run in a directory.

    Raises:
        StoreError: it is not a run directory, or its ``spec.json`` cannot be read.
    """
    run = StoredRun(Path(path))
    if not (run.directory / SPEC).is_file():
        raise StoreError(f"{path} is not a run (no {SPEC}): give the directory of a run.")
    _ = run.spec
    return run


def _pair(key: str, module: str | None) -> tuple[str, str | None]:
    return split_key(key) if module is None else (key, module)


def _by_key(columns: Columns) -> dict[tuple[str, str | None], Series]:
    codes: dict[tuple[str, str | None], int] = {}
    pairs = zip(columns.key, columns.module, strict=True)
    code = np.array([codes.setdefault(pair, len(codes)) for pair in pairs], dtype=np.int64)
    # the later row wins among equal versions: a back-fill stands after the live log
    order = np.lexsort((np.arange(code.size), columns.version, columns.step, code))
    code, step, value = code[order], columns.step[order], columns.value[order]
    last = np.ones(code.size, bool)
    last[:-1] = (code[1:] != code[:-1]) | (step[1:] != step[:-1])
    code, step, value = code[last], step[last], value[last]
    bounds = np.searchsorted(code, np.arange(len(codes) + 1))
    return {
        pair: (step[bounds[number] : bounds[number + 1]], value[bounds[number] : bounds[number + 1]])
        for pair, number in codes.items()
    }


def _document(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(read_bytes(path))
    except ValueError as error:
        raise StoreError(f"{path.name} in {path.parent} is not JSON: restore it from a copy.") from error
    if not isinstance(tree, dict):
        raise StoreError(f"{path.name} in {path.parent} is not a JSON object: restore it from a copy.")
    schema = tree.pop("schema", SCHEMA)
    if schema != SCHEMA:
        raise StoreError(
            f"{path.name} in {path.parent} has schema {schema!r}, and this grokscope reads {SCHEMA}: update grokscope."
        )
    return tree


def _tensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    try:
        return load_tensors(read_bytes(path))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is not a readable array file: {error}.") from error
