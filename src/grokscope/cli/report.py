"""``grokscope report``: a page of one run or several."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from grokscope.cli.output import write


def report(
    *runs: str,
    to: Annotated[str | None, Parameter(help="the file to write (default: report.html in the run directory)")] = None,
) -> None:
    """Write a self-contained HTML page with the figures, phases, claims and settings of runs.

    Args:
        runs: run directories of one experiment; several are shown together, seed by seed.
    """
    from grokscope.errors import UsageError
    from grokscope.execution.reporting import write_report
    from grokscope.store import open_run, resolve_run

    if not runs:
        raise UsageError("name at least one run directory; grokscope runs lists them.")
    if len(runs) > 1 and to is None:
        raise UsageError(f"a page of {len(runs)} runs belongs to none of them: say where to write it with --to FILE.")
    write(str(write_report([open_run(resolve_run(run)) for run in runs], to)))
