"""When something happens: linear, log-spaced, dense windows, listed steps, first and last, in one value.

A cadence is a set of steps. It depends on nothing but its fields and the run's last step, never on
the clock, so that a resumed run observes exactly where a straight one does.
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Window(BaseModel):
    """Every ``every`` steps from ``start`` up to and including ``stop``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    start: int = Field(ge=0)
    stop: int = Field(ge=0)
    every: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _forward(self) -> Window:
        if self.stop < self.start:
            raise ValueError(f"a window from {self.start} to {self.stop} holds no step: stop must not come first")
        return self

    def next_after(self, step: int) -> int | None:
        """Return the first step of the window after ``step``, or None."""
        if step < self.start:
            return self.start
        following = self.start + ((step - self.start) // self.every + 1) * self.every
        return following if following <= self.stop else None


class Cadence(BaseModel):
    """The union of the ways given; at least one must be.

    Example:
        >>> Cadence(every=50, steps=(7,)).steps_until(120)
        [0, 7, 50, 100, 120]
        >>> Cadence(per_decade=2).steps_until(100)
        [0, 1, 3, 10, 32, 100]
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    every: int | None = Field(default=None, ge=1, description="each multiple of this many steps")
    per_decade: int | None = Field(default=None, ge=1, description="log-spaced steps, this many in a decade")
    steps: tuple[int, ...] = Field(default=(), description="these steps")
    windows: tuple[Window, ...] = Field(default=(), description="dense stretches")
    first: bool = Field(default=True, description="step 0")
    last: bool = Field(default=True, description="the run's last step")

    @model_validator(mode="after")
    def _not_empty(self) -> Cadence:
        if not (self.every or self.per_decade or self.steps or self.windows or self.first or self.last):
            raise ValueError("a cadence must name at least one step: give every, per_decade, steps or windows")
        if any(step < 0 for step in self.steps):
            raise ValueError("a cadence lists steps that are 0 or more")
        return self

    def _next_log(self, step: int) -> int | None:
        if self.per_decade is None:
            return None
        index = 0 if step < 1 else max(0, math.floor(self.per_decade * math.log10(step)) - 1)
        while (candidate := round(10 ** (index / self.per_decade))) <= step:
            index += 1
        return candidate

    def next_after(self, step: int, limit: int) -> int | None:
        """Return the first step of the cadence that is > ``step`` and <= ``limit``, or None."""
        candidates = [window.next_after(step) for window in self.windows]
        candidates += [min((listed for listed in self.steps if listed > step), default=None)]
        candidates += [self._next_log(step)]
        if self.every:
            # step may be -1 (nothing has happened yet), whose successor 0 belongs to `first`
            candidates.append((max(step, 0) // self.every + 1) * self.every)
        if self.first and step < 0:
            candidates.append(0)
        if self.last:
            candidates.append(limit if step < limit else None)
        following = [c for c in candidates if c is not None and step < c <= limit]
        return min(following, default=None)

    def contains(self, step: int, limit: int) -> bool:
        """Tell whether ``step`` belongs to the cadence of a run that ends at ``limit``."""
        return self.next_after(step - 1, limit) == step

    def steps_until(self, limit: int) -> list[int]:
        """Return every step of the cadence, for a run that ends at ``limit``."""
        found: list[int] = []
        step: int | None = -1
        while (step := self.next_after(step, limit)) is not None:
            found.append(step)
        return found

    def count(self, limit: int) -> int:
        """Return how many steps the cadence has in a run that ends at ``limit``; of more than 100,000 about as many."""
        if self.every is None or limit // self.every <= 100_000:
            return len(self.steps_until(limit))
        return limit // self.every + len(self.model_copy(update={"every": None}).steps_until(limit))
