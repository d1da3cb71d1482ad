"""Moments: together equal all at once, shifts cost no digits, bad input gets one sentence."""

from __future__ import annotations

import doctest

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.errors import UsageError
from grokscope.linalg import moments as module
from grokscope.linalg.moments import Moments, merged, moments

quick = settings(derandomize=True, deadline=None, max_examples=30)


def samples(count: int, units: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, units, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(one: Moments, other: Moments, tolerance: float = 1e-10) -> bool:
    return all(
        torch.allclose(a, b, rtol=tolerance, atol=tolerance)
        for a, b in ((one.counts, other.counts), (one.means, other.means), (one.within, other.within))
    )


def test_the_documented_examples_hold():
    assert doctest.testmod(module).failed == 0


@quick
@given(cut=st.integers(1, 29), classes=st.integers(1, 4), seed=st.integers(0, 1000))
def test_together_equals_all_at_once(cut: int, classes: int, seed: int):
    z = samples(30, 5, seed)
    labels = torch.randint(0, classes, (30,), generator=torch.Generator().manual_seed(seed))
    whole = moments(z, labels, number=classes)
    parts = merged(moments(z[:cut], labels[:cut], number=classes), moments(z[cut:], labels[cut:], number=classes))
    assert close(whole, parts)
    # without classes: the covariance that torch computes
    assert torch.allclose(whole.covariance, torch.cov(z.T), rtol=1e-10, atol=1e-12)
    assert torch.allclose(moments(z).covariance, torch.cov(z.T), rtol=1e-10, atol=1e-12)


def test_a_class_that_only_one_part_has_seen():
    z = samples(6, 2)
    first, second = moments(z[:3], torch.zeros(3).long(), number=2), moments(z[3:], torch.ones(3).long(), number=2)
    assert close(merged(first, second), moments(z, torch.tensor([0, 0, 0, 1, 1, 1])))


def test_a_mean_a_million_times_the_spread_costs_no_digits():
    z = samples(1000, 3)
    exact = moments(z).within
    parts = [moments(part + 1e6) for part in z.split(100)]
    found = parts[0]
    for part in parts[1:]:
        found = merged(found, part)
    # 1e6 + z is rounded to 1e-10; Σ zzᵀ − n mean meanᵀ would be off by about 0.1
    assert torch.allclose(found.within, exact, rtol=1e-9, atol=1e-7)


def test_float32_and_bfloat16_samples_are_summed_in_float64():
    z = samples(50, 4)
    for dtype in (torch.float32, torch.bfloat16):
        assert close(moments(z.to(dtype)), moments(z.to(dtype).double()), 0)
        assert moments(z.to(dtype)).within.dtype == torch.float64


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (torch.zeros(0, 3), "at least one of each"),
        (torch.zeros(3), "at least one of each"),
        (torch.zeros(2, 3).long(), "real floating-point numbers"),
        (torch.zeros(2, 3, device="meta"), "on the meta device"),
        (torch.tensor([[1.0, float("nan")]]), "hold 1 values that are NaN or infinite"),
        ([[1.0]], "of type list were given"),
    ],
)
def test_bad_samples_get_one_sentence(bad: object, said: str):
    with pytest.raises(UsageError, match=said):
        moments(bad)  # type: ignore[arg-type]


def test_bad_classes_get_one_sentence():
    z = samples(3, 2)
    with pytest.raises(UsageError, match="give one whole number a sample"):
        moments(z, torch.zeros(2).long())
    with pytest.raises(UsageError, match="give one whole number a sample"):
        moments(z, torch.zeros(3))
    with pytest.raises(UsageError, match="classes are 0 … 1"):
        moments(z, torch.tensor([0, 1, 2]), number=2)
    with pytest.raises(UsageError, match="only those of the same classes and units"):
        merged(moments(z), moments(samples(3, 4)))
