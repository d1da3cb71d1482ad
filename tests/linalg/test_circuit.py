"""How well a few waves describe logits, neurons and maps: closed forms and slow evaluations."""

from __future__ import annotations

import doctest
import math

import pytest
import torch

from cubes import (
    MODULI,
    all_differences,
    all_sums,
    explained,
    least_squares,
    product_columns,
    random_logits,
    single_wave,
    wave,
)
from grokscope.errors import UsageError
from grokscope.linalg import circuit, fourier, progress


def test_the_documented_examples_hold():
    assert doctest.testmod(circuit).failed == 0


@pytest.mark.parametrize("p", MODULI)
def test_cosine_coefficients_equal_the_inner_product_on_the_cube(p: int):
    logits = random_logits(p, p) + 1
    flat = logits - logits.mean()
    residual = flat.clone()
    found = circuit.cosine_coefficients(progress.anti_diagonal_mean(logits))
    for index, k in enumerate(fourier.frequencies(p)):
        wave = single_wave(p, 1.0, frequency=k)
        unit = wave / wave.norm()
        torch.testing.assert_close(found[index], (logits * unit).sum(), rtol=1e-10, atol=1e-11)
        residual -= (flat * unit).sum() * unit
        if 2 * k < p:
            assert wave.norm().item() == pytest.approx(math.sqrt(p**3 / 2))
    explained = circuit.logit_variance_explained(logits, fourier.frequencies(p))
    torch.testing.assert_close(explained, 1 - residual.square().sum() / flat.square().sum())


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 1e9])
def test_constant_logits_have_no_variance_to_explain(value: float):
    for p in (3, 5, 13):
        assert circuit.logit_variance_explained(torch.full((p, p, p), value), [1]).isnan()
    tiny = circuit.logit_variance_explained(single_wave(5, 1e-9) + 1, [1])
    assert tiny.item() == pytest.approx(1, abs=1e-6)


ones = torch.ones
SQUARE = torch.ones(5, 5)
SUMS = torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: circuit.squares_of_logits(ones(5, 5)), "give 3 axes"),
        (lambda: circuit.cosine_component(ones(2), [3], 5), "no frequency 3"),
        (lambda: circuit.residual_outside(ones(2), 1.0, [3]), "no frequency 3"),
        (lambda: circuit.rank_gap(ones(2), [3], 5), "no frequency 3"),
        (lambda: circuit.frequency_shares(ones(5, 4, 1)), "2-D spectrum"),
        (lambda: circuit.operand_shares(ones(5, 5)), "2-D spectrum"),
        (lambda: circuit.direction_variance_explained(ones(5, 4, 2), ones(5, 2), [1]), "give activations"),
        (lambda: circuit.direction_variance_explained(ones(5, 5, 2), ones(6, 2), [1]), r"give one of shape \[5, 2\]"),
        (lambda: circuit.logit_variance_explained(ones(5, 5, 5), [9]), "no frequency 9"),
        (lambda: circuit.logit_variance_explained(ones(5, 5, 6), [1]), "drop classes such as"),
        (lambda: circuit.cosine_coefficients(ones(5, 6)), r"\[5, 6\]"),
    ],
)
def test_bad_input_is_told_in_a_sentence(call, message: str):
    with pytest.raises(UsageError, match=message):
        call()


SLOW = [4, 5, 6, 7]


@pytest.mark.parametrize("p", SLOW)
@pytest.mark.parametrize("table", [all_sums, all_differences])
def test_explained_logits_equal_least_squares_on_the_cube(p: int, table):
    logits, answers = random_logits(p, p) + 2, table(p)
    keys = [1, p // 2]
    columns = []
    for k in keys:
        column = torch.zeros(p**3, dtype=torch.float64)
        for a in range(p):
            for b in range(p):
                for c in range(p):
                    column[(a * p + b) * p + c] = math.cos(2 * math.pi * k * (int(answers[a, b]) - c) / p)
        columns.append(column)
    expected = explained(logits.reshape(-1, 1), columns)[0]
    found = circuit.logit_variance_explained(logits, keys, answers)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    diagonal = progress.anti_diagonal_mean(logits, answers)
    coefficients = circuit.cosine_coefficients(diagonal)
    table_of_errors = circuit.cosine_component(coefficients, keys, p)
    fit = least_squares((logits - logits.mean()).reshape(-1, 1), columns).reshape(p, p, p)
    torch.testing.assert_close(table_of_errors[answers], fit, rtol=1e-9, atol=1e-11)
    squares, variation = circuit.squares_of_logits(logits)
    torch.testing.assert_close(squares, logits.square().sum())
    torch.testing.assert_close(variation, (logits - logits.mean()).square().sum())


@pytest.mark.parametrize("p", SLOW)
def test_shares_of_neurons_equal_least_squares(p: int):
    activations = random_logits(p, 3) + 5
    flat, spectrum = activations.reshape(p * p, 3), fourier.spectrum_2d(activations)
    shares, operands = circuit.frequency_shares(spectrum), circuit.operand_shares(spectrum)
    assert len(shares) == p // 2
    for k in range(1, p // 2 + 1):
        torch.testing.assert_close(shares[k - 1], explained(flat, product_columns(p, k)), rtol=1e-10, atol=1e-12)
        singles = explained(flat, product_columns(p, k, product=False))
        torch.testing.assert_close(operands[k - 1], singles, rtol=1e-10, atol=1e-12)


def test_a_product_of_cosines_is_a_neuron_of_that_frequency():
    neuron = torch.outer(wave(7, 3), wave(7, 3)) + 0.7
    frequency, share = circuit.best_frequency(circuit.frequency_shares(fourier.spectrum_2d(neuron[..., None])))
    assert frequency.tolist() == [3]
    assert share.item() == pytest.approx(1, abs=1e-12)


def test_a_head_that_looks_at_one_frequency_is_explained_by_it():
    difference = wave(11, 4, 0.3)[:, None] - wave(11, 4, 1.1)
    frequency, share = circuit.best_frequency(circuit.operand_shares(fourier.spectrum_2d(difference[..., None])))
    assert frequency.tolist() == [4]
    assert share.item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 3e7])
def test_a_constant_neuron_has_no_frequency(value: float):
    activations = torch.stack([torch.full((13, 13), value, dtype=torch.float64), random_logits(13, 1)[..., 0]], dim=2)
    shares = circuit.frequency_shares(fourier.spectrum_2d(activations))
    assert shares[:, 0].isnan().all()
    assert not shares[:, 1].isnan().any()
    frequency, share = circuit.best_frequency(shares)
    assert frequency[0] == 0
    assert share[0] == 0
    assert frequency[1] > 0


def test_a_small_wave_on_a_large_constant_keeps_its_share():
    shares = circuit.frequency_shares(
        fourier.spectrum_2d((1e4 + 1e-3 * wave(7, 2)[:, None] + torch.zeros(7))[..., None])
    )
    assert shares[1].item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("p", SLOW)
@pytest.mark.parametrize("table", [all_sums, all_differences])
def test_directions_equal_least_squares_one_at_a_time(p: int, table):
    neurons, matrix, keys = random_logits(p, 4) + 1, random_logits(p, 4, seed=5)[0], [1, p // 2]
    answers = table(p).reshape(-1)
    basis, expected = fourier.fourier_basis(p), []
    for row in fourier.key_rows(p, keys):
        sent = torch.zeros(p * p, 1, dtype=torch.float64)
        for pair in range(p * p):
            sent[pair] = sum(
                float(basis[row, c] * matrix[c, n] * neurons[pair // p, pair % p, n])
                for c in range(p)
                for n in range(4)
            )
        k = (row + 1) // 2
        expected.append(explained(sent, [wave(p, k)[answers], wave(p, k, math.pi / 2)[answers]])[0])
    found = circuit.direction_variance_explained(neurons, matrix, keys, table(p))
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-10, atol=1e-12)
    assert circuit.direction_variance_explained(neurons, matrix, [], table(p)).shape == (0,)
    assert circuit.direction_variance_explained(neurons * 0 + 1, matrix, [1], table(p)).isnan().all()


@pytest.mark.parametrize("p", SLOW)
def test_residual_equals_the_projection_of_the_matrix(p: int):
    matrix, keys = random_logits(p, 6)[0] + 0.5, [1, p // 2]
    rows = fourier.fourier_basis(p)[fourier.key_rows(p, keys)]
    expected = (matrix - rows.T @ (rows @ matrix)).norm() / matrix.norm()
    constant = matrix.sum(0).norm() / math.sqrt(p)
    found = circuit.residual_outside(fourier.frequency_norms(matrix), constant, keys)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert circuit.residual_outside(fourier.frequency_norms(matrix), constant, []).item() == 1


def test_rank_gap_is_behind_the_waves_of_the_keys():
    values = torch.tensor([8.0, 6.0, 4.0, 2.0, 0.5])
    assert circuit.rank_gap(values, [1, 3], 7).item() == 0.25
    assert circuit.rank_gap(values, [3], 6).item() == 0.75  # one wave at p/2
    assert circuit.rank_gap(values, [1, 2, 3], 7).item() == 0  # no sixth
    assert circuit.rank_gap(values, [], 7).item() == 1


def test_key_frequencies_by_neurons_are_clusters():
    shares = torch.zeros(5, 100)
    shares[1, :50], shares[2, 50:52], shares[3, 52:53], shares[4, 53:] = 0.9, 0.99, 0.9, 0.85
    shares[:, 99] = math.nan  # a dead neuron
    assert circuit.neuron_key_frequencies(shares) == (2, 3)
    assert circuit.neuron_key_frequencies(shares, level=0.8, cluster=0.01) == (2, 3, 4, 5)
    assert circuit.neuron_key_frequencies(shares * math.nan) == ()


@pytest.mark.parametrize("p", [3, 4, 5, 7, 12, 13])
def test_released_rule_is_its_loop_and_never_finds_the_last_frequency(p: int):
    activations = random_logits(p, 40)
    spectrum = fourier.spectrum_2d(activations - activations.mean((0, 1)))
    found = set()
    for neuron in range(40):
        best, explained_most = -1.0, None
        for k in range(1, p // 2):
            rows = [0, 2 * k - 1, 2 * k]
            share = float(spectrum[..., neuron][rows][:, rows].square().sum() / spectrum[..., neuron].square().sum())
            if share > best:
                best, explained_most = share, k
        found |= {explained_most} - {None}
    shares = circuit.frequency_shares(spectrum)
    assert circuit.released_key_frequencies(shares, p) == tuple(sorted(found))
    assert p // 2 not in found
    assert circuit.released_key_frequencies(shares * math.nan, p) == ()
