"""A stored run as a person handles it: its scalars, phases, verdicts and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from grokscope.analysis.phases import Phase, segment
from grokscope.analysis.transitions import Transition, TransitionRule, transition
from grokscope.errors import UsageError, unknown
from grokscope.store import StoredRun, open_run, resolve_run

if TYPE_CHECKING:
    import pandas

    from grokscope.claims import Verdict
    from grokscope.execution.measure import Filled
    from grokscope.execution.progress import Progress


@dataclass(frozen=True)
class Run:
    """A run directory, read only.

    Example::

        run = gs.run("nanda2023/modular-addition", scale="smoke", seed=0)
        run.scalars("test/accuracy"), run.transition().generalise_step
    """

    directory: Path

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Return the run at a run directory, or at a directory that holds exactly one run.

        Raises:
            UsageError: there is nothing at the path.
            StoreError: there is no run, or there are several.
        """
        return cls(resolve_run(path))

    @cached_property
    def stored(self) -> StoredRun:
        """The reader of its files."""
        return open_run(self.directory)

    @property
    def spec(self) -> dict[str, Any]:
        """The resolved spec as plain values."""
        return self.stored.spec

    @property
    def status(self) -> str:
        """running, finished, stopped, interrupted, diverged or failed."""
        return self.stored.status

    def keys(self) -> list[str]:
        """Return every scalar key of the run, flat (``key`` or ``key@module``)."""
        return self.stored.keys()

    def scalars(self, *keys: str) -> pandas.DataFrame:
        """Return a data frame with a row a step and a column a key (all keys without arguments).

        Where a key was not measured at a step its cell is NaN.

        Raises:
            UsageError: the run has no such key; the nearest ones are offered.
        """
        return frame_of({key: self.stored.series(key) for key in keys or self.keys()})

    def transition(self) -> Transition:
        """Return where the run fitted and generalised, by the rule in its spec; a fork counts its parent's steps.

        Raises:
            UsageError: its spec has no transition rule.
        """
        return transition(self.stored.whole().series, self._rule())

    def phases(self) -> list[Phase]:
        """Return the phases the run went through, in order, with their first and last steps."""
        return segment(self.stored.whole().series, self._rule(), self.stored.last_step or 0)

    def claims(self) -> list[Verdict]:
        """Return the verdicts on the claims of its paper that this run alone can speak to."""
        from grokscope.execution.judge import verdicts_on

        return verdicts_on([self.stored])

    def report(self, path: str | Path | None = None) -> Path:
        """Write the run's page (``report.html`` in its directory, or ``path``) and return where it is."""
        from grokscope.execution.reporting import write_report

        return write_report([self.stored], path)

    def summary(self) -> dict[str, Any]:
        """Return the run as one JSON-ready document: what it is, its phases, final values and claims."""
        rule = self.spec.get("transition")
        phases: dict[str, Any] = {}
        if rule:
            from grokscope.analysis.overview import overview

            series, last = self.stored.whole().series, self.stored.last_step or 0
            phases = self.transition().as_dict() | overview(series, self._rule(), last)
        observed = self.stored.events("observe_share")
        return {
            "schema": 1,
            "experiment": f"{self.spec['paper']}/{self.spec['experiment']}",
            "paper": self.spec["paper"],
            "scale": self.spec["scale"],
            "seed": self.spec["seed"]["base"],
            "run_dir": str(self.directory),
            "status": self.status,
            "steps": self.stored.last_step or 0,
            "wall_seconds": round(self.stored.wall_seconds, 3),
            "observe_share": observed[-1]["share"] if observed else None,
            "training_id": self.spec.get("training_id"),
            "parent": self.spec.get("parent"),
            "phases": phases,
            "phase": told[-1] if (told := self.stored.events("phase")) else None,
            "final": self.stored.final(),
            "claims": [verdict.as_dict() for verdict in self.claims()],
        }

    def _rule(self) -> TransitionRule:
        rule = self.spec.get("transition")
        if not rule:
            raise UsageError(
                f"the run {self.directory} declares no transition: set transition.fit and transition.generalise."
            )
        return TransitionRule.model_validate(rule)


def frame_of(series: Mapping[str, tuple[Any, Any]], keys: Sequence[str] = ()) -> pandas.DataFrame:
    """Return series (steps, values) by key as a data frame with a row a step; all of them, or those of ``keys``.

    Raises:
        UsageError: there is no such key; the nearest ones are offered.
    """
    import pandas

    for key in keys:
        if key not in series:
            raise unknown("key", key, series)
    columns = {
        key: pandas.Series(series[key][1], index=pandas.Index(series[key][0], name="step")) for key in keys or series
    }
    return pandas.DataFrame(columns)


def measure(
    run: Run | str | Path,
    measures: Sequence[str],
    *,
    steps: Sequence[int] | None = None,
    model: Any = None,
) -> list[Filled]:
    """Take measures on the stored checkpoints of a run and add them to it, as ``grokscope measure`` does.

    Args:
        run: a run, or its directory.
        measures: names of measures.
        steps: these checkpoints only.
        model: of a run that ``gs.Monitor`` wrote, the model's code, for measures that run it: a module,
            ``(module, forward)``, a function that returns either, or ``"FILE.py:function"``.

    Raises:
        UsageError: an unknown measure, a step without a checkpoint, or code of another model.
        StoreError: there is no checkpoint, or the run is being written.
    """
    from grokscope.execution.measure import backfill

    stored = run if isinstance(run, Run) else Run.open(run)
    return backfill(stored.stored, measures, steps=steps, model=model)


def run(
    name: str,
    *,
    scale: str = "cpu",
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    interventions: Sequence[str] = (),
    out: str | Path | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Run one experiment, or read it from the store if it is there and finished, and return it.

    Args:
        name: ``paper/experiment``, or the path of a TOML or JSON spec file.
        scale: ``smoke``, ``cpu`` or ``paper``.
        seed: the base seed of every stream; absent: 0, or the file's.
        set: dotted overrides, such as ``{"optimizer.weight_decay": 0.5}``.
        interventions: ``NAME:key=value,…`` each.
        out: parent of all runs; ``GROKSCOPE_RUNS`` or ``./runs`` if absent.
        fresh: train even if the run is stored.
        progress: shown to while training; nothing is shown if absent.

    Raises:
        UsageError: an unknown name or key, or a value out of range; nothing has been trained.
    """
    from grokscope.execution.parent import inputs_beside
    from grokscope.execution.plan import experiment_spec
    from grokscope.execution.train import train

    spec = experiment_spec(name, scale=scale, seed=seed, changes=set, interventions=interventions)
    inputs = inputs_beside(spec, Path(name).parent)
    (directory,) = train([spec], root=out, fresh=fresh, progress=progress, inputs=inputs)
    return Run(directory)


class Fork(NamedTuple):
    """A run trained on from one of its steps: with something changed, and without."""

    branch: Run
    control: Run


def fork(
    run: Run | str | Path,
    *,
    at: int,
    set: Mapping[str, Any] | None = None,
    interventions: Sequence[str | Mapping[str, Any]] = (),
    steps: int | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Fork:
    """Branch a stored run at a step with something changed, and train a matched control; return both.

    Args:
        run: a run, or its directory.
        at: the step to branch at, from 0 to the run's last.
        set: dotted overrides of the branch: ``optimizer``, ``learner``, ``seed.order``, ``seed.noise``. Those
            of ``record``, ``stop``, ``transition`` and ``roles`` go to both.
        interventions: added to the branch, ``NAME:key=value,…`` each; they start at ``at`` if not told later.
        steps: updates to make; to the run's own last step if absent.
        out: parent of all runs; that of ``run`` if absent.
        progress: shown to while training; nothing is shown if absent.

    Raises:
        UsageError: the run cannot be forked there, or not with these changes; nothing has been trained.

    Example::

        branch, control = gs.fork(run, at=4000, interventions=["fourier-ablation:frequencies=[5]"])
    """
    from grokscope.execution.fork import fork as train_fork

    stored = run if isinstance(run, Run) else Run.open(run)
    paths = train_fork(
        stored.stored, at=at, changes=set, interventions=interventions, steps=steps, root=out, progress=progress
    )
    return Fork(*map(Run, paths))
