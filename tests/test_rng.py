"""Draws as pure functions of their names."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
from scipy import stats
from torch import Tensor

from grokscope.rng import derive, generator, words
from grokscope.spec import Seeds


def test_a_draw_depends_on_its_names_and_on_nothing_else() -> None:
    first = torch.rand(5, generator=generator(3, "noise", 7))
    torch.rand(100)
    torch.rand(100, generator=generator(3, "noise", 8))
    assert torch.equal(first, torch.rand(5, generator=generator(3, "noise", 7)))


def test_each_name_matters() -> None:
    seeds = {
        derive(seed, *names)
        for seed in (0, 1, -1)
        for names in (("a",), ("b",), ("a", 1), ("a", 2), ("a", "1"), (1, "a"), ("a", 1, 2), ("a", 12), ("a1",), ())
    }
    assert len(seeds) == 30
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    torch.randn(3, generator=generator(0, "x"))
    assert torch.equal(torch.get_rng_state(), before)


def test_derivation_is_fixed_for_good() -> None:
    # stored runs are found and repeated by these numbers
    assert derive(0, "init") == 3687151546666213446
    assert derive(1, "noise", 5) == 5542555646962637504


def test_derivation_does_not_depend_on_the_process() -> None:
    code = "from grokscope.rng import derive; import sys; sys.stdout.write(str(derive(4, 'order', 2)))"
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) == derive(4, "order", 2)


def test_streams_of_a_base_seed_are_independent_and_can_be_set_by_hand() -> None:
    one, two = Seeds.derive(0), Seeds.derive(1, order=5)
    streams = ("init", "split", "noise", "measure")
    assert len({getattr(seeds, stream) for seeds in (one, two) for stream in streams}) == 8
    assert two.order == 5
    assert Seeds.derive(0) == one


# -- words, made of integer arithmetic on tensors ---------------------------------------------------


def fmix32(word: int) -> int:
    """Return the finalizer of MurmurHash3 as it is published."""
    word = (word ^ (word >> 16)) * 0x85EBCA6B % 2**32
    word = (word ^ (word >> 13)) * 0xC2B2AE35 % 2**32
    return word ^ (word >> 16)


def some(seed: int = 5, count: int = 1 << 16, name: str = "site", step: int = 0) -> Tensor:
    """Return words as integers in 0 … 2³²-1."""
    return words(torch.tensor(derive(seed, "noise")), count, step, name).long() + 2**31


@pytest.mark.parametrize("seed", [0, 1, derive(3, "noise"), 2**63 - 1, -(2**63)])
def test_words_are_those_of_the_formula(seed: int) -> None:
    found = words(torch.tensor(seed), 300, 17, "at_hidden.0")
    assert found.dtype == torch.int32
    key = (seed ^ derive(0, 17, "at_hidden.0")) % 2**64
    low, high = key % 2**32, key >> 32
    assert [word % 2**32 for word in found.tolist()] == [fmix32(fmix32(i ^ low) ^ high) for i in range(300)]


def test_words_are_fixed_for_good() -> None:
    assert words(torch.tensor(0), 3, "noise", 5).tolist() == [-2002058795, -1873381676, 159294359]


def test_words_of_members_are_those_of_each() -> None:
    seeds = torch.tensor([derive(seed, "noise") for seed in range(4)])
    together = torch.vmap(lambda seed: words(seed, 50, 3, "site"))(seeds)
    assert all(torch.equal(together[index], words(seed, 50, 3, "site")) for index, seed in enumerate(seeds))
    assert len({tuple(row.tolist()) for row in together}) == 4


@pytest.mark.parametrize("shift", [0, 8, 16, 24])
@pytest.mark.parametrize("step", [0, 1, 39_999])
def test_words_are_uniform(step: int, shift: int) -> None:
    found = (some(step=step) >> shift) % 256
    assert 1e-4 < stats.chisquare(torch.bincount(found, minlength=256).double().numpy())[1] < 1 - 1e-4


DRAWS = {
    "the next step": {"step": 1},
    "a far step": {"step": 30_000},
    "another member": {"seed": 6},
    "another site": {"name": "other"},
}


@pytest.mark.parametrize("shift", [0, 14, 28])
@pytest.mark.parametrize("other", [*DRAWS, "the next word", "the word a row on"])
def test_words_are_independent(other: str, shift: int) -> None:
    one = some()
    lag = {"the next word": 1, "the word a row on": 512}.get(other, 0)
    two = torch.roll(one, -lag) if lag else some(**DRAWS[other])  # type: ignore[arg-type]
    pairs = ((one >> shift) % 16) * 16 + (two >> shift) % 16
    counts = torch.bincount(pairs, minlength=256).double().view(16, 16)
    assert 1e-4 < float(stats.chi2_contingency(counts.numpy())[1]) < 1 - 1e-4  # type: ignore[arg-type]
    correlation = torch.corrcoef(torch.stack([one, two]).double())[0, 1]
    assert abs(float(correlation)) < 4 / 2**8


def test_every_bit_of_a_seed_moves_every_bit_of_a_word() -> None:
    seed, count = derive(5, "noise"), 4096
    before = words(torch.tensor(seed), count, 0, "site")
    bits = torch.arange(32)
    for bit in range(63):
        changed = words(torch.tensor(seed ^ (1 << bit)), count, 0, "site") ^ before
        shares = ((changed[:, None] >> bits) & 1).double().mean(0)
        assert float((shares - 0.5).abs().max()) < 0.05  # six standard deviations


def test_draws_of_many_steps_are_not_those_of_one_in_another_order() -> None:
    # within a draw no word repeats, so a draw that held the words of another would show
    draws = [set(some(count=1 << 12, step=step).tolist()) for step in range(8)]
    assert all(len(draw) == 1 << 12 for draw in draws)
    # expected: 4096² / 2³² = 0.004 common words a pair
    assert sum(len(a & b) for a, b in itertools.combinations(draws, 2)) <= 2
