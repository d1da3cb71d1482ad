"""Keeping some components or directions: equality with least squares, closed forms, invariances."""

from __future__ import annotations

import doctest

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cubes import MODULI, all_differences, all_sums, least_squares, product_columns, random_logits, wave
from grokscope.errors import UsageError
from grokscope.linalg import ablation, fourier


def test_the_documented_examples_hold():
    assert doctest.testmod(ablation).failed == 0


@pytest.mark.parametrize("p", [4, 5, 6, 7])
def test_what_is_kept_equals_least_squares(p: int):
    values, keys = random_logits(p, 3) + 1, [1, p // 2]
    flat, spectrum = values.reshape(p * p, 3), fourier.spectrum_2d(values)
    for keep, single in ((ablation.keep_products, True), (ablation.keep_block, False)):
        columns = [column for k in keys for column in product_columns(p, k, single=single)]
        expected = least_squares(flat, columns).reshape(p, p, 3)
        torch.testing.assert_close(keep(spectrum, keys), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("p", [4, 5, 6, 7])
def test_the_fit_of_a_neuron_is_on_its_own_frequency(p: int):
    activations = random_logits(p, 3)
    frequency = torch.tensor([1, 0, p // 2])
    fit = ablation.single_frequency_fit(fourier.spectrum_2d(activations), frequency)
    for neuron, k in enumerate(frequency.tolist()):
        column = activations[..., neuron].reshape(-1, 1)
        expected = least_squares(column, product_columns(p, k) if k else [])
        torch.testing.assert_close(fit[..., neuron].reshape(-1, 1), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("p", MODULI)
def test_all_frequencies_keep_all_but_cross_products(p: int):
    values, every = random_logits(p, 2), list(fourier.frequencies(p))
    kept = ablation.keep_products(fourier.spectrum_2d(values), every)
    assert kept.square().sum() <= values.square().sum()
    alone = (values.mean(1, keepdim=True) + values.mean(0, keepdim=True)) - values.mean((0, 1))
    torch.testing.assert_close(kept.mean(1), alone.mean(1), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(kept.mean(0), alone.mean(0), rtol=1e-10, atol=1e-12)


@given(p=st.integers(3, 11), seed=st.integers(0, 100), data=st.data())
def test_waves_of_the_answer_survive_and_keeping_twice_is_keeping_once(p: int, seed: int, data: st.DataObject):
    key = data.draw(st.integers(1, p // 2))
    values = random_logits(p, 2, seed)
    for keep in (ablation.keep_products, ablation.keep_block):
        once = keep(fourier.spectrum_2d(values), [key])
        torch.testing.assert_close(keep(fourier.spectrum_2d(once), [key]), once, rtol=1e-10, atol=1e-11)
        for table in (all_sums(p), all_differences(p)):
            answers = wave(p, key, 0.4)[table][..., None] + 3
            torch.testing.assert_close(keep(fourier.spectrum_2d(answers), [key]), answers, rtol=1e-10, atol=1e-11)


def test_span_is_orthonormal_and_drops_what_adds_nothing():
    rows = random_logits(5, 6)[0]
    basis = ablation.span(torch.cat([rows[:2], rows[:1] + rows[1:2], 0 * rows[:1]]))
    assert basis.shape == (6, 2)
    torch.testing.assert_close(basis.T @ basis, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-13)
    torch.testing.assert_close(rows[:2] @ basis @ basis.T, rows[:2], rtol=1e-12, atol=1e-12)
    assert ablation.span(torch.zeros(0, 4)).shape == (4, 0)
    assert ablation.span(torch.zeros(2, 4)).shape == (4, 0)


ones = torch.ones


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ablation.keep_products(ones(5, 4, 1), [1]), "2-D spectrum"),
        (lambda: ablation.keep_block(ones(5, 5, 1), [3]), "no frequency 3 exists modulo 5"),
        (lambda: ablation.single_frequency_fit(ones(5, 5), torch.tensor([1])), "2-D spectrum"),
        (lambda: ablation.single_frequency_fit(ones(5, 5, 2), torch.tensor([1])), r"give one a neuron, \[2\]"),
        (lambda: ablation.span(ones(5)), "a direction a row"),
    ],
)
def test_bad_input_is_told_in_a_sentence(call, message: str):
    with pytest.raises(UsageError, match=message):
        call()
