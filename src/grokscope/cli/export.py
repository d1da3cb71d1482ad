"""``grokscope export``: stored numbers, out of the store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from grokscope.cli.output import Json, rows_document, words, write_json
from grokscope.errors import UsageError


def export(
    *runs: str,
    csv: Annotated[bool, Parameter(negative="", help="comma-separated values; to stdout without --out")] = False,
    parquet: Annotated[bool, Parameter(negative="", help="a Parquet file; needs --out")] = False,
    out: Annotated[str | None, Parameter(help="the file to write")] = None,
    keys: Annotated[
        list[str] | None, Parameter(negative="", help="these keys only, as in test/loss,test/accuracy")
    ] = None,
    wide: Annotated[bool, Parameter(negative="", help="a column a key instead of a row a number")] = False,
    force: Annotated[bool, Parameter(negative="", help="replace a file that is there")] = False,
    json: Json = False,
) -> int:
    """Write the numbers of runs as one table: step, key, module, value, version; several runs with their names.

    With --json alone the rows are the document; with --out it says what was written.

    Args:
        runs: run directories, or directories that hold runs.
    """
    from grokscope.store import open_run, runs_at
    from grokscope.store.export import export_rows

    if not runs:
        raise UsageError("name at least one run directory; grokscope runs lists them.")
    if csv and parquet:
        raise UsageError("--csv and --parquet are two files: give one of them.")
    if not (csv or parquet or json):
        raise UsageError("say what to write: --csv, or --parquet with --out FILE.")
    if parquet and out is None:
        raise UsageError("Parquet is not for a terminal: say where to write it with --out FILE.")
    if csv and json and out is None:
        raise UsageError("--csv and --json would both go to stdout: give one of them, or --out FILE.")
    if out is not None and not (csv or parquet):
        raise UsageError(f"say what to write to {out}: --csv or --parquet.")
    found = []
    for place in runs:
        below = runs_at(place)
        found += [open_run(path) for path in below if path.resolve() not in {one.directory.resolve() for one in found}]
    chosen = words(keys or ())
    if out is None and not csv:
        write_json(rows_document("scalars", export_rows(found, keys=chosen, wide=wide)))
        return 0
    if out is None:
        _to_stdout(found, chosen, wide=wide)
        return 0
    path = Path(out)
    count = _to_file(found, path, chosen, parquet=parquet, wide=wide, force=force)
    document = {
        "schema": 1,
        "kind": "export",
        "file": str(path),
        "rows": count,
        "runs": [str(r.directory) for r in found],
    }
    if json:
        write_json(document)
    else:
        sys.stderr.write(f"{count} rows of {len(found)} run{'s' * (len(found) > 1)} written to {path}\n")
    return 0


def _to_file(found: list, path: Path, keys: list[str], *, parquet: bool, wide: bool, force: bool) -> int:
    from grokscope.store.export import export_file

    if path.is_dir():
        raise UsageError(f"{path} is a directory: name a file in it.")
    if path.exists() and not force:
        raise UsageError(f"{path} is there already: choose another name, or replace it with --force.")
    return export_file(found, path, form="parquet" if parquet else "csv", keys=keys, wide=wide)


def _to_stdout(found: list, keys: list[str], *, wide: bool) -> None:
    import shutil
    import tempfile

    from grokscope.store.export import export_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        export_file(found, path, form="csv", keys=keys, wide=wide)
        with path.open(encoding="utf-8", newline="") as file:
            shutil.copyfileobj(file, sys.stdout)
