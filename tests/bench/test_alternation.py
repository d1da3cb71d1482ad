"""Timing in turn: what is called how often, what is kept, and what a row says."""

from __future__ import annotations

import itertools

import pytest

from grokscope.bench import BENCHMARKS
from grokscope.bench.alternation import Comparison, alternate, median_and_range
from grokscope.registry import load


def test_ways_are_called_in_turn_and_the_first_rounds_are_dropped() -> None:
    called: list[str] = []
    ticks = itertools.count()
    found = alternate(
        {"a": lambda: called.append("a"), "b": lambda: called.append("b")},
        rounds=3,
        warm_up=2,
        clock=lambda: float(next(ticks)),
    )
    assert called == ["a", "b"] * 5
    # the clock is read once before and once after each call that is kept; a tick lies between
    assert found == {"a": [1.0] * 3, "b": [1.0] * 3}


def test_a_device_is_waited_for_before_each_reading() -> None:
    order: list[str] = []
    alternate(
        {"a": lambda: order.append("work")},
        rounds=1,
        warm_up=0,
        wait=lambda: order.append("wait"),
        clock=lambda: order.append("clock") or 0.0,
    )
    assert order == ["wait", "clock", "work", "wait", "clock"]


def test_the_median_is_not_moved_by_one_slow_call() -> None:
    assert median_and_range([1.0, 90.0, 2.0, 3.0, 2.0]) == (2.0, [1.0, 90.0])


def test_a_ratio_above_one_is_in_our_favour() -> None:
    row = Comparison("n", baseline=30.0, ours=10.0, unit="ms", details={"threads": 1}).as_dict()
    assert row == {
        "name": "n",
        "baseline": 30.0,
        "ours": 10.0,
        "unit": "ms",
        "details": {"threads": 1},
        "ratio": pytest.approx(3.0),
    }


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_is_there(name: str) -> None:
    target, about = BENCHMARKS[name]
    assert callable(load(target))
    assert about
