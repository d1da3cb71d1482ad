"""Reviews as sequences of words: which are taken, how they are split and batched, what is told if one cannot."""

from __future__ import annotations

import itertools
import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grokscope.errors import DataError, UsageError
from grokscope.spec import Seeds, resolve
from grokscope.tasks.base import Task
from grokscope.tasks.reviews import Reviews

TEXTS = [
    f"{'fine' if label else 'dull'} the {'abcdefghijklmnopqrst'[row % 20] * 2}" for row, label in enumerate([0, 1] * 20)
]


def imdb(root: Path, texts: list[str] | None = None) -> Path:
    """Write forty reviews, a bad and a good one in turn, each with a word that it shares with one other at most."""
    lines = [json.dumps({"text": text, "label": row % 2}) for row, text in enumerate(texts or TEXTS)]
    (root / "imdb").mkdir()
    (root / "imdb" / "imdb_train.jsonl.xz").write_bytes(lzma.compress("\n".join(lines).encode(), preset=0))
    return root


def small(**more: Any) -> Reviews:
    return Reviews(**{"dataset": "synthetic", "examples": 40, "vocabulary": 30, "length": 12, **more})


def both(task: Task) -> list[tuple[torch.Tensor, torch.Tensor]]:
    found = []
    for name in ("train", "test"):
        probe = task.probes[name]
        assert probe.targets is not None
        found.append((probe.inputs, probe.targets))
    return found


def test_reviews_of_a_file(tmp_path: Path) -> None:
    settings = Reviews(directory=str(imdb(tmp_path)), examples=40, vocabulary=50, length=4)
    assert settings.absent() is None
    task = settings.build(Seeds.derive(1))
    (inputs, targets), (test_inputs, test_targets) = both(task)
    assert inputs.shape == (30, 4)
    assert inputs.dtype == torch.int64
    assert (inputs[:, :2] == 0).all()  # "the" is dropped, and two words remain
    # "fine" and "dull" are the most frequent; equally so, the first of the alphabet comes first
    assert torch.equal(inputs[:, 2], 1 + targets)
    assert torch.equal(test_inputs[test_inputs[:, 3] > 0, 2], 1 + test_targets[test_inputs[:, 3] > 0])
    assert (task.facts.outputs, task.facts.classes) == (2, 2)
    assert task.facts.chance.accuracy == 0.5
    assert task.facts.chance.loss == pytest.approx(np.log(2))
    assert task.facts.sequence is not None
    assert (task.facts.sequence.length, task.facts.sequence.vocabulary) == (4, 51)
    assert task.loss == "cross-entropy"
    assert task.stream is None


def test_the_split_is_stratified_and_drawn() -> None:
    for examples, share, train in ((40, 0.75, 30), (41, 0.5, 20), (7, 0.4, 2)):
        settings = small(examples=examples, train_fraction=share)
        assert settings.train_examples == train
        (_, targets), (_, test_targets) = both(settings.build(Seeds.derive(3)))
        assert len(targets) == train
        assert len(test_targets) == examples - train
        assert abs(int(targets.sum()) - train / 2) <= 1
    one, same, other = (both(small().build(seeds)) for seeds in (
        Seeds.derive(1), Seeds.derive(5, split=Seeds.derive(1).split), Seeds.derive(2)
    ))  # fmt: skip
    assert torch.equal(one[0][0], same[0][0])
    assert not torch.equal(one[0][0], other[0][0])


def test_the_vocabulary_is_that_of_the_training_reviews(tmp_path: Path) -> None:
    """A word of one review alone has a token if that review is trained on, and none if it is tested on."""
    texts = [f"word{'abcdefghijklmnopqrst'[row // 2] * (1 + row % 2)}" for row in range(40)]
    settings = Reviews(directory=str(imdb(tmp_path, texts)), examples=40, vocabulary=1000, length=2)
    (inputs, _), (test_inputs, _) = both(settings.build(Seeds.derive(0)))
    assert sorted(inputs[:, 1].tolist()) == list(range(1, 31))
    assert (test_inputs == 0).all()


def test_the_first_of_the_file_are_the_same_for_every_seed(tmp_path: Path) -> None:
    directory = str(imdb(tmp_path, ["early"] * 10 + ["late"] * 30))
    settings = Reviews(directory=directory, examples=10, train_fraction=0.5, subset="first", vocabulary=5, length=1)
    orders = []
    for seed in (1, 2):
        (inputs, targets), (test_inputs, test_targets) = both(settings.build(Seeds.derive(seed)))
        assert (torch.cat([inputs, test_inputs]) == 1).all()
        orders.append(torch.cat([targets, test_targets]).tolist())
        assert sum(orders[-1]) == 5
    assert orders[0] != orders[1]
    drawn, _ = both(settings.model_copy(update={"subset": "random"}).build(Seeds.derive(1)))
    assert set(drawn[0].flatten().tolist()) == {1, 2}


def test_batches_are_shuffled_anew_in_each_pass() -> None:
    task = small(examples=40, train_fraction=0.5, batch_size=8, batch_order="shuffled").build(Seeds.derive(0))
    train = task.probes["train"]
    orders = []
    for start in (0, 3):
        batches = [task.batch(step) for step in range(start, start + 3)]
        assert [len(batch) for batch in batches] == [8, 8, 4]
        orders.append(torch.cat([batch.inputs for batch in batches]))
        assert sorted(orders[-1].tolist()) == sorted(train.inputs.tolist())
    assert not torch.equal(*orders)
    cyclic = small(examples=40, train_fraction=0.5, batch_size=10).build(Seeds.derive(0))
    assert torch.equal(torch.cat([cyclic.batch(step).inputs for step in (2, 3)]), cyclic.probes["train"].inputs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "mnist"}, "dataset = 'mnist' holds no reviews: choose among synthetic, imdb"),
        ({"examples": 20_001}, "of synthetic reviews at most 20000 are drawn: ask for fewer examples"),
        ({"examples": 3, "train_fraction": 0.1}, "leaves none to train on: choose one nearer to 0.5"),
        ({"examples": 40, "batch_size": 31}, "batch_size = 31 of 30 reviews to train on: make it smaller"),
        ({"length": 0}, "length"),
        ({"vocabulary": 0}, "vocabulary"),
    ],
)
def test_impossible_settings_are_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve({"task": {"name": "reviews", "dataset": "synthetic", **settings}, "learner": {"name": "gradient"}})


def test_what_the_file_lacks_is_told(tmp_path: Path) -> None:
    absent = Reviews(directory=str(tmp_path)).absent()
    assert absent is not None
    assert "imdb_train.jsonl.xz of the data set 'imdb' was not found" in absent
    assert small().absent() is None
    directory = str(imdb(tmp_path))
    with pytest.raises(DataError, match="holds 40 reviews, fewer than the 41 asked for: ask for fewer"):
        Reviews(directory=directory, examples=41).build(Seeds.derive(0))


def test_texts_without_words_are_told(tmp_path: Path) -> None:
    settings = Reviews(directory=str(imdb(tmp_path, ["1984 the"] * 8)), examples=8)
    with pytest.raises(DataError, match=r"the 6 reviews of imdb/train.* to train on hold no word that is kept"):
        settings.build(Seeds.derive(0))


def test_drawn_reviews_can_be_told_apart_by_their_words() -> None:
    """Every word of a class occurs in reviews of that class alone, so that linear separation is possible."""
    (inputs, targets), _ = both(small(examples=400, vocabulary=60, length=15).build(Seeds.derive(0)))
    counts = torch.stack([torch.bincount(inputs[targets == one].flatten(), minlength=61) for one in (0, 1)])[:, 1:]
    alone = (counts > 0).sum(0) == 1
    assert int(alone.sum()) == 16
    pairs = itertools.product((0, 1), (0, 1))
    assert all(abs(int(counts[a][~alone].sum()) / int(counts[b][~alone].sum()) - 1) < 0.15 for a, b in pairs)
