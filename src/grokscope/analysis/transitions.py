"""When a run fitted its training data and when it generalised: sustained crossings of declared levels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from grokscope.analysis.series import Series, on_clock


class Level(BaseModel):
    """A level of a scalar: absolute, or a fraction of the way from its first value to its plateau.

    The plateau is the median of the last tenth of the observations (at least three). A fraction goes
    the way the scalar went, whatever ``direction`` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    key: str
    level: float
    kind: Literal["absolute", "fraction"] = "absolute"
    direction: Literal["rising", "falling"] = "rising"

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            if not 2 <= len(value) <= 4:
                raise ValueError("a level is (key, level), with kind and direction after them where they differ")
            return dict(zip(("key", "level", "kind", "direction"), value, strict=False))
        return value


class TransitionRule(BaseModel):
    """Declares what counts as having fitted and as having generalised.

    A crossing counts when ``sustain`` observations in a row, the first included, are at or past the level.

    Example:
        >>> TransitionRule(fit=("train/accuracy", 0.99), generalise=("test/accuracy", 0.9)).sustain
        3
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    fit: Level
    generalise: Level
    sustain: int = Field(default=3, ge=1)
    axis: str = Field(default="step", description="'step', or the key of a clock such as clock/time")


@dataclass(frozen=True)
class Transition:
    """Where a run crossed its levels, on the rule's axis; None is never reached (or not measured).

    ``delay_ratio`` = generalise / fit, None if the fit is at 0. ``censored``: the run ended before
    it generalised; None if that was not measured.
    """

    fit_step: float | None
    generalise_step: float | None
    delay_steps: float | None
    delay_ratio: float | None
    censored: bool | None

    def as_dict(self) -> dict[str, float | bool | None]:
        """Return the fields by name."""
        return asdict(self)


def crossing(
    steps: np.ndarray,
    values: np.ndarray,
    level: float,
    *,
    sustain: int = 1,
    direction: Literal["rising", "falling"] = "rising",
) -> float | None:
    """Return where ``values`` first cross ``level`` and stay across for ``sustain`` observations.

    Linear interpolation of the value in log-step between two positive steps; after step 0 the first
    observation across is returned as it is. NaN is never across. None if it never happens, also
    where fewer than ``sustain`` observations are left.

    Example:
        >>> crossing(np.array([1, 100]), np.array([0.0, 1.0]), 0.5)
        10.0
    """
    sign = 1.0 if direction == "rising" else -1.0
    first = first_sustained(sign * values >= sign * level, sustain)
    if first is None:
        return None
    here = float(steps[first])
    if first == 0 or steps[first - 1] <= 0:
        return here
    before, low, high = float(steps[first - 1]), float(values[first - 1]), float(values[first])
    if not (np.isfinite(low) and np.isfinite(high)) or high == level:
        return here
    return before * (here / before) ** ((level - low) / (high - low))


def first_sustained(across: np.ndarray, sustain: int) -> int | None:
    """Return the first index from which ``across`` holds ``sustain`` times in a row, or None.

    Example:
        >>> first_sustained(np.array([True, False, True, True]), 2)
        2
    """
    if len(across) < sustain:
        return None
    found = np.flatnonzero(np.lib.stride_tricks.sliding_window_view(across, sustain).all(axis=1))
    return int(found[0]) if len(found) else None


def plateau(values: np.ndarray) -> float:
    """Return the median of the last tenth of the observations (at least three, or all there are).

    NaN is left out; NaN if nothing else is there.
    """
    tail = values[-max(3, len(values) // 10) :]
    tail = tail[~np.isnan(tail)]
    return float(np.median(tail)) if len(tail) else float("nan")


def level_crossing(series: Series, level: Level, *, sustain: int, axis: str = "step") -> float | None:
    """Return where a run crosses ``level``; None where it does not, or has no such key.

    On another axis than the step, positions are read off that clock at the observed steps; observations
    outside the steps the clock covers have no position and do not count. A scalar that ends where it
    began (or whose start or plateau is not finite) crosses no fraction of its way.
    """
    try:
        steps, values = series(level.key)
        positions = steps.astype(float) if axis == "step" else on_clock(series(axis), steps)
    except (KeyError, ValueError):
        return None
    if not len(values):
        return None
    target, direction = level.level, level.direction
    if level.kind == "fraction":
        start, end = float(values[0]), plateau(values)
        if start == end or not np.isfinite(end - start):
            return None
        target = start + level.level * (end - start)
        direction = "rising" if end > start else "falling"
    placed = ~np.isnan(positions)
    return crossing(positions[placed], values[placed], target, sustain=sustain, direction=direction)


def transition(series: Series, rule: TransitionRule) -> Transition:
    """Return the transition of the run whose scalars ``series`` reads, by ``rule``."""
    fit = level_crossing(series, rule.fit, sustain=rule.sustain, axis=rule.axis)
    generalise = level_crossing(series, rule.generalise, sustain=rule.sustain, axis=rule.axis)
    delay = ratio = None
    if fit is not None and generalise is not None:
        delay = generalise - fit
        ratio = generalise / fit if fit > 0 else None
    censored: bool | None = generalise is None
    if generalise is None:
        try:
            series(rule.generalise.key)
        except (KeyError, ValueError):
            censored = None
    return Transition(
        fit_step=fit,
        generalise_step=generalise,
        delay_steps=delay,
        delay_ratio=ratio,
        censored=censored,
    )
