"""``grokscope show``: one stored run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.cli.output import Json, Strict, number, table, unmet, write, write_json, write_verdicts
from grokscope.report.sections import happened

if TYPE_CHECKING:
    from grokscope.running import Run


def show(run: str, *, json: Json = False, strict: Strict = False) -> int:
    """Show a stored run: what it is, its phases, its last values and what it says about its paper's claims.

    Args:
        run: a run directory, or a directory that holds exactly one run.
    """
    from grokscope.running import Run

    return write_summary(Run.open(run), report=None, json=json, strict=strict)


def write_summary(run: Run, *, report: Path | None, json: bool, strict: bool) -> int:
    """Write a run's summary and return the exit code."""
    summary = run.summary()
    if report is not None:
        summary["report"] = str(report)
    if json:
        write_json(summary)
    else:
        _write_text(summary)
    return 1 if strict and (summary["status"] == "diverged" or unmet(summary["claims"])) else 0


def _write_text(summary: dict[str, Any]) -> None:
    write(f"{summary['experiment']} {summary['scale']} seed {summary['seed']}: {summary['status']}")
    write(f"  run      {summary['run_dir']}")
    if summary["parent"]:
        changed = ", ".join(summary["parent"]["changes"]) or "nothing changed, a control"
        write(f"  fork     of {summary['parent']['run']} at step {number(summary['parent']['step'])}: {changed}")
    share = summary["observe_share"]
    measured = f", {share:.1%} of it measuring" if share is not None else ""
    write(f"  steps    {number(summary['steps'])} in {summary['wall_seconds']:.0f} s{measured}")
    if summary["phases"]:
        write(f"  result   {happened(summary['phases'])}")
        bands = [
            f"{band['name']} {number(round(band['start']))}-{number(round(band['end']))}"
            for band in summary["phases"]["bands"]
        ]
        write(f"  phases   {', '.join(bands)}")
    if summary["phase"]:
        told = summary["phase"]
        write(f"  phase    {told['phase']} from step {number(told['step'])}: {told['reason']}")
    final = [(key, value) for key, value in summary["final"].items() if "@" not in key]
    write()
    table(("last value", ""), final, empty="no scalars")
    if summary["claims"]:
        write()
        write_verdicts(summary["claims"])
        if any(claim["status"] == "inconclusive" for claim in summary["claims"]):
            write(f"(a verdict needs 3 seeds: grokscope reproduce {summary['paper']} --scale {summary['scale']})")
    if "report" in summary:
        write()
        write(f"report: {summary['report']}")
