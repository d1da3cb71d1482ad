"""The basis of Z/p, spectra in it, and which frequencies stand out."""

from __future__ import annotations

import doctest
import math

import pytest
import torch

from cubes import MODULI, random_logits
from grokscope.errors import UsageError
from grokscope.linalg import fourier, progress


def test_the_documented_examples_hold():
    assert doctest.testmod(fourier).failed == 0


@pytest.mark.parametrize("p", MODULI)
def test_basis_is_orthonormal_and_ordered(p: int):
    basis = fourier.fourier_basis(p)
    torch.testing.assert_close(basis @ basis.T, torch.eye(p, dtype=torch.float64), rtol=0, atol=1e-13)
    a = torch.arange(p, dtype=torch.float64)
    torch.testing.assert_close(basis[0], torch.full((p,), p**-0.5, dtype=torch.float64))
    for k in range(1, (p - 1) // 2 + 1):
        torch.testing.assert_close(basis[2 * k - 1], (2 * math.pi * k * a / p).cos() / math.sqrt(p / 2))
        torch.testing.assert_close(basis[2 * k], (2 * math.pi * k * a / p).sin() / math.sqrt(p / 2))
    if p % 2 == 0:
        torch.testing.assert_close(basis[-1], (1 - 2 * (a % 2)) / math.sqrt(p))
    assert fourier.fourier_basis(p, dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("p", MODULI)
def test_norms_equal_the_basis_definition(p: int):
    matrix = random_logits(p, 6)[0]
    coefficients = fourier.fourier_basis(p) @ matrix
    components = coefficients[1:].norm(dim=1)
    torch.testing.assert_close(fourier.component_norms(matrix), components, rtol=1e-10, atol=1e-12)
    padded = torch.cat([components, components.new_zeros(1 - p % 2)])
    combined = padded.reshape(-1, 2).square().sum(1).sqrt()
    assert len(combined) == len(fourier.frequencies(p))
    torch.testing.assert_close(fourier.frequency_norms(matrix), combined, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("p", [5, 12, 13])
def test_the_last_frequency_is_reachable(p: int):
    last = p // 2
    wave = torch.cos(2 * math.pi * last * torch.arange(p, dtype=torch.float64) / p)[:, None]
    assert fourier.frequencies(p)[-1] == last
    assert fourier.key_frequencies(fourier.frequency_norms(wave)) == (last,)
    torch.testing.assert_close(progress.key_component(wave, [last]), wave)


def test_spectrum_of_a_product_of_cosines_is_one_coefficient():
    a = torch.arange(7, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * 3 * a / 7)
    spectrum = fourier.spectrum_2d((torch.outer(wave, wave) + 0.7)[..., None])[..., 0]
    expected = torch.zeros(7, 7, dtype=torch.float64)
    expected[5, 5], expected[0, 0] = 3.5, 4.9  # the waves' norms, √(7/2)²; 0.7·7
    torch.testing.assert_close(spectrum, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("p", [4, 7])
def test_spectrum_is_the_basis_on_both_axes_and_keeps_energy(p: int):
    activations = random_logits(p, 3)
    basis = fourier.fourier_basis(p)
    spectrum = fourier.spectrum_2d(activations)
    torch.testing.assert_close(spectrum, torch.einsum("ia,jb,abn->ijn", basis, basis, activations))
    torch.testing.assert_close(spectrum.square().sum((0, 1)), activations.square().sum((0, 1)))


def test_keys_are_those_above_a_quarter_of_the_largest():
    norms = torch.tensor([0.1, 4.0, 0.9, 1.1, 0.1, 0.2, 0.1, 1.0])
    assert fourier.key_frequencies(norms) == (2, 4)
    assert fourier.key_frequencies(norms, threshold=0.2) == (2, 3, 4, 8)


@pytest.mark.parametrize("norms", [[1.0, 2.9, 1.0, 1.1], [0.0, 0.0], [1.0], [1.0, math.nan], [1.0, math.inf, 1.0]])
def test_a_run_without_a_circuit_has_no_keys(norms: list[float]):
    assert fourier.key_frequencies(torch.tensor(norms)) == ()


def test_silence_is_measured_against_the_median():
    assert fourier.key_frequencies(torch.tensor([1.0, 3.0, 1.0])) == (1, 2, 3)
    assert fourier.key_frequencies(torch.tensor([1.0, 3.0, 1.0]), silence=3.01) == ()


ones = torch.ones
SQUARE = torch.ones(5, 5)
SUMS = torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fourier.fourier_basis(1), "the modulus is 1"),
        (lambda: fourier.frequencies(0), "at least 2"),
        (lambda: fourier.frequency_norms(ones(5)), r"matrix has shape \[5\]: give 2 axes"),
        (lambda: fourier.component_norms(ones(1, 5)), r"matrix has shape \[1, 5\]"),
        (lambda: fourier.key_frequencies(ones(2, 2)), "give one a frequency"),
        (lambda: fourier.key_frequencies(torch.tensor([1.0, -1.0])), "non-negative"),
        (lambda: fourier.key_frequencies(ones(0)), "give one a frequency"),
        (lambda: fourier.key_frequencies(ones(3), threshold=1.0), "threshold is 1.0"),
        (lambda: fourier.key_frequencies(ones(3), silence=-1.0), "silence -1.0"),
        (lambda: fourier.spectrum_2d(ones(5, 4, 5)), "give activations"),
        (lambda: fourier.frequency_energy(ones(5, 4, 5)), "give the 2-D spectrum"),
        (lambda: fourier.key_rows(5, [3]), "no frequency 3 exists modulo 5: give keys of 1 to 2"),
        (lambda: fourier.checked_keys([0], 5), "no frequency 0"),
        (lambda: fourier.wave_pairs(1, []), "the modulus is 1"),
        (lambda: fourier.wave_coefficients(ones(5)), "give 2 axes"),
    ],
)
def test_bad_input_is_told_in_a_sentence(call, message: str):
    with pytest.raises(UsageError, match=message):
        call()


def test_cosine_and_sine_apart_name_frequencies_by_the_embedding_rule():
    assert fourier.component_key_frequencies(torch.tensor([0.0, 1.0, 0.3, 0.0, 0.2, 0.1])) == (1, 2)
    assert fourier.component_key_frequencies(torch.tensor([0.1, 0.1, 0.0, 0.0, 1.0])) == (3,)  # p = 6: no sine at 3
    with pytest.raises(UsageError, match="non-negative"):
        fourier.component_key_frequencies(-ones(4))


@pytest.mark.parametrize("p", MODULI)
def test_energy_by_frequency_adds_cosine_and_sine_on_both_axes(p: int):
    spectrum = random_logits(p, 2)
    found = fourier.frequency_energy(spectrum)
    rows = [[0], *([row for row in (2 * k - 1, 2 * k) if row < p] for k in range(1, p // 2 + 1))]
    for k, first in enumerate(rows):
        for j, second in enumerate(rows):
            expected = sum((spectrum[a, b] ** 2 for a in first for b in second), torch.zeros(2, dtype=torch.float64))
            torch.testing.assert_close(found[k, j], expected, rtol=1e-12, atol=0)


def test_the_cached_waves_cannot_be_changed_by_a_caller():
    before = fourier.fourier_basis(7).clone()
    fourier.fourier_basis(7).zero_()
    fourier.wave_pairs(7, [1, 2, 3]).zero_()
    assert torch.equal(fourier.fourier_basis(7), before)
