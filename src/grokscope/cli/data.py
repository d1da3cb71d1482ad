"""``grokscope data``: data files found, missing, and how to get them; ``grokscope data fetch``: gets them."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from grokscope.cli.output import Json, rows_document, table, write, write_json
from grokscope.errors import UsageError, unknown
from grokscope.report.text import bytes_text


def data(
    action: str | None = None,
    name: str | None = None,
    /,
    *,
    directory: Annotated[str | None, Parameter(help="data directory (default: GROKSCOPE_DATA)")] = None,
    verify: Annotated[bool, Parameter(negative="", help="compare checksums too")] = False,
    json: Json = False,
) -> None:
    """List the data sets that experiments can use, which of their files are here, and how to get the others.

    Args:
        action: fetch, to download the files of one data set that are missing, and check them.
        name: the data set to fetch.
    """
    if action is not None:
        _fetch(action, name, directory, json=json)
        return
    from grokscope.data import data_directory, inventory

    where = data_directory(directory)
    rows = inventory(where, verify=verify)
    if json:
        write_json({**rows_document("data", rows), "directory": None if where is None else str(where)})
        return
    write(f"data directory: {where}" if where else "no data directory: set GROKSCOPE_DATA, or pass --directory")
    write()
    table(("data set", "file", "status", "bytes"), [(r["dataset"], r["file"], r["status"], r["bytes"]) for r in rows])
    missing = {r["dataset"]: r["how"] for r in rows if r["status"] != "found"}
    for dataset, how in missing.items():
        write()
        write(f"{dataset}: {how}")


def _fetch(action: str, name: str | None, directory: str | None, *, json: bool) -> None:
    from grokscope.data.fetch import fetch, fetchable

    if action != "fetch":
        raise unknown("action of grokscope data", action, ["fetch"])
    if name is None:
        raise UsageError(f"name the data set to fetch: grokscope data fetch NAME, one of {', '.join(fetchable())}.")
    rows = fetch(name, directory, progress=_told if sys.stderr.isatty() else None)
    if json:
        write_json(rows_document("fetched", rows))
        return
    table(("file", "status", "path"), [(row["file"], row["status"], row["path"]) for row in rows])


def _told(file: str, received: int, total: int | None) -> None:
    share = "" if not total else f" of {bytes_text(total)} ({received / total:.0%})"
    end = "\n" if received == total else ""
    sys.stderr.write(f"\r{file}: {bytes_text(received)}{share}\x1b[K{end}")
    sys.stderr.flush()
