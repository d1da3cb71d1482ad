"""How a training shows itself: an injected object; the library itself shows nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from grokscope.spec import Spec


@dataclass(frozen=True)
class Moment:
    """What is known now: the step, the last one planned, and each member's latest scalars and phase."""

    step: int
    limit: int
    latest: Sequence[Mapping[str, float]]
    phases: Sequence[str]


class Progress(Protocol):
    """What a training tells while it goes on."""

    def start(self, specs: Sequence[Spec], step: int, limit: int) -> None:
        """Say that a training begins, or goes on, at ``step``."""
        ...

    def update(self, moment: Moment) -> None:
        """Say where it is; called a few times a second."""
        ...

    def note(self, text: str) -> None:
        """Say one sentence."""
        ...

    def close(self) -> None:
        """Say that it is over."""
        ...


class Silent:
    """Progress that shows nothing."""

    def start(self, specs: Sequence[Spec], step: int, limit: int) -> None:
        """Do nothing."""

    def update(self, moment: Moment) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
