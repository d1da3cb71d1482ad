"""What the claims on trap removal are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grokscope.analysis.ranks import rank_correlation
from grokscope.papers.prakash2025.mnist_experiments import MNIST

Runs = Mapping[str, Any]
Values = dict[str, float | None]

DIVERGENCE, CHANGE = "trap_removal/jsd", "trap_removal/error_change"
LEAST = 4
"""Traps from which on a rank correlation says something."""


def last_traps(run: Any) -> dict[str, tuple[float, float]]:
    """Return (divergence, change of the test error) of each trap at the last step that has any, by its name."""
    series = {
        name: (run.series(f"{DIVERGENCE}@{name}"), run.series(f"{CHANGE}@{name}")) for name in run.modules(DIVERGENCE)
    }
    if not series:
        return {}
    last = max(int(steps[-1]) for (steps, _), _ in series.values())
    return {
        name: (float(divergence[1][-1]), float(change[1][-1]))
        for name, (divergence, change) in series.items()
        if int(divergence[0][-1]) == last
    }


def harm(runs: Runs) -> Values:
    """Return the rank correlation of divergence and error change over the traps at the end, and how many there are."""
    found = last_traps(runs[MNIST])
    divergences, changes = ([pair[place] for pair in found.values()] for place in (0, 1))
    return {"rank_correlation": rank_correlation(divergences, changes, least=LEAST), "traps": float(len(found))}


def prototype(runs: Runs) -> Values:
    """Return the share of the most frequent class at the end, and at the start, on inputs without a pattern."""
    run = runs[MNIST]
    found: Values = {}
    for kind in ("normal", "shuffled"):
        key = f"trap_removal/{kind}_share"
        values = run.series(key)[1] if run.has(key) else []
        found[kind] = float(values[-1]) if len(values) else None
        found[f"{kind}_first"] = float(values[0]) if len(values) else None
    return found
