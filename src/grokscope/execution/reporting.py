"""The page of a run, or of the seeds of one experiment: what the report draws, gathered; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grokscope.analysis.phases import segment
from grokscope.analysis.transitions import TransitionRule, transition
from grokscope.claims import Verdict
from grokscope.errors import UsageError
from grokscope.execution.judge import verdicts_on
from grokscope.registry import PAPERS, load
from grokscope.report.page import page
from grokscope.report.runs import describe
from grokscope.store import StoredRun, atomic_write


def write_report(
    runs: Sequence[StoredRun], path: str | Path | None = None, *, verdicts: Sequence[Verdict] | None = None
) -> Path:
    """Write the page of ``runs`` and return its path: ``report.html`` of the first run unless given.

    ``verdicts`` are those to show; absent, those that these runs alone allow.

    Raises:
        UsageError: the runs are of different experiments, or none is given.
    """
    target = Path(path) if path is not None else runs[0].directory / "report.html"
    atomic_write(target, render(runs, verdicts).encode())
    return target


def render(runs: Sequence[StoredRun], verdicts: Sequence[Verdict] | None = None) -> str:
    """Return the page of ``runs`` as HTML."""
    if not runs:
        raise UsageError("a report needs at least one run.")
    names = {(run.spec["paper"], run.spec["experiment"], run.spec["scale"]) for run in runs}
    if len(names) > 1:
        shown = ", ".join(sorted("/".join(name) for name in names))
        raise UsageError(f"one report shows runs of one experiment at one scale; these are of {shown}.")
    first = runs[0]
    paper_name, experiment, _ = next(iter(names))
    paper = PAPERS.get(paper_name) if paper_name in PAPERS else None
    known = {e.name: e.title for e in paper.experiments} if paper is not None else {}
    crossings = [_transition(run) for run in runs]
    # phases are those of one run; seeds go through them at different steps
    phases = [phase.as_dict() for phase in _phases(first)] if len(runs) == 1 else []
    figures = []
    for figure in paper.figures if paper is not None else ():
        # a run with a recording plan of its own may lack what a figure shows
        if experiment in figure.experiments and any(run.has(key) for run in runs for key in figure.keys):
            drawn = load(figure.function)(runs, phases)
            figures.append((figure.id, figure.title, figure.caption, drawn))
    return page(
        title=known.get(experiment, f"{paper_name}/{experiment}"),
        subtitle=_subtitle(runs, paper.title if paper is not None else None),
        facts=_facts(first, crossings),
        figures=figures,
        claims=[verdict.as_dict() for verdict in (verdicts_on(runs) if verdicts is None else verdicts)],
        phases=phases,
        transition=crossings[0] if len(runs) == 1 else None,
        runs=[describe(run, crossing) for run, crossing in zip(runs, crossings, strict=True)],
        citations=[paper.bibtex] if paper is not None else [],
    )


def _rule(run: StoredRun) -> TransitionRule | None:
    rule = run.spec.get("transition")
    return TransitionRule.model_validate(rule) if rule else None


def _transition(run: StoredRun) -> dict[str, Any] | None:
    rule = _rule(run)
    return transition(run.series, rule).as_dict() if rule else None


def _phases(run: StoredRun) -> list[Any]:
    return segment(run.series, _rule(run), run.last_step or 0)


def _subtitle(runs: Sequence[StoredRun], title: str | None) -> str:
    spec = runs[0].spec
    seeds = ", ".join(str(run.spec["seed"]["base"]) for run in runs)
    words = [f"{spec['paper']}/{spec['experiment']}", f"{spec['scale']} scale", f"seed{'s' * (len(runs) > 1)} {seeds}"]
    return " · ".join(words) + (f" · after “{title}”" if title else "")


def _facts(run: StoredRun, crossings: Sequence[dict[str, Any] | None]) -> list[tuple[str, Any]]:
    spec = run.spec
    facts: list[tuple[str, Any]] = []
    for label, section, key in (
        ("modulus p", "task", "modulus"),
        ("train fraction", "task", "train_fraction"),
        ("learning rate", "optimizer", "learning_rate"),
        ("weight decay", "optimizer", "weight_decay"),
    ):
        value = (spec.get(section) or {}).get(key)
        if value is not None:
            facts.append((label, value))
    facts.append(("steps", run.last_step or 0))
    if len(crossings) == 1 and crossings[0] is not None:
        for label, key in (("fitted at step", "fit_step"), ("generalised at step", "generalise_step")):
            facts.append((label, crossings[0][key]))
    return facts
