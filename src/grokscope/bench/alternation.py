"""Timing two ways of doing the same thing on a machine whose speed drifts: in turn, and by their medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

LEAST_ROUNDS = 5


@dataclass(frozen=True)
class Comparison:
    """One line of a benchmark: both costs in ``unit``; ``ratio`` > 1 where ours is cheaper."""

    name: str
    baseline: float
    ours: float
    unit: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times the baseline costs what ours costs."""
        return self.baseline / self.ours

    def as_dict(self) -> dict[str, Any]:
        """Return the row of ``grokscope bench --json``."""
        return {**asdict(self), "details": dict(self.details), "ratio": self.ratio}


def alternate(
    ways: Mapping[str, Callable[[], object]],
    *,
    rounds: int = LEAST_ROUNDS,
    warm_up: int = 1,
    wait: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Call each way once a round, in turn, and return the seconds of each call, the first rounds dropped.

    Args:
        ways: what to time, by name; each call does the same work.
        rounds: how many are kept.
        warm_up: how many come before them.
        wait: called before each reading of the clock: waits for a device that works on its own.
        clock: seconds from any origin.

    Example:
        >>> sorted(alternate({"a": lambda: None, "b": lambda: None}, rounds=2))
        ['a', 'b']
    """
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(warm_up + rounds):
        for name, way in ways.items():
            wait()
            begun = clock()
            way()
            wait()
            if number >= warm_up:
                spent[name].append(clock() - begun)
    return spent


def median_and_range(seconds: list[float], scale: float = 1.0) -> tuple[float, list[float]]:
    """Return the median and [least, most] of times, each multiplied by ``scale``.

    Example:
        >>> median_and_range([3.0, 1.0, 2.0], 10)
        (20.0, [10.0, 30.0])
    """
    return scale * statistics.median(seconds), [scale * min(seconds), scale * max(seconds)]
