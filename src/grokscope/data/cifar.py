"""CIFAR-10: 60,000 colour images of 32x32 pixels, ten things (Krizhevsky 2009)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from grokscope.data.batch_pickle import read_batch_pickle
from grokscope.data.compressed import read_bytes
from grokscope.data.entries import CATALOGUE
from grokscope.data.files import locate
from grokscope.data.protocol import Samples, check_request
from grokscope.errors import DataError

CLASSES, SIDE, CHANNELS = 10, 32, 3
PIXELS = CHANNELS * SIDE**2
BATCH, BATCHES = 10_000, 5
"""Images a file, and files of the training split, as published."""

THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load_cifar10(split: str, directory: str | os.PathLike[str] | None = None, *, limit: int | None = None) -> Samples:
    """Return the training or the test images of CIFAR-10, from the files of its binary or its Python version.

    Of the five training files those are read that are there; where some are missing, the name of the samples says
    which were read. The content of a file decides which version it is, and its pickle runs no code. The names of the
    classes are those of ``batches.meta.txt`` or ``batches.meta``, or else the published ones.

    Args:
        split: ``"train"`` (50,000 images as published) or ``"test"`` (10,000).
        directory: the data directory; see `grokscope.data.files.data_directory` for the default.
        limit: keep the first images only, at least 1; None keeps all. No more files are read than it needs.

    Returns:
        Samples with inputs ``(n, 32, 32, 3)`` uint8, red, green and blue last, and targets ``(n,)`` int64, 0 to 9.

    Raises:
        UsageError: an unknown split, or a limit below 1.
        DataError: no file of the split is there, or one has another length or number of images than published, a
            label over 9, or a pickle that names anything but arrays.

    Reference:
        Krizhevsky 2009; https://www.cs.toronto.edu/~kriz/cifar.html on both formats.

    Example:
        >>> load_cifar10("test", limit=4).targets.tolist()  # doctest: +SKIP
        [3, 8, 8, 0]
    """
    dataset = CATALOGUE["cifar10"]
    check_request(dataset, split, limit)
    if split == "test":
        found, note = [locate(dataset, "test_batch.bin", directory)], ""
    else:
        numbers = {number: _training_file(number, directory) for number in range(1, BATCHES + 1)}
        there = {number: path for number, path in numbers.items() if path is not None}
        found = list(there.values()) or [locate(dataset, "data_batch_1.bin", directory)]
        note = "" if len(there) == BATCHES else f" (batch {', '.join(map(str, there))} of {BATCHES})"
    wanted = len(found) if limit is None else -(-limit // BATCH)
    batches = [_read(path) for path in found[:wanted]]
    # copies, because a view would keep the memory of the whole files
    inputs = np.concatenate([images for images, _ in batches])[:limit].copy()
    targets = np.concatenate([labels for _, labels in batches])[:limit].copy()
    return Samples(inputs, targets, CLASSES, f"cifar10/{split}{note}", _names(directory))


def _training_file(number: int, directory: str | os.PathLike[str] | None) -> Path | None:
    try:
        return locate("cifar10", f"data_batch_{number}.bin", directory)
    except DataError:
        return None


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 32, 32, 3) uint8 and labels (n,) int64 of one file of either version."""
    content = read_bytes(path)
    # a pickle of protocol 2 or later begins with 0x80, which is no label
    if content[:1] == b"\x80":
        pixels, labels = _from_pickle(content, path)
    else:
        pixels, labels = _from_records(content, path)
    if len(labels) != BATCH:
        raise DataError(
            f"{path} holds {len(labels)} images, where a file of CIFAR-10 holds {BATCH}: it is cut off or "
            "another file; fetch it again."
        )
    if labels.min() < 0 or labels.max() >= CLASSES:
        worst = int(labels.max() if labels.max() >= CLASSES else labels.min())
        raise DataError(
            f"{path} holds the label {worst}, where CIFAR-10 has 0 to {CLASSES - 1}: check that it is a file of it."
        )
    return pixels.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1), labels


def _from_records(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    record = 1 + PIXELS
    if not content or len(content) % record:
        raise DataError(
            f"{path} has {len(content)} bytes, which is no multiple of {record}, the bytes of one image of CIFAR-10 "
            "and its label: it is cut off or another file; fetch it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return records[:, 1:], records[:, 0].astype(np.int64)


def _from_pickle(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    batch = read_batch_pickle(content, str(path))
    absent = [key for key in ("data", "labels") if key not in batch]
    if absent:
        has = ", ".join(map(repr, list(batch)[:8])) or "none"
        raise DataError(f"the pickle {path} lacks {absent[0]!r} (it has {has}): check that it is a batch of CIFAR-10.")
    data, labels = batch["data"], batch["labels"]
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != PIXELS:
        shape = f"shape {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"the pickle {path} has data of {shape}, where (n, {PIXELS}) is needed: fetch it again.")
    if not isinstance(labels, (list, np.ndarray)) or any(
        not isinstance(label, (int, np.integer)) or isinstance(label, bool) or abs(int(label)) > 2**31
        for label in labels
    ):
        raise DataError(f"the pickle {path} has labels that are no list of whole numbers: fetch it again.")
    if len(labels) != len(data):
        raise DataError(f"the pickle {path} holds {len(data)} images and {len(labels)} labels: fetch it again.")
    return data, np.array(labels, np.int64)


def _names(directory: str | os.PathLike[str] | None) -> tuple[str, ...]:
    try:
        path = locate("cifar10", "batches.meta.txt", directory)
    except DataError:
        return THINGS
    content = read_bytes(path)
    if content[:1] == b"\x80":
        stored = read_batch_pickle(content, str(path)).get("label_names")
        names = stored if isinstance(stored, list) else []
    else:
        names = content.split()
    texts = tuple(name.decode("latin-1") if isinstance(name, bytes) else str(name) for name in names)
    if len(texts) != CLASSES:
        raise DataError(
            f"{path} names {len(texts)} classes, where CIFAR-10 has {CLASSES}: fetch it again, or remove it."
        )
    return texts
