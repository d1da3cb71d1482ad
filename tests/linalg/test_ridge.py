"""Ridge classifiers: equal the regression they stand for, by hand and by least squares."""

from __future__ import annotations

import doctest

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from grokscope.errors import UsageError
from grokscope.linalg import ridge as module
from grokscope.linalg.moments import merged, moments
from grokscope.linalg.ridge import ridge_probes

quick = settings(derandomize=True, deadline=None, max_examples=20)


def data(seed: int, count: int = 60, units: int = 4, classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = torch.randn(classes, units, generator=generator, dtype=torch.float64) * 2
    return centres[labels] + torch.randn(count, units, generator=generator, dtype=torch.float64), labels


def test_the_documented_examples_hold():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("penalty", [0.0, 1e-3, 1.0])
def test_as_the_normal_equations_of_the_samples(penalty: float):
    z, labels = data(0)
    standard = (z - z.mean(0)) / z.std(0, correction=0)
    one_hot = functional.one_hot(labels).double()
    weights = torch.linalg.solve(
        standard.T @ standard / 60 + penalty * torch.eye(4, dtype=torch.float64),
        standard.T @ (one_hot - one_hot.mean(0)) / 60,
    )
    (probe,) = ridge_probes(moments(z, labels), [penalty])
    assert torch.allclose(z @ probe.weights + probe.bias, standard @ weights + one_hot.mean(0), rtol=1e-9, atol=1e-12)


def test_one_factorisation_serves_all_penalties_and_chunks():
    z, labels = data(1)
    parts = merged(moments(z[:25], labels[:25], number=3), moments(z[25:], labels[25:], number=3))
    whole = ridge_probes(moments(z, labels), [1e-3, 0.1])
    for one, other in zip(whole, ridge_probes(parts, [1e-3, 0.1]), strict=True):
        assert torch.allclose(one.weights, other.weights, rtol=1e-8, atol=1e-12)
    assert not torch.allclose(whole[0].weights, whole[1].weights, rtol=1e-3)


@quick
@given(seed=st.integers(0, 1000), scale=st.floats(1e-4, 1e6), shift=st.floats(-100, 100))
def test_the_scale_of_a_unit_does_not_matter(seed: int, scale: float, shift: float):
    z, labels = data(seed)
    scales = torch.tensor([scale, 1.0, 1.0, 1 / scale], dtype=torch.float64)
    other = (z + shift) * scales
    one, two = (ridge_probes(moments(x, labels), [1e-3])[0] for x in (z, other))
    assert torch.allclose(z @ one.weights + one.bias, other @ two.weights + two.bias, rtol=1e-5, atol=1e-6)


def test_constant_units_and_absent_classes():
    z, labels = data(2)
    constant = torch.cat([z, torch.full((60, 1), 0.1, dtype=torch.float64)], 1)
    (probe,) = ridge_probes(moments(constant, labels, number=4), [0.0])
    assert torch.equal(probe.weights[4], torch.zeros(4, dtype=torch.float64))
    assert set(probe.classes(constant).tolist()) == {0, 1, 2}
    plain = ridge_probes(moments(z, labels), [0.0])[0]
    assert torch.equal(probe.classes(constant), plain.classes(z))


def test_more_units_than_samples():
    z, labels = data(3, count=9, units=30)
    (probe,) = ridge_probes(moments(z, labels), [0.0])
    one_hot = functional.one_hot(labels).double()
    assert torch.allclose(z @ probe.weights + probe.bias, one_hot, atol=1e-8)  # the samples are interpolated


def test_a_negative_penalty_gets_one_sentence():
    with pytest.raises(UsageError, match="it cannot be negative"):
        ridge_probes(moments(*data(0)), [-1.0])
