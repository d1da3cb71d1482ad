"""What the claims on MNIST are judged by: values before the fit, at the best test accuracy and at the end.

Accuracies and exponents are medians over several observations, as single ones jump. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.analysis.series import running_median
from grokscope.analysis.transitions import first_sustained, plateau
from grokscope.papers.prakash2025.mnist_experiments import COMPLEXITY, DECAY, FIRST, HELD, MNIST, SECOND
from grokscope.recipes.readings import first, over

Runs = Mapping[str, Any]
Values = dict[str, float | None]

LEARNT = 0.5
"""Train accuracy that a run must reach: one that does not is dead (its units were killed by the first steps)."""
FITTED = 0.95
LOST = 0.06
"""A run has collapsed if its test accuracy ends so far below its best: more than the paper's own control loses."""
NEAR = 1.35
"""What counts as near a step: within this factor of it."""
OVERTRAINED = 2.0
"""An α below this is called over-trained."""
HALF = 0.5
"""Traps, on average over shuffles, from which on there is one."""


@dataclass(frozen=True)
class Course:
    """How the accuracy of a run went: steps of the fit and of the best test accuracy, that accuracy, and both ends."""

    fit: float
    peak: float
    best: float
    final: float
    train: float

    @property
    def drop(self) -> float:
        """How much of the best test accuracy is lost at the end."""
        return self.best - self.final


def course(run: Any) -> Course | None:
    """Return the course of a run; None for a dead one, whose train accuracy never reaches 0.5.

    Test accuracy is smoothed by the running median over three observations; its end is the median of the last tenth.
    """
    train, (steps, test) = over(run, "train/accuracy")[1], over(run, "test/accuracy")
    if not len(train) or not len(test) or train.max() < LEARNT:
        return None
    smooth = running_median(test, 3)
    best = int(smooth.argmax())
    fit = first(run, "train/accuracy", FITTED, sustain=3)
    return Course(fit, float(steps[best]), float(smooth[best]), plateau(test), plateau(train))


@dataclass(frozen=True)
class Phases:
    """A key's median up to the fit, near the best test accuracy, and over the last tenth of the observations."""

    before: float
    peak: float
    end: float


def phases(run: Any, key: str) -> Phases | None:
    """Return the values of a key in the three phases; None of a dead run, or one that never fits."""
    found = course(run)
    if found is None or not np.isfinite(found.fit):
        return None
    at, values = over(run, key)
    before, near = values[at <= found.fit], values[(at >= found.peak / NEAR) & (at <= found.peak * NEAR)]
    if not len(near):
        near = values[[np.abs(np.log(np.maximum(at, 1) / max(found.peak, 1))).argmin()]]
    return Phases(float(np.median(before)), float(np.median(near)), plateau(values))


def anti_grokking(runs: Runs) -> Values:
    """Return the best test accuracy, how much of it is lost at the end, and the train accuracy there."""
    return _course_values(runs[MNIST])


def control(runs: Runs) -> Values:
    """Return the same of the run with weight decay, and what became of its norm, its entropy and its exponents."""
    run = runs[DECAY]
    norm, entropy = over(run, "norms/total_l2")[1], over(run, "weight_entropy/first")[1]
    exponents = {name: phases(run, f"htsr/alpha@{layer}") for name, layer in (("fc1", FIRST), ("fc2", SECOND))}
    ends = [one.end for one in exponents.values() if one is not None]
    return {
        **_course_values(run),
        "norm_ratio": float(norm[-1] / norm[0]),
        "entropy_ratio": float(entropy[-1] / entropy[0]),
        "mean_alpha": float(np.mean(ends)) if ends else None,
        **{f"{name}_alpha": None if one is None else one.end for name, one in exponents.items()},
    }


def _course_values(run: Any) -> Values:
    found = course(run)
    if found is None:
        return {"best": None, "drop": None, "train": None}
    return {
        "best": found.best, "drop": found.drop, "train": found.train, "final": found.final,
        "fit_step": found.fit, "peak_step": found.peak,
    }  # fmt: skip


def exponents(runs: Runs) -> Values:
    """Return α of both layers in the three phases, their mean, and the least fall of that from a phase to the next."""
    each = {name: phases(runs[MNIST], f"htsr/alpha@{layer}") for name, layer in (("fc1", FIRST), ("fc2", SECOND))}
    found: Values = {}
    for name, one in each.items():
        for phase in ("before", "peak", "end"):
            found[f"{name}_{phase}"] = None if one is None else getattr(one, phase)
    for phase in ("before", "peak", "end"):
        some = [found[f"{name}_{phase}"] for name in each]
        found[f"mean_{phase}"] = None if None in some else float(np.mean([one for one in some if one is not None]))
    for name in ("fc1", "fc2", "mean"):
        three = [found[f"{name}_{phase}"] for phase in ("before", "peak", "end")]
        known = [one for one in three if one is not None]
        found[f"{name}_least_fall"] = float(-np.diff(known).max()) if len(known) == 3 else None
    return found


def traps(runs: Runs) -> Values:
    """Return the traps of both layers at the start, near the best test accuracy and at the end.

    Counted with WeightWatcher's threshold, as published; ``fc1_robust_end`` is with that of Tracy and Widom.
    """
    run, found = runs[MNIST], Values()
    for name, layer in (("fc1", FIRST), ("fc2", SECOND)):
        for rule, key in (("", "traps_ww"), ("robust_", "traps")):
            of_layer = f"correlation_traps/{key}@{layer}"
            some = phases(run, of_layer)
            found[f"{name}_{rule}start"] = float(over(run, of_layer)[1][0])
            found[f"{name}_{rule}peak"] = None if some is None else some.peak
            found[f"{name}_{rule}end"] = None if some is None else some.end
    return found


def shuffled_bulk(runs: Runs) -> Values:
    """Return the p-value of the test of the shuffled FC1 against Marchenko and Pastur in the three phases."""
    run, key = runs[MNIST], f"correlation_traps/ks_p_value@{FIRST}"
    some = phases(run, key)
    return {
        "start": float(over(run, key)[1][0]),
        "before": None if some is None else some.before,
        "peak": None if some is None else some.peak,
        "end": None if some is None else some.end,
        "statistic_end": plateau(over(run, f"correlation_traps/ks_statistic@{FIRST}")[1]),
    }


def norm_growth(runs: Runs) -> Values:
    """Return the norm of all parameters at the end, and near the best test accuracy, over that at the start."""
    key = "norms/total_l2"
    norms, some = over(runs[MNIST], key)[1], phases(runs[MNIST], key)
    return {
        "growth": float(norms[-1] / norms[0]),
        "at_peak": None if some is None else some.peak / float(norms[0]),
    }


def sparsity_rises(runs: Runs) -> Values:
    """Return how much the share of activations that are off rises up to the best test accuracy, and after it."""
    return _changes(runs[MNIST], "sparsity/mean")


def entropy_changes_sign(runs: Runs) -> Values:
    """Return the entropy of the first matrix at the start and at the end over the start, and its two changes."""
    run, key = runs[MNIST], "weight_entropy/first"
    values = over(run, key)[1]
    return {"start": float(values[0]), "end_ratio": float(values[-1] / values[0]), **_changes(run, key)}


def complexity_vanishes(runs: Runs) -> Values:
    """Return the local complexity near the best test accuracy and at the end, over that at the start."""
    run, key = runs[MNIST], f"{COMPLEXITY}/complexity"
    start, some = float(over(run, key)[1][0]), phases(run, key)
    return {
        "peak_ratio": None if some is None else some.peak / start,
        "end_ratio": None if some is None else some.end / start,
    }


def _changes(run: Any, key: str) -> Values:
    start, some = float(over(run, key)[1][0]), phases(run, key)
    if some is None:
        return {"rise_before": None, "rise_after": None}
    return {"rise_before": some.peak - start, "rise_after": some.end - some.peak}


def norm_held(runs: Runs) -> Values:
    """Return what is lost at the end with the norm held, what without, and the former over the latter.

    ``held_alpha`` is α of FC1 at the end of the former, ``held_traps`` its traps.
    """
    free, held = course(runs[MNIST]), course(runs[HELD])
    if free is None or held is None:
        return {"share": None, "held_drop": None, "free_drop": None}
    some = phases(runs[HELD], f"htsr/alpha@{FIRST}")
    return {
        "share": held.drop / free.drop if free.drop > 0 else None,
        "held_drop": held.drop,
        "free_drop": free.drop,
        "held_train": held.train,
        "held_alpha": None if some is None else some.end,
        "held_traps": plateau(over(runs[HELD], f"correlation_traps/traps_ww@{FIRST}")[1]),
    }


@dataclass(frozen=True)
class Alarm:
    """What an alarm told of runs, by their ends: how many of those that collapsed, and of those that did not."""

    hits: int
    collapsed: int
    false: int
    sound: int

    @property
    def sensitivity(self) -> float | None:
        """Share of the collapsed runs that it told; None without any."""
        return self.hits / self.collapsed if self.collapsed else None

    @property
    def specificity(self) -> float | None:
        """Share of the sound runs that it did not; None without any."""
        return 1 - self.false / self.sound if self.sound else None


def alarm(runs: Sequence[tuple[bool, bool]]) -> Alarm:
    """Return the counts of (collapsed, alarmed) over runs.

    Example:
        >>> found = alarm([(True, True), (True, False), (False, True), (False, False)])
        >>> found.sensitivity, found.specificity
        (0.5, 0.5)
    """
    return Alarm(
        hits=sum(alarmed for collapsed, alarmed in runs if collapsed),
        collapsed=sum(collapsed for collapsed, _ in runs),
        false=sum(alarmed for collapsed, alarmed in runs if not collapsed),
        sound=sum(not collapsed for collapsed, _ in runs),
    )


def least_alpha(run: Any, layers: Sequence[str] = (FIRST, SECOND)) -> float:
    """Return the least α of the layers over the last tenth of the observations."""
    return min(plateau(over(run, f"htsr/alpha@{layer}")[1]) for layer in layers)


def most_traps(run: Any, key: str = "traps_ww", layers: Sequence[str] = (FIRST, SECOND)) -> float:
    """Return the most traps of the layers over the last tenth of the observations."""
    return max(plateau(over(run, f"correlation_traps/{key}@{layer}")[1]) for layer in layers)


def ever_overtrained(run: Any, layers: Sequence[str] = (FIRST, SECOND), *, sustain: int = 3) -> bool:
    """Tell whether α of a layer is below 2 at ``sustain`` observations in a row, at any time after the fit."""
    fit = first(run, "train/accuracy", FITTED, sustain=3)
    for layer in layers:
        at, values = over(run, f"htsr/alpha@{layer}")
        below = (values < OVERTRAINED) & (at >= fit)
        if first_sustained(below, sustain) is not None:
            return True
    return False


ALARMS = {
    "alpha": lambda run: least_alpha(run) < OVERTRAINED,
    "alpha_ever": ever_overtrained,
    "alpha_fc1": lambda run: least_alpha(run, (FIRST,)) < OVERTRAINED,
    "alpha_fc2": lambda run: least_alpha(run, (SECOND,)) < OVERTRAINED,
    "traps": lambda run: most_traps(run) > HALF,
    "traps_robust": lambda run: most_traps(run, "traps") > HALF,
    "largest_entry": lambda run: most_traps(run, "largest_entry") > 1,
}
"""By name: whether a run looks as one that has collapsed, at its end (of ``alpha_ever``: at any time after the fit)."""


def alarms(runs: Mapping[str, Sequence[Any]]) -> Values:
    """Return sensitivity and specificity of each alarm over all runs that are not dead, and how many runs there are.

    A run has collapsed if it ends more than 0.06 below its best test accuracy, and has kept its fit or not.
    """
    known = [(run, found) for some in runs.values() for run in some if (found := course(run)) is not None]
    dead = sum(len(some) for some in runs.values()) - len(known)
    values: Values = {}
    collapsed = [found.drop > LOST for _, found in known]
    for name, rings in ALARMS.items():
        found = alarm([(lost, rings(run)) for lost, (run, _) in zip(collapsed, known, strict=True)])
        values |= {f"{name}_sensitivity": found.sensitivity, f"{name}_specificity": found.specificity}
    return {
        **values,
        "collapsed": float(sum(collapsed)),
        "sound": float(len(known) - sum(collapsed)),
        "dead": float(dead),
    }
