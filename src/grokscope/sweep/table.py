"""What a sweep found: one row a combination of the grid's values, over its seeds; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grokscope.analysis.seeds import interval, median
from grokscope.analysis.transitions import TransitionRule, transition
from grokscope.store import open_run
from grokscope.sweep.pool import Done


def phase_table(results: Sequence[Done]) -> list[dict[str, Any]]:
    """Return, for each combination of values, when its seeds fitted and generalised.

    ``generalise_step`` and ``delay_ratio`` are medians over the seeds that got there, ``interval`` the range of the
    former; ``never`` counts the seeds that fitted or not but never generalised, ``failed`` those whose run failed.
    """
    groups: dict[str, list[Done]] = {}
    for done in results:
        groups.setdefault(repr(sorted(done.cell.values.items())), []).append(done)
    return [_row(members) for members in groups.values()]


def _row(members: Sequence[Done]) -> dict[str, Any]:
    crossings = []
    for done in members:
        if done.problem is None:
            run = open_run(done.directory)
            rule = run.spec.get("transition")
            if rule:
                crossings.append(transition(run.series, TransitionRule.model_validate(rule)))
    reached = [crossing.generalise_step for crossing in crossings]
    spread = interval(reached)
    return {
        "values": dict(members[0].cell.values),
        "seeds": [done.cell.seed for done in members],
        "fit_step": median(crossing.fit_step for crossing in crossings),
        "generalise_step": median(reached),
        "interval": None if spread is None else list(spread),
        "delay_ratio": median(crossing.delay_ratio for crossing in crossings),
        "never": sum(crossing.censored is True for crossing in crossings),
        "failed": sum(done.problem is not None for done in members),
        "runs": [str(done.directory) for done in members],
    }
