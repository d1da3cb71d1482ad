"""Whether the second detector sees the boundaries that the definitions name, and how far away."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from grokscope.analysis.changepoints import PENALTY, Changes, Scale, changepoints
from grokscope.analysis.phases import EXCLUDED_LOSS, SUM_OF_SQUARES, TEST_LOSS, Boundaries
from grokscope.analysis.series import Series, finite
from grokscope.analysis.slingshots import without
from grokscope.analysis.transitions import TransitionRule

TOLERANCE = 1.25
"""A boundary within this factor of a change point is the same one, or within one interval of observation."""

Watched = tuple[tuple[str, Scale], ...]

CIRCUIT: dict[str, Watched] = {
    "memorisation_end": ((EXCLUDED_LOSS, "log"),),
    "circuit_formation_end": ((SUM_OF_SQUARES, "log"), (TEST_LOSS, "log")),
    "cleanup_end": ((SUM_OF_SQUARES, "log"),),
}
"""The curves in which each boundary of the circuit is looked for."""
FIT = ("fit_step",)
GENERALISATION = ("generalise_step", "abrupt_start", "collapse_step", "misgrokking_step")


@dataclass(frozen=True)
class Agreement:
    """A boundary of the definitions and what the second detector found nearest to it.

    ``nearest`` is a change point of ``key``, or ``step`` itself where it lies in a move of that curve;
    ``intervals`` is how many intervals of observation lie between the two, ``None`` with ``nearest``.
    """

    boundary: str
    step: float
    key: str
    nearest: float | None
    intervals: float | None
    agrees: bool

    def as_dict(self) -> dict[str, str | float | bool | None]:
        """Return the fields by name."""
        return asdict(self)


def agreement(
    series: Series, rule: TransitionRule | None, found: Boundaries, *, penalty: float = PENALTY
) -> list[Agreement]:
    """Return for each boundary in ``found`` whether the second detector agrees, in the order of the steps.

    A level that is crossed (fit, generalisation, decline) agrees inside a move of its curve; a bend (t1, t2,
    t3) agrees with the nearest change point. Outside, both agree within a factor 1.25 in the step, or one
    interval of observation of that curve. Slingshots are left out. A boundary at step 0 has no logarithm
    and is not asked about; nor is one whose curve is not there.
    """
    watched = dict(CIRCUIT)
    if rule is not None:
        watched |= dict.fromkeys(FIT, ((rule.fit.key, "linear"),))
        watched |= dict.fromkeys(GENERALISATION, ((rule.generalise.key, "linear"),))
    steady = without(series, found.slingshots)
    seen: dict[tuple[str, Scale], Changes | None] = {}
    told = []
    for name, step in found.steps().items():
        if step is None or step <= 0 or name not in watched:
            continue
        candidates = []
        for key, scale in watched[name]:
            if (key, scale) not in seen:
                seen[key, scale] = changepoints(steady, key, scale, penalty=penalty)
            changes, read = seen[key, scale], finite(steady, key)
            if changes is not None and read is not None:
                candidates.append(_nearest(name, step, changes, read[0], crossed=name not in CIRCUIT))
        if candidates:
            told.append(min(candidates, key=lambda one: math.inf if one.intervals is None else one.intervals))
    return sorted(told, key=lambda one: one.step)


def _nearest(name: str, step: float, changes: Changes, steps: np.ndarray, *, crossed: bool) -> Agreement:
    inside = crossed and any(move.start <= step <= move.end for move in changes.moves)
    near = step if inside else min(changes.points, key=lambda point: abs(math.log(point / step)), default=None)
    if near is None:
        return Agreement(name, step, changes.key, None, None, False)
    places = np.arange(len(steps))
    apart = abs(float(np.interp(near, steps, places) - np.interp(step, steps, places)))
    agrees = apart <= 1 or max(near / step, step / near) <= TOLERANCE
    return Agreement(name, step, changes.key, near, round(apart, 3), agrees)
