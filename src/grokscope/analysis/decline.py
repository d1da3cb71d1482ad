"""Decline of generalisation: after it came late (anti-grokking), or after it came early (misgrokking)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from grokscope.analysis.definitions import DEFINITIONS, Definitions
from grokscope.analysis.series import Series, finite, running_median
from grokscope.analysis.slingshots import slingshots, without
from grokscope.analysis.transitions import Level, TransitionRule, crossing, first_sustained, plateau, transition

Kind = Literal["anti-grokking", "misgrokking", "collapse"]


@dataclass(frozen=True)
class Decline:
    """Where and from what to what a test scalar declined for good.

    ``kind``: ``anti-grokking`` after it had generalised late, ``misgrokking`` after it had been good by the
    time of the fit, ``collapse`` where the fit of the training data is lost with it. ``threshold`` is the
    value whose crossing is ``step``.
    """

    kind: Kind
    step: float
    peak: float
    final: float
    threshold: float

    def as_dict(self) -> dict[str, str | float]:
        """Return the fields by name."""
        return asdict(self)


def decline(series: Series, rule: TransitionRule | None, definitions: Definitions = DEFINITIONS) -> Decline | None:
    """Return the decline of the scalar by which ``rule`` judges generalisation, or None.

    With m(t) the scalar smoothed by the running median over 3 observations (slingshots left out), m₀ its
    first value and m* its best one, it has declined where m falls short of m₀ + 0.9 (m* - m₀) and never
    again reaches it for ``rule.sustain`` observations in a row, nor with the median of its last tenth; at
    least ``rule.sustain`` observations must follow. The step is the crossing, linear in log-step. A run that
    starts past its level of generalisation has declined where it falls short of that level.

    The kind goes by when m first reached that threshold, by whether the rule says the run generalised, and
    by whether the train scalar kept 0.9 of its own gain:

    - early, by twice the step of the fit, and at least half of the way from m₀ to the level of
      generalisation, fit kept, decline after the fit: ``misgrokking`` (Lyu et al. 2024, Sec. 3.3);
    - later, generalised, fit kept: ``anti-grokking`` (Prakash & Martin 2025);
    - generalised, fit lost: ``collapse``;
    - else, or without a rule: None.
    """
    if rule is None:
        return None
    found = transition(series, rule.model_copy(update={"axis": "step"}))
    if found.fit_step is None:
        return None
    steady = without(series, slingshots(series, found.fit_step, definitions))
    read = finite(steady, rule.generalise.key)
    if read is None or len(read[0]) <= rule.sustain:
        return None
    sign = 1.0 if rule.generalise.direction == "rising" else -1.0
    steps, smooth = read[0], running_median(sign * read[1], definitions.smoothing)
    first, best = float(sign * read[1][0]), float(smooth.max())
    level = best if rule.generalise.kind == "fraction" else sign * rule.generalise.level
    threshold = level if first >= level else first + definitions.decline_share * (best - first)
    fallen = _fallen(steps, smooth, threshold, rule.sustain)
    if fallen is None:
        return None
    risen = crossing(steps, smooth, threshold, sustain=rule.sustain)
    kind = _kind(
        early=risen is not None and risen <= definitions.early_ratio * max(found.fit_step, _first_positive(steps)),
        enough=best - first >= definitions.early_gain * (level - first),
        after_fit=fallen >= found.fit_step,
        generalised=found.generalise_step is not None and found.generalise_step <= fallen,
        kept=_kept(steady, rule.fit, definitions),
    )
    if kind is None:
        return None
    return Decline(kind, fallen, sign * best, plateau(read[1]), sign * threshold)


def collapse(series: Series, rule: TransitionRule | None, definitions: Definitions = DEFINITIONS) -> float | None:
    """Return the step at which a run that had generalised late lost it for good, or None; see :func:`decline`."""
    found = decline(series, rule, definitions)
    return found.step if found is not None and found.kind != "misgrokking" else None


def misgrokking(series: Series, rule: TransitionRule | None, definitions: Definitions = DEFINITIONS) -> float | None:
    """Return the step at which a run that was good early lost it with its fit kept, or None; see :func:`decline`."""
    found = decline(series, rule, definitions)
    return found.step if found is not None and found.kind == "misgrokking" else None


def _fallen(steps: np.ndarray, smooth: np.ndarray, threshold: float, sustain: int) -> float | None:
    good = smooth >= threshold
    held = first_sustained(good[::-1], sustain)
    if held is None or plateau(smooth) >= threshold:
        return None
    # seen from the end, the first stretch of good observations begins at the last good one
    last = len(steps) - 1 - held
    if len(steps) - 1 - last < sustain:
        return None
    return crossing(steps[last:], smooth[last:], threshold, direction="falling")


def _kind(*, early: bool, enough: bool, after_fit: bool, generalised: bool, kept: bool) -> Kind | None:
    if generalised and not kept:
        return "collapse"
    if early:
        return "misgrokking" if enough and after_fit and kept else None
    return "anti-grokking" if generalised else None


def _kept(series: Series, fit: Level, definitions: Definitions) -> bool:
    read = finite(series, fit.key)
    if read is None:
        return False
    sign = 1.0 if fit.direction == "rising" else -1.0
    values = sign * read[1]
    first, best, last = values[0], values.max(), plateau(values)
    if fit.kind == "absolute" and last >= sign * fit.level:
        return True
    return bool(best > first and last - first >= definitions.decline_share * (best - first))


def _first_positive(steps: np.ndarray) -> float:
    positive = steps[steps > 0]
    return float(positive[0]) if len(positive) else 0.0
