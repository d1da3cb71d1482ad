"""Circles of embeddings: a perfect one comes out as one, in any position, and distances in a plane are true."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cubes import random_logits, wave
from grokscope.errors import UsageError
from grokscope.linalg import circles


def rotation(d: int, seed: int) -> Tensor:
    return torch.linalg.qr(random_logits(d, d, seed)[0]).Q


def on_circles(p: int, radii: dict[int, float], d: int, seed: int = 0) -> Tensor:
    columns = [column for k, r in radii.items() for column in (r * wave(p, k), r * wave(p, k, math.pi / 2))]
    flat = torch.stack(columns, dim=1)
    return torch.nn.functional.pad(flat, (0, d - flat.shape[1])) @ rotation(d, seed)


def test_the_documented_examples_hold():
    assert doctest.testmod(circles).failed == 0


@given(p=st.integers(5, 13), seed=st.integers(0, 50), radius=st.floats(0.01, 100))
def test_perfect_circles_come_out_with_their_radius_and_angle(p: int, seed: int, radius: float):
    embedding = on_circles(p, {1: radius, 2: 1.0}, 6, seed) + 7  # the mean is no part of a circle
    points = circles.circle_points(embedding, [1, 2])
    for index, (k, r) in enumerate(((1, radius), (2, 1.0))):
        if 2 * k < p:
            expected = r * torch.stack([wave(p, k), wave(p, k, math.pi / 2)], dim=1)
            torch.testing.assert_close(points[index], expected, rtol=1e-9, atol=1e-9 * radius + 1e-9)
    assert circles.plane_share(embedding, [1, 2]).item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("p", [6, 7, 12, 13])
def test_points_are_distances_in_the_plane_of_the_slow_definition(p: int):
    embedding = random_logits(p, 9)[0]
    centred = embedding - embedding.mean(0)
    for k in (1, 2):
        # the plane, by Gram-Schmidt in plain loops over the residues
        cosine = sum((wave(p, k)[a] * embedding[a] for a in range(p)), torch.zeros(9, dtype=torch.float64))
        sine = sum((wave(p, k, math.pi / 2)[a] * embedding[a] for a in range(p)), torch.zeros(9, dtype=torch.float64))
        first = cosine / cosine.norm()
        second = sine - (sine @ first) * first
        second = second / second.norm()
        expected = torch.stack([centred @ first, centred @ second], dim=1)
        points = circles.circle_points(embedding, [k])[0]
        torch.testing.assert_close(torch.cdist(points, points), torch.cdist(expected, expected), rtol=1e-9, atol=1e-9)
        share = expected.square().sum() / centred.square().sum()
        torch.testing.assert_close(circles.plane_share(embedding, [k]), share, rtol=1e-10, atol=0)


@given(seed=st.integers(0, 50))
def test_turning_the_embedding_moves_no_point(seed: int):
    embedding = random_logits(7, 5, seed)[0]
    turned = embedding @ rotation(5, seed + 1)
    points, others = circles.circle_points(embedding, [1, 3]), circles.circle_points(turned, [1, 3])
    torch.testing.assert_close(points, others, rtol=1e-8, atol=1e-9)


def test_the_frequency_without_a_sine_is_a_line():
    points = circles.circle_points(random_logits(6, 4)[0], [3])[0]
    assert points.norm(dim=0)[0] > 0.1
    assert points[:, 1].abs().max() < 1e-12


def test_without_keys_or_variance_there_is_nothing_to_draw():
    embedding = random_logits(7, 5)[0]
    assert circles.circle_points(embedding, []).shape == (0, 7, 2)
    assert circles.plane_share(embedding, []).item() == 0
    assert circles.circle_points(torch.ones(7, 5), [1]).abs().max() == 0
    assert circles.plane_share(torch.ones(7, 5), [1]).isnan()


def test_in_few_dimensions_the_planes_are_everything():
    assert circles.plane_share(random_logits(7, 2)[0], [2]).item() == pytest.approx(1, abs=1e-12)


def test_float32_is_computed_in_float64():
    embedding = random_logits(7, 5)[0]
    found = circles.circle_points(embedding.float(), [1])
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, circles.circle_points(embedding, [1]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("call", [circles.circle_points, circles.plane_share])
def test_bad_input_is_told_in_a_sentence(call):
    with pytest.raises(UsageError, match="no frequency 4 exists modulo 7"):
        call(torch.ones(7, 2), [4])
    with pytest.raises(UsageError, match="give 2 axes"):
        call(torch.ones(7), [1])
