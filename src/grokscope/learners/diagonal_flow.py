"""The gradient flow of a diagonal network as n equations instead of 2d, exact for every width d."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from grokscope.errors import CheckpointError, UsageError
from grokscope.forward import module_forward
from grokscope.learners.base import StateDict
from grokscope.linalg.radau import Problem, Step, begin, covering
from grokscope.rng import generator
from grokscope.roles import roles_of
from grokscope.settings import Point
from grokscope.snapshot import Descent, Snapshot, Source

if TYPE_CHECKING:
    from grokscope.learners.flow_settings import DiagonalFlowSettings
    from grokscope.spec import Spec
    from grokscope.tasks.base import Task

FIELDS = ("state", "stages", "jacobian")
FLAT = 0.1
"""Exponents up to which cosh is taken as 1 in the Jacobian, which is then the Gram matrix of the inputs."""


@dataclass(frozen=True)
class Reduced:
    """The data and the numbers of one member's flow.

    Attributes:
        inputs: X, (n, d), float64.
        targets: y, (n,): ±1 for classes, else the values.
        classes: whether the loss is log(1 + e^{−y f}), else (f − y)².
        start: a, the value of every parameter at t = 0.
        decay: λ.
        tolerance: relative error of an integration step.
    """

    inputs: Tensor
    targets: Tensor
    classes: bool
    start: float
    decay: float
    tolerance: float

    def scores(self, times: Tensor, duals: Tensor) -> Tensor:
        """Return f on the training data, (k, n), at times (k,) and p (k, n)."""
        size = 2 * self.start**2 * torch.exp(-2 * self.decay * times)
        # X is read twice for all moments together: that is what a step costs
        return ((size[:, None] * torch.sinh(4 * (duals @ self.inputs))) @ self.inputs.T).contiguous()

    def pulls(self, scores: Tensor) -> Tensor:
        """Return −∂L/∂f_i, (k, n): what pulls each example's score."""
        count = scores.shape[-1]
        if self.classes:
            return self.targets * torch.sigmoid(-self.targets * scores) / count
        return -2 * (scores - self.targets) / count

    def loss(self, scores: Tensor) -> Tensor:
        """Return L, (k,)."""
        if self.classes:
            return torch.nn.functional.softplus(-self.targets * scores).mean(-1)
        return (scores - self.targets).square().mean(-1)

    def problem(self) -> Problem:
        """Return dp/dt as an initial value problem."""
        # what changes a score by 1 at the start: the unit in which p is measured
        unit = 1 / (8 * self.start**2 * float(self.inputs.square().sum(1).max()))
        # the Jacobian only steers Newton's iteration, for which single precision is enough
        single = self.inputs.float()
        gram = (single @ single.T).double()

        def slopes(times: np.ndarray, duals: np.ndarray) -> np.ndarray:
            moments, points = torch.from_numpy(times), torch.from_numpy(np.ascontiguousarray(duals))
            return self.pulls(self.scores(moments, points)).numpy()

        def jacobian(time: float, dual: np.ndarray) -> np.ndarray:
            point = torch.from_numpy(dual)
            exponent = 4 * (point @ self.inputs)
            size = 8 * self.start**2 * math.exp(-2 * self.decay * time)
            if float(exponent.abs().max()) < FLAT:
                growth = size * gram
            else:
                growth = (((size * torch.cosh(exponent)).float() * single) @ single.T).double()
            scores = self.scores(torch.tensor([time], dtype=torch.float64), point[None])[0]
            count = len(scores)
            if self.classes:
                share = torch.sigmoid(-self.targets * scores)
                bend = share * (1 - share) / count
            else:
                bend = torch.full_like(scores, 2 / count)
            return (-bend[:, None] * growth).numpy()

        return Problem(slopes, jacobian, self.tolerance * unit, self.tolerance)

    def first_step(self) -> float:
        """Return a size for the first integration step: what moves a score by about a hundredth."""
        unit = 1 / (8 * self.start**2 * float(self.inputs.square().sum(1).max()))
        pull = float(self.pulls(torch.zeros(1, len(self.targets), dtype=torch.float64)).abs().max())
        return 0.01 * unit / max(pull, 1e-30)

    def parameters(self, time: float, dual: Tensor) -> dict[str, Tensor]:
        """Return u and v, (d,) each."""
        exponent = 2 * (dual @ self.inputs)
        shrunk = self.start * math.exp(-self.decay * time)
        return {"u": shrunk * torch.exp(exponent), "v": shrunk * torch.exp(-exponent)}


@dataclass
class FlowState:
    """What a flow is at one moment: of each member the integration step that covers it."""

    specs: Sequence[Spec]
    members: list[Reduced]
    problems: list[Problem]
    sources: list[Source]
    reached: list[Step]
    step: int = 0


class DiagonalFlow:
    """Follows each member's flow on a grid of its own; where it is asked, it reads it off the step there."""

    @property
    def points(self) -> frozenset[Point]:
        """No interventions: what they would change has no reduction."""
        return frozenset()

    def start(self, specs: Sequence[Spec], tasks: Sequence[Task]) -> FlowState:
        """Return the state at t = 0.

        Raises:
            UsageError: the model is no diagonal network, the task streams, or an optimizer is set.
        """
        pairs = [_member(spec, task) for spec, task in zip(specs, tasks, strict=True)]
        members = [member for member, _ in pairs]
        reached = [begin(np.zeros(len(member.targets)), member.first_step()) for member in members]
        return FlowState(specs, members, [m.problem() for m in members], [source for _, source in pairs], reached)

    def restore(self, specs: Sequence[Spec], tasks: Sequence[Task], stored: StateDict) -> FlowState:
        """Return the state that ``stored`` describes; it continues bitwise.

        Raises:
            CheckpointError: the tensors are not those of these specs.
        """
        state = self.start(specs, tasks)
        state.step = int(stored.values["step"])
        for index, member in enumerate(state.members):
            try:
                arrays = {name: stored.tensors[f"{index}/{name}"].numpy() for name in FIELDS}
                times = stored.tensors[f"{index}/times"].tolist()
            except KeyError as error:
                raise CheckpointError(f"the checkpoint does not fit this spec: {error.args[0]!r} is absent.") from error
            if arrays["state"].shape != (len(member.targets),):
                raise CheckpointError(f"the checkpoint does not fit this spec: member {index} has other examples.")
            start, end, following = times
            state.reached[index] = Step(start, end, following=following, **arrays)
        return state

    def advance(self, state: FlowState, n: int) -> FlowState:
        """Return ``state`` (the same object) n steps of time later."""
        if n == 0:
            return state
        state.step += n
        for index, spec in enumerate(state.specs):
            state.reached[index] = covering(state.problems[index], state.reached[index], _time(spec, state.step))
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
        reduced, source, time = state.members[member], state.sources[member], _time(state.specs[member], state.step)
        dual = self._dual(state, member)
        initial = Snapshot(source, step=0, parameters=reduced.parameters(0.0, torch.zeros_like(dual)))
        parameters = reduced.parameters(time, dual)
        return Snapshot(source, step=state.step, parameters=parameters, initial=initial, clocks={"time": time})

    def scalars(self, state: FlowState, member: int = 0) -> dict[tuple[str, str | None], float]:
        """Return the loss on the training data."""
        reduced, time = state.members[member], _time(state.specs[member], state.step)
        moment = torch.tensor([time], dtype=torch.float64)
        return {("step/loss", None): float(reduced.loss(reduced.scores(moment, self._dual(state, member)[None]))[0])}

    def state_dict(self, state: FlowState) -> StateDict:
        """Return the integration step of each member, whole."""
        tensors: dict[str, Tensor] = {}
        for index, step in enumerate(state.reached):
            tensors |= {
                f"{index}/{name}": torch.from_numpy(np.ascontiguousarray(getattr(step, name))) for name in FIELDS
            }
            tensors[f"{index}/times"] = torch.tensor([step.start, step.end, step.following], dtype=torch.float64)
        return StateDict(tensors, {"step": state.step})

    def _dual(self, state: FlowState, member: int) -> Tensor:
        time = _time(state.specs[member], state.step)
        return torch.from_numpy(np.ascontiguousarray(state.reached[member].at(time)))


def _time(spec: Spec, step: int) -> float:
    return step * _settings(spec).time_per_step


def _settings(spec: Spec) -> DiagonalFlowSettings:
    settings: Any = spec.learner
    return settings


def _member(spec: Spec, task: Task) -> tuple[Reduced, Source]:
    from grokscope.models.diagonal_settings import DiagonalNetworkSettings

    settings, model = _settings(spec), spec.model
    if not isinstance(model, DiagonalNetworkSettings):
        raise UsageError("the learner diagonal-flow follows a diagonal network: set model.name = diagonal-network.")
    if spec.optimizer is not None:
        raise UsageError(
            "the learner diagonal-flow has no optimizer: set learner.weight_decay and leave optimizer out."
        )
    if task.train is None or task.train.targets is None:
        raise UsageError("the learner diagonal-flow needs a finite set of labelled examples; this task streams.")
    if not spec.numerics.device.startswith("cpu"):
        raise UsageError("the learner diagonal-flow integrates on the CPU: leave --device out.")
    module = model.build(task.facts, generator(spec.seed.init, "init")).double().eval()
    inputs, targets = task.train.inputs.double().flatten(1), task.train.targets
    classes = not targets.is_floating_point()
    member = Reduced(
        inputs=inputs,
        targets=(2.0 * targets - 1).double() if classes else targets.double().flatten(),
        classes=classes,
        start=float(next(module.parameters()).detach()[0]),
        decay=settings.weight_decay,
        tolerance=settings.tolerance,
    )
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
