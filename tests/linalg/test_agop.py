"""Average gradient outer products: closed forms of networks and of kernel machines, estimators, alignments."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import agop as module
from grokscope.linalg.agop import agop, feature_alignment, matrix_power, neural_feature_matrix

quick = settings(derandomize=True, deadline=None, max_examples=25)
close = {"rtol": 1e-10, "atol": 1e-12}


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def square_network(first: Tensor, second: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: (x @ first.T) ** 2 @ second.T


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(module).failed == 0


def test_the_worked_example() -> None:
    found = agop(square_network(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0]])), torch.tensor([[1.0, 0.0]]))
    assert found.tolist() == [[36, 72], [72, 144]]
    assert found.trace().item() == 180


@pytest.mark.parametrize("nonlinearity", ["square", "tanh"])
def test_a_network_with_one_hidden_layer(nonlinearity: str) -> None:
    first, second, x = draws(6, 4), draws(3, 6, seed=1), draws(9, 4, seed=2)
    hidden = x @ first.T
    function: dict[str, Callable[[Tensor], Tensor]] = {"square": torch.square, "tanh": torch.tanh}
    slope = 2 * hidden if nonlinearity == "square" else 1 - torch.tanh(hidden) ** 2
    shared = slope.T @ slope / 9
    exact = first.T @ ((second.T @ second) * shared) @ first
    found = agop(lambda points: function[nonlinearity](points @ first.T) @ second.T, x)
    torch.testing.assert_close(found, exact, **close)
    if nonlinearity == "square":
        inputs = x.T @ x / 9
        trace = 4 * ((first @ inputs @ first.T) * (second.T @ second) * (first @ first.T)).sum()
        assert found.trace().item() == pytest.approx(trace.item())


def machine(centre: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return points, coefficients and a Mahalanobis matrix of a small kernel machine."""
    root = draws(4, 4, seed=3)
    return draws(7, 4, seed=4), draws(7, 3, seed=5), root @ root.T + torch.eye(4, dtype=torch.float64)


@pytest.mark.parametrize("centred", [False, True])
def test_a_machine_with_the_quadratic_kernel(centred: bool) -> None:
    x, coefficients, metric = machine(centred)
    forms = [metric @ (x.T * coefficients[:, c]) @ x @ metric for c in range(3)]
    spread = x - x.mean(0) if centred else x
    exact = 4 / 7 * sum(form @ spread.T @ spread @ form for form in forms)
    found = agop(lambda points: (points @ metric @ x.T) ** 2 @ coefficients, x, centred=centred, chunk=3)
    torch.testing.assert_close(found, exact, **close)


@pytest.mark.parametrize("centred", [False, True])
def test_a_machine_with_the_gaussian_kernel(centred: bool) -> None:
    x, coefficients, metric = machine(centred)
    denominator = 12.5

    def kernel(points: Tensor) -> Tensor:
        gap = points[:, None] - x[None]
        return torch.exp(-torch.einsum("ijd,de,ije->ij", gap, metric, gap) / denominator)

    values = kernel(x)
    vectors = (values @ coefficients)[..., None] * x[:, None] - torch.einsum("ij,jc,jd->icd", values, coefficients, x)
    if centred:
        vectors = vectors - vectors.mean(0)
    exact = 4 / denominator**2 * metric @ torch.einsum("icd,ice->de", vectors, vectors) @ metric / 7
    found = agop(lambda points: kernel(points) @ coefficients, x, centred=centred)
    torch.testing.assert_close(found, exact, **close)


def test_with_every_pair_in_training_the_block_between_operands_is_constant() -> None:
    # no circulant emerges from a full table: the structure is a symmetry that held-out pairs break
    p = 5
    first, second = torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij")
    eye = torch.eye(p, dtype=torch.float64)
    x = torch.cat([eye[first.flatten()], eye[second.flatten()]], 1)
    y = eye[(first + second).flatten() % p]
    coefficients = torch.linalg.pinv((x @ x.T) ** 2, hermitian=True) @ y
    block = agop(lambda points: (points @ x.T) ** 2 @ coefficients, x)[p:, :p]
    assert float(block.std()) < 1e-12
    assert float(block.mean().abs()) > 1e-6


def test_chunks_shapes_and_positions() -> None:
    first, second, x = draws(6, 12), draws(3, 6, seed=1), draws(9, 3, 4, seed=2)

    def function(points: Tensor) -> Tensor:
        return torch.tanh(points.flatten(1) @ first.T) @ second.T

    whole = agop(function, x)
    torch.testing.assert_close(agop(function, x, chunk=2), whole, **close)
    torch.testing.assert_close(agop(lambda points: function(points).unflatten(1, (3, 1)), x), whole, **close)
    blocks = [whole[4 * i : 4 * i + 4, 4 * i : 4 * i + 4] for i in range(3)]
    torch.testing.assert_close(agop(function, x, positions=True), sum(blocks) / 3, **close)
    one = agop(lambda points: points**2, torch.tensor([1.0, 2.0]))
    assert one.tolist() == [[10.0]]  # the mean of (2x)²


@quick
@given(seed=st.integers(0, 9), scale=st.floats(0.1, 10))
def test_turning_outputs_changes_nothing_and_turning_inputs_turns_it(seed: int, scale: float) -> None:
    first, second, x = draws(5, 3, seed=seed), draws(4, 5, seed=seed + 1), draws(6, 3, seed=seed + 2)
    out, into = (torch.linalg.qr(draws(n, n, seed=seed + 3)).Q for n in (4, 3))
    function = square_network(first, second)
    found = agop(function, x)
    torch.testing.assert_close(agop(lambda p: scale * function(p) @ out, x), scale**2 * found, rtol=1e-9, atol=1e-9)
    turned = agop(lambda p: function(p @ into), x @ into.T)
    torch.testing.assert_close(turned, into @ found @ into.T, rtol=1e-9, atol=1e-9)
    assert float(torch.linalg.eigvalsh(found)[0]) > -1e-9 * float(found.trace())


@pytest.mark.parametrize("centred", [False, True])
def test_random_projections_are_right_in_the_mean(centred: bool) -> None:
    first, second, x = draws(5, 3), draws(4, 5, seed=1), draws(6, 3, seed=2)
    function, generator = square_network(first, second), torch.Generator().manual_seed(0)
    exact = agop(function, x, centred=centred)
    few = torch.stack([agop(function, x, projections=2, generator=generator, centred=centred) for _ in range(300)])
    error = few.std(0) / 300**0.5
    # 6 distinct entries, 4.5 standard errors each: a right estimator fails with probability 4e-5
    assert bool(((few.mean(0) - exact).abs() < 4.5 * error).all())
    many = agop(function, x, projections=2000, generator=generator, centred=centred)
    assert float((many - exact).norm()) < 0.2 * float((few - exact).flatten(1).norm(dim=1).mean())


def test_one_output_is_projected_exactly() -> None:
    function, x = square_network(draws(5, 3), draws(1, 5)), draws(6, 3)
    found = agop(function, x, projections=1, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, agop(function, x), **close)


def test_float32_agrees_with_float64() -> None:
    first, second, x = draws(5, 3), draws(4, 5, seed=1), draws(6, 3, seed=2)
    single = agop(square_network(first.float(), second.float()), x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), agop(square_network(first, second), x), rtol=1e-5, atol=1e-4)


def test_powers_of_a_matrix() -> None:
    root = draws(4, 2)
    low = root @ root.T  # of rank 2: eigenvalues of 0 may come out below it
    torch.testing.assert_close(matrix_power(low) @ matrix_power(low), low, **close)
    torch.testing.assert_close(matrix_power(low, 2), low @ low, **close)
    torch.testing.assert_close(neural_feature_matrix(root.T), low, **close)


def test_alignments_with_and_without_diagonals() -> None:
    one, other = neural_feature_matrix(draws(5, 4)), neural_feature_matrix(draws(6, 4, seed=1))
    flat = torch.stack([one.flatten(), other.flatten()])
    assert feature_alignment(one, other).item() == pytest.approx(torch.corrcoef(flat)[0, 1].item())
    assert feature_alignment(one, other, kind="cosine").item() == pytest.approx(
        float((one * other).sum() / (one.norm() * other.norm()))
    )
    bare = [matrix - torch.diag(matrix.diag()) for matrix in (one, other)]
    zeroed = torch.corrcoef(torch.stack([matrix.flatten() for matrix in bare]))[0, 1]
    assert feature_alignment(one, other, diagonal="zeroed").item() == pytest.approx(zeroed.item())
    off = ~torch.eye(4, dtype=torch.bool)
    dropped = torch.corrcoef(torch.stack([one[off], other[off]]))[0, 1]
    assert feature_alignment(one, other, diagonal="dropped").item() == pytest.approx(dropped.item())
    assert feature_alignment(one, 3 * one, diagonal="zeroed").item() == pytest.approx(1)
    assert feature_alignment(one, -one + 2).item() == pytest.approx(-1)
    eye = torch.eye(3)
    assert feature_alignment(eye, 2 * eye, kind="cosine").item() == pytest.approx(1)
    assert math.isnan(feature_alignment(eye, eye, kind="cosine", diagonal="zeroed"))
    assert math.isnan(feature_alignment(torch.ones(3, 3), neural_feature_matrix(draws(3, 3))))
    assert math.isnan(feature_alignment(torch.ones(1, 1), torch.ones(1, 1), diagonal="dropped"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: agop(torch.square, torch.ones(2, 3).long()), "points of int64 were given"),
        (lambda: agop(torch.square, torch.ones(0, 3)), r"points of shape \(0, 3\)"),
        (lambda: agop(torch.square, torch.tensor([[torch.inf]])), "points with NaN or Inf"),
        (lambda: agop(torch.square, torch.ones(2, 3, device="meta")), "points on the meta device"),
        (lambda: agop(torch.sum, torch.ones(2, 3)), r"returned the shape \(\) for 2 points"),
        (lambda: agop(lambda x: x.long(), torch.ones(2, 3)), "the function returned int64"),
        (lambda: agop(lambda x: x.detach(), torch.ones(2, 3)), "do not depend on the points"),
        (lambda: agop(torch.square, torch.ones(2, 3), projections=2), "2 projections were asked for without"),
        (lambda: agop(torch.square, torch.ones(2, 3), chunk=0), "projections = 0 and chunk = 0"),
        (lambda: agop(torch.square, torch.ones(2, 3, 2), centred=True, positions=True), "centred = True"),
        (lambda: neural_feature_matrix(torch.ones(3)), r"a weight of shape \(3,\)"),
        (lambda: matrix_power(torch.eye(2), 0), "power = 0 was given"),
        (lambda: feature_alignment(torch.ones(2, 3), torch.ones(2, 3)), "give a square one"),
        (lambda: feature_alignment(torch.eye(2), torch.eye(3)), "give one shape"),
        (lambda: feature_alignment(torch.eye(2), torch.eye(2), diagonal="off"), "diagonal = 'off'"),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_gradient_is_told(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
