"""The state a fork begins from: taken out of the run it comes from, kept in the fork's inputs, given to the learner."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import CheckpointError, UsageError
from grokscope.execution.place import Place, place_of
from grokscope.spec import Spec
from grokscope.store import HISTORY, STATE, CheckpointStore, StoredRun

if TYPE_CHECKING:
    from grokscope.learners.base import Learner, StateDict

STATE_INPUT = Path(STATE).name
HISTORY_INPUT = Path(HISTORY).name


def state_at(run: StoredRun, step: int) -> StateDict:
    """Return the state of a run at any step it has made, as that of a run of its own.

    Where the step has no checkpoint it is trained again from the last one before it, under the same numerics
    and so to the same bits. Of an ensemble's member it is the member's slice.

    Raises:
        StoreError: the folder of its ensemble cannot be read.
    """
    from grokscope.loop.encoding import decode_checkpoint
    from grokscope.numerics import applied

    specs, place, _ = place_of(run)
    found = CheckpointStore(place.checkpoints).latest(step)
    with applied(specs[0].numerics):
        tasks = [spec.task.build(spec.seed) for spec in specs]
        learner = specs[0].learner.build(ensemble=specs[0].engine == "ensemble")
        if found is None:
            state = first_state(specs, tasks, learner, place)
        else:
            state = learner.restore(specs, tasks, decode_checkpoint(found[1])[0])
        stored = learner.state_dict(learner.advance(state, step - learner.step(state)))
    member = member_of(run, place)
    return stored if member is None else alone(learner, stored, member)


def alone(learner: Learner, stored: StateDict, member: int) -> StateDict:
    """Return the state of an ensemble's member as that of a run of its own.

    It is the member's slice of every tensor, or what the learner's method of this name makes of it, if it has one.
    """
    from grokscope.learners.base import StateDict

    taken = getattr(learner, "alone", None)
    if taken is not None:
        return taken(stored, member)
    return StateDict({name: tensor[member] for name, tensor in stored.tensors.items()}, stored.values)


def member_of(run: StoredRun, place: Place) -> int | None:
    """Return which slice of the stacked tensors is a run's; None where they are its own."""
    if place.checkpoints in place.members:
        return None
    return [path.resolve() for path in place.members].index(run.directory.resolve())


def same_origin(runs: Sequence[StoredRun]) -> bool:
    """Tell whether all of these runs are forks of one state."""
    origins = [run.spec.get("parent") or {} for run in runs]
    states = {(one.get("training_id"), one.get("step"), one.get("state")) for one in origins}
    return len(states) == 1 and all(origins)


def first_state(specs: Sequence[Spec], tasks: Sequence[Any], learner: Learner, place: Place) -> Any:
    """Return the state a training begins with: at step 0, or of a fork the one in its inputs.

    Raises:
        CheckpointError: the state in the inputs is missing or is not the one that the spec names.
    """
    from grokscope.loop.encoding import decode

    parent = specs[0].parent
    if parent is None:
        return learner.start(specs, tasks)
    path = place.members[0] / "inputs" / STATE_INPUT
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"the state this fork begins from ({path}) cannot be read: {error.strerror}; fork {parent.run} again."
        ) from error
    if hashlib.sha256(data).hexdigest() != parent.state:
        raise CheckpointError(
            f"the state this fork begins from ({path}) is corrupt, its SHA-256 is not the one in the spec: fork "
            f"{parent.run} again."
        )
    return learner.restore(specs, tasks, decode(data))


def inputs_beside(spec: Spec, directory: Path) -> dict[str, bytes]:
    """Return what a spec file's run begins from: nothing, or of a fork the inputs beside the file.

    Raises:
        UsageError: they are not there.
    """
    if spec.parent is None:
        return {}
    names = (STATE_INPUT, HISTORY_INPUT)
    try:
        return {name: (directory / "inputs" / name).read_bytes() for name in names}
    except OSError as error:
        raise UsageError(
            f"the spec in {directory} is of a fork, whose first state is not in {directory / 'inputs'}: fork "
            f"{spec.parent.run} again."
        ) from error
