"""Sealing: the log of a run as one Parquet file beside its JSON lines."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from grokscope.errors import StoreError
from grokscope.store.columns import SEALED, TYPED, connect, from_lines, log_files, register
from grokscope.store.files import sync, temporary_name, translated


def seal(directory: Path | str) -> Path:
    """Write ``scalars.parquet`` from the live log and all back-fills, at once; the JSON lines stay.

    Columns: step BIGINT, key VARCHAR, module VARCHAR, value DOUBLE (NaN and infinities as IEEE),
    version INTEGER; rows in the order of the log. Readers prefer it until the log changes again.

    Returns:
        The Parquet file.

    Raises:
        StoreError: the log is broken, or the file cannot be written.
    """
    import duckdb

    directory = Path(directory)
    if not directory.is_dir():
        raise StoreError(f"{directory} is not a directory: give the directory of a run.")
    path = directory / SEALED
    temporary = temporary_name(path)
    columns = from_lines(log_files(directory))
    try:
        with connect() as connection:
            register(connection, "log", columns)
            connection.execute(f"COPY ({TYPED} log) TO ? (FORMAT parquet)", [str(temporary)])
        sync(temporary)
        with translated(path):
            os.replace(temporary, path)
        sync(directory)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        if "No space left" in reason or "quota" in reason.lower():
            raise StoreError(
                f"the disk is full: could not write {SEALED} in {directory}; free some space and seal again."
            ) from error
        raise StoreError(f"could not write {SEALED} in {directory}: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path
