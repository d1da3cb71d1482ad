"""Other operations modulo p: their tables, what leaks, chance, and what is said about them."""

from __future__ import annotations

import math
from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy import stats

from grokscope.errors import UsageError
from grokscope.measures.base import evaluate
from grokscope.snapshot import Snapshot
from grokscope.spec import Seeds, resolve
from grokscope.tasks.base import Task
from grokscope.tasks.modular import ModularAddition, ModularArithmetic, Operation, results

OPERATIONS = get_args(Operation)


def built(operation: Operation, p: int = 7, fraction: float = 0.5, seed: int = 0) -> Task:
    settings = ModularArithmetic(modulus=p, train_fraction=fraction, operation=operation)
    return settings.build(Seeds.derive(seed))


def table(task: Task) -> dict[tuple[int, int], int]:
    whole = task.probes["all"]
    assert whole.targets is not None
    return {(int(a), int(b)): int(c) for (a, b, _), c in zip(whole.inputs, whole.targets, strict=True)}


def test_addition_is_the_task_of_its_own_name() -> None:
    one = built("addition", 11, 0.35, seed=3)
    other = ModularAddition(modulus=11, train_fraction=0.35).build(Seeds.derive(3))
    assert one.probes.keys() == other.probes.keys() == {"train", "test", "all", "leak_free"}
    for name, batch in one.probes.items():
        assert torch.equal(batch.inputs, other.probes[name].inputs)
        assert batch.targets is not None
        assert torch.equal(batch.targets, other.probes[name].targets)  # type: ignore[arg-type]
    assert (one.facts.chance, one.facts.outputs) == (other.facts.chance, other.facts.outputs)


@pytest.mark.parametrize("p", [2, 5, 6, 13])
def test_tables_are_those_of_the_operations(p: int) -> None:
    by_hand = {
        "addition": lambda a, b: a + b,
        "subtraction": lambda a, b: a - b,
        "quadratic-form": lambda a, b: a**2 + a * b + b**2,
    }
    for operation, function in by_hand.items():
        wanted = {(a, b): function(a, b) % p for a, b in product(range(p), repeat=2)}
        assert table(built(operation, p)) == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_is_trained_on_the_same_pairs(operation: Operation) -> None:
    task, addition = built(operation, 11, 0.35, seed=2), built("addition", 11, 0.35, seed=2)
    for name in ("train", "test"):
        batch = task.probes[name]
        assert torch.equal(batch.inputs, addition.probes[name].inputs)
        assert batch.targets is not None
        assert batch.targets.tolist() == [table(task)[int(a), int(b)] for a, b, _ in batch.inputs]
    assert task.train is task.probes["train"]


def test_a_mirror_image_leaks_where_the_operation_commutes() -> None:
    for operation in OPERATIONS:
        task = built(operation, 11, 0.35, seed=3)
        labels = table(task)
        commutes = all(labels[a, b] == labels[b, a] for a, b in labels)
        assert ("leak_free" in task.probes) == commutes
    labels = table(built("subtraction", 11))
    assert all((labels[a, b] + labels[b, a]) % 11 == 0 for a, b in labels)  # the mirror image has the label -c
    task = built("quadratic-form", 11, 0.35, seed=3)
    train, test, clean = (
        {(int(a), int(b)) for a, b, _ in task.probes[name].inputs} for name in ("train", "test", "leak_free")
    )
    assert clean == {(a, b) for a, b in test if (b, a) not in train}


def test_groups_are_named_and_others_are_not() -> None:
    kinds = {operation: built(operation).facts.group for operation in OPERATIONS}
    rows = np.arange(7)[:, None]
    for operation, sign in (("addition", 1), ("subtraction", -1)):
        group = kinds[operation]
        assert group is not None
        assert (group.kind, group.order) == ("cyclic", 7)
        np.testing.assert_array_equal(group.table, (rows + sign * np.arange(7)) % 7)
    assert kinds["quadratic-form"] is kinds["random"] is None


@pytest.mark.parametrize("operation", ["quadratic-form", "random"])
def test_fourier_measures_do_not_apply_where_there_is_no_group(operation: Operation) -> None:
    task = built(operation)
    facts = task.facts
    model = torch.nn.Sequential(torch.nn.Embedding(8, 4), torch.nn.Flatten(), torch.nn.Linear(12, 8))
    with pytest.raises(UsageError, match="this task is not known to be one"):
        evaluate("gini", Snapshot.of(model, probes=task.probes, facts=facts))


# -- chance ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["addition", "subtraction", "random"])
def test_chance_of_uniform_labels(operation: Operation) -> None:
    chance = built(operation, 13).facts.chance
    assert chance.accuracy == pytest.approx(1 / 13, rel=1e-15)
    assert chance.loss == pytest.approx(math.log(13), rel=1e-15)


@pytest.mark.parametrize("p", [5, 11, 53, 113])
def test_chance_of_the_quadratic_form_where_minus_3_is_no_square(p: int) -> None:
    # p = 2 mod 3: 0 is taken once and every other value p + 1 times
    chance = built("quadratic-form", p).facts.chance
    shares = [1 / p**2] + [(p + 1) / p**2] * (p - 1)
    assert chance.accuracy == pytest.approx((p + 1) / p**2, rel=1e-14)
    assert chance.loss == pytest.approx(-sum(share * math.log(share) for share in shares), rel=1e-12)


@pytest.mark.parametrize("p", [7, 13, 109])
def test_chance_of_the_quadratic_form_where_minus_3_is_a_square(p: int) -> None:
    # p = 1 mod 3: the form is a product of two lines; 0 is taken 2p - 1 times, every other value p - 1 times
    chance = built("quadratic-form", p).facts.chance
    shares = [(2 * p - 1) / p**2] + [(p - 1) / p**2] * (p - 1)
    assert chance.accuracy == pytest.approx((2 * p - 1) / p**2, rel=1e-14)
    assert chance.loss == pytest.approx(-sum(share * math.log(share) for share in shares), rel=1e-12)


def test_chance_where_a_value_is_never_taken() -> None:
    # a² + ab + b² mod 4 is never 2
    chance = built("quadratic-form", 4).facts.chance
    counts = np.bincount(results("quadratic-form", 4, 0).flatten(), minlength=4)
    assert counts.tolist() == [4, 6, 0, 6]
    assert chance.accuracy == 6 / 16
    assert chance.loss == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.375)), rel=1e-14)


# -- random labels --------------------------------------------------------------------------------


def test_random_labels_are_fixed_by_the_split_stream_alone() -> None:
    settings = ModularArithmetic(modulus=11, operation="random")
    one = table(settings.build(Seeds.derive(0)))
    assert table(settings.build(Seeds.derive(0))) == one
    assert table(settings.build(Seeds.derive(9, split=Seeds.derive(0).split))) == one
    assert table(settings.build(Seeds.derive(9))) != one
    # a larger share of the table is labelled as it was
    assert table(settings.model_copy(update={"train_fraction": 0.8}).build(Seeds.derive(0))) == one


def test_random_labels_are_uniform_and_do_not_follow_the_operands() -> None:
    labels = results("random", 53, Seeds.derive(0).split)
    assert labels.dtype == np.int64
    assert 1e-3 < stats.chisquare(np.bincount(labels.flatten(), minlength=53)).pvalue < 1 - 1e-3
    # neither rows nor columns nor sums decide them: the best guess by any of these is that of chance
    a, b = np.indices((53, 53))
    for key in (a, b, (a + b) % 53, (a - b) % 53):
        counts = np.zeros((53, 53))
        np.add.at(counts, (key.flatten(), labels.flatten()), 1)
        assert 1e-3 < float(stats.chi2_contingency(counts)[1]) < 1 - 1e-3  # type: ignore[arg-type]
    assert abs(float((labels == labels.T).mean()) - 2 / 53) < 0.01  # p of the pairs are on the diagonal


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"operation": "multiplication"}, "task.operation = 'multiplication': it must be 'addition', 'subtraction'"),
        ({"operaton": "random"}, "unknown key task.operaton: did you mean task.operation"),
        ({"modulus": 1}, "task.modulus = 1: it must be greater than or equal to 2"),
        ({"modulus": 3, "train_fraction": 0.1}, "leaves no pair to train on"),
    ],
)
def test_settings_out_of_range_are_refused(task: dict[str, Any], message: str) -> None:
    tree = {
        "task": {"name": "modular-arithmetic", **task},
        "model": {"name": "mlp"},
        "learner": {"name": "gradient"},
        "optimizer": {"name": "sgd"},
    }
    with pytest.raises(UsageError, match=message):
        resolve(tree)
