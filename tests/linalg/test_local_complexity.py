"""Counts of cuts against closed forms, invariances, first-order counts; points of the boundary."""

from __future__ import annotations

import doctest
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import local_complexity
from grokscope.linalg.cross_polytope import orthonormal_frame
from grokscope.linalg.local_complexity import (
    Run,
    See,
    boundary_points,
    critical_radii,
    cut_counts,
    deformations,
    is_cut,
    mean_and_interval,
)

Layers = list[tuple[Tensor, Tensor]]
DOUBLE = torch.float64


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def network(*widths: int, seed: int = 0, scale: float = 1.0) -> Layers:
    return [
        (
            scale * normal(after, before, seed=seed + 2 * at) / math.sqrt(before),
            normal(after, seed=seed + 2 * at + 1) / 3,
        )
        for at, (before, after) in enumerate(itertools.pairwise(widths))
    ]


def preactivations(layers: Layers, activation=torch.relu):
    def values(points: Tensor) -> dict[str, Tensor]:
        found, hidden = {}, points
        for at, (weight, bias) in enumerate(layers):
            found[str(at)] = hidden @ weight.T + bias
            hidden = activation(found[str(at)])
        return found

    return values


def run_of(layers: Layers, activation=torch.relu) -> Run:
    def run(vertices: Tensor, _rows: Tensor, see: See) -> None:
        for name, values in preactivations(layers, activation)(vertices).items():
            see(name, values)

    return run


def counts(layers: Layers, points: Tensor, frame: Tensor, radius: float, **options) -> list[list[float]]:
    activation = options.pop("activation", torch.relu)
    found = cut_counts(run_of(layers, activation), points, frame, radius, **options)
    return [cuts.counts.tolist() for cuts in found.values()]


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(local_complexity).failed == 0


def test_signs_are_compared_and_never_multiplied() -> None:
    low = torch.tensor([-1e-30, 0.0, 0.0, -1.0, 1.0, -2.0, -math.inf])
    high = torch.tensor([1e-30, 0.0, 1e-30, 0.0, 2.0, -1.0, math.inf])
    assert is_cut(low, high).tolist() == [True, False, True, True, False, False, True]


def test_two_layers_by_hand() -> None:
    first = torch.eye(2, dtype=DOUBLE), torch.tensor([0.05, 0.2], dtype=DOUBLE)
    second = torch.tensor([[1.0, -1.0], [1.0, 1.0]], dtype=DOUBLE), torch.tensor([0.1, -0.5], dtype=DOUBLE)
    origin, axes = torch.zeros(1, 2, dtype=DOUBLE), torch.eye(2, dtype=DOUBLE)
    assert counts([first, second], origin, axes, 0.1) == [[1.0], [1.0]]


@pytest.mark.parametrize("radius", [0.05, 0.15, 0.55, 0.95])
def test_parallel_planes_are_counted(radius: float) -> None:
    weight = torch.zeros(20, 5, dtype=DOUBLE)
    weight[:, 0] = 1
    bias = -0.1 * torch.arange(1, 21, dtype=DOUBLE)
    frame = torch.eye(5, dtype=DOUBLE)[:3]
    assert counts([(weight, bias)], torch.zeros(1, 5, dtype=DOUBLE), frame, radius) == [[math.floor(radius / 0.1)]]


@pytest.mark.parametrize("directions", [1, 4])
def test_without_bias_and_nonlinearity_everything_is_cut_at_the_origin(directions: int) -> None:
    layers = [(weight, torch.zeros_like(bias)) for weight, bias in network(9, 30, 20, 10)]
    frame = orthonormal_frame(9, directions, torch.Generator().manual_seed(3))
    origin = torch.zeros(1, 9, dtype=DOUBLE)
    assert counts(layers, origin, frame, 1e-4, activation=lambda x: x) == [[30.0], [20.0], [10.0]]
    assert counts(layers, origin, frame, 1e-4)[0] == [30.0]


@given(st.integers(0, 10**6), st.floats(0.01, 2), st.floats(1.0, 3))
@settings(max_examples=20, deadline=None)
def test_one_layer_is_the_closed_form_and_grows_with_radius_and_frame(seed: int, radius: float, factor: float) -> None:
    ((weight, bias),) = layers = network(6, 15, seed=seed)
    points, frame = normal(4, 6, seed=seed + 7), orthonormal_frame(6, 5, torch.Generator().manual_seed(seed))
    (found,) = counts(layers, points, frame, radius)
    reach = radius * (weight @ frame.T).abs().amax(1)
    assert found == ((points @ weight.T + bias).abs() <= reach).sum(1).tolist()
    (wider,) = counts(layers, points, frame, radius * factor)
    (fewer,) = counts(layers, points, frame[:3], radius)
    assert all(one <= other for one, other in zip(found, wider, strict=True))
    assert all(one <= other for one, other in zip(fewer, found, strict=True))


@given(st.integers(0, 10**6), st.floats(0.1, 10), st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_what_leaves_the_function_alone_leaves_the_counts_alone(seed: int, factor: float, at: int) -> None:
    layers, points = network(6, 12, 10, 8, seed=seed), normal(5, 6, seed=seed + 9)
    frame = orthonormal_frame(6, 4, torch.Generator().manual_seed(seed))
    expected = counts(layers, points, frame, 0.3)
    # a power of two, so that rounding is scaled too
    power = 2.0 ** round(math.log2(factor))
    scaled = [(w * power, b * power) if one == at else (w, b) for one, (w, b) in enumerate(layers)]
    # the layers after it see values that are scaled as well
    for later in range(at + 1, 3):
        scaled[later] = (scaled[later][0], scaled[later][1] * power)
    assert counts(scaled, points, frame, 0.3) == expected
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    permuted = [(layers[0][0][order], layers[0][1][order]), (layers[1][0][:, order], layers[1][1]), layers[2]]
    assert counts(permuted, points, frame, 0.3) == expected
    shift = normal(6, seed=seed + 11)
    moved = [(layers[0][0], layers[0][1] - layers[0][0] @ shift), *layers[1:]]
    assert counts(moved, points + shift, frame, 0.3) == expected


def test_small_radii_are_the_first_order_count_at_every_layer() -> None:
    layers, points = network(8, 60, 50, 40, 30), normal(300, 8, seed=5)
    frame = orthonormal_frame(8, 6, torch.Generator().manual_seed(1))
    radii = critical_radii(preactivations(layers), points, frame)
    for radius in (1e-4, 1e-3):
        expected = [(found <= radius).sum(1).tolist() for found in radii.values()]
        assert counts(layers, points, frame, radius) == expected
    assert sum(map(sum, expected)) > 10
    # tanh has no kink, but its units change sign the same way
    smooth = critical_radii(preactivations(layers, torch.tanh), points, frame)
    assert counts(layers, points, frame, 1e-4, activation=torch.tanh) == [
        (found <= 1e-4).sum(1).tolist() for found in smooth.values()
    ]


def test_units_without_weights_are_never_cut() -> None:
    weight, bias = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]), torch.tensor([0.0, 1.0, 0.0])
    assert counts([(weight, bias)], torch.zeros(1, 2), torch.eye(2), 0.1) == [[1.0]]
    values = lambda x: {"0": x @ weight.T + bias}  # noqa: E731
    assert critical_radii(values, torch.zeros(1, 2), torch.eye(2))["0"].tolist() == [[math.inf, math.inf, 0.0]]


@pytest.mark.parametrize("chunk", [1, 3, 8, 30, 10**6])
def test_any_chunk_gives_the_same_counts(chunk: int) -> None:
    layers, points = network(6, 12, 10), normal(7, 6, seed=1)
    frame = orthonormal_frame(6, 4, torch.Generator().manual_seed(0))
    largest = []

    def run(vertices: Tensor, rows: Tensor, see: See) -> None:
        largest.append(len(vertices))
        assert torch.equal((vertices - points[rows]).norm(dim=1) < 0.5 + 1e-9, torch.ones(len(rows), dtype=torch.bool))
        run_of(layers)(vertices, rows, see)

    found = cut_counts(run, points, frame, 0.5, chunk=chunk)
    assert max(largest) <= chunk
    assert [cuts.counts.tolist() for cuts in found.values()] == counts(layers, points, frame, 0.5)
    assert [cuts.units for cuts in found.values()] == [12, 10]


def test_rows_of_vertices_are_found_wherever_they_are() -> None:
    points, frame = normal(3, 4), torch.eye(4, dtype=DOUBLE)[:2]

    def run(vertices: Tensor, _rows: Tensor, see: See) -> None:
        values = vertices.view(-1, 2, 2)
        see("batch first", values)
        see("batch second", values.transpose(0, 1))
        see("positions folded in", values.flatten(0, 1))
        see("no batch", torch.arange(5, dtype=DOUBLE))
        see("empty", vertices[:, :0])

    found = cut_counts(run, points, frame, 0.5)
    assert set(found) == {"batch first", "batch second", "positions folded in"}
    assert all(cuts.units == 4 for cuts in found.values())
    assert len({tuple(cuts.counts.tolist()) for cuts in found.values()}) == 1


def test_a_nan_is_no_count() -> None:
    def run(vertices: Tensor, _rows: Tensor, see: See) -> None:
        see("site", torch.where(vertices > 5, math.nan, vertices))

    counts = cut_counts(run, torch.tensor([[0.0, 1.0], [9.0, 1.0]]), torch.eye(2), 0.1)["site"].counts
    assert counts[0] == 1
    assert counts[1].isnan()


def test_deformations_of_isometries_and_of_scaled_axes() -> None:
    points, frame = normal(6, 3), torch.eye(3, dtype=DOUBLE)
    turn = torch.linalg.qr(normal(3, 3, seed=4)).Q
    scales = torch.tensor([3.0, 1.0, 1.0], dtype=DOUBLE)

    def run(vertices: Tensor, _rows: Tensor, see: See) -> None:
        see("turned", vertices @ turn)
        see("stretched", vertices * scales)

    found = deformations(run, points, frame, 0.2, chunk=13)
    torch.testing.assert_close(found["turned"][0], torch.ones(6, dtype=DOUBLE))
    # from 3e_1 to −3e_1 over e_2: 2√10; from e_2 to −e_2 over e_3: 2√2; from e_2 to 3e_1 directly √10
    mean, largest = (sizes[0].item() for sizes in found["stretched"])
    assert largest == pytest.approx(2 * math.sqrt(10) / (2 * math.sqrt(2)))
    assert mean == pytest.approx((2 * 2 * math.sqrt(10) + 4 * math.sqrt(10)) / 6 / (2 * math.sqrt(2)))
    with pytest.raises(UsageError, match="all vertices of a point at once"):
        deformations(run, points, frame, 0.2, chunk=5)
    with pytest.raises(UsageError, match="1 directions"):
        deformations(run, points, frame[:1], 0.2)


def test_intervals() -> None:
    mean, half = mean_and_interval(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert (mean, half) == (3.0, pytest.approx(2.576 * math.sqrt(14 / 3) / 2))
    assert math.isnan(mean_and_interval(torch.tensor([1.0]))[1])


def test_points_of_the_boundary_are_on_it() -> None:
    ones, others = normal(50, 3, seed=1).view(50, 1, 3), normal(50, 3, seed=2).view(50, 1, 3)
    score = lambda x: x[..., 0] - 0.2  # noqa: E731
    asked = []

    def classes(points: Tensor, which: Tensor) -> Tensor:
        asked.append(which)
        return (score(points) > 0).long()  # one position, as for sequences

    points, pairs = boundary_points(classes, ones, others)
    differ = ((score(ones) > 0) != (score(others) > 0))[:, 0]
    assert pairs.tolist() == differ.nonzero().flatten().tolist()
    assert 10 < len(pairs) < 40
    assert all(torch.equal(which, pairs) for which in asked[2:])
    assert score(points).abs().max() < 1e-11
    assert torch.equal(score(points) > 0, score(ones[pairs]) > 0)
    along = (points - ones[pairs]).norm(dim=2) + (points - others[pairs]).norm(dim=2)
    torch.testing.assert_close(along, (ones[pairs] - others[pairs]).norm(dim=2))


def test_without_a_boundary_there_are_no_points() -> None:
    points, pairs = boundary_points(lambda x, _: torch.zeros(len(x)).long(), normal(4, 2), normal(4, 2, seed=1))
    assert points.shape == (0, 2)
    assert len(pairs) == 0
    points, pairs = boundary_points(lambda x, _: torch.zeros(len(x)).long(), normal(0, 2), normal(0, 2))
    assert points.shape == (0, 2)


def test_wrong_arguments() -> None:
    run = run_of(network(2, 3))
    with pytest.raises(UsageError, match="chunk = 0"):
        cut_counts(run, normal(3, 2), torch.eye(2), 0.1, chunk=0)
    with pytest.raises(UsageError, match="radius = -1"):
        cut_counts(run, normal(3, 2), torch.eye(2), -1)
    with pytest.raises(UsageError, match="pairs are of equal shape"):
        boundary_points(lambda x, _: x, normal(3, 2), normal(4, 2))
