"""Traps put back in their places: one entry, a spread component, noise; the Jensen–Shannon divergence."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import golden_spectra
from grokscope.errors import UsageError
from grokscope.linalg.shuffles import shuffled, trap_counts
from grokscope.linalg.traps import jensen_shannon, traps, without

SPREAD, SINGLE = (torch.tensor(golden_spectra.MATRICES[name]) for name in ("S1", "B1"))


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(4))
def test_a_single_entry_is_a_trap_and_a_spread_component_is_none(seed: int) -> None:
    assert traps(SPREAD, generator=draw(seed)) == []
    (found,) = traps(SINGLE, generator=draw(seed))
    assert divmod(int(found.artefact.abs().argmax()), 150) == (17, 23)
    assert float(found.artefact[17, 23]) == pytest.approx(60, rel=0.08)
    assert float(found.artefact.square().sum().sqrt()) == pytest.approx(found.value, rel=1e-12)
    # without it the entry is an ordinary one, and the matrix has no trap
    left = without(SINGLE, [found])
    assert abs(float(left[17, 23])) < 6
    assert traps(left, generator=draw(seed)) == []


def test_the_trap_is_a_component_of_the_shuffled_matrix() -> None:
    (found,) = traps(SINGLE, generator=draw(3))
    order = torch.randperm(SINGLE.numel(), generator=draw(3))
    shuffled_matrix = SINGLE.flatten()[order].view(SINGLE.shape)
    component = found.artefact.flatten()[order].view(SINGLE.shape)
    left, values, right = torch.linalg.svd(shuffled_matrix)
    torch.testing.assert_close(component, values[0] * torch.outer(left[:, 0], right[0]))
    assert int(torch.linalg.matrix_rank(component)) == 1
    # taking it out leaves all other singular values
    rest = without(SINGLE, [found]).flatten()[order].view(SINGLE.shape)
    torch.testing.assert_close(torch.linalg.svdvals(rest)[:-1], values[1:])


def test_as_many_as_are_counted_the_largest_first() -> None:
    weight = torch.randn(60, 90, generator=draw(1))
    weight[[3, 20, 41], [5, 6, 80]] = torch.tensor([30.0, -50.0, 40.0])
    found = traps(weight, generator=draw(2))
    assert len(found) == float(trap_counts(shuffled(weight, generator=draw(2), replicas=1))[0]) == 3
    assert [divmod(int(one.artefact.abs().argmax()), 90)[0] for one in found] == [20, 41, 3]
    assert sorted((one.value for one in found), reverse=True) == [one.value for one in found]
    assert len(traps(weight, generator=draw(2), most=2)) == 2
    assert traps(weight, generator=draw(2), score=1e9) == []
    assert traps(torch.zeros(4, 5), generator=draw()) == traps(torch.ones(1, 5), generator=draw()) == []


@given(st.floats(1e-3, 1e3), st.booleans())
def test_scale_and_sign_do_not_matter(scale: float, negative: bool) -> None:
    weight = torch.randn(20, 30, generator=draw(1), dtype=torch.float64)
    weight[3, 5] = 30.0
    factor = -scale if negative else scale
    (one,), (other,) = traps(weight, generator=draw()), traps(factor * weight, generator=draw())
    assert other.score == pytest.approx(one.score, rel=1e-9)
    torch.testing.assert_close(other.artefact, factor * one.artefact)


def test_noise_has_the_moments_of_what_it_replaces_and_float32_agrees() -> None:
    (found,) = traps(SINGLE, generator=draw())
    noise = without(SINGLE, [found], generator=draw(5)) - without(SINGLE, [found])
    assert float(noise.std()) == pytest.approx(float(found.artefact.std()), rel=0.02)
    assert torch.equal(without(SINGLE, [found], generator=draw(5)), without(SINGLE, [found], generator=draw(5)))
    (single,) = traps(SINGLE.float(), generator=draw())
    torch.testing.assert_close(single.artefact, found.artefact, rtol=1e-4, atol=1e-5)
    assert without(SINGLE.float(), [single]).dtype == torch.float32


def test_wrong_matrices_are_told() -> None:
    with pytest.raises(UsageError, match="one with 3 axes was given"):
        traps(torch.ones(2, 2, 2), generator=draw())
    with pytest.raises(UsageError, match="values that are not finite"):
        traps(torch.tensor([[1.0, math.nan]]), generator=draw())


def test_the_divergence_by_hand() -> None:
    p, q = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64), torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    middle = (p + q) / 2
    by_hand = float((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum()) / 2
    assert float(jensen_shannon(p.log() + 3, q.log())) == pytest.approx(by_hand, rel=1e-12)
    assert float(jensen_shannon(q.log(), p.log())) == pytest.approx(by_hand, rel=1e-12)
    assert float(jensen_shannon(p.log(), p.log())) == 0
    apart = jensen_shannon(torch.tensor([[800.0, 0.0]]), torch.tensor([[0.0, 800.0]]))
    assert float(apart) == pytest.approx(math.log(2))
    # a high temperature makes all alike
    assert float(jensen_shannon(p.log(), q.log(), temperature=100.0)) < by_hand / 1000
    with pytest.raises(UsageError, match="temperature = 0: give a positive number"):
        jensen_shannon(p, q, temperature=0.0)
