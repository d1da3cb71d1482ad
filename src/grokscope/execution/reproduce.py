"""Everything a paper's claims need at one scale, and the scoreboard of verdicts."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokscope.claims import Verdict, judge
from grokscope.errors import GrokscopeError, unknown
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
    experiment are trained as one ensemble where its learner allows it; finished runs are used again unless
    ``fresh``. At smoke scale every experiment runs that is no other's cell (``Experiment.cell_of``), needed or
    not. With several ``jobs`` the longest experiment begins first.

    Raises:
        UsageError: an unknown paper, experiment or scale.
    """
    root = Path(root) if root is not None else default_root()
    names = tuple(papers) or tuple(PAPERS.names())
    wanted: list[tuple[Paper, str]] = []
    for name in names:
        paper: Paper = PAPERS.get(name)
        scales = {known for e in paper.experiments for known in e.scale_names}
        if scale not in scales:
            raise unknown("scale", scale, scales)
        needed = {e for claim in paper.claims if scale in claim.criterion for e in claim.at(scale).experiments}
        every = [e.name for e in paper.experiments if e.name in needed or (scale == "smoke" and e.cell_of is None)]
        chosen = [paper.experiment(e).name for e in experiments] if experiments else every
        wanted += [(paper, experiment) for experiment in chosen]
    if jobs > 1 and len(wanted) > 1:
        _in_processes(longest_first(wanted, scale), scale, seeds, fresh=fresh, jobs=jobs, root=root, progress=progress)
        fresh = False
    found: dict[str, Runs] = {name: {seed: {} for seed in seeds} for name in names}
    for paper, experiment in wanted:
        specs = member_specs(f"{paper.id}/{experiment}", scale, seeds)
        directories = _train_together(specs, root, fresh=fresh, progress=progress)
        for seed, directory in zip(seeds, directories, strict=True):
            found[paper.id][seed][experiment] = open_run(directory)
    verdicts = [
        judge(claim, name, scale, found[name])
        for name in names
        for claim in PAPERS.get(name).claims
        if not experiments or set(claim.at(scale).experiments) & set(experiments)
    ]
    reports = [
        write_report(
            [found[paper.id][seed][experiment] for seed in seeds],
            root / "reports" / f"{paper.id}-{experiment}-{scale}.html",
            verdicts=[
                v for v in verdicts if experiment in paper.claim(v.id).at(scale).experiments and v.paper == paper.id
            ],
            siblings={
                name: [found[paper.id][seed][name] for seed in seeds] for other, name in wanted if other is paper
            },
        )
        for paper, experiment in wanted
    ]
    return Scoreboard(names, scale, tuple(seeds), tuple(verdicts), tuple(reports))


def longest_first(wanted: Sequence[tuple[Paper, str]], scale: str) -> list[tuple[Paper, str]]:
    """Return (paper, experiment) pairs by falling ``Experiment.minutes`` at a scale, equal ones in the order given.

    Processes that begin with the longest end nearly together. One whose minutes are not said may be the longest.
    """

    def minutes(pair: tuple[Paper, str]) -> float:
        paper, experiment = pair
        return paper.experiment(experiment).minutes.get(scale, math.inf)

    return sorted(wanted, key=minutes, reverse=True)


def member_specs(name: str, scale: str, seeds: Sequence[int]) -> list[Spec]:
    """Return the specs of an experiment over seeds, as an ensemble's members where its learner allows it."""
    specs = [experiment_spec(name, scale=scale, seed=seed) for seed in seeds]
    if len(specs) > 1 and specs[0].learner.ensembles:
        return [spec.with_group(specs) for spec in specs]
    return specs


def _train_together(specs: Sequence[Spec], root: Path, *, fresh: bool, progress: Progress | None) -> list[Path]:
    if specs[0].engine == "ensemble":
        return train(specs, root=root, fresh=fresh, progress=progress)
    return [path for spec in specs for path in train([spec], root=root, fresh=fresh, progress=progress)]


def _in_processes(
    wanted: Sequence[tuple[Paper, str]],
    scale: str,
    seeds: Sequence[int],
    *,
    fresh: bool,
    jobs: int,
    root: Path,
    progress: Progress | None,
) -> None:
    """Train each experiment in a process of its own, ``jobs`` at a time; a failed one fails the whole, at its end."""
    left: list[str] = []
    commands = []
    for paper, experiment in wanted:
        specs = member_specs(f"{paper.id}/{experiment}", scale, seeds)
        if not fresh and all(find_place(group, root).state == "finished" for group in _groups(specs)):
            continue
        command = [sys.executable, "-m", "grokscope", "reproduce", paper.id, "--experiment", experiment]
        command += ["--scale", scale, "--seed-list", ",".join(map(str, seeds)), "--out", str(root), "--json"]
        commands.append([*command, *(["--fresh"] if fresh else [])])
        left.append(f"{paper.id}/{experiment}")

    def tell(index: int, problem: str | None) -> None:
        if progress is not None:
            progress.note(f"{left[index]}: {problem or 'done'}")

    def say(line: str) -> None:
        if progress is not None:
            progress.note(line)

    for name, problem in zip(left, run_processes(commands, jobs=jobs, tell=tell, say=say), strict=True):
        if problem is not None:
            raise GrokscopeError(f"{name} failed: {problem}")


def _groups(specs: Sequence[Spec]) -> list[Sequence[Spec]]:
    return [specs] if specs[0].engine == "ensemble" else [[spec] for spec in specs]
