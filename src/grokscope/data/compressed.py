"""The bytes of a file that is stored plain, gzipped or as xz."""

from __future__ import annotations

import gzip
import lzma
import os
import zlib
from collections.abc import Callable
from pathlib import Path

from grokscope.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\x00"


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    r"""Return the content of a file, unpacked when it begins as a gzip or an xz stream does.

    The content decides, not the name, so a renamed file still reads; a name that promises a
    compression the content does not have is refused, because what lies there instead is usually the
    page of a failed download.

    Raises:
        DataError: the file is missing or unreadable, is cut off or corrupt, or is named ``.gz`` or
            ``.xz`` and is neither.

    Example:
        >>> read_bytes("mnist/t10k-labels-idx1-ubyte.gz")[:4]  # doctest: +SKIP
        b'\x00\x00\x08\x01'
    """
    place = Path(path)
    try:
        stored = place.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(
            f"cannot read the data file {place}: {reason}; check that it exists and may be read."
        ) from error
    if stored.startswith(GZIP_MAGIC):
        return _unpack(place, "gzip", gzip.decompress, stored)
    if stored.startswith(XZ_MAGIC):
        return _unpack(place, "xz", _unpack_xz, stored)
    if place.suffix in (".gz", ".xz"):
        raise DataError(
            f"{place} is named {place.suffix} but begins with {_shown(stored)}, which is no {place.suffix} "
            f"stream: fetch it again, or drop {place.suffix} from its name if it is unpacked already."
        )
    return stored


def _unpack(place: Path, kind: str, function: Callable[[bytes], bytes], stored: bytes) -> bytes:
    try:
        return function(stored)
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise DataError(
            f"the {kind} file {place} ({len(stored)} bytes) is cut off or corrupt ({reason}): fetch it again."
        ) from error


def _unpack_xz(stored: bytes) -> bytes:
    # lzma.decompress silently drops whatever follows the first stream if it is damaged; this does not.
    pieces: list[bytes] = []
    rest = stored
    while rest:
        stream = lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
        pieces.append(stream.decompress(rest))
        if not stream.eof:
            raise EOFError("the stream ends before its end marker")
        rest = stream.unused_data.lstrip(b"\x00")  # the format pads between streams with zeros
    return b"".join(pieces)


def _shown(content: bytes) -> str:
    return f"the bytes {content[:4].hex(' ')}" if content else "nothing (it is empty)"
