"""Learners that follow gradient flows of few variables on a grid of their own: what they share.

A state holds, of each member, the integration step that covers its moment, whole. A moment that is asked for is read
off that step, so that neither the questions nor a restart change a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from grokscope.errors import CheckpointError, UsageError
from grokscope.forward import module_forward
from grokscope.learners.base import StateDict
from grokscope.rng import generator
from grokscope.roles import roles_of
from grokscope.settings import Point
from grokscope.snapshot import Descent, Snapshot, Source

if TYPE_CHECKING:
    from grokscope.learners.flow_settings import FlowSettings
    from grokscope.spec import Spec
    from grokscope.tasks.base import Task


class Followed(Protocol):
    """One member's flow. An integration step is a frozen dataclass of numbers and arrays with ``at(time)``."""

    def begin(self) -> Any:
        """Return the step of no length at t = 0."""
        ...

    def covering(self, step: Any, time: float) -> Any:
        """Return the step that covers ``time``, taking as many as it needs from ``step`` on."""
        ...

    def parameters(self, time: float, variables: np.ndarray) -> dict[str, Tensor]:
        """Return the parameters of the network that it is the flow of."""
        ...

    def loss(self, time: float, variables: np.ndarray) -> float:
        """Return the loss on the training data."""
        ...


Follow = Callable[[Any, Any, nn.Module], Followed]
"""From a spec, a task and the model at its start in float64 to the flow of that model.

Raises:
    UsageError: the flow of this model or on this task has no such reduction.
"""


@dataclass
class FlowState:
    """What the flows are at one moment."""

    specs: Sequence[Spec]
    members: list[Any]
    sources: list[Source]
    reached: list[Any]
    step: int = 0


class FlowLearner:
    """Follows each member's flow, one after the other; a member does not depend on who is followed beside it."""

    def __init__(self, name: str, follow: Follow) -> None:
        self.name = name
        self.follow = follow

    @property
    def points(self) -> frozenset[Point]:
        """No interventions: what they would change has no reduction."""
        return frozenset()

    def start(self, specs: Sequence[Spec], tasks: Sequence[Task]) -> FlowState:
        """Return the state at t = 0.

        Raises:
            UsageError: the flow has no reduction, an optimizer is set, or a device other than the CPU is asked for.
        """
        pairs = [self._member(spec, task) for spec, task in zip(specs, tasks, strict=True)]
        members = [member for member, _ in pairs]
        return FlowState(specs, members, [source for _, source in pairs], [member.begin() for member in members])

    def restore(self, specs: Sequence[Spec], tasks: Sequence[Task], stored: StateDict) -> FlowState:
        """Return the state that ``stored`` describes; it continues bitwise.

        Raises:
            CheckpointError: the tensors are not those of these specs.
        """
        state = self.start(specs, tasks)
        state.step = int(stored.values["step"])
        for index, begun in enumerate(state.reached):
            try:
                state.reached[index] = _unpacked(begun, index, stored.tensors)
            except KeyError as error:
                raise CheckpointError(f"the checkpoint does not fit this spec: {error.args[0]!r} is absent.") from error
            if state.reached[index].at(0.0).shape != begun.at(0.0).shape:
                raise CheckpointError(f"the checkpoint does not fit this spec: member {index} has another size.")
        return state

    def advance(self, state: FlowState, n: int) -> FlowState:
        """Return ``state`` (the same object) n steps of time later."""
        if n == 0:
            return state
        state.step += n
        for index, member in enumerate(state.members):
            state.reached[index] = member.covering(state.reached[index], _time(state.specs[index], state.step))
        return state

    def step(self, state: FlowState) -> int:
        """Return how many steps of time have passed."""
        return state.step

    def predict(self, state: FlowState, inputs: Tensor, member: int = 0) -> Tensor:
        """Return the outputs of a member."""
        with torch.no_grad():
            return self.snapshot(state, member).predict(inputs)

    def snapshot(self, state: FlowState, member: int = 0) -> Snapshot:
        """Return a view of one member: the parameters of the network that it is the flow of."""
        followed, source, time = state.members[member], state.sources[member], _time(state.specs[member], state.step)
        start = followed.parameters(0.0, followed.begin().at(0.0))
        initial = Snapshot(source, step=0, parameters=start)
        parameters = followed.parameters(time, state.reached[member].at(time))
        return Snapshot(source, step=state.step, parameters=parameters, initial=initial, clocks={"time": time})

    def scalars(self, state: FlowState, member: int = 0) -> dict[tuple[str, str | None], float]:
        """Return the loss on the training data."""
        time = _time(state.specs[member], state.step)
        return {("step/loss", None): state.members[member].loss(time, state.reached[member].at(time))}

    def state_dict(self, state: FlowState) -> StateDict:
        """Return the integration step of each member, whole."""
        tensors: dict[str, Tensor] = {}
        for index, step in enumerate(state.reached):
            arrays, times = _parts(step)
            tensors |= {
                f"{index}/{name}": torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()
            }
            tensors[f"{index}/times"] = torch.tensor(list(times.values()), dtype=torch.float64)
        return StateDict(tensors, {"step": state.step})

    def alone(self, stored: StateDict, member: int) -> StateDict:
        """Return the state of a member of an ensemble as that of a run of its own."""
        own = f"{member}/"
        tensors = {f"0/{n.removeprefix(own)}": t for n, t in stored.tensors.items() if n.startswith(own)}
        return StateDict(tensors, stored.values)

    def _member(self, spec: Spec, task: Task) -> tuple[Followed, Source]:
        settings = _settings(spec)
        if spec.optimizer is not None:
            raise UsageError(
                f"the learner {self.name} has no optimizer: set learner.weight_decay and leave optimizer out."
            )
        if not spec.numerics.device.startswith("cpu"):
            raise UsageError(f"the learner {self.name} integrates on the CPU: leave --device out.")
        if spec.model is None:
            raise UsageError(f"the learner {self.name} follows a model: set model.name.")
        module = spec.model.build(task.facts, generator(spec.seed.init, "init")).double().eval()
        member = self.follow(spec, task, module)
        source = Source(
            forward=module_forward(module),
            probes={name: batch.to("cpu", torch.float64, copy=True) for name, batch in task.probes.items()},
            facts=task.facts,
            roles=roles_of(module, spec.roles),
            module=module,
            eval_chunk=spec.numerics.eval_chunk,
            measure_seed=spec.seed.measure,
            loss=task.loss,
            descent=Descent(settings.time_per_step, settings.weight_decay, is_flow=True),
        )
        return member, source


def _parts(step: Any) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return the arrays and the numbers of an integration step, by name."""
    values = {field.name: getattr(step, field.name) for field in fields(step)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    return arrays, {name: float(value) for name, value in values.items() if name not in arrays}


def _unpacked(begun: Any, index: int, tensors: Any) -> Any:
    arrays, numbers = _parts(begun)
    stored = {name: tensors[f"{index}/{name}"].numpy() for name in arrays}
    times = dict(zip(numbers, tensors[f"{index}/times"].tolist(), strict=True))
    return type(begun)(**stored, **times)


def _time(spec: Spec, step: int) -> float:
    return step * _settings(spec).time_per_step


def _settings(spec: Spec) -> FlowSettings:
    settings: Any = spec.learner
    return settings
