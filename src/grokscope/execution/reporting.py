"""The page of a run, or of the seeds of one experiment: what the report draws, gathered; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grokscope.analysis.agreement import agreement
from grokscope.analysis.phases import boundaries, segment
from grokscope.analysis.sensitivity import sensitivity
from grokscope.analysis.transitions import TransitionRule, transition
from grokscope.claims import Verdict
from grokscope.errors import UsageError
from grokscope.execution.cite import citations_of
from grokscope.execution.judge import speaks, verdicts_on
from grokscope.execution.parent import same_origin
from grokscope.paper import Figure, Paper
from grokscope.recipes.branches import branch_figures
from grokscope.recipes.measured import measured_figures, told_phases
from grokscope.registry import PAPERS, load
from grokscope.report.page import page
from grokscope.report.printing import print_figures
from grokscope.report.runs import describe
from grokscope.store import ENDED, StoredRun, atomic_write, find_runs, open_run

Siblings = Mapping[str, Sequence[StoredRun]]
"""Runs by the name of their experiment: those of a paper at one scale."""
Drawn = tuple[str, str, str, dict[str, Any]]
"""(id, title, caption, Plotly figure)."""


def write_report(
    runs: Sequence[StoredRun],
    path: str | Path | None = None,
    *,
    verdicts: Sequence[Verdict] | None = None,
    siblings: Siblings | None = None,
) -> Path:
    """Write the page of ``runs`` and return its path: ``report.html`` of the first run unless given.

    ``verdicts`` are those to show; absent, those that these runs alone allow. ``siblings`` are the runs of the
    paper's experiments for figures of several; absent, those that lie beside ``runs``.

    Raises:
        UsageError: the runs are of different experiments, or none is given.
    """
    target = Path(path) if path is not None else runs[0].directory / "report.html"
    atomic_write(target, render(runs, verdicts, siblings).encode())
    return target


def write_print(runs: Sequence[StoredRun], directory: str | Path, formats: Sequence[str] = ("pdf",)) -> list[Path]:
    """Write the figures of ``runs`` for print, a file each, and return the paths.

    Raises:
        UsageError: the runs are of different experiments, none is given, or a format is not known.
        GrokscopeError: matplotlib is not installed, or a file cannot be written.
    """
    _check(runs)
    return print_figures(figures_of(runs), directory, formats)


def render(
    runs: Sequence[StoredRun], verdicts: Sequence[Verdict] | None = None, siblings: Siblings | None = None
) -> str:
    """Return the page of ``runs`` as HTML."""
    _check(runs)
    first = runs[0]
    paper_name, experiment = first.spec["paper"], first.spec["experiment"]
    paper = PAPERS.get(paper_name) if paper_name in PAPERS else None
    known = {e.name: e.title for e in paper.experiments} if paper is not None else {}
    crossings = [_transition(run) for run in runs]
    phases = _phases_of(runs)
    varied, told = _dependence(runs)
    return page(
        title=known.get(experiment, f"{paper_name}/{experiment}"),
        subtitle=_subtitle(runs, paper.title if paper is not None else None),
        facts=_facts(first, crossings),
        figures=figures_of(runs, siblings),
        claims=[verdict.as_dict() for verdict in (verdicts_on(runs) if verdicts is None else verdicts)],
        phases=phases,
        sensitivity=varied,
        agreements=told,
        transition=crossings[0] if len(runs) == 1 else None,
        runs=[describe(run, crossing) for run, crossing in zip(runs, crossings, strict=True)],
        citations=[citation.bibtex for citation in citations_of(runs)],
    )


def _check(runs: Sequence[StoredRun]) -> None:
    """Refuse runs that no one page can show."""
    if not runs:
        raise UsageError("a report needs at least one run.")
    names = {(run.spec["paper"], run.spec["experiment"], run.spec["scale"]) for run in runs}
    if len(names) > 1:
        shown = ", ".join(sorted("/".join(name) for name in names))
        raise UsageError(f"one report shows runs of one experiment at one scale; these are of {shown}.")
    if len(runs) > 1 and any(run.spec.get("parent") for run in runs) and not same_origin(runs):
        raise UsageError("a report shows forks beside forks of the same state: give a branch and its control.")


def figures_of(runs: Sequence[StoredRun], siblings: Siblings | None = None) -> list[Drawn]:
    """Return what the paper of ``runs`` draws of them, and together with their ``siblings``.

    Figures of which the runs stored nothing are left out.
    """
    runs = [run.whole() for run in runs]
    if len(runs) > 1 and same_origin(runs):
        return branch_figures(runs)
    spec = runs[0].spec
    phases = _phases_of(runs)
    if spec["paper"] not in PAPERS:
        return measured_figures(runs, phases)
    paper: Paper = PAPERS.get(spec["paper"])
    figures = []
    for figure in paper.figures:
        if spec["experiment"] not in figure.experiments:
            continue
        if figure.together:
            drawn = _drawn_together(figure, spec["experiment"], _beside(runs, figure) if siblings is None else siblings)
        else:
            drawn = load(figure.function)(runs, phases) if _stored(figure, runs) else {}
        if drawn.get("data"):
            figures.append((figure.id, figure.title, figure.caption, drawn))
    return figures


def _drawn_together(figure: Figure, experiment: str, siblings: Siblings) -> dict[str, Any]:
    """Return a figure of several experiments on the page of the first that has runs; nothing on another's."""
    given = {name: list(siblings[name]) for name in figure.experiments if siblings.get(name)}
    if next(iter(given), None) != experiment or not _stored(figure, [run for runs in given.values() for run in runs]):
        return {}
    return load(figure.function)(given)


def _stored(figure: Figure, runs: Sequence[StoredRun]) -> bool:
    """Tell whether a run has what a figure shows: one with a recording plan of its own may lack it."""
    return any(run.has(key) or run.modules(key) for run in runs for key in figure.keys) or any(
        name in figure.arrays for run in runs for name in run.arrays()
    )


def _beside(runs: Sequence[StoredRun], figure: Figure) -> Siblings:
    """Return the ended runs of a figure's experiments, of the scale and seeds of ``runs``, that lie beside them.

    Only runs with the paper's own settings are siblings; of several of one experiment and seed the last copy is.
    """
    if not all(speaks(run) for run in runs):
        return {}
    wanted = {run.spec["seed"]["base"] for run in runs}
    folder = runs[0].directory.resolve().parents[1]
    found: dict[str, dict[int, StoredRun]] = {}
    for name in figure.experiments:
        for path in find_runs(folder / name):
            run = open_run(path)
            seed = run.spec["seed"]["base"]
            alike = run.spec["scale"] == runs[0].spec["scale"] and seed in wanted
            if alike and run.status in ENDED and speaks(run):
                found.setdefault(name, {})[seed] = run
    found[runs[0].spec["experiment"]] = {run.spec["seed"]["base"]: run for run in runs}
    return {name: [by_seed[seed] for seed in sorted(by_seed)] for name, by_seed in found.items()}


def _phases_of(runs: Sequence[StoredRun]) -> list[dict[str, Any]]:
    """Return the phases of one run; seeds go through them at different steps."""
    if len(runs) != 1:
        return []
    if _is_told(runs[0]):
        return told_phases(runs[0])
    return [phase.as_dict() for phase in _phases(runs[0])]


def _is_told(run: StoredRun) -> bool:
    """Tell whether a run has no rule for its phases but those that were told while it was monitored."""
    return not run.spec.get("transition") and bool(run.events("phase"))


def _dependence(runs: Sequence[StoredRun]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return how the phases of one run depend on their definitions, and what the second detector finds."""
    if len(runs) != 1 or _is_told(runs[0]) or not _phases_of(runs):
        return [], []
    series, rule = runs[0].whole().series, _rule(runs[0])
    told = agreement(series, rule, boundaries(series, rule))
    return sensitivity(series, rule, runs[0].last_step or 0), [one.as_dict() for one in told]


def _rule(run: StoredRun) -> TransitionRule | None:
    rule = run.spec.get("transition")
    return TransitionRule.model_validate(rule) if rule else None


def _transition(run: StoredRun) -> dict[str, Any] | None:
    rule = _rule(run)
    return transition(run.whole().series, rule).as_dict() if rule else None


def _phases(run: StoredRun) -> list[Any]:
    return segment(run.whole().series, _rule(run), run.last_step or 0)


def _subtitle(runs: Sequence[StoredRun], title: str | None) -> str:
    spec = runs[0].spec
    forked = same_origin(runs)
    seeds = ", ".join(str(run.spec["seed"]["base"]) for run in (runs[:1] if forked else runs))
    words = [f"{spec['paper']}/{spec['experiment']}", f"{spec['scale']} scale", f"seed{'s' * (',' in seeds)} {seeds}"]
    words += [f"forked at step {spec['parent']['step']:,}"] if forked else []
    return " · ".join(words) + (f" · after “{title}”" if title else "")


def _facts(run: StoredRun, crossings: Sequence[dict[str, Any] | None]) -> list[tuple[str, Any]]:
    spec = run.spec
    facts: list[tuple[str, Any]] = []
    for label, section, key in (
        ("modulus p", "task", "modulus"),
        ("train fraction", "task", "train_fraction"),
        ("learning rate", "optimizer", "learning_rate"),
        ("weight decay", "optimizer", "weight_decay"),
        ("model", "model", "type"),
        ("parameters", "model", "parameters"),
    ):
        value = (spec.get(section) or {}).get(key)
        if value is not None:
            facts.append((label, value))
    facts.append(("steps", run.last_step or 0))
    if len(crossings) == 1 and crossings[0] is not None:
        for label, key in (("fitted at step", "fit_step"), ("generalised at step", "generalise_step")):
            facts.append((label, crossings[0][key]))
    return facts
