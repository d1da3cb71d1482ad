"""What the claim on sums of symbols is judged by, from the runs of a seed; imports no torch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from grokscope.papers.liu2023.addition import FITTING
from grokscope.recipes.readings import last

Runs = Mapping[str, Any]
Values = dict[str, float | None]


def by_messiness(runs: Runs) -> Values:
    """Return the least factor by which test loss rises from each representation to the next messier one, at FITTING.

    ``test_…`` and ``train_…`` are the last losses there by messiness, ``least_…`` the least test loss over all norms.
    """
    ordered = sorted(runs.values(), key=lambda run: run.spec["task"]["messiness"])
    fitting = [run for run in ordered if run.spec["model"]["initial_scale"] == FITTING]
    found: Values = {}
    for run in fitting:
        messiness = run.spec["task"]["messiness"]
        found |= {f"{probe}_{messiness:g}": last(run, f"{probe}/loss") for probe in ("test", "train")}
        alike = [one for one in ordered if one.spec["task"]["messiness"] == messiness]
        found[f"least_{messiness:g}"] = min(last(one, "test/loss") for one in alike)
    tests = [last(run, "test/loss") for run in fitting]
    return {"least_rise": min(after / before for before, after in itertools.pairwise(tests)), **found}
