"""The scalar log of a run as columns, from its JSON lines or its sealed Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.errors import StoreError
from grokscope.store.jsonl import decode_value, read_lines

if TYPE_CHECKING:
    import duckdb

SCALARS = "scalars.jsonl"
SEALED = "scalars.parquet"

# DuckDB takes a NaN of numpy for NULL, so where the NaNs are is said in a column of its own.
TYPED = """SELECT step::BIGINT AS step, key::VARCHAR AS key, module::VARCHAR AS module,
    CASE WHEN is_nan THEN 'nan'::DOUBLE ELSE value END AS value, version::INTEGER AS version FROM """


@dataclass(frozen=True)
class Columns:
    """Rows of scalars, every version of them, as arrays of shape (rows,).

    ``step`` int64, ``key`` str objects, ``module`` str or None objects, ``value`` float64,
    ``version`` int32.
    """

    step: np.ndarray
    key: np.ndarray
    module: np.ndarray
    value: np.ndarray
    version: np.ndarray

    def as_dict(self) -> dict[str, np.ndarray]:
        """Return the columns by name."""
        return {name: getattr(self, name) for name in ("step", "key", "module", "value", "version")}


def joined(parts: Sequence[Columns]) -> Columns:
    """Return the rows of several logs, one after another."""
    columns = [part.as_dict() for part in parts]
    return Columns(**{name: np.concatenate([one[name] for one in columns]) for name in columns[0]})


def flat_key(key: str, module: str | None) -> str:
    """Return ``key`` or ``key@module``.

    Example:
        >>> flat_key("norms/l2", "embed.weight")
        'norms/l2@embed.weight'
    """
    return key if module is None else f"{key}@{module}"


def split_key(flat: str) -> tuple[str, str | None]:
    """Return key and module of a flat key.

    Example:
        >>> split_key("norms/l2@embed.weight"), split_key("test/loss")
        (('norms/l2', 'embed.weight'), ('test/loss', None))
    """
    key, at, module = flat.partition("@")
    return key, module if at else None


def log_files(directory: Path) -> list[Path]:
    """Return the files of JSON lines that make up the log: the live one, then the back-fills by name."""
    live = directory / SCALARS
    return [path for path in (live, *sorted(directory.glob("backfill-*.jsonl"))) if path.is_file()]


def fingerprint(directory: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Return what changes whenever the log changes: name, inode, mtime (ns) and size of its files."""
    found: list[tuple[str, int, int, int]] = []
    for path in (*log_files(directory), directory / SEALED):
        if path.is_file():
            facts = path.stat()
            found.append((path.name, facts.st_ino, facts.st_mtime_ns, facts.st_size))
    return tuple(found)


def sealed_file(directory: Path) -> Path | None:
    """Return the Parquet file if it says all that the JSON lines say, else None."""
    sealed = directory / SEALED
    if not sealed.is_file():
        return None
    since = sealed.stat().st_mtime_ns
    return sealed if all(path.stat().st_mtime_ns <= since for path in log_files(directory)) else None


def from_lines(paths: list[Path]) -> Columns:
    """Return the rows of files of JSON lines; torn last lines are skipped.

    Raises:
        StoreError: a line is broken or is not a row of scalars.
    """
    step: list[int] = []
    key: list[str] = []
    module: list[str | None] = []
    value: list[float] = []
    version: list[int] = []
    for path in paths:
        for number, row in enumerate(read_lines(path), start=1):
            try:
                step.append(int(row["step"]))
                key.append(row["key"])
                module.append(row["module"])
                value.append(decode_value(row["value"]))
                version.append(int(row["version"]))
            except (KeyError, TypeError, ValueError, StoreError) as error:
                raise StoreError(
                    f"line {number} of {path} is not a row of scalars (step, key, module, value, version)."
                ) from error
    return Columns(
        np.array(step, dtype=np.int64),
        np.array(key, dtype=object),
        np.array(module, dtype=object),
        np.array(value, dtype=np.float64),
        np.array(version, dtype=np.int32),
    )


def unmasked(fetched: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return DuckDB's numpy columns without masks: NULL text becomes None."""
    result: dict[str, np.ndarray] = {}
    for name, column in fetched.items():
        data = np.array(np.ma.getdata(column))
        if data.dtype == object:
            data[np.ma.getmaskarray(column)] = None
        result[name] = data
    return result


def from_parquet(path: Path) -> Columns:
    """Return the rows of a sealed file.

    Raises:
        StoreError: it is not a Parquet file with the five columns.
    """
    import duckdb

    try:
        with connect() as connection:
            query = "SELECT step, key, module, value, version FROM read_parquet(?)"
            fetched = connection.execute(query, [str(path)]).fetchnumpy()
    except duckdb.Error as error:
        raise StoreError(f"{path} is not a readable log: remove it and the JSON lines are read.") from error
    return Columns(**unmasked(fetched))


def load(directory: Path) -> Columns:
    """Return all rows of a run, whether it is sealed, finished or being written.

    Raises:
        StoreError: the log is broken.
    """
    sealed = sealed_file(directory)
    paths = log_files(directory)
    if sealed is not None:
        try:
            return from_parquet(sealed)
        except StoreError:
            if not paths:
                raise
    return from_lines(paths)


def connect() -> duckdb.DuckDBPyConnection:
    """Return an empty DuckDB in memory that never looks for extensions on the network."""
    import duckdb

    return duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})


def register(connection: duckdb.DuckDBPyConnection, name: str, columns: Columns) -> None:
    """Make columns known to DuckDB as a table to be read through :data:`TYPED`."""
    connection.register(name, {**columns.as_dict(), "is_nan": np.isnan(columns.value)})
