"""Keeping what is measured: in memory, in a run directory, in sinks; nothing here ends a training."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from grokscope.execution.hindsight import drop_transient, look_back
from grokscope.execution.observe import write_arrays
from grokscope.measures.attempt import Attempt, Row
from grokscope.measures.base import Measure
from grokscope.monitor.begin import Begun
from grokscope.monitor.stored import encoded
from grokscope.sinks.base import Sink
from grokscope.snapshot import Snapshot
from grokscope.store import CheckpointStore, RunWriter, StoredRun, flat_key, plain, seal, split_key

Series = dict[str, tuple[np.ndarray, np.ndarray]]


class Recorder:
    """Takes rows, events and checkpoints of a training that must not be ended by any of them.

    Args:
        run: what is written into; None keeps numbers in memory only.
        measures: what is taken.
        sinks: shown everything.
        storage: bytes that what is kept for measuring later may take in the run.
    """

    def __init__(
        self,
        run: Begun | None,
        measures: Sequence[Measure],
        sinks: Sequence[Sink] = (),
        *,
        storage: int = 0,
    ) -> None:
        self.writer = writer = None if run is None else run.writer
        self.directory: Path | None = None if writer is None else Path(writer.directory)
        self.events: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.last: Snapshot | None = None
        """The last moment, where a hindsight measure will look back from it."""
        self.closed = False
        self._measures = tuple(measures)
        self._sinks = list(sinks)
        self._storage = storage
        self._stored = 0 if run is None else run.bytes
        self._began = time.perf_counter()
        self._process = os.getpid()
        self._told: set[tuple[str, str]] = set()
        self._log: dict[tuple[str, str | None], tuple[list[int], list[float]]] = {}
        if writer is not None and (before := StoredRun(writer.directory)).last_step is not None:
            for flat in before.keys():  # noqa: SIM118 (a run is no mapping)
                steps, values = before.series(flat)
                self._log[split_key(flat)] = (steps.tolist(), values.tolist())

    # -- what was recorded ------------------------------------------------------------------------

    def series(self) -> Series:
        """Return steps (int64) and values (float64) by flat key."""
        return {
            flat_key(*pair): (np.array(steps, np.int64), np.array(values, float))
            for pair, (steps, values) in self._log.items()
        }

    @property
    def last_step(self) -> int:
        """The last step with a number; -1 if there is none."""
        return max((steps[-1] for steps, _ in self._log.values()), default=-1)

    # -- recording --------------------------------------------------------------------------------

    def rows(self, step: int, rows: Sequence[Row]) -> None:
        """Keep the numbers of one step."""
        for key, module, value, _ in rows:
            steps, values = self._log.setdefault((key, module), ([], []))
            steps.append(step)
            values.append(value)
        self._store(lambda writer: writer.scalars(step, rows))
        self._show("log", step, {flat_key(key, module): value for key, module, value, _ in rows})

    def arrays(self, step: int, found: Attempt) -> None:
        """Store the tensors that a measure gave; without a run they are not kept."""
        self._store(lambda writer: write_arrays(writer, step, found))

    def event(self, kind: str, **fields: Any) -> None:
        """Record that something happened."""
        fields = plain(fields)
        self.events.append({"kind": kind, **fields})
        self._store(lambda writer: writer.event(kind, **fields))
        self._show("event", kind, fields)

    def tell_once(self, kind: str, about: str, *, warn: bool = False, **fields: Any) -> None:
        """Record an event of a kind about something once, with a warning if asked."""
        if (kind, about) not in self._told:
            self._told.add((kind, about))
            self.event(kind, **fields)
            if warn:
                _warn(str(fields.get("reason", kind)))

    def checkpoint(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Store parameters and buffers for measuring later, as long as there is room."""
        if self.writer is None:
            return
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if self._stored + size > self._storage:
            reason = (
                f"parameters are not stored from step {step} on: another {size:,} bytes would exceed the "
                f"{self._storage:,} of storage=; what is measured while training goes on."
            )
            self.tell_once("storage_full", "checkpoints", warn=True, step=step, reason=reason)
            return
        self._stored += size
        data = encoded(tensors, step)
        # a member's log is known to its checkpoint by the member's number
        self._store(lambda w: CheckpointStore(Path(w.directory)).save(step, data, {"0": w.position()}))

    # -- beginning and end ------------------------------------------------------------------------

    def start(self, run: Mapping[str, Any]) -> None:
        """Tell the sinks what is recorded."""
        self._show("start", run)

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        """Complete and seal the run; a second call does nothing, nor does one in a forked process."""
        if self.closed or os.getpid() != self._process:
            return
        self.closed = True
        last, self.last = self.last, None
        if self.writer is not None and last is not None:
            self._store(lambda writer: look_back(self._measures, writer, last))
        share = self.seconds / max(time.perf_counter() - self._began, 1e-9)
        if self.last_step >= 0:
            self.event("observe_share", share=share, seconds=self.seconds, step=self.last_step)
        self._store(lambda writer: _sealed(writer, status, reason))
        self._show("close")
        if self.writer is not None:
            self.writer.close()

    def close_at_exit(self) -> None:
        """Close when the monitor has gone or the process ends, saying whether an error ended it."""
        error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        if error is None:
            self.close()
        else:
            self.close(*ending(error))

    def _store(self, write: Callable[[RunWriter], Any]) -> None:
        if self.writer is None:
            return
        try:
            write(self.writer)
        except Exception as error:
            # the training is worth more than its record
            writer, self.writer = self.writer, None
            writer.close()
            what = str(error) if str(error) else type(error).__name__
            _warn(f"nothing more is stored in {writer.directory} ({what}); the training goes on.")
            self.events.append({"kind": "store_failed", "reason": what})
            self._show("event", "store_failed", {"reason": what})

    def _show(self, method: str, *arguments: Any) -> None:
        for sink in self._sinks:
            try:
                getattr(sink, method)(*arguments)
            except Exception as error:
                name = type(sink).__name__
                if ("sink_failed", name) not in self._told:
                    self._told.add(("sink_failed", name))
                    fields = {"sink": name, "reason": f"{type(error).__name__} in {method}: {error}"}
                    # the others are not told: this is the run's affair
                    self.events.append({"kind": "sink_failed", **fields})
                    self._store(lambda writer, fields=fields: writer.event("sink_failed", **fields))


def ending(error: BaseException) -> tuple[str, str]:
    """Return the status and the reason of a run that an error ended."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "KeyboardInterrupt"
    return "failed", f"{type(error).__name__}: {error}"


def number_of(value: Any) -> float | None:
    """Return a logged value as a number, None where it is none.

    Example:
        >>> number_of(np.float32(0.5)), number_of("a")
        (0.5, None)
    """
    try:
        return None if isinstance(value, str) else float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _sealed(writer: RunWriter, status: str, reason: str | None) -> None:
    writer.position()
    seal(writer.directory)
    writer.status(status, reason)
    drop_transient(writer)


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=2)
