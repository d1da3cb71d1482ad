"""What the claims on networks are judged by, from the runs of a seed; imports no torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.papers.kumar2024.networks_experiments import (
    ADAPTIVE,
    DECAYS,
    INDICES,
    MOMENTUM,
    PERCEPTRON,
    READOUTS,
    STUDENT,
    TRANSFORMER,
    named,
)
from grokscope.recipes.readings import first, last, over

Runs = Mapping[str, Any]
Values = dict[str, float | None]
FRACTIONS = (0.5, 0.2, 0.1)
"""Of the initial loss: where delays in loss are read off."""


@dataclass(frozen=True)
class Delay:
    """How much later something happens; ``censored`` where it did not happen and this is how long the run waited."""

    value: float
    censored: bool = False

    @property
    def shown(self) -> float:
        """The delay, infinity where it is censored."""
        return math.inf if self.censored else self.value


def delay_between(run: Any, fit: float, generalise: float, *, steps: bool = False) -> Delay | None:
    """Return generalise / fit, or with ``steps`` their difference (1 at least); None if it never fits.

    Where it never generalises that is of the run's last observation: no more is known of how much later it would.
    """
    if not math.isfinite(fit):
        return None
    at = generalise if math.isfinite(generalise) else float(over(run, "test/loss")[0][-1])
    fit = max(fit, 1.0)
    return Delay(max(at - fit, 1.0) if steps else max(at, 1.0) / fit, not math.isfinite(generalise))


def delay_ratio(run: Any, fit: float, generalise: float) -> Delay | None:
    """Return how many times later test accuracy reaches its level than train accuracy its own."""
    return delay_between(run, first(run, "train/accuracy", fit), first(run, "test/accuracy", generalise))


def least_rise(delays: Sequence[Delay | None]) -> float | None:
    """Return the least factor from one delay to the next, of a censored one as much as is certain.

    None where it is not known: a delay is missing, or a run ended too early to tell whether its delay is the longer. A
    fall that is certain is told all the same.

    Example:
        >>> least_rise([Delay(1.0), Delay(2.0), Delay(3.0)]), least_rise([Delay(1.0), Delay(4.0, censored=True)])
        (1.5, 4.0)
        >>> least_rise([Delay(5.0), Delay(4.0, censored=True)]) is None
        True
    """
    rises = [None if a is None or b is None else _rise(a, b) for a, b in itertools.pairwise(delays)]
    known = [rise for rise in rises if rise is not None]
    return min(known) if known and (len(known) == len(rises) or min(known) < 1) else None


def _rise(before: Delay, after: Delay) -> float | None:
    factor = after.value / before.value
    certain = (not before.censored or factor < 1) and (not after.censored or factor >= 1)
    return factor if certain else None


def shown(delay: Delay | None) -> float | None:
    """Return a delay as a value, infinity where the run never generalised."""
    return None if delay is None else delay.shown


def grows_and_generalises(runs: Runs) -> Values:
    """Return how much later than the train accuracy test accuracy is complete, and how the weights grew.

    ``delay_ratio`` is of 0.9 test over complete train accuracy, ``norm_ratio`` the norm of the weights at the end over
    that at the start.
    """
    run = runs[PERCEPTRON]
    _, squares = over(run, "weights/sum_of_squares")
    return {
        "delay_ratio": shown(delay_ratio(run, 1.0, 0.9)),
        "fit_step": first(run, "train/accuracy", 1.0),
        "generalise_step": first(run, "test/accuracy", 0.9),
        "test_accuracy": last(run, "test/accuracy"),
        "norm_ratio": float(np.sqrt(squares[-1] / squares[0])),
    }


def perceptron_delays(runs: Runs) -> Values:
    """Return the delay of modular addition at each output scale, and the least factor from one to the next."""
    return _delays(runs, {name: (1.0, 0.9) for name in runs})


def image_delays(runs: Runs) -> Values:
    """Return the delay of MNIST at each output scale, test accuracy 0.85 after train accuracy 0.95, and their rise."""
    return _delays(runs, {name: (0.95, 0.85) for name in runs})


def transformer_delays(runs: Runs) -> Values:
    """Return the delay of the transformer at each output scale, and the least factor from one to the next."""
    return _delays(runs, {name: (0.99, 0.9) for name in runs})


def _delays(runs: Runs, levels: Mapping[str, tuple[float, float]]) -> Values:
    scales = {name: float(run.spec["learner"]["output_scale"]) for name, run in runs.items()}
    ordered = sorted(runs, key=lambda name: scales[name])
    delays = [delay_ratio(runs[name], *levels[name]) for name in ordered]
    each = {f"ratio_{scales[name]:g}": shown(delay) for name, delay in zip(ordered, delays, strict=True)}
    ends = {"smallest_scale": shown(delays[0]), "rise": least_rise([delays[0], delays[-1]])}
    return {"least_rise": least_rise(delays), **ends, **each}


def decay_against_laziness(runs: Runs) -> Values:
    """Return the delay of the first of DECAYS over that with more decay, and of the one of larger α over the latter.

    Both are above 1 where decay removes the delay and a larger output scale brings it back.
    """
    base, decayed, lazy = (
        delay_ratio(runs[named(TRANSFORMER, scale, None if decay == 1 else decay)], 0.99, 0.9)
        for scale, decay in DECAYS
    )
    return {
        "removed_by_decay": least_rise([decayed, base]),
        "restored_by_scale": least_rise([decayed, lazy]),
        "ratio": shown(base),
        "ratio_decayed": shown(decayed),
        "ratio_lazy": shown(lazy),
    }


def loss_delay(run: Any, fraction: float) -> tuple[float, float]:
    """Return when train and test loss have fallen to a fraction of their initial values; infinity for never."""
    found = []
    for key in ("train/loss", "test/loss"):
        _, values = over(run, key)
        found.append(max(first(run, key, fraction * float(values[0]), falling=True), 1.0))
    return found[0], found[1]


def deepest_delay(run: Any) -> Values:
    """Return G = log10(t_test / t_train) at the lowest of the fractions 0.5, 0.2, 0.1 that the test loss reaches.

    ``fraction`` says which it is, ``test_loss`` is the least test loss over that at the start. A run whose test loss
    does not even halve does not generalise later but not at all: its G is −∞, which no criterion takes for a delay.
    """
    _, values = over(run, "test/loss")
    found: Values = {"delay": -math.inf, "fraction": None}
    for fraction in FRACTIONS:
        fit, generalise = loss_delay(run, fraction)
        if math.isfinite(generalise) and math.isfinite(fit):
            found = {"delay": math.log10(generalise / fit), "fraction": fraction}
    return {**found, "test_loss": float(np.min(values) / values[0])}


def momentum_delay(runs: Runs) -> Values:
    """Return :func:`deepest_delay` of the run with momentum."""
    return deepest_delay(runs[MOMENTUM])


def readouts_delay(runs: Runs) -> Values:
    """Return :func:`deepest_delay` of the run with trained readouts."""
    return deepest_delay(runs[READOUTS])


def indices_delay(runs: Runs) -> Values:
    """Return :func:`deepest_delay` of the run with two hidden directions."""
    return deepest_delay(runs[INDICES])


def adaptive_delay(runs: Runs) -> Values:
    """Return :func:`deepest_delay` of the student trained with an adaptive optimizer."""
    return deepest_delay(runs[ADAPTIVE])


def hermite_delay(runs: Runs) -> Values:
    """Return the least :func:`deepest_delay` over the degrees, and each."""
    each = {name: deepest_delay(run)["delay"] for name, run in runs.items()}
    return {"delay": min(value for value in each.values() if value is not None), **each}


STRICT, LOOSE = "0.01", "0.1"
"""Thresholds of the squared error."""


def threshold_fakes_delay(runs: Runs) -> Values:
    """Return how much later test than train accuracy reaches 0.9, by threshold, beside how much later the loss falls.

    ``strict`` is of the threshold 0.01 and ``loose`` of 0.1, both of one run at output scale 1; ``loss_delay`` the
    largest of log10(t_test / t_train) at the fractions of the initial loss.
    """
    run = runs[named(STUDENT, 1)]
    strict, loose = (threshold_delay(run, threshold) for threshold in (STRICT, LOOSE))
    delays = [math.log10(generalise / fit) for fit, generalise in (loss_delay(run, f) for f in FRACTIONS)]
    return {
        "contrast": least_rise([loose, strict]),
        "loss_delay": max(delays),
        "strict": shown(strict),
        "loose": shown(loose),
    }


def threshold_delay(run: Any, threshold: str, *, steps: bool = False) -> Delay | None:
    """Return how much later the test accuracy of a threshold reaches 0.9 than the train accuracy."""
    fit, generalise = (first(run, f"threshold_accuracy/{probe}@{threshold}", 0.9) for probe in ("train", "test"))
    return delay_between(run, fit, generalise, steps=steps)


def delays_by_scale(runs: Runs) -> Values:
    """Return the delay in steps of the threshold 0.01 at each output scale of the student, and their least rise."""
    scales = {name: float(run.spec["learner"]["output_scale"]) for name, run in runs.items()}
    ordered = sorted(runs, key=lambda name: scales[name])
    delays = [threshold_delay(runs[name], STRICT, steps=True) for name in ordered]
    each = {f"delay_{scales[name]:g}": shown(delay) for name, delay in zip(ordered, delays, strict=True)}
    return {"least_rise": least_rise(delays), **each}
