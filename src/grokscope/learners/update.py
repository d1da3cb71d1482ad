"""One update of gradient descent, for one member or, lifted by ``vmap``, for all members at once.

The five points at which interventions act are visible in :func:`update`: data, activation, loss,
gradient, parameters, in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from grokscope.batch import Batch
from grokscope.forward import Forward, sites
from grokscope.learners.closed import Closed
from grokscope.learners.losses import Loss
from grokscope.learners.optim.base import Optimizer
from grokscope.settings import InterventionSettings

Lift = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Identity for one member; ``torch.vmap`` for an ensemble, whose tensors have a leading member axis."""


@dataclass(frozen=True)
class Kernel:
    """What stays the same from update to update."""

    module: nn.Module
    forward: Forward
    loss: Loss
    interventions: Sequence[InterventionSettings]
    lift: Lift
    l1: float = 0.0
    l2: float = 0.0
    closed: Closed | None = None
    """Loss and gradients without autograd, where the model knows them."""
    sharing: int = 1
    """How many members next to each other share their data, which then has no axis of theirs."""


@dataclass
class Moving:
    """What an update changes, all tensors by name; with what is here and the step, training goes on bitwise."""

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    interventions: list[dict[str, Tensor]]
    loss: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> Moving:
        """Return a copy with every tensor changed."""

        def each(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: change(tensor) for name, tensor in tensors.items()}

        return Moving(
            each(self.parameters),
            each(self.buffers),
            each(self.optimizer),
            [each(tensors) for tensors in self.interventions],
            change(self.loss),
        )


def at_activations(part: InterventionSettings, step: int, *, measuring: bool) -> bool:
    """Tell whether an intervention acts on an activation in update ``step``, or in what measures see at that step."""
    return part.point == "activation" and part.active(step) and (part.measured or not measuring)


def clamped(
    module: nn.Module,
    interventions: Sequence[InterventionSettings],
    states: list[dict[str, Tensor]],
    step: int,
    *,
    measuring: bool = False,
) -> Any:
    """Return the context in which active activation interventions act on ``module``; updates ``states``.

    When ``measuring``, those that act in training alone are left out.
    """
    actions: dict[str, Callable[[Tensor], Tensor]] = {}
    for index, intervention in enumerate(interventions):
        if not at_activations(intervention, step, measuring=measuring):
            continue

        def act(output: Tensor, index: int = index, part: Any = intervention) -> Tensor:
            changed, states[index] = part.apply(output, states[index], step=step)
            return changed

        site: str = intervention.site  # type: ignore[attr-defined]
        earlier = actions.get(site)
        actions[site] = act if earlier is None else lambda output, a=earlier, b=act: b(a(output))
    return sites(module, actions, first=True) if actions else nullcontext()


def _apply(kernel: Kernel, point: str, value: Any, states: list[dict[str, Tensor]], step: Any, lift: Lift) -> Any:
    for index, intervention in enumerate(kernel.interventions):
        if intervention.point == point and intervention.active(step):
            action: Any = intervention.apply  # type: ignore[attr-defined]
            value, states[index] = lift(lambda v, s, action=action: action(v, s, step=step))(value, states[index])
    return value


def gradient(kernel: Kernel, moving: Moving, batch: Batch, step: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of each member, shape () or (members,), and the gradients; interventions included.

    The gradients are those of loss + l1 · ‖θ‖₁ + l2 · ‖θ‖², with sign(θ) for that of |θ| (0 at 0); the loss is without.
    """
    if kernel.closed is not None:
        losses, named = kernel.closed(moving.parameters, moving.buffers, batch)
    else:
        losses, named = _differentiated(kernel, moving, batch, step)
    if kernel.l1:
        named = {name: g + kernel.l1 * moving.parameters[name].sign() for name, g in named.items()}
    if kernel.l2:
        named = {name: g + 2 * kernel.l2 * moving.parameters[name] for name, g in named.items()}
    return losses.detach(), named


def _differentiated(kernel: Kernel, moving: Moving, batch: Batch, step: Any) -> tuple[Tensor, dict[str, Tensor]]:
    def member(
        parameters: dict[str, Tensor],
        buffers: dict[str, Tensor],
        inputs: Tensor,
        targets: Tensor | None,
        weights: Tensor | None,
        states: list[dict[str, Tensor]],
    ) -> tuple[Tensor, list[dict[str, Tensor]]]:
        states = list(states)
        one = _apply(kernel, "data", Batch(inputs, targets, weights), states, step, as_it_is)
        with clamped(kernel.module, kernel.interventions, states, step):
            outputs = kernel.forward({**parameters, **buffers}, one.inputs)
        return _apply(kernel, "loss", kernel.loss(outputs, one), states, step, as_it_is), states

    leaves = {name: tensor.detach().requires_grad_() for name, tensor in moving.parameters.items()}
    absent = [batch.targets is None, batch.weights is None]
    given = [leaves, moving.buffers, batch.inputs]
    given += [tensor for tensor in (batch.targets, batch.weights) if tensor is not None]

    def call(parameters: Any, buffers: Any, inputs: Any, *rest: Any) -> Any:
        *optional, states = rest
        targets = None if absent[0] else optional[0]
        weights = None if absent[1] else optional[-1]
        return member(parameters, buffers, inputs, targets, weights, states)

    lifted = kernel.lift(call) if kernel.sharing == 1 else _sharing(call, len(given) - 2, kernel.sharing)
    losses, states = lifted(*given, moving.interventions)
    moving.interventions = [{name: t.detach() for name, t in tensors.items()} for tensors in states]
    gradients = torch.autograd.grad(losses.sum(), list(leaves.values()), allow_unused=True)
    named = {
        name: torch.zeros_like(leaf) if g is None else g
        for (name, leaf), g in zip(leaves.items(), gradients, strict=True)
    }
    return losses, named


def _sharing(call: Callable[..., Any], data: int, members: int) -> Callable[..., Any]:
    """Return ``call`` over groups of members, each group with data of its own: (groups · members, …) and (groups, …).

    Args:
        call: of one member's parameters, buffers, ``data`` tensors of the batch, and states.
        data: how many tensors the batch has.
        members: how many next to each other share it.
    """
    within = torch.vmap(call, in_dims=(0, 0, *[None] * data, 0))

    def run(parameters: Any, buffers: Any, *rest: Any) -> Any:
        *tensors, states = rest
        own = tree_map(lambda t: t.unflatten(0, (-1, members)), (parameters, buffers, states))
        found = torch.vmap(within)(own[0], own[1], *tensors, own[2])
        return tree_map(lambda t: t.flatten(0, 1), found)

    return run


def update(kernel: Kernel, optimizer: Optimizer, moving: Moving, batch: Batch, step: int | Tensor) -> dict[str, Tensor]:
    """Take update ``step`` (from 0) on ``moving`` in place; return the gradient it followed.

    The step may be a tensor, shape (), where there are no interventions, which ask what number it is.
    """
    moving.loss, gradients = gradient(kernel, moving, batch, step)
    with torch.no_grad():
        gradients = _apply(kernel, "gradient", gradients, moving.interventions, step, kernel.lift)
        optimizer.update(moving.parameters, gradients, moving.optimizer, step, moving.loss)
        moving.parameters = _apply(kernel, "parameters", moving.parameters, moving.interventions, step, kernel.lift)
    return gradients


def solo(kernel: Kernel) -> Kernel:
    """Return the kernel for one member's own tensors."""
    closed = kernel.closed and replace(kernel.closed, stacked=False)
    return replace(kernel, lift=as_it_is, closed=closed, sharing=1)


def as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of one member's tensors as it is: the lift of a single run."""
    return function
