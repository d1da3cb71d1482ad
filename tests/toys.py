"""Five toy learners that put the contracts to the test: small, exact, and known to the registries on import.

``specs(name)`` gives the members of a toy: one spec, or several for an ensemble.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from grokscope import registry
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.facts import Facts, InputGeometry
from grokscope.learners.base import StateDict
from grokscope.rng import generator
from grokscope.settings import LearnerSettings, TaskSettings
from grokscope.snapshot import Snapshot, Source
from grokscope.spec import Seeds, Spec, override, resolve
from grokscope.tasks.base import Task

# -- tasks ----------------------------------------------------------------------------------------


class TeacherTask(TaskSettings):
    """Real inputs labelled by a fixed teacher; members may differ in train share and in data weights."""

    name: Literal["toy-teacher"] = "toy-teacher"
    examples: int = Field(20, ge=2)
    train_fraction: float = Field(0.5, gt=0, lt=1)
    emphasis: float = Field(0.0, ge=0, description="how much more every third train example counts")

    def build(self, seeds: Seeds) -> Task:
        inputs = torch.randn(self.examples, 3, generator=generator(seeds.split, "inputs"), dtype=torch.float64)
        targets = teacher(inputs)
        count = int(self.train_fraction * self.examples)
        rows = torch.arange(self.examples)
        weights = 1 + self.emphasis * (rows[:count] % 3 == 0).double() if self.emphasis else None
        train = Batch(inputs[:count], targets[:count], weights, parent="all", rows=rows[:count])
        test = Batch(inputs[count:], targets[count:], parent="all", rows=rows[count:])
        probes = {"train": train, "test": test, "all": Batch(inputs, targets)}
        return Task(facts=REAL, probes=probes, train=train, loss="mean-squared-error")


class StreamTask(TaskSettings):
    """A fresh noisy batch for every step, drawn by the step's number."""

    name: Literal["toy-stream"] = "toy-stream"
    size: int = Field(6, ge=1)

    def build(self, seeds: Seeds) -> Task:
        def stream(step: int) -> Batch:
            inputs = torch.randn(self.size, 3, generator=generator(seeds.order, step, "inputs"))
            noise = torch.randn(self.size, 1, generator=generator(seeds.noise, step, "noise"))
            return Batch(inputs, teacher(inputs) + 0.1 * noise)

        def held(name: str) -> Batch:
            inputs = torch.randn(8, 3, generator=generator(seeds.split, name))
            return Batch(inputs, teacher(inputs))

        probes = {"train": stream(0), "test": held("test")}
        return Task(facts=REAL, probes=probes, stream=stream, loss="mean-squared-error")


class DiagonalTask(TaskSettings):
    """Three orthogonal inputs of sizes √CURVATURE: a diagonal linear net learns them at three speeds."""

    name: Literal["toy-diagonal"] = "toy-diagonal"

    def build(self, seeds: Seeds) -> Task:
        inputs = CURVATURE.sqrt().diag()
        targets = (inputs @ GOAL)[:, None]
        probes = {name: Batch(inputs[i : i + 1], targets[i : i + 1]) for i, name in ((0, "quick"), (2, "test"))}
        train = Batch(inputs, targets)
        return Task(facts=REAL, probes={"train": train, **probes}, train=train, loss="mean-squared-error")


REAL = Facts(outputs=1, geometry=InputGeometry(shape=(3,)))
CURVATURE = torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64)
GOAL = torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)


def teacher(inputs: Tensor) -> Tensor:
    """Return the targets (n, 1) of inputs (n, 3)."""
    return (torch.tanh(inputs[:, :1]) + 0.5 * inputs[:, 1:2] * inputs[:, 2:3]).contiguous()


# -- a learner without gradients ------------------------------------------------------------------


class KernelMachineSettings(LearnerSettings):
    """Kernel ridge regression that learns features: fit, then M ← the average gradient outer product."""

    name: Literal["toy-kernel-machine"] = "toy-kernel-machine"
    ridge: float = Field(1e-2, gt=0)

    def build(self, *, ensemble: bool = False) -> KernelMachine:
        if ensemble:
            raise UsageError("the toy kernel machine trains one member at a time.")
        return KernelMachine()


@dataclass(frozen=True)
class KernelState:
    """M_t, and the coefficients of the predictor fitted with M_t."""

    spec: Spec
    source: Source
    inputs: Tensor
    targets: Tensor
    features: Tensor
    coefficients: Tensor
    step: int


class KernelMachine:
    """K(x, z) = exp(-½ (x - z)ᵀ M (x - z)); nothing it does passes an intervention point."""

    points: ClassVar[frozenset[Any]] = frozenset()

    def start(self, specs: Sequence[Spec], tasks: Sequence[Task]) -> KernelState:
        (spec,), (task,) = specs, tasks
        dtype = getattr(torch, spec.numerics.dtype)
        train = task.batch(0).to("cpu", dtype)
        assert train.targets is not None
        inputs = train.inputs
        source = Source(
            forward=lambda tensors, x: gram(x, inputs, tensors["features"]) @ tensors["coefficients"],
            probes={name: batch.to("cpu", dtype) for name, batch in task.probes.items()},
            facts=task.facts,
            eval_chunk=spec.numerics.eval_chunk,
            measure_seed=spec.seed.measure,
        )
        features = torch.eye(3, dtype=dtype)
        return _fitted(KernelState(spec, source, inputs, train.targets, features, torch.empty(0), 0))

    def restore(self, specs: Sequence[Spec], tasks: Sequence[Task], stored: StateDict) -> KernelState:
        tensors = stored.tensors
        return replace(
            self.start(specs, tasks),
            features=tensors["features"],
            coefficients=tensors["coefficients"],
            step=stored.values["step"],
        )

    def advance(self, state: KernelState, n: int) -> KernelState:
        for _ in range(n):
            apart = state.inputs[:, None] - state.inputs[None]  # (example, centre, dimension)
            weight = gram(state.inputs, state.inputs, state.features) * state.coefficients.T
            slopes = -torch.einsum("ij,ijd->id", weight, apart) @ state.features
            product = slopes.T @ slopes / len(slopes)
            state = _fitted(replace(state, features=3 * product / product.trace(), step=state.step + 1))
        return state

    def step(self, state: KernelState) -> int:
        return state.step

    def predict(self, state: KernelState, inputs: Tensor, member: int = 0) -> Tensor:
        return self.snapshot(state, member).predict(inputs)

    def snapshot(self, state: KernelState, member: int = 0) -> Snapshot:
        parameters = {"features": state.features.clone(), "coefficients": state.coefficients.clone()}
        return Snapshot(state.source, step=state.step, parameters=parameters)

    def scalars(self, state: KernelState, member: int = 0) -> dict[tuple[str, str | None], float]:
        outputs = gram(state.inputs, state.inputs, state.features) @ state.coefficients
        return {("step/loss", None): float((outputs - state.targets).square().mean())}

    def state_dict(self, state: KernelState) -> StateDict:
        tensors = {"features": state.features, "coefficients": state.coefficients}
        return StateDict(tensors, {"step": state.step})


def gram(left: Tensor, right: Tensor, features: Tensor) -> Tensor:
    """Return K between rows of ``left`` and ``right``."""
    apart = left[:, None] - right[None]
    return torch.exp(-0.5 * torch.einsum("ijd,de,ije->ij", apart, features, apart))


def _fitted(state: KernelState) -> KernelState:
    kernel = gram(state.inputs, state.inputs, state.features)
    ridge = state.spec.learner.ridge * torch.eye(len(kernel), dtype=kernel.dtype)  # type: ignore[attr-defined]
    return replace(state, coefficients=torch.linalg.solve(kernel + ridge, state.targets))


# -- a learner on flow time -----------------------------------------------------------------------


class FlowSettings(LearnerSettings):
    """Gradient flow of the diagonal linear net w = u²; each step is ``interval`` of flow time."""

    name: Literal["toy-flow"] = "toy-flow"
    interval: float = Field(0.5, gt=0)
    initial: float = Field(0.05, gt=0, description="w at time 0")

    def build(self, *, ensemble: bool = False) -> Flow:
        if ensemble:
            raise UsageError("the toy flow integrates one member at a time.")
        return Flow()


@dataclass(frozen=True)
class FlowState:
    """u and the flow time: all an integrator that is restarted at every output point needs."""

    spec: Spec
    source: Source
    position: Tensor
    time: float
    step: int


class Flow:
    """du/dt = -2 c u (u² - w*), so that each w is logistic: see ``flow_exactly``."""

    points: ClassVar[frozenset[Any]] = frozenset()

    def start(self, specs: Sequence[Spec], tasks: Sequence[Task]) -> FlowState:
        (spec,), (task,) = specs, tasks
        probes = {name: batch.to("cpu", torch.float64) for name, batch in task.probes.items()}
        source = Source(
            forward=lambda tensors, x: (x @ tensors["u"].square())[:, None],
            probes=probes,
            facts=task.facts,
            eval_chunk=spec.numerics.eval_chunk,
            measure_seed=spec.seed.measure,
        )
        initial: float = spec.learner.initial  # type: ignore[attr-defined]
        return FlowState(spec, source, torch.full((3,), initial, dtype=torch.float64).sqrt(), 0.0, 0)

    def restore(self, specs: Sequence[Spec], tasks: Sequence[Task], stored: StateDict) -> FlowState:
        return replace(self.start(specs, tasks), position=stored.tensors["position"], **stored.values)

    def advance(self, state: FlowState, n: int) -> FlowState:
        from scipy.integrate import solve_ivp

        curvature, goal = CURVATURE.numpy(), GOAL.numpy()
        interval: float = state.spec.learner.interval  # type: ignore[attr-defined]
        for _ in range(n):
            step, end = state.step + 1, (state.step + 1) * interval
            solved = solve_ivp(
                lambda _, u: -2 * curvature * u * (u * u - goal),
                (state.time, end), state.position.numpy(), rtol=1e-10, atol=1e-12,
            )  # fmt: skip
            state = replace(state, position=torch.from_numpy(solved.y[:, -1].copy()), time=end, step=step)
        return state

    def step(self, state: FlowState) -> int:
        return state.step

    def predict(self, state: FlowState, inputs: Tensor, member: int = 0) -> Tensor:
        return self.snapshot(state, member).predict(inputs)

    def snapshot(self, state: FlowState, member: int = 0) -> Snapshot:
        parameters = {"u": state.position.clone()}
        return Snapshot(state.source, step=state.step, parameters=parameters, clocks={"time": state.time})

    def scalars(self, state: FlowState, member: int = 0) -> dict[tuple[str, str | None], float]:
        return {("step/loss", None): float(0.5 * (CURVATURE * (state.position.square() - GOAL).square()).sum())}

    def state_dict(self, state: FlowState) -> StateDict:
        return StateDict({"position": state.position}, {"step": state.step, "time": state.time})


def flow_exactly(time: float, initial: float) -> Tensor:
    """Return w(t) = w* / (1 + (w*/w₀ - 1) exp(-4 c w* t)), the logistic curves the toy flow follows."""
    return GOAL / (1 + (GOAL / initial - 1) * torch.exp(-4 * CURVATURE * GOAL * time))


# -- the toys -------------------------------------------------------------------------------------


def embedding(parameters: Mapping[str, Tensor]) -> Tensor:
    """Return what the perceptron's first layer makes of the first operand, (vocabulary, hidden)."""
    weight = parameters["layers.0.weight"]
    return weight[:, : weight.shape[1] // 3].T


ROLES = {"embedding": "toys:embedding", "neuron_to_logit": "layers.1.weight"}
MODULAR: dict[str, Any] = {
    "paper": "toys",
    "task": {"name": "modular-addition", "modulus": 5, "train_fraction": 0.6},
    "model": {"name": "mlp", "widths": [8]},
    "learner": {"name": "gradient", "steps": 24},
    "optimizer": {"name": "adamw", "learning_rate": 0.02, "weight_decay": 0.5, "warmup_steps": 3},
    "roles": ROLES,
}
REGRESSION: dict[str, Any] = {
    "paper": "toys",
    "task": {"name": "toy-teacher"},
    "model": {"name": "mlp", "widths": [6], "activation": "tanh"},
    "learner": {"name": "gradient", "steps": 24},
    "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
}
INTERVENED: list[dict[str, Any]] = [
    {"name": "gradient-filter", "start": 2},
    {"name": "parameter-mask", "keep": 0.7, "parameters": "layers.0.weight", "start": 5, "stop": 15},
    {"name": "activation-clamp", "site": "at_hidden.0", "factor": 0.5, "units": [1, 3], "start": 4, "stop": 18},
    {"name": "dropout", "site": "at_hidden.0", "rate": 0.25, "start": 3, "stop": 21},
    {"name": "weight-norm", "start": 9},
]
MEMBERS: list[dict[str, Any]] = [
    {"seed.base": 0},
    {"seed.base": 1, "optimizer.learning_rate": 0.01, "task.train_fraction": 0.7},
    {"seed.base": 2, "optimizer.weight_decay": 0.1, "model.initial_scale": 2.0, "task.train_fraction": 0.4},
]
TREES: dict[str, dict[str, Any]] = {
    "gradient": MODULAR,
    "intervened": {**MODULAR, "learner": {**MODULAR["learner"], "l1": 1e-3}, "interventions": INTERVENED},
    "ensemble": MODULAR,
    "kernel": {
        "paper": "toys",
        "task": {"name": "toy-teacher", "examples": 16},
        "learner": {"name": "toy-kernel-machine", "steps": 24},
    },
    # the last batch of a pass is shorter
    "minibatches": {
        "paper": "toys",
        "task": {
            "name": "images",
            "dataset": "synthetic",
            "train_examples": 20,
            "test_examples": 10,
            "pool": 14,
            "batch_size": 8,
            "batch_order": "shuffled",
        },
        "model": {"name": "mlp", "widths": [6]},
        "learner": {"name": "gradient", "steps": 24, "loss": "mean-squared-error", "l2": -1e-3},
        "optimizer": {"name": "adamw", "learning_rate": 0.02},
    },
    "stream": {**REGRESSION, "task": {"name": "toy-stream"}},
    "polynomial": {
        "paper": "toys",
        "task": {"name": "polynomial-regression", "dimension": 5, "examples": 12, "test_examples": 8},
        "model": {"name": "polynomial-student", "width": 4},
        "learner": {"name": "polynomial-reduction", "steps": 24, "output_scale": 2.0},
        "optimizer": {"name": "sgd", "learning_rate": 0.5, "momentum": 0.5},
        "numerics": {"dtype": "float64"},
    },
    "label-noise": {
        "paper": "toys",
        "task": {"name": "sparse-regression", "dimension": 6, "examples": 4, "test_examples": 8},
        "model": {"name": "diagonal-network", "initial_norm": 1.0},
        "learner": {"name": "label-noise", "steps": 24, "learning_rate": 0.05},
        "numerics": {"dtype": "float64"},
    },
    "flow": {
        "paper": "toys",
        "task": {"name": "toy-diagonal"},
        "learner": {"name": "toy-flow", "steps": 24},
        "numerics": {"dtype": "float64"},
        "transition": {
            "fit": ["quick/loss", 1e-3, "absolute", "falling"],
            "generalise": ["test/loss", 1e-3, "absolute", "falling"],
            "sustain": 1,
            "axis": "clock/time",
        },
    },
}
NAMES = tuple(TREES)


def specs(name: str, changes: Mapping[str, Any] | None = None) -> list[Spec]:
    """Return the specs of a toy, with dotted ``changes``: the members, where it is an ensemble."""
    tree = {"experiment": name, **copy.deepcopy(TREES[name])}
    if name != "ensemble":
        return [resolve(override(tree, changes or {}))]
    return members(tree, [{**one, **(changes or {})} for one in MEMBERS])


def members(tree: Mapping[str, Any], each: Sequence[Mapping[str, Any]]) -> list[Spec]:
    """Return the specs of an ensemble whose members differ by dotted changes."""
    found = [resolve(override(tree, one)) for one in each]
    return [spec.with_group(found) for spec in found]


def alone(spec: Spec) -> Spec:
    """Return a member's spec as that of a run of its own."""
    return spec.model_copy(update={"engine": "single", "group": None})


def register() -> None:
    """Make the toys known to the registries of this process."""
    for task in (TeacherTask, StreamTask, DiagonalTask):
        registry.TASKS.add(task.model_fields["name"].default, task)
    for learner in (KernelMachineSettings, FlowSettings):
        registry.LEARNERS.add(learner.model_fields["name"].default, learner)


register()
