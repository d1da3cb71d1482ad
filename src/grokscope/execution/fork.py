"""Forks: a stored run, trained on from one of its steps twice, once with something changed and once as it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.cadence import Cadence
from grokscope.errors import CheckpointError, UsageError
from grokscope.execution.fits import check_fits, check_ours
from grokscope.execution.parent import HISTORY_INPUT, STATE_INPUT, alone, member_of, state_at
from grokscope.execution.place import place_of
from grokscope.execution.plan import parse_intervention, stored_spec
from grokscope.execution.progress import Progress
from grokscope.execution.train import train
from grokscope.settings import InterventionSettings
from grokscope.spec import Parent, Spec, override, resolve
from grokscope.store import CheckpointStore, StoredRun, log_lines

if TYPE_CHECKING:
    from grokscope.learners.base import StateDict

CHANGED = ("optimizer", "learner", "seed.order", "seed.noise")
"""What a branch may change, besides the interventions it adds."""
BOTH = ("record", "stop", "transition", "roles")
"""What is not trained, and set for branch and control alike."""
OBSERVED_PER_DECADE = 10


@dataclass(frozen=True)
class Plan:
    """A fork before it is trained: two specs, and the files that both begin from."""

    branch: Spec
    control: Spec
    inputs: dict[str, bytes]


@dataclass(frozen=True)
class Match:
    """How far a control is from its parent at the later checkpoints of both, over all tensors of the state."""

    steps: tuple[int, ...]
    difference: float

    @property
    def bitwise(self) -> bool:
        """Whether no number differs; also where there is nothing to compare."""
        return self.difference == 0


def fork(
    run: StoredRun,
    *,
    at: int,
    changes: Mapping[str, Any] | None = None,
    interventions: Sequence[str | Mapping[str, Any]] = (),
    steps: int | None = None,
    root: Path | str | None = None,
    progress: Progress | None = None,
) -> tuple[Path, Path]:
    """Train a branch and its control from a step of ``run``, and return their directories.

    What is stored and finished is not repeated; what was interrupted goes on.

    Args:
        run: a stored run, or the member of an ensemble.
        at: the step, from 0 to the last one the run made.
        changes: dotted overrides of the branch; those of ``record``, ``stop``, ``transition`` and ``roles``
            go to both.
        interventions: added to the branch; they start at ``at`` unless they say a later step.
        steps: how many updates to make; to the run's own last step if absent.
        root: parent of all runs; that of ``run`` if absent.
        progress: shown to while training.

    Raises:
        UsageError: the run cannot be forked there, or not with these changes; nothing has been trained.
        Interrupted: SIGINT or SIGTERM came; everything so far is stored.
    """
    planned = plan(run, at=at, changes=changes, interventions=interventions, steps=steps)
    root = Path(root) if root is not None else run.directory.resolve().parents[2]
    (branch,) = train([planned.branch], root=root, inputs=planned.inputs, progress=progress)
    (control,) = train([planned.control], root=root, inputs=planned.inputs, progress=progress)
    return branch, control


def plan(
    run: StoredRun,
    *,
    at: int,
    changes: Mapping[str, Any] | None = None,
    interventions: Sequence[str | Mapping[str, Any]] = (),
    steps: int | None = None,
) -> Plan:
    """Return the specs of branch and control and what they begin from; nothing is written.

    Both have the parent's recording plan and last step, and are looked at where they begin and on a log scale
    after it. The parent's stop rule is not taken over: it may be met already.

    Raises:
        UsageError: the run cannot be forked there, or not with these changes.
    """
    parent = stored_spec(run)
    check_ours(parent)
    _check_step(run, parent, at)
    changes = dict(changes or {})
    added = [_started(one, at) for one in interventions]
    _check_changes(parent, changes)
    last = _last_step(run, parent, at, steps)
    both = {key: value for key, value in changes.items() if key.split(".")[0] in BOTH}
    tree = override({**parent.tree(), "engine": "single", "group": None, "stop": None, "parent": None}, both)
    tree["learner"]["steps"] = last
    if _acts_inside(added, tree):
        tree["numerics"]["path"] = "plain"
    plain = resolve(tree)
    tree["record"] = _record(plain, at, last)
    stored = state_at(run, at)
    _check_finite(run, stored, at)
    data = _encoded(stored)
    origin = Parent(
        training_id=run.spec["training_id"],
        step=at,
        state=hashlib.sha256(data).hexdigest(),
        run="/".join(run.directory.resolve().parts[-3:]),
    )
    control = resolve({**tree, "parent": origin.model_dump()})
    tree = override(control.tree(), {key: value for key, value in changes.items() if key not in both})
    branch = resolve({**tree, "interventions": [*tree["interventions"], *added]})
    if branch.training_id == control.training_id:
        raise UsageError(
            "nothing that is trained would change: give --set or --intervene a value that differs from the run's."
        )
    told = origin.model_copy(update={"changes": _told(control, branch)})
    branch = branch.model_copy(update={"parent": told})
    _check_fits(branch, stored)
    rows = run.whole().rows()
    before = rows["step"] < at
    history = zip(*(rows[name][before].tolist() for name in ("step", "key", "module", "value", "version")), strict=True)
    return Plan(branch, control, {STATE_INPUT: data, HISTORY_INPUT: log_lines(history)})


def match(control: StoredRun, parent: StoredRun) -> Match:
    """Compare a control with the run it came from, at every checkpoint after the fork that both have."""
    here, there = (CheckpointStore(place_of(run)[1].checkpoints) for run in (control, parent))
    begun = stored_spec(control).parent
    assert begun is not None
    steps = sorted({step for step in set(here.steps()) & set(there.steps()) if step > begun.step})
    differences = [_difference(_tensors(control, step), _tensors(parent, step)) for step in steps]
    return Match(tuple(steps), max(differences, default=0.0))


# -- what can be asked for -------------------------------------------------------------------------


def _check_step(run: StoredRun, parent: Spec, at: int) -> None:
    status, last = run.status, run.last_step
    if status == "running":
        raise UsageError(f"{run.directory} is being trained: fork it when that has ended.")
    if last is None:
        raise UsageError(f"{run.directory} has not logged a step yet: resume it first.")
    first = parent.parent.step if parent.parent is not None else 0
    if at < first and parent.parent is not None:
        raise UsageError(
            f"step {at} is before the fork at step {first} with which {run.directory} begins: fork the run it came "
            f"from, {parent.parent.run}."
        )
    if at < 0 or at > last:
        raise UsageError(f"{run.directory} has no step {at}: give one from {first} to {last}, its last.")
    if status == "diverged" and at >= last:
        raise UsageError(f"{run.directory} diverged at step {last}: fork it at a step before that.")


def _last_step(run: StoredRun, parent: Spec, at: int, steps: int | None) -> int:
    if steps is not None and steps < 1:
        raise UsageError(f"--steps {steps}: a fork makes at least 1 update.")
    last = parent.learner.steps if steps is None else at + steps
    if last <= at:
        raise UsageError(f"{run.directory} ends at step {last}: say with --steps N how far its forks go on from {at}.")
    return last


def _check_changes(parent: Spec, changes: Mapping[str, Any]) -> None:
    drawing = [part.name for part in parent.interventions if part.draws]
    for key in changes:
        if key == "seed.noise" and drawing:
            raise UsageError(
                f"seed.noise cannot change at a fork of this run: the state of {drawing[0]} holds its seed."
            )
        section, _, field = key.partition(".")
        if section == "learner" and field in parent.learner.from_the_start:
            raise UsageError(
                f"{key} cannot change at a fork of the learner {parent.learner.name}, whose state depends "
                "on its value since the start: run the experiment with the new value instead."
            )
        if key == "learner.steps":
            raise UsageError(
                "learner.steps is not set at a fork: say with --steps N how many updates to make after it."
            )
        allowed = any(key == one or key.startswith(f"{one}.") for one in (*CHANGED, *BOTH)) and key != "learner.name"
        if section == "interventions":
            raise UsageError("interventions are not set at a fork, they are added to the run's: use --intervene.")
        if section in Spec.model_fields and not allowed:
            raise UsageError(
                f"{key} cannot change at a fork, which goes on from a state that belongs to it: a branch may change "
                f"{', '.join(CHANGED)} and add interventions."
            )


def _started(intervention: str | Mapping[str, Any], at: int) -> dict[str, Any]:
    tree = parse_intervention(intervention) if isinstance(intervention, str) else dict(intervention)
    start = tree.setdefault("start", at)
    if isinstance(start, int) and start < at:
        name = tree.get("name", "an intervention")
        raise UsageError(f"{name} would start at step {start}, before the fork at {at}: leave start out.")
    return tree


def _acts_inside(added: Sequence[Mapping[str, Any]], tree: Mapping[str, Any]) -> bool:
    parts = resolve({**tree, "numerics": {**tree["numerics"], "path": "plain"}, "interventions": list(added)})
    late = [part.name for part in parts.interventions if part.start >= tree["learner"]["steps"]]
    if late:
        last = tree["learner"]["steps"]
        raise UsageError(
            f"{late[0]} would never act, the fork ends at step {last}: let it start earlier, or give --steps."
        )
    return any(part.point == "activation" for part in parts.interventions)


def _record(spec: Spec, at: int, last: int) -> dict[str, Any]:
    """Return the recording plan with the fork's step in it and, for what is cheap, a log scale from there."""
    after = [at + step for step in Cadence(per_decade=OBSERVED_PER_DECADE).steps_until(last - at)]

    def seen(cadence: Cadence, steps: Sequence[int]) -> Cadence:
        return cadence.model_copy(update={"steps": tuple(sorted({*cadence.steps, *steps}))})

    record = spec.record
    extra = tuple(one.model_copy(update={"cadence": seen(one.cadence, [at])}) for one in record.extra)
    changed = {"observe": seen(record.observe, after), "checkpoints": seen(record.checkpoints, [at]), "extra": extra}
    return record.model_copy(update=changed).model_dump(mode="json")


def _check_fits(branch: Spec, stored: StateDict) -> None:
    """Refuse a branch whose learner cannot go on from the state, before anything is written."""
    try:
        check_fits([branch], stored)
    except CheckpointError as error:
        raise UsageError(f"a branch goes on with the moments of the run's own optimizer, but {error}") from error


def _check_finite(run: StoredRun, stored: StateDict, at: int) -> None:
    for name, tensor in stored.tensors.items():
        if name != "loss" and tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise UsageError(f"{run.directory} has diverged by step {at} ({name} is not finite): fork it earlier.")


# -- what is told ----------------------------------------------------------------------------------


def _told(control: Spec, branch: Spec) -> tuple[str, ...]:
    """Return what was changed, for people, in one spelling whatever was typed."""
    before, after = (dict(_leaves(spec.tree())) for spec in (control, branch))
    told = [
        f"{key}={_spelled(after[key])} (was {_spelled(before[key])})"
        for key in sorted({*before, *after})
        # what only one of two optimizers has says nothing that its name does not
        if key.split(".")[0] in ("optimizer", "learner", "seed") and key in before and key in after
        if before[key] != after[key]
    ]
    return (*told, *(_named(part, branch) for part in branch.interventions[len(control.interventions) :]))


def _named(part: InterventionSettings, branch: Spec) -> str:
    start = branch.parent.step if branch.parent is not None else 0
    given = part.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    # neither what the task says, nor that it starts where the fork does
    shown = {k: v for k, v in given.items() if getattr(branch.task, k, None) != v and (k, v) != ("start", start)}
    return " ".join([part.name, *(f"{key}={_spelled(value)}" for key, value in shown.items())])


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _leaves(tree: Mapping[str, Any], path: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        found += _leaves(value, f"{path}{key}.") if isinstance(value, dict) else [(f"{path}{key}", value)]
    return found


# -- tensors ---------------------------------------------------------------------------------------


def _encoded(stored: StateDict) -> bytes:
    from grokscope.loop.encoding import encode_tensors

    return encode_tensors(stored.tensors, stored.values)


def _tensors(run: StoredRun, step: int) -> dict[str, Any]:
    from grokscope.loop.encoding import decode_checkpoint

    specs, place, _ = place_of(run)
    stored, _ = decode_checkpoint(CheckpointStore(place.checkpoints).load(step))
    member = member_of(run, place)
    return stored.tensors if member is None else alone(specs[0].learner.build(ensemble=True), stored, member).tensors


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return the largest |difference| of two states, infinity where they have other tensors or NaN is in one only."""
    import torch

    if set(one) != set(other):
        return float("inf")

    def apart(tensor: Any, second: Any) -> float:
        if torch.equal(tensor, second):
            return 0.0
        same = (tensor == second) | ((tensor != tensor) & (second != second))
        gaps = (tensor.double() - second.double()).abs().masked_fill(same, 0.0)
        return float(gaps.nan_to_num(nan=float("inf"), posinf=float("inf")).max())

    return max((apart(tensor, other[name]) for name, tensor in one.items()), default=0.0)
