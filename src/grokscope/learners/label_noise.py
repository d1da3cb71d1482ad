"""Stochastic gradient descent of diagonal networks with noise on the labels: a step costs six small array operations.

With θ = (u, v) and s_i = (x_i, −x_i) the network is f(x_i) = Σ_j s_ij θ_j², and a step on (f(x_i) − y_i − ξ)² is
θ ← θ − 4η (f(x_i) − y_i − ξ) s_i θ, entry by entry, for all members at once. Such arrays are too small for torch,
whose calls take longer than the arithmetic: NumPy does it.
"""

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
from grokscope.rng import generator
from grokscope.roles import roles_of
from grokscope.settings import Point
from grokscope.snapshot import Descent, Snapshot, Source, StepRecord
from grokscope.theory.label_noise import label_noise_decay

if TYPE_CHECKING:
    from grokscope.learners.label_noise_settings import LabelNoiseSettings
    from grokscope.spec import Spec
    from grokscope.tasks.base import Task

BLOCK = 1024
"""Steps whose draws come from one generator, named by the block's number."""
LARGEST_GATHER = 2**22
"""Numbers of inputs that are laid out at a time."""


@dataclass(frozen=True)
class Data:
    """One member's training set and what draws from it.

    Attributes:
        signed: s = (x, −x), (n, 2d).
        targets: y, (n,).
        rate: η.
        noise: σ.
        order: the seed of the examples drawn.
        noise_seed: the seed of the noise.
    """

    signed: np.ndarray
    targets: np.ndarray
    rate: float
    noise: float
    order: int
    noise_seed: int

    def block(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the examples' rows and their noisy labels in the steps of a block, (BLOCK,) each."""
        rows = torch.randint(len(self.targets), (BLOCK,), generator=generator(self.order, "example", number))
        noise = torch.randn(BLOCK, generator=generator(self.noise_seed, "label", number), dtype=torch.float64)
        chosen = rows.numpy()
        return chosen, (self.targets[chosen] + self.noise * noise.numpy()).astype(self.targets.dtype)

    def draw(self, step: int) -> tuple[int, float]:
        """Return the example's row and its noisy label in a step."""
        rows, labels = self.block(step // BLOCK)
        return int(rows[step % BLOCK]), float(labels[step % BLOCK])

    def gradient(self, parameters: np.ndarray, row: int, label: float) -> tuple[np.ndarray, float]:
        """Return the gradient of an example's loss, (2d,), and the loss."""
        with np.errstate(over="ignore", invalid="ignore"):
            moved = parameters * self.signed[row]
            residual = moved @ parameters - label
            return 4 * residual * moved, float(np.square(residual))

    def loss(self, parameters: np.ndarray) -> float:
        """Return the mean squared error on the training set, without noise."""
        with np.errstate(over="ignore", invalid="ignore"):  # a diverged training's is not finite, as it should be
            return float(np.square(self.signed @ np.square(parameters) - self.targets).mean())


@dataclass
class LabelNoiseState:
    """θ of each member, (members, 2d), and where it began."""

    members: list[Data]
    sources: list[Source]
    start: np.ndarray
    parameters: np.ndarray
    step: int = 0


class LabelNoise:
    """One member or many; each draws its own examples and noise, as it would alone."""

    @property
    def points(self) -> frozenset[Point]:
        """No interventions: there are no points at which they could act."""
        return frozenset()

    def start(self, specs: Sequence[Spec], tasks: Sequence[Task]) -> LabelNoiseState:
        """Return the state at step 0.

        Raises:
            UsageError: no diagonal network, an optimizer, classes, weights or a stream, or inputs that differ in size.
        """
        built = [_member(spec, task) for spec, task in zip(specs, tasks, strict=True)]
        if len({first.shape for _, _, first in built}) > 1:
            raise UsageError("the members of an ensemble must have inputs of one dimension: set task.dimension.")
        start = np.stack([first for _, _, first in built])
        members, sources = [member for member, _, _ in built], [source for _, source, _ in built]
        return LabelNoiseState(members, sources, start, start.copy())

    def restore(self, specs: Sequence[Spec], tasks: Sequence[Task], stored: StateDict) -> LabelNoiseState:
        """Return the state that ``stored`` describes; it continues bitwise.

        Raises:
            CheckpointError: the tensors are not those of these specs.
        """
        state = self.start(specs, tasks)
        found = stored.tensors.get("parameters")
        if found is None or found.shape != state.parameters.shape:
            raise CheckpointError("the checkpoint has tensors of another training: it is not one of this spec.")
        state.parameters[:] = found.numpy()
        state.step = int(stored.values["step"])
        return state

    def advance(self, state: LabelNoiseState, n: int) -> LabelNoiseState:
        """Return ``state`` after n more steps (the same object)."""
        end = state.step + n
        pull = np.array([[4 * member.rate] for member in state.members], state.parameters.dtype)
        most = max(1, LARGEST_GATHER // state.parameters.size)
        while state.step < end:
            number, first = divmod(state.step, BLOCK)
            last = min(BLOCK, first + end - state.step)
            drawn = [member.block(number) for member in state.members]
            for low in range(first, last, most):
                part = slice(low, min(low + most, last))
                rows = np.stack(
                    [m.signed[chosen[part]] for m, (chosen, _) in zip(state.members, drawn, strict=True)], 1
                )
                labels = np.stack([noisy[part] for _, noisy in drawn], 1)[..., None]
                _descend(state.parameters, rows, labels, pull)
            state.step += last - first
        return state

    def step(self, state: LabelNoiseState) -> int:
        """Return how many steps the state has made."""
        return state.step

    def predict(self, state: LabelNoiseState, inputs: Tensor, member: int = 0) -> Tensor:
        """Return the outputs of a member's network."""
        with torch.no_grad():
            return self.snapshot(state, member).predict(inputs)

    def snapshot(self, state: LabelNoiseState, member: int = 0) -> Snapshot:
        """Return a view of a member; its tensors are private copies."""
        source, data, step = state.sources[member], state.members[member], state.step
        now = state.parameters[member].copy()
        return Snapshot(
            source,
            step=step,
            parameters=_named(now.copy()),
            initial=Snapshot(source, step=0, parameters=_named(state.start[member].copy())),
            clocks={"time": data.rate * step},
            trial=lambda: _trial(data, now, step),
        )

    def scalars(self, state: LabelNoiseState, member: int = 0) -> dict[tuple[str, str | None], float]:
        """Return the loss on the whole training set, without the noise: what a step descends is mostly noise."""
        return {("step/loss", None): state.members[member].loss(state.parameters[member])}

    def state_dict(self, state: LabelNoiseState) -> StateDict:
        """Return the parameters; what is drawn follows from the step."""
        return StateDict({"parameters": torch.from_numpy(state.parameters)}, {"step": state.step})

    def alone(self, stored: StateDict, member: int) -> StateDict:
        """Return the state of a member of an ensemble as that of a run of its own."""
        return StateDict({name: t[member : member + 1] for name, t in stored.tensors.items()}, stored.values)


def _descend(parameters: np.ndarray, rows: np.ndarray, labels: np.ndarray, pull: np.ndarray) -> None:
    """Make a step for each of ``rows`` (steps, members, 2d) and ``labels`` (steps, members, 1), in place."""
    moved, residual = np.empty_like(parameters), np.empty_like(labels[0])
    scores = residual[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):  # the loss, not finite, tells of a divergence
        for row, label in zip(rows, labels, strict=True):
            np.multiply(parameters, row, out=moved)
            np.vecdot(moved, parameters, out=scores)
            np.subtract(residual, label, out=residual)
            np.multiply(residual, pull, out=residual)
            np.multiply(moved, residual, out=moved)
            np.subtract(parameters, moved, out=parameters)


def _trial(data: Data, parameters: np.ndarray, step: int) -> StepRecord:
    """Return the update that leaves this moment."""
    gradient, loss = data.gradient(parameters, *data.draw(step))
    after = parameters - data.rate * gradient
    return StepRecord(before=_named(parameters.copy()), gradient=_named(gradient), after=_named(after), loss=loss)


def _named(parameters: np.ndarray) -> dict[str, Tensor]:
    half = len(parameters) // 2
    return {"u": torch.from_numpy(parameters[:half]), "v": torch.from_numpy(parameters[half:])}


def _member(spec: Spec, task: Task) -> tuple[Data, Source, np.ndarray]:
    """Return a member's data, what its snapshots share and its parameters at the start, (2d,)."""
    from grokscope.models.diagonal_settings import DiagonalNetworkSettings

    settings: LabelNoiseSettings | Any = spec.learner
    model = spec.model
    if not isinstance(model, DiagonalNetworkSettings):
        raise UsageError("the learner label-noise trains a diagonal network: set model.name = diagonal-network.")
    if spec.optimizer is not None:
        raise UsageError("the learner label-noise has no optimizer: set learner.learning_rate and leave optimizer out.")
    train = task.train
    if train is None or train.targets is None or train.weights is not None:
        raise UsageError("the learner label-noise draws from a finite set of labelled examples that count alike.")
    if not train.targets.is_floating_point():
        raise UsageError("the learner label-noise adds noise to values: choose a regression task.")
    if not spec.numerics.device.startswith("cpu"):
        raise UsageError("the learner label-noise makes its steps on the CPU: leave --device out.")
    dtype = getattr(torch, spec.numerics.dtype)
    module = model.build(task.facts, generator(spec.seed.init, "init")).to(dtype).eval()
    inputs, targets = train.inputs.to(dtype).flatten(1), train.targets.to(dtype).flatten()
    data = Data(
        signed=torch.cat([inputs, -inputs], 1).numpy(),
        targets=targets.numpy(),
        rate=settings.learning_rate,
        noise=settings.noise,
        order=spec.seed.order,
        noise_seed=spec.seed.noise,
    )
    decay = label_noise_decay(inputs, learning_rate=settings.learning_rate, noise=settings.noise).mean()
    source = Source(
        forward=module_forward(module),
        # copies: what a measure does to its data must not reach the training
        probes={name: batch.to("cpu", dtype, copy=True) for name, batch in task.probes.items()},
        facts=task.facts,
        roles=roles_of(module, spec.roles),
        module=module,
        eval_chunk=spec.numerics.eval_chunk,
        measure_seed=spec.seed.measure,
        loss=task.loss,
        # the rule that the parameters follow on average, to leading order: what theory is to be held against
        descent=Descent(settings.learning_rate, weight_decay=float(decay), full_batch=False),
    )
    parameters = dict(module.named_parameters())
    return data, source, torch.cat([parameters["u"], parameters["v"]]).detach().numpy()
