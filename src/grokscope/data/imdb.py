"""IMDb: film reviews that are good or bad (Maas et al. 2011)."""

from __future__ import annotations

import hashlib
import lzma
import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from grokscope.data.entries import CATALOGUE
from grokscope.data.files import locate
from grokscope.data.protocol import Samples, check_request, share
from grokscope.data.rows import read_json_lines
from grokscope.errors import DataError, first_line

CLASSES = 2
WHOLE = 25_000
"""Reviews of each split as published."""


def load_imdb(split: str, directory: str | os.PathLike[str] | None = None, *, limit: int | None = None) -> Samples:
    """Return film reviews, from a file with one JSON object a line that has the fields ``text`` and ``label``.

    Where there is none they are read from the published archive, ``aclImdb_v1.tar.gz``, in the order of the SHA-1 of
    their paths in it: an order that mixes good and bad, the same for everybody.

    Args:
        split: ``"train"`` or ``"test"``, each 25,000 reviews as published.
        directory: the data directory; see `grokscope.data.files.data_directory` for the default.
        limit: keep the first reviews only, at least 1; None keeps all.

    Returns:
        Samples with inputs ``(n,)`` of strings as object and targets ``(n,)`` int64, 0 for a bad and 1 for a good
        film; where the file holds fewer than published, their name says how many.

    Raises:
        UsageError: an unknown split, or a limit below 1.
        DataError: there is no file, or it is unreadable, or a line of it is no JSON object with a text and a label of
            0 or 1, or the archive is damaged or holds no reviews of the split.

    Reference:
        Maas, Daly, Pham, Huang, Ng and Potts 2011.

    Example:
        >>> load_imdb("train", limit=1).targets.tolist()  # doctest: +SKIP
        [1]
    """
    dataset = CATALOGUE["imdb"]
    check_request(dataset, split, limit)
    path = _found(split, directory)
    reviews = _archived(path, split) if path.name.startswith("aclImdb") else _lines(path)
    texts = np.empty(len(reviews), object)
    texts[:] = [text for text, _ in reviews]
    targets = np.array([label for _, label in reviews], np.int64)
    name = f"imdb/{split}{share(len(reviews), WHOLE, 'reviews')}"
    return Samples(texts[:limit], targets[:limit], CLASSES, name, ("bad", "good"))


def _found(split: str, directory: str | os.PathLike[str] | None) -> Path:
    lines = f"imdb_{split}.jsonl.xz"
    for name in (lines, "aclImdb_v1.tar.gz"):
        try:
            return locate("imdb", name, directory)
        except DataError:
            continue
    return locate("imdb", lines, directory)


def _lines(path: Path) -> list[tuple[str, int]]:
    rows = read_json_lines(path, {"text": str, "label": int})
    for number, (_, label) in rows:
        if not 0 <= label < CLASSES:
            raise DataError(
                f"line {number} of {path} has label = {label}, where 0 (bad) or 1 (good) is needed: repair or drop it."
            )
    return [(text, label) for _, (text, label) in rows]


def _archived(path: Path, split: str) -> list[tuple[str, int]]:
    found: list[tuple[str, str, int]] = []
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                parts = PurePosixPath(member.name).parts
                if len(parts) != 4 or parts[:2] != ("aclImdb", split) or parts[2] not in ("neg", "pos"):
                    continue
                content = archive.extractfile(member) if member.isreg() else None
                if content is not None:
                    order = hashlib.sha1("/".join(parts).encode(), usedforsecurity=False).hexdigest()
                    found.append((order, content.read().decode("utf-8"), int(parts[2] == "pos")))
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"the archive {path} cannot be read ({first_line(error)}): fetch it again.") from error
    if not found:
        raise DataError(f"the archive {path} holds no review in aclImdb/{split}/neg or pos: fetch it again.")
    return [(text, label) for _, text, label in sorted(found)]
