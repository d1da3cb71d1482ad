"""In which phase a training is, judged without test data: from its features, its weights and its training fit.

The rule was made on trainings whose test accuracy was known and is judged in ``docs/label-free-phase.md``.
It looks at three things.

* Has the training data been fitted? (train accuracy, or loss; where there are no labels this is not known.)
* Have the features been compressed since? The effective rank of each hidden layer's activations on the
  training inputs, over its largest value since the fit: a network that only memorises keeps or widens its
  features, one that comes to generalise narrows them (Fan, Pascanu, Jaggi 2024, arXiv 2405.19454).
* Do the weights run away? The norm over its least value since the fit, together with correlation traps
  (Prakash, Martin 2025, arXiv 2506.04434). Neither alone is a sign: traps appear in sound networks too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from grokscope.store import split_key

Phase = Literal["memorising", "generalising", "collapsing", "unknown"]
Scalars = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Flat key -> (steps, values), as ``run.series(key)`` gives them."""

MEASURES = ("weights", "performance", "feature_rank:where=activations", "correlation_traps")
"""What must be measured for the rule to see all it looks at."""

RULE_VERSION = 2
"""Raised when the phase of any training can change."""

FIT_ACCURACY = "train/accuracy"
FIT_LOSS = "train/loss"
FEATURES = "feature_rank:where=activations/effective"
NORM = "weights/sum_of_squares"
TRAPS = "correlation_traps/traps"


@dataclass(frozen=True)
class LabelFreeRule:
    """The thresholds of the rule.

    Attributes:
        fit_accuracy: train accuracy from which the training data counts as fitted.
        fit_loss: share of its first value below which the train loss counts as fitted, where there is no accuracy.
        compressed: share of its largest value since the fit below which an effective rank has been compressed.
        clearly_compressed: the same, for a network whose weights run away.
        layers: share of the hidden layers that must have been compressed at least so far.
        growth: times its least value since the fit to which the weight norm has grown when weights run away.
        traps: correlation traps, on average over shuffles, in some matrix.
        observations: so many since the fit are needed before anything is said.
    """

    fit_accuracy: float = 0.95
    fit_loss: float = 0.05
    compressed: float = 0.95
    clearly_compressed: float = 0.85
    layers: float = 0.75
    growth: float = 1.4
    traps: float = 0.5
    observations: int = 3


RULE = LabelFreeRule()
"""The rule of ``RULE_VERSION``."""


@dataclass(frozen=True)
class Evidence:
    """One thing the rule looked at: its value (None where it was not measured) and what it says."""

    name: str
    key: str
    value: float | None
    says: str


@dataclass(frozen=True)
class Assessment:
    """The phase of a training at a step, the rule that gave it, and what the rule saw."""

    phase: Phase
    step: int | None
    rule: str
    evidence: tuple[Evidence, ...]

    def __str__(self) -> str:
        """Return the phase, the rule and the evidence in a line each."""
        lines = [f"{self.phase}" + ("" if self.step is None else f" (step {self.step})"), f"  rule: {self.rule}"]
        return "\n".join([*lines, *(f"  {part.name}: {part.says} [{part.key}]" for part in self.evidence)])

    def as_dict(self) -> dict[str, object]:
        """Return it JSON-ready."""
        return {
            "phase": self.phase,
            "step": self.step,
            "rule": self.rule,
            "rule_version": RULE_VERSION,
            "evidence": [vars(part) for part in self.evidence],
        }


def assess(scalars: Scalars, *, step: int | None = None, rule: LabelFreeRule = RULE) -> Assessment:
    """Return the phase of a training at its last observation, or at ``step``, from what was measured up to there.

    Args:
        scalars: flat key -> (steps, values); keys that are missing are evidence that is missing.
        step: the moment to judge, as it looked then; the last observation if None.
        rule: the thresholds.

    Example:
        >>> nothing = assess({})
        >>> nothing.phase, nothing.step
        ('unknown', None)
    """
    known = {key: _until(series, step) for key, series in scalars.items()}
    known = {key: series for key, series in known.items() if len(series[0])}
    last = max((int(steps[-1]) for steps, _ in known.values()), default=None)
    fit, fitted = _fit(known, rule)
    features, ratio, seen = _features(known, fitted, rule)
    norm, growth = _norm(known, fitted, rule)
    traps, count = _traps(known, rule)
    if norm.value is not None and not np.isfinite(norm.value):
        phase, why = "unknown", "the weights are not finite: the training has diverged."
    else:
        since = "the training data was fitted"
        if fit.value is None:
            since = "the first observation (no labels: whether the training data is fitted is not known)"
        phase, why = _phase(fitted, ratio if seen >= rule.observations else None, growth, count, since, rule)
    return Assessment(phase, last, why, (fit, features, norm, traps))


def history(scalars: Scalars, *, rule: LabelFreeRule = RULE) -> list[Assessment]:
    """Return the assessment at each step at which features were measured, as it would have been given then."""
    steps = sorted({int(step) for key in _layers(scalars) for step in scalars[key][0]})
    return [assess(scalars, step=step, rule=rule) for step in steps]


def _phase(
    fitted: float | None,
    ratio: float | None,
    growth: float | None,
    traps: float | None,
    since: str,
    rule: LabelFreeRule,
) -> tuple[Phase, str]:
    if fitted is None:
        return "unknown", "the training data has not been fitted yet."
    if ratio is None:
        return "unknown", f"fewer than {rule.observations} observations of the features since {since}."
    runaway = growth is not None and growth >= rule.growth
    if runaway and traps is not None and traps >= rule.traps and ratio <= rule.clearly_compressed:
        return "collapsing", "the features are compressed, and the weights run away with correlation traps in them."
    if runaway and rule.clearly_compressed < ratio <= rule.compressed:
        return "unknown", "the weights run away, and the features are hardly compressed: the evidence is in conflict."
    if ratio <= rule.compressed:
        return "generalising", f"the features have been compressed since {since}."
    return "memorising", f"the features have not been compressed since {since}."


def _fit(known: Scalars, rule: LabelFreeRule) -> tuple[Evidence, float | None]:
    """Return the evidence and the step of the fit: None if not yet, the first step where it cannot be known."""
    for key in (FIT_ACCURACY, FIT_LOSS):
        if key not in known:
            continue
        steps, values = known[key]
        if key == FIT_ACCURACY:
            level, there = rule.fit_accuracy, values >= rule.fit_accuracy
            aim = f"{level:g}"
        else:
            level = rule.fit_loss * values[0]
            there, aim = values <= level, f"{rule.fit_loss:g} of its first value"
        first = float(steps[np.argmax(there)]) if there.any() else None
        says = f"fitted from step {first:g}" if first is not None else f"{values[-1]:.3g}, not fitted ({aim}) so far"
        return Evidence("train fit", key, float(values[-1]), says), first
    return Evidence("train fit", FIT_ACCURACY, None, "not known: there are no training labels"), 0.0


def _layers(scalars: Scalars) -> list[str]:
    return [key for key in scalars if split_key(key)[0] == FEATURES and split_key(key)[1] is not None]


def _features(known: Scalars, fitted: float | None, rule: LabelFreeRule) -> tuple[Evidence, float | None, int]:
    """Return the evidence, the ratio that enough layers are at or below, and the observations since the fit."""
    ratios: list[float] = []
    seen = 0
    for key in _layers(known):
        steps, values = known[key]
        since = values[steps >= (fitted or 0.0)]
        since = since[np.isfinite(since)]
        if len(since) and since.max() > 0:
            ratios.append(float(since[-1] / since.max()))
            seen = max(seen, len(since))
    if not ratios or fitted is None:
        missing = "not measured" if not ratios else "waits for the fit"
        return Evidence("feature rank", FEATURES, None, missing), None, 0
    ratio = float(np.quantile(ratios, rule.layers, method="higher"))
    says = (
        f"{ratio:.2f} of its largest since the fit, or less, in at least {rule.layers:.0%} of {len(ratios)} layers "
        f"(compressed from {rule.compressed:g})"
    )
    return Evidence("feature rank", FEATURES, ratio, says), ratio, seen


def _norm(known: Scalars, fitted: float | None, rule: LabelFreeRule) -> tuple[Evidence, float | None]:
    if NORM not in known:
        return Evidence("weight norm", NORM, None, "not measured"), None
    steps, values = known[NORM]
    since = np.sqrt(values[steps >= (fitted or 0.0)])
    if not np.isfinite(values[-1]):
        return Evidence("weight norm", NORM, float(values[-1]), "not finite"), None
    since = since[np.isfinite(since)]
    if not len(since) or since.min() <= 0:
        return Evidence("weight norm", NORM, None, "not measured since the fit"), None
    growth = float(since[-1] / since.min())
    return Evidence(
        "weight norm", NORM, growth, f"{growth:.2f} times its least since the fit (runs away from {rule.growth:g})"
    ), growth


def _traps(known: Scalars, rule: LabelFreeRule) -> tuple[Evidence, float | None]:
    counts = [float(series[1][-1]) for key, series in known.items() if split_key(key)[0] == TRAPS]
    counts = [count for count in counts if np.isfinite(count)]
    if not counts:
        return Evidence("correlation traps", TRAPS, None, "not measured"), None
    return Evidence(
        "correlation traps", TRAPS, max(counts), f"up to {max(counts):.2g} in a matrix (a sign from {rule.traps:g})"
    ), max(counts)


def _until(series: tuple[np.ndarray, np.ndarray], step: int | None) -> tuple[np.ndarray, np.ndarray]:
    steps, values = np.asarray(series[0], float), np.asarray(series[1], float)
    if step is None:
        return steps, values
    kept = steps <= step
    return steps[kept], values[kept]
