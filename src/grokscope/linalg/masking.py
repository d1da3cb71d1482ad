"""What a network's outputs lose when a random share of its weights is set to zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Num
from torch import Tensor

from grokscope.errors import UsageError

Predict = Callable[[Mapping[str, Tensor], Tensor], Tensor]
Draw = Callable[[str, int], torch.Generator]
Mask = Literal["exact", "bernoulli"]


def divergence(
    logits: Num[Tensor, "*samples classes"], other: Num[Tensor, "*samples classes"], *, temperature: float = 1.0
) -> Float[Tensor, " *samples"]:
    """Return the divergence of the softmax of ``other`` from that of ``logits``, in nats, for each sample.

    KL(p ‖ q) = Σ_c p_c (ln p_c − ln q_c) with p = softmax(z/T), q = softmax(z'/T), both in logarithms and float64.
    (..., classes) twice to (...), at least 0. Raises UsageError where shapes differ, there are fewer than two outputs
    or the temperature is not positive.

    Example:
        >>> p, q = torch.tensor([0.7, 0.2, 0.1]).log(), torch.tensor([0.5, 0.3, 0.2]).log()
        >>> round(divergence(p, q).item(), 7)
        0.0851228
    """
    if logits.shape != other.shape or logits.ndim == 0 or logits.shape[-1] < 2:
        raise UsageError(
            f"outputs of shapes {tuple(logits.shape)} and {tuple(other.shape)} were given: give equal ones "
            "(..., classes) with 2 classes or more."
        )
    if not temperature > 0:
        raise UsageError(f"temperature = {temperature} was given: give a positive one.")
    log_p = torch.log_softmax(logits.double() / temperature, -1)
    log_q = torch.log_softmax(other.double() / temperature, -1)
    # rounding can leave a difference of equal distributions below 0
    return (log_p.exp() * (log_p - log_q)).sum(-1).clamp(min=0)


def masked(
    weights: Mapping[str, Tensor], *, share: float, mask: Mask = "exact", index: int, draw: Draw, pooled: bool = False
) -> dict[str, Tensor]:
    """Return copies of weights with a random share of the entries set to zero.

    ``exact``: ⌊share · n⌋ entries of a tensor of n, without replacement; ``bernoulli``: each with that probability.
    ``pooled`` takes the exact number from all tensors together. ``draw(name, index)`` gives the generator of the mask
    of a tensor (of the whole pool: the name is empty), on the CPU whatever the device: the same masks at every step.
    Raises UsageError for a share outside 0 to 1 or an unknown kind of mask.

    Example:
        >>> draw = lambda name, index: torch.Generator().manual_seed(index)
        >>> masked({"w": torch.ones(4, 5)}, share=0.1, index=0, draw=draw)["w"].sum().item()
        18.0
    """
    if not 0 <= share <= 1:
        raise UsageError(f"share = {share} was given: give 0 to 1.")
    if mask not in ("exact", "bernoulli"):
        raise UsageError(f"mask = {mask!r} was given: it is exact or bernoulli.")
    if not pooled or mask == "bernoulli":
        return {
            name: tensor.masked_fill(
                _zeros(tensor.numel(), share, mask, draw(name, index)).view(tensor.shape).to(tensor.device), 0
            )
            for name, tensor in weights.items()
        }
    sizes = [tensor.numel() for tensor in weights.values()]
    parts = _zeros(sum(sizes), share, mask, draw("", index)).split(sizes)
    return {
        name: tensor.masked_fill(part.view(tensor.shape).to(tensor.device), 0)
        for (name, tensor), part in zip(weights.items(), parts, strict=True)
    }


def _zeros(count: int, share: float, mask: Mask, generator: torch.Generator) -> Tensor:
    """Return which of ``count`` entries are set to zero."""
    if mask == "bernoulli":
        return torch.rand(count, generator=generator) < share
    chosen = torch.zeros(count, dtype=torch.bool)
    # a share such as 0.1 times 30 is 3.0000000000000004 or 2.9999999999999996: the floor is of what was meant
    chosen[torch.randperm(count, generator=generator)[: math.floor(share * count + 1e-9)]] = True
    return chosen


@dataclass(frozen=True)
class Change:
    """What masks change, each mask a number: in float64, (masks,).

    Attributes:
        divergences: sum or mean over samples of KL(softmax z ‖ softmax z'); None of a single output.
        distances: ‖z − z'‖ / ‖z‖ over all samples and outputs.
    """

    divergences: Tensor | None
    distances: Tensor


def change_under_masks(
    predict: Predict,
    inputs: Tensor,
    weights: Mapping[str, Tensor],
    *,
    share: float = 0.1,
    masks: int = 8,
    mask: Mask = "exact",
    pooled: bool = False,
    reduction: Literal["sum", "mean"] = "sum",
    temperature: float = 1.0,
    draw: Draw,
    chunk: int = 256,
) -> Change:
    """Return how far the outputs move when a random share of weights is set to zero, for each of some masks.

    Λ = Σ_x KL(softmax z_W(x) ‖ softmax z_{W'}(x)), W' = W with a share of its entries at 0 (Golechha 2024, section 3.3:
    a tenth). ``predict(weights, inputs)`` returns outputs (n, ..., classes) with other values of some parameters; it
    is called on ``chunk`` inputs at a time. Every position of a sequence is a sample. A single output has no
    divergence. In float64. Raises UsageError for options out of range, and without inputs or weights.

    Example:
        >>> weights = {"w": torch.zeros(3, 2)}
        >>> draw = lambda name, index: torch.Generator().manual_seed(index)
        >>> found = change_under_masks(lambda w, x: x @ {**weights, **w}["w"].T, torch.ones(4, 2), weights, draw=draw)
        >>> found.divergences.sum().item()  # a tenth of a zero matrix is zero already
        0.0
    """
    if masks < 1 or chunk < 1:
        raise UsageError(f"masks = {masks} and chunk = {chunk} were given: give 1 or more.")
    if reduction not in ("sum", "mean"):
        raise UsageError(f"reduction = {reduction!r} was given: it is sum or mean.")
    if not len(inputs) or not weights:
        raise UsageError(f"{len(inputs)} inputs and {len(weights)} weights were given: give at least one of each.")
    parts = inputs.split(chunk)
    with torch.no_grad():
        plain = [_columns(predict({}, part)) for part in parts]
        several = plain[0].shape[-1] > 1
        size = math.sqrt(sum(float(part.double().square().sum()) for part in plain))
        samples = sum(len(part) for part in plain)
        divergences, distances = [], []
        for index in range(masks):
            changed = masked(weights, share=share, mask=mask, index=index, draw=draw, pooled=pooled)
            total, square = 0.0, 0.0
            for part, before in zip(parts, plain, strict=True):
                after = _columns(predict(changed, part))
                square += float((after.double() - before.double()).square().sum())
                if several:
                    total += float(divergence(before, after, temperature=temperature).sum())
            divergences.append(total / samples if reduction == "mean" else total)
            distances.append(math.sqrt(square) / size if size else math.nan)
    return Change(
        torch.tensor(divergences, dtype=torch.float64) if several else None,
        torch.tensor(distances, dtype=torch.float64),
    )


def second_order(
    predict: Predict,
    inputs: Tensor,
    weights: Mapping[str, Tensor],
    *,
    share: float = 0.1,
    probes: int = 8,
    reduction: Literal["sum", "mean"] = "sum",
    temperature: float = 1.0,
    draw: Draw,
    chunk: int = 256,
) -> Tensor:
    """Return what Λ is expected to be to second order, from the Fisher information, for each of some probes.

    With F = Σ_x Jᵀ (diag π − π πᵀ) J / T² of the softmax π of the outputs, and masks of probability s,
    E[Λ] ≈ ½ (s (1 − s) Σ_i w_i² F_ii + s² wᵀ F w). The sum over i is the mean over random signs ε of
    (ε∘w)ᵀ F (ε∘w): one forward derivative a probe, ``probes`` of them. (probes,), in nats, at least 0; its mean is
    unbiased. Run it where the model can be differentiated (``grokscope.differentiation``). Raises UsageError as
    :func:`change_under_masks` does.

    Example:
        >>> weights = {"w": torch.tensor([[1.0], [0.0]])}
        >>> draw = lambda name, index: torch.Generator().manual_seed(index)
        >>> predict = lambda w, x: x @ {**weights, **w}["w"].T
        >>> second_order(predict, torch.tensor([[0.0]]), weights, draw=draw).tolist()[:2]  # the input is 0
        [0.0, 0.0]
    """
    if probes < 1 or chunk < 1:
        raise UsageError(f"probes = {probes} and chunk = {chunk} were given: give 1 or more.")
    if not len(inputs) or not weights:
        raise UsageError(f"{len(inputs)} inputs and {len(weights)} weights were given: give at least one of each.")

    def curvature(direction: Mapping[str, Tensor]) -> tuple[float, int]:
        total, samples = 0.0, 0
        for part in inputs.split(chunk):
            logits, change = torch.func.jvp(
                lambda tensors, part=part: predict(tensors, part), (dict(weights),), (dict(direction),)
            )[:2]
            shares = torch.softmax(_columns(logits).double() / temperature, -1)
            moved = _columns(change).double() / temperature
            centred = moved - (shares * moved).sum(-1, keepdim=True)
            total += float((shares * centred.square()).sum())
            samples += len(shares)
        return total, samples

    with torch.no_grad():
        along, samples = curvature(weights)
        diagonal = []
        for index in range(probes):
            signs = {name: tensor * _signs(tensor, draw(f"{name} signs", index)) for name, tensor in weights.items()}
            diagonal.append(curvature(signs)[0])
    found = 0.5 * (share * (1 - share) * torch.tensor(diagonal, dtype=torch.float64) + share**2 * along)
    return found / samples if reduction == "mean" else found


def _signs(tensor: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.randint(2, tensor.shape, generator=generator) * 2 - 1).to(tensor.device, tensor.dtype)


def _columns(outputs: Tensor) -> Tensor:
    """Return outputs as (samples, classes): one output an example has one class."""
    return outputs[:, None] if outputs.ndim == 1 else outputs.flatten(0, -2)
