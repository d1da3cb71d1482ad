"""How much disk a training will take, told when its first observation has been written and before its first step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grokscope.learners.base import StateDict
    from grokscope.spec import Spec


@dataclass(frozen=True)
class DiskUse:
    """Bytes a training is expected to write.

    Attributes:
        checkpoints: how many are kept.
        checkpoint_bytes: of one, of all members together.
        observations: how many steps something is measured at.
        observed_bytes: of all observations of all members, scaled up from the first.
        free: what the disk has left.
    """

    checkpoints: int
    checkpoint_bytes: int
    observations: int
    observed_bytes: int
    free: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.checkpoints * self.checkpoint_bytes + self.observed_bytes

    def __str__(self) -> str:
        parts = (
            f"{_count(self.checkpoints, 'checkpoint')} of {size(self.checkpoint_bytes)} and "
            f"{_count(self.observations, 'observation')} of {size(self.observed_bytes / max(self.observations, 1))}"
        )
        told = f"it will take about {size(self.total)} of disk: {parts}"
        if self.total > self.free:
            told += (
                f"; only {size(self.free)} are free there: free some, or widen record.checkpoints and record.observe"
            )
        return told


def disk_use(specs: Sequence[Spec], stored: StateDict, directories: Iterable[Path]) -> DiskUse:
    """Return what a training will write, from its state and what its first observation has written.

    Measures that are not due at the first step are taken to write as much a time as those that are.

    Args:
        specs: of all members; they agree in what is recorded.
        stored: the state, as a checkpoint holds it.
        directories: of the members, with the first observation in their files.
    """
    spec = specs[0]
    limit = spec.learner.steps
    plan = spec.record.plan()
    directories = list(directories)
    # the files that grow; what is written once is small beside them
    written = sum(_bytes(directory / name) for directory in directories for name in ("scalars.jsonl", "arrays"))
    first = {name for part in plan if part.cadence.contains(0, limit) for name in part.measures}
    counts = {part: part.cadence.count(limit) for part in plan}
    evaluations = sum(count * len(part.measures) for part, count in counts.items())
    return DiskUse(
        checkpoints=spec.record.checkpoints.count(limit),
        checkpoint_bytes=sum(t.numel() * t.element_size() for t in stored.tensors.values()),
        observations=max(counts.values()),
        observed_bytes=round(written * evaluations / max(len(first), 1)),
        free=shutil.disk_usage(directories[0]).free,
    )


def size(count: float) -> str:
    """Return bytes in the unit that suits them.

    Example:
        >>> size(512), size(4_800_000), size(2.5e9)
        ('0.5 kB', '4.8 MB', '2.5 GB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e3:.1f} kB" if count < 1e5 else f"{count / 1e3:.0f} kB"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(os.path.getsize(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)
    return path.stat().st_size if path.exists() else 0
