"""The step axis: where a step is drawn when the axis is logarithmic and step 0 must be seen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.errors import UsageError
from grokscope.report import theme


@dataclass(frozen=True)
class StepAxis:
    """How steps become positions: ``zero`` is where step 0 is drawn (None: no step 0 on a log axis).

    ``low`` and ``high`` are the first and the last position of the data.
    """

    log: bool
    zero: float | None
    low: float
    high: float

    @classmethod
    def of(cls, steps: Iterable[np.ndarray], *, log: bool) -> StepAxis:
        """Return the axis on which all of these steps are drawn.

        A logarithm has no 0, so step 0 is drawn at half of the first positive step.

        Raises:
            UsageError: a step is negative or not finite.

        Example:
            >>> StepAxis.of([np.array([0, 10, 1000])], log=True).zero
            5.0
        """
        all_steps = np.concatenate([np.zeros(0), *(np.asarray(one, float).ravel() for one in steps)])
        if all_steps.size and not (np.isfinite(all_steps).all() and all_steps.min() >= 0):
            raise UsageError(
                f"steps must be finite and not negative, received {all_steps.min():g} to "
                f"{all_steps.max():g}: give the optimizer step of every point."
            )
        positive = all_steps[all_steps > 0]
        first, last = (float(positive.min()), float(positive.max())) if positive.size else (1.0, 1.0)
        if not log:
            return cls(False, None, 0.0 if positive.size < all_steps.size else first, last)
        zero = first / 2 if positive.size < all_steps.size else None
        return cls(True, zero, first if zero is None else zero, last)

    def place(self, steps: np.ndarray) -> np.ndarray:
        """Return the positions (float64) of steps; what lies before the first position is put there."""
        steps = np.asarray(steps, float)
        return np.maximum(steps, self.low) if self.log else steps

    def scaled(self, steps: np.ndarray) -> np.ndarray:
        """Return positions as distances along the axis: their log10 where the axis is logarithmic."""
        placed = self.place(steps)
        return np.log10(placed) if self.log else placed

    def bounds(self, pad: float = 0.015) -> tuple[float, float]:
        """Return both ends of the axis as positions, with a share of its length left free on either side."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        space = pad * (high - low) if high > low else 0.5
        return (10 ** (low - space), 10 ** (high + space)) if self.log else (low - space, high + space)

    def note(self) -> str | None:
        """Return what a reader must be told about step 0, or None."""
        return None if self.zero is None else "log scale; step 0 is drawn at the left end"

    def layout(self, title: str, notes: Iterable[str] = ()) -> dict[str, Any]:
        """Return the Plotly axis, the notes in small print under its title."""
        # each on a line of its own: a phone has no room for two
        text = theme.plain(title)
        for note in (note for note in (self.note(), *notes) if note):
            text += f'<br><span style="font-size:13px;color:#666666">{theme.plain(note)}</span>'
        low, high = self.bounds()
        # every curve says its own step: the title of a hover box knows positions only, not that one is 0
        hover = {"text": f"value at {theme.plain(title)}"}
        if not self.log:
            return theme.axis(text, range=[low, high], tickformat=",", unifiedhovertitle=hover, exponentformat="none")
        ticks = round_ticks(self.low if self.zero is None else 2 * self.zero, self.high)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        smaller = [factor * 10.0**power for power in powers for factor in range(1, 10)]
        if self.zero is not None:
            smaller = [value for value in smaller if value >= 2 * self.zero]
        return theme.axis(
            text,
            type="log",
            range=[math.log10(low), math.log10(high)],
            tickmode="array",
            tickvals=ticks if self.zero is None else [self.zero, *ticks],
            ticktext=[theme.tick_text(tick) for tick in ticks]
            if self.zero is None
            else ["0", *(theme.tick_text(tick) for tick in ticks)],
            minor={"tickmode": "array", "tickvals": smaller, "ticks": "outside", "ticklen": 3},
            unifiedhovertitle=hover,
        )


def round_ticks(first: float, last: float) -> list[float]:
    """Return round positions from ``first`` to ``last``: 1-2-5 for few decades, powers of ten for many."""
    decades = math.log10(last / first)
    factors: tuple[int, ...] = (1, 2, 5) if decades <= 3 else (1,)
    powers = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    apart = max(1, math.ceil(decades / 9))
    ticks = [float(f"{factor}e{power}") for power in powers if power % apart == 0 for factor in factors]
    ticks = [tick for tick in ticks if first * 0.999 <= tick <= last * 1.001]
    return ticks or [first]
