"""``grokscope runs``: the store, and what is to go from it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from grokscope.cli.output import Json, Out, rows_document, table, write, write_json
from grokscope.errors import StoreError, UsageError
from grokscope.report.text import bytes_text


def runs(
    *filters: str,
    delete: Annotated[bool, Parameter(negative="", help="delete the runs that the filters name, after asking")] = False,
    yes: Annotated[bool, Parameter(negative="", help="with --delete: do not ask")] = False,
    out: Out = None,
    json: Json = False,
) -> int:
    """List stored runs, or delete some.

    Args:
        filters: part of a name, a shell pattern over PAPER/EXPERIMENT/SCALE, such as 'nanda2023/*', or a directory.
    """
    from grokscope.execution.delete import named
    from grokscope.store import default_root, runs_table

    root = Path(out) if out else default_root()
    if root.exists() and not root.is_dir():
        raise StoreError(f"{root} is not a directory: give the parent directory of all runs with --out.")
    if delete:
        return _delete(root, filters, yes=yes, json=json)
    if yes:
        raise UsageError("--yes answers the question that --delete asks: add --delete, or leave it out.")
    rows = named(root, filters) if filters else runs_table(root)
    if json:
        write_json(rows_document("runs", rows))
        return 0
    names = ("scale", "seed", "status", "steps", "wall_seconds", "run_dir")
    shown = [(f"{row['paper']}/{row['experiment']}", *(row[name] for name in names)) for row in rows]
    columns = ("experiment", "scale", "seed", "status", "steps", "seconds", "run")
    empty = f"no runs in {root}: try grokscope run nanda2023/modular-addition"
    if filters:
        empty = f"no run in {root} is named by {' or '.join(map(repr, filters))}"
    table(columns, shown, empty=empty)
    return 0


def _delete(root: Path, filters: tuple[str, ...], *, yes: bool, json: bool) -> int:
    from grokscope.execution.delete import delete, doomed

    found = doomed(root, filters)
    if not found:
        if json:
            write_json(rows_document("deleted", []))
        else:
            write(f"no run in {root} is named by {' or '.join(map(repr, filters))}: nothing is deleted")
        if yes:
            delete(root, [], tell=_tell)
        return 0
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                f"{len(found)} run{'s' * (len(found) > 1)} would be deleted, and there is no terminal to ask on: "
                "look with grokscope runs FILTER, then add --yes."
            )
        for one in found:
            state = "is being written, stays" if one.locked else f"{one.row['status']}, {bytes_text(one.bytes)}"
            sys.stderr.write(f"  {one.directory}  ({state})\n")
            if one.group is not None:
                sys.stderr.write("    of an ensemble, whose other members can then be neither resumed nor measured\n")
        going = [one for one in found if not one.locked]
        total = bytes_text(sum(one.bytes for one in going))
        sys.stderr.write(f"Delete {len(going)} run{'s' * (len(going) != 1)}, {total}? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            sys.stderr.write("nothing is deleted\n")
            if json:
                write_json(rows_document("deleted", []))
            return 0
    done = delete(root, found, tell=_tell)
    if json:
        write_json(rows_document("deleted", [one.as_dict() for one in done]))
    else:
        for one in done:
            if one.reason is not None:
                write(f"kept {one.directory}: {one.reason}")
                continue
            write(f"deleted {one.directory} ({bytes_text(one.bytes)})")
            if one.group is not None:
                write(f"deleted {one.group}, the checkpoints of its ensemble, whose last member it was")
    return 1 if any(one.reason is not None for one in done) else 0


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
