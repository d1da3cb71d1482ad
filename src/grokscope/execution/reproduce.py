"""Everything a paper's claims need at one scale, and the scoreboard of verdicts."""

from __future__ import annotations

import itertools
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grokscope.claims import Verdict, judge
from grokscope.errors import GrokscopeError, unknown
from grokscope.execution.batches import as_members, batches, stored_runs
from grokscope.execution.judge import Runs
from grokscope.execution.place import find_place
from grokscope.execution.plan import experiment_spec
from grokscope.execution.processes import run_processes
from grokscope.execution.progress import Progress
from grokscope.execution.reporting import write_report
from grokscope.execution.train import train
from grokscope.paper import Paper
from grokscope.registry import PAPERS
from grokscope.spec import Spec
from grokscope.store import default_root, open_run

Unit = list[tuple[Paper, str]]
"""Experiments of a paper that are trained together."""


@dataclass(frozen=True)
class Scoreboard:
    """The verdicts on some papers at one scale."""

    papers: tuple[str, ...]
    scale: str
    seeds: tuple[int, ...]
    verdicts: tuple[Verdict, ...]
    reports: tuple[Path, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON document of ``grokscope reproduce --json``."""
        return {
            "schema": 1,
            "papers": list(self.papers),
            "scale": self.scale,
            "seeds": list(self.seeds),
            "summary": dict(Counter(verdict.status for verdict in self.verdicts)),
            "claims": [verdict.as_dict() for verdict in self.verdicts],
            "reports": [str(path) for path in self.reports],
        }


def reproduce(
    papers: Sequence[str] = (),
    *,
    scale: str = "cpu",
    seeds: Sequence[int] = (0, 1, 2),
    experiments: Sequence[str] = (),
    fresh: bool = False,
    jobs: int = 1,
    root: Path | str | None = None,
    progress: Progress | None = None,
) -> Scoreboard:
    """Train what the claims of ``papers`` (all of them if none is named) need, judge the claims, write the pages.

    There is a page for each experiment, with all its seeds, in ``<root>/reports``. The seeds of an
    experiment, and experiments of one ``Experiment.batch``, are trained as one ensemble where their learner allows
    it; finished runs are used again unless ``fresh``. At smoke scale every experiment runs that is no other's cell
    (``Experiment.cell_of``), needed or not. With several ``jobs`` the longest experiment begins first. Experiments
    whose data files are missing are left out, and the claims on them say so, unless they are named.

    Raises:
        UsageError: an unknown paper, experiment or scale.
    """
    root = Path(root) if root is not None else default_root()
    names = tuple(papers) or _papers_with(experiments)
    wanted: list[tuple[Paper, str]] = []
    absent: dict[str, str] = {}
    for name in names:
        paper: Paper = PAPERS.get(name)
        scales = {known for e in paper.experiments for known in e.scale_names}
        if scale not in scales:
            raise unknown("scale", scale, scales)
        needed = {e for claim in paper.claims if scale in claim.criterion for e in claim.at(scale).experiments}
        every = [e.name for e in paper.experiments if e.name in needed or (scale == "smoke" and e.cell_of is None)]
        own = experiments if papers else [e for e in experiments if e in {one.name for one in paper.experiments}]
        chosen = [paper.experiment(e).name for e in own] if experiments else every
        for experiment in chosen:
            missing = None if experiments else experiment_spec(f"{name}/{experiment}", scale=scale).task.absent()
            if missing is None:
                wanted.append((paper, experiment))
                continue
            absent[f"{name}/{experiment}"] = missing
            if progress is not None:
                progress.note(f"{name}/{experiment}: left out. {missing}")
    units = in_batches(wanted)
    if jobs > 1 and len(units) > 1:
        _in_processes(longest_first(units, scale), scale, seeds, fresh=fresh, jobs=jobs, root=root, progress=progress)
        fresh = False
    found: dict[str, Runs] = {name: {seed: {} for seed in seeds} for name in names}
    for unit in units:
        stored, left = trainings(unit, scale, seeds, root, fresh=fresh)
        for group in left:
            stored += zip(group, train(group, root=root, fresh=fresh, progress=progress), strict=True)
        for spec, path in stored:
            found[spec.paper][spec.seed.base][spec.experiment] = open_run(path)
    verdicts = [
        _with_reason(
            judge(claim, name, scale, found[name]), [f"{name}/{e}" for e in claim.at(scale).experiments], absent
        )
        for name in names
        for claim in PAPERS.get(name).claims
        if not experiments or set(claim.at(scale).experiments) & set(experiments)
    ]
    reports = [
        write_report(
            [found[paper.id][seed][experiment] for seed in seeds],
            root / "reports" / f"{paper.id}-{experiment}-{scale}.html",
            verdicts=[
                v for v in verdicts if v.paper == paper.id and experiment in paper.claim(v.id).at(scale).experiments
            ],
            siblings={
                name: [found[paper.id][seed][name] for seed in seeds] for other, name in wanted if other is paper
            },
        )
        for paper, experiment in wanted
    ]
    return Scoreboard(names, scale, tuple(seeds), tuple(verdicts), tuple(reports))


def _papers_with(experiments: Sequence[str]) -> tuple[str, ...]:
    """Return the papers that have any of these experiments, or every paper where none is named.

    Raises:
        UsageError: no paper has one of them.
    """
    having = {name: {experiment.name for experiment in PAPERS.get(name).experiments} for name in PAPERS.names()}
    for wanted in experiments:
        if not any(wanted in there for there in having.values()):
            raise unknown("experiment", wanted, sorted(set().union(*having.values())))
    return tuple(name for name, there in having.items() if not experiments or there & set(experiments))


def _with_reason(verdict: Verdict, experiments: Sequence[str], absent: Mapping[str, str]) -> Verdict:
    """Return a verdict that also says why there are no runs, where data files are missing."""
    missing = next((absent[name] for name in experiments if name in absent), None)
    return verdict if missing is None else replace(verdict, reason=f"{verdict.reason} {missing}")


def in_batches(wanted: Sequence[tuple[Paper, str]]) -> list[Unit]:
    """Return experiments as units of training: those that name the same ``Experiment.batch``, and each other alone."""
    units: dict[tuple[str, ...], Unit] = {}
    for paper, name in wanted:
        batch = paper.experiment(name).batch
        unit = units.setdefault((paper.id, name) if batch is None else (paper.id, "", batch), [])
        if (paper, name) not in unit:
            unit.append((paper, name))
    return list(units.values())


def longest_first(units: Sequence[Unit], scale: str) -> list[Unit]:
    """Return units by the falling sum of ``Experiment.minutes`` at a scale, equal ones in the order given.

    Processes that begin with the longest end nearly together. One whose minutes are not said may be the longest.
    """

    def minutes(unit: Unit) -> float:
        return sum(paper.experiment(name).minutes.get(scale, math.inf) for paper, name in unit)

    return sorted(units, key=minutes, reverse=True)


def trainings(
    unit: Unit, scale: str, seeds: Sequence[int], root: Path, *, fresh: bool
) -> tuple[list[tuple[Spec, Path]], list[list[Spec]]]:
    """Return what is stored of a unit, and the trainings that are left, each a run or the members of an ensemble.

    Of an experiment alone the seeds are one ensemble where its learner allows it; of a batch all that fit together and
    are not stored yet are.
    """
    specs = [
        experiment_spec(f"{paper.id}/{name}", scale=scale, seed=seed)
        for (paper, name), seed in itertools.product(unit, seeds)
    ]
    if unit[0][0].experiment(unit[0][1]).batch is None:
        return [], [as_members(specs)] if specs[0].learner.ensembles else [[spec] for spec in specs]
    paths = [None] * len(specs) if fresh else stored_runs(specs, root)
    stored = [(spec, path) for spec, path in zip(specs, paths, strict=True) if path is not None]
    left = [spec for spec, path in zip(specs, paths, strict=True) if path is None]
    return stored, [as_members([left[index] for index in group]) for group in batches(left)]


def _in_processes(
    units: Sequence[Unit],
    scale: str,
    seeds: Sequence[int],
    *,
    fresh: bool,
    jobs: int,
    root: Path,
    progress: Progress | None,
) -> None:
    """Train each unit in a process of its own, ``jobs`` at a time; a failed one fails the whole, at its end."""
    left: list[str] = []
    commands = []
    for unit in units:
        _, missing = trainings(unit, scale, seeds, root, fresh=fresh)
        if not fresh and all(find_place(group, root).state == "finished" for group in missing):
            continue
        command = [sys.executable, "-m", "grokscope", "reproduce", unit[0][0].id]
        command += [word for _, name in unit for word in ("--experiment", name)]
        command += ["--scale", scale, "--seed-list", ",".join(map(str, seeds)), "--out", str(root), "--json"]
        commands.append([*command, *(["--fresh"] if fresh else [])])
        left.append(f"{unit[0][0].id}/{', '.join(name for _, name in unit)}")

    def tell(index: int, problem: str | None) -> None:
        if progress is not None:
            progress.note(f"{left[index]}: {problem or 'done'}")

    def say(line: str) -> None:
        if progress is not None:
            progress.note(line)

    for name, problem in zip(left, run_processes(commands, jobs=jobs, tell=tell, say=say), strict=True):
        if problem is not None:
            raise GrokscopeError(f"{name} failed: {problem}")
