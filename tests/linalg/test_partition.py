"""Arrangements whose regions are counted by hand, sawtooths, areas, the forward pass, decision boundaries."""

from __future__ import annotations

import doctest
import itertools
import math

import pytest
import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import partition as module
from grokscope.linalg.partition import Partition, Slice, decision_boundary, partition, slice_through, square
from grokscope.linalg.perceptron_complexity import Layer

DOUBLE = torch.float64
PLANE = Slice(torch.zeros(2, dtype=DOUBLE), torch.eye(2, dtype=DOUBLE))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def rows(*values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE)


def lines(weight: Tensor, bias: Tensor) -> list[Layer]:
    return [Layer(weight, bias), Layer(torch.ones(1, len(weight), dtype=DOUBLE), None)]


def network(*widths: int, seed: int = 0) -> list[Layer]:
    return [
        Layer(
            normal(after, before, seed=seed + 2 * at) * math.sqrt(2 / before), normal(after, seed=seed + 2 * at + 1) / 3
        )
        for at, (before, after) in enumerate(itertools.pairwise(widths))
    ]


def forward(layers: list[Layer], points: Tensor, slope: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return the outputs, and which hidden units are on."""
    on = []
    for layer in layers[:-1]:
        points = layer(points)
        on.append(points > 0)
        points = torch.where(points > 0, points, slope * points)
    return layers[-1](points), torch.cat(on, 1)


def check(found: Partition, layers: list[Layer], plane: Slice, area: float, slope: float = 0.0) -> None:
    """Hold a partition against the forward pass at the regions' centres, and its areas against the domain's."""
    outputs, on = forward(layers, plane.at(found.centres), slope)
    torch.testing.assert_close((found.slopes @ found.centres[..., None])[..., 0] + found.offsets, outputs)
    assert torch.equal(found.patterns, on)
    assert len(found.patterns.unique(dim=0)) == len(found)
    assert float(found.areas.sum()) == pytest.approx(area, rel=1e-13)
    assert bool((found.areas > 0).all())


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("weight", "bias", "regions"),
    [
        (rows((1, 0), (0, 1), (1, 1)), [0, 0, -0.5], 7),
        (rows((1, 0), (1, 0), (1, 0)), [-0.5, 0, 0.5], 4),
        (rows((1, 0), (2, 0), (-1, 0)), [0, 0, 0], 2),  # the same line three times
        (rows((1, 0), (0, 0)), [-1, 1], 1),  # one along the border, one nowhere
        (rows((1, 1), (1, -1), (1, 0)), [0, 0, 0], 6),  # three lines through a point
    ],
)
def test_arrangements_by_hand(weight: Tensor, bias: list[float], regions: int) -> None:
    net = lines(weight, torch.tensor(bias, dtype=DOUBLE))
    found = partition(net, PLANE, square(1.0))
    assert len(found) == regions
    check(found, net, PLANE, 4.0)


@pytest.mark.parametrize("seed", [0, 1])
def test_one_layer_has_a_region_more_than_lines_and_crossings_inside(seed: int) -> None:
    weight, bias = normal(40, 2, seed=seed), normal(40, seed=seed + 5)
    corners = torch.cat([square(1.0) @ row[:, None] for row in weight], 1) + bias
    inside = (corners.amin(0) < 0) & (corners.amax(0) > 0)
    crossings = 0
    for one, other in itertools.combinations(inside.nonzero().flatten().tolist(), 2):
        at = torch.linalg.solve(weight[[one, other]], -bias[[one, other]])
        crossings += bool((at.abs() < 1).all())
    found = partition(lines(weight, bias), PLANE, square(1.0))
    assert len(found) == 1 + int(inside.sum()) + crossings
    assert crossings > 100


@pytest.mark.parametrize("depth", range(1, 7))
def test_a_sawtooth_has_a_region_a_tooth(depth: int) -> None:
    # g -> |2g − 1| on [0, 1], as 3 − 2 relu(g + 1) + 2 relu(2g − 1), begun at g = x₁
    net = [Layer(rows((1, 0), (2, 0)), torch.tensor([1.0, -1.0], dtype=DOUBLE))]
    net += [Layer(rows((-2, 2), (-4, 4)), torch.tensor([4.0, 5.0], dtype=DOUBLE)) for _ in range(depth - 1)]
    net.append(Layer(rows((-2, 2)), torch.tensor([3.0], dtype=DOUBLE)))
    found = partition(net, PLANE, square(0.5, (0.5, 0.5)))
    assert len(found) == 2**depth
    assert sorted(found.slopes[:, 0, 0].tolist()) == [-(2.0**depth)] * 2 ** (depth - 1) + [2.0**depth] * 2 ** (
        depth - 1
    )
    assert found.slopes[:, 0, 1].abs().max() == 0
    assert sorted(found.areas.tolist()) == pytest.approx([2.0**-depth] * 2**depth)


@pytest.mark.parametrize("slope", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [1, 50, 4096])
def test_regions_are_those_of_the_forward_pass(slope: float, chunk: int) -> None:
    net = network(5, 12, 10, 8, 3)
    plane = slice_through(normal(3, 5, seed=9))
    domain = rows((-2, -1), (1, -2), (2, 1), (0, 2), (-2, 1))
    found = partition(net, plane, domain, negative_slope=slope, chunk=chunk)
    nothing = partition([Layer(normal(1, 5), None)], plane, domain)
    assert len(nothing) == 1
    check(found, net, plane, float(nothing.areas.sum()), slope)
    # a grid sees no pattern that the partition has not
    axis = torch.linspace(-2, 2, 200, dtype=DOUBLE)
    grid = torch.cartesian_prod(axis, axis)
    after = domain.roll(-1, 0)
    sides = (after - domain)[:, 0] * (grid[:, None, 1] - domain[:, 1])
    inside = (sides - (after - domain)[:, 1] * (grid[:, None, 0] - domain[:, 0]) > 0).all(1)
    seen = {tuple(row) for row in forward(net, plane.at(grid[inside]))[1].tolist()} if slope == 0 else set()
    known = {tuple(row) for row in found.patterns.tolist()}
    assert seen <= known
    assert len(known) == len(found) > 50


def test_a_slice_through_three_points_holds_them() -> None:
    points = normal(3, 20)
    plane = slice_through(points.float())
    torch.testing.assert_close(plane.basis @ plane.basis.T, torch.eye(2, dtype=DOUBLE))
    back = plane.at((points - plane.origin) @ plane.basis.T)
    torch.testing.assert_close(back, points, atol=1e-5, rtol=0)


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_the_decision_boundary_is_where_the_largest_output_changes(classes: int) -> None:
    net = network(4, 14, 12, classes, seed=3)
    plane = slice_through(normal(3, 4, seed=2))
    level = forward(net, plane.at(square(1.5)))[0].mean(0)  # so that no class has all of the slice
    assert net[-1].bias is not None
    net[-1] = Layer(net[-1].weight, net[-1].bias - level)
    segments, pairs = decision_boundary(partition(net, plane, square(3.0)))
    assert len(segments) > 3
    middles = segments.mean(1)
    outputs = forward(net, plane.at(middles))[0]
    if classes == 1:
        outputs = torch.cat([torch.zeros_like(outputs), outputs], 1)
    two = outputs.gather(1, pairs)
    torch.testing.assert_close(two[:, 0], two[:, 1], atol=1e-12, rtol=0)
    torch.testing.assert_close(two[:, 0], outputs.amax(1), atol=1e-12, rtol=0)
    # along a line through the domain the class changes as often as it crosses a segment
    for height in (-1.7, -0.31, 0.42, 1.13):
        ends = segments[..., 1] - height
        crossed = int((ends[:, 0] * ends[:, 1] < 0).sum())
        track = torch.stack([torch.linspace(-3, 3, 20001, dtype=DOUBLE), torch.full((20001,), height, dtype=DOUBLE)], 1)
        along = forward(net, plane.at(track))[0]
        winner = (along[:, 0] > 0).long() if classes == 1 else along.argmax(1)
        assert int((winner.diff() != 0).sum()) == crossed


def test_a_boundary_along_a_fold_is_found_once() -> None:
    # outputs relu(x) − relu(−x) and 0 are equal on the very line on which both units turn on
    net = [Layer(rows((1, 0), (-1, 0)), None), Layer(rows((1, -1), (0, 0)), None)]
    segments, pairs = decision_boundary(partition(net, PLANE, square(1.0)))
    assert pairs.tolist() == [[0, 1]]
    assert segments[..., 0].abs().max() == 0
    assert (segments[0, 0] - segments[0, 1]).norm() == 2
    none = decision_boundary(partition([Layer(rows((0, 0), (0, 0)), rows((1, 0))[0])], PLANE, square(1.0)))
    assert none[0].shape == (0, 2, 2)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: slice_through(torch.zeros(2, 5)), "three finite ones"),
        (lambda: slice_through(torch.ones(3, 5)), "three points on a line"),
        (lambda: slice_through(rows((0, 0, 0), (1, 1, 1), (2, 2, 2))), "three points on a line"),
        (lambda: partition([], PLANE, square(1)), "no layer was given"),
        (lambda: partition([Layer(torch.ones(1, 3), None)], PLANE, square(1)), "where 2 numbers come in"),
        (lambda: partition([Layer(torch.full((1, 2), math.nan), None)], PLANE, square(1)), "NaN or Inf"),
        (lambda: partition([Layer(torch.ones(1, 2), None)], PLANE, square(1)[:2]), "three or more finite corners"),
        (lambda: partition([Layer(torch.ones(1, 2), None)], PLANE, square(0)), "has no area"),
        (
            lambda: partition([Layer(torch.ones(1, 2), None)], PLANE, rows((0, 0), (2, 0), (0.1, 0.1), (0, 2))),
            "is not convex",
        ),
        (lambda: partition([Layer(torch.ones(1, 2), None)], PLANE, square(1), chunk=0), "chunk = 0"),
        (lambda: partition([Layer(torch.ones(1, 2), None)], Slice(torch.zeros(2), torch.eye(3)), square(1)), "basis"),
    ],
)
def test_wrong_arguments(call, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()
