"""Langevin sampling around a point: what a loss is on average where a tempered, localised posterior lives.

The density is π(w) ∝ exp(−t L(w) − γ/2 ‖w − w*‖²). Chains move side by side as rows of one tensor, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from grokscope.errors import UsageError, unknown

Energy = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Points (chains, dimension) -> losses (chains,) and their gradients (chains, dimension)."""

SAMPLERS = ("mala", "sgld")
ACCEPTANCE = 0.574
"""The share of accepted proposals at which MALA moves fastest in many dimensions (Roberts and Rosenthal 1998)."""


@dataclass(frozen=True)
class Chains:
    """What chains saw.

    Attributes:
        losses: (draws, chains), after the burn-in.
        acceptance: the mean probability with which proposals were accepted; 1 for ``sgld``, which takes all.
        step_size: the one used after the burn-in, in parameters².
        distance: the root mean square of ‖w − w*‖ over draws and chains.
    """

    losses: Tensor
    acceptance: float
    step_size: float
    distance: float


def sample(
    energy: Energy,
    centre: Tensor,
    *,
    temperature: float,
    localisation: float,
    chains: int = 4,
    draws: int = 200,
    burn_in: int = 100,
    step_size: float | None = None,
    sampler: Literal["mala", "sgld"] = "mala",
    scales: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Chains:
    """Return the losses that Langevin chains see around a point, where all of them start.

    A proposal is w + ε/2 S² ∇ log π(w) + √ε S ξ with standard normal ξ. ``mala`` accepts it with the probability
    of Metropolis and Hastings, so its chains have exactly π as their distribution in the long run, whatever ε; it
    costs no further gradient. Its ε is tuned in the burn-in to accept 57 % (dual averaging, Hoffman and Gelman 2014),
    then fixed. Its drift is truncated at the length √(ε · dimension) that the noise has: where a loss grows faster
    than a square, as singular ones do, the plain drift overshoots, and chains that come far out stay there.
    ``sgld`` accepts everything, as Lau et al. 2024 do: a Gaussian direction of precision a then has the variance
    1/(a (1 − ε a/4)), and ε must be given. Reference: Roberts and Tweedie 1996, Sec. 1.4 (MALTA).

    Args:
        energy: losses and gradients at points.
        centre: w*, (dimension,).
        temperature: t, the inverse temperature n β.
        localisation: γ, in 1/parameters².
        chains: how many.
        draws: of each chain, after the burn-in.
        burn_in: steps that are thrown away.
        step_size: ε; tuned if None.
        sampler: ``mala`` or ``sgld``.
        scales: S, (dimension,), positive: moves are larger where it is larger; π stays. Ones if None.
        generator: on the CPU; seed 0 if None.

    Raises:
        UsageError: counts, temperature, localisation, step size or scales out of range, or a loss at the centre
            that is not finite.

    Example:
        >>> flat = sample(lambda w: (0 * w[:, 0], 0 * w), torch.zeros(2), temperature=1, localisation=1, draws=5)
        >>> flat.losses.shape, flat.losses.sum().item()
        (torch.Size([5, 4]), 0.0)
    """
    _check(temperature, localisation, chains, draws, burn_in, step_size, sampler)
    generator = generator or torch.Generator().manual_seed(0)
    centre = centre.detach().double()
    longest = math.inf if sampler == "sgld" else len(centre) ** 0.5
    scale = torch.ones_like(centre) if scales is None else scales.detach().to(centre)
    if scale.shape != centre.shape or not bool(((scale > 0) & scale.isfinite()).all()):
        raise UsageError("scales must be one positive number for each parameter.")

    def state(moved: Tensor) -> _State:
        """Return what is known at points given as (w − w*) / S, in which coordinates the proposal is isotropic."""
        offset = moved * scale
        losses, gradients = energy(centre + offset)
        losses = losses.detach().double()
        log_density = -temperature * losses - localisation / 2 * offset.square().sum(1)
        pull = -(temperature * gradients.detach().double() + localisation * offset) * scale
        return _State(moved, losses, log_density, pull)

    def noise() -> Tensor:
        return torch.randn(chains, len(centre), generator=generator, dtype=torch.float64).to(centre.device)

    def drift(at: _State, step: float) -> Tensor:
        pulled = step / 2 * at.pull
        length = pulled.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
        return pulled * (longest * step**0.5 / length).clamp(max=1)

    def proposed(now: _State, step: float) -> tuple[_State, Tensor]:
        """Return a move from every chain, and with what probability each is accepted."""
        there = state(now.moved + drift(now, step) + step**0.5 * noise())
        back, forth = there.moved + drift(there, step) - now.moved, now.moved + drift(now, step) - there.moved
        moves = (forth.square().sum(1) - back.square().sum(1)) / (2 * step)
        ratio = there.log_density - now.log_density + moves
        return there, ratio.exp().clamp(max=1).nan_to_num(0.0)  # where the loss is not finite nobody goes

    now = state(centre.new_zeros(chains, len(centre)))
    if not bool(now.losses.isfinite().all()) or not bool(now.pull.isfinite().all()):
        raise UsageError("the loss or its gradient is not finite at the point that chains are to start from.")
    tuning = None
    if step_size is None:
        tuning = _Tuning(_first_step(lambda step: proposed(now, step)[1].mean().item(), 1 / max(localisation, 1.0)))
    step = tuning.step if tuning is not None else float(step_size or 0)
    kept: list[Tensor] = []
    accepted = far = 0.0
    for round_ in range(burn_in + draws):
        there, probability = proposed(now, step)
        if sampler == "sgld":
            now = there
            probability = torch.ones_like(probability)
        else:
            lot = torch.rand(chains, generator=generator, dtype=torch.float64).to(centre.device)
            now = _where(lot < probability, there, now)
        if round_ < burn_in:
            if tuning is not None:
                tuning.learn(probability.mean().item())
                step = tuning.step if round_ < burn_in - 1 else tuning.average
            continue
        kept.append(now.losses)
        accepted += probability.mean().item() / draws
        far += (now.moved * scale).square().sum(1).mean().item() / draws
    return Chains(torch.stack(kept), accepted, step, far**0.5)


@dataclass(frozen=True)
class _State:
    moved: Tensor
    losses: Tensor
    log_density: Tensor
    pull: Tensor


def _where(take: Tensor, new: _State, old: _State) -> _State:
    column = take[:, None]
    return _State(
        torch.where(column, new.moved, old.moved),
        torch.where(take, new.losses, old.losses),
        torch.where(take, new.log_density, old.log_density),
        torch.where(column, new.pull, old.pull),
    )


def _first_step(acceptance: Callable[[float], float], step: float) -> float:
    """Return a step whose proposals are accepted about half the time, found by factors of four."""
    factor = 4.0 if acceptance(step) > 0.5 else 0.25
    for _ in range(30):
        further = acceptance(step * factor)
        if (further > 0.5) != (factor > 1):
            return step * (factor if factor < 1 else 1.0)
        step *= factor
    return step


class _Tuning:
    """Dual averaging of the logarithm of the step size, with the constants of Hoffman and Gelman 2014, Sec. 3.2."""

    def __init__(self, step: float) -> None:
        self.step = self.average = step
        self._goal, self._shortfall, self._rounds = math.log(10 * step), 0.0, 0

    def learn(self, acceptance: float) -> None:
        """Take notice of one round's acceptance."""
        self._rounds += 1
        count = self._rounds
        self._shortfall += (ACCEPTANCE - acceptance - self._shortfall) / (count + 10)
        log_step = self._goal - count**0.5 / 0.05 * self._shortfall
        share = count**-0.75
        self.average = math.exp(share * log_step + (1 - share) * math.log(self.average))
        self.step = math.exp(log_step)


def _check(
    temperature: float,
    localisation: float,
    chains: int,
    draws: int,
    burn_in: int,
    step_size: float | None,
    sampler: str,
) -> None:
    if sampler not in SAMPLERS:
        raise unknown("sampler", sampler, SAMPLERS)
    if chains < 1 or draws < 1 or burn_in < 0:
        raise UsageError(f"{chains} chains of {burn_in} + {draws} steps were asked for: give 1 or more of each.")
    if not 0 < temperature < math.inf or not 0 <= localisation < math.inf:
        raise UsageError(
            f"temperature = {temperature} and localisation = {localisation} were given: the first must be positive, "
            "the second not negative."
        )
    if step_size is None and (sampler == "sgld" or burn_in < 20):
        raise UsageError(
            "give step_size, in parameters²: only mala tunes it, in a burn-in of 20 steps or more; it was to be "
            f"{sampler} with {burn_in}."
        )
    if step_size is not None and not 0 < step_size < math.inf:
        raise UsageError(f"step_size = {step_size} was given: give a positive number, or None to have it tuned.")
