"""The only place that counts steps: what to do when, until the end, an interruption or a stop rule.

It receives callables; it knows no measure, no file and no clock but the one that keeps it responsive.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from grokscope.cadence import Cadence
from grokscope.learners.base import Learner

RESPONSE_SECONDS = 0.25
"""About how long the loop advances before it looks at interruptions and shows progress."""


@dataclass(frozen=True)
class Plan:
    """When what happens, in steps; ``limit`` is the last one, ``breaks`` are steps to stop and say ``mark`` at."""

    limit: int
    observe: Sequence[Cadence]
    checkpoint: Cadence
    breaks: Sequence[int] = ()

    def observes(self, step: int) -> bool:
        """Tell whether anything is measured at ``step``."""
        return any(cadence.contains(step, self.limit) for cadence in self.observe)

    def next_after(self, step: int) -> int:
        """Return the next step at which anything happens; the limit if nothing does before it."""
        following = [cadence.next_after(step, self.limit) for cadence in (*self.observe, self.checkpoint)]
        following += [planned for planned in self.breaks if planned > step]
        return min(s for s in (*following, self.limit) if s is not None)


@dataclass(frozen=True)
class Hooks:
    """What the loop calls. ``observe`` and ``interrupted`` return a reason to end, or None to go on."""

    observe: Callable[[Any, int], Ended | None]
    checkpoint: Callable[[Any, int], None]
    interrupted: Callable[[], str | None] = field(default=lambda: None)
    mark: Callable[[int], None] = field(default=lambda step: None)
    progress: Callable[[int], None] = field(default=lambda step: None)


@dataclass(frozen=True)
class Ended:
    """How and where a training ended."""

    status: Literal["finished", "stopped", "diverged", "interrupted"]
    step: int
    reason: str | None = None


def run_loop(learner: Learner, state: Any, plan: Plan, hooks: Hooks, *, fresh: bool = True) -> tuple[Any, Ended]:
    """Advance ``state`` to the plan's limit and return it with how that ended.

    At each step where something is due: observe first, then checkpoint, so that a checkpoint's log
    holds everything up to and including its step. ``fresh`` is False for a restored state, which was
    observed before it was stored. An interruption or a stop leaves a checkpoint.
    """
    step = learner.step(state)
    chunk = 1
    due = fresh
    while True:
        ended: Ended | None = None
        if due and plan.observes(step):
            ended = hooks.observe(state, step)
        if due and step in plan.breaks:
            hooks.mark(step)
        hooks.progress(step)
        if ended is None and step >= plan.limit:
            ended = Ended("finished", step)
        if ended is None and (reason := hooks.interrupted()) is not None:
            ended = Ended("interrupted", step, reason)
        if ended is not None or (due and plan.checkpoint.contains(step, plan.limit)):
            hooks.checkpoint(state, step)
        if ended is not None:
            return state, ended
        count = min(plan.next_after(step) - step, chunk)
        started = time.monotonic()
        state = learner.advance(state, count)
        step += count
        spent = time.monotonic() - started
        # any partition of the steps gives the same bits, so the clock may choose how many go at once
        chunk = max(1, int(count * min(RESPONSE_SECONDS / max(spent, 1e-9), 4.0)))
        due = True
