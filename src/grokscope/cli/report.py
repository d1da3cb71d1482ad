"""``grokscope report``: a page of one run or several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from grokscope.cli.output import write


def report(
    *runs: str,
    to: Annotated[str | None, Parameter(help="the file to write (default: report.html in the run directory)")] = None,
    print_to: Annotated[str | None, Parameter(name="--print", help="a directory for the figures as files")] = None,
    format_: Annotated[
        str | None, Parameter(name="--format", help="of these files: pdf (default), svg, png, or several, by comma")
    ] = None,
) -> None:
    """Write a self-contained HTML page with the figures, phases, claims and settings of runs.

    Args:
        runs: run directories of one experiment; several are shown together, seed by seed. Forks of one state
            are drawn branch against control, and the page goes to the first of them. With --print the figures
            are written for print, a file each, and the page only where --to says.
    """
    from grokscope.errors import UsageError
    from grokscope.execution.parent import same_origin
    from grokscope.execution.reporting import write_print, write_report
    from grokscope.store import open_run, resolve_run

    if not runs:
        raise UsageError("name at least one run directory; grokscope runs lists them.")
    if format_ is not None and print_to is None:
        raise UsageError("--format is that of the files of --print: say where to write them with --print DIRECTORY.")
    if to is not None and Path(to).is_dir():
        raise UsageError(f"{to} is a directory: name a file in it.")
    if print_to is not None and Path(print_to).exists() and not Path(print_to).is_dir():
        raise UsageError(f"{print_to} is a file: --print takes a directory.")
    stored = [open_run(resolve_run(run)) for run in runs]
    if print_to is not None:
        for path in write_print(stored, print_to, (format_ or "pdf").split(",")):
            write(str(path))
        if to is None:
            return
    if len(runs) > 1 and to is None and not same_origin(stored):
        raise UsageError(f"a page of {len(runs)} runs belongs to none of them: say where to write it with --to FILE.")
    write(str(write_report(stored, to)))
