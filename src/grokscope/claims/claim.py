"""One checkable sentence of a paper: which runs it is about, what to compute, what counts as true."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from grokscope.analysis.series import RunLike
from grokscope.errors import UsageError
from grokscope.registry import load

Source = Literal["sheet", "ours"]
Kind = Literal["per_seed", "pooled"]
Values = Mapping[str, float | None]
Bounds = tuple[float | None, float | None]
PerSeed = Callable[[Mapping[str, RunLike]], Values]
"""From the runs of one seed, by experiment, to named values; None is no value, inf may stand for never."""
Pooled = Callable[[Mapping[str, list[RunLike]]], Values]
"""The same from all seeds, by experiment, every list in the same order of seeds.

The values must not depend on that order, and a list may hold a seed twice (bootstrap).
"""


@dataclass(frozen=True)
class Criterion:
    """What the values of a statistic must be: each within its bounds, which are included.

    The first name is the primary statistic, the one a verdict shows. ``source`` tells whose criterion
    it is: the claim's own (``sheet``), or one we fixed before judging (``ours``), with its ``reason``.
    ``calibration`` are the seeds it was fixed on, which therefore cannot be evidence for it.

    Example:
        >>> criterion = Criterion({"fit_step": (None, 400)}, "sheet")
        >>> criterion.text(), criterion.met({"fit_step": 250.0}), criterion.met({"fit_step": math.inf})
        ('fit_step <= 400', True, False)

    Raises:
        UsageError: no bounds, bounds the wrong way round or NaN, or a criterion of ours without its reason.
    """

    bounds: Mapping[str, Bounds]
    source: Source
    reason: str = ""
    calibration: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.bounds:
            raise UsageError("a criterion bounds at least one statistic: give {name: (low, high)}.")
        for name, (low, high) in self.bounds.items():
            if any(bound is not None and math.isnan(bound) for bound in (low, high)):
                raise UsageError(f"the criterion bounds {name} by NaN: give a number, or None for no bound.")
            if low is not None and high is not None and low > high:
                raise UsageError(f"the criterion bounds {name} by {low} and {high}: give the low one first.")
        _one_of("a criterion's source", self.source, Source)
        if self.source == "ours" and not self.reason:
            raise UsageError("a criterion of ours needs its reason: say on which seeds it was fixed and why.")

    @property
    def primary(self) -> str:
        """The statistic a verdict shows."""
        return next(iter(self.bounds))

    def text(self) -> str:
        """Return one line such as ``fit_step <= 400 and 1000 <= generalise_step <= 5000``."""
        return " and ".join(_bound_text(name, low, high) for name, (low, high) in self.bounds.items())

    def met(self, values: Values) -> bool | None:
        """Return whether every value is within its bounds; None where one is missing, None or NaN.

        Infinity is a value: it compares.
        """
        needed = [(values.get(name), bounds) for name, bounds in self.bounds.items()]
        if any(value is None or math.isnan(value) for value, _ in needed):
            return None
        return all(_within(value, bounds) for value, bounds in needed if value is not None)

    def settled(self, intervals: Mapping[str, tuple[float, float] | None]) -> bool | None:
        """Return True if every interval lies inside its bounds, False if one is wholly outside, else None."""
        verdicts = [_settled(intervals.get(name), bounds) for name, bounds in self.bounds.items()]
        if False in verdicts:
            return False
        return None if None in verdicts else True


def _within(value: float, bounds: Bounds) -> bool:
    low, high = bounds
    return (low is None or value >= low) and (high is None or value <= high)


def _settled(interval: tuple[float, float] | None, bounds: Bounds) -> bool | None:
    if interval is None:
        return None
    low, high = bounds
    if (high is not None and interval[0] > high) or (low is not None and interval[1] < low):
        return False
    return True if _within(interval[0], bounds) and _within(interval[1], bounds) else None


def _bound_text(name: str, low: float | None, high: float | None) -> str:
    if low is not None and low == high:
        return f"{name} = {number_text(low)}"
    if low is not None and high is not None:
        return f"{number_text(low)} <= {name} <= {number_text(high)}"
    if low is not None:
        return f"{name} >= {number_text(low)}"
    return f"{name} <= {number_text(high)}" if high is not None else f"{name} is known"


def number_text(value: float) -> str:
    """Return a number as a person writes it: short where that loses nothing.

    Example:
        >>> number_text(400.0), number_text(0.1), number_text(1234567.0)
        ('400', '0.1', '1234567.0')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def _one_of(what: str, value: object, kind: Any) -> None:
    if value not in get_args(kind):
        raise UsageError(f"{what} is {value!r}: it must be one of {', '.join(get_args(kind))}.")


@dataclass(frozen=True)
class Claim:
    """A claim; ``id`` is that of its row in the sheet, ``figure`` what the paper shows it in.

    ``statistic`` is a function or its ``"module:function"``: for ``per_seed`` it takes the runs of one
    seed by experiment, for ``pooled`` the lists of runs over seeds by experiment; it returns named
    values. ``criterion`` has one entry for each scale at which the claim is judged, ``untestable`` the
    reason and the cost for each scale at which it cannot be. ``source`` says where the claim is made. A claim
    on a sweep whose cells differ by scale lists in ``experiments_by_scale`` those of its experiments it is
    about there.

    Raises:
        UsageError: no experiment, an unknown kind, a scale that is both judged and untestable, or a scale's
            experiment that is not among all.
    """

    id: str
    statement: str
    figure: str
    experiments: tuple[str, ...]
    statistic: str | PerSeed | Pooled
    kind: Kind = "per_seed"
    criterion: Mapping[str, Criterion] = field(default_factory=dict)
    untestable: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    experiments_by_scale: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of(f"the kind of claim {self.id}", self.kind, Kind)
        if isinstance(self.experiments, str) or not self.experiments:
            raise UsageError(f"claim {self.id} must list the experiments it is about.")
        if isinstance(self.statistic, str) and ":" not in self.statistic:
            raise UsageError(f"claim {self.id} has the statistic {self.statistic!r}: write module:function.")
        both = sorted(set(self.criterion) & set(self.untestable))
        if both:
            raise UsageError(f"claim {self.id} is both judged and untestable at scale {both[0]}: keep one.")
        for scale, names in self.experiments_by_scale.items():
            if strangers := sorted(set(names) - set(self.experiments)):
                raise UsageError(
                    f"claim {self.id} is about {strangers[0]} at scale {scale}, which is not among its experiments: "
                    "list it there too."
                )

    def at(self, scale: str) -> Claim:
        """Return the claim as it stands at a scale: about the experiments it is about there."""
        names = self.experiments_by_scale.get(scale)
        return self if names is None else replace(self, experiments=names, experiments_by_scale={})

    def function(self) -> Callable[[Any], Values]:
        """Return the statistic, loaded.

        Raises:
            GrokscopeError: its module or function is not there.
        """
        return load(self.statistic) if isinstance(self.statistic, str) else self.statistic
