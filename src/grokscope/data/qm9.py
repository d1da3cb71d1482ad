"""QM9: small organic molecules and the gap between their frontier orbitals (Ramakrishnan et al. 2014)."""

from __future__ import annotations

import math
import os

import numpy as np

from grokscope.data.entries import CATALOGUE
from grokscope.data.files import locate
from grokscope.data.protocol import Samples, check_request, share
from grokscope.data.rows import read_columns
from grokscope.errors import DataError

WHOLE = 133_885
"""Molecules as published."""


def load_qm9(
    split: str, directory: str | os.PathLike[str] | None = None, *, limit: int | None = None, target: str = "gap"
) -> Samples:
    """Return molecules as SMILES with their HOMO-LUMO gap, from a table with the columns ``SMILES`` and ``gap``.

    Args:
        split: ``"train"``, the only one: the whole table.
        directory: the data directory; see `grokscope.data.files.data_directory` for the default.
        limit: keep the first molecules only, at least 1; None keeps all.
        target: another column of the table, to be returned in place of the gap, in its own unit.

    Returns:
        Samples with inputs ``(n,)`` of strings as object and targets ``(n,)`` float64 in electronvolt; where the
        table holds fewer molecules than published, their name says how many.

    Raises:
        UsageError: an unknown split, or a limit below 1.
        DataError: the table is missing or unreadable, lacks a column, or a row of it has no SMILES or a gap that
            is no finite number.

    Reference:
        Ramakrishnan, Dral, Rupp and von Lilienfeld 2014.

    Example:
        >>> load_qm9("train", limit=1).inputs.tolist()  # doctest: +SKIP
        ['C']
    """
    dataset = CATALOGUE["qm9"]
    check_request(dataset, split, limit)
    path = locate(dataset, dataset.files[0].path, directory)
    rows = read_columns(path, ("SMILES", target))
    values = [_number(target, value, f"line {number} of {path}") for number, (_, value) in rows]
    for number, (smiles, _) in rows:
        if not smiles.strip():
            raise DataError(f"line {number} of {path} has no SMILES: repair or drop the line.")
    molecules = np.empty(len(rows), object)
    molecules[:] = [smiles for _, (smiles, _) in rows]
    name = f"qm9/{split}{share(len(rows), WHOLE, 'molecules')}"
    return Samples(molecules[:limit], np.array(values)[:limit], None, name)


def _number(target: str, value: str, where: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        unit = " (in eV)" if target == "gap" else ""
        raise DataError(
            f"{where} has {target} = {value!r}, where a finite number{unit} is needed: repair or drop the line."
        )
    return number
