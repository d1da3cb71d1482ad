"""The gradient flow of a symmetric factorisation on observed entries, by d x d products alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from grokscope.errors import CheckpointError, UsageError
from grokscope.forward import module_forward
from grokscope.learners.base import StateDict
from grokscope.linalg.chebyshev import Flow, Step, begin, covering
from grokscope.rng import generator
from grokscope.roles import roles_of
from grokscope.settings import Point
from grokscope.snapshot import Descent, Snapshot, Source

if TYPE_CHECKING:
    from grokscope.learners.flow_settings import CompletionFlowSettings
    from grokscope.spec import Spec
    from grokscope.tasks.base import Task

FIELDS = ("before", "after", "slope_before", "slope_after")


@dataclass(frozen=True)
class Observed:
    """The observed entries of one member.

    Attributes:
        values: X* where observed, else 0, (d, d).
        mask: how often an entry is observed over n, (d, d): the weights of the mean over entries.
        decay: λ.
    """

    values: np.ndarray
    mask: np.ndarray
    decay: float

    def residual(self, factors: np.ndarray) -> np.ndarray:
        """Return (W − X*) over n on the observed entries, (d, d), of U and V stacked, (2, d, d)."""
        u, v = factors
        return self.mask * (u @ u.T - v @ v.T - self.values)

    def loss(self, factors: np.ndarray) -> float:
        """Return the mean squared error on the observed entries."""
        u, v = factors
        return float((self.mask * (u @ u.T - v @ v.T - self.values) ** 2).sum())

    def flow(self, tolerance: float) -> Flow:
        """Return dU/dt = −λU − SU, dV/dt = −λV + SV with S = 2 (R + Rᵀ), as an initial value problem."""

        def slope(factors: np.ndarray) -> np.ndarray:
            pull = self.residual(factors)
            pull = 2 * (pull + pull.T)
            return np.stack(
                [-self.decay * factors[0] - pull @ factors[0], -self.decay * factors[1] + pull @ factors[1]]
            )

        def radius(factors: np.ndarray) -> float:
            u, v = factors
            # Gauss-Newton: 2 w ‖J‖² with ‖J‖² <= 4 (σ_U² + σ_V²); and the bend of W times its residual
            largest = np.linalg.eigvalsh(u.T @ u)[-1] + np.linalg.eigvalsh(v.T @ v)[-1]
            pull = self.residual(factors)
            bend = 2 * float(np.abs(np.linalg.eigvalsh(pull + pull.T)).max())
            return float(8 * self.mask.max() * largest + bend + self.decay)

        return Flow(slope, radius, 1e-3 * tolerance, tolerance)


@dataclass
class FlowState:
    """What the flows are at one moment: of each member the integration step that covers it."""

    specs: Sequence[Spec]
    members: list[Observed]
    flows: list[Flow]
    sources: list[Source]
    initial: list[np.ndarray]
    reached: list[Step]
    step: int = 0


class CompletionFlow:
    """Follows each member's flow on a grid of its own; where it is asked, it reads it off the step there."""

    @property
    def points(self) -> frozenset[Point]:
        """No interventions."""
        return frozenset()

    def start(self, specs: Sequence[Spec], tasks: Sequence[Task]) -> FlowState:
        """Return the state at t = 0.

        Raises:
            UsageError: the model is no symmetric factorisation, the task does not name entries, or an optimizer is set.
        """
        found = [_member(spec, task) for spec, task in zip(specs, tasks, strict=True)]
        members = [member for member, _, _ in found]
        initial = [start for _, _, start in found]
        flows = [m.flow(_settings(spec).tolerance) for m, spec in zip(members, specs, strict=True)]
        reached = [begin(flow, start) for flow, start in zip(flows, initial, strict=True)]
        return FlowState(specs, members, flows, [source for _, source, _ in found], initial, reached)

    def restore(self, specs: Sequence[Spec], tasks: Sequence[Task], stored: StateDict) -> FlowState:
        """Return the state that ``stored`` describes; it continues bitwise.

        Raises:
            CheckpointError: the tensors are not those of these specs.
        """
        state = self.start(specs, tasks)
        state.step = int(stored.values["step"])
        for index, start in enumerate(state.initial):
            try:
                arrays = {name: stored.tensors[f"{index}/{name}"].numpy() for name in FIELDS}
                begun, end, following = stored.tensors[f"{index}/times"].tolist()
            except KeyError as error:
                raise CheckpointError(f"the checkpoint does not fit this spec: {error.args[0]!r} is absent.") from error
            if arrays["after"].shape != start.shape:
                raise CheckpointError(f"the checkpoint does not fit this spec: member {index} has another size.")
            state.reached[index] = Step(begun, end, following=following, **arrays)
        return state

    def advance(self, state: FlowState, n: int) -> FlowState:
        """Return ``state`` (the same object) n steps of time later."""
        if n == 0:
            return state
        state.step += n
        for index, spec in enumerate(state.specs):
            state.reached[index] = covering(state.flows[index], state.reached[index], _time(spec, state.step))
        return state

    def step(self, state: FlowState) -> int:
        """Return how many steps of time have passed."""
        return state.step

    def predict(self, state: FlowState, inputs: Tensor, member: int = 0) -> Tensor:
        """Return the entries of a member's matrix that the indices name."""
        with torch.no_grad():
            return self.snapshot(state, member).predict(inputs)

    def snapshot(self, state: FlowState, member: int = 0) -> Snapshot:
        """Return a view of one member: the factorisation that it is the flow of."""
        source = state.sources[member]
        initial = Snapshot(source, step=0, parameters=_named(state.initial[member]))
        clocks = {"time": _time(state.specs[member], state.step)}
        parameters = _named(self._factors(state, member))
        return Snapshot(source, step=state.step, parameters=parameters, initial=initial, clocks=clocks)

    def scalars(self, state: FlowState, member: int = 0) -> dict[tuple[str, str | None], float]:
        """Return the loss on the observed entries."""
        return {("step/loss", None): state.members[member].loss(self._factors(state, member))}

    def state_dict(self, state: FlowState) -> StateDict:
        """Return the integration step of each member, whole."""
        tensors: dict[str, Tensor] = {}
        for index, step in enumerate(state.reached):
            tensors |= {
                f"{index}/{name}": torch.from_numpy(np.ascontiguousarray(getattr(step, name))) for name in FIELDS
            }
            tensors[f"{index}/times"] = torch.tensor([step.start, step.end, step.following], dtype=torch.float64)
        return StateDict(tensors, {"step": state.step})

    def _factors(self, state: FlowState, member: int) -> np.ndarray:
        return state.reached[member].at(_time(state.specs[member], state.step))


def _named(factors: np.ndarray) -> dict[str, Tensor]:
    return {name: torch.from_numpy(factors[index].copy()) for index, name in enumerate(("U", "V"))}


def _time(spec: Spec, step: int) -> float:
    return step * _settings(spec).time_per_step


def _settings(spec: Spec) -> CompletionFlowSettings:
    settings: Any = spec.learner
    return settings


def _member(spec: Spec, task: Task) -> tuple[Observed, Source, np.ndarray]:
    from grokscope.models.factorisation_settings import SymmetricFactorisationSettings

    settings, model, train = _settings(spec), spec.model, task.train
    if not isinstance(model, SymmetricFactorisationSettings):
        raise UsageError(
            "the learner completion-flow follows a symmetric factorisation: set model.name = symmetric-factorisation."
        )
    if spec.optimizer is not None:
        raise UsageError(
            "the learner completion-flow has no optimizer: set learner.weight_decay and leave optimizer out."
        )
    if train is None or train.targets is None or train.inputs.is_floating_point() or train.inputs.shape[1:] != (2,):
        raise UsageError("the learner completion-flow needs observed entries by their indices: set task.name = "
                         "matrix-completion.")  # fmt: skip
    if not spec.numerics.device.startswith("cpu"):
        raise UsageError("the learner completion-flow integrates on the CPU: leave --device out.")
    module = model.build(task.facts, generator(spec.seed.init, "init")).double().eval()
    start = np.stack([parameter.detach().numpy().copy() for _, parameter in sorted(module.named_parameters())])
    count = np.zeros(start.shape[1:])
    values = np.zeros(start.shape[1:])
    rows, columns = train.inputs.numpy().T
    np.add.at(count, (rows, columns), 1.0)
    values[rows, columns] = train.targets.double().flatten().numpy()
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
    return Observed(values, count / len(train), settings.weight_decay), source, start
