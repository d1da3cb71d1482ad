"""What an unknown name is answered with."""

from __future__ import annotations

import pytest

from grokscope.errors import MOST_NAMES, unknown


@pytest.mark.parametrize("count", [2, MOST_NAMES])
def test_few_names_are_all_told(count: int) -> None:
    names = [f"weights/{number:02}" for number in range(count)]
    assert str(unknown("key", "zzz", names)) == f"unknown key 'zzz': the known ones are {', '.join(names)}."


def test_of_many_names_the_nearest_are_told() -> None:
    names = [f"weights/{number:02}" for number in range(MOST_NAMES)] + ["test/loss"]
    sentence = str(unknown("key", "xyz/s", names))
    assert sentence.startswith(
        f"unknown key 'xyz/s': of the {MOST_NAMES + 1} known ones the nearest are 'test/loss' or "
    )
    assert sentence.count(" or ") == 2
    assert "did you mean 'test/loss'" in str(unknown("key", "tst/loss", names))
