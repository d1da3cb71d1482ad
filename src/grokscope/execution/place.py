"""Where runs live: new directories, ones to go on with, ones that are finished; imports no torch."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from grokscope.errors import StoreError
from grokscope.execution.plan import document, stored_spec
from grokscope.spec import Spec
from grokscope.store import (
    ENDED,
    StoredRun,
    atomic_write,
    check_writable,
    existing_copies,
    group_directory,
    open_run,
    run_directory,
)

GROUP_FILE = "group.json"
TRANSIENT = ".transient"
"""How the names of arrays end that hindsight measures need until a run is sealed."""


@dataclass(frozen=True)
class Place:
    """The directories of a training: one a member, and the one that holds the checkpoints."""

    members: tuple[Path, ...]
    checkpoints: Path
    state: Literal["new", "begun", "finished"]


def find_place(specs: Sequence[Spec], root: Path, *, fresh: bool = False) -> Place:
    """Return where a training goes, or where it already is.

    A stored training is gone on with, or found finished, if its specs are these to the letter (labels
    apart); otherwise, or with ``fresh``, the next free copy is used and nothing is overwritten.

    Raises:
        StoreError: ``root`` cannot be written.
    """
    check_writable(root)
    copies = [_copies(spec, root) for spec in specs]
    highest = max((copy for found in copies for copy in found), default=0)
    if not fresh:
        for copy in sorted({copy for found in copies for copy in found}, reverse=True):
            members = [found.get(copy) for found in copies]
            # a group that was killed while its directories were made lacks some, and gets them now
            if all(path is None or _same(path, spec) for path, spec in zip(members, specs, strict=True)):
                done = all(path is not None and open_run(path).status in ENDED for path in members)
                return _place(specs, root, copy, "finished" if done else "begun")
    return _place(specs, root, highest + 1, "new")


def _copies(spec: Spec, root: Path) -> dict[int, Path]:
    paths = existing_copies(root, spec.paper, spec.experiment, spec.scale, spec.seed.base, spec.training_id)
    first = run_directory(root, spec.paper, spec.experiment, spec.scale, spec.seed.base, spec.training_id).name
    return {int(path.name[len(first) + 1 :] or 1): path for path in paths}


def _same(path: Path, spec: Spec) -> bool:
    wanted = json.loads(json.dumps(document(spec)))
    return open_run(path).spec == {key: value for key, value in wanted.items() if key != "schema"}


def _place(specs: Sequence[Spec], root: Path, copy: int, state: Any) -> Place:
    members = tuple(
        run_directory(root, s.paper, s.experiment, s.scale, s.seed.base, s.training_id, copy) for s in specs
    )
    group = specs[0].group
    if group is None:
        return Place(members, members[0], state)
    return Place(members, group_directory(root, group if copy == 1 else f"{group}.{copy}"), state)


def write_group(place: Place, root: Path) -> None:
    """Write down which runs are trained together, so that any of them can be resumed."""
    if place.checkpoints in place.members:
        return
    place.checkpoints.mkdir(parents=True, exist_ok=True)
    names = [os.path.relpath(path, root) for path in place.members]
    text = json.dumps({"schema": 1, "members": names}, indent=1)
    atomic_write(place.checkpoints / GROUP_FILE, text.encode())


def group_of(run: StoredRun) -> Path | None:
    """Return the directory of the ensemble a run was trained in, whether it is there or not; None if in none."""
    group = run.spec.get("group")
    if group is None:
        return None
    directory = run.directory.resolve()
    copy = re.fullmatch(r".*-[0-9a-f]{8}(\.\d+)?", directory.name)
    return group_directory(directory.parents[2], f"{group}{(copy[1] if copy else None) or ''}")


def place_of(run: StoredRun) -> tuple[list[Spec], Place, Path]:
    """Return (specs, place, root) of the training a stored run belongs to, its whole group if it has one.

    Raises:
        StoreError: the group's file, or one of its members, is missing.
    """
    directory = run.directory.resolve()
    # a monitored run lies where its author wants it
    root = directory.parents[min(2, len(directory.parents) - 1)]
    spec = stored_spec(run)
    if spec.group is None:
        members = [directory]
        checkpoints = directory
    else:
        checkpoints = group_of(run) or directory
        try:
            names = json.loads((checkpoints / GROUP_FILE).read_text())["members"]
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(
                f"{run.directory} was trained in an ensemble whose {checkpoints / GROUP_FILE} cannot be read: "
                "restore that folder, or run the experiment anew."
            ) from error
        members = [root / name for name in names]
    runs = [open_run(path) for path in members]
    done = all(one.status in ENDED for one in runs)
    state: Any = "finished" if done else "begun"
    return [stored_spec(one) for one in runs], Place(tuple(members), checkpoints, state), root


def environment() -> dict[str, Any]:
    """Return versions and machine, as far as they are known without loading torch."""
    versions = {}
    for package in ("grokscope", "torch", "numpy", "safetensors", "duckdb", "pandas", "plotly"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "schema": 1,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "versions": versions,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }
