"""Deletes stored runs: only those found below the root, none that is being written, no link followed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokscope.errors import GrokscopeError, StoreError, UsageError
from grokscope.execution.place import GROUP_FILE, group_of
from grokscope.store import DirectoryLock, StoredRun, find_runs, is_locked, runs_table
from grokscope.store.files import translated
from grokscope.store.layout import SPEC

_ASIDE = (".", ".deleted")
"""How the name of a folder begins and ends that is on its way out."""


@dataclass(frozen=True)
class Doomed:
    """A run that a filter names: its row of the store's table, its size, and its ensemble's checkpoints if any."""

    directory: Path
    row: dict[str, Any]
    bytes: int
    locked: bool
    group: Path | None = None


@dataclass(frozen=True)
class Deleted:
    """What became of a run: ``reason`` says why it was kept; ``group`` is the folder that went with it."""

    directory: Path
    bytes: int
    reason: str | None = None
    group: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {
            "run_dir": str(self.directory),
            "bytes": self.bytes,
            "deleted": self.reason is None,
            "reason": self.reason,
            "group": None if self.group is None else str(self.group),
        }


def named(root: Path, filters: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of the runs below ``root`` that any of the filters names, each once, by directory.

    A filter is part of a name or a shell pattern (:func:`grokscope.store.runs_table`), or the path of a
    directory at or below which runs lie.

    Raises:
        UsageError: a filter is the path of a directory that is not below ``root``.
    """
    chosen: dict[str, dict[str, Any]] = {}
    everything = {row["run_dir"]: row for row in runs_table(root)}
    for text in filters:
        place = Path(text).resolve()
        is_path = os.sep in text and place.is_dir()
        if is_path and place.is_relative_to(root.resolve()):
            # only what the walk below the root has found: no link leads out of it
            chosen |= {name: row for name, row in everything.items() if Path(name).resolve().is_relative_to(place)}
            continue
        rows = runs_table(root, text)
        if is_path and not rows:
            raise UsageError(f"{text} is not below {root}: name its parent directory of runs with --out.")
        chosen |= {row["run_dir"]: row for row in rows}
    return [chosen[name] for name in sorted(chosen)]


def doomed(root: Path, filters: Sequence[str]) -> list[Doomed]:
    """Return what the filters name, with what each would take along; nothing is deleted.

    Raises:
        UsageError: no filter, or ``root`` is itself a run.
    """
    if not filters:
        raise UsageError("name what to delete: part of a name, a pattern such as 'nanda2023/*/smoke', or '*' for all.")
    if [path.resolve() for path in find_runs(root)] == [root.resolve()]:
        raise UsageError(f"{root} is itself a run: give the parent directory of all runs with --out.")
    found = []
    for row in named(root, filters):
        directory = Path(row["run_dir"])
        found.append(Doomed(directory, row, size(directory), is_locked(directory), _group(root, directory)))
    return found


def delete(root: Path, runs: Sequence[Doomed], *, tell: Callable[[str], None] = lambda text: None) -> list[Deleted]:
    """Delete runs, an ensemble's checkpoints with its last member, and folders that this leaves empty.

    A run that is being written, or that cannot be removed, is kept and says why. First it removes what an
    earlier deletion left that was killed, and ``tell`` is told of each in a sentence.
    """
    for left in leftovers(root):
        try:
            _check(root, left)
            if _erased(left) if _is_aside(left.name) else _removed(left):
                tell(f"removed {left}, left by a deletion that was killed")
            _tidy(root, left.parent)
        except GrokscopeError as error:
            tell(str(error))
    return [_delete(root, run) for run in runs]


def leftovers(root: Path) -> list[Path]:
    """Return what a killed deletion leaves below ``root``: folders renamed aside, and ensembles without members.

    No link is followed, and nothing inside a run is looked at.
    """
    found: list[Path] = []
    for place, names, files in os.walk(root):
        if SPEC in files:
            names.clear()
            continue
        here = Path(place)
        folders = [name for name in names if not (here / name).is_symlink()]
        found += [here / name for name in folders if _is_aside(name)]
        names[:] = [name for name in folders if not name.startswith(".")]
        if here.name == "groups":
            lost = [name for name in names if not _members_left(here / name)]
            found += [here / name for name in lost]
            names[:] = [name for name in names if name not in lost]
    return sorted(found)


def _is_aside(name: str) -> bool:
    begin, end = _ASIDE
    return name.startswith(begin) and name.endswith(end)


def _delete(root: Path, run: Doomed) -> Deleted:
    directory = run.directory
    try:
        _check(root, directory)
        with DirectoryLock(directory):
            _removed(directory)
    except GrokscopeError as error:
        if os.path.lexists(directory):
            return Deleted(directory, run.bytes, reason=str(error))
        # another process that deletes it came first, and may have been killed before its group
    group = None
    _tidy(root, directory.parent)
    try:
        if run.group is not None and not _members_left(run.group):
            _check(root, run.group)
            group = run.group if _removed(run.group) else None
            _tidy(root, run.group.parent)
    except GrokscopeError as error:
        return Deleted(directory, run.bytes, reason=f"it is gone, and what it leaves is not: {error}")
    return Deleted(directory, run.bytes, group=group)


def size(directory: Path) -> int:
    """Return the bytes of the files below a directory; links count as themselves."""
    total = 0
    for place, _, files in os.walk(directory):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _group(root: Path, directory: Path) -> Path | None:
    try:
        group = group_of(StoredRun(directory))
    except GrokscopeError:
        return None  # unreadable: nothing is known of an ensemble
    inside = group is not None and group.is_dir() and group.resolve().is_relative_to(root.resolve())
    return group if inside else None


def _members_left(group: Path) -> bool:
    """Tell whether a member of an ensemble is still there; one whose list cannot be read may be."""
    try:
        names = json.loads((group / GROUP_FILE).read_text())["members"]
    except (OSError, ValueError, KeyError, TypeError):
        return True
    return any(os.path.lexists(group.parents[1] / str(name)) for name in names)


def _check(root: Path, directory: Path) -> None:
    real = directory.resolve()
    if directory.is_symlink() or real == root.resolve() or not real.is_relative_to(root.resolve()):
        raise StoreError(f"{directory} leads out of {root}: remove it by hand.")


def _removed(directory: Path) -> bool:
    """Remove a folder; return False if another process has taken it."""
    # out of the way at once, so that a process killed half way leaves no half run under the name
    aside = directory.with_name(directory.name.join(_ASIDE))
    _erased(aside)
    with translated(directory):
        try:
            os.rename(directory, aside)
        except FileNotFoundError:
            return False
    _erased(aside)
    return True


def _erased(directory: Path) -> bool:
    """Remove a folder with all that is in it, which another process may be removing too; False if it was not there."""
    there = False
    with translated(directory):
        while os.path.lexists(directory):
            there = True
            # what vanishes under its hands was removed by another: it looks again at what is left
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(directory)
    return there


def _tidy(root: Path, folder: Path) -> None:
    """Remove empty folders from here up to the root, which stays."""
    while folder.resolve() != root.resolve() and folder.resolve().is_relative_to(root.resolve()):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
