"""Gradient attacks on a classifier: the worst point found within ε of each input, by one step or by many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from grokscope.errors import UsageError
from grokscope.linalg.margins import IGNORED

Norm = Literal["linf", "l2"]
Objective = Literal["cross-entropy", "margin", "fallback"]
Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Attack:
    """Where an attack ended.

    Attributes:
        points: (n, ...), within ε of the points it began at.
        stuck: (n,), where the gradient of the cross-entropy was exactly 0 at some step.
    """

    points: Tensor
    stuck: Tensor


def random_start(points: Tensor, epsilon: float, *, norm: Norm = "linf", generator: torch.Generator) -> Tensor:
    """Return a displacement for each point, uniform in the ball of radius ε; drawn on the CPU whatever the device.

    Example:
        >>> start = random_start(torch.zeros(5, 3), 0.5, norm="l2", generator=torch.Generator().manual_seed(0))
        >>> bool((start.norm(dim=1) <= 0.5).all())
        True
    """
    _check(epsilon, norm)
    flat = points.flatten(1)
    if norm == "linf":
        drawn = 2 * torch.rand(flat.shape, generator=generator, dtype=torch.float64) - 1
    else:
        drawn = torch.randn(flat.shape, generator=generator, dtype=torch.float64)
        radius = torch.rand(len(flat), 1, generator=generator, dtype=torch.float64) ** (1 / max(flat.shape[1], 1))
        drawn = drawn / drawn.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny) * radius
    return (epsilon * drawn).to(points.device, points.dtype).view_as(points)


def attack(
    call: Call,
    points: Tensor,
    targets: Tensor,
    *,
    epsilon: float,
    step: float,
    steps: int,
    norm: Norm = "linf",
    start: Tensor | None = None,
    low: float | None = None,
    high: float | None = None,
    objective: Objective = "fallback",
) -> Attack:
    """Return the points that projected gradient ascent on a loss ends at, within ε of where it began.

    z ← clip(x + Π(z + α d − x)): d is the sign of the gradient (``linf``) or the gradient over its length (``l2``), Π
    the projection on the ball of radius ε, clip the range of inputs. One step of length ε from x itself is FGSM.

    Args:
        call: points (n, ...) -> outputs (n, ..., classes), differentiable, each example by itself.
        points: the inputs x.
        targets: classes (n, ...), one for each output position; -100 counts for nothing.
        epsilon: radius of the ball.
        step: length α of a step.
        steps: how many steps are taken.
        norm: of the ball.
        start: where the first step begins, relative to x.
        low: least value an input can have; None is any.
        high: greatest value an input can have; None is any.
        objective: what is raised: the cross-entropy, or the best wrong output less the right one (``margin``), which
            has a gradient where the cross-entropy is rounded to none; ``fallback`` takes the margin there only.

    Raises:
        UsageError: an option is out of range, or outputs and targets do not fit.

    Source: Goodfellow et al. 2015 (FGSM); Madry et al. 2018, eq. 2.2 (PGD). The cross-entropy is taken in float64.

    Example:
        >>> call = lambda x: torch.stack([x[:, 0], -x[:, 0]], 1)  # right as long as x is positive
        >>> found = attack(call, torch.tensor([[0.3]]), torch.tensor([0]), epsilon=0.2, step=0.2, steps=1)
        >>> round(found.points.item(), 6)
        0.1
    """
    _check(epsilon, norm)
    if steps < 1 or not step > 0:
        raise UsageError(f"steps = {steps} and step = {step} were given: give one step or more, of positive length.")
    if low is not None and high is not None and low > high:
        raise UsageError(f"low = {low} and high = {high} were given: low is the lesser.")
    if objective not in ("cross-entropy", "margin", "fallback"):
        raise UsageError(f"objective = {objective!r} was given: it is cross-entropy, margin or fallback.")

    def within(moved: Tensor) -> Tensor:
        moved = points + _project(moved - points, epsilon, norm)
        return moved if low is None and high is None else moved.clamp(low, high)

    stuck = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    current = points if start is None else within(points + start)
    for _ in range(steps):
        entropy, margin = _gradients(call, current, targets, objective)
        chosen = margin
        if entropy is not None:
            none = (entropy == 0).flatten(1).all(1)
            stuck = stuck | none
            chosen = entropy
            if margin is not None:
                chosen = torch.where(none.view(-1, *[1] * (points.ndim - 1)), margin, entropy)
        assert chosen is not None
        current = within(current + step * _direction(chosen, norm))
    return Attack(current.detach(), stuck)


def right_share(outputs: Float[Tensor, "*positions classes"], targets: Tensor) -> Float[Tensor, " n"]:
    """Return the share of an example's positions whose largest output is the target, (n,), in float64.

    Positions with the target -100 are left out.

    Example:
        >>> right_share(torch.eye(2), torch.tensor([0, 0])).tolist()
        [1.0, 0.0]
    """
    right = (outputs.argmax(-1) == targets).double().flatten(1) if targets.ndim > 1 else None
    if right is None:
        return (outputs.argmax(-1) == targets).double()
    counted = (targets != IGNORED).double().flatten(1)
    return (right * counted).sum(1) / counted.sum(1).clamp(min=1)


def _gradients(
    call: Call, points: Tensor, targets: Tensor, objective: Objective
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of cross-entropy and margin, those that the objective can need."""
    with torch.enable_grad():
        leaf = points.detach().requires_grad_()
        outputs = call(leaf)
        if outputs.shape[:-1] != targets.shape or outputs.shape[-1] < 2:
            raise UsageError(
                f"outputs of shape {tuple(outputs.shape)} and targets of shape {tuple(targets.shape)} were given: give "
                "(n, ..., classes) with 2 classes or more, and a target for each (n, ...)."
            )
        entropy = margin = None
        if objective != "margin":
            entropy = _gradient(_cross_entropy(outputs, targets), leaf, keep=objective == "fallback")
        needed = objective == "margin" or (
            objective == "fallback" and entropy is not None and bool((entropy == 0).flatten(1).all(1).any())
        )
        if needed:
            margin = _gradient(_negative_margin(outputs, targets), leaf, keep=False)
    return entropy, margin


def _gradient(value: Tensor, leaf: Tensor, *, keep: bool) -> Tensor:
    (found,) = torch.autograd.grad(value, leaf, retain_graph=keep, allow_unused=True)
    # a direction with NaN or Inf in it is no direction
    return torch.zeros_like(leaf) if found is None else torch.nan_to_num(found, 0.0, 0.0, 0.0)


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    rows, labels = outputs.double().flatten(0, -2), targets.flatten()
    # log_softmax of the right class loses what is below 1e-16; the sum over the others, relative to it, does not
    own = rows.gather(1, labels.clamp(min=0)[:, None])
    others = rows.scatter(1, labels.clamp(min=0)[:, None], -torch.inf)
    each = functional.softplus(torch.logsumexp(others, 1) - own[:, 0])
    return (each * (labels != IGNORED)).sum()


def _negative_margin(outputs: Tensor, targets: Tensor) -> Tensor:
    rows, labels = outputs.double().flatten(0, -2), targets.flatten()
    own = rows.gather(1, labels.clamp(min=0)[:, None])[:, 0]
    others = rows.scatter(1, labels.clamp(min=0)[:, None], -torch.inf).amax(1)
    return ((others - own) * (labels != IGNORED)).sum()


def _direction(gradient: Tensor, norm: Norm) -> Tensor:
    if norm == "linf":
        return gradient.sign()
    flat = gradient.flatten(1)
    # tiny gradients have squares that are rounded to 0
    flat = flat / flat.abs().amax(1, keepdim=True).clamp(min=torch.finfo(flat.dtype).tiny)
    return (flat / flat.norm(dim=1, keepdim=True).clamp(min=torch.finfo(flat.dtype).tiny)).view_as(gradient)


def _project(displacement: Tensor, epsilon: float, norm: Norm) -> Tensor:
    if norm == "linf":
        return displacement.clamp(-epsilon, epsilon)
    length = displacement.flatten(1).norm(dim=1).clamp(min=torch.finfo(displacement.dtype).tiny)
    return displacement * (epsilon / length).clamp(max=1).view(-1, *[1] * (displacement.ndim - 1))


def _check(epsilon: float, norm: str) -> None:
    if norm not in ("linf", "l2"):
        raise UsageError(f"norm = {norm!r} was given: it is linf or l2.")
    if not epsilon >= 0:
        raise UsageError(f"epsilon = {epsilon} was given: give 0 or more.")
