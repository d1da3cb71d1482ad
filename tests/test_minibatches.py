"""Batches in passes: every example once a pass, the same rows on the device as on the host, members as alone."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.learners.capture import clock_at, strides, updates_in_place
from grokscope.learners.feed import Resident, Streamed, Whole, feed_of
from grokscope.learners.update import gradient, update
from grokscope.minibatches import Minibatches
from grokscope.rng import permutation
from grokscope.spec import Spec, override, resolve

TREE: dict[str, Any] = {
    "task": {
        "name": "images",
        "dataset": "synthetic",
        "train_examples": 30,
        "test_examples": 10,
        "pool": 4,
        "batch_size": 10,
        "batch_order": "shuffled",
    },
    "model": {"name": "mlp", "widths": [8, 6]},
    "learner": {"name": "gradient", "loss": "mean-squared-error"},
    "optimizer": {"name": "adamw", "learning_rate": 1e-2, "weight_decay": 0.1},
    "numerics": {"dtype": "float64"},
}


def state_of(specs: list[Spec]) -> Any:
    specs = [spec.with_group(specs) for spec in specs] if len(specs) > 1 else specs
    learner: Any = specs[0].learner.build(ensemble=len(specs) > 1)
    return learner, learner.start(specs, [spec.task.build(spec.seed) for spec in specs])


@given(st.integers(0, 2**62), st.integers(1, 60), st.integers(0, 10**7))
def test_a_permutation_holds_each_index_once(seed: int, count: int, number: int) -> None:
    found = permutation(torch.tensor(seed), count, number)
    assert sorted(found.tolist()) == list(range(count))
    # the number may live on the device, and many seeds be drawn at once
    both = permutation(torch.tensor([1, seed]), count, torch.tensor(number))
    assert torch.equal(both[1], found)


@pytest.mark.parametrize("over", ["seeds", "numbers"])
def test_permutations_are_equally_likely(over: str) -> None:
    drawn = 12_000
    counts = Counter(
        tuple(permutation(torch.tensor(n if over == "seeds" else 3), 4, 0 if over == "seeds" else n).tolist())
        for n in range(drawn)
    )
    assert len(counts) == 24
    # χ² with 23 degrees of freedom is above 55 once in five thousand
    assert sum((found - drawn / 24) ** 2 / (drawn / 24) for found in counts.values()) < 55


def test_a_pass_sees_every_example_once_and_the_next_in_another_order() -> None:
    stream = Minibatches(Batch(torch.arange(25.0), torch.arange(25)), 10, "shuffled", 3)
    assert stream.updates == 3
    passes = [[stream(step).inputs.tolist() for step in range(3 * n, 3 * n + 3)] for n in range(3)]
    assert [len(batch) for batch in passes[0]] == [10, 10, 5]
    assert all(sorted(itertools.chain(*one)) == list(range(25)) for one in passes)
    assert passes[0] != passes[1] != passes[2]
    # a pure function of the step, whatever was asked before
    assert stream(1).inputs.tolist() == passes[0][1]
    assert torch.equal(stream(4).targets, stream.rows(4))  # type: ignore[arg-type]
    assert passes[0] != [Minibatches(stream.train, 10, "shuffled", 4)(step).inputs.tolist() for step in range(3)]


@pytest.mark.parametrize("order", ["shuffled", "cyclic"])
def test_what_lies_on_the_device_is_what_the_stream_gives(order: str) -> None:
    specs = [resolve(override(TREE, {"task.batch_order": order}), seed=seed) for seed in (0, 1)]
    tasks = [spec.task.build(spec.seed) for spec in specs]
    feed = feed_of(tasks, "cpu", torch.float64, stacked=True)
    assert isinstance(feed, Resident)
    for step in (0, 1, 2, 3, 7, 4):
        batch, counted = feed.at(step), feed.at_clock(clock_at(step, torch.device("cpu")))
        for member, task in enumerate(tasks):
            mine = task.batch(step).to("cpu", torch.float64)
            for one in (batch, counted):
                assert one.targets is not None
                assert mine.targets is not None
                assert torch.equal(one.inputs[member], mine.inputs)
                assert torch.equal(one.targets[member], mine.targets)


def test_who_sees_the_same_shares_it() -> None:
    spec = resolve(TREE, seed=0)
    other = resolve(TREE, seed=1)
    order = resolve(override(TREE, {"seed": {"base": 0, "order": 9}}))

    def feed(*specs: Spec) -> Any:
        return feed_of([one.task.build(one.seed) for one in specs], "cpu", torch.float32, stacked=True)

    assert (feed(spec, spec, other, other).sharing, feed(spec, spec, other, other).groups) == (2, 2)
    assert feed(spec, spec, other).sharing == 1
    # the same examples in another order are not the same batches
    assert feed(spec, order).sharing == 1
    short = resolve(override(TREE, {"task.train_examples": 20}), seed=0)
    assert isinstance(feed(spec, short), Streamed)
    whole = resolve(override(TREE, {"task.batch_size": None}), seed=0)
    assert isinstance(feed(whole, whole), Whole)


@pytest.mark.parametrize("size", [10, 8], ids=["equal", "a shorter last"])
def test_members_are_trained_as_alone_and_as_by_autograd(size: int) -> None:
    specs = [
        resolve(override(TREE, {"task.batch_size": size, "optimizer.weight_decay": decay, "learner.l2": -1e-3}), seed=s)
        for s in (0, 1)
        for decay in (0.1, 0.0)
    ]
    learner, together = state_of(specs)
    assert together.kernel.sharing == 2
    assert together.kernel.closed is not None
    alone = [state_of([spec])[1] for spec in specs]
    single: Any = specs[0].learner.build()
    for _ in range(2):
        learner.advance(together, 5)
        for member, one in enumerate(alone):
            # one step at a time equals five at once, bitwise for a run of its own
            for _ in range(5):
                single.advance(one, 1)
            for name, tensor in one.moving.parameters.items():
                torch.testing.assert_close(together.moving.parameters[name][member], tensor, rtol=0, atol=1e-10)
    one = alone[0]
    batch = one.feed.at(one.step)
    loss, closed = gradient(one.kernel, one.moving, batch, one.step)
    plain = gradient(replace(one.kernel, closed=None), one.moving, batch, one.step)
    torch.testing.assert_close(loss, plain[0])
    for name, tensor in plain[1].items():
        torch.testing.assert_close(closed[name], tensor, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("whole", [False, True], ids=["one by one", "a pass at once"])
def test_counted_steps_of_minibatches_are_the_numbered_ones(whole: bool) -> None:
    specs = [resolve(override(TREE, {"optimizer.warmup_steps": 3}), seed=seed) for seed in (0, 1)]
    _, numbered = state_of(specs)
    _, counted = state_of(specs)
    clock = clock_at(0, torch.device("cpu"))
    for step in range(6):
        update(numbered.kernel, numbered.optimizer, numbered.moving, numbered.feed.at(step), step)
    for _ in range(2 if whole else 6):
        updates_in_place(counted.kernel, counted.optimizer, counted.moving, counted.feed, clock, whole=whole)
    assert float(clock) == 6
    for name, tensor in counted.moving.parameters.items():
        # the rate of a counted step is rounded to float32 while it warms up
        torch.testing.assert_close(tensor, numbered.moving.parameters[name], rtol=1e-6, atol=1e-8)


@given(st.integers(0, 30), st.integers(0, 40), st.integers(1, 7))
def test_strides_cover_every_step_once(step: int, n: int, passing: int) -> None:
    at = step
    for whole in strides(step, n, passing):
        assert not whole or at % passing == 0
        at += passing if whole else 1
    assert at == step + n


def test_batches_of_several_sizes_cannot_be_recorded() -> None:
    # the device "meta" stands for one that records: whether it can is asked before it is
    def on_meta(**changes: Any) -> Spec:
        spec = resolve(override(TREE, changes), seed=0)
        return spec.model_copy(
            update={"numerics": spec.numerics.model_copy(update={"device": "meta", "path": "graph"})}
        )

    assert state_of([on_meta()])[1].captured is None
    with pytest.raises(
        UsageError, match=r"30 examples are no multiple of task\.batch_size = 8: choose a divisor, or leave"
    ):
        state_of([on_meta(**{"task.batch_size": 8})])
