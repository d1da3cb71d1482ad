"""How well a few waves describe logits, neurons and maps: closed forms and slow evaluations."""

from __future__ import annotations

import doctest
import math

import pytest
import torch

from cubes import MODULI, random_logits, single_wave
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
        (lambda: circuit.logit_variance_explained(ones(5, 5, 5), [9]), "no frequency 9"),
        (lambda: circuit.logit_variance_explained(ones(5, 5, 6), [1]), "drop classes such as"),
        (lambda: circuit.cosine_coefficients(ones(5, 6)), r"\[5, 6\]"),
    ],
)
def test_bad_input_is_told_in_a_sentence(call, message: str):
    with pytest.raises(UsageError, match=message):
        call()
