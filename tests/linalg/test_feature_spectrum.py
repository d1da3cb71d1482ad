"""Feature ranks: the examples of the sheet, closed forms, invariances."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.errors import UsageError
from grokscope.linalg import feature_spectrum
from grokscope.linalg.feature_spectrum import components, feature_ranks, feature_variances, tunnel_length

quick = settings(derandomize=True, deadline=None, max_examples=25)


def features(seed: int, count: int = 40, units: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    scales = torch.logspace(0, -3, units, dtype=torch.float64)
    return torch.randn(count, units, generator=generator, dtype=torch.float64) * scales


def rotation(seed: int, units: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(units, units, generator=generator, dtype=torch.float64)).Q


def test_the_documented_examples_hold():
    assert doctest.testmod(feature_spectrum).failed == 0


def test_the_covariance_squares_the_spectrum():
    # sheet 06, 3.1: ±diag(1, 1e-3, 1e-6, 1e-7, 1e-8) has rank 5, its float64 covariance 4
    half = torch.diag(torch.tensor([1.0, 1e-3, 1e-6, 1e-7, 1e-8], dtype=torch.float64))
    ten = torch.cat([half, -half])
    assert int(torch.linalg.matrix_rank(ten)) == 5
    found = feature_ranks(feature_variances(ten))
    assert found["numerical"] == 4
    assert (found["above_0.1"], found["above_0.01"], found["above_0.001"]) == (1, 1, 1)
    assert found["above_1e-6"] in (2, 3)  # the third direction lies on the edge


def test_the_printed_rows_have_rank_two():
    rows = torch.tensor([[1.0, 0, 1], [0, 1, 1], [1, 1, 2], [2, 0, 2], [0, 0, 0]])
    variances = feature_variances(rows)
    assert variances.tolist() == pytest.approx([1.25, 0.45, 0.0], abs=1e-12)  # sheet 06, 3.1
    assert feature_ranks(variances)["numerical"] == 2


def test_equal_spreads():
    found = feature_ranks(torch.tensor([9.0, 9.0, 9.0]))
    assert found["effective"] == pytest.approx(3, abs=1e-12)
    assert found["stable"] == pytest.approx(3, abs=1e-12)
    assert found["participation"] == pytest.approx(3, abs=1e-12)
    assert found["components"] == 3


def test_two_spreads_by_hand():
    # σ = 3, 1: p = 3/4, 1/4; λ = 9, 1
    found = feature_ranks(torch.tensor([9.0, 1.0]), explained=0.9)
    assert found["effective"] == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)), abs=1e-12)
    assert found["stable"] == pytest.approx(10 / 9, abs=1e-12)
    assert found["participation"] == pytest.approx(100 / 82, abs=1e-12)
    assert found["components"] == 1
    assert feature_ranks(torch.tensor([9.0, 1.0]), explained=0.91)["components"] == 2


def test_features_that_are_all_equal():
    found = feature_ranks(feature_variances(torch.ones(4, 3)))
    assert found["numerical"] == found["components"] == found["above_0.1"] == 0
    assert math.isnan(found["effective"])
    assert math.isnan(found["stable"])


@quick
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_scale_rotation_shift_and_order_leave_the_ranks(seed: int, scale: float, shift: float):
    z = features(seed)
    expected = feature_ranks(feature_variances(z))
    turned = scale * z @ rotation(seed + 1, 6) + shift
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    for other in (turned, z[order], z.flip(1)):
        found = feature_ranks(feature_variances(other))
        for key in ("numerical", "above_0.1", "above_0.01", "components"):
            assert found[key] == expected[key]
        for key in ("effective", "stable", "participation"):
            assert found[key] == pytest.approx(expected[key], rel=1e-6)


def test_as_the_singular_values_of_the_centred_features():
    z = features(3)
    sigma = torch.linalg.svdvals(z - z.mean(0))
    assert torch.allclose(feature_variances(z), sigma.square() / 39, rtol=1e-9)
    shares = sigma / sigma.sum()
    assert feature_ranks(feature_variances(z))["effective"] == pytest.approx(
        float((-(shares * shares.log()).sum()).exp()), rel=1e-9
    )


def test_float32_features_have_the_same_ranks():
    z = features(5)
    whole, half = feature_ranks(feature_variances(z)), feature_ranks(feature_variances(z.float()))
    # float32 rounds entries by 6e-8 of their size
    for key in ("numerical", "above_0.001", "components"):
        assert whole[key] == half[key]
    assert half["effective"] == pytest.approx(whole["effective"], rel=1e-6)


def test_components_and_tunnels():
    assert components(torch.tensor([0.0, 0.0]), 0.99) == 0
    assert components(torch.tensor([1.0] * 10), 1.0) == 10
    assert tunnel_length([400, 299, 300, 10], [400] * 4) == 2  # strictly below 300
    assert tunnel_length([400, 299, 300, 10], [400, 400, 400, 10]) == 1


def test_bad_values_get_one_sentence():
    with pytest.raises(UsageError, match="a covariance needs two"):
        feature_variances(torch.ones(1, 3))
    with pytest.raises(UsageError, match="share of the variance"):
        feature_ranks(torch.ones(3), explained=0.0)
    with pytest.raises(UsageError, match="give at least one"):
        feature_ranks(torch.ones(0))
    with pytest.raises(UsageError, match="one width a layer"):
        tunnel_length([1, 2], [3])
