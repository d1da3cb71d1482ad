"""From what a person names to resolved specs; imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grokscope.errors import UsageError, unknown
from grokscope.paper import Experiment, Paper
from grokscope.registry import PAPERS
from grokscope.spec import Spec, override, read_file, resolve
from grokscope.store import StoredRun

NOT_SPEC = ("schema", "training_id")


def find_experiment(name: str) -> tuple[Paper, Experiment]:
    """Return the experiment called ``paper/experiment``; a paper's name alone means its first.

    Raises:
        UsageError: there is no such paper or experiment; the nearest names are offered.
    """
    paper_name, _, experiment_name = name.partition("/")
    if paper_name not in PAPERS:
        papers: list[Paper] = [PAPERS.get(known) for known in PAPERS]
        names = [f"{one.id}/{e.name}" for one in papers for e in one.experiments]
        # without its paper a name may be that of several
        same = [one for one in names if one.endswith(f"/{name}")]
        if same:
            raise UsageError(f"unknown experiment {name!r}: did you mean {' or '.join(map(repr, same))}?")
        raise unknown("experiment", name, names)
    paper: Paper = PAPERS.get(paper_name)
    return paper, (paper.experiment(experiment_name) if experiment_name else paper.experiments[0])


def experiment_spec(
    name: str,
    *,
    scale: str = "cpu",
    seed: int | None = None,
    changes: Mapping[str, Any] | None = None,
    interventions: Sequence[str] = (),
) -> Spec:
    """Return the spec of a published experiment, or of a TOML or JSON file, with ``changes`` laid over it.

    Args:
        name: ``paper/experiment``, or the path of a spec file.
        scale: ``smoke``, ``cpu`` or ``paper``; a file has no scales.
        seed: the base seed, from which every stream is derived anew; absent: that of the file, or 0.
        changes: dotted overrides, the last word.
        interventions: further interventions as ``NAME:key=value,…``.
    """
    path = Path(name)
    if path.suffix in (".toml", ".json"):
        tree = read_file(path)
        # a stored spec may be of an ensemble's member; run by itself it is a run of its own
        for word in (*NOT_SPEC, "engine", "group"):
            tree.pop(word, None)
        tree.setdefault("experiment", path.stem)
    else:
        paper, experiment = find_experiment(name)
        tree = {"paper": paper.id, **experiment.tree(scale)}
    changes = dict(changes or {})
    if tree.get("parent") is not None and (changes or interventions or seed is not None):
        raise UsageError(
            f"{path} is the spec of a fork, which is repeated as it is: for another change use grokscope fork."
        )
    base = changes.pop("seed", changes.get("seed.base", seed))
    if base is not None:
        # another base means other streams, not those a file spells out
        tree["seed"] = {"base": base}
    tree = override(tree, changes)
    if interventions:
        added = [parse_intervention(text) for text in interventions]
        tree["interventions"] = [*tree.get("interventions", []), *added]
    return resolve(tree)


def parse_intervention(text: str) -> dict[str, Any]:
    """Return the settings that ``NAME:key=value,key=value`` writes; commas inside brackets part no settings.

    Example:
        >>> parse_intervention("weight-norm:norm=30,start=100")
        {'name': 'weight-norm', 'norm': 30, 'start': 100}
        >>> parse_intervention("fourier-ablation:frequencies=[3,7],start=100")["frequencies"]
        [3, 7]
    """
    from grokscope.spec import parse_assignment

    name, _, rest = text.partition(":")
    if not name:
        raise UsageError(f"{text!r} names no intervention: write NAME:key=value,key=value.")
    return {"name": name, **dict(parse_assignment(part) for part in re.split(r",(?![^\[]*\])", rest) if part)}


def document(spec: Spec) -> dict[str, Any]:
    """Return what ``spec.json`` holds."""
    return {"schema": 1, "training_id": spec.training_id, **spec.tree()}


def stored_spec(run: StoredRun) -> Spec:
    """Return the spec a run was made from."""
    return resolve({key: value for key, value in run.spec.items() if key not in NOT_SPEC})
