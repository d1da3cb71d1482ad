from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokscope.errors import StoreError
from grokscope.store.jsonl import (
    _TAIL,
    decode_value,
    dumps,
    encode_value,
    last_line,
    read_lines,
    repair_tail,
)

ROWS = [{"a": 1}, {"b": "é\n"}, {"c": [0.1, "nan"]}]


def same(x: float, y: float) -> bool:
    return (math.isnan(x) and math.isnan(y)) or (x == y and math.copysign(1, x) == math.copysign(1, y))


@given(st.floats())
def test_value_survives_the_round_trip_through_json(x):
    assert same(decode_value(json.loads(dumps({"value": x}))["value"]), x)


def test_non_finite_numbers_have_words():
    assert [encode_value(x) for x in (math.nan, math.inf, -math.inf, 1.5)] == ["nan", "inf", "-inf", 1.5]


@pytest.mark.parametrize("bad", ["NaN", "1", None, True, [1.0]])
def test_decode_refuses_what_is_no_value(bad):
    with pytest.raises(StoreError, match="not a value"):
        decode_value(bad)


def test_dumps_is_canonical_and_unwraps_numpy():
    obj = {
        "z": np.float32(0.5),
        "a": np.array([[1.0, np.inf]]),
        "i": np.int64(3),
        "t": (np.bool_(True), None),
    }
    assert dumps(obj) == '{"a":[[1.0,"inf"]],"i":3,"t":[true,null],"z":0.5}'
    assert json.loads(dumps(obj, readable=True)) == json.loads(dumps(obj))
    assert dumps({"b": 1, "a": 2}) == dumps({"a": 2, "b": 1})
    assert dumps({np.int64(3): np.longdouble(0.25)}) == '{"3":0.25}'


@pytest.mark.parametrize("bad", [{1, 2}, 1j, {None: 1}, object()])
def test_dumps_refuses_what_has_no_json_form(bad):
    with pytest.raises(TypeError):
        dumps(bad)


def test_a_torn_last_line_is_skipped_and_cut_at_every_byte(tmp_path):
    path = tmp_path / "log.jsonl"
    whole = [(dumps(row) + "\n").encode() for row in ROWS]
    head, last = b"".join(whole[:-1]), whole[-1]
    for cut in range(len(last) + 1):
        path.write_bytes(head + last[:cut])
        expected = ROWS if cut == len(last) else ROWS[:-1]
        assert read_lines(path) == expected
        if cut in (0, len(last)):
            assert last_line(path) == expected[-1]
        dropped = repair_tail(path)
        assert dropped == (cut if cut < len(last) else 0)
        assert path.read_bytes() == head + (last if cut == len(last) else b"")
        assert last_line(path) == expected[-1]
        path.write_bytes(path.read_bytes() + whole[0])
        assert read_lines(path) == [*expected, ROWS[0]]


@pytest.mark.parametrize("garbage", [b"\x00\x00\x00\n", b'{"a": \n', b"[1]\n", b"\xff\xfe\n", b"\n"])
def test_a_finished_last_line_that_does_not_parse_is_torn_too(tmp_path, garbage):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a":1}\n' + garbage)
    assert read_lines(path) == [{"a": 1}]
    assert last_line(path) == {"a": 1}
    assert repair_tail(path) == len(garbage)
    assert path.read_bytes() == b'{"a":1}\n'


@pytest.mark.parametrize("tail", [b'{"a":1}\n', b'{"a"'])
def test_a_broken_line_in_the_middle_names_file_and_line(tmp_path, tail):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":\n' + tail)
    with pytest.raises(StoreError, match=r"line 2 of .*log\.jsonl is broken"):
        read_lines(path)


def test_missing_and_empty_files_hold_nothing(tmp_path):
    path = tmp_path / "log.jsonl"
    assert (read_lines(path), last_line(path), repair_tail(path)) == ([], None, 0)
    path.touch()
    assert (read_lines(path), last_line(path), repair_tail(path)) == ([], None, 0)
    path.write_bytes(b'{"torn')
    assert (read_lines(path), last_line(path), repair_tail(path)) == ([], None, 6)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("length", [_TAIL // 2 - 30, _TAIL - 20, _TAIL, 3 * _TAIL, 9 * _TAIL])
def test_the_tail_is_found_behind_lines_longer_than_the_window(tmp_path, length):
    path = tmp_path / "log.jsonl"
    rows = [{"text": letter * length} for letter in "abcd"]
    lines = [(dumps(row) + "\n").encode() for row in rows]
    path.write_bytes(b"".join(lines) + lines[0][:-1])
    assert last_line(path) == rows[-1]
    assert repair_tail(path) == len(lines[0]) - 1
    assert path.read_bytes() == b"".join(lines)
