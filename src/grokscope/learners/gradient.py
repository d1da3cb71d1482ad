"""Gradient descent on any model, loss, optimizer and batches."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import torch
from torch import Tensor

from grokscope.errors import CheckpointError, UsageError, unknown
from grokscope.forward import module_forward
from grokscope.learners.base import StateDict
from grokscope.learners.capture import Captured, check_capture
from grokscope.learners.closed import closed_of
from grokscope.learners.feed import Feed, feed_of
from grokscope.learners.losses import check_targets, log_loss_function, loss_function
from grokscope.learners.optim.base import Optimizer
from grokscope.learners.output_scale import SCALE, scale_buffers, scaled, with_own_scale
from grokscope.learners.update import Kernel, Lift, Moving, as_it_is, at_activations, clamped, solo, update
from grokscope.rng import derive, generator
from grokscope.roles import roles_of
from grokscope.settings import Point
from grokscope.snapshot import Descent, Snapshot, Source, StepRecord

if TYPE_CHECKING:
    from grokscope.spec import Spec
    from grokscope.tasks.base import Task


@dataclass
class GradientState:
    """What a training is at one moment, and what it needs to go on."""

    specs: Sequence[Spec]
    tasks: Sequence[Task]
    kernel: Kernel
    optimizer: Optimizer
    moving: Moving
    initial: list[dict[str, Tensor]]
    sources: list[Source]
    feed: Feed
    step: int = 0
    captured: Captured | None = None


class GradientLearner:
    """Trains one member. ``Ensemble`` overrides the few places where a member axis appears."""

    lift: Lift = staticmethod(as_it_is)
    stacked: ClassVar[bool] = False
    """Whether tensors have a leading member axis."""

    @property
    def points(self) -> frozenset[Point]:
        """Interventions are accepted at all five points."""
        return frozenset(get_args(Point))

    # -- where one member and many differ ---------------------------------------------------------

    def _combine(self, members: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return members[0]

    def _optimizer(self, specs: Sequence[Spec], *, fused: bool) -> Optimizer:
        return _settings(specs[0]).build(logarithmic=_logarithmic(specs[0]), fused=fused)

    def _pick(self, tensor: Tensor, member: int) -> Tensor:
        return tensor

    # -- the contract -----------------------------------------------------------------------------

    def start(self, specs: Sequence[Spec], tasks: Sequence[Task]) -> GradientState:
        """Return the state at step 0: initialised members on their device, in their dtype."""
        spec = specs[0]
        numerics = spec.numerics
        dtype = getattr(torch, numerics.dtype)
        if spec.model is None:
            raise UsageError("the gradient learner trains a model: set model.name.")
        modules = [_build(one, task, dtype) for one, task in zip(specs, tasks, strict=True)]
        _check_sites(modules[0], spec)
        _check_draws(modules[0], tasks[0], dtype)
        module = copy.deepcopy(modules[0]).to(numerics.device)
        fast = numerics.path in ("fast", "graph") and "fast" in spec.model.paths
        loss_name = spec.learner.loss or tasks[0].loss  # type: ignore[attr-defined]
        check_targets(loss_name, tasks[0].batch(0).targets)
        loss_dtype = getattr(torch, spec.learner.loss_dtype)  # type: ignore[attr-defined]
        kernel = Kernel(
            module=module,
            forward=scaled(module, fast=fast) if _is_scaled(specs) else module_forward(module, fast=fast),
            loss=(log_loss_function if _logarithmic(spec) else loss_function)(loss_name, loss_dtype),
            interventions=spec.interventions,
            lift=self.lift,
            l1=spec.learner.l1,  # type: ignore[attr-defined]
            l2=spec.learner.l2,  # type: ignore[attr-defined]
            closed=closed_of(module, spec, loss_name, stacked=self.stacked),
        )
        initial = [{n: p.detach().to(numerics.device) for n, p in m.named_parameters()} for m in modules]
        buffers = [{n: b.detach().to(numerics.device) for n, b in m.named_buffers()} for m in modules]
        if _is_scaled(specs):
            for one, own, m in zip(specs, buffers, modules, strict=True):
                dial: Any = one.learner
                own |= scale_buffers(m.to(numerics.device), dial.output_scale, centred=dial.centred)
        parameters = {name: t.clone() for name, t in self._combine(initial).items()}
        optimizer = self._optimizer(specs, fused=kernel.closed is not None)
        sources = [
            _source(one, task, m, fast=fast, dtype=dtype, is_scaled=_is_scaled(specs))
            for one, task, m in zip(specs, tasks, modules, strict=True)
        ]
        feed = feed_of(tasks, numerics.device, dtype, stacked=self.stacked)
        if numerics.path == "graph":
            check_capture(feed)
        kernel = replace(kernel, sharing=feed.sharing)
        with torch.no_grad():
            moving = Moving(
                parameters=parameters,
                buffers={name: t.clone() for name, t in self._combine(buffers).items()},
                optimizer=optimizer.init(parameters),
                interventions=self._intervention_states(specs, parameters),
                loss=torch.full((), torch.nan, dtype=torch.float64, device=numerics.device),
            )
        state = GradientState(specs, tasks, kernel, optimizer, moving, initial, sources, feed)
        self._check_clamps(state)
        return state

    def restore(self, specs: Sequence[Spec], tasks: Sequence[Task], stored: StateDict) -> GradientState:
        """Return the state that ``stored`` describes; it continues bitwise.

        At the step at which a fork begins, the interventions it adds have no state yet and get their first one.

        Raises:
            CheckpointError: the tensors are not those of this spec.
        """
        state = self.start(specs, tasks)
        state.step = int(stored.values["step"])
        added = _added_here(specs[0], stored)
        wanted = {n: t for n, t in self._flat(state.moving).items() if not n.startswith(added)}
        tensors = with_own_scale(wanted, stored.tensors)
        wrong = sorted(set(wanted) ^ set(tensors))
        wrong += [n for n, t in wanted.items() if n in tensors and n != "loss" and t.shape != tensors[n].shape]
        if wrong:
            raise CheckpointError(f"the checkpoint does not fit this spec: {wrong[0]!r} is absent or of another shape.")
        groups: dict[str, dict[str, Tensor]] = {"parameter": {}, "buffer": {}, "optimizer": {}}
        interventions: list[dict[str, Tensor]] = [{} for _ in state.moving.interventions]
        device = specs[0].numerics.device
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "intervention":
                index, _, key = rest.partition("/")
                interventions[int(index)][key] = tensor.to(device)
            elif kind in groups:
                groups[kind][rest] = tensor.to(device)
        # in the order of the model, which decides the order of sums over tensors
        state.moving = Moving(
            {name: groups["parameter"][name] for name in state.moving.parameters},
            {name: groups["buffer"][name] for name in state.moving.buffers},
            {name: groups["optimizer"][name] for name in state.moving.optimizer},
            interventions,
            stored.tensors["loss"].to(device),
        )
        for index, first in enumerate(self._intervention_states(specs, state.moving.parameters) if added else ()):
            if f"intervention/{index}/" in added:
                state.moving.interventions[index] = first
        return state

    def advance(self, state: GradientState, n: int) -> GradientState:
        """Return ``state`` after n more updates (the same object); no value is read back on the way."""
        if n == 0:
            return state
        if state.specs[0].numerics.path == "graph":
            if state.captured is None:
                state.captured = Captured(state.kernel, state.optimizer, state.moving, state.feed, state.step)
            state.captured.advance(state.step, n)
            state.step += n
            return state
        for _ in range(n):
            update(state.kernel, state.optimizer, state.moving, state.feed.at(state.step), state.step)
            state.step += 1
        return state

    def step(self, state: GradientState) -> int:
        """Return how many updates the state has made."""
        return state.step

    def predict(self, state: GradientState, inputs: Tensor, member: int = 0) -> Tensor:
        """Return the outputs of a member, with the clamps now in force."""
        snapshot = self.snapshot(state, member)
        with torch.no_grad():
            return snapshot.predict(inputs)

    def snapshot(self, state: GradientState, member: int = 0) -> Snapshot:
        """Return a view of one member; its tensors are private copies."""
        moving = self._member(state.moving, member)
        source = state.sources[member]
        step = state.step
        spec = state.specs[member]
        if any(at_activations(part, step, measuring=True) for part in spec.interventions):
            source = _clamped_source(source, spec, moving.interventions, step)
        start = {name: tensor.clone() for name, tensor in state.initial[member].items()}
        scale = {name: buffer for name, buffer in moving.buffers.items() if name.startswith(SCALE)}
        initial = Snapshot(state.sources[member], step=0, parameters=start, buffers=scale)
        return Snapshot(
            source,
            step=step,
            parameters=moving.parameters,
            buffers=moving.buffers,
            initial=initial,
            clocks=self._clocks(state, member),
            trial=lambda: self._trial(state, moving, member, step),
        )

    def scalars(self, state: GradientState, member: int = 0) -> dict[tuple[str, str | None], float]:
        """Return the last update's loss and the cumulative effect of each intervention that has one."""
        logged: dict[tuple[str, str | None], float] = {}
        if state.step:
            loss = float(self._pick(state.moving.loss, member))
            if _logarithmic(state.specs[0]):
                logged["step/log_loss", None] = loss
                # where it is too small for a number, the loss is 0
                loss = math.exp(loss)
            logged["step/loss", None] = loss
        labels = state.specs[member].intervention_labels
        for label, tensors in zip(labels, state.moving.interventions, strict=True):
            if "effect" in tensors and state.step:
                logged["intervention/effect", label] = float(self._pick(tensors["effect"], member))
        return logged

    def state_dict(self, state: GradientState) -> StateDict:
        """Return everything that decides how the training goes on."""
        return StateDict(self._flat(state.moving), {"step": state.step})

    # -- parts ------------------------------------------------------------------------------------

    def _clocks(self, state: GradientState, member: int) -> dict[str, float]:
        optimizer: Any = state.optimizer
        if not hasattr(optimizer, "clocks"):
            return {}
        clocks = optimizer.clocks(state.moving.optimizer, state.step)
        return {name: float(self._pick(t, member) if isinstance(t, Tensor) else t) for name, t in clocks.items()}

    def _check_clamps(self, state: GradientState) -> None:
        """Let each clamp act once on two examples: a unit or site that is not there is told before any step is made."""
        module = state.sources[0].module
        some = next(iter(state.sources[0].probes.values()), None)
        if module is None or some is None:
            return
        for part, tensors in zip(state.kernel.interventions, state.moving.interventions, strict=True):
            if part.point == "activation":
                own = {name: self._pick(tensor, 0) for name, tensor in tensors.items()}
                with torch.no_grad(), clamped(module, [part], [own], part.start):
                    module(some.inputs[:2])

    def _intervention_states(self, specs: Sequence[Spec], parameters: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """Return the states of all interventions at step 0; those that draw find their member's seed in theirs."""
        states: list[dict[str, Tensor]] = []
        for index, part in enumerate(specs[0].interventions):
            state = self.lift(part.init)(parameters)  # type: ignore[attr-defined]
            if part.draws:
                label = specs[0].intervention_labels[index]
                seeds = [derive(spec.seed.noise, "intervention", label) for spec in specs]
                device = specs[0].numerics.device
                state = {**state, **self._combine([{"seed": torch.tensor(seed, device=device)} for seed in seeds])}
            states.append(state)
        return states

    def _flat(self, moving: Moving) -> dict[str, Tensor]:
        flat = {f"parameter/{name}": t for name, t in moving.parameters.items()}
        flat |= {f"buffer/{name}": t for name, t in moving.buffers.items()}
        flat |= {f"optimizer/{name}": t for name, t in moving.optimizer.items()}
        for index, tensors in enumerate(moving.interventions):
            flat |= {f"intervention/{index}/{name}": t for name, t in tensors.items()}
        return flat | {"loss": moving.loss}

    def _member(self, moving: Moving, member: int) -> Moving:
        return moving.map(lambda tensor: self._pick(tensor, member).detach().clone())

    def _trial(self, state: GradientState, moving: Moving, member: int, step: int) -> StepRecord:
        """Take the coming update of one member on copies: what step measures look at."""
        spec, task = state.specs[member], state.tasks[member]
        trial = moving.map(torch.clone)
        numerics = spec.numerics
        batch = task.batch(step).to(numerics.device, getattr(torch, numerics.dtype))
        with torch.enable_grad():
            optimizer = _settings(spec).build(logarithmic=_logarithmic(spec), fused=state.kernel.closed is not None)
            followed = update(solo(state.kernel), optimizer, trial, batch, step)
        return StepRecord(moving.parameters, followed, trial.parameters, float(trial.loss))


def _settings(spec: Spec) -> Any:
    if spec.optimizer is None:
        raise UsageError("the gradient learner needs an optimizer: set optimizer.name.")
    return spec.optimizer


def _logarithmic(spec: Spec) -> bool:
    return getattr(spec.learner, "objective", "loss") == "log-loss"


def _is_scaled(specs: Sequence[Spec]) -> bool:
    learners: list[Any] = [spec.learner for spec in specs]
    return any(learner.output_scale != 1 or learner.centred for learner in learners)


def _descent(spec: Spec, task: Task) -> Descent | None:
    """Return the rule of a plain gradient descent with coupled weight decay; None for every other."""
    settings: Any = spec.optimizer
    learner: Any = spec.learner
    if settings is None or settings.name != "sgd" or spec.interventions or learner.l1:
        return None
    # l2 · ‖θ‖² is (λ/2) ‖θ‖² with λ = 2 · l2
    decay = settings.weight_decay + 2 * learner.l2
    if decay < 0:
        return None
    return Descent(
        learning_rate=settings.learning_rate,
        weight_decay=decay,
        momentum=settings.momentum,
        full_batch=task.stream is None,
        constant=settings.rate == "constant" and not settings.warmup_steps and not _logarithmic(spec),
        nesterov=settings.nesterov,
    )


def _added_here(spec: Spec, stored: StateDict) -> tuple[str, ...]:
    """Return the prefixes of the tensors of interventions that a fork adds at the step it begins at."""
    if spec.parent is None or stored.values["step"] != spec.parent.step:
        return ()
    prefixes = [f"intervention/{index}/" for index in range(len(spec.interventions))]
    return tuple(prefix for prefix in prefixes if not any(name.startswith(prefix) for name in stored.tensors))


def _build(spec: Spec, task: Task, dtype: torch.dtype) -> torch.nn.Module:
    assert spec.model is not None
    return spec.model.build(task.facts, generator(spec.seed.init, "init")).to(dtype)


def _check_draws(module: torch.nn.Module, task: Task, dtype: torch.dtype) -> None:
    """Refuse a model that draws from torch's global generator: its run could be neither repeated nor resumed."""
    some = next(iter(task.probes.values()), task.train)
    if some is None:
        return
    before = torch.random.get_rng_state()
    with torch.no_grad():
        copy.deepcopy(module).train()(some.to("cpu", dtype).inputs[:2])
    drew = not torch.equal(before, torch.random.get_rng_state())
    torch.random.set_rng_state(before)
    if drew:
        raise UsageError(
            "the model draws random numbers in its forward pass (dropout?) from torch's global generator, so its run "
            "could be neither repeated nor resumed: take that layer out, or draw from grokscope.rng.generator."
        )


def _check_sites(module: torch.nn.Module, spec: Spec) -> None:
    """Refuse a clamp at a submodule that is not there before any step is made, whenever it is to act."""
    known = [name for name, _ in module.named_modules() if name]
    for part in spec.interventions:
        site = getattr(part, "site", None)
        if part.point == "activation" and site not in known:
            raise unknown("site", str(site), known)


def _source(
    spec: Spec, task: Task, module: torch.nn.Module, *, fast: bool, dtype: torch.dtype, is_scaled: bool
) -> Source:
    private = module.to(spec.numerics.device).eval()
    return Source(
        forward=scaled(private, fast=fast) if is_scaled else module_forward(private, fast=fast),
        plain=scaled(private) if is_scaled else None,
        # copies: what a measure does to its data must not reach the training
        probes={name: batch.to(spec.numerics.device, dtype, copy=True) for name, batch in task.probes.items()},
        facts=task.facts,
        roles=roles_of(private, spec.roles),
        module=private,
        eval_chunk=spec.numerics.eval_chunk,
        measure_seed=spec.seed.measure,
        loss=spec.learner.loss or task.loss,  # type: ignore[attr-defined]
        descent=_descent(spec, task),
    )


def _clamped_source(source: Source, spec: Spec, states: list[dict[str, Tensor]], step: int) -> Source:
    """Return the source whose forward passes see the clamps in force: the function as it is trained."""
    module = source.module
    assert module is not None
    plain = source.plain or module_forward(module)

    def forward(tensors: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        with clamped(module, spec.interventions, list(states), step, measuring=True):
            return plain(tensors, inputs)

    return replace(source, forward=forward, plain=forward)
