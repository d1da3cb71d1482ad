"""Margins and their scales: hand-computed values, homogeneous networks, invariances, bad input."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import margins as m
from grokscope.measures.performance import hits

quick = settings(derandomize=True, deadline=None, max_examples=25)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_documented_examples_hold():
    assert doctest.testmod(m).failed == 0


def test_margin_of_one_point_under_the_widest_separator():
    # x = (2, 1), w = x / |x|: the margin is the root of 5, the greatest one can have with |w| = 1
    w, x = torch.tensor([2.0, 1.0]).double() / math.sqrt(5), torch.tensor([2.0, 1.0]).double()
    outputs = torch.stack([w @ x, torch.zeros((), dtype=torch.float64)])[None]
    assert m.margins(outputs, torch.tensor([0])).item() == pytest.approx(2.23607, abs=5e-6)
    assert m.parameter_scale([w], 1) == pytest.approx(1)


def test_positions_count_one_by_one_and_ignored_ones_not():
    outputs = torch.tensor([[[1.0, 0.0], [0.0, 3.0]], [[5.0, 1.0], [2.0, 2.0]]])
    targets = torch.tensor([[0, 0], [-100, 1]])
    assert m.margins(outputs, targets).tolist() == [1.0, -3.0, 0.0]
    assert m.margins(outputs, targets, chunk=1).tolist() == [1.0, -3.0, 0.0]
    relative = m.relative_margins(outputs, targets)
    assert relative.tolist() == pytest.approx([1.0, -1.0, 0.0])


@quick
@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_margins_are_positive_where_the_answer_is_right_and_scale_with_the_outputs(seed: int, scale: float):
    outputs, targets = draw(20, 5, seed=seed), torch.arange(20) % 5
    found = m.margins(outputs, targets)
    assert torch.equal((found > 0).double(), hits(outputs, targets))
    assert torch.allclose(m.margins(scale * outputs + 3, targets), scale * found, rtol=1e-9, atol=1e-9)
    relative = m.relative_margins(outputs, targets)
    assert torch.allclose(m.relative_margins(scale * outputs, targets), relative, rtol=1e-9)
    assert bool((relative.abs() <= math.sqrt(2) + 1e-12).all())
    centred = m.relative_margins(outputs, targets, centred=True)
    assert torch.allclose(m.relative_margins(outputs + scale, targets, centred=True), centred, rtol=1e-7)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(m.margins(outputs[order], targets[order]), found[order])


def test_a_network_without_biases_is_homogeneous_of_its_depth():
    first, second, x = draw(6, 4), draw(3, 6, seed=1), draw(10, 4, seed=2)

    def outputs(factor: float) -> Tensor:
        return (x @ (factor * first).T).relu() @ (factor * second).T

    degree, residual = m.homogeneity(outputs(1), outputs(3), factor=3)
    assert degree == pytest.approx(2, abs=1e-12)
    assert residual == pytest.approx(0, abs=1e-12)
    targets = torch.arange(10) % 3
    one, three = (
        m.margins(outputs(c), targets).min() / m.parameter_scale([c * first, c * second], degree) for c in (1, 3)
    )
    assert one.item() == pytest.approx(three.item(), rel=1e-12)


def test_what_is_not_homogeneous_has_a_residual():
    x, bias = draw(10, 4), draw(4, seed=1)
    degree, residual = m.homogeneity(x + bias, 2 * x + bias, factor=2)
    assert 0 < degree < 1
    assert residual > 0.01
    away = m.homogeneity(x, -x, factor=2)
    assert math.isnan(away[0])
    assert away[1] == 1
    assert all(math.isnan(value) for value in m.homogeneity(0 * x, x, factor=2))


def test_spectral_product_does_not_overflow_and_knows_zero():
    assert m.log_spectral_product([1e200 * torch.eye(2).double()] * 5) == pytest.approx(5 * 200 * math.log(10))
    assert m.log_spectral_product([torch.eye(2), torch.zeros(2, 2)]) == -math.inf
    matrix = draw(5, 3)
    assert m.log_spectral_product([matrix, matrix.T]) == pytest.approx(2 * m.log_spectral_product([matrix]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: m.margins(torch.zeros(2, 3), torch.zeros(2)), "targets are float32"),
        (lambda: m.margins(torch.zeros(2, 3).long(), torch.zeros(2).long()), "outputs are int64"),
        (lambda: m.margins(torch.zeros(2, 1), torch.zeros(2).long()), "2 classes or more"),
        (lambda: m.margins(torch.zeros(2, 3), torch.zeros(3).long()), r"targets of shape \(3,\)"),
        (lambda: m.margins(torch.zeros(2, 3), torch.tensor([0, 3])), "from 0 to 3: there are outputs for 0 to 2"),
        (lambda: m.margins(torch.zeros(2, 3), torch.tensor([-100, -100])), "there is no target"),
        (lambda: m.margins(torch.zeros(2, 3, device="meta"), torch.tensor([0, 0])), "meta device"),
        (lambda: m.parameter_scale([], 1), "no parameters"),
        (lambda: m.log_spectral_product([]), "no matrices"),
        (lambda: m.log_spectral_product([torch.tensor([[math.inf]])]), "finite matrices"),
        (lambda: m.homogeneity(torch.zeros(2), torch.zeros(3), factor=2), "give equal"),
        (lambda: m.homogeneity(torch.ones(2), torch.ones(2), factor=1), "factor = 1"),
    ],
)
def test_bad_input_is_told_of_in_a_sentence(call, message: str):
    with pytest.raises(UsageError, match=message):
        call()
