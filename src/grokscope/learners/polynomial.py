"""Gradient descent of the polynomial student by its affine reduction: exact, at a cost that does not know the width.

With the residual r_μ = α (f(x_μ) − f_0(x_μ)) − y_μ every weight vector moves by the same affine function of itself,
w ← w − c (g + ε G w), g = Σ_μ p_μ r_μ x_μ, G = Σ_μ p_μ r_μ x_μ x_μ^T, c = 2αη/N, p_μ = 1/P. Hence w_i(t) = A w_i(0) + b
with one A and b for all i, and f needs only the averages w̄ = A w̄_0 + b and M = A M_0 A^T + A w̄_0 b^T + b w̄_0^T A^T +
b b^T. In homogeneous coordinates, with F = [[A, b], [0, 1]] and S = [[M, w̄], [w̄^T, 1]], this is S = F S_0 F^T, and a
step subtracts c [εG, g] F from the upper rows of F: four products of matrices of D + 1 rows or P.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from grokscope.batch import stack
from grokscope.errors import CheckpointError, UsageError
from grokscope.learners.base import StateDict
from grokscope.learners.output_scale import scale_buffers, scaled
from grokscope.linalg.quadratic_student import Student
from grokscope.rng import generator
from grokscope.roles import roles_of
from grokscope.settings import Point
from grokscope.snapshot import Descent, Snapshot, Source, StepRecord

if TYPE_CHECKING:
    from grokscope.models.polynomial import PolynomialStudent
    from grokscope.spec import Spec
    from grokscope.tasks.base import Task

WEIGHTS = "hidden.weight"


@dataclass(frozen=True)
class Fixed:
    """What stays the same; every tensor has a leading member axis.

    Attributes:
        start: S_0, (members, D + 1, D + 1).
        inputs: (members, P, D); examples of shorter members are padded.
        read: α [(ε/2) x, 1], (members, P, D + 1): the output is its product with x [M, w̄].
        pulled: [ε x, 1], (members, P, D + 1).
        offset: what the output is compared with, y + α f_0 where it is centred, (members, P).
        pull: 2αη p/N, (members, P).
        shares: p, the weight of each example in the mean, (members, P).
        decay: ηλ, (members, 1, 1), or None where no member decays.
        momentum: (members, 1, 1), or None where no member has any.
    """

    start: Tensor
    inputs: Tensor
    read: Tensor
    pulled: Tensor
    offset: Tensor
    pull: Tensor
    shares: Tensor
    decay: Tensor | None
    momentum: Tensor | None


@dataclass
class ReductionState:
    """F = [[A, b], [0, 1]] of each member, the velocity of its upper rows, and the last step's loss."""

    specs: Sequence[Spec]
    tasks: Sequence[Task]
    fixed: Fixed
    map: Tensor
    velocity: Tensor | None
    loss: Tensor
    weights: list[Tensor]
    buffers: list[dict[str, Tensor]]
    sources: list[Source]
    step: int = 0


class PolynomialReduction:
    """One member or many; each equals gradient descent of its own network up to rounding."""

    @property
    def points(self) -> frozenset[Point]:
        """No interventions: there are no points at which they could act."""
        return frozenset()

    def start(self, specs: Sequence[Spec], tasks: Sequence[Task]) -> ReductionState:
        """Return the state at step 0: A = 1, b = 0.

        Raises:
            UsageError: a model, optimizer, task or loss that the reduction does not know.
        """
        for spec, task in zip(specs, tasks, strict=True):
            _check(spec, task)
        numerics = specs[0].numerics
        if any(spec.numerics != numerics for spec in specs):
            raise UsageError("the members of an ensemble must agree in numerics.")
        dtype, device = getattr(torch, numerics.dtype), numerics.device
        modules = [_build(spec, task).to(device, dtype) for spec, task in zip(specs, tasks, strict=True)]
        students = [_student(module) for module in modules]
        size = len(students[0].mean)
        if any(len(one.mean) != size for one in students):
            raise UsageError("the members of an ensemble must have inputs of one dimension: set task.dimension.")
        batch = stack([task.batch(0).to(device, dtype) for task in tasks])
        fixed = _fixed(specs, students, batch.inputs.flatten(2), batch.targets, batch.weights, dtype)
        buffers = []
        for spec, module in zip(specs, modules, strict=True):
            dial: Any = spec.learner
            scale = scale_buffers(module, dial.output_scale, centred=dial.centred)
            buffers.append({**{n: b.detach().clone() for n, b in module.named_buffers()}, **scale})
        return ReductionState(
            specs,
            tasks,
            fixed,
            map=torch.eye(size + 1, dtype=dtype, device=device).repeat(len(specs), 1, 1),
            velocity=None if fixed.momentum is None else fixed.start.new_zeros(len(specs), size, size + 1),
            loss=fixed.start.new_full((len(specs),), torch.nan),
            weights=[module.hidden.weight.detach().clone() for module in modules],
            buffers=buffers,
            sources=[_source(*each) for each in zip(specs, tasks, modules, strict=True)],
        )

    def restore(self, specs: Sequence[Spec], tasks: Sequence[Task], stored: StateDict) -> ReductionState:
        """Return the state that ``stored`` describes; it continues bitwise.

        Raises:
            CheckpointError: the tensors are not those of these specs.
        """
        state = self.start(specs, tasks)
        expected = self.state_dict(state).tensors
        # in an ensemble beside one with momentum a member without it has a velocity too, of which nothing depends
        given = {n: t.shape for n, t in stored.tensors.items() if n in expected or n != "velocity"}
        if {n: t.shape for n, t in expected.items()} != given:
            raise CheckpointError("the checkpoint has tensors of another training: it is not one of this spec.")
        for name, tensor in expected.items():
            tensor.copy_(stored.tensors[name])
        state.step = int(stored.values["step"])
        return state

    def advance(self, state: ReductionState, n: int) -> ReductionState:
        """Return ``state`` after n more steps (the same object)."""
        with torch.no_grad():
            for left in range(n, 0, -1):
                residual = _residual(state.fixed, state.map)
                if left == 1:
                    state.loss = (state.fixed.shares * residual.square()).sum(1)
                _move(state.fixed, state.map, state.velocity, residual)
        state.step += n
        return state

    def step(self, state: ReductionState) -> int:
        """Return how many steps the state has made."""
        return state.step

    def predict(self, state: ReductionState, inputs: Tensor, member: int = 0) -> Tensor:
        """Return the outputs of a member's network."""
        with torch.no_grad():
            return self.snapshot(state, member).predict(inputs)

    def snapshot(self, state: ReductionState, member: int = 0) -> Snapshot:
        """Return a view of a member as the network it is: w_i = A w_i(0) + b; its tensors are private copies."""
        source, first = state.sources[member], state.weights[member]

        def view(step: int, weights: Tensor, **more: Any) -> Snapshot:
            buffers = {name: buffer.clone() for name, buffer in state.buffers[member].items()}
            return Snapshot(source, step=step, parameters={WEIGHTS: weights}, buffers=buffers, **more)

        rows = state.map[member].clone()
        velocity = None if state.velocity is None else state.velocity[member].clone()
        rate = source.descent.learning_rate if source.descent is not None else 0.0
        return view(
            state.step,
            _weights(rows, first),
            initial=view(0, first.clone()),
            clocks={"time": rate * state.step},
            trial=lambda: _trial(state.fixed, member, rows, velocity, first, rate),
        )

    def scalars(self, state: ReductionState, member: int = 0) -> dict[tuple[str, str | None], float]:
        """Return the loss that the last step descended."""
        return {("step/loss", None): float(state.loss[member])} if state.step else {}

    def state_dict(self, state: ReductionState) -> StateDict:
        """Return A and b of each member, and what a step goes on from."""
        tensors = {"map": state.map, "loss": state.loss}
        if state.velocity is not None:
            tensors["velocity"] = state.velocity
        return StateDict(tensors, {"step": state.step})

    def alone(self, stored: StateDict, member: int) -> StateDict:
        """Return the state of a member of an ensemble as that of a run of its own."""
        return StateDict({name: t[member : member + 1] for name, t in stored.tensors.items()}, stored.values)


# -- one step -------------------------------------------------------------------------------------


def _residual(fixed: Fixed, rows: Tensor) -> Tensor:
    """Return r, (members, P)."""
    averages = torch.bmm(torch.bmm(rows[:, :-1], fixed.start), rows.transpose(1, 2))  # [M, w̄]
    return torch.einsum("mpd,mpd->mp", torch.bmm(fixed.inputs, averages), fixed.read) - fixed.offset


def _direction(fixed: Fixed, rows: Tensor, residual: Tensor) -> Tensor:
    """Return what a step subtracts without momentum, c [εG, g] F, (members, D, D + 1)."""
    pulled = fixed.pulled * (fixed.pull * residual)[..., None]
    change = torch.bmm(torch.bmm(fixed.inputs.transpose(1, 2), pulled), rows)
    return change if fixed.decay is None else change + fixed.decay * rows[:, :-1]


def _move(fixed: Fixed, rows: Tensor, velocity: Tensor | None, residual: Tensor) -> None:
    change = _direction(fixed, rows, residual)
    if velocity is not None:
        assert fixed.momentum is not None
        change = velocity.mul_(fixed.momentum).add_(change)
    rows[:, :-1] -= change


def _trial(fixed: Fixed, member: int, rows: Tensor, velocity: Tensor | None, first: Tensor, rate: float) -> StepRecord:
    """Take the coming step of one member on copies."""
    parts: dict[str, Any] = {name: None if t is None else t[member : member + 1] for name, t in vars(fixed).items()}
    own = Fixed(**parts)
    after, residual = rows[None].clone(), _residual(own, rows[None])
    gradient = _direction(own, rows[None], residual)[0] / rate
    if own.decay is not None:
        gradient = gradient - own.decay[0] / rate * rows[:-1]
    _move(own, after, None if velocity is None else velocity[None].clone(), residual)
    homogeneous = torch.cat([first, first.new_ones(len(first), 1)], 1)
    return StepRecord(
        before={WEIGHTS: _weights(rows, first)},
        gradient={WEIGHTS: homogeneous @ gradient.T},
        after={WEIGHTS: _weights(after[0], first)},
        loss=float((own.shares * residual.square()).sum()),
    )


def _weights(rows: Tensor, first: Tensor) -> Tensor:
    """Return w_i = A w_i(0) + b, (N, D)."""
    return first @ rows[:-1, :-1].T + rows[:-1, -1]


# -- what it is started with ----------------------------------------------------------------------


def _check(spec: Spec, task: Task) -> None:
    """Refuse what the reduction does not hold for."""
    model: Any = spec.model
    if model is None or model.name != "polynomial-student":
        name = "none" if model is None else model.name
        raise UsageError(f"the learner polynomial-reduction trains the model polynomial-student: got {name}.")
    if model.readouts != "fixed" or model.nonlinearity != "quadratic":
        raise UsageError(
            f"the polynomial reduction holds for fixed readouts and the quadratic nonlinearity, not for "
            f"{model.readouts} readouts and {model.nonlinearity}: set learner.name = 'gradient'."
        )
    rule: Any = spec.optimizer
    if rule is None or rule.name != "sgd" or rule.rate != "constant" or rule.warmup_steps or rule.nesterov:
        raise UsageError(
            "the polynomial reduction follows gradient descent at a constant rate: set optimizer.name = 'sgd' without "
            "warm-up and nesterov."
        )
    if task.stream is not None or task.loss != "mean-squared-error":
        raise UsageError(
            "the polynomial reduction descends the squared error of a fixed training set: choose a regression task."
        )


def _build(spec: Spec, task: Task) -> PolynomialStudent:
    assert spec.model is not None
    module: Any = spec.model.build(task.facts, generator(spec.seed.init, "init"))
    return module


def _student(module: PolynomialStudent) -> Student:
    found = module.quadratic_student({**dict(module.named_parameters()), **dict(module.named_buffers())})
    assert found is not None
    return found


def _fixed(
    specs: Sequence[Spec],
    students: Sequence[Student],
    inputs: Tensor,
    targets: Tensor | None,
    weights: Tensor | None,
    dtype: torch.dtype,
) -> Fixed:
    assert targets is not None
    count, examples, _ = inputs.shape

    def each(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=inputs.device)[:, None]

    rules: list[Any] = [spec.optimizer for spec in specs]
    dials: list[Any] = [spec.learner for spec in specs]
    alpha = each([dial.output_scale for dial in dials])
    epsilon = each([one.epsilon for one in students])
    rate = each([rule.learning_rate for rule in rules])
    width = each([one.width or 1 for one in students])
    shares = inputs.new_ones(count, examples) if weights is None else weights
    shares = shares.double() / shares.double().sum(1, keepdim=True)
    ones = inputs.new_ones(count, examples, 1).double()
    points = inputs.double()
    mean = torch.stack([one.mean for one in students])
    second = torch.stack([one.second for one in students])
    start = torch.cat([torch.cat([second, mean[:, :, None]], 2), torch.cat([mean, ones[:, 0]], 1)[:, None]], 1)
    read = alpha[..., None] * torch.cat([epsilon[..., None] / 2 * points, ones], 2)
    first = torch.einsum("mpd,mpd->mp", points @ start[:, :-1], read)
    centred = each([float(dial.centred) for dial in dials])
    fixed = {
        "start": start,
        "inputs": points,
        "read": read,
        "pulled": torch.cat([epsilon[..., None] * points, ones], 2),
        "offset": targets.reshape(count, examples).double() + centred * first,
        "pull": 2 * alpha * rate * shares / width,
        "shares": shares,
        "decay": rate * each([rule.weight_decay for rule in rules]),
        "momentum": each([rule.momentum for rule in rules]),
    }
    cast: dict[str, Any] = {name: tensor.to(dtype) for name, tensor in fixed.items()}
    for name in ("decay", "momentum"):
        cast[name] = cast[name][..., None] if bool(cast[name].any()) else None
    return Fixed(**cast)


def _source(spec: Spec, task: Task, module: PolynomialStudent) -> Source:
    rule: Any = spec.optimizer
    numerics = spec.numerics
    dtype = getattr(torch, numerics.dtype)
    private = module.eval()
    return Source(
        forward=scaled(private),
        plain=scaled(private),
        # copies: what a measure does to its data must not reach the training
        probes={name: batch.to(numerics.device, dtype, copy=True) for name, batch in task.probes.items()},
        facts=task.facts,
        roles=roles_of(private, spec.roles),
        module=private,
        eval_chunk=numerics.eval_chunk,
        measure_seed=spec.seed.measure,
        loss="mean-squared-error",
        descent=Descent(learning_rate=rule.learning_rate, weight_decay=rule.weight_decay, momentum=rule.momentum),
    )
