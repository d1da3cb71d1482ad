"""What is written down of one member at one step."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope.errors import nearest
from grokscope.execution.place import TRANSIENT
from grokscope.loop.encoding import encode_tensors
from grokscope.measures.attempt import Attempt, Row, attempt
from grokscope.measures.base import DoesNotApply, Measure, evaluate, named
from grokscope.spec import Recording, Spec, StopRule
from grokscope.store import RunWriter, StoredRun, flat_key

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

LEARNER_VERSION = 1
"""Version of the rows a learner logs itself (losses of updates, clocks, effects)."""


def transient_name(measure: str) -> str:
    """Return the array name under which a hindsight measure keeps what is dropped when the run is sealed."""
    return f"{measure}{TRANSIENT}"


def write_arrays(writer: RunWriter, step: int, found: Attempt) -> None:
    """Write the tensors that a measure gave."""
    name = found.measure.name
    for array, tensors in ((name, found.arrays), (transient_name(name), found.transient)):
        if tensors:
            writer.array(array, step, encode_tensors(tensors))


class Observer:
    """Writes the scalars and arrays of one member, and remembers the latest."""

    def __init__(self, spec: Spec, writer: RunWriter) -> None:
        self.spec = spec
        self.writer = writer
        self.measures: dict[str, Measure] = {
            name: named(name) for recording in spec.record.plan() for name in recording.measures
        }
        self.latest: dict[str, float] = {}
        self.ended: str | None = None
        self.seconds = 0.0
        self._warned = False
        self._told: set[tuple[str, str]] = set()
        self._sustained = self._recall(spec.stop) if spec.stop is not None else 0

    def observe(self, snapshot: Snapshot, logged: dict[tuple[str, str | None], float]) -> None:
        """Write what is due at the snapshot's step; ends the member if it diverged or its stop rule is met."""
        started = time.perf_counter()
        step = snapshot.step
        rows: list[Row] = [(key, module, value, LEARNER_VERSION) for (key, module), value in logged.items()]
        rows += [(f"clock/{name}", None, value, LEARNER_VERSION) for name, value in snapshot.clocks.items()]
        for name in self._due(step):
            rows += self._evaluate(self.measures[name], snapshot)
        self.writer.scalars(step, rows)
        self.latest = {flat_key(key, module): value for key, module, value, _ in rows}
        loss = self.latest.get("step/loss")
        if loss is not None and not math.isfinite(loss):
            self.ended = "diverged"
            self.writer.event("diverged", step=step, loss=loss)
        elif self.spec.stop is not None and self._stops(self.spec.stop, step):
            self.ended = "stopped"
            # for this member the last step is now: what is due then and was not due anyway is taken
            late = [name for name in self._due_last() if name not in self._due(step)]
            self.writer.scalars(step, [row for name in late for row in self._evaluate(self.measures[name], snapshot)])
        self.seconds += time.perf_counter() - started

    def _due(self, step: int) -> list[str]:
        limit = self.spec.learner.steps
        due: Sequence[Recording] = [r for r in self.spec.record.plan() if r.cadence.contains(step, limit)]
        return list(dict.fromkeys(name for recording in due for name in recording.measures))

    def _due_last(self) -> list[str]:
        plan = self.spec.record.plan()
        return list(dict.fromkeys(name for part in plan if part.cadence.last for name in part.measures))

    def _evaluate(self, measure: Measure, snapshot: Snapshot) -> list[Row]:
        found = attempt(measure, snapshot)
        write_arrays(self.writer, snapshot.step, found)
        if found.event is not None:
            self._tell_once(found.event, measure, found.reason, snapshot.step)
        return found.rows

    def _tell_once(self, kind: str, measure: Measure, reason: str, step: int) -> None:
        if (kind, measure.name) not in self._told:
            self._told.add((kind, measure.name))
            self.writer.event(kind, measure=measure.name, version=measure.version, step=step, reason=reason)

    def _stops(self, rule: StopRule, step: int) -> bool:
        value = self.latest.get(rule.key)
        if value is None:
            # some keys (step/loss) have no value at step 0
            if step > 0 and not StoredRun(self.writer.directory).has(rule.key) and not self._warned:
                self._warned = True
                close = nearest(rule.key, self.latest)
                hint = f"did you mean {' or '.join(close)}?" if close else "it can never fire."
                reason = f"the stop rule waits for {rule.key}, which is not measured: {hint}"
                self.writer.event("stop_rule_waits", step=step, reason=reason)
            return False
        self._sustained = self._sustained + 1 if value >= rule.level else 0
        return self._sustained >= rule.sustain

    def _recall(self, rule: StopRule) -> int:
        """Return how many observations in a row already met the stop rule when a run goes on."""
        run = StoredRun(self.writer.directory)
        count = 0
        if run.has(rule.key):
            for value in reversed(run.series(rule.key)[1].tolist()):
                if not value >= rule.level:
                    break
                count += 1
        return count


def rows_of(snapshot: Snapshot, names: Sequence[str]) -> list[tuple[str, str | None, float]]:
    """Return the rows that the named measures give at a snapshot, as they would be logged live."""
    rows: list[tuple[str, str | None, float]] = []
    for name in names:
        measure = named(name)
        with contextlib.suppress(DoesNotApply):
            rows += evaluate(measure, snapshot).rows
    return rows
