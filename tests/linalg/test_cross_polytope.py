"""Frames, vertices and the sizes of embedded cross-polytopes."""

from __future__ import annotations

import doctest
import itertools
import math

import pytest
import torch

from grokscope.errors import UsageError
from grokscope.linalg import cross_polytope as module
from grokscope.linalg.cross_polytope import checked_offsets, cross_polytope, deformation, orthonormal_frame


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(module).failed == 0


def test_frames_are_orthonormal_and_repeatable_and_have_no_preferred_sign() -> None:
    frame = orthonormal_frame(40, 25, generator())
    torch.testing.assert_close(frame @ frame.T, torch.eye(25, dtype=torch.float64), atol=1e-13, rtol=0)
    assert torch.equal(frame, orthonormal_frame(40, 25, generator()))
    # R's diagonal of plain Householder QR is of one sign, so that V's first entry would follow the Gaussian's
    first = torch.stack([orthonormal_frame(3, 3, generator(seed))[:, 0] for seed in range(400)])
    assert first.mean(0).abs().max() < 0.1
    assert abs(float(first.square().mean()) - 1 / 3) < 1e-12


@pytest.mark.parametrize("directions", [2, 5])
def test_a_cross_polytope_is_as_wide_as_it_is(directions: int) -> None:
    points = torch.randn(3, 7, generator=generator(), dtype=torch.float64)
    vertices = cross_polytope(points, orthonormal_frame(7, directions, generator(1)), 0.3)
    assert vertices.shape == (3, 2 * directions, 7)
    eccentricity, diameter = deformation(vertices)
    expected = torch.full((3,), 2 * math.sqrt(2) * 0.3, dtype=torch.float64)
    torch.testing.assert_close(eccentricity, expected)
    torch.testing.assert_close(diameter, expected)


def test_deformed_ones_are_what_shortest_paths_say() -> None:
    embedded = torch.randn(4, 6, 5, generator=generator(2), dtype=torch.float64)
    eccentricity, diameter = deformation(embedded)
    for point, vertices in enumerate(embedded):
        lengths = torch.cdist(vertices, vertices)
        for one in range(6):
            lengths[one, (one + 3) % 6] = math.inf
        for over, one, other in itertools.product(range(6), repeat=3):  # Floyd and Warshall
            lengths[one, other] = min(lengths[one, other], lengths[one, over] + lengths[over, other])
        longest = lengths.amax(1)
        assert eccentricity[point].item() == pytest.approx(longest.mean().item())
        assert diameter[point].item() == pytest.approx(longest.max().item())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: orthonormal_frame(2, 3, generator()), "3 orthonormal directions were asked for in 2 dimensions"),
        (lambda: orthonormal_frame(2, 0, generator()), "take 1 to 2"),
        (lambda: checked_offsets(torch.zeros(3, 2, dtype=torch.long), torch.eye(2), 1.0), "dtype torch.int64"),
        (lambda: checked_offsets(torch.zeros(0, 2), torch.eye(2), 1.0), "shape (0, 2)"),
        (lambda: checked_offsets(torch.zeros(2, 2, device="meta"), torch.eye(2), 1.0), "give real ones"),
        (lambda: checked_offsets(torch.full((1, 2), math.nan), torch.eye(2), 1.0), "NaN or Inf"),
        (lambda: checked_offsets(torch.zeros(1, 3), torch.eye(2), 1.0), "points of 3 numbers: give rows of 3"),
        (lambda: checked_offsets(torch.zeros(1, 2), torch.eye(2), 0.0), "radius = 0"),
        (lambda: checked_offsets(torch.zeros(1, 2), torch.eye(2), math.inf), "radius = inf"),
        (lambda: deformation(torch.zeros(1, 2, 3)), "two directions or more"),
        (lambda: deformation(torch.zeros(1, 5, 3)), "two directions or more"),
    ],
)
def test_wrong_arguments(call, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("(", r"\(").replace(")", r"\)")):
        call()
