"""IMDb: film reviews that are good or bad (Maas et al. 2011)."""

from __future__ import annotations

import os

import numpy as np

from grokscope.data.entries import CATALOGUE
from grokscope.data.files import locate
from grokscope.data.protocol import Samples, check_request, share
from grokscope.data.rows import read_json_lines
from grokscope.errors import DataError

CLASSES = 2
WHOLE = 25_000
"""Reviews of each split as published."""


def load_imdb(split: str, directory: str | os.PathLike[str] | None = None, *, limit: int | None = None) -> Samples:
    """Return film reviews, from a file with one JSON object a line that has the fields ``text`` and ``label``.

    Args:
        split: ``"train"`` or ``"test"``, each 25,000 reviews as published.
        directory: the data directory; see `grokscope.data.files.data_directory` for the default.
        limit: keep the first reviews only, at least 1; None keeps all.

    Returns:
        Samples with inputs ``(n,)`` of strings as object and targets ``(n,)`` int64, 0 for a bad and 1 for a good
        film; where the file holds fewer than published, their name says how many.

    Raises:
        UsageError: an unknown split, or a limit below 1.
        DataError: the file is missing or unreadable, or a line of it is no JSON object with a text and a label of
            0 or 1.

    Reference:
        Maas, Daly, Pham, Huang, Ng and Potts 2011.

    Example:
        >>> load_imdb("train", limit=1).targets.tolist()  # doctest: +SKIP
        [1]
    """
    dataset = CATALOGUE["imdb"]
    check_request(dataset, split, limit)
    path = locate(dataset, dataset.files[dataset.splits.index(split)].path, directory)
    rows = read_json_lines(path, {"text": str, "label": int})
    for number, (_, label) in rows:
        if not 0 <= label < CLASSES:
            raise DataError(
                f"line {number} of {path} has label = {label}, where 0 (bad) or 1 (good) is needed: repair or drop it."
            )
    texts = np.empty(len(rows), object)
    texts[:] = [text for _, (text, _) in rows]
    targets = np.array([label for _, (_, label) in rows], np.int64)
    return Samples(texts[:limit], targets[:limit], CLASSES, f"imdb/{split}{share(len(rows), WHOLE, 'reviews')}")
