"""Rows of text: a JSON object a line, and tables with commas between the columns."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from grokscope.data.compressed import read_bytes
from grokscope.errors import DataError, first_line


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a UTF-8 file, which may be plain, gzipped or xz; a byte-order mark is dropped.

    Raises:
        DataError: what `read_bytes` refuses, or a line is not UTF-8.

    Example:
        >>> read_text("imdb/imdb_train.jsonl.xz")[:1]  # doctest: +SKIP
        '{'
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"line {number} of {os.fspath(path)} is not UTF-8 ({error.reason}): write the file anew in UTF-8."
        ) from error


def read_json_lines(
    path: str | os.PathLike[str], fields: Mapping[str, type], *, limit: int | None = None
) -> list[tuple[int, tuple[Any, ...]]]:
    r"""Return the wanted fields of every line of a file that holds one JSON object a line; empty lines are skipped.

    Args:
        path: the file: plain, gzipped or xz, UTF-8.
        fields: field -> its type (str, int, float …); other fields are let be.
        limit: keep the first rows only.

    Returns:
        A pair (number of the line from 1, the fields in the order asked for) a row.

    Raises:
        DataError: the file is unreadable or holds no row, or a line is no JSON object, or lacks a field, or holds
            one of another type; the sentence names the line.

    Example:
        >>> read_json_lines("reviews.jsonl", {"text": str, "label": int})  # doctest: +SKIP
        [(1, ('good', 1)), (2, ('bad', 0))]
    """
    rows: list[tuple[int, tuple[Any, ...]]] = []
    place = os.fspath(path)
    # not splitlines, which also breaks at characters that JSON leaves bare within strings
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        if limit is not None and len(rows) >= limit:
            break
        rows.append((number, _fields(line, fields, f"line {number} of {place}")))
    if not rows:
        raise DataError(f"{place} holds no line: check that it is the right file, or fetch it again.")
    return rows


def _fields(line: str, fields: Mapping[str, type], where: str) -> tuple[Any, ...]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where} is no JSON ({first_line(error)}): repair or drop the line, or fetch the file again."
        ) from error
    if not isinstance(row, dict):
        raise DataError(f"{where} holds {type(row).__name__}, where a JSON object is needed: repair or drop the line.")
    for field, kind in fields.items():
        if field not in row:
            has = ", ".join(map(repr, list(row)[:8])) or "none"
            raise DataError(f"{where} lacks the field {field!r} (it has {has}): repair or drop the line.")
        value = row[field]
        # JSON's true is an int to Python
        if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
            raise DataError(
                f"{where} has {field} = {str(value)[:40]!r} of type {type(value).__name__}, where {kind.__name__} is "
                f"needed: repair or drop the line."
            )
    return tuple(row[field] for field in fields)


def read_columns(path: str | os.PathLike[str], columns: Sequence[str]) -> list[tuple[int, tuple[str, ...]]]:
    r"""Return the wanted columns of a table of comma-separated values whose first line names its columns.

    Args:
        path: the file: plain, gzipped or xz, UTF-8.
        columns: names of columns; others are let be.

    Returns:
        A pair (number of the line from 1, the columns as text in the order asked for) a row.

    Raises:
        DataError: the file is unreadable or holds no row, lacks a column, or a row has too few or too many values;
            the sentence names the line.

    Example:
        >>> read_columns("qm9_gap.csv", ["SMILES", "gap"])[0]  # doctest: +SKIP
        (2, ('C', '13.736308097839355'))
    """
    place = os.fspath(path)
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    rows: list[tuple[int, tuple[str, ...]]] = []
    try:
        names = next(reader, [])
        absent = [name for name in columns if name not in names]
        if absent:
            has = ", ".join(map(repr, names[:12])) or "none"
            raise DataError(
                f"{place} lacks the column {absent[0]!r} (its first line names {has}): name it so, or check that it "
                "is the right file."
            )
        places = [names.index(name) for name in columns]
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise DataError(
                    f"line {reader.line_num} of {place} has {len(row)} values, where {len(names)} columns are named: "
                    "repair or drop the line."
                )
            rows.append((reader.line_num, tuple(row[column] for column in places)))
    except csv.Error as error:
        raise DataError(
            f"line {reader.line_num} of {place} is no row of a table ({first_line(error)}): repair it."
        ) from error
    if not rows:
        raise DataError(f"{place} holds no row below its names: check that it is the right file, or fetch it again.")
    return rows
