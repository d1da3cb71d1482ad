"""The fast way counts what the plain one counts: any depth, width, radius, nonlinearity and type."""

from __future__ import annotations

import doctest
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from grokscope.errors import UsageError
from grokscope.linalg import perceptron_complexity as module
from grokscope.linalg.cross_polytope import orthonormal_frame
from grokscope.linalg.local_complexity import cut_counts
from grokscope.linalg.perceptron_complexity import Layer, perceptron_cuts

DOUBLE = torch.float64


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def network(widths: list[int], *, seed: int = 0, activation=torch.relu, bias: bool = True) -> list[Layer]:
    return [
        Layer(
            normal(after, before, seed=seed + 2 * at) / math.sqrt(before),
            normal(after, seed=seed + 2 * at + 1) / 3 if bias else None,
            activation,
        )
        for at, (before, after) in enumerate(itertools.pairwise(widths))
    ]


def plain(layers: list[Layer], points: Tensor, frame: Tensor, radius: float) -> list[list[float]]:
    def run(vertices: Tensor, _rows: Tensor, see) -> None:
        hidden = vertices.flatten(1)
        for at, layer in enumerate(layers):
            before = functional.linear(hidden, layer.weight, layer.bias)
            see(str(at), before)
            hidden = layer.activation(before)

    return [cuts.counts.tolist() for cuts in cut_counts(run, points, frame, radius).values()]


def frame_of(dimensions: int, directions: int) -> Tensor:
    return orthonormal_frame(dimensions, directions, torch.Generator().manual_seed(5))


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(module).failed == 0


@given(
    st.integers(0, 10**6),
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.sampled_from([0.003, 0.03, 0.3, 3.0]),
    st.sampled_from([torch.relu, torch.tanh, functional.gelu]),
    st.booleans(),
    st.sampled_from([None, torch.float32]),
)
@settings(max_examples=60, deadline=None)
def test_fast_is_plain(seed: int, widths: list[int], radius: float, activation, bias: bool, arithmetic) -> None:
    layers = network([6, *widths], seed=seed, activation=activation, bias=bias)
    points, frame = normal(23, 6, seed=seed + 99), frame_of(6, 4)
    (found,) = perceptron_cuts(layers, points, frame, [radius], chunk=50, arithmetic=arithmetic)
    assert [cuts.counts.tolist() for cuts in found] == plain(layers, points, frame, radius)
    assert [cuts.units for cuts in found] == widths


@pytest.mark.parametrize("arithmetic", [DOUBLE, torch.float32])
def test_radii_share_a_pass_and_few_cuts_take_every_way(arithmetic: torch.dtype) -> None:
    layers = network([30, 60, 60, 60, 60])
    points, frame = normal(200, 30, seed=7).view(200, 5, 6), frame_of(30, 10)
    radii = (0.002, 0.02, 0.2)
    found = perceptron_cuts(layers, points, frame, radii, arithmetic=arithmetic)
    for radius, one in zip(radii, found, strict=True):
        assert [cuts.counts.tolist() for cuts in one] == plain(layers, points, frame, radius)
    # points without any cut, with cuts from the second layer on, and with one at the first are all among them
    first, second, *_ = (cuts.counts for cuts in found[0])
    assert bool(((first == 0) & (second == 0)).any())
    assert bool(((first == 0) & (second > 0)).any())
    assert bool((first > 0).any())


def test_what_is_exactly_zero_at_a_vertex_is_decided_as_the_plain_pass_does() -> None:
    # small integers: every sum is exact, and many vertices lie exactly on a boundary
    generator = torch.Generator().manual_seed(3)
    whole = lambda *shape: torch.randint(-2, 3, shape, generator=generator).double()  # noqa: E731
    layers = [Layer(whole(20, 4), whole(20)), Layer(whole(20, 20), whole(20)), Layer(whole(20, 20), whole(20))]
    points, frame = whole(50, 4), torch.eye(4, dtype=DOUBLE)[:3]
    for radius in (1.0, 0.5):
        (found,) = perceptron_cuts(layers, points, frame, [radius])
        assert [cuts.counts.tolist() for cuts in found] == plain(layers, points, frame, radius)


def test_close_calls_are_decided_in_the_type_of_the_points() -> None:
    # 2^-30 from the boundary: float32 sees all signs alike, or none
    bias = torch.tensor([2.0**-30, -(2.0**-30), 0.0, 0.5], dtype=DOUBLE) - 1
    layers = [Layer(torch.ones(4, 1, dtype=DOUBLE), bias)]
    points, frame = torch.ones(1, 1, dtype=DOUBLE), torch.ones(1, 1, dtype=DOUBLE)
    for radius, expected in ((2.0**-31, 1), (2.0**-29, 3)):
        (found,) = perceptron_cuts(layers, points, frame, [radius], arithmetic=torch.float32)
        assert found[0].counts.item() == expected


def test_dead_layers_are_not_cut_and_need_no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = network([6, 10, 8, 7])
    layers[0] = Layer(layers[0].weight, torch.full((10,), -100.0, dtype=DOUBLE))
    layers[1] = Layer(layers[1].weight, None)
    looks = []
    monkeypatch.setattr(module, "cut_counts", lambda *given, **_: looks.append(given))
    (found,) = perceptron_cuts(layers, normal(30, 6), frame_of(6, 4), [0.1])
    assert [cuts.counts.sum().item() for cuts in found] == [0, 0, 0]
    assert looks == []


def test_a_nan_is_no_count() -> None:
    layers = network([6, 10, 8, 7])
    layers[1].weight[0, 0] = math.nan
    (found,) = perceptron_cuts(layers, normal(9, 6), frame_of(6, 4), [0.1])
    assert not found[0].counts.isnan().any()
    assert found[1].counts.isnan().all()


def test_wrong_arguments() -> None:
    layers, points, frame = network([6, 10, 8]), normal(3, 6), frame_of(6, 2)
    with pytest.raises(UsageError, match="each takes what the one before gives"):
        perceptron_cuts(layers[::-1], points, frame, [0.1])
    with pytest.raises(UsageError, match="each takes what the one before gives"):
        perceptron_cuts([], points, frame, [0.1])
    with pytest.raises(UsageError, match="radius = 0"):
        perceptron_cuts(layers, points, frame, [0.1, 0.0])
    with pytest.raises(UsageError, match="chunk = 0"):
        perceptron_cuts(layers, points, frame, [0.1], chunk=0)
