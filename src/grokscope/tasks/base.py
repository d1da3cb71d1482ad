"""What every task is: probes to measure on, facts, and the batch of each training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grokscope.batch import Batch
    from grokscope.facts import Facts


@dataclass(frozen=True)
class Task:
    """Data and what is known about it; a pure function of settings and seeds; knows nothing of models.

    ``probes`` are the named batches measures look at (``train``, ``test``, ``all`` …). ``stream(step)``
    gives the batch of update ``step`` as a pure function of the step; None means full batch: every
    update sees all of ``train``.
    """

    facts: Facts
    probes: Mapping[str, Batch]
    train: Batch | None = None
    stream: Callable[[int], Batch] | None = None
    loss: str = field(default="cross-entropy")

    def batch(self, step: int) -> Batch:
        """Return what update ``step`` (from 0) trains on."""
        if self.stream is not None:
            return self.stream(step)
        if self.train is None:
            raise TypeError("a task needs a train batch or a stream")
        return self.train
