"""Which stored runs speak to which claims, and what they say; imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from grokscope.claims import Verdict, judge
from grokscope.errors import UsageError
from grokscope.execution.plan import experiment_spec, stored_spec
from grokscope.paper import Paper
from grokscope.registry import PAPERS
from grokscope.store import StoredRun

Runs = dict[int, dict[str, StoredRun]]
"""seed -> experiment -> run."""


def speaks(run: StoredRun) -> bool:
    """Tell whether a run is its paper's experiment at its scale, not one with settings of its own.

    It must train the same for as many steps, with the same roles and stop rule, and be observed at the same
    steps by at least the same measures: crossings and extremes depend on all of these.
    """
    spec = run.spec
    if spec["paper"] not in PAPERS:
        return False
    paper: Paper = PAPERS.get(spec["paper"])
    if spec["experiment"] not in [experiment.name for experiment in paper.experiments]:
        return False
    name = f"{spec['paper']}/{spec['experiment']}"
    try:
        own = experiment_spec(name, scale=spec["scale"], seed=spec["seed"]["base"])
        stored = stored_spec(run)
    except UsageError:
        return False  # a scale or a key of another version of the paper
    return (
        own.solo_id == stored.solo_id
        and own.learner.steps == stored.learner.steps
        and (own.roles, own.stop, own.record.observe) == (stored.roles, stored.stop, stored.record.observe)
        and set(own.record.measures) <= set(stored.record.measures)
    )


def verdicts_on(runs: Sequence[StoredRun]) -> list[Verdict]:
    """Return verdicts on every claim that names an experiment among ``runs``, a paper and a scale at a time.

    Runs with settings of their own (:func:`speaks`) say nothing. Of several runs of one experiment and seed
    the last one given counts.
    """
    grouped: dict[tuple[str, str], Runs] = defaultdict(lambda: defaultdict(dict))
    for run in filter(speaks, runs):
        spec = run.spec
        grouped[spec["paper"], spec["scale"]][spec["seed"]["base"]][spec["experiment"]] = run
    verdicts = []
    for (name, scale), found in grouped.items():
        paper: Paper = PAPERS.get(name)
        there = {experiment for by_experiment in found.values() for experiment in by_experiment}
        for claim in paper.claims:
            if there & set(claim.at(scale).experiments):
                verdicts.append(judge(claim, paper.id, scale, found))
    return verdicts
