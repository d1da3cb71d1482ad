"""Cadences as sets of steps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.cadence import Cadence, Window

NONE: dict[str, Any] = {"first": False, "last": False}


def test_each_way_alone() -> None:
    assert Cadence(every=5, **NONE).steps_until(17) == [5, 10, 15]
    assert Cadence(steps=(7, 3, 30), **NONE).steps_until(17) == [3, 7]
    assert Cadence(windows=(Window(start=4, stop=9, every=2),), **NONE).steps_until(17) == [4, 6, 8]
    assert Cadence(first=True, last=False).steps_until(17) == [0]
    assert Cadence(first=False, last=True).steps_until(17) == [17]
    assert Cadence(per_decade=2, **NONE).steps_until(400) == [1, 3, 10, 32, 100, 316]


def test_a_union_lists_each_step_once() -> None:
    cadence = Cadence(every=5, steps=(10, 11), windows=(Window(start=9, stop=11),))
    assert cadence.steps_until(12) == [0, 5, 9, 10, 11, 12]


def test_log_spacing_is_even_and_lists_every_step_where_it_is_dense() -> None:
    found = Cadence(per_decade=10, **NONE).steps_until(10_000)
    assert found[:6] == [1, 2, 3, 4, 5, 6]
    assert sum(1000 <= step < 10_000 for step in found) == 10


def test_a_run_without_steps_has_one_observation() -> None:
    assert Cadence(every=10).steps_until(0) == [0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (NONE, "must name at least one step"),
        ({"steps": (-1,)}, "0 or more"),
        ({"every": 0}, "greater than or equal to 1"),
        ({"per_decade": 0}, "greater than or equal to 1"),
        ({"evry": 3}, "Extra inputs"),
        ({"windows": ({"start": 3, "stop": 5, "every": 0},)}, "greater than or equal to 1"),
    ],
)
def test_wrong_cadences_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Cadence(**given)


windows = st.builds(
    lambda start, length, every: Window(start=start, stop=start + length, every=every),
    st.integers(0, 60), st.integers(0, 30), st.integers(1, 9),
)  # fmt: skip
cadences = st.builds(
    Cadence,
    every=st.none() | st.integers(1, 40),
    per_decade=st.none() | st.integers(1, 30),
    steps=st.lists(st.integers(0, 150), max_size=4).map(tuple),
    windows=st.lists(windows, max_size=2).map(tuple),
    first=st.booleans(),
    last=st.just(True),
)


def listed(cadence: Cadence, step: int, limit: int) -> bool:
    """Tell from the definition whether a step belongs to a cadence."""
    logs = {round(10 ** (i / cadence.per_decade)) for i in range(100)} if cadence.per_decade else set()
    return (
        bool(cadence.every and step and step % cadence.every == 0)
        or step in cadence.steps
        or step in logs
        or any(w.start <= step <= w.stop and (step - w.start) % w.every == 0 for w in cadence.windows)
        or (cadence.first and step == 0)
        or (cadence.last and step == limit)
    )


@settings(derandomize=True, max_examples=60, deadline=None, database=None)
@given(cadence=cadences, limit=st.integers(0, 120))
def test_a_cadence_is_the_union_of_its_ways(cadence: Cadence, limit: int) -> None:
    expected = [step for step in range(limit + 1) if listed(cadence, step, limit)]
    assert cadence.steps_until(limit) == expected
    assert [step for step in range(limit + 1) if cadence.contains(step, limit)] == expected
    for step in range(-1, limit + 1):
        assert cadence.next_after(step, limit) == min((s for s in expected if s > step), default=None)
