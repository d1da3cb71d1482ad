"""Modular addition: the table, its split, and what is said about it."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch

from grokscope.errors import UsageError
from grokscope.spec import Seeds, resolve
from grokscope.tasks.modular import ModularAddition

Pairs = set[tuple[int, int]]


def pairs(batch: Any) -> Pairs:
    return {(int(a), int(b)) for a, b, _ in batch.inputs}


@pytest.mark.parametrize(("p", "fraction", "seed"), [(7, 0.5, 0), (13, 0.3, 4), (2, 0.5, 1)])
def test_the_split_is_as_published(p: int, fraction: float, seed: int) -> None:
    seeds = Seeds.derive(seed)
    task = ModularAddition(modulus=p, train_fraction=fraction).build(seeds)
    every = [(a, b) for a in range(p) for b in range(p)]
    random.Random(seeds.split).shuffle(every)
    count = int(fraction * p * p)
    assert pairs(task.probes["train"]) == set(every[:count])
    assert pairs(task.probes["test"]) == set(every[count:])
    assert task.train is task.probes["train"]
    assert task.stream is None


def test_the_split_depends_on_its_stream_alone() -> None:
    settings = ModularAddition(modulus=11, train_fraction=0.4)
    one = settings.build(Seeds.derive(0))
    same = settings.build(Seeds.derive(9, split=Seeds.derive(0).split))
    other = settings.build(Seeds.derive(9))
    assert torch.equal(one.probes["train"].inputs, same.probes["train"].inputs)
    assert pairs(one.probes["train"]) != pairs(other.probes["train"])


def test_probes_cover_the_table_without_overlap() -> None:
    p = 11
    task = ModularAddition(modulus=p, train_fraction=0.35).build(Seeds.derive(3))
    everything = task.probes["all"]
    assert len(everything) == p * p
    assert everything.inputs.tolist() == [[a, b, p] for a in range(p) for b in range(p)]
    for batch in task.probes.values():
        assert batch.targets is not None
        assert torch.equal(batch.targets, (batch.inputs[:, 0] + batch.inputs[:, 1]) % p)
    train, test = pairs(task.probes["train"]), pairs(task.probes["test"])
    assert train | test == pairs(everything)
    assert not train & test
    assert len(train) == int(0.35 * p * p)


def test_leak_free_pairs_have_no_mirror_image_in_training() -> None:
    task = ModularAddition(modulus=11, train_fraction=0.35).build(Seeds.derive(3))
    train, test, clean = (pairs(task.probes[name]) for name in ("train", "test", "leak_free"))
    assert clean == {(a, b) for a, b in test if (b, a) not in train}
    assert clean < test


def test_a_probe_without_pairs_is_left_out() -> None:
    # of 4 pairs 3 are trained on; when the test pair is (0, 1) or (1, 0), its mirror image is among them
    found = [ModularAddition(modulus=2, train_fraction=0.75).build(Seeds.derive(seed)) for seed in range(20)]
    for task in found:
        ((a, b),) = pairs(task.probes["test"])
        assert ("leak_free" in task.probes) == (a == b)
    assert {"leak_free" in task.probes for task in found} == {True, False}


def test_parts_name_their_rows_in_the_whole() -> None:
    task = ModularAddition(modulus=7, train_fraction=0.5).build(Seeds.derive(0))
    for name in ("train", "test", "leak_free"):
        batch = task.probes[name]
        assert batch.parent == "all"
        assert torch.equal(task.probes["all"].inputs[batch.rows], batch.inputs)


def test_facts() -> None:
    p = 7
    facts = ModularAddition(modulus=p).build(Seeds.derive(0)).facts
    assert (facts.outputs, facts.classes) == (p + 1, p)
    assert facts.chance.accuracy == pytest.approx(1 / p)
    assert facts.chance.loss == pytest.approx(math.log(p))
    assert facts.group is not None
    assert (facts.group.kind, facts.group.order) == ("cyclic", p)
    np.testing.assert_array_equal(facts.group.table, np.add.outer(np.arange(p), np.arange(p)) % p)
    assert facts.sequence is not None
    assert (facts.sequence.length, facts.sequence.vocabulary) == (3, p + 1)
    assert facts.sequence.constant == (2,)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"modulus": 1}, "task.modulus = 1: it must be greater than or equal to 2"),
        ({"modulus": 2.5}, "task.modulus = 2.5: it must be a valid integer"),
        ({"modulus": "seven"}, "task.modulus = 'seven': it must be a valid integer"),
        ({"train_fraction": 0}, "task.train_fraction = 0: it must be greater than 0"),
        ({"train_fraction": 1}, "task.train_fraction = 1: it must be less than 1"),
        ({"train_fraction": float("nan")}, "task.train_fraction = nan"),
        ({"modulus": 3, "train_fraction": 0.1}, "leaves no pair to train on"),
    ],
)
def test_settings_out_of_range_are_refused(task: dict[str, Any], message: str) -> None:
    tree = {
        "task": {"name": "modular-addition", **task},
        "model": {"name": "mlp"},
        "learner": {"name": "gradient"},
        "optimizer": {"name": "sgd"},
    }
    with pytest.raises(UsageError, match=message):
        resolve(tree)


def test_without_the_equals_sign_there_are_two_tokens_and_p_outputs() -> None:
    p = 7
    with_sign = ModularAddition(modulus=p, train_fraction=0.5).build(Seeds.derive(3))
    task = ModularAddition(modulus=p, train_fraction=0.5, equals_sign=False).build(Seeds.derive(3))
    assert task.facts.outputs == task.facts.classes == p
    assert task.facts.sequence is not None
    assert (task.facts.sequence.length, task.facts.sequence.vocabulary) == (2, p)
    assert (task.facts.sequence.answers, task.facts.sequence.constant) == ((1,), ())
    assert torch.equal(task.probes["train"].inputs, with_sign.probes["train"].inputs[:, :2])
    assert torch.equal(task.probes["test"].targets, with_sign.probes["test"].targets)  # type: ignore[arg-type]
