"""Input-output Jacobians of known models, estimators against the exact values, LSTM and attention, bad input."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from torch import Tensor

import zoo
from grokscope.differentiation import twice_differentiable
from grokscope.errors import UsageError
from grokscope.linalg import input_jacobians
from grokscope.linalg.input_jacobians import jacobian_norms, projected_squares, spectral_norms
from grokscope.snapshot import Snapshot


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def perceptron(points: Tensor) -> Tensor:
    return (points.flatten(1) @ normal(6, 8, seed=1)).tanh() @ normal(8, 5, seed=2)


def test_the_documented_examples_hold():
    assert doctest.testmod(input_jacobians).failed == 0


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (1, 4)])
def test_a_linear_model_has_its_own_norms_everywhere(shape: tuple[int, int]):
    matrix = normal(*shape)
    frobenius, spectral = jacobian_norms(lambda x: x @ matrix.T, normal(4, shape[1], seed=1))
    assert frobenius.tolist() == pytest.approx([matrix.norm().item()] * 4, rel=1e-12)
    assert spectral.tolist() == pytest.approx([torch.linalg.matrix_norm(matrix, 2).item()] * 4, rel=1e-12)


def test_against_the_dense_jacobian_example_by_example():
    points = normal(5, 2, 3)
    frobenius, spectral = jacobian_norms(perceptron, points)
    for row in range(5):
        dense = torch.autograd.functional.jacobian(lambda x: perceptron(x[None])[0], points[row]).flatten(1)
        assert frobenius[row].item() == pytest.approx(dense.norm().item(), rel=1e-12)
        assert spectral[row].item() == pytest.approx(torch.linalg.matrix_norm(dense, 2).item(), rel=1e-12)
    power = spectral_norms(perceptron, points, iterations=100, generator=generator())
    assert torch.allclose(power, spectral, rtol=1e-6)
    few = spectral_norms(perceptron, points, iterations=2, generator=generator())
    assert bool((few <= spectral + 1e-12).all())


def test_the_mean_of_projections_is_the_square_and_all_of_them_together_exact():
    points = normal(3, 6)
    exact = jacobian_norms(perceptron, points)[0].square()
    whole = projected_squares(perceptron, points, projections=5, generator=generator())
    assert torch.allclose(whole.mean(1), exact, rtol=1e-12)
    # independent draws of one projection each
    single = torch.cat(
        [projected_squares(perceptron, points, projections=1, generator=generator(s)) for s in range(400)], 1
    )
    error = single.std(1) / math.sqrt(400)
    assert bool(((single.mean(1) - exact).abs() < 4 * error).all())
    more = projected_squares(perceptron, points, projections=7, generator=generator())
    assert more.shape == (3, 7)
    assert torch.equal(more[:, :5], whole)


def test_scaling_rotation_and_float32():
    points = normal(3, 6)
    frobenius, spectral = jacobian_norms(perceptron, points)
    rotation = torch.linalg.qr(normal(5, 5, seed=9)).Q
    turned = jacobian_norms(lambda x: 3 * perceptron(x) @ rotation, points)
    assert torch.allclose(turned[0], 3 * frobenius, rtol=1e-12)
    assert torch.allclose(turned[1], 3 * spectral, rtol=1e-12)
    single = jacobian_norms(lambda x: perceptron(x.double()), points.float())
    assert torch.allclose(single[0], frobenius, rtol=1e-5)


def test_a_model_that_does_not_look_at_its_input_has_a_jacobian_of_zero():
    points = normal(2, 3)
    frobenius, spectral = jacobian_norms(lambda x: torch.ones(len(x), 4, dtype=x.dtype), points)
    assert frobenius.tolist() == spectral.tolist() == [0, 0]
    assert not projected_squares(lambda x: torch.ones(len(x), 4), points, projections=2, generator=generator()).any()
    assert not spectral_norms(lambda x: torch.ones_like(x), points, iterations=2, generator=generator()).any()


@pytest.mark.parametrize("name", zoo.ZOO)
def test_every_model_has_all_three(name: str):
    snapshot = Snapshot.of((animal := zoo.animal(name)).model, train=animal.train).in_double()
    real = snapshot.real_inputs("train")
    assert real is not None
    points, tokens = real.points[:3], None if real.tokens is None else real.tokens[:3]

    def call(moved: Tensor) -> Tensor:
        return real.call(moved, tokens)

    with twice_differentiable():
        frobenius, spectral = jacobian_norms(call, points)
        outputs = call(points)[0].numel()
        squares = projected_squares(call, points, projections=outputs, generator=generator())
        power = spectral_norms(call, points, iterations=60, generator=generator())
    assert torch.allclose(squares.mean(1).sqrt(), frobenius, rtol=1e-9)
    assert torch.allclose(power, spectral, rtol=2e-2)
    assert bool((frobenius > 0).all())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jacobian_norms(perceptron, torch.zeros(0, 6)), r"shape \(0, 6\)"),
        (lambda: jacobian_norms(perceptron, torch.zeros(2, 6).long()), "points are int64"),
        (lambda: jacobian_norms(perceptron, torch.zeros(2, 6, device="meta")), "points are float32"),
        (lambda: jacobian_norms(lambda x: x.sum(), torch.zeros(2, 6)), "returned for 2 points"),
        (lambda: projected_squares(perceptron, normal(2, 6), projections=0, generator=generator()), "projections = 0"),
        (lambda: spectral_norms(perceptron, normal(2, 6), iterations=0, generator=generator()), "iterations = 0"),
    ],
)
def test_bad_input_is_told_of_in_a_sentence(call, message: str):
    with pytest.raises(UsageError, match=message):
        call()
