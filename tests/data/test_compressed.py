from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.data import read_bytes
from grokscope.errors import DataError

CONTENT = bytes(range(256)) * 20
PACKERS = {"plain": bytes, "gz": gzip.compress, "xz": lzma.compress}


@pytest.mark.parametrize("packer", PACKERS.values(), ids=PACKERS.keys())
@pytest.mark.parametrize("content", [CONTENT, b""], ids=["full", "empty"])
def test_every_packing_gives_the_content_whatever_the_name(tmp_path: Path, packer, content: bytes):
    path = tmp_path / "content.bin"
    path.write_bytes(packer(content))
    assert read_bytes(path) == content
    assert read_bytes(str(path)) == content


@pytest.mark.parametrize("packer", [gzip.compress, lzma.compress])
def test_streams_one_after_the_other_are_joined(tmp_path: Path, packer):
    path = tmp_path / "joined"
    path.write_bytes(packer(b"one, ") + packer(b"two"))
    assert read_bytes(path) == b"one, two"


@pytest.mark.parametrize(("suffix", "packer"), [("gz", gzip.compress), ("xz", lzma.compress)])
def test_a_cut_off_stream_is_told(tmp_path: Path, suffix: str, packer):
    stored = packer(CONTENT)
    path = tmp_path / f"labels.{suffix}"
    for kept in (6, len(stored) // 2, len(stored) - 1):
        path.write_bytes(stored[:kept])
        with pytest.raises(DataError, match=rf"labels\.{suffix} \({kept} bytes\) is cut off or corrupt"):
            read_bytes(path)


@pytest.mark.parametrize("packer", [gzip.compress, lzma.compress])
def test_what_follows_a_stream_is_not_dropped_in_silence(tmp_path: Path, packer):
    path = tmp_path / "followed"
    path.write_bytes(packer(CONTENT) + b"something else")
    with pytest.raises(DataError, match=r"cut off or corrupt"):
        read_bytes(path)


@pytest.mark.parametrize("packer", [gzip.compress, lzma.compress])
@settings(derandomize=True, deadline=None, max_examples=60)
@given(data=st.data())
def test_a_changed_byte_gives_the_content_or_the_sentence(tmp_path_factory, packer, data):
    stored = bytearray(packer(CONTENT))
    position = data.draw(st.integers(6, len(stored) - 1))
    stored[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("changed") / "file"
    path.write_bytes(stored)
    try:
        found = read_bytes(path)
    except DataError:
        return
    assert found == CONTENT  # it was a byte of the header that carries no content


@pytest.mark.parametrize("suffix", ["gz", "xz"])
def test_the_page_of_a_failed_download_is_refused(tmp_path: Path, suffix: str):
    path = tmp_path / f"labels.{suffix}"
    path.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(DataError, match=rf"is named \.{suffix} but begins with the bytes 3c 21 44 4f"):
        read_bytes(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"begins with nothing"):
        read_bytes(path)


def test_a_missing_file_and_a_directory_are_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"absent: No such file or directory; check that it exists"):
        read_bytes(tmp_path / "absent")
    with pytest.raises(DataError, match=r"Is a directory"):
        read_bytes(tmp_path)
