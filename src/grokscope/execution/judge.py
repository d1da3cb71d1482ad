"""Which stored runs speak to which claims, and what they say; imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from grokscope.claims import Claim, Verdict, judge
from grokscope.paper import Paper
from grokscope.registry import PAPERS
from grokscope.store import StoredRun

Runs = dict[int, dict[str, StoredRun]]
"""seed -> experiment -> run."""


def verdicts_on(runs: Sequence[StoredRun]) -> list[Verdict]:
    """Return verdicts on every claim that names an experiment among ``runs``, a paper and a scale at a time.

    Of several runs of one experiment and seed the last one given counts; runs of no known paper say nothing.
    """
    grouped: dict[tuple[str, str], Runs] = defaultdict(lambda: defaultdict(dict))
    for run in runs:
        spec = run.spec
        grouped[spec["paper"], spec["scale"]][spec["seed"]["base"]][spec["experiment"]] = run
    verdicts = []
    for (name, scale), found in grouped.items():
        if name not in PAPERS:
            continue
        paper: Paper = PAPERS.get(name)
        there = {experiment for by_experiment in found.values() for experiment in by_experiment}
        for claim in paper.claims:
            if there & set(claim.experiments):
                verdicts.append(judge_claim(paper, claim, scale, found))
    return verdicts


def judge_claim(paper: Paper, claim: Claim, scale: str, runs: Runs) -> Verdict:
    """Return the verdict on one claim from the runs of each seed."""
    return judge(claim, paper.id, scale, runs)
