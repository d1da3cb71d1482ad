"""The numbers of runs as one table, long or wide, in CSV or Parquet."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from grokscope.errors import StoreError, UsageError, unknown
from grokscope.store.columns import TYPED, connect, load, register, split_key
from grokscope.store.files import sync, temporary_name, translated
from grokscope.store.reader import StoredRun

Format = Literal["csv", "parquet"]
LABELS = ("run", "paper", "experiment", "scale", "seed")
LONG = ("step", "key", "module", "value", "version")
RESERVED = (*LABELS, *LONG)


def export_rows(runs: Sequence[StoredRun], *, keys: Sequence[str] = (), wide: bool = False) -> list[dict[str, Any]]:
    """Return the table of :func:`export_file` as a list of rows.

    Raises:
        UsageError: no run has a key that was asked for.
        StoreError: a log is broken.
    """
    with _table(runs, keys, wide) as (connection, query):
        found = connection.execute(query)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def export_file(
    runs: Sequence[StoredRun],
    path: Path,
    *,
    form: Format,
    keys: Sequence[str] = (),
    wide: bool = False,
) -> int:
    """Write the numbers of runs to a file, at once, and return how many rows it has.

    Long: step, key, module, value, version, a row a number, in the order of run, key, module, step and
    version; the row that a reader takes where one was recorded twice. Wide: step, and a column a flat
    key with the value of its highest version. Of several runs each row begins with run, paper,
    experiment, scale and seed. Numbers that are not finite are ``nan``, ``inf`` and ``-inf``; in a wide
    table a cell is empty where nothing was measured.

    Args:
        runs: the runs, at least one.
        path: the file to write; an existing one is replaced.
        form: csv or parquet.
        keys: flat keys; one without ``@`` means all its modules; none means every key.
        wide: a column a key instead of a row a number.

    Raises:
        UsageError: no run has a key that was asked for.
        StoreError: a log is broken, or the file cannot be written.
    """
    import duckdb

    temporary = temporary_name(path)
    options = "FORMAT csv, HEADER" if form == "csv" else "FORMAT parquet"
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _table(runs, keys, wide) as (connection, query):
            connection.execute(f"CREATE TEMP TABLE result AS {query}")
            counted = connection.execute("SELECT count(*) FROM result").fetchone()
            connection.execute(f"COPY result TO ? ({options})", [str(temporary)])
        sync(temporary)
        with translated(path):
            os.replace(temporary, path)
    except duckdb.Error as error:
        raise StoreError(f"could not write {path.name} in {path.parent}: {str(error).splitlines()[0]}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return int(counted[0]) if counted else 0


@contextlib.contextmanager
def _table(runs: Sequence[StoredRun], keys: Sequence[str], wide: bool) -> Iterator[tuple[Any, str]]:
    """Within the context, a connection and the query that gives the table."""
    if not runs:
        raise UsageError("name at least one run directory; grokscope runs lists them.")
    known = {key for run in runs for key in run.keys()}  # noqa: SIM118 (a run is no mapping)
    bare = {split_key(key)[0] for key in known}
    for key in keys:
        if key not in known and key not in bare:
            raise unknown("key", key, known | bare)
    with connect() as connection:
        parts = [_source(connection, number, run) for number, run in enumerate(runs)]
        rows = f"SELECT * FROM ({' UNION ALL '.join(parts)}) {_chosen(keys)}"
        labels = ", ".join(LABELS) + ", " if len(runs) > 1 else ""
        if wide:
            yield connection, _wide(connection, rows, labels)
        else:
            # of equal versions the row that stands later counts: back-fills come after the live log
            last = "row_number() OVER (PARTITION BY number, step, key, module, version ORDER BY place DESC) = 1"
            order = "ORDER BY number, key, module NULLS FIRST, step, version"
            yield connection, f"SELECT {labels}{', '.join(LONG)} FROM ({rows}) QUALIFY {last} {order}"


def _source(connection: Any, number: int, run: StoredRun) -> str:
    columns = load(run.directory)
    register(connection, f"log{number}", columns)
    spec = run.spec
    seed = spec.get("seed")
    base = seed.get("base") if isinstance(seed, dict) else seed
    told = (str(run.directory), spec.get("paper"), spec.get("experiment"), spec.get("scale"))
    texts = ", ".join(f"{_quoted(value)} AS {name}" for name, value in zip(LABELS, told, strict=False))
    seed_text = f"{int(base)}::BIGINT" if isinstance(base, int) else "NULL::BIGINT"
    place = "row_number() OVER () AS place"  # rows of a registered table come in its order
    return f"SELECT {number} AS number, {texts}, {seed_text} AS seed, {place}, * FROM ({TYPED} log{number})"


def _chosen(keys: Sequence[str]) -> str:
    if not keys:
        return ""
    parts = []
    for key, module in map(split_key, keys):
        also = "" if module is None else f" AND module = {_quoted(module)}"
        parts.append(f"(key = {_quoted(key)}{also})")
    return f"WHERE {' OR '.join(parts)}"


def _wide(connection: Any, rows: str, labels: str) -> str:
    flat = "CASE WHEN module IS NULL THEN key ELSE key || '@' || module END"
    last = "row_number() OVER (PARTITION BY number, step, key, module ORDER BY version DESC, place DESC) = 1"
    connection.execute(f"CREATE TEMP TABLE flat AS SELECT *, {flat} AS flat FROM ({rows}) QUALIFY {last}")
    names = [row[0] for row in connection.execute("SELECT DISTINCT flat FROM flat ORDER BY flat").fetchall()]
    cells = "".join(
        f", max(value) FILTER (flat = {_quoted(name)}) AS {_column(name if name not in RESERVED else f'{name}_')}"
        for name in names
    )
    return f"SELECT {labels}step{cells} FROM flat GROUP BY number, {labels}step ORDER BY number, step"


def _quoted(text: Any) -> str:
    return "NULL::VARCHAR" if text is None else "'" + str(text).replace("'", "''") + "'"


def _column(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
