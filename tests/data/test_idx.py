from __future__ import annotations

import gzip
import lzma
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from grokscope.data import parse_idx, read_idx
from grokscope.errors import DataError

# Written down once more, from the format's description, so that a wrong table in the reader shows.
CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def to_idx(array: np.ndarray) -> bytes:
    header = struct.pack(">HBB", 0, CODES[array.dtype.name], array.ndim)
    lengths = struct.pack(f">{array.ndim}I", *array.shape)
    return header + lengths + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("dtype", CODES)
def test_every_element_type_keeps_its_extremes(tmp_path: Path, dtype: str):
    limits = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    array = np.array([[limits.min, limits.max, 1], [0, 2, 3]], dtype)
    path = tmp_path / "array"
    path.write_bytes(to_idx(array))
    found = read_idx(path)
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array)


def test_bytes_written_by_hand_are_big_endian_and_row_major():
    content = bytes.fromhex("00000b02 00000002 00000002 0001 0100 ffff 8000")
    assert parse_idx(content, "four").tolist() == [[1, 256], [-1, -32768]]


@settings(derandomize=True, deadline=None, max_examples=80)
@given(data=st.data())
def test_round_trip(data):
    dtype = np.dtype(data.draw(st.sampled_from(sorted(CODES))))
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
    array = data.draw(arrays.arrays(dtype, shape))
    found = parse_idx(to_idx(array), "drawn")
    assert found.shape == array.shape
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


@settings(derandomize=True, deadline=None, max_examples=200)
@given(content=st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b"\0\0\x08" + tail))
def test_any_bytes_give_an_array_or_the_sentence(content: bytes):
    try:
        found = parse_idx(content, "random")
    except DataError:
        return
    assert to_idx(found) == content


@pytest.mark.parametrize("packer", [bytes, gzip.compress, lzma.compress])
def test_plain_gzip_and_xz(tmp_path: Path, packer):
    array = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    path = tmp_path / "array"
    path.write_bytes(packer(to_idx(array)))
    np.testing.assert_array_equal(read_idx(path), array)


def test_an_empty_array_and_a_scalar():
    assert parse_idx(to_idx(np.zeros((0, 28, 28), np.uint8)), "none").shape == (0, 28, 28)
    assert parse_idx(to_idx(np.array(7, np.uint8)), "one") == 7


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not an IDX file: .* begins with nothing"),
        (b"\0\0\x08", "is not an IDX file: .* begins with the bytes 00 00 08"),
        (b"<html>", "is not an IDX file: .* begins with the bytes 3c 68 74 6d"),
        (b"\0\0\x0a\x01\0\0\0\x01\x05", "unknown IDX type code 0x0a, where the known ones are 0x08, 0x09"),
        (b"\0\0\x08\x03\0\0\0\x01\0\0", "ends within its IDX header: rank 3 needs 16 bytes .* has 10"),
        (
            b"\0\0\x0c\x01\0\0\0\x03\0\0\0\0\0",
            r"cut off: .* shape \(3,\) of int32, which is 12 bytes, and 5",
        ),
        (
            b"\0\0\x08\x01\0\0\0\x01\x05\x06\x07",
            r"extra bytes .* shape \(1,\) of uint8, which is 1 bytes, and 3",
        ),
        (b"\0\0\x08\x09" + b"\xff" * 36, f"cut off: .* which is {(2**32 - 1) ** 9} bytes, and 0 follow"),
        (b"\0\0\x08\x64" + b"\0\0\0\x01" * 100 + b"\x05", "announces rank 100, .* which numpy cannot hold"),
    ],
)
def test_errors_are_one_sentence_each(content: bytes, sentence: str):
    with pytest.raises(DataError, match=f"^some file .*{sentence}"):
        parse_idx(content, "some file")


def test_a_truncated_gzip_is_told_by_name(tmp_path: Path):
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(to_idx(np.arange(200, dtype=np.uint8)))[:-20])
    with pytest.raises(DataError, match=r"gzip file .*t10k-labels-idx1-ubyte.gz .* is cut off or corrupt"):
        read_idx(path)
