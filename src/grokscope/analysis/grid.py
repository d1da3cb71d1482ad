"""What the runs of one cell of a grid say: when they fitted and generalised, and whether they did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from grokscope.analysis.seeds import interval, median
from grokscope.analysis.series import RunLike
from grokscope.analysis.transitions import TransitionRule, transition

STATES = ("generalised", "never generalised", "never fitted", "failed")
"""What most runs of a cell came to; those that diverged failed."""
Theory = Callable[[Any], Mapping[str, float | None]]
"""Of a run: when it should generalise, by the name of the forecast."""


class CellRun(RunLike, Protocol):
    """What is read of a run."""

    @property
    def spec(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def last_step(self) -> int | None: ...  # noqa: D102


def cell_row(
    values: Mapping[str, Any],
    runs: Sequence[CellRun],
    *,
    failed: int = 0,
    rule: TransitionRule | None = None,
    theory: Theory | None = None,
) -> dict[str, Any]:
    """Return what the runs (seeds) of a cell came to, as a row.

    ``fit_step``, ``generalise_step``, ``delay_steps`` and ``delay_ratio`` are medians over the runs that got there, on
    the rule's axis; ``interval`` and ``fit_interval`` the ranges of the first two. ``never`` counts the runs that
    never generalised, ``never_fitted`` those that never fitted, ``diverged`` and ``failed`` those that did. ``state``
    is one of :data:`STATES`: what half of the runs or more came to. ``theory`` has the medians of the forecasts.

    Args:
        values: where the cell is in the grid, by dotted key.
        runs: those that can be read.
        failed: how many more failed.
        rule: what counts as generalised; each run's own unless given.
        theory: a forecast of the step at which a run generalises.
    """
    crossings = []
    for run in runs:
        own = run.spec.get("transition")
        used = rule or (TransitionRule.model_validate(own) if own else None)
        if used is not None:
            crossings.append(transition(run.series, used))
    reached = [crossing.generalise_step for crossing in crossings]
    fitted = [crossing.fit_step for crossing in crossings]
    spread, fit_spread = interval(reached), interval(fitted)
    diverged = sum(run.status == "diverged" for run in runs)
    forecasts = [theory(run) for run in runs] if theory is not None else []
    names = dict.fromkeys(name for one in forecasts for name in one)
    lasts = [run.last_step for run in runs if run.last_step is not None]
    return {
        "values": dict(values),
        "fit_step": median(fitted),
        "fit_interval": None if fit_spread is None else list(fit_spread),
        "generalise_step": median(reached),
        "interval": None if spread is None else list(spread),
        "delay_steps": median(crossing.delay_steps for crossing in crossings),
        "delay_ratio": median(crossing.delay_ratio for crossing in crossings),
        "state": _state(reached, fitted, diverged + failed),
        "never": sum(crossing.censored is True for crossing in crossings),
        "never_fitted": sum(step is None for step in fitted),
        "diverged": diverged,
        "failed": failed,
        "last_step": max(lasts, default=None),
        "theory": {name: median(one.get(name) for one in forecasts) for name in names},
    }


def _state(reached: Sequence[float | None], fitted: Sequence[float | None], failed: int) -> str:
    count = len(reached)
    if not count or 2 * failed > count:
        return "failed"
    if 2 * sum(step is not None for step in reached) >= count:
        return "generalised"
    return "never generalised" if 2 * sum(step is not None for step in fitted) >= count else "never fitted"
