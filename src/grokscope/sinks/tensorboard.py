"""A monitor's numbers in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grokscope.sinks.base import library, run_name, told, tracker_key


class TensorBoardSink:
    """Writes scalars, and what happened as text, to event files in ``directory``/name of the run.

    A run that is gone on with is written on in the same folder. NaN and Inf are written as they are.

    Args:
        directory: what ``tensorboard --logdir`` is given.

    Raises:
        UsageError: TensorBoard is not installed.
    """

    def __init__(self, directory: str | Path = "tensorboard") -> None:
        self._writer_type = library("torch.utils.tensorboard", "tensorboard").SummaryWriter
        self._directory = Path(directory)
        self._writer: Any = None

    def start(self, run: Mapping[str, Any]) -> None:
        """Open the run's folder."""
        self._writer = self._writer_type(str(self._directory / run_name(run)))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a scalar a key, and flush: the training may be killed."""
        for key, value in values.items():
            self._writer.add_scalar(tracker_key(key), value, step)
        self._writer.flush()

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Add a text."""
        self._writer.add_text(*told(kind, fields), fields.get("step", 0))

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
