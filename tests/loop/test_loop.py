"""What the loop does when, with a learner that only counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from grokscope.cadence import Cadence
from grokscope.errors import CheckpointError
from grokscope.learners.base import StateDict
from grokscope.loop.encoding import decode, decode_checkpoint, encode_checkpoint, encode_tensors
from grokscope.loop.loop import Ended, Hooks, Plan, run_loop

NEVER = Cadence(first=False, last=True)


class Counter:
    """A learner whose state is its step; notes how far it was asked to go at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def step(self, state: int) -> int:
        return state

    def advance(self, state: int, n: int) -> int:
        self.asked.append(n)
        return state + n


class Diary:
    """Hooks that write down what they are called for."""

    def __init__(self, *, end_at: int | None = None, interrupt_at: int | None = None) -> None:
        self.entries: list[tuple[str, int]] = []
        self.now = 0
        self.end_at, self.interrupt_at = end_at, interrupt_at

    def hooks(self) -> Hooks:
        def observe(state: int, step: int) -> Ended | None:
            assert state == step
            self.entries.append(("observe", step))
            return Ended("stopped", step) if step == self.end_at else None

        def checkpoint(state: int, step: int) -> None:
            assert state == step
            self.entries.append(("checkpoint", step))

        def progress(step: int) -> None:
            self.now = step

        def interrupted() -> str | None:
            return "SIGTERM" if self.interrupt_at is not None and self.now >= self.interrupt_at else None

        mark = lambda step: self.entries.append(("mark", step))  # noqa: E731
        return Hooks(observe=observe, checkpoint=checkpoint, interrupted=interrupted, mark=mark, progress=progress)

    def steps(self, kind: str) -> list[int]:
        return [step for what, step in self.entries if what == kind]


def loop(plan: Plan, diary: Diary, *, start: int = 0, fresh: bool = True) -> tuple[Counter, Ended]:
    counter: Any = Counter()
    state, ended = run_loop(counter, start, plan, diary.hooks(), fresh=fresh)
    assert state == ended.step
    return counter, ended


def test_everything_is_done_at_its_steps_and_nowhere_else() -> None:
    diary = Diary()
    plan = Plan(50, [Cadence(every=20), Cadence(steps=(3,))], Cadence(every=30), breaks=[7, 20])
    counter, ended = loop(plan, diary)
    assert ended == Ended("finished", 50)
    assert diary.steps("observe") == [0, 3, 20, 40, 50]
    assert diary.steps("checkpoint") == [0, 30, 50]
    assert diary.steps("mark") == [7, 20]
    assert sum(counter.asked) == 50


def test_a_checkpoint_comes_after_the_observation_of_its_step() -> None:
    diary = Diary()
    loop(Plan(10, [Cadence(every=5)], Cadence(every=5)), diary)
    assert diary.entries == [(what, step) for step in (0, 5, 10) for what in ("observe", "checkpoint")]


def test_no_chunk_crosses_a_step_at_which_something_is_due() -> None:
    counter, _ = loop(Plan(1000, [Cadence(every=400)], Cadence(every=300), breaks=[650]), Diary())
    reached, stops = 0, set()
    for count in counter.asked:
        assert count >= 1
        reached += count
        stops.add(reached)
    assert {300, 400, 600, 650, 800, 900, 1000} <= stops


def test_a_restored_state_is_not_observed_twice() -> None:
    diary = Diary()
    loop(Plan(30, [Cadence(every=10)], Cadence(every=10)), diary, start=10, fresh=False)
    assert diary.steps("observe") == diary.steps("checkpoint") == [20, 30]


def test_a_reason_to_end_leaves_a_checkpoint_where_it_was_found() -> None:
    diary = Diary(end_at=20)
    _, ended = loop(Plan(50, [Cadence(every=10)], NEVER), diary)
    assert ended == Ended("stopped", 20)
    assert diary.entries[-1] == ("checkpoint", 20)
    assert diary.steps("observe") == [0, 10, 20]


def test_an_interruption_leaves_a_checkpoint_and_going_on_completes_the_straight_run() -> None:
    plan = Plan(50, [Cadence(every=7)], Cadence(every=20))
    straight, first, second = Diary(), Diary(interrupt_at=23), Diary()
    loop(plan, straight)
    _, ended = loop(plan, first)
    assert (ended.status, ended.reason) == ("interrupted", "SIGTERM")
    assert 23 <= ended.step < 50
    assert first.steps("checkpoint")[-1] == ended.step
    loop(plan, second, start=ended.step, fresh=False)
    assert first.steps("observe") + second.steps("observe") == straight.steps("observe")


def test_an_interruption_at_the_last_step_is_too_late() -> None:
    _, ended = loop(Plan(5, [NEVER], NEVER), Diary(interrupt_at=5))
    assert ended == Ended("finished", 5)


def test_a_run_of_no_steps_is_observed_and_stored() -> None:
    diary = Diary()
    counter, ended = loop(Plan(0, [Cadence(every=5)], Cadence(every=5)), diary)
    assert ended == Ended("finished", 0)
    assert diary.entries == [("observe", 0), ("checkpoint", 0)]
    assert counter.asked == []


# -- tensors as bytes -----------------------------------------------------------------------------


def test_encoding_keeps_bits_shapes_and_dtypes() -> None:
    tensors = {
        "double": torch.tensor([[1e-300, float("nan")], [-0.0, float("inf")]], dtype=torch.float64),
        "single": torch.arange(6, dtype=torch.float32).reshape(2, 3).T,  # not contiguous
        "whole": torch.tensor(3),
        "truth": torch.tensor([True, False]),
        "empty": torch.zeros(0, 4),
    }
    found = decode(encode_tensors(tensors, {"step": 7, "time": 0.1}))
    assert found.values == {"step": 7, "time": 0.1}
    assert set(found.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert found.tensors[name].shape == tensor.shape
        assert found.tensors[name].numpy().tobytes() == tensor.contiguous().numpy().tobytes()


def test_encoding_of_views_of_one_tensor_stores_both() -> None:
    whole = torch.arange(4.0)
    found = decode(encode_tensors({"whole": whole, "part": whole[1:3]}))
    assert found.tensors["part"].tolist() == [1.0, 2.0]


def test_a_learner_gets_its_own_values_back_and_no_others() -> None:
    stored, ended = decode_checkpoint(encode_checkpoint(StateDict({}, {"step": 3}), {"1": "diverged"}))
    assert stored.values == {"step": 3}
    assert ended == {1: "diverged"}


@pytest.mark.parametrize("data", [b"", b"garbage", encode_tensors({"a": torch.ones(3)})[:-2]])
def test_what_is_no_checkpoint_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        decode(data)
