"""Questions across runs."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grokscope.errors import GrokscopeError, StoreError
from grokscope.store.columns import (
    SCALARS,
    TYPED,
    Columns,
    connect,
    load,
    register,
    sealed_file,
    split_key,
    unmasked,
)
from grokscope.store.jsonl import last_line
from grokscope.store.layout import find_runs
from grokscope.store.reader import StoredRun, open_run

_NAMES = ("paper", "experiment", "scale", "seed", "status", "steps", "wall_seconds", "training_id")


def runs_table(root: Path | str, pattern: str | None = None) -> list[dict[str, Any]]:
    """Return one row for each run below ``root``, sorted by directory.

    Args:
        root: parent of runs.
        pattern: keep runs whose ``paper/experiment/scale`` or directory name contains this text or
            matches it as a shell pattern (``nanda2023/*/cpu``).

    Returns:
        Rows ``run_dir``, ``paper``, ``experiment``, ``scale``, ``seed``, ``status``, ``steps``,
        ``wall_seconds``, ``training_id``; a run that cannot be read has the status ``unreadable``,
        the names its directory tells, and a ``problem``.
    """
    rows: list[dict[str, Any]] = []
    for directory in find_runs(root):
        try:
            row = _row(directory)
        except GrokscopeError as error:
            row = {
                "run_dir": str(directory),
                **dict.fromkeys(_NAMES),
                "status": "unreadable",
                "problem": str(error),
            }
            row["paper"], row["experiment"] = directory.parent.parent.name, directory.parent.name
            row["scale"] = directory.name.rsplit("-s", 1)[0]
        if pattern is None or _matches(pattern, f"{row['paper']}/{row['experiment']}/{row['scale']}", directory.name):
            rows.append(row)
    return rows


def _row(directory: Path) -> dict[str, Any]:
    run = open_run(directory)
    spec = run.spec
    seed = spec.get("seed")
    return {
        "run_dir": str(directory),
        "paper": spec.get("paper"),
        "experiment": spec.get("experiment"),
        "scale": spec.get("scale"),
        "seed": seed.get("base") if isinstance(seed, dict) else seed,
        "status": run.status,
        "steps": _last_step(run),
        "wall_seconds": run.wall_seconds,
        "training_id": spec.get("training_id"),
    }


def _last_step(run: StoredRun) -> int | None:
    # the live log is in the order of steps: its end tells, and a table need not read whole logs
    try:
        last = last_line(run.directory / SCALARS)
    except OSError as error:
        raise StoreError(f"could not read {SCALARS} in {run.directory}: {error.strerror}.") from error
    return int(last["step"]) if last is not None and "step" in last else run.last_step


def _matches(pattern: str, *texts: str) -> bool:
    return any(pattern in text or fnmatch.fnmatchcase(text, pattern) for text in texts)


def scalars_of(directories: Sequence[Path | str], keys: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return the rows of some keys in several runs, sealed or not, as columns.

    Args:
        directories: run directories.
        keys: flat keys; one without ``@`` means all its modules; none at all means every row. Runs
            without a key have no rows of it.

    Returns:
        ``run`` (the directory as it was given, str), ``step``, ``key``, ``module``, ``value``,
        ``version``, each of shape (rows,): every version of every row, ordered by run as given,
        key, module (none first), step, version.

    Raises:
        StoreError: a directory is not a run or its log is broken.
    """
    wanted = [split_key(key) for key in keys]
    with connect() as connection:
        parts: list[str] = []
        values: list[Any] = []
        for number, directory in enumerate(directories):
            run = open_run(directory)
            source, value = _source(connection, number, run)
            parts.append(f"SELECT {number} AS number, ?::VARCHAR AS run, * FROM ({source})")
            values += [str(directory), *value]
        if not parts:
            return {"run": np.array([], dtype=object), **_no_rows().as_dict()}
        chosen = " OR ".join("(key = ? AND (?::VARCHAR IS NULL OR module = ?))" for _ in wanted)
        for key, module in wanted:
            values += [key, module, module]
        query = (
            f"SELECT run, step, key, module, value, version FROM ({' UNION ALL '.join(parts)}) "
            f"{'WHERE ' + chosen if chosen else ''} "
            "ORDER BY number, key, module NULLS FIRST, step, version"
        )
        return unmasked(connection.execute(query, values).fetchnumpy())


def _source(connection: Any, number: int, run: StoredRun) -> tuple[str, list[str]]:
    """Return the SQL that gives a run's rows: DuckDB's own reader where it can, else our columns."""
    import duckdb

    sealed = sealed_file(run.directory)
    if sealed is not None and not any(char in str(sealed) for char in "*?["):  # DuckDB reads those as patterns
        query = "SELECT step, key, module, value, version FROM read_parquet(?)"
        try:
            connection.execute(f"{query} LIMIT 0", [str(sealed)])
        except duckdb.Error:  # damaged; load() below falls back to the JSON lines or says so
            pass
        else:
            return query, [str(sealed)]
    register(connection, f"log{number}", load(run.directory))
    return f"{TYPED} log{number}", []


def _no_rows() -> Columns:
    empty = np.array([], dtype=object)
    return Columns(np.array([], np.int64), empty, empty, np.array([], np.float64), np.array([], np.int32))
