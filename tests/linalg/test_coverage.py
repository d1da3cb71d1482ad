"""The ceiling that training pairs set: hand-made tables, the plain definition, invariances, bad input."""

from __future__ import annotations

import doctest
import itertools
import math

import pytest
import torch

from grokscope.errors import UsageError
from grokscope.linalg import coverage
from grokscope.linalg.coverage import coverage_ceiling, nearest_training_pair


def sums(p: int) -> torch.Tensor:
    return (torch.arange(p)[:, None] + torch.arange(p)) % p


def test_the_documented_examples_hold():
    assert doctest.testmod(coverage).failed == 0


def test_one_training_pair_covers_its_diagonal():
    train = torch.zeros(5, 5, dtype=torch.bool)
    train[0, 0] = True  # the answer 0: also (1, 4), (2, 3), (3, 2), (4, 1)
    distance = nearest_training_pair(train, sums(5))
    assert [distance[i, -i % 5].item() for i in range(5)] == [0, 2, 4, 4, 2]
    assert distance.isinf().sum() == 20
    straight = nearest_training_pair(train, sums(5), wrap=False)
    assert [straight[i, -i % 5].item() for i in range(5)] == [0, 5, 5, 5, 5]
    test = ~train
    assert coverage_ceiling(train, test, sums(5), distance=2) == 2 / 24
    assert coverage_ceiling(train, test, sums(5), distance=4) == 4 / 24
    assert coverage_ceiling(train, test, sums(5), distance=4, wrap=False) == 0


@pytest.mark.parametrize("wrap", [True, False])
def test_against_the_plain_definition_however_chunked(wrap: bool):
    p = 7
    generator = torch.Generator().manual_seed(3)
    train = torch.rand(p, p, generator=generator) < 0.2
    table = (torch.arange(p)[:, None] ** 2 + torch.arange(p)) % p

    def apart(a: int, b: int) -> int:
        return min(abs(a - b), p - abs(a - b)) if wrap else abs(a - b)

    found = nearest_training_pair(train, table, wrap=wrap, chunk=2)
    for i, j in itertools.product(range(p), range(p)):
        near = [apart(i, a) + apart(j, b) for a, b in train.nonzero().tolist() if table[a, b] == table[i, j]]
        assert found[i, j].item() == (min(near) if near else math.inf)


def test_moving_the_table_round_changes_nothing_with_the_wrap():
    train = torch.zeros(6, 6, dtype=torch.bool)
    train[1, 2] = train[4, 4] = True
    found = nearest_training_pair(train, sums(6))
    moved = nearest_training_pair(train.roll((2, 3), (0, 1)), sums(6).roll((2, 3), (0, 1)))
    assert torch.equal(found.roll((2, 3), (0, 1)), moved)


def test_no_held_out_pairs_have_no_ceiling():
    everything = torch.ones(3, 3, dtype=torch.bool)
    assert math.isnan(coverage_ceiling(everything, ~everything, sums(3), distance=1))
    assert coverage_ceiling(everything, everything, sums(3), distance=0) == 1


def test_bad_input_is_told_of_in_a_sentence():
    mask = torch.ones(3, 3, dtype=torch.bool)
    with pytest.raises(UsageError, match=r"train is int64 of shape \(3, 3\)"):
        nearest_training_pair(mask.long(), sums(3))
    with pytest.raises(UsageError, match="test is bool"):
        coverage_ceiling(mask, mask[:2], sums(3), distance=1)
    with pytest.raises(UsageError, match="distance = -1"):
        coverage_ceiling(mask, mask, sums(3), distance=-1)
