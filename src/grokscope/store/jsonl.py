"""JSON lines with one canonical spelling, and the tolerance that a killed writer needs.

JSON has no word for non-finite numbers; they are the strings ``"nan"``, ``"inf"`` and ``"-inf"``.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from grokscope.errors import StoreError
from grokscope.store.files import read_bytes, translated

_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_COMPACT = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_READABLE = json.JSONEncoder(sort_keys=True, indent=2, allow_nan=False)
_DECODER = json.JSONDecoder()
_TAIL = 1 << 16


def encode_value(x: float) -> float | str:
    """Return a finite number as it is and a non-finite one as its word.

    Example:
        >>> encode_value(float("-inf")), encode_value(0.5)
        ('-inf', 0.5)
    """
    x = float(x)
    if math.isfinite(x):
        return x
    return "nan" if math.isnan(x) else ("inf" if x > 0 else "-inf")


def decode_value(x: float | str) -> float:
    """Return the number that :func:`encode_value` wrote.

    Raises:
        StoreError: it is neither a number nor one of the three words.
    """
    if isinstance(x, str):
        if x in _NON_FINITE:
            return _NON_FINITE[x]
    elif isinstance(x, int | float) and not isinstance(x, bool):
        return float(x)
    raise StoreError(f"{x!r} is not a value of a log: expected a number, 'nan', 'inf' or '-inf'.")


def plain(obj: Any) -> Any:
    """Return ``obj`` as JSON values: numpy unwrapped, non-finite numbers as words, keys as text.

    Raises:
        TypeError: something in it has no JSON form.
    """
    if obj is None or isinstance(obj, bool):
        return obj
    if isinstance(obj, str):
        return str(obj)
    if isinstance(obj, int):
        return int(obj)
    if isinstance(obj, float | np.floating):
        return encode_value(float(obj))
    if isinstance(obj, np.bool_):
        return bool(obj)
    if isinstance(obj, np.integer):
        return int(obj)
    if isinstance(obj, np.ndarray):
        return plain(obj.tolist())
    if isinstance(obj, Mapping):
        return {_name(key): plain(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [plain(value) for value in obj]
    if isinstance(obj, os.PathLike):
        return os.fspath(obj)
    raise TypeError(f"a {type(obj).__name__} cannot be written as JSON: {obj!r}")


def _name(key: Any) -> str:
    if isinstance(key, str | int | np.integer) and not isinstance(key, bool):
        return str(key)
    raise TypeError(f"a {type(key).__name__} cannot be a JSON key: {key!r}")


def dumps(obj: Any, *, readable: bool = False) -> str:
    """Return the canonical JSON of ``obj``: sorted keys, compact, ASCII, no bare NaN.

    Args:
        obj: plain values, mappings, sequences, numpy scalars and arrays.
        readable: indent for people instead; the same values.

    Raises:
        TypeError: something in ``obj`` has no JSON form.

    Example:
        >>> dumps({"b": np.float32(0.5), "a": float("inf")})
        '{"a":"inf","b":0.5}'
    """
    return (_READABLE if readable else _COMPACT).encode(plain(obj))


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = _DECODER.decode(line.decode())
    except ValueError:  # bad JSON, or bytes that are not text
        return None
    return row if isinstance(row, dict) else None


def read_lines(path: Path | str) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file; a missing file holds none.

    A last line without its line end, or that does not parse, is one that a killed writer left or
    that a live one is writing now: it is skipped.

    Raises:
        StoreError: another line is broken (named with its number), or the file cannot be read.
    """
    path = Path(path)
    if not path.exists():
        return []
    *lines, unfinished = read_bytes(path).split(b"\n")
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        row = _parse(line)
        if row is not None:
            rows.append(row)
        elif number < len(lines) or unfinished:
            raise StoreError(
                f"line {number} of {path} is broken: restore the file from a copy or cut it before that line."
            )
    return rows


def _tail(path: Path) -> list[bytes]:
    """Return the file's end split at line ends: at least two whole lines, then what is unfinished."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        reach = _TAIL
        while True:
            start = max(0, size - reach)
            file.seek(start)
            pieces = file.read(size - start).split(b"\n")
            if start == 0:
                return pieces
            if len(pieces) > 3:
                return pieces[1:]  # the first one is cut somewhere
            reach *= 4


def last_line(path: Path) -> dict[str, Any] | None:
    """Return the last good object of a JSON-lines file without reading all of it; None if there is none."""
    if not path.exists():
        return None
    for line in _tail(path)[-2:-4:-1]:
        if (row := _parse(line)) is not None:
            return row
    return None


def repair_tail(path: Path | str) -> int:
    """Cut a torn last line off, so that appending is safe; return the number of bytes dropped.

    Raises:
        StoreError: the file cannot be written.
    """
    path = Path(path)
    if not path.exists():
        return 0
    with translated(path):
        *lines, unfinished = _tail(path)
        dropped = len(unfinished)
        if not unfinished and lines and _parse(lines[-1]) is None:
            dropped = len(lines[-1]) + 1
        if dropped:
            os.truncate(path, path.stat().st_size - dropped)
    return dropped
