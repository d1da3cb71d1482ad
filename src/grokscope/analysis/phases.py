"""The phases of a run: by its Fourier circuit where that was measured, else by its transition rule.

Phases of Nanda et al. 2023 (Sec. 5.2), whose boundaries are drawn by hand there. Here, with "smoothed"
the running median over 3 observations:

- t1, end of memorisation: least smoothed excluded loss on train pairs once train accuracy is above
  0.99. It counts only if the smoothed loss then rises to 1.5 times that least value, and by 0.1 nats
  (the excluded loss of a run without a circuit is noise about 1e-9).
- t2, end of circuit formation: first observation after t1 with the test loss below half of its running
  maximum and d log Σw²/dt (per step, since the observation before) negative and below 1.5 times its
  median over the observations of (t1, t]; the median runs, so that a longer run has the same t2. A run
  that generalises by its transition rule before that, or without that, has t2 there: Σw² can fall in two
  stages, the steeper of them first.
- t3, end of cleanup: first observation after t2 from which Σw² is within 5 % of its final value for 3
  observations in a row.

Raise ``PHASE_RULE_VERSION`` when a boundary can move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from grokscope.analysis.series import Series, finite
from grokscope.analysis.transitions import Level, TransitionRule, first_sustained, transition

PHASE_RULE_VERSION = 1
SMOOTHING = 3
FITTED_ACCURACY = 0.99
EXCLUDED_RISE = 1.5
EXCLUDED_RISE_NATS = 0.1
TEST_LOSS_SHARE = 0.5
STEEPER = 1.5
FINAL_BAND = 0.05
FINAL_SUSTAIN = 3

TRAIN_ACCURACY = "train/accuracy"
TEST_LOSS = "test/loss"
EXCLUDED_LOSS = "fourier/excluded_loss"
SUM_OF_SQUARES = "weights/sum_of_squares"
CIRCUIT_PHASES = ("memorisation", "circuit formation", "cleanup", "generalised")


@dataclass(frozen=True)
class Phase:
    """A stretch of a run, in steps; one phase ends where the next one starts."""

    name: str
    start: float
    end: float

    def as_dict(self) -> dict[str, str | float]:
        """Return the fields by name."""
        return asdict(self)


def current_phase(latest: Mapping[str, float], rule: TransitionRule | None) -> str:
    """Return ``memorising``, ``fitted`` or ``generalised`` by the latest values alone.

    ``training`` where they cannot tell: without a rule, with a level relative to a plateau that is not
    known yet, or without a value of the rule's keys. A run at its level of generalisation is
    ``generalised`` even if it has not reached its level of fit.

    Example:
        >>> rule = TransitionRule(fit=("train/accuracy", 0.99), generalise=("test/accuracy", 0.9))
        >>> current_phase({"train/accuracy": 1.0, "test/accuracy": 0.2}, rule)
        'fitted'
    """
    if rule is None or "fraction" in (rule.fit.kind, rule.generalise.kind):
        return "training"
    if _reached(latest, rule.generalise):
        return "generalised"
    fitted = _reached(latest, rule.fit)
    if fitted is None:
        return "training"
    return "fitted" if fitted else "memorising"


def _reached(latest: Mapping[str, float], level: Level) -> bool | None:
    value = latest.get(level.key)
    if value is None or np.isnan(value):
        return None
    return bool(value >= level.level if level.direction == "rising" else value <= level.level)


def segment(series: Series, rule: TransitionRule | None, last_step: float) -> list[Phase]:
    """Return the phases of a run from step 0 to ``last_step``; the list ends at the first boundary not found.

    With excluded loss, Σw², test loss and train accuracy: memorisation, circuit formation, cleanup,
    generalised (the module says how). Otherwise by ``rule``, in steps: memorisation, plateau,
    generalised, without the plateau where a run generalised no later than it fitted. Without either:
    one phase, ``training``. Phases of no length are left out.
    """
    found = None if rule is None else transition(series, rule.model_copy(update={"axis": "step"}))
    boundaries = circuit_boundaries(series, found.generalise_step if found is not None else None)
    if boundaries is not None:
        return _chain(CIRCUIT_PHASES, boundaries, last_step)
    if found is None:
        return _chain(("training",), (), last_step)
    fit, generalise = found.fit_step, found.generalise_step
    if generalise is not None and (fit is None or generalise <= fit):
        return _chain(("memorisation", "generalised"), (generalise,), last_step)
    return _chain(("memorisation", "plateau", "generalised"), (fit, generalise), last_step)


def _chain(names: tuple[str, ...], boundaries: tuple[float | None, ...], last_step: float) -> list[Phase]:
    """Lay named phases end to end; a boundary that is None is the end of the run."""
    phases: list[Phase] = []
    start = 0.0
    for name, boundary in zip(names, (*boundaries, None), strict=True):
        end = float(last_step) if boundary is None else min(boundary, float(last_step))
        if end > start:
            phases.append(Phase(name, start, end))
        if boundary is None:
            break
        start = end
    return phases


def circuit_boundaries(
    series: Series, generalised: float | None = None
) -> tuple[float | None, float | None, float | None] | None:
    """Return (t1, t2, t3) in steps, None from the first not found on; None where a needed key is missing.

    ``generalised`` is where the run generalised by its transition rule: the latest that t2 can be.

    Fewer than 3 observations of the excluded loss, and a Σw² that is 0, count as missing: nothing can be
    smoothed, and 0 has no logarithm.
    """
    accuracy, test_loss = finite(series, TRAIN_ACCURACY), finite(series, TEST_LOSS)
    excluded, squares = finite(series, EXCLUDED_LOSS), finite(series, SUM_OF_SQUARES)
    if accuracy is None or test_loss is None or excluded is None or squares is None:
        return None
    if len(excluded[0]) < SMOOTHING or squares[1].min() <= 0:
        return None
    first = _memorisation_end(*accuracy, *excluded)
    second = None if first is None else _formation_end(first, *test_loss, *squares)
    if first is not None and generalised is not None and generalised > first:
        second = generalised if second is None else min(second, generalised)
    third = None if second is None else _cleanup_end(second, *squares)
    return first, second, third


def running_median(values: np.ndarray, width: int = SMOOTHING) -> np.ndarray:
    """Return the median over ``width`` (odd) observations centred on each; the ends are repeated outwards.

    Example:
        >>> running_median(np.array([1.0, 9.0, 2.0, 3.0])).tolist()
        [1.0, 2.0, 3.0, 3.0]
    """
    padded = np.pad(values, width // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=-1)


def _memorisation_end(
    accuracy_steps: np.ndarray, accuracy: np.ndarray, steps: np.ndarray, excluded: np.ndarray
) -> float | None:
    fitted = np.flatnonzero(accuracy > FITTED_ACCURACY)
    if not len(fitted):
        return None
    after = steps >= accuracy_steps[fitted[0]]
    steps, raw, smooth = steps[after], excluded[after], running_median(excluded)[after]
    if not len(steps):
        return None
    # a median over 3 always ties beside a minimum; the raw value says which of the two it was
    least = int(np.lexsort((raw, smooth))[0])
    highest = smooth[least:].max()
    risen = highest >= EXCLUDED_RISE * smooth[least] and highest >= smooth[least] + EXCLUDED_RISE_NATS
    return float(steps[least]) if risen else None


def _formation_end(
    start: float, test_steps: np.ndarray, test_loss: np.ndarray, steps: np.ndarray, squares: np.ndarray
) -> float | None:
    # the running maximum is taken where the test loss was observed, then read on the grid of Σw²
    low = test_loss < TEST_LOSS_SHARE * np.maximum.accumulate(test_loss)
    latest = np.searchsorted(test_steps, steps[1:], side="right") - 1
    fallen = (latest >= 0) & low[np.maximum(latest, 0)]
    slope = np.diff(np.log(squares)) / np.diff(steps)
    for index in np.flatnonzero(fallen & (steps[1:] > start)):
        past = slope[: index + 1][steps[1 : index + 2] > start]
        if slope[index] < min(0.0, STEEPER * float(np.median(past))):
            return float(steps[index + 1])
    return None


def _cleanup_end(start: float, steps: np.ndarray, squares: np.ndarray) -> float | None:
    near = (np.abs(squares - squares[-1]) <= FINAL_BAND * squares[-1])[steps > start]
    found = first_sustained(near, FINAL_SUSTAIN)
    return None if found is None else float(steps[steps > start][found])
