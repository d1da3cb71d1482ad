"""Gini and inverse participation ratio: closed forms, the plain formula, invariances."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.errors import UsageError
from grokscope.linalg import concentration
from grokscope.linalg.concentration import gini, inverse_participation_ratio

quick = settings(derandomize=True, deadline=None, max_examples=50)
shares = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20)


def test_the_documented_examples_hold():
    assert doctest.testmod(concentration).failed == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0], 0.25),
        ([4.0, 1.0, 3.0, 2.0], 0.25),
        ([1.0, 0.0, 0.0, 0.0], 0.75),
        ([2.0] * 7, 0.0),
    ],
)
def test_gini_of_the_printed_examples(values: list[float], expected: float):
    assert gini(torch.tensor(values)).item() == pytest.approx(expected, abs=1e-14)


def test_gini_of_half_normal_norms():
    draws = torch.randn(4000, 112, generator=torch.Generator().manual_seed(0), dtype=torch.float64).abs()
    low, middle, high = gini(draws).quantile(torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)).tolist()
    # Standard error of the median over 4000 draws is about 5e-4, of the 5 % and 95 % points about 8e-4.
    assert middle == pytest.approx(0.411, abs=2.5e-3)
    assert low == pytest.approx(0.37, abs=5e-3 + 5e-3)  # printed with two digits
    assert high == pytest.approx(0.45, abs=5e-3 + 5e-3)
    large = torch.randn(400_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64).abs()
    assert gini(large).item() == pytest.approx(math.sqrt(2) - 1, abs=3e-3)


@quick
@given(values=shares)
def test_gini_is_the_formula_within_its_bounds(values: list[float]):
    count, ordered = len(values), sorted(values)
    total = sum(rank * value for rank, value in enumerate(ordered, start=1))
    expected = 2 * total / (count * sum(ordered)) - (count + 1) / count
    found = gini(torch.tensor(values, dtype=torch.float64)).item()
    assert found == pytest.approx(expected, abs=1e-12)
    assert -1e-12 <= found <= 1 - 1 / count + 1e-12


@quick
@given(values=shares, scale=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))
def test_gini_ignores_scale_and_order(values: list[float], scale: float, seed: int):
    tensor = torch.tensor(values, dtype=torch.float64)
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))
    assert gini(scale * tensor[order]).item() == pytest.approx(gini(tensor).item(), abs=1e-12)


def test_gini_takes_leading_axes_and_any_dtype():
    values = torch.rand(2, 3, 10, generator=torch.Generator().manual_seed(0))
    found = gini(values)
    assert found.shape == (2, 3)
    assert found.dtype == torch.float64
    assert found[1, 2].item() == gini(values[1, 2]).item()
    torch.testing.assert_close(found, gini(values.double()), rtol=0, atol=0)
    assert gini(torch.tensor([1, 2, 3, 4])).item() == 0.25


def test_gini_without_a_share_to_divide_is_nan():
    found = gini(torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, math.nan]]))
    assert found.isnan().tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.tensor([1.0, -2.0]), "a value of -2 was given: .* needs non-negative"),
        (torch.zeros(3, 0), "at least one on the last axis"),
        (torch.tensor(1.0), "at least one on the last axis"),
    ],
)
def test_gini_refuses(values: torch.Tensor, message: str):
    with pytest.raises(UsageError, match=message):
        gini(values)


def complex_ratio(rows: torch.Tensor) -> torch.Tensor:
    amplitudes = torch.fft.fft(rows, dim=1).abs()
    return (amplitudes / amplitudes.norm(dim=1, keepdim=True)).pow(4).sum(1)


def test_a_real_wave_has_ratio_one_at_any_phase():
    a = torch.arange(97, dtype=torch.float64)
    phases = torch.linspace(0, 6, 20, dtype=torch.float64)[:, None]
    waves = 5 * torch.cos(2 * math.pi * 7 * a / 97 + phases)
    torch.testing.assert_close(inverse_participation_ratio(waves), torch.ones(20, dtype=torch.float64))
    wave = torch.cos(2 * math.pi * 7 * a / 97 + 0.3)[None]
    assert inverse_participation_ratio(wave).item() == pytest.approx(1, abs=1e-12)
    assert complex_ratio(wave).item() == pytest.approx(0.5, abs=1e-12)


def test_ratio_of_a_gaussian_row():
    rows = torch.randn(4000, 97, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert complex_ratio(rows).mean().item() == pytest.approx(0.020, abs=5e-4)
    constant = rows.mean(1).square() * 97 / rows.square().sum(1)
    # Each wave's power is halved between its two complex amplitudes, the constant's is not.
    expected = 2 * complex_ratio(rows) - constant.square()
    torch.testing.assert_close(inverse_participation_ratio(rows), expected, rtol=1e-10, atol=0)
    assert inverse_participation_ratio(rows).mean().item() == pytest.approx(4 / 97, rel=0.03)


@pytest.mark.parametrize("p", [2, 3, 6, 7, 12])
def test_ratio_is_the_power_of_the_real_basis(p: int):
    """Against explicit sine and cosine sums, in which frequency p/2 has no sine."""
    rows = torch.randn(5, p, generator=torch.Generator().manual_seed(p), dtype=torch.float64)
    a = torch.arange(p, dtype=torch.float64)
    power = []
    for k in range(p // 2 + 1):
        angle = 2 * math.pi * k * a / p
        norm = p if k == 0 or 2 * k == p else p / 2
        power.append(((rows @ angle.cos()).square() + (rows @ angle.sin()).square()) / norm)
    share = torch.stack(power, 1) / rows.square().sum(1, keepdim=True)
    torch.testing.assert_close(share.sum(1), torch.ones(5, dtype=torch.float64))
    found = inverse_participation_ratio(rows)
    torch.testing.assert_close(found, share.square().sum(1), rtol=1e-10, atol=0)
    torch.testing.assert_close(inverse_participation_ratio(rows.float()), found, rtol=1e-5, atol=1e-6)
    assert inverse_participation_ratio(rows.float()).dtype == torch.float64


@quick
@given(p=st.integers(2, 15), shift=st.integers(0, 14), scale=st.floats(1e-3, 1e3))
def test_ratio_ignores_scale_and_rotation_of_the_residues(p: int, shift: int, scale: float):
    rows = torch.randn(3, p, generator=torch.Generator().manual_seed(p), dtype=torch.float64)
    moved = scale * rows.roll(shift, dims=1)
    torch.testing.assert_close(inverse_participation_ratio(moved), inverse_participation_ratio(rows))


def test_ratio_of_a_constant_is_one_and_of_zero_is_nan():
    found = inverse_participation_ratio(torch.stack([torch.ones(5), torch.zeros(5)]))
    assert found[0].item() == pytest.approx(1)
    assert found[1].isnan()


@pytest.mark.parametrize("rows", [torch.ones(5), torch.ones(3, 1)])
def test_ratio_refuses(rows: torch.Tensor):
    with pytest.raises(UsageError, match="give \\(rows, p\\) with p of at least 2"):
        inverse_participation_ratio(rows)


@pytest.mark.parametrize(("width", "least"), [(97, 0.975), (200, 1.0)])
def test_the_exact_weights_of_a_quadratic_network_are_one_frequency_a_neuron(width: int, least: float):
    """Gromov 2023: W2 (W1 x)² with one frequency a neuron and phases that add up answers all pairs modulo 97."""
    p = 97
    residues = torch.arange(p, dtype=torch.float64)
    phases = 2 * math.pi * torch.rand(2, width, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    angles = 2 * math.pi * (torch.arange(width)[:, None] % ((p - 1) // 2) + 1) * residues / p
    first, second = (angles + phases[0]).cos(), (angles + phases[1]).cos()
    readout = (-angles - phases.sum(dim=0)).cos()
    for rows in (first, second, readout):
        torch.testing.assert_close(inverse_participation_ratio(rows), torch.ones(width, dtype=torch.float64))
    hidden = (first[:, :, None] + second[:, None, :]).square().flatten(1)
    answers = ((residues[:, None] + residues) % p).flatten()
    accuracy = ((readout.T @ hidden).argmax(dim=0) == answers).double().mean().item()
    assert least <= accuracy <= 1
