"""Langevin sampling against integrals: Gaussian and singular losses, any step size, the unadjusted chain's bias."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import langevin
from grokscope.linalg.langevin import Chains, sample


def energy(loss: Callable[[Tensor], Tensor]) -> langevin.Energy:
    def both(points: Tensor) -> tuple[Tensor, Tensor]:
        points = points.detach().requires_grad_()
        values = loss(points)
        return values.detach(), torch.autograd.grad(values.sum(), points)[0]

    return both


def assert_mean(chains: Chains, expected: float, *, within: float) -> None:
    """Assert that the mean loss is ``expected`` up to 4 standard errors of independent chains, themselves small."""
    each = chains.losses.mean(0)
    error = each.std().item() / len(each) ** 0.5
    assert error < within / 4
    assert each.mean().item() == pytest.approx(expected, abs=4 * error)


def test_the_documented_examples_hold():
    assert doctest.testmod(langevin).failed == 0


@pytest.mark.parametrize("power", [2, 4, 6, 8])
def test_losses_flatter_than_a_square(power: int):
    """∫ t wᵖ exp(−t wᵖ) / ∫ exp(−t wᵖ) = 1/p at every temperature; a plain MALA chain misses it by five errors."""
    found = sample(
        energy(lambda w: 100 * w[:, 0] ** power), torch.zeros(1), temperature=1, localisation=0, chains=400, draws=1000
    )
    assert_mean(found, 1 / power, within=0.05 / power)
    assert found.acceptance == pytest.approx(0.574, abs=0.07)


@pytest.mark.parametrize("step_size", [0.05, 0.3, 1.2])
def test_the_adjusted_chain_has_no_bias_from_its_step_size(step_size: float):
    """A Gaussian of precision a = t h + γ has E[h w²/2] = h/(2a)."""
    curvature = torch.tensor([1.0, 4.0]).double()
    found = sample(
        energy(lambda w: (curvature * w.square()).sum(1) / 2),
        torch.tensor([3.0, -1.0]),
        temperature=1.0,
        localisation=0.5,
        chains=400,
        draws=1000,
        step_size=step_size,
    )
    # the loss is measured around 0, the localisation around the centre: precision 1.5 and 4.5, means γ w*/a
    means, precision = torch.tensor([3.0, -1.0]) * 0.5 / (curvature + 0.5), curvature + 0.5
    expected = (curvature * (1 / precision + means.square())).sum().item() / 2
    assert_mean(found, expected, within=0.1)
    assert found.step_size == step_size


def test_the_unadjusted_chain_has_the_bias_that_theory_says():
    """w' = (1 − ε a/2) w + √ε ξ has the variance 1/(a (1 − ε a/4))."""
    precision, step_size = 5.0, 0.3
    found = sample(
        energy(lambda w: 2 * w[:, 0].square()),
        torch.zeros(1),
        temperature=1,
        localisation=1,
        chains=400,
        draws=1000,
        step_size=step_size,
        sampler="sgld",
    )
    variance = 1 / (precision * (1 - step_size * precision / 4))
    assert_mean(found, 2 * variance, within=0.03)
    assert found.losses.mean() > 1.3 * 2 / precision
    assert found.distance == pytest.approx(variance**0.5, rel=0.02)
    assert found.acceptance == pytest.approx(1)


def test_scales_change_the_mixing_and_not_the_distribution():
    curvature = torch.tensor([1000.0, 1.0]).double()

    def run(scales: Tensor | None) -> Chains:
        return sample(
            energy(lambda w: (curvature * w.square()).sum(1) / 2),
            torch.zeros(2),
            temperature=1,
            localisation=1,
            chains=100,
            draws=400,
            scales=scales,
        )

    expected = (curvature / (curvature + 1)).sum().item() / 2
    scaled, plain = run((curvature + 1).rsqrt()), run(None)
    assert_mean(scaled, expected, within=0.1)
    assert scaled.losses.mean(0).std() < plain.losses.mean(0).std() / 2


def test_the_tuned_step_follows_the_scale_of_the_loss():
    def tuned(stiffness: float) -> float:
        loss = energy(lambda w: stiffness * w.square().sum(1) / 2)
        return sample(loss, torch.zeros(50), temperature=1, localisation=0, draws=1, chains=8).step_size

    # ε a is dimensionless; the tuned one is known to the noise of 100 rounds
    assert tuned(1e6) * 1e6 == pytest.approx(tuned(1e-3) * 1e-3, rel=0.3)


def test_nobody_goes_where_the_loss_is_not_finite():
    """A wall at w = 0: half a Gaussian, with E[w²] as of a whole one."""

    def walled(points: Tensor) -> tuple[Tensor, Tensor]:
        values = torch.where(points[:, 0] > 0, points[:, 0].square() / 2, torch.nan)
        return values, points

    found = sample(walled, torch.ones(1), temperature=1, localisation=0, chains=400, draws=1000, step_size=0.5)
    assert bool(found.losses.isfinite().all())
    assert_mean(found, 0.5, within=0.1)


def test_draws_come_from_the_generator_alone():
    def run(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        loss = energy(lambda w: w.square().sum(1))
        return sample(loss, torch.zeros(3), temperature=1, localisation=1, draws=5, generator=generator).losses

    before = torch.get_rng_state()
    assert run(1).shape == (5, 4)
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": 0}, "temperature = 0 and localisation = 1 were given: the first must be positive"),
        ({"localisation": -1}, "the second not negative"),
        ({"chains": 0}, r"0 chains of 100 \+ 200 steps were asked for"),
        ({"draws": 0}, r"4 chains of 100 \+ 0 steps"),
        ({"step_size": 0.0}, "step_size = 0.0 was given: give a positive number"),
        ({"burn_in": 3}, "only mala tunes it, in a burn-in of 20 steps or more; it was to be mala with 3"),
        ({"sampler": "sgld"}, "give step_size, in parameters²: only mala tunes it"),
        ({"sampler": "mela"}, "unknown sampler 'mela': did you mean 'mala'"),
        ({"scales": torch.ones(3)}, "scales must be one positive number for each parameter"),
        ({"scales": torch.zeros(2)}, "scales must be one positive number for each parameter"),
    ],
)
def test_options_out_of_range_are_refused(given: dict[str, object], message: str):
    options = {"temperature": 1, "localisation": 1, **given}
    with pytest.raises(UsageError, match=message):
        sample(energy(lambda w: w.square().sum(1)), torch.zeros(2), **options)  # type: ignore[arg-type]


def test_a_start_without_a_finite_loss_is_refused():
    with pytest.raises(UsageError, match="not finite at the point that chains are to start from"):
        sample(energy(lambda w: w[:, 0].log()), torch.zeros(1), temperature=1, localisation=1)
