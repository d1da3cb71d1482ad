"""MNIST and Fashion-MNIST: 70,000 grey images of 28x28 pixels each, in the same format."""

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
ARTICLES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
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
    return _load("mnist", "MNIST", split, directory, limit, tuple(map(str, range(CLASSES))))


def load_fashion_mnist(
    split: str, directory: str | os.PathLike[str] | None = None, *, limit: int | None = None
) -> Samples:
    """Return the training or the test images of Fashion-MNIST; everything else is as `load_mnist` says.

    Returns:
        Samples with inputs ``(n, 28, 28)`` uint8, background 0, and targets ``(n,)`` int64, 0 to 9, the places of
        ``ARTICLES``.

    Reference:
        Xiao, Rasul and Vollgraf 2017.

    Example:
        >>> load_fashion_mnist("train").targets[:3].tolist()  # doctest: +SKIP
        [9, 0, 0]
    """
    return _load("fashion-mnist", "Fashion-MNIST", split, directory, limit, ARTICLES)


def _load(
    name: str,
    title: str,
    split: str,
    directory: str | os.PathLike[str] | None,
    limit: int | None,
    labels: tuple[str, ...],
) -> Samples:
    dataset = CATALOGUE[name]
    check_request(dataset, split, limit)
    images_path = locate(dataset, f"{_PREFIX[split]}-images-idx3-ubyte.gz", directory)
    labels_path = locate(dataset, f"{_PREFIX[split]}-labels-idx1-ubyte.gz", directory)
    images, classes = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or images.dtype != np.uint8:
        raise DataError(
            f"{images_path} should hold {title} images of shape (n, {SIDE}, {SIDE}) and dtype uint8, and holds "
            f"shape {images.shape} and dtype {images.dtype}: check that it is the image file."
        )
    if classes.ndim != 1 or classes.dtype != np.uint8:
        raise DataError(
            f"{labels_path} should hold {title} labels of shape (n,) and dtype uint8, and holds shape "
            f"{classes.shape} and dtype {classes.dtype}: check that it is the label file."
        )
    if len(images) != len(classes):
        raise DataError(
            f"{images_path} holds {len(images)} images and {labels_path} {len(classes)} labels: check that "
            f"both belong to the {split} split."
        )
    if classes.size and classes.max() >= CLASSES:
        raise DataError(
            f"{labels_path} holds the label {classes.max()}, where {title} has 0 to {CLASSES - 1}: check that "
            f"it is {title}'s label file."
        )
    # Copies, so that a few images do not keep the memory of sixty thousand alive.
    return Samples(
        inputs=images if limit is None else images[:limit].copy(),
        targets=classes[:limit].astype(np.int64),
        classes=CLASSES,
        name=f"{name}/{split}",
        labels=labels,
    )
