"""Where runs lie: ``<root>/<paper>/<experiment>/<scale>-s<seed>-<identity, 8 digits>``."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from grokscope.errors import StoreError, UsageError
from grokscope.store.files import failure, safe_name

SCHEMA = 1
"""Version of the directory and of every file in it, as ``SCHEMA.md`` describes them."""

SPEC = "spec.json"
HISTORY = "inputs/history.jsonl"
"""Where a fork keeps what its parent logged before it."""
STATE = "inputs/state.safetensors"
"""Where a fork keeps the state it begins from."""
_SHOWN = 3


def default_root() -> Path:
    """Return the directory of all runs: ``GROKSCOPE_RUNS`` where set, else ``./runs``."""
    return Path(os.environ.get("GROKSCOPE_RUNS") or "runs")


def run_directory(
    root: Path | str, paper: str, experiment: str, scale: str, seed: int, identity: str, copy: int = 1
) -> Path:
    """Return the directory of a run; repetitions of the same run are told apart by ``copy``.

    Args:
        root: parent of all runs.
        paper: id of the paper, or the owner of the experiment.
        experiment: name without the paper.
        scale: name of the scale.
        seed: base seed.
        identity: hexadecimal training id; its first 8 digits are used.
        copy: 1 for the first, 2, 3, … for fresh repetitions (suffix ``.2``, ``.3``).

    Raises:
        UsageError: a name cannot be part of a path, or ``copy`` is below 1.

    Example:
        >>> run_directory("runs", "a", "b", "cpu", 0, "0123456789", 2).as_posix()
        'runs/a/b/cpu-s0-01234567.2'
    """
    if copy < 1:
        raise UsageError(f"copy = {copy}: copies of a run count from 1.")
    suffix = "" if copy == 1 else f".{copy}"
    name = safe_name(f"{scale}-s{seed}-{identity[:8]}{suffix}")
    return Path(root) / safe_name(paper) / safe_name(experiment) / name


def existing_copies(root: Path | str, paper: str, experiment: str, scale: str, seed: int, identity: str) -> list[Path]:
    """Return the stored runs of this identity, in the order of their copies."""
    first = run_directory(root, paper, experiment, scale, seed, identity)
    named = re.compile(re.escape(first.name) + r"(?:\.(\d+))?")
    copies = {
        int(match[1] or 1): spec.parent
        for spec in first.parent.glob(f"*/{SPEC}")
        if (match := named.fullmatch(spec.parent.name))
    }
    return [copies[copy] for copy in sorted(copies)]


def group_directory(root: Path | str, group_id: str) -> Path:
    """Return the directory of an ensemble's stacked checkpoints: ``<root>/groups/<group_id>``."""
    return Path(root) / "groups" / safe_name(group_id)


def find_runs(root: Path | str) -> list[Path]:
    """Return every directory at or below ``root`` that holds a ``spec.json``, sorted; groups are left out."""
    root = Path(root)
    found: list[Path] = []
    for place, names, files in os.walk(root):
        here = Path(place)
        if SPEC in files:
            found.append(here)
            names.clear()  # nothing below a run is a run
            continue
        names[:] = [name for name in names if not name.startswith(".")]
        if here == root and "groups" in names:
            names.remove("groups")
    return sorted(found)


def runs_at(path: Path | str) -> list[Path]:
    """Return the runs at or below a directory, at least one.

    Raises:
        UsageError: there is nothing at the path.
        StoreError: it is no directory, or there is no run below it.
    """
    path = Path(path)
    if not os.path.lexists(path):
        raise UsageError(f"there is no {path}: give the directory of a run; grokscope runs lists them.")
    if not os.path.isdir(path):
        raise StoreError(f"{path} is not a directory: give the directory of a run.")
    runs = find_runs(path)
    if not runs:
        raise StoreError(f"{path} holds no run (no {SPEC} in or below it): give the directory of a run.")
    return runs


def resolve_run(path: Path | str) -> Path:
    """Return the run that a path means: a run directory, or a directory with exactly one run below it.

    Raises:
        UsageError: there is nothing at the path.
        StoreError: there is no run below it, or several.
    """
    path = Path(path)
    runs = runs_at(path)
    if len(runs) > 1:
        shown = ", ".join(str(run.relative_to(path)) for run in runs[:_SHOWN])
        more = ", …" if len(runs) > _SHOWN else ""
        raise StoreError(f"{path} holds {len(runs)} runs: give one of them ({shown}{more}).")
    return runs[0]


def check_writable(root: Path | str) -> None:
    """Make sure that runs can be written below ``root``, by writing a nameless file where that begins.

    Raises:
        StoreError: the directory, or its nearest existing parent, cannot be written.
    """
    place = Path(root)
    while not os.path.exists(place) and place != place.parent:
        place = place.parent
    if not os.path.isdir(place):
        raise StoreError(f"{place} is a file: choose another directory for {root}.")
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"grokscope")
    except OSError as error:
        raise failure(error, Path(root)) from error
