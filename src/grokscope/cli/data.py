"""``grokscope data``: data files found, missing, and how to get them."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from grokscope.cli.output import Json, rows_document, table, write, write_json


def data(
    *,
    directory: Annotated[str | None, Parameter(help="data directory (default: GROKSCOPE_DATA)")] = None,
    verify: Annotated[bool, Parameter(negative="", help="compare checksums too")] = False,
    json: Json = False,
) -> None:
    """List the data sets that experiments can use, which of their files are here, and how to get the others."""
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
    for name, how in missing.items():
        write()
        write(f"{name}: {how}")
