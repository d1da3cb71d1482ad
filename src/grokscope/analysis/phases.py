"""The phases of a run: by its Fourier circuit where that was measured, else by its transition rule.

Phases of Nanda et al. 2023 (Sec. 5.2), whose boundaries are drawn by hand there. Here, with "smoothed"
the running median over 3 observations and observations in slingshots left out:

- t1, end of memorisation: least smoothed excluded loss on train pairs once train accuracy is above
  0.99. It counts only if the smoothed loss then rises to 1.5 times that least value, and by 0.1 nats
  (the excluded loss of a run without a circuit is noise about 1e-9).
- t2, end of circuit formation: first observation after t1 with the test loss below half of its running
  maximum and d log Σw²/dt (per step, since the observation before) negative and below 1.5 times its
  median over the observations of (t1, t]; the median runs, so that a longer run has the same t2. A run
  that generalises by its transition rule before that, or without that, has t2 there: Σw² can fall in two
  stages, the steeper of them first.
- t3, end of cleanup: first observation after t2 from which Σw² is within 5 % of its final value for 3
  observations in a row, if the run then goes on to at least 1.1 · t3: the last observations of a run that
  ends in cleanup are close to its last one too.

Where generalisation declines for good (:mod:`grokscope.analysis.decline`) the run has no boundary after
that step but it, and "final" above means there. The constants, with their version, are in
:mod:`grokscope.analysis.definitions`.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from grokscope.analysis.decline import Decline, decline
from grokscope.analysis.definitions import DEFINITIONS, Definitions
from grokscope.analysis.series import Series, finite, running_median
from grokscope.analysis.sharpness import SigmoidFit, fit_sigmoid, sharpness
from grokscope.analysis.slingshots import TRAIN_ACCURACY, Stretch, slingshots, until, without
from grokscope.analysis.transitions import Level, TransitionRule, first_sustained, transition

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


@dataclass(frozen=True)
class Boundaries:
    """Every boundary found in a run, in steps; None is not found.

    ``memorisation_end``, ``circuit_formation_end``, ``cleanup_end`` are t1, t2, t3. ``abrupt_start`` is where
    a sharp transition without delay began. ``slingshots`` were left out of all but fit and generalisation,
    which the run's own rule declares.
    """

    fit_step: float | None = None
    generalise_step: float | None = None
    memorisation_end: float | None = None
    circuit_formation_end: float | None = None
    cleanup_end: float | None = None
    abrupt_start: float | None = None
    declined: Decline | None = None
    circuit: bool = False
    slingshots: tuple[Stretch, ...] = ()

    @property
    def collapse_step(self) -> float | None:
        """Where late generalisation was lost."""
        return None if self.declined is None or self.declined.kind == "misgrokking" else self.declined.step

    @property
    def misgrokking_step(self) -> float | None:
        """Where early generalisation was lost."""
        return self.declined.step if self.declined is not None and self.declined.kind == "misgrokking" else None

    def steps(self) -> dict[str, float | None]:
        """Return every boundary by name."""
        names = ("fit_step", "generalise_step", "memorisation_end", "circuit_formation_end", "cleanup_end")
        names += ("abrupt_start", "collapse_step", "misgrokking_step")
        return {name: getattr(self, name) for name in names}


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


def boundaries(
    series: Series,
    rule: TransitionRule | None,
    definitions: Definitions = DEFINITIONS,
    *,
    fit: SigmoidFit = fit_sigmoid,
) -> Boundaries:
    """Return every boundary of a run by the definitions; ``fit`` fits the sigmoid of a transition."""
    found = None if rule is None else transition(series, rule.model_copy(update={"axis": "step"}))
    fit_step = None if found is None else found.fit_step
    generalised = None if found is None else found.generalise_step
    flung = slingshots(series, fit_step, definitions)
    declined = decline(series, rule, definitions)
    settled = until(without(series, flung), None if declined is None else declined.step)
    circuit = circuit_boundaries(settled, generalised, definitions)
    first, second, third = circuit or (None, None, None)
    abrupt = None
    if circuit is None and generalised is not None and fit_step is not None and generalised <= fit_step:
        sharp = sharpness(series, rule, definitions, fit=fit)
        if sharp is not None and sharp.width <= definitions.abrupt_width and sharp.start < generalised:
            abrupt = sharp.start
    return Boundaries(
        fit_step=fit_step,
        generalise_step=generalised,
        memorisation_end=first,
        circuit_formation_end=second,
        cleanup_end=third,
        abrupt_start=abrupt,
        declined=declined,
        circuit=circuit is not None,
        slingshots=tuple(flung),
    )


def segment(
    series: Series, rule: TransitionRule | None, last_step: float, definitions: Definitions = DEFINITIONS
) -> list[Phase]:
    """Return the phases of a run from step 0 to ``last_step``; the list ends at the first boundary not found.

    With excluded loss, Σw², test loss and train accuracy: memorisation, circuit formation, cleanup,
    generalised (the module says how). Otherwise by ``rule``, in steps: memorisation, plateau,
    generalised, without the plateau where a run generalised no later than it fitted; where it did so
    within half a decade: plateau, abrupt, generalised. A run whose generalisation declined for good ends
    in anti-grokking, misgrokking or collapse. Without a circuit and a rule: one phase, ``training``.
    Phases of no length are left out.
    """
    return phases_between(boundaries(series, rule, definitions), rule, last_step)


def phases_between(found: Boundaries, rule: TransitionRule | None, last_step: float) -> list[Phase]:
    """Return the phases that the boundaries of a run bound; see :func:`segment`."""
    end = float(last_step)
    declined = found.declined if found.declined is not None and found.declined.step < end else None
    phases = _chain(*_named(found, rule), end if declined is None else declined.step)
    return phases if declined is None else [*phases, Phase(declined.kind, declined.step, end)]


def _named(found: Boundaries, rule: TransitionRule | None) -> tuple[tuple[str, ...], tuple[float | None, ...]]:
    if found.circuit:
        return CIRCUIT_PHASES, (found.memorisation_end, found.circuit_formation_end, found.cleanup_end)
    if rule is None:
        return ("training",), ()
    fit, generalise = found.fit_step, found.generalise_step
    if generalise is not None and found.abrupt_start is not None:
        return ("plateau", "abrupt", "generalised"), (found.abrupt_start, generalise)
    if generalise is not None and (fit is None or generalise <= fit):
        return ("memorisation", "generalised"), (generalise,)
    return ("memorisation", "plateau", "generalised"), (fit, generalise)


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
    series: Series, generalised: float | None = None, definitions: Definitions = DEFINITIONS
) -> tuple[float | None, float | None, float | None] | None:
    """Return (t1, t2, t3) in steps, None from the first not found on; None where a needed key is missing.

    ``generalised`` is where the run generalised by its transition rule: the latest that t2 can be.
    The curves are taken as they are: :func:`boundaries` leaves out slingshots and what follows a decline.

    Fewer than 3 observations of the excluded loss, and a Σw² that is 0, count as missing: nothing can be
    smoothed, and 0 has no logarithm.
    """
    accuracy, test_loss = finite(series, TRAIN_ACCURACY), finite(series, TEST_LOSS)
    excluded, squares = finite(series, EXCLUDED_LOSS), finite(series, SUM_OF_SQUARES)
    if accuracy is None or test_loss is None or excluded is None or squares is None:
        return None
    if len(excluded[0]) < definitions.smoothing or squares[1].min() <= 0:
        return None
    first = _memorisation_end(*accuracy, *excluded, definitions)
    second = None if first is None else _formation_end(first, *test_loss, *squares, definitions)
    if first is not None and generalised is not None and generalised > first:
        second = generalised if second is None else min(second, generalised)
    third = None if second is None else _cleanup_end(second, *squares, definitions)
    return first, second, third


def _memorisation_end(
    accuracy_steps: np.ndarray,
    accuracy: np.ndarray,
    steps: np.ndarray,
    excluded: np.ndarray,
    definitions: Definitions,
) -> float | None:
    fitted = np.flatnonzero(accuracy > definitions.fitted_accuracy)
    if not len(fitted):
        return None
    after = steps >= accuracy_steps[fitted[0]]
    steps, raw, smooth = steps[after], excluded[after], running_median(excluded, definitions.smoothing)[after]
    if not len(steps):
        return None
    # a median over 3 always ties beside a minimum; the raw value says which of the two it was
    least = int(np.lexsort((raw, smooth))[0])
    highest, lowest = smooth[least:].max(), smooth[least]
    risen = highest >= definitions.excluded_rise * lowest and highest >= lowest + definitions.excluded_rise_nats
    return float(steps[least]) if risen else None


def _formation_end(
    start: float,
    test_steps: np.ndarray,
    test_loss: np.ndarray,
    steps: np.ndarray,
    squares: np.ndarray,
    definitions: Definitions,
) -> float | None:
    # the running maximum is taken where the test loss was observed, then read on the grid of Σw²
    low = test_loss < definitions.test_loss_share * np.maximum.accumulate(test_loss)
    latest = np.searchsorted(test_steps, steps[1:], side="right") - 1
    fallen = (latest >= 0) & low[np.maximum(latest, 0)]
    slope = (np.diff(np.log(squares)) / np.diff(steps)).tolist()
    past: list[float] = []
    for index in np.flatnonzero(steps[1:] > start).tolist():
        insort(past, slope[index])
        half = len(past) // 2
        median = past[half] if len(past) % 2 else (past[half - 1] + past[half]) / 2
        if fallen[index] and slope[index] < min(0.0, definitions.steeper * median):
            return float(steps[index + 1])
    return None


def _cleanup_end(start: float, steps: np.ndarray, squares: np.ndarray, definitions: Definitions) -> float | None:
    near = (np.abs(squares - squares[-1]) <= definitions.final_band * squares[-1])[steps > start]
    found = first_sustained(near, definitions.final_sustain)
    if found is None:
        return None
    end = float(steps[steps > start][found])
    return end if steps[-1] >= definitions.settled_ratio * end else None
