from __future__ import annotations

import json

import numpy as np
import pytest

from grokscope.report.text import duration, escape, number, script_json, setting


def test_numbers_are_short_and_integers_exact():
    document = script_json({"a": 1 / 3, "b": 1234567.0, "c": 12345678, "d": np.float32(0.1), "e": True})
    assert json.loads(document) == {"a": 0.333333, "b": 1234567, "c": 12345678, "d": 0.1, "e": True}


def test_arrays_are_lists_and_what_is_not_finite_is_null():
    assert script_json({"z": np.array([[1.0, np.nan], [np.inf, -2.5]])}) == '{"z":[[1,null],[null,-2.5]]}'


def test_json_cannot_end_its_script():
    text = "</script><!-- <b>&\u2028"
    document = script_json({text: [text]})
    assert not set("<>&\u2028") & set(document)
    assert json.loads(document) == {text: [text]}


def test_escape_is_safe_in_attributes():
    assert escape("\"><b>'") == "&quot;&gt;&lt;b&gt;&#x27;"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (True, "yes"), (2500.0, "2,500"), (1234.5678, "1,235"), (0.00012, "0.00012"),
        (1.2e-7, "1.2·10⁻⁷"), (3.5e12, "3.5·10¹²"), (float("nan"), "nan"), ("> 0.5", "> 0.5"), (np.int64(3), "3"),
    ],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (0.25, "0.25 s"), (59.6, "59.6 s"), (83.2, "1 min 23 s"), (7500, "2 h 05 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_settings_are_written_as_they_are_typed():
    typed = [setting(value) for value in ("adamw", 0.001, None, True, [0.9, 0.98], ())]
    assert typed == ["adamw", "0.001", "null", "true", "[0.9, 0.98]", "[]"]
