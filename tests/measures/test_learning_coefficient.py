"""The local learning coefficient against values that are known exactly, and against integrals at finite n."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

import zoo
from grokscope.errors import UsageError
from grokscope.measures import learning_coefficient as module
from grokscope.measures.base import DoesNotApply, evaluate, with_options
from grokscope.measures.learning_coefficient import LEARNING_COEFFICIENT, LearningCoefficient, learning_coefficient
from grokscope.snapshot import Snapshot

Loss = Callable[[dict[str, Tensor]], Tensor]


def estimate(loss: Loss, point: dict[str, Tensor], **options: object) -> LearningCoefficient:
    given = {"chains": 200, "draws": 400, "burn_in": 200, "batched": True, "examples": 1000, **options}
    return learning_coefficient(loss, point, **given)  # type: ignore[arg-type]


def assert_is(found: LearningCoefficient, expected: float, *, within: float, bias: float = 0.0) -> None:
    """Assert λ̂ up to 4 standard errors of independent chains, which must be small, and a known bias."""
    assert 4 * found.error < within
    assert abs(found.value - expected) < 4 * found.error + bias


def zeros(count: int) -> dict[str, Tensor]:
    return {"w": torch.zeros(count, dtype=torch.float64)}


def test_the_documented_examples_hold():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("k", [1, 2, 3])
def test_even_powers_have_one_over_the_power(k: int):
    """λ = 1/(2k) for w^{2k}: 1/2, 1/4, 1/6; without localisation so at every n."""
    found = estimate(lambda p: p["w"].pow(2 * k).sum(), zeros(1), localisation=0)
    assert_is(found, 1 / (2 * k), within=0.02)


def monomial(temperature: float, localisation: float, power: int, *, dimension: int = 1) -> float:
    """Return t E[r^power s²] with s integrated by hand and r, a radius in ``dimension`` axes, by quadrature.

    Over s the density is Gaussian of precision 2a, a = t r^power + γ/2, so E[s²] = 1/(2a) and the weight is a^{−1/2}.
    """

    def weight(r: float) -> float:
        a = temperature * r**power + localisation / 2
        return r ** (dimension - 1) * math.exp(-localisation / 2 * r * r) * a**-0.5

    def weighted(r: float) -> float:
        return weight(r) * temperature * r**power / (2 * temperature * r**power + localisation)

    # the integrand turns at r = (γ/2t)^{1/power}: integrate in ln r
    def over(function: Callable[[float], float]) -> float:
        value, error = quad(lambda u: function(math.exp(u)) * math.exp(u), -60, 4, limit=400, epsabs=0, epsrel=1e-10)
        assert error < 1e-8 * value
        return value

    return over(weighted) / over(weight)


@pytest.mark.parametrize(("power", "limit"), [(2, 1 / 2), (4, 1 / 4)])
def test_normal_crossings(power: int, limit: float):
    """w₁² w₂²: λ = 1/2 twice over (m = 2); w₁² w₂⁴: λ = 1/4. At finite n the integral is the truth."""
    temperature, localisation = 2000.0, 2.0
    exact = monomial(temperature, localisation, power)
    found = estimate(
        lambda p: p["w"][0] ** 2 * p["w"][1] ** power, zeros(2), temperature=temperature, localisation=localisation
    )
    assert_is(found, exact, within=0.03)
    # the integral goes to λ: as (m − 1)/ln n where m = 2, as n^{-1/4} where the next pole is at 1/2
    far = [monomial(10.0**digits, localisation, power) for digits in (6, 12, 24)]
    gaps = [abs(value - limit) for value in far]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < (1 / math.log(1e24) * 1.1 if power == 2 else 1e-4)


def test_one_output_reached_through_three_hidden_units():
    """Reduced-rank regression of rank 0 with one input and output, H = 3: λ = 1/2 (Aoyagi and Watanabe 2005)."""
    found = estimate(
        lambda p: (p["out"] @ p["in"]) ** 2,
        {"in": torch.zeros(3, dtype=torch.float64), "out": torch.zeros(3, dtype=torch.float64)},
        temperature=1000.0,
        localisation=1.0,
    )
    exact = monomial(1000.0, 1.0, 2, dimension=3)
    assert abs(exact - 0.5) < 2e-3
    assert_is(found, exact, within=0.05)


def aoyagi_watanabe(inputs: int, outputs: int, hidden: int, rank: int) -> float:
    """Return λ of reduced-rank regression, Aoyagi and Watanabe 2005, theorem 1."""
    m, n, h, r = inputs, outputs, hidden, rank
    if n + r <= m + h and m + r <= n + h and h + r <= m + n:
        odd = (m + n + h + r) % 2
        return (odd - (h + r) ** 2 - m**2 - n**2 + 2 * (h + r) * (m + n) + 2 * m * n) / 8
    if m + h < n + r:
        return (h * m - h * r + n * r) / 2
    if n + h < m + r:
        return (h * n - h * r + m * r) / 2
    return m * n / 2


def test_a_deep_linear_network_has_fewer_than_half_its_parameters():
    """2 × 1 × 2 at rank 1: 4 parameters, one of them free by rescaling, λ = 3/2, not 2."""
    assert aoyagi_watanabe(2, 2, 1, 1) == 3 / 2
    assert [aoyagi_watanabe(1, 1, 1, 0), aoyagi_watanabe(1, 1, 3, 0)] == [1 / 2, 1 / 2]
    inputs = torch.randn(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    point = {"in": torch.tensor([[1.0, -0.5]]).double(), "out": torch.tensor([[0.7], [1.1]]).double()}
    targets = inputs @ point["in"].T @ point["out"].T

    def loss(p: dict[str, Tensor]) -> Tensor:
        return (inputs @ p["in"].T @ p["out"].T - targets).square().sum(1).mean()

    # the correction is of the order of γ/(t h) < 1e-3
    assert_is(estimate(loss, point, temperature=1e6, localisation=100.0), 3 / 2, within=0.05, bias=2e-3)


def test_linear_regression_has_half_its_parameters():
    """With the eigenvalues h of the Hessian, ½ Σ t h/(t h + γ), which is d/2 for a weak localisation."""
    inputs = torch.randn(60, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope = torch.arange(5, dtype=torch.float64)

    def loss(p: dict[str, Tensor]) -> Tensor:
        return (inputs @ p["w"] - inputs @ slope).square().mean()

    curvature = torch.linalg.eigvalsh(2 * inputs.T @ inputs / 60)
    temperature = 60 / math.log(60)
    for localisation in (0.01, 20.0):
        expected = (temperature * curvature / (temperature * curvature + localisation)).sum().item() / 2
        found = estimate(loss, {"w": slope}, examples=60, localisation=localisation)
        assert_is(found, expected, within=0.08)
    assert (temperature * curvature / (temperature * curvature + 0.01)).sum().item() / 2 == pytest.approx(2.5, abs=0.01)


def test_away_from_a_minimum_the_estimate_is_negative_as_the_integral_says():
    """L = (w − 1)²/2 at w* = 0: a Gaussian of precision a = t + γ and mean t/a."""
    temperature, localisation = 50.0, 10.0
    precision = temperature + localisation
    mean = temperature / precision
    exact = temperature * ((mean - 1) ** 2 + 1 / precision - 1) / 2
    found = estimate(
        lambda p: (p["w"] - 1).square().sum() / 2, zeros(1), temperature=temperature, localisation=localisation
    )
    assert exact < 0
    assert_is(found, exact, within=0.1)
    assert found.negative == 1


def test_parts_and_the_loop_give_what_the_lifted_loss_gives():
    def square(p: dict[str, Tensor]) -> Tensor:
        return p["w"].square().sum()

    def fourth(p: dict[str, Tensor]) -> Tensor:
        return p["w"].pow(4).sum()

    options = {"chains": 3, "draws": 20, "burn_in": 20}
    lifted = estimate(lambda p: square(p) + fourth(p), zeros(2), **options)
    for batched in (True, False):
        found = estimate([square, fourth], zeros(2), **{**options, "batched": batched})  # type: ignore[arg-type]
        torch.testing.assert_close(found.losses, lifted.losses, rtol=1e-9, atol=0)
    assert lifted.chains.shape == (3,)
    assert lifted.losses.shape == (20, 3)


def test_the_diagnostics_tell_a_chain_that_has_not_arrived():
    options = {"localisation": 1.0, "chains": 4}
    good = estimate(lambda p: p["w"].square().sum(), zeros(10), **options)
    assert good.split_r_hat < 1.02
    assert abs(good.drift) < 0.5
    assert 0.45 < good.acceptance < 0.7
    short = estimate(lambda p: p["w"].square().sum(), zeros(10), draws=50, burn_in=0, step_size=1e-5, **options)
    assert short.drift > 0
    assert short.split_r_hat > 1.3
    assert short.value < good.value / 2
    alone = estimate(lambda p: p["w"].square().sum(), zeros(2), chains=1, draws=2)
    assert math.isnan(alone.error)
    assert math.isnan(alone.split_r_hat)


def test_too_few_examples_are_refused():
    with pytest.raises(UsageError, match="examples = 1 was given: n / ln n needs 2 or more"):
        learning_coefficient(lambda p: p["w"].sum(), zeros(1), examples=1)
    animal = zoo.animal("mlp")
    one = Snapshot.of(animal.model, train=(animal.train[0][:1], animal.train[1][:1]))
    with pytest.raises(DoesNotApply, match="needs two training examples or more"):
        evaluate(LEARNING_COEFFICIENT, one)


def test_the_measure_is_the_function_on_the_training_loss():
    """A linear model with squared error: quadratic, so the measure has a closed form."""
    inputs = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    model = torch.nn.Linear(3, 1)
    snapshot = Snapshot.of(model, train=(inputs, model(inputs).detach()))
    measure = with_options(LEARNING_COEFFICIENT, chains=8, draws=100, burn_in=50)
    reading = evaluate(measure, snapshot)
    found = {key.removeprefix(f"{measure.name}/"): value for key, _, value in reading.rows}
    design = torch.cat([inputs, torch.ones(30, 1)], 1).double()
    curvature = torch.linalg.eigvalsh(2 * design.T @ design / 30)
    temperature = 30 / math.log(30)
    expected = (temperature * curvature / (temperature * curvature + 10)).sum().item() / 2
    assert 4 * found["error"] < 0.4
    assert found["estimate"] == pytest.approx(expected, abs=4 * found["error"])
    assert found["loss"] < 1e-12
    assert reading.arrays["chains"].shape == (8,)


def test_a_model_that_has_diverged_is_nan():
    animal = zoo.animal("mlp")
    with torch.no_grad():
        next(animal.model.parameters()).fill_(torch.nan)
    reading = evaluate(LEARNING_COEFFICIENT, Snapshot.of(animal.model, train=animal.train))
    assert all(math.isnan(value) for _, _, value in reading.rows)
    assert {key for key, _, _ in reading.rows} == {LEARNING_COEFFICIENT.key(key) for key in LEARNING_COEFFICIENT.keys}
