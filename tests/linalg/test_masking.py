"""What random zeros in weights do: the printed divergence, every mask listed, Fisher information by hand, bad input."""

from __future__ import annotations

import doctest
import itertools
import math

import pytest
import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import masking
from grokscope.linalg.averages import mean_and_error
from grokscope.linalg.masking import change_under_masks, divergence, masked, second_order


def draw(name: str, index: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * index + sum(name.encode()))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(weights: dict[str, Tensor]):
    return lambda changed, inputs: inputs @ {**weights, **changed}["w"].T


def test_the_documented_examples_hold():
    assert doctest.testmod(masking).failed == 0


def test_divergence_of_the_printed_example_and_of_equal_outputs():
    p, q = torch.tensor([0.7, 0.2, 0.1]).double().log(), torch.tensor([0.5, 0.3, 0.2]).double().log()
    assert divergence(p, q).item() == pytest.approx(0.08512283, abs=5e-9)
    assert divergence(p + 5, q - 2).item() == pytest.approx(0.08512283, abs=5e-9)
    assert divergence(3 * p, 3 * q, temperature=3).item() == pytest.approx(0.08512283, abs=5e-9)
    assert divergence(p, p + 7).item() == pytest.approx(0, abs=1e-15)
    # far beyond what a probability can hold
    assert divergence(torch.tensor([0.0, 2000.0]), torch.tensor([2000.0, 0.0])).item() == pytest.approx(4000 / 2)


@pytest.mark.parametrize(("count", "share", "zeros"), [(30, 0.1, 3), (29, 0.1, 2), (7, 1.0, 7), (7, 0.0, 0)])
def test_exact_masks_take_the_floor_of_their_share(count: int, share: float, zeros: int):
    weights = {"w": torch.ones(1, count)}
    found = masked(weights, share=share, index=0, draw=draw)["w"]
    assert (found == 0).sum() == zeros
    assert bool((weights["w"] == 1).all())


def test_pools_take_the_share_of_all_together_and_coins_about_that():
    weights = {"a": torch.ones(4, 4), "b": torch.ones(2, 7)}
    for index in range(5):
        pool = masked(weights, share=0.5, index=index, draw=draw, pooled=True)
        assert sum(int((tensor == 0).sum()) for tensor in pool.values()) == 15
    coins = masked({"w": torch.ones(100, 100)}, share=0.1, mask="bernoulli", index=0, draw=draw)["w"]
    assert 850 < (coins == 0).sum() < 1150


def test_masks_of_a_tensor_do_not_depend_on_which_others_there_are():
    weights = {"a": normal(5, 6), "b": normal(3, 4)}
    together, alone = (
        masked(weights, share=0.3, index=2, draw=draw),
        masked({"b": weights["b"]}, share=0.3, index=2, draw=draw),
    )
    assert torch.equal(together["b"], alone["b"])
    assert not torch.equal(alone["b"], masked({"b": weights["b"]}, share=0.3, index=3, draw=draw)["b"])


def test_the_mean_over_masks_is_that_over_all_masks_there_are():
    weights, inputs = {"w": normal(3, 2)}, normal(5, 2, seed=1)
    plain = inputs @ weights["w"].T
    every = []
    for pair in itertools.combinations(range(6), 2):
        changed = weights["w"].flatten().clone()
        changed[list(pair)] = 0
        every.append(divergence(plain, inputs @ changed.view(3, 2).T).sum().item())
    found = change_under_masks(linear(weights), inputs, weights, share=0.34, masks=400, draw=draw)
    assert found.divergences is not None
    mean, error = mean_and_error(found.divergences)
    assert abs(mean - sum(every) / len(every)) < 4 * error
    assert set(found.divergences.numpy().round(9)) <= set(torch.tensor(every, dtype=torch.float64).numpy().round(9))


def test_sum_mean_and_chunks_agree():
    weights, inputs = {"w": normal(3, 4)}, normal(10, 4, seed=1)
    whole = change_under_masks(linear(weights), inputs, weights, draw=draw)
    parts = change_under_masks(linear(weights), inputs, weights, draw=draw, chunk=3)
    mean = change_under_masks(linear(weights), inputs, weights, draw=draw, reduction="mean")
    assert whole.divergences is not None
    assert parts.divergences is not None
    assert mean.divergences is not None
    assert torch.allclose(whole.divergences, parts.divergences, rtol=1e-12)
    assert torch.allclose(whole.distances, parts.distances, rtol=1e-12)
    assert torch.allclose(whole.divergences, 10 * mean.divergences, rtol=1e-12)


def test_with_every_weight_gone_the_outputs_are_gone():
    weights, inputs = {"w": normal(3, 4)}, normal(10, 4, seed=1)
    found = change_under_masks(linear(weights), inputs, weights, share=1.0, masks=2, draw=draw)
    plain = inputs @ weights["w"].T
    assert found.divergences is not None
    assert found.divergences[0].item() == pytest.approx(divergence(plain, 0 * plain).sum().item(), rel=1e-12)
    assert found.distances.tolist() == pytest.approx([1.0, 1.0])


def test_a_single_output_has_no_divergence_and_positions_are_samples():
    weights, inputs = {"w": normal(1, 4)}, normal(10, 4, seed=1)
    found = change_under_masks(lambda w, x: linear(weights)(w, x)[:, 0], inputs, weights, draw=draw)
    assert found.divergences is None
    assert bool((found.distances >= 0).all())
    three = {"w": normal(3, 4)}
    sequence = change_under_masks(linear(three), inputs.view(2, 5, 4), three, draw=draw, reduction="mean")
    flat = change_under_masks(linear(three), inputs, three, draw=draw, reduction="mean")
    assert sequence.divergences is not None
    assert flat.divergences is not None
    assert torch.allclose(sequence.divergences, flat.divergences, rtol=1e-12)


def test_second_order_is_the_formula_with_the_dense_fisher_information():
    weights, inputs, share = {"w": normal(3, 2)}, normal(4, 2, seed=1), 0.2
    fisher = torch.zeros(6, 6, dtype=torch.float64)
    for x in inputs:
        p = torch.softmax(weights["w"] @ x, 0)
        jacobian = torch.kron(torch.eye(3, dtype=torch.float64), x[None])
        fisher += jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian
    w = weights["w"].flatten()
    expected = 0.5 * (share * (1 - share) * (w**2 @ fisher.diag()) + share**2 * w @ fisher @ w).item()
    found = second_order(linear(weights), inputs, weights, share=share, probes=600, draw=draw, chunk=3)
    mean, error = mean_and_error(found)
    assert abs(mean - expected) < 4 * error
    assert error < 0.05 * expected
    halves = second_order(linear(weights), inputs, weights, share=share, probes=600, draw=draw, reduction="mean")
    assert torch.allclose(4 * halves, found, rtol=1e-10)


def test_for_small_weights_the_second_order_is_the_whole():
    weights, inputs = {"w": 0.01 * normal(4, 20)}, normal(6, 20, seed=1)
    whole = change_under_masks(linear(weights), inputs, weights, mask="bernoulli", masks=400, draw=draw).divergences
    assert whole is not None
    mean, error = mean_and_error(whole)
    expected, other = mean_and_error(second_order(linear(weights), inputs, weights, probes=400, draw=draw))
    assert abs(mean - expected) < 4 * math.hypot(error, other)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: divergence(torch.zeros(2), torch.zeros(3)), "give equal ones"),
        (lambda: divergence(torch.zeros(2, 1), torch.zeros(2, 1)), "2 classes or more"),
        (lambda: divergence(torch.zeros(2), torch.zeros(2), temperature=0), "temperature = 0"),
        (lambda: masked({"w": torch.ones(2)}, share=1.1, index=0, draw=draw), "share = 1.1"),
        (lambda: masked({"w": torch.ones(2)}, share=0.1, mask="some", index=0, draw=draw), "exact or bernoulli"),  # type: ignore[arg-type]
        (lambda: change_under_masks(linear({}), torch.zeros(0, 2), {}, draw=draw), "0 inputs and 0 weights"),
        (lambda: change_under_masks(linear({}), torch.zeros(1, 2), {}, draw=draw, masks=0), "masks = 0"),
        (lambda: change_under_masks(linear({}), torch.zeros(1, 2), {}, draw=draw, reduction="max"), "sum or mean"),  # type: ignore[arg-type]
        (lambda: second_order(linear({}), torch.zeros(1, 2), {}, draw=draw), "1 inputs and 0 weights"),
        (lambda: second_order(linear({}), torch.zeros(1, 2), {}, draw=draw, probes=0), "probes = 0"),
    ],
)
def test_bad_input_is_told_of_in_a_sentence(call, message: str):
    with pytest.raises(UsageError, match=message):
        call()
