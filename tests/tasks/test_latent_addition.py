"""Sums of symbols in the plane: which pairs, where they stand and what they are answered with."""

from __future__ import annotations

import pytest
import torch

from grokscope.errors import UsageError
from grokscope.spec import Seeds, resolve
from grokscope.tasks.latent_addition import LatentAddition

SEEDS = Seeds.derive(3)


def test_on_a_line_the_first_coordinate_tells_the_sum() -> None:
    task = LatentAddition(symbols=5, outputs=3, train_examples=10).build(SEEDS)
    train, test = task.probes["train"], task.probes["test"]
    assert (len(train), len(test)) == (10, 5)
    assert train.targets is not None
    assert test.targets is not None
    inputs, targets = torch.cat([train.inputs, test.inputs]), torch.cat([train.targets, test.targets])
    # symbol i is at -1 + i / 2, so that x is -2 + (i + j) / 2
    sums = ((inputs[:, 0] + 2) * 2).round().long()
    assert sorted(sums.tolist()) == sorted(i + j for i in range(5) for j in range(i, 5))
    for k in range(5):
        answers = targets[sums % 5 == k]
        assert torch.equal(answers, answers[:1].expand_as(answers))
    assert len(targets.unique(dim=0)) == 5


def test_messiness_mixes_two_fixed_representations() -> None:
    line, half, scattered = (LatentAddition(messiness=m).build(SEEDS).probes["train"] for m in (0.0, 0.5, 1.0))
    torch.testing.assert_close(half.inputs, (line.inputs + scattered.inputs) / 2)
    torch.testing.assert_close(line.targets, scattered.targets, rtol=0, atol=0)
    assert float(scattered.inputs.abs().max()) <= 2


def test_all_draws_are_of_the_split_stream() -> None:
    one = LatentAddition().build(SEEDS).probes["train"]
    same = LatentAddition().build(SEEDS.model_copy(update={"init": 1, "noise": 2})).probes["train"]
    other = LatentAddition().build(SEEDS.model_copy(update={"split": 1})).probes["train"]
    assert torch.equal(one.inputs, same.inputs)
    assert not torch.equal(one.inputs, other.inputs)


def test_some_pairs_must_be_left() -> None:
    with pytest.raises(UsageError, match=r"train_examples = 55 of the 55 pairs of 10 symbols leave none to test"):
        resolve(
            {
                "task": {"name": "latent-addition", "train_examples": 55},
                "model": {"name": "mlp"},
                "learner": {"name": "gradient", "steps": 1},
                "optimizer": {"name": "adam"},
            }
        )
