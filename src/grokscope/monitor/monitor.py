"""The instrument in somebody else's loop: ``gs.Monitor(model, …)``, then ``monitor(step)`` after each update."""

from __future__ import annotations

import math
import operator
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from torch import nn

from grokscope.cadence import Cadence
from grokscope.errors import UsageError
from grokscope.execution.observe import LEARNER_VERSION
from grokscope.facts import Facts
from grokscope.forward import Call
from grokscope.given import Given
from grokscope.measures.attempt import Row, attempt
from grokscope.measures.base import Measure
from grokscope.monitor import plan
from grokscope.monitor.begin import Begun, begun
from grokscope.monitor.data import probes_of
from grokscope.monitor.quiet import numerics_of, undisturbed
from grokscope.monitor.recorder import Recorder, Series, ending, number_of
from grokscope.monitor.stored import state_of
from grokscope.monitor.subject import Subject
from grokscope.rng import derive
from grokscope.settings import MOST_STEPS
from grokscope.sinks.base import Sink
from grokscope.source import Role

if TYPE_CHECKING:
    import pandas
    import torch

    from grokscope.analysis.label_free import Assessment
    from grokscope.running import Run


class Monitor:
    """Measures any module in any training loop, and has no effect on it.

    Each measurement is taken on a private copy of the parameters, in evaluation mode, with the random states,
    switches and modes of the process put back afterwards: a training with a monitor and one without end in the same
    bits. Without labels or held-out data it measures what can be measured without.

    Args:
        model: the module, in whatever mode, wrapped or compiled or not.
        train: what it trains on: a tensor of inputs, ``(inputs, targets)`` or a ``Batch``.
        test: held-out data, if there are any; the phase does not look at them.
        probes: further data by name.
        measures: names (``"sparsity:threshold=0.1"``) or measures; ``DEFAULT_MEASURES`` if None.
        cadence: when: a ``Cadence``, or every so many steps; log-spaced, ten a decade, if None.
        out: directory of the run that is written; None keeps numbers in memory only. Where it holds a run already,
            the next free ``out.2``, ``out.3`` is used.
        resume: go on with the last run in ``out`` instead.
        checkpoints: when parameters are stored too, so that ``grokscope measure`` can take further measures later:
            a ``Cadence``, every so many steps, True for log-spaced, four a decade, False for never.
        forward: how the model is asked to predict, where ``model(inputs)`` is not it.
        loss: ``cross-entropy`` or ``mean-squared-error``, where the targets do not say it.
        facts: what is known about the task.
        roles: parameter names by role (embedding, readout), where inference is not wanted.
        optimizer: its learning rate is recorded; it is not otherwise looked at.
        settings: what to remember of the training (learning rate, width …), for ``grokscope compare``.
        name: the run's name; that of its directory, else of the model's class, if None.
        sinks: shown everything, as ``grokscope.sinks.base.Sink``.
        examples: at most so many of each probe are looked at, always the same; None is all.
        eval_chunk: inputs to a forward pass; None is all at once.
        storage: bytes that data and checkpoints may take in the run.
        phase: take what the phase is told from as well.
        seed: of what measures draw.

    Raises:
        UsageError: something given cannot be used; nothing has been written.
        StoreError: ``out`` cannot be written.

    Example:
        >>> import torch
        >>> model = nn.Linear(2, 3)
        >>> monitor = Monitor(model, train=torch.zeros(4, 2), measures=["weights"], phase=False)
        >>> [monitor(step) for step in range(6)]
        [True, True, True, True, True, True]
        >>> monitor.scalars("weights/sum_of_squares").shape
        (6, 1)
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        train: Given | None = None,
        test: Given | None = None,
        probes: Mapping[str, Given] | None = None,
        measures: Sequence[str | Measure] | None = None,
        cadence: Cadence | int | None = None,
        out: str | Path | None = None,
        resume: bool = False,
        checkpoints: Cadence | int | bool = True,
        forward: Call | None = None,
        loss: str | None = None,
        facts: Facts | None = None,
        roles: Mapping[str, Role] | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        settings: Mapping[str, Any] | None = None,
        name: str | None = None,
        sinks: Iterable[Sink] = (),
        examples: int | None = 2048,
        eval_chunk: int | None = 256,
        storage: int = 2 << 30,
        phase: bool = True,
        seed: int = 0,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise UsageError(f"the model is a {type(model).__name__}: give a torch.nn.Module.")
        plan.check_optimizer(optimizer)
        plan.check_bounds(eval_chunk=eval_chunk, storage=storage)
        sinks = plan.check_sinks(sinks)
        if out is not None and not str(out):
            raise UsageError("out = '' names no directory: give one for the run, or None.")
        self.measures = plan.measures_of(measures, phase=phase)
        self._cadence = plan.cadence_of(cadence, plan.OBSERVE, "cadence")
        given = None if checkpoints is True else checkpoints
        self._store: Cadence | None = None
        self._stored_step = -1
        self._phase = "" if phase else None
        if given is not False and out is not None:
            self._store = plan.cadence_of(given, plan.STORE, "checkpoints")
        batches, counts = probes_of(
            {"train": train, "test": test, **(probes or {})}, examples=examples, seed=derive(seed, "measure")
        )
        self._subject = Subject(
            model,
            batches,
            numerics_of(model, eval_chunk),
            facts=facts,
            roles=roles,
            forward=forward,
            loss=loss,
            seed=derive(seed, "measure"),
        )
        self._optimizer = optimizer
        self._initial = self._subject.at(0)
        assert self._initial.module is not None
        all_roles = self._subject.roles(self._initial.module)
        plan.check_named(self._initial.parameters, all_roles)
        where = None if out is None else Path(out)
        tree = plan.spec_tree(
            model,
            self._initial,
            batches,
            counts,
            name=plan.name_of(name, where, model),
            measures=self.measures,
            cadences=(self._cadence, self._store),
            numerics=self._subject.numerics,
            seed=seed,
            loss=loss,
            forward=forward is not None,
            draws=self._subject.draws,
            optimizer=optimizer,
            settings=settings,
            roles=all_roles,
        )
        run: Begun | None = None
        if where is not None:
            plan.check_roles(all_roles)
            kept = None if self._store is None else storage
            run = begun(where, tree, self._initial, self._subject, batches, facts, resume=resume, storage=kept)
            self._initial, self._stored_step = run.initial, run.checkpoint
        self._recorder = Recorder(run, self.measures, sinks, storage=storage)
        self._seal = weakref.finalize(self, self._recorder.close_at_exit)
        self._observed = self._recorder.last_step
        self._seen = max(self._observed, 0)
        self._due = self._next_due()
        self._recorder.start({"name": tree["experiment"], "run_dir": str(self.directory or "") or None, "spec": tree})
        if self._observed >= 0:
            self._recorder.event("resumed", step=self._observed)

    # -- in the loop ------------------------------------------------------------------------------

    def __call__(self, step: int, **logged: Any) -> bool:
        """Measure if something is due at ``step``; return whether it was.

        A step that is not due costs a comparison. A cadence's step that the loop passes over is made up for at
        the next call. A step at or before the last one measured is not measured again: after going back in a
        training, measuring goes on where the loop passes that point.

        Args:
            step: how far the training is, counted over all of it; 0 and up.
            logged: numbers of the loop's own, ``loss=…``, recorded as ``step/loss`` where something is due.

        Raises:
            UsageError: the step is no whole number, or negative.
        """
        if type(step) is int and self._seen <= step < self._due:
            self._seen = step
            return False
        step = _whole(step)
        if step < self._seen:
            self._tell_back(step)
        self._seen = step
        return step >= self._due and self._observe(step, logged)

    def step(self, **logged: Any) -> bool:
        """Count one more update and measure if something is due; the first call is step 1."""
        return self(self._seen + 1, **logged)

    def observe(self, step: int, **logged: Any) -> bool:
        """Measure at ``step``, due or not: for the end of a training. One that has been measured is left as it is."""
        step = self._seen = _whole(step)
        return step > self._observed and self._observe(step, logged)

    def _observe(self, step: int, logged: Mapping[str, Any]) -> bool:
        if self._recorder.closed:
            raise UsageError("the monitor is closed: make another, with resume=True to go on with its run.")
        started = time.perf_counter()
        self._observed = step
        self._due = self._next_due()
        try:
            self._record(step, logged)
        except Exception as error:
            # whatever it is, the training does not end for it
            reason = f"{type(error).__name__}: {error}"
            self._recorder.tell_once("observation_failed", type(error).__name__, warn=True, step=step, reason=reason)
        self._recorder.seconds += time.perf_counter() - started
        return True

    def _record(self, step: int, logged: Mapping[str, Any]) -> None:
        recorder = self._recorder
        rows = self._logged(step, logged)
        with undisturbed(self._subject.numerics):
            snapshot = self._subject.at(step, self._initial)
            for measure in self.measures:
                found = attempt(measure, snapshot)
                recorder.arrays(step, found)
                if found.event is not None:
                    fields = {"measure": measure.name, "version": measure.version, "step": step}
                    recorder.tell_once(found.event, measure.name, **fields, reason=found.reason)
                rows += found.rows
            recorder.rows(step, rows)
            if self._store is not None and self._is_stored(step):
                recorder.checkpoint(step, state_of(snapshot))
            if any(measure.hindsight is not None for measure in self.measures) and self.directory is not None:
                recorder.last = snapshot.freeze()
            snapshot.close()
        self._tell_phase(step)

    def _logged(self, step: int, logged: Mapping[str, Any]) -> list[Row]:
        rows: list[Row] = []
        for name, given in logged.items():
            value = number_of(given)
            if value is None:
                reason = f"{name} is a {type(given).__name__}, which is no number: it is not recorded."
                self._recorder.tell_once("not_a_number", name, warn=True, step=step, reason=reason)
                continue
            rows.append((f"step/{name}", None, value, LEARNER_VERSION))
        return rows + [(key, module, rate, LEARNER_VERSION) for key, module, rate in plan.rates_of(self._optimizer)]

    def _tell_phase(self, step: int) -> None:
        if self._phase is None:
            return
        found = self.phase
        if found.phase != self._phase:
            self._phase = found.phase
            self._recorder.event("phase", step=step, phase=found.phase, reason=found.rule)

    def _tell_back(self, step: int) -> None:
        if step <= self._observed:
            reason = (
                f"step {step} comes after step {self._seen}: steps up to {self._observed} have been measured and are "
                "not measured again; count steps over the whole training, not within an epoch (monitor.step() does)."
            )
            self._recorder.tell_once("went_back", "step", warn=True, step=step, reason=reason)

    # -- when -------------------------------------------------------------------------------------

    def _next_due(self) -> float:
        cadences = (self._cadence, self._store)
        following = [c.next_after(self._observed, MOST_STEPS) for c in cadences if c is not None]
        return min((step for step in following if step is not None), default=math.inf)

    def _is_stored(self, step: int) -> bool:
        """Tell whether a step of the checkpoints' cadence lies between the last checkpoint and ``step``."""
        assert self._store is not None
        following = self._store.next_after(self._stored_step, MOST_STEPS)
        if following is None or following > step:
            return False
        self._stored_step = step
        return True

    # -- what was found ---------------------------------------------------------------------------

    @property
    def phase(self) -> Assessment:
        """The phase the training is in, told without held-out data, with the rule and what it saw; print it."""
        from grokscope.analysis.label_free import assess

        return assess(self.series)

    @property
    def series(self) -> Series:
        """Steps and values by flat key (``key`` or ``key@module``)."""
        return self._recorder.series()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What happened: measures that do not apply, with the reason, among others."""
        return list(self._recorder.events)

    @property
    def directory(self) -> Path | None:
        """The directory of the run; None where nothing is stored."""
        return self._recorder.directory

    @property
    def run(self) -> Run:
        """The run that is written, as ``gs.run`` gives one.

        Raises:
            UsageError: nothing is stored.
        """
        from grokscope.running import Run

        if self.directory is None:
            raise UsageError("this monitor stores nothing: give it out= for a run.")
        return Run(self.directory)

    def scalars(self, *keys: str) -> pandas.DataFrame:
        """Return a data frame with a row a step and a column a key (all keys without arguments).

        Raises:
            UsageError: nothing of that name was measured; the nearest keys are offered.
        """
        from grokscope.running import frame_of

        return frame_of(self.series, keys)

    # -- the end ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Complete and seal the run; it also happens when the monitor goes or the process ends."""
        self._recorder.close()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._recorder.close()
        else:
            self._recorder.close(*ending(error))

    def __repr__(self) -> str:
        names = ", ".join(measure.name for measure in self.measures)
        where = "in memory" if self.directory is None else str(self.directory)
        return f"Monitor({names}; {where})"


def _whole(step: Any) -> int:
    """Return a step as an int: that of an integer tensor or of NumPy too."""
    try:
        number = operator.index(step)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"step = {step!r} is no whole number: give the number of updates made so far.") from error
    if isinstance(step, bool) or number < 0:
        raise UsageError(f"step = {step!r}: steps count from 0.")
    return number
