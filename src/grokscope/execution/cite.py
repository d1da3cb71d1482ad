"""Whom to cite: the papers of an experiment, its task, model, optimizer, interventions, measures and methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grokscope import registry
from grokscope.citations import ENTRIES, MEASURES, METHODS, distinct, entry, label
from grokscope.errors import GrokscopeError, UsageError, nearest, unknown
from grokscope.paper import Paper
from grokscope.store import StoredRun

PARTS = {
    "measure": registry.MEASURES,
    "task": registry.TASKS,
    "model": registry.MODELS,
    "learner": registry.LEARNERS,
    "optimizer": registry.OPTIMIZERS,
    "intervention": registry.INTERVENTIONS,
}
SECTIONS = ("task", "model", "learner", "optimizer")
Cited = Iterator[tuple[str, str]]
"""Pairs of (BibTeX entry, what it is cited for)."""


@dataclass(frozen=True)
class Citation:
    """A BibTeX entry, its label, and what it is cited for."""

    label: str
    bibtex: str
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {"label": self.label, "bibtex": self.bibtex, "for": list(self.reasons)}


def citations_of(runs: Sequence[StoredRun]) -> list[Citation]:
    """Return whom runs build on: what is in their specs, and the measures that were back-filled.

    Parts that are not known here cite nothing.
    """
    return _gathered(cited for run in runs for cited in _of_tree(run.spec, _backfilled(run)))


def citations_of_name(name: str) -> list[Citation]:
    """Return whom a paper, an experiment ``PAPER/EXPERIMENT``, or a measure or another part builds on.

    A paper stands for all of its experiments.

    Raises:
        UsageError: nothing is called so; the nearest names are offered.
    """
    paper_name, _, experiment = name.partition("/")
    if paper_name in registry.PAPERS:
        paper: Paper = registry.PAPERS.get(paper_name)
        chosen = [paper.experiment(experiment)] if experiment else paper.experiments
        trees = [{"paper": paper.id, **one.tree("paper")} for one in chosen]
        return _gathered(cited for tree in trees for cited in _of_tree(tree))
    kinds = [kind for kind, known in PARTS.items() if name in known]
    if kinds:
        return _gathered(cited for kind in kinds for cited in _of_part(kind, name))
    if name in ENTRIES:
        return _gathered([(ENTRIES[name], name)])
    papers: list[Paper] = [registry.PAPERS.get(known) for known in registry.PAPERS]
    experiments = [f"{one.id}/{e.name}" for one in papers for e in one.experiments]
    parts = [part for known in PARTS.values() for part in known]
    names = {*experiments, *(one.id for one in papers), *parts}
    if nearest(name, names):
        raise unknown("run or name", name, names)
    raise UsageError(
        f"{name!r} is neither a run directory nor the name of a paper, an experiment, a measure or another part: "
        "grokscope list shows them."
    )


def _gathered(cited: Iterable[tuple[str, str]]) -> list[Citation]:
    reasons: dict[str, list[str]] = {}
    entries: list[str] = []
    for bibtex, reason in cited:
        entries.append(bibtex)
        known = reasons.setdefault(label(bibtex), [])
        if reason not in known:
            known.append(reason)
    return [Citation(label(one), one, tuple(reasons[label(one)])) for one in distinct(entries)]


def _of_tree(tree: Mapping[str, Any], further: Sequence[str] = ()) -> Cited:
    paper = str(tree.get("paper"))
    if paper in registry.PAPERS:
        yield registry.PAPERS.get(paper).bibtex, f"paper {paper}"
    for section in SECTIONS:
        part = tree.get(section)
        if part:
            yield from _of_part(section, str(part.get("name")))
    for part in tree.get("interventions") or ():
        yield from _of_part("intervention", str(part.get("name")))
    record = tree.get("record") or {}
    recorded = [*record.get("measures", ()), *(m for extra in record.get("extra", ()) for m in extra["measures"])]
    for name in dict.fromkeys((*recorded, *further)):
        yield from _of_part("measure", name)
    if tree.get("transition"):
        for method, cites in METHODS.items():
            yield from ((entry(cite), method) for cite in cites)


def _of_part(kind: str, name: str) -> Cited:
    known = PARTS[kind]
    name = name.partition(":")[0]  # of a measure with options
    if name not in known:
        return
    try:
        light = MEASURES.get(name) if kind == "measure" else None
        cites = getattr(known.get(name), "cites", ()) if light is None else light
    except GrokscopeError:
        return  # its package is not whole; what it builds on cannot be asked
    yield from ((entry(cite), f"{kind} {name}") for cite in cites)


def _backfilled(run: StoredRun) -> list[str]:
    paths = sorted(run.directory.glob("backfill-*.jsonl"))
    return [path.stem.removeprefix("backfill-") for path in paths]
