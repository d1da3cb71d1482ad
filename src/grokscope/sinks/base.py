"""What a sink is: something that is shown a monitor's numbers as they are measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Sink(Protocol):
    """Receives what a monitor measures; a tracker's adapter has these four methods and nothing else of ours.

    They are called in the training's process, in the order ``start``, then ``log`` and ``event`` as things happen,
    then ``close`` once. What one of them raises becomes the event ``sink_failed`` of the run; neither the training
    nor what is stored is touched by it.
    """

    def start(self, run: Mapping[str, Any]) -> None:
        """Begin: ``name``, ``run_dir`` (a path as text, None if nothing is stored) and ``spec``, plain values."""
        ...

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of one step by flat key (``train/loss``, ``htsr/alpha@fc.weight``); some may be NaN."""
        ...

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Take something that happened, such as ``measure_failed``; the fields are plain values."""
        ...

    def close(self) -> None:
        """End: nothing is logged after this."""
        ...
