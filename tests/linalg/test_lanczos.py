"""Lanczos: known spectra, degenerate and negative ones included; residuals that are true; density by quadrature."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import lanczos, products
from grokscope.linalg.lanczos import eigenpairs, power_iteration, spectral_density
from grokscope.linalg.products import NoMatrix

quick = settings(derandomize=True, deadline=None, max_examples=30)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def with_spectrum(values: list[float], seed: int = 0) -> Tensor:
    """Return a dense symmetric matrix with these eigenvalues."""
    size = len(values)
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=seeded(seed), dtype=torch.float64))
    return (basis * torch.tensor(values, dtype=torch.float64)) @ basis.T


SPECTRA = {
    "fourfold at the top, twofold at the bottom": [5.0] * 4 + [1.0] * 60 + [-2.0, -2.0],
    "decaying with negative outliers": [10 * 0.9**k for k in range(150)] + [-1.0, -0.5],
    "all negative": [-1.0 - k for k in range(40)],
    "rank two": [3.0, 2.0] + [0.0] * 60,
    "zero": [0.0] * 30,
    "identity": [1.0] * 30,
    "smaller than what is wanted": [2.0, -1.0],
    "one": [7.0],
}


def test_the_documented_examples_hold():
    assert doctest.testmod(lanczos).failed == 0
    assert doctest.testmod(products).failed == 0


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("held", [30, 200])
def test_known_spectra(name: str, held: int):
    values = SPECTRA[name]
    matrix = with_spectrum(values)
    found = eigenpairs(lambda v: matrix @ v, len(values), largest=3, smallest=2, held=held)
    ordered = sorted(values, reverse=True)
    expected = ordered[:3] + ordered[-2:] if len(values) > 5 else ordered
    assert found.converged
    torch.testing.assert_close(found.values, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    # the certificates are what they say, and the vectors are orthonormal
    true = (found.vectors @ matrix - found.values[:, None] * found.vectors).norm(dim=1)
    torch.testing.assert_close(found.residuals, true, rtol=0, atol=1e-12)
    identity = torch.eye(len(expected), dtype=torch.float64)
    torch.testing.assert_close(found.vectors @ found.vectors.T, identity, rtol=0, atol=1e-13)


@quick
@given(size=st.integers(1, 12), seed=st.integers(0, 10_000), largest=st.integers(1, 4), smallest=st.integers(0, 3))
def test_any_small_matrix_is_as_dense(size: int, seed: int, largest: int, smallest: int):
    random = torch.randn(size, size, generator=seeded(seed), dtype=torch.float64)
    matrix = (random + random.T) / 2
    found = eigenpairs(lambda v: matrix @ v, size, largest=largest, smallest=smallest, generator=seeded(seed))
    dense = torch.linalg.eigvalsh(matrix).flip(0)
    if largest + smallest < size:
        dense = torch.cat([dense[:largest], dense[size - smallest :]])
    torch.testing.assert_close(found.values, dense, rtol=1e-9, atol=1e-9)


def test_restarts_change_neither_values_nor_truth_of_the_residuals():
    matrix = with_spectrum(torch.linspace(-1, 1, 200).tolist())
    short = eigenpairs(lambda v: matrix @ v, 200, largest=2, smallest=2, held=30, products=2000, tolerance=1e-9)
    long = eigenpairs(lambda v: matrix @ v, 200, largest=2, smallest=2, held=200, products=200, tolerance=1e-9)
    assert short.converged
    assert short.products > long.products  # a bounded basis is paid for in products
    torch.testing.assert_close(short.values, long.values, rtol=1e-12, atol=0)


def test_what_has_not_converged_says_so_and_bounds_its_error():
    values = torch.linspace(-1, 1, 400)
    matrix = with_spectrum(values.tolist())
    found = eigenpairs(lambda v: matrix @ v, 400, largest=1, smallest=1, products=30)
    assert not found.converged
    assert found.products == 30
    distance = (found.values[:, None] - values.double()).abs().min(1).values
    assert bool((distance <= found.residuals + 1e-12).all())
    assert found.residuals.max() > 1e-4


def test_products_in_float32_will_do():
    matrix = with_spectrum(SPECTRA["decaying with negative outliers"])
    single = matrix.float()
    found = eigenpairs(lambda v: single @ v.float(), len(matrix), largest=2, smallest=1, tolerance=1e-5)
    assert found.values.dtype == torch.float64
    torch.testing.assert_close(found.values, torch.tensor([10.0, 9.0, -1.0]).double(), rtol=1e-5, atol=1e-5)


def test_the_start_is_drawn_from_the_generator_alone():
    matrix = with_spectrum(torch.linspace(-1, 1, 300).tolist())

    def residuals(seed: int) -> Tensor:
        return eigenpairs(lambda v: matrix @ v, 300, products=20, generator=seeded(seed)).residuals

    before = torch.get_rng_state()
    assert torch.equal(residuals(1), residuals(1))
    assert not torch.equal(residuals(1), residuals(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_products_that_change_from_call_to_call_are_refused():
    noise = seeded(1)

    def product(vector: Tensor) -> Tensor:
        return vector + 0.1 * torch.randn(50, generator=noise, dtype=torch.float64)

    with pytest.raises(NoMatrix, match=r"not those of one symmetric matrix: .* differ by 0\..*deterministic"):
        eigenpairs(product, 50)
    skew = torch.tensor([[0.0, 1.0], [-1.0, 0.0]]).double()
    with pytest.raises(NoMatrix, match="not those of one symmetric matrix"):
        eigenpairs(lambda v: skew @ v, 2)


@pytest.mark.parametrize(
    ("product", "message"),
    [
        (lambda v: v * torch.nan, "a product with the matrix is not finite"),
        (lambda v: v * torch.inf, "a product with the matrix is not finite"),
        (lambda v: v[:-1], r"a product has the shape \(9,\): it must have \(10,\)"),
    ],
)
@pytest.mark.parametrize("function", [eigenpairs, spectral_density, power_iteration])
def test_what_is_no_product_is_refused(
    product: Callable[[Tensor], Tensor], message: str, function: Callable[..., object]
):
    with pytest.raises(NoMatrix, match=message):
        function(product, 10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"largest": 0}, "0 largest and 0 smallest of 100 eigenvalues were asked for"),
        ({"products": 2}, "products = 2 are too few for 3 eigenvalues: give 3 or more"),
        ({"held": 5}, "held = 5 vectors are too few for 3 eigenvalues"),
    ],
)
def test_counts_that_are_not_possible_are_refused(given: dict[str, int], message: str):
    with pytest.raises(UsageError, match=message):
        eigenpairs(lambda v: v, 100, **given)
    with pytest.raises(UsageError, match="0 probes of 30 steps"):
        spectral_density(lambda v: v, 10, probes=0)
    with pytest.raises(UsageError, match="0 iterations in dimension 10"):
        power_iteration(lambda v: v, 10, iterations=0)


def test_quadrature_is_exact_for_polynomials_of_its_degree():
    """A Gauss rule of m nodes integrates vᵀ Aᵖ v exactly for p < 2m; averaged over all probes it is a trace."""
    matrix = with_spectrum(torch.linspace(-2, 3, 40).tolist())
    density = spectral_density(lambda v: matrix @ v, 40, probes=5, steps=4, generator=seeded(3))
    assert density.nodes.shape == density.weights.shape == (5, 4)
    torch.testing.assert_close(density.weights.sum(1), torch.ones(5).double(), rtol=1e-13, atol=0)
    draws = seeded(3)
    starts = [torch.randn(40, generator=draws, dtype=torch.float64) for _ in range(5)]
    for power in range(8):
        each = [(v @ torch.linalg.matrix_power(matrix, power) @ v / (v @ v)).item() for v in starts]
        assert density.mean_of(lambda x, p=power: x**p)[0] == pytest.approx(sum(each) / 5, rel=1e-11)


def test_density_is_that_of_the_eigenvalues():
    values = [0.0] * 150 + [1.0] * 45 + [4.0] * 5
    matrix = with_spectrum(values)
    density = spectral_density(lambda v: matrix @ v, 200, probes=60, steps=10)
    share, error = density.mean_of(lambda x: (x > 0.5).double())
    # the weight of 50 of 200 directions in a random vector: variance 2 · ¼ · ¾ / 202 a probe
    assert error == pytest.approx((2 * 0.25 * 0.75 / 202 / 60) ** 0.5, rel=0.3)
    assert share == pytest.approx(0.25, abs=4 * error)
    grid = torch.linspace(-2, 6, 4001, dtype=torch.float64)
    curve = density.at(grid, width=0.1)
    assert torch.trapezoid(curve, grid).item() == pytest.approx(1, abs=1e-9)
    assert curve[(grid - 4).abs() < 0.5].sum().item() / curve.sum().item() == pytest.approx(0.025, abs=0.01)


def test_power_iteration_finds_the_largest_magnitude():
    matrix = with_spectrum([-4.0, 3.0, 1.0, 0.5])
    value, residual = power_iteration(lambda v: matrix @ v, 4, iterations=150)
    assert value == pytest.approx(-4, abs=1e-12)
    assert residual < 1e-12
    assert power_iteration(lambda v: 0 * v, 3) == (0.0, 0.0)
