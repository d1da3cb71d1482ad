"""MNIST: 70,000 handwritten digits of 28x28 pixels (LeCun, Bottou, Bengio and Haffner 1998)."""

from __future__ import annotations

import os

import numpy as np

from grokscope.data.entries import CATALOGUE
from grokscope.data.files import locate
from grokscope.data.idx import read_idx
from grokscope.data.protocol import Samples, check_request
from grokscope.errors import DataError

CLASSES = 10
SIDE = 28
_PREFIX = {"train": "train", "test": "t10k"}


def load_mnist(split: str, directory: str | os.PathLike[str] | None = None, *, limit: int | None = None) -> Samples:
    """Return the training or the test digits of MNIST from the data directory.

    Args:
        split: ``"train"`` (60,000 digits as published) or ``"test"`` (10,000).
        directory: the data directory; see `grokscope.data.files.data_directory` for the default.
        limit: keep the first digits only, at least 1; None keeps all.

    Returns:
        Samples with inputs ``(n, 28, 28)`` uint8, ink 255 on paper 0, and targets ``(n,)`` int64, 0 to 9.

    Raises:
        UsageError: an unknown split, or a limit below 1.
        DataError: a file is missing or no IDX file, the images are not 28x28 bytes, the labels are not
            one byte each, the counts differ, or a label exceeds 9.

    Reference:
        LeCun, Bottou, Bengio and Haffner 1998.

    Example:
        >>> load_mnist("train").targets[:3].tolist()  # doctest: +SKIP
        [5, 0, 4]
    """
    dataset = CATALOGUE["mnist"]
    check_request(dataset, split, limit)
    images_path = locate(dataset, f"{_PREFIX[split]}-images-idx3-ubyte.gz", directory)
    labels_path = locate(dataset, f"{_PREFIX[split]}-labels-idx1-ubyte.gz", directory)
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or images.dtype != np.uint8:
        raise DataError(
            f"{images_path} should hold MNIST images of shape (n, {SIDE}, {SIDE}) and dtype uint8, and holds "
            f"shape {images.shape} and dtype {images.dtype}: check that it is the image file."
        )
    if labels.ndim != 1 or labels.dtype != np.uint8:
        raise DataError(
            f"{labels_path} should hold MNIST labels of shape (n,) and dtype uint8, and holds shape "
            f"{labels.shape} and dtype {labels.dtype}: check that it is the label file."
        )
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images and {labels_path} {len(labels)} labels: check that "
            f"both belong to the {split} split."
        )
    if labels.size and labels.max() >= CLASSES:
        raise DataError(
            f"{labels_path} holds the label {labels.max()}, where MNIST has 0 to {CLASSES - 1}: check that "
            f"it is MNIST's label file."
        )
    # Copies, so that a few digits do not keep the memory of sixty thousand alive.
    return Samples(
        inputs=images if limit is None else images[:limit].copy(),
        targets=labels[:limit].astype(np.int64),
        classes=CLASSES,
        name=f"mnist/{split}",
    )
