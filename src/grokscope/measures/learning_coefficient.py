"""The local learning coefficient: how many parameters' worth of posterior a minimum has (Watanabe; Lau et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.hessian import Function, Layout, parts_of, value_and_gradient
from grokscope.linalg.langevin import Energy, sample
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.derivatives import differentiable
from grokscope.measures.objective import objective

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


@dataclass(frozen=True)
class LearningCoefficient:
    """An estimate of the local learning coefficient, and what tells whether to believe it.

    Attributes:
        value: λ̂, the mean over chains.
        error: its standard error over chains; nan of a single one. It knows nothing of what all chains share: a
            burn-in that is too short, and the pull of the localisation.
        chains: λ̂ of each chain, (chains,).
        negative: the share of chains with λ̂ < 0.
        drift: how much larger λ̂ is in the second half of the draws than in the first.
        split_r_hat: √(variance of half-chains together / within them) of the loss: 1 where chains agree, doubtful
            from 1.1 (Gelman et al. 2013, Sec. 11.4).
        acceptance: the mean probability of accepting a proposal.
        step_size: ε, in parameters².
        distance: root mean square distance of the draws from the point.
        loss: L at the point.
        losses: (draws, chains).
    """

    value: float
    error: float
    chains: Tensor
    negative: float
    drift: float
    split_r_hat: float
    acceptance: float
    step_size: float
    distance: float
    loss: float
    losses: Tensor


def learning_coefficient(
    loss: Function | Sequence[Function],
    parameters: Mapping[str, Tensor],
    *,
    examples: int,
    temperature: float | None = None,
    localisation: float = 10.0,
    chains: int = 4,
    draws: int = 100,
    burn_in: int = 50,
    step_size: float | None = None,
    sampler: Literal["mala", "sgld"] = "mala",
    scales: Mapping[str, Tensor] | None = None,
    batched: bool = False,
    generator: torch.Generator | None = None,
) -> LearningCoefficient:
    """Return the local learning coefficient of a loss at a minimum w*, without units.

    λ̂ = t (E[L(w)] − L(w*)) with w from exp(−t L(w) − γ/2 ‖w − w*‖²) and t = n β = n / ln n. Where the loss is
    regular in all d parameters it tends to d/2; where it is flat in directions, or flatter than a square, it is less:
    1/(2k) for w^{2k}. With Hessian eigenvalues h the localisation γ makes of d/2 the sum ½ Σ t h/(t h + γ): only what
    is stiffer than γ/t counts. Reference: Lau, Furman, Wang, Murfet and Wei 2024, eq. 12; Watanabe 2013.

    Args:
        loss: {name: tensor} -> mean loss over the examples, a tensor without axes; or several functions whose sum is
            meant, of which one at a time is held in memory. Deterministic.
        parameters: {name: tensor}, w*: a local minimum.
        examples: n, how many examples the loss is the mean over.
        temperature: t in place of n / ln n.
        localisation: γ, in 1/parameters².
        chains: independent chains, all from w*.
        draws: of each chain.
        burn_in: steps before them that are thrown away.
        step_size: ε, in parameters²; tuned in the burn-in if None (``mala`` only).
        sampler: ``mala`` has no bias from its step size; ``sgld`` is the one of the paper. Both use the whole gradient.
        scales: {name: tensor} by which moves are larger or smaller, for mixing; the result in the limit is the same.
        batched: lift the loss over chains with ``torch.vmap``: faster for small functions made of operations that it
            knows.
        generator: of all draws, on the CPU; seed 0 if None.

    Raises:
        UsageError: fewer than 2 examples, options out of range, or a loss that is not finite at the point.

    Example:
        >>> point = {"w": torch.zeros(4, dtype=torch.float64)}
        >>> found = learning_coefficient(lambda p: p["w"].square().sum(), point, examples=1000, draws=500, batched=True)
        >>> abs(found.value - 4 / 2) < 0.2
        True
    """
    if examples < 2 and temperature is None:
        raise UsageError(f"examples = {examples} was given: n / ln n needs 2 or more.")
    layout = Layout.of(parameters)
    temperature = examples / math.log(examples) if temperature is None else temperature
    centre = layout.flat(parameters).detach()
    at_centre = value_and_gradient(loss, parameters)[0].item()
    found = sample(
        _energy(loss, layout, batched=batched),
        centre,
        temperature=temperature,
        localisation=localisation,
        chains=chains,
        draws=draws,
        burn_in=burn_in,
        step_size=step_size,
        sampler=sampler,
        scales=None if scales is None else layout.flat(scales),
        generator=generator,
    )
    local = temperature * (found.losses - at_centre)
    each = local.mean(0)
    half = draws // 2
    return LearningCoefficient(
        value=each.mean().item(),
        error=each.std().item() / chains**0.5 if chains > 1 else math.nan,
        chains=each,
        negative=(each < 0).double().mean().item(),
        drift=(local[draws - half :].mean() - local[:half].mean()).item(),
        split_r_hat=_split_r_hat(local),
        acceptance=found.acceptance,
        step_size=found.step_size,
        distance=found.distance,
        loss=at_centre,
        losses=found.losses,
    )


def _energy(loss: Function | Sequence[Function], layout: Layout, *, batched: bool) -> Energy:
    parts = parts_of(loss)

    def alone(vector: Tensor) -> Tensor:
        return torch.stack([part(layout.named(vector)) for part in parts]).sum()

    lifted = torch.vmap(torch.func.grad_and_value(alone))

    def energy(points: Tensor) -> tuple[Tensor, Tensor]:
        if batched:
            gradients, values = lifted(points)
            return values, gradients
        values, gradients = zip(*(value_and_gradient(parts, layout.named(point)) for point in points), strict=True)
        return torch.stack(values), torch.stack(gradients)

    return energy


def _split_r_hat(draws: Tensor) -> float:
    """Return how much more half-chains, (draws, chains), vary together than each within itself; 1 where none varies."""
    half = len(draws) // 2
    if half < 2:
        return math.nan
    halves = torch.cat([draws[:half], draws[-half:]], 1)
    within, between = halves.var(0).mean(), halves.mean(0).var()
    if not within > 0:
        return 1.0 if not between > 0 else math.nan
    return math.sqrt((half - 1) / half + (between / within).item())


def measure(
    snapshot: Snapshot,
    *,
    examples: int = 256,
    chunk: int = 256,
    temperature: float | None = None,
    localisation: float = 10.0,
    chains: int = 4,
    draws: int = 100,
    burn_in: int = 50,
    step_size: float | None = None,
    sampler: Literal["mala", "sgld"] = "mala",
) -> dict[str, Any]:
    """Return the local learning coefficient of the training loss at the snapshot's parameters.

    n is the number of rows that are used. All is nan where loss or gradient are not finite.
    """
    generator = snapshot.generator("learning_coefficient", 1)
    goal = objective(snapshot, examples=examples, chunk=chunk, generator=generator)
    if goal.examples < 2 and temperature is None:
        raise DoesNotApply("learning_coefficient needs two training examples or more; this snapshot has one.")
    with differentiable("learning_coefficient", "loss"):
        loss, gradient = value_and_gradient(goal.parts, goal.parameters)
        if not loss.isfinite() or not gradient.isfinite().all():
            return {**dict.fromkeys(LEARNING_COEFFICIENT.keys, math.nan), "chains": torch.full((chains,), torch.nan)}
        found = learning_coefficient(
            goal.parts,
            goal.parameters,
            examples=goal.examples,
            temperature=temperature,
            localisation=localisation,
            chains=chains,
            draws=draws,
            burn_in=burn_in,
            step_size=step_size,
            sampler=sampler,
            generator=generator,
        )
    return {
        "estimate": found.value,
        "error": found.error,
        "negative": found.negative,
        "drift": found.drift,
        "split_r_hat": found.split_r_hat,
        "acceptance": found.acceptance,
        "step_size": found.step_size,
        "distance": found.distance,
        "loss": found.loss,
        "chains": found.chains,
    }


LEARNING_COEFFICIENT = Measure(
    name="learning_coefficient",
    version=1,
    keys={
        "estimate": Key("local learning coefficient: half the parameters that the data pins down; < 0: no minimum"),
        "error": Key("standard error over chains", low=0),
        "negative": Key("share of chains whose estimate is negative", low=0, high=1),
        "drift": Key("estimate of the second half of the draws less that of the first: 0 where burnt in"),
        "split_r_hat": Key("disagreement of half-chains about the loss: 1 is none, doubtful from 1.1", low=0),
        "acceptance": Key("mean probability of accepting a proposal", low=0, high=1),
        "step_size": Key("step size that the chains used", "parameter²", low=0),
        "distance": Key("root mean square distance of draws from the parameters", "parameter", low=0),
        "loss": Key("loss on the rows used", "nats, or squared units", low=0),
    },
    reference="Lau et al. 2024, eq. 12; Watanabe 2013",
    compute=measure,
    needs=("labels", "train"),
    cost="heavy",
    cites=("lau2024", "watanabe2013", "roberts1996"),
)
