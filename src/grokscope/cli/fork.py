"""``grokscope fork``: one thing changed at one step of a stored run, beside a matched control."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from grokscope.cli.output import Json, number, table, write, write_json

if TYPE_CHECKING:
    from grokscope.execution.fork import Match
    from grokscope.running import Fork


def fork(
    run: str,
    *,
    at: Annotated[int, Parameter(help="the step to branch at, from 0 to the run's last", allow_leading_hyphen=True)],
    set_: Annotated[
        list[str] | None, Parameter(name="--set", negative="", help="KEY=VALUE, as in optimizer.weight_decay=0")
    ] = None,
    intervene: Annotated[
        list[str] | None,
        Parameter(negative="", help="NAME:key=value,... as in fourier-ablation:frequencies=[5]"),
    ] = None,
    steps: Annotated[
        int | None, Parameter(help="updates to make (default: to the run's own last step)", allow_leading_hyphen=True)
    ] = None,
    out: Annotated[str | None, Parameter(help="parent directory of all runs (default: that of the run)")] = None,
    json: Json = False,
) -> int:
    """Branch a stored run at a step with something changed, train a control without, and draw both.

    The control is the run itself, trained again from the same state: what differs between the two is the change.

    Args:
        run: a run directory, or a directory that holds exactly one run; an ensemble's member will do.
    """
    from grokscope.cli.live import progress
    from grokscope.execution.fork import match
    from grokscope.execution.reporting import write_report
    from grokscope.running import Run
    from grokscope.running import fork as fork_run
    from grokscope.spec import parse_assignment

    parent = Run.open(run)
    changes = dict(parse_assignment(text) for text in set_ or ())
    done = fork_run(
        parent, at=at, set=changes, interventions=intervene or (), steps=steps, out=out, progress=progress()
    )
    compared = match(done.control.stored, parent.stored)
    page = write_report([done.branch.stored, done.control.stored])
    if json:
        write_json(_document(done, compared, page))
    else:
        _write_text(done, compared, page)
    return 0


def _document(done: Fork, compared: Match, page: Path) -> dict[str, Any]:
    return {
        "schema": 1,
        "at": done.branch.spec["parent"]["step"],
        "changes": done.branch.spec["parent"]["changes"],
        "branch": done.branch.summary(),
        "control": done.control.summary(),
        "control_match": {
            "checkpoints": list(compared.steps),
            "bitwise": compared.bitwise if compared.steps else None,
            "difference": compared.difference if compared.steps else None,
        },
        "report": str(page),
    }


def _write_text(done: Fork, compared: Match, page: Path) -> None:
    spec = done.branch.spec
    write(f"{spec['paper']}/{spec['experiment']} {spec['scale']} seed {spec['seed']['base']}, forked at step "
          f"{number(spec['parent']['step'])}: {', '.join(spec['parent']['changes'])}")  # fmt: skip
    for name, run in zip(("branch", "control"), done, strict=True):
        write(f"  {name:8} {run.directory}: {run.status} at step {number(run.stored.last_step)}")
    write(f"  match    {match_text(compared)}")
    write()
    last = [run.stored.final() for run in done]
    keys = [key for key in last[0] if "@" not in key and key in last[1]]
    table(("last value", "branch", "control"), [(key, last[0][key], last[1][key]) for key in keys], empty="no scalars")
    write()
    write(f"report: {page}")


def match_text(compared: Match) -> str:
    """Return how the control compares with the run it came from, in words."""
    if not compared.steps:
        return "the run has no later checkpoint to compare the control with"
    where = "at step " if len(compared.steps) == 1 else "at steps "
    where += ", ".join(number(step) for step in compared.steps[:4]) + (", …" if len(compared.steps) > 4 else "")
    if compared.bitwise:
        return f"the control is the run it came from, bit for bit, {where}"
    return f"the control differs from the run it came from by at most {compared.difference:.1e} {where}"
