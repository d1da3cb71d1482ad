"""Texts as tokens, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokscope.tasks.reviews_text import STOP_WORDS, sequences, stratified, synthetic, vocabulary, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A GREAT film, great!", ["great", "film", "great"]),
        ("I didn't like it - at all.", ["like"]),
        ("rated 10/10 in 1994 (3-D)", ["rated", "d"]),
        ("ends.<br /><br />Nice snake_case", ["endsbr", "br", "nice", "snakecase"]),
        ("Amélie's café\tÜBER\nalles", ["amélies", "café", "über", "alles"]),
        (" \n ", []),
        ("the and OF", []),
    ],
)
def test_words_by_hand(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_there_are_as_many_stop_words_as_is_said_and_all_are_words_as_they_are_cut() -> None:
    assert len(STOP_WORDS) == 177
    assert all(word.isalpha() and word == word.lower() for word in STOP_WORDS)
    assert not STOP_WORDS & {"good", "bad", "great", "worst", "film", "movie", "never", "like"}


def test_the_vocabulary_by_hand() -> None:
    reviews = [["b", "a", "c"], ["c", "b", "c"], ["d"]]
    assert vocabulary(reviews, 10) == {"c": 1, "b": 2, "a": 3, "d": 4}
    assert vocabulary(reviews, 3) == {"c": 1, "b": 2, "a": 3}
    assert vocabulary([], 3) == {}


def test_short_reviews_are_padded_on_the_left_and_long_ones_cut_at_the_end() -> None:
    tokens = {"a": 1, "b": 2}
    found = sequences([["a", "x", "b"], [], list("abbab"), ["x"]], tokens, 4)
    assert found.tolist() == [[0, 0, 1, 2], [0, 0, 0, 0], [1, 2, 2, 1], [0, 0, 0, 0]]
    assert found.dtype == np.int64


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_each_class_gives_its_share(classes: list[int], share: float) -> None:
    targets = np.array(classes)
    chosen = stratified(targets, share)
    assert chosen.sum() == int(share * len(targets))
    for one in np.unique(targets):
        assert abs(chosen[targets == one].sum() - share * (targets == one).sum()) < 1
        # the first of the class
        assert (np.diff(chosen[targets == one].astype(int)) <= 0).all()


def test_drawn_reviews() -> None:
    samples = synthetic(300, 7)
    again = synthetic(300, 7)
    assert samples.inputs.tolist() == again.inputs.tolist()
    assert samples.inputs.tolist() != synthetic(300, 8).inputs.tolist()
    lengths = [len(text.split()) for text in samples.inputs]
    assert (min(lengths), max(lengths)) == (5, 15)
    for text, target in zip(samples.inputs, samples.targets, strict=True):
        assert ("good", "bad")[target] not in text
    own = sum(word.startswith(("good", "bad")) for text in samples.inputs for word in text.split())
    assert own / sum(lengths) == pytest.approx(0.3, abs=0.03)
    # letters alone, so that cutting a text into words leaves them as they are
    assert all(words(text) == text.split() for text in samples.inputs)
