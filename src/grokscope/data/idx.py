"""The IDX array format of MNIST, complete: every element type, any rank."""

from __future__ import annotations

import math
import os

import numpy as np

from grokscope.data.compressed import read_bytes
from grokscope.errors import DataError

TYPE_CODES: dict[int, str] = {
    0x08: ">u1",
    0x09: ">i1",
    0x0B: ">i2",
    0x0C: ">i4",
    0x0D: ">f4",
    0x0E: ">f8",
}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the array stored in an IDX file, which may be plain, gzipped or xz.

    Returns:
        A new, writable array in the machine's byte order, with the shape and the element type that the
        header states (uint8, int8, int16, int32, float32 or float64).

    Raises:
        DataError: what `read_bytes` or `parse_idx` refuses.

    Reference:
        LeCun, Cortes and Burges, "The MNIST database", section "File formats".

    Example:
        >>> read_idx("mnist/t10k-labels-idx1-ubyte.gz").shape  # doctest: +SKIP
        (10000,)
    """
    return parse_idx(read_bytes(path), os.fspath(path))


def parse_idx(content: bytes, name: str) -> np.ndarray:
    r"""Return the array that the bytes of an IDX file hold; ``name`` is what errors call it.

    Layout: two zero bytes, the type code, the rank d, d big-endian unsigned 32-bit lengths, then the
    elements in row-major order, big-endian.

    Raises:
        DataError: no IDX magic, an unknown type code, a header that is cut off, fewer or more element
            bytes than the header announces, or a shape that numpy cannot hold.

    Example:
        >>> parse_idx(b"\0\0\x08\x01\0\0\0\x02\x05\x07", "labels").tolist()
        [5, 7]
    """
    if len(content) < 4 or content[:2] != b"\x00\x00":
        received = f"the bytes {content[:4].hex(' ')}" if content else "nothing"
        raise DataError(
            f"{name} is not an IDX file: it should begin with two zero bytes, a type code and a rank, and "
            f"begins with {received}; check that it is the right file, or fetch it again."
        )
    code, rank = content[2], content[3]
    if code not in TYPE_CODES:
        known = ", ".join(f"0x{known:02x}" for known in TYPE_CODES)
        raise DataError(
            f"{name} has the unknown IDX type code 0x{code:02x}, where the known ones are {known}: "
            f"check that it is an IDX file, or fetch it again."
        )
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(
            f"{name} ends within its IDX header: rank {rank} needs {start} bytes of header, and the file "
            f"has {len(content)}; fetch it again."
        )
    shape = tuple(int(length) for length in np.frombuffer(content, ">u4", count=rank, offset=4))
    dtype = np.dtype(TYPE_CODES[code])
    # Python integers: a corrupt header may announce more than 64 bits can count.
    expected, received = math.prod(shape) * dtype.itemsize, len(content) - start
    if expected != received:
        fault = "is cut off" if received < expected else "has extra bytes at its end"
        raise DataError(
            f"{name} {fault}: its IDX header announces shape {shape} of {dtype.newbyteorder('=').name}, "
            f"which is {expected} bytes, and {received} follow; fetch it again."
        )
    try:
        elements = np.frombuffer(content, dtype, offset=start) if received else np.empty(0, dtype)
        return elements.reshape(shape).astype(dtype.newbyteorder("="))
    except ValueError as error:
        raise DataError(
            f"{name} announces rank {rank}, shape {shape}, which numpy cannot hold ({error}): check that it "
            f"is the right file."
        ) from error
