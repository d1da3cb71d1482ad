"""Attacks on linear classifiers, whose worst point is known; balls and ranges kept; vanished gradients; bad input."""

from __future__ import annotations

import doctest

import pytest
import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import attacks
from grokscope.linalg.attacks import attack, random_start, right_share


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


W, B = normal(6, seed=5), 0.3
X = normal(40, 6, seed=6)
SIDE = (X @ W + B > 0).long()
MARGIN = (X @ W + B).abs()


def linear(points: Tensor) -> Tensor:
    signed = points.flatten(1) @ W.to(points.dtype) + B
    return torch.stack([-signed / 2, signed / 2], 1)


def margin_at(points: Tensor) -> Tensor:
    outputs = linear(points)
    return outputs.gather(1, SIDE[:, None])[:, 0] - outputs.gather(1, 1 - SIDE[:, None])[:, 0]


def test_the_documented_examples_hold():
    assert doctest.testmod(attacks).failed == 0


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize("steps", [1, 12])
@pytest.mark.parametrize("random", [False, True])
def test_a_linear_classifier_loses_epsilon_times_the_dual_norm(norm, dual: int, steps: int, random: bool):
    epsilon = 0.25
    start = random_start(X, epsilon, norm=norm, generator=torch.Generator().manual_seed(0)) if random else None
    # steps of 2 epsilon in all reach any corner; along a sphere it takes more
    step = epsilon if steps == 1 and not random else 2.5 * epsilon / steps * (4 if norm == "l2" else 1)
    found = attack(linear, X, SIDE, epsilon=epsilon, step=step, steps=steps, norm=norm, start=start)
    worst = MARGIN - epsilon * torch.linalg.vector_norm(W, dual)
    tolerance = 1e-9 if norm == "linf" or not random else 0.35 if steps == 1 else 0.02
    assert torch.allclose(margin_at(found.points), worst, atol=tolerance)
    assert bool((margin_at(found.points) >= worst - 1e-9).all())
    assert not bool(found.stuck.any())
    if tolerance < 1e-6:
        assert torch.equal(right_share(linear(found.points), SIDE), (worst > 0).double())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_points_stay_in_the_ball_and_in_the_range(norm):
    points = X.abs().clamp(0, 1).view(40, 2, 3)
    start = random_start(points, 0.3, norm=norm, generator=torch.Generator().manual_seed(0))
    order = 2 if norm == "l2" else float("inf")
    assert float(torch.linalg.vector_norm(start.flatten(1), order, dim=1).max()) <= 0.3 + 1e-12
    found = attack(
        linear, points, SIDE, epsilon=0.3, step=0.5, steps=7, norm=norm, start=start, low=0.0, high=1.0
    ).points
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    moved = torch.linalg.vector_norm((found - points).flatten(1), order, dim=1)
    assert float(moved.max()) <= 0.3 + 1e-9


@pytest.mark.parametrize(("norm", "share"), [("linf", 0.5**6), ("l2", 0.5**6)])
def test_starts_are_uniform_in_the_ball(norm, share: float):
    start = random_start(torch.zeros(40_000, 6), 1.0, norm=norm, generator=torch.Generator().manual_seed(0))
    order = 2 if norm == "l2" else float("inf")
    inner = (torch.linalg.vector_norm(start.double(), order, dim=1) < 0.5).double().mean().item()
    assert inner == pytest.approx(share, abs=4 * (share / 40_000) ** 0.5)
    assert start.mean(0).abs().max() < 0.02


def test_no_radius_moves_nothing():
    found = attack(linear, X, SIDE, epsilon=0.0, step=1.0, steps=3)
    assert torch.equal(found.points, X)


def test_where_the_cross_entropy_is_rounded_to_nothing_the_margin_leads():
    def sure(points: Tensor) -> Tensor:
        return 1000 * linear(points)

    points = X[MARGIN > 1].float()
    side = SIDE[MARGIN > 1]
    epsilon = 0.2
    lost = attack(sure, points, side, epsilon=epsilon, step=epsilon, steps=1, objective="cross-entropy")
    assert bool(lost.stuck.all())
    assert torch.equal(lost.points, points)
    led = attack(sure, points, side, epsilon=epsilon, step=epsilon, steps=1)
    margin = attack(sure, points, side, epsilon=epsilon, step=epsilon, steps=1, objective="margin")
    assert bool(led.stuck.all())
    assert not bool(margin.stuck.any())
    assert torch.equal(led.points, margin.points)
    assert torch.allclose((led.points - points).abs(), torch.tensor(epsilon), atol=1e-6)


def test_small_gradients_still_have_a_direction():
    # moved along w until all have the margin 20: the loss below is exp(-80)
    points = (X + torch.outer((2 * SIDE - 1) * 20 - (X @ W + B), W) / (W @ W)).float()
    for norm in ("linf", "l2"):
        found = attack(lambda x: 4 * linear(x), points, SIDE, epsilon=0.2, step=0.2, steps=1, norm=norm)
        assert not bool(found.stuck.any())
        length = (found.points - points).norm(dim=1)
        assert float(length.min()) == pytest.approx(0.2 * (6**0.5 if norm == "linf" else 1), rel=1e-3)


def test_each_example_is_attacked_by_itself():
    whole = attack(linear, X, SIDE, epsilon=0.2, step=0.1, steps=3, norm="l2").points
    parts = [
        attack(linear, x[None], s[None], epsilon=0.2, step=0.1, steps=3, norm="l2").points
        for x, s in zip(X, SIDE, strict=True)
    ]
    assert torch.allclose(whole, torch.cat(parts), atol=1e-12)


def test_positions_that_are_ignored_lead_nowhere():
    def positions(points: Tensor) -> Tensor:
        return torch.stack([linear(points), -linear(points)], 1)

    targets = torch.stack([SIDE, torch.full_like(SIDE, -100)], 1)
    found = attack(positions, X, targets, epsilon=0.2, step=0.2, steps=1)
    assert torch.equal(found.points, attack(linear, X, SIDE, epsilon=0.2, step=0.2, steps=1).points)
    assert torch.equal(right_share(positions(X), targets), torch.ones(40, dtype=torch.float64))


def test_a_model_that_does_not_look_at_its_input_is_stuck():
    found = attack(lambda x: torch.zeros(len(x), 2) + 0 * x.sum(), X, SIDE, epsilon=1, step=1, steps=2)
    assert torch.equal(found.points, X)
    assert bool(found.stuck.all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": -1.0}, "epsilon = -1"),
        ({"norm": "l1"}, "linf or l2"),
        ({"steps": 0}, "steps = 0"),
        ({"step": 0.0}, "step = 0"),
        ({"low": 1.0, "high": 0.0}, "low is the lesser"),
        ({"objective": "loss"}, "cross-entropy, margin or fallback"),
    ],
)
def test_bad_options_are_told_of_in_a_sentence(options, message: str):
    with pytest.raises(UsageError, match=message):
        attack(linear, X, SIDE, **{"epsilon": 0.1, "step": 0.1, "steps": 1, **options})


def test_outputs_that_do_not_fit_are_told_of_in_a_sentence():
    with pytest.raises(UsageError, match="a target for each"):
        attack(linear, X, SIDE[:, None], epsilon=0.1, step=0.1, steps=1)
