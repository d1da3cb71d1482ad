"""Neural collapse: exact for a simplex, for isotropic spread, for pseudo-inverses written out; invariances."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import neural_collapse as module
from grokscope.linalg.neural_collapse import nearest_mean, neural_collapse, self_duality, simplex_distances, whitening

quick = settings(derandomize=True, deadline=None, max_examples=20)


def simplex(classes: int, units: int, size: float = 2.0) -> Tensor:
    """Return the corners of a simplex of norm ``size``, turned and moved off the origin."""
    corners = torch.zeros(classes, units, dtype=torch.float64)
    corners[:, :classes] = torch.eye(classes, dtype=torch.float64) - 1 / classes
    corners = corners * size / math.sqrt(1 - 1 / classes)
    turn = torch.randn(units, units, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return corners @ torch.linalg.qr(turn).Q + 5.0


def clusters(seed: int, classes: int = 4, units: int = 6, each: int = 10) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat(each)
    centres = torch.randn(classes, units, generator=generator, dtype=torch.float64)
    spread = torch.randn(len(labels), units, generator=generator, dtype=torch.float64)
    return centres[labels] + 0.3 * spread, labels


def test_the_documented_examples_hold():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(("classes", "units"), [(2, 3), (4, 4), (10, 12)])
def test_a_simplex_is_complete_collapse(classes: int, units: int):
    means = simplex(classes, units)
    labels = torch.arange(classes).repeat(3)
    weights = 7 * (means - means.mean(0))
    found = neural_collapse(means[labels], labels, weights)
    assert set(found) == {
        "within",
        *(f"{of}_{key}" for of in ("means", "weights") for key in ("equinorm", "equiangular", "widest")),
        "self_duality",
    }
    assert all(value == pytest.approx(0, abs=1e-12) for value in found.values())
    assert nearest_mean(means[labels], means).tolist() == labels.tolist()


def test_spread_around_a_simplex_in_closed_form():
    # each corner ± σ along every axis: Σ_W = σ²/d · 1 in d dimensions, NC1 = (σ²/d)(K − 1)²/(r²K)
    classes, units, sigma, size = 3, 5, 0.2, 2.0
    means = simplex(classes, units, size)
    steps = sigma * torch.cat([torch.eye(units, dtype=torch.float64), -torch.eye(units, dtype=torch.float64)])
    features = (means[:, None] + steps).flatten(0, 1)
    labels = torch.arange(classes).repeat_interleave(2 * units)
    expected = sigma**2 / units * (classes - 1) ** 2 / (size**2 * classes)
    assert neural_collapse(features, labels)["within"] == pytest.approx(expected, rel=1e-10)


@quick
@given(seed=st.integers(0, 1000))
def test_within_as_a_trace_of_matrices(seed: int):
    z, labels = clusters(seed)
    means = torch.stack([z[labels == k].mean(0) for k in range(4)])
    residuals = z - means[labels]
    centred = means - means.mean(0)
    between = centred.T @ centred / 4
    expected = torch.trace(residuals.T @ residuals / len(z) @ torch.linalg.pinv(between, rtol=1e-10)) / 4
    assert neural_collapse(z, labels)["within"] == pytest.approx(float(expected), rel=1e-8)
    assert whitening(means).shape == (6, 3)


@quick
@given(seed=st.integers(0, 1000), scale=st.floats(1e-2, 1e2), shift=st.floats(-10, 10))
def test_scale_rotation_shift_and_order_change_nothing(seed: int, scale: float, shift: float):
    z, labels = clusters(seed)
    turn = torch.linalg.qr(clusters(seed + 1)[0][:6]).Q
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))
    weights = clusters(seed + 2)[0][:4]
    expected = neural_collapse(z, labels, weights)
    turned = neural_collapse(scale * z @ turn + shift, labels, 3 * weights @ turn)
    mixed = neural_collapse(z[order], labels[order], weights)
    for key, value in expected.items():
        assert turned[key] == pytest.approx(value, rel=1e-7)
        assert mixed[key] == pytest.approx(value, rel=1e-9)


def test_by_hand():
    # three orthogonal rows: equal norms, all angles 90°, 1/2 from the widest
    found = simplex_distances(torch.eye(3), centre=False)
    assert found == pytest.approx({"equinorm": 0, "equiangular": 0, "widest": 0.5}, abs=1e-15)
    # norms 1 and 3
    assert simplex_distances(torch.tensor([[1.0], [-3.0]]), centre=False)["equinorm"] == pytest.approx(0.5)
    means = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert self_duality(means, -means) == pytest.approx(4)
    assert self_duality(means, torch.tensor([[0.0, 1.0], [0.0, -1.0]])) == pytest.approx(2)


def test_equal_means_have_no_geometry():
    z = torch.full((6, 2), 0.1)
    found = neural_collapse(z, torch.tensor([0, 0, 1, 1, 2, 2]), torch.zeros(3, 2))
    assert all(math.isnan(value) for value in found.values())


def test_float32_features_give_the_same():
    z, labels = clusters(0)
    one, other = neural_collapse(z, labels), neural_collapse(z.float(), labels)
    assert other == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: neural_collapse(torch.ones(3, 2), torch.zeros(3).long()), "neural collapse needs two"),
        (lambda: neural_collapse(torch.ones(3, 2), torch.tensor([0, 2, 2])), "a class without samples"),
        (lambda: neural_collapse(torch.ones(3, 2), torch.zeros(2).long()), "one whole number each"),
        (lambda: neural_collapse(torch.tensor([[math.nan]]), torch.zeros(1).long()), "NaN or infinite"),
        (lambda: self_duality(torch.eye(2), torch.eye(3)), "equal shapes"),
    ],
)
def test_bad_values_get_one_sentence(call: object, said: str):
    with pytest.raises(UsageError, match=said):
        call()  # type: ignore[operator]
