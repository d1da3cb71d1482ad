"""Gradients that are too long are shortened: by hand, against torch, in members."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import toys
from driving import Training
from grokscope.errors import UsageError
from grokscope.interventions.gradient_clip import GradientClip
from grokscope.rng import generator


def gradients(scale: float) -> dict[str, Tensor]:
    return {
        name: scale * torch.randn(shape, generator=generator(0, name), dtype=torch.float64)
        for name, shape in (("weight", (4, 3)), ("bias", (4,)))
    }


def test_by_hand() -> None:
    clip = GradientClip(norm=1.0)
    value = {"w": torch.tensor([3.0]).double(), "b": torch.tensor([0.0, 4.0]).double()}
    found, state = clip.apply(value, clip.init(value), step=0)
    assert found["w"].item() == pytest.approx(0.6, rel=1e-14)
    assert found["b"].tolist() == pytest.approx([0, 0.8], rel=1e-14)
    assert state["effect"].item() == 1
    short = {name: tensor / 10 for name, tensor in value.items()}
    kept, state = clip.apply(short, state, step=1)
    assert all(torch.equal(kept[name], short[name]) for name in short)
    assert state["effect"].item() == 0.5
    nothing = {name: torch.zeros_like(tensor) for name, tensor in value.items()}
    kept, state = clip.apply(nothing, state, step=2)
    assert all(torch.equal(kept[name], nothing[name]) for name in nothing)
    assert state["effect"].item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("scale", [0.1, 1.0, 100.0])
def test_it_is_what_torch_does(scale: float) -> None:
    value = gradients(scale)
    leaves = [torch.zeros_like(tensor).requires_grad_() for tensor in value.values()]
    for leaf, tensor in zip(leaves, value.values(), strict=True):
        leaf.grad = tensor.clone()
    torch.nn.utils.clip_grad_norm_(leaves, 2.0)
    clip = GradientClip(norm=2.0)
    found, _ = clip.apply(value, clip.init(value), step=0)
    for leaf, tensor in zip(leaves, found.values(), strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(tensor, leaf.grad, rtol=1e-5, atol=0)  # torch adds 1e-6 to the norm


def test_members_are_clipped_each_by_its_own_norm() -> None:
    clip = GradientClip(norm=2.0)
    each = [gradients(scale) for scale in (0.01, 1.0, 7.0)]
    stacked = {name: torch.stack([one[name] for one in each]) for name in each[0]}
    found, state = torch.vmap(lambda v, s: clip.apply(v, s, step=0))(stacked, torch.vmap(clip.init)(stacked))
    assert state["effect"].tolist() == [0, 1, 1]
    for index, one in enumerate(each):
        alone, _ = clip.apply(one, clip.init(one), step=0)
        for name, tensor in alone.items():
            torch.testing.assert_close(found[name][index], tensor, rtol=1e-14, atol=0)


def test_updates_follow_the_shortened_gradient() -> None:
    plain = {"optimizer": {"name": "sgd", "learning_rate": 1.0}, "numerics.dtype": "float64"}
    free, clipped = (
        Training(toys.specs("gradient", {**plain, "interventions": parts}))
        for parts in ([], [{"name": "gradient-clip", "norm": 1e-3}])
    )
    start = free.parameters()
    moves = []
    for training in (free, clipped):
        training.advance(1)
        moves.append(torch.cat([(training.parameters()[name] - start[name]).flatten() for name in start]))
    assert float(moves[1].norm()) == pytest.approx(1e-3, rel=1e-9)
    torch.testing.assert_close(moves[1], moves[0] * (1e-3 / moves[0].norm()), rtol=1e-8, atol=1e-15)
    assert clipped.learner.scalars(clipped.state)["intervention/effect", "gradient-clip"] == 1


def test_the_norm_is_positive() -> None:
    with pytest.raises(UsageError, match=r"interventions.0.*norm"):
        toys.specs("gradient", {"interventions": [{"name": "gradient-clip", "norm": 0.0}]})
