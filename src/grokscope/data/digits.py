"""The 8x8 digits that come with scikit-learn: 1797 of them (Alpaydin and Kaynak 1998)."""

from __future__ import annotations

import os

import numpy as np

from grokscope.data.compressed import read_bytes
from grokscope.data.entries import CATALOGUE
from grokscope.data.files import locate
from grokscope.data.protocol import Samples, check_request
from grokscope.errors import DataError

CLASSES, SIDE, DARKEST = 10, 8, 16


def load_digits(split: str, directory: str | os.PathLike[str] | None = None, *, limit: int | None = None) -> Samples:
    """Return the 8x8 digits, from the data directory or else from the installed scikit-learn, which is not imported.

    Args:
        split: ``"train"``, the only one.
        directory: the data directory; see `grokscope.data.files.data_directory` for the default.
        limit: keep the first digits only, at least 1; None keeps all 1797.

    Returns:
        Samples with inputs ``(n, 8, 8)`` uint8, the stored grey values 0 … 16 as the nearest of 0 … 255, and
        targets ``(n,)`` int64, 0 to 9.

    Raises:
        UsageError: an unknown split, or a limit below 1.
        DataError: scikit-learn is not installed, or its file is not 65 whole numbers a line: 64 grey values of
            0 to 16 and a digit.

    Reference:
        Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", test set.

    Example:
        >>> load_digits("train").targets[:3].tolist()
        [0, 1, 2]
    """
    dataset = CATALOGUE["digits"]
    check_request(dataset, split, limit)
    path = locate(dataset, dataset.files[0].path, directory)
    try:
        table = np.array([line.split(b",") for line in read_bytes(path).split()][:limit]).astype(np.int64)
    except ValueError:
        table = np.empty((0, 0), np.int64)
    if table.ndim != 2 or table.shape[1] != SIDE**2 + 1:
        raise DataError(
            f"{path} should hold {SIDE**2 + 1} whole numbers a line, with commas between them, and does not: "
            f"install scikit-learn again."
        )
    values, targets = table[:, :-1], table[:, -1]
    for what, array, most in (("grey value", values, DARKEST), ("digit", targets, CLASSES - 1)):
        if array.min() < 0 or array.max() > most:
            worst = int(array.max() if array.max() > most else array.min())
            raise DataError(
                f"{path} holds the {what} {worst}, where 0 to {most} are possible: install scikit-learn again."
            )
    inputs = np.rint(values * (255 / DARKEST)).astype(np.uint8).reshape(-1, SIDE, SIDE)
    return Samples(inputs, targets.copy(), CLASSES, f"digits/{split}")
