"""What every reader of a data set takes and gives, and the one function that calls them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np

from grokscope.data.datasets import CATALOGUE, DataSet, find
from grokscope.data.files import data_directory, fingerprint
from grokscope.errors import DataError, UsageError, unknown


@dataclass(frozen=True)
class Samples:
    """The samples of one split: n inputs and their n targets, in the order of the files.

    Attributes:
        inputs: ``(n, ...)``, one sample per entry, as stored and unscaled: images ``(n, height, width)``
            or ``(n, height, width, channel)`` as uint8, texts ``(n,)`` of strings as object.
        targets: ``(n,)`` int64 class indices where ``classes`` is given, else ``(n, ...)`` of any dtype.
        classes: the number of classes, or None where the targets are not classes.
        name: what errors and reports call it, such as ``"mnist/train"``; it says so where the files hold only a part.
        labels: what the classes are called, in the order of their indices; empty where they have no names.

    Raises:
        DataError: the counts differ, a class index is no int64 or lies outside 0 … classes - 1, or there are
            labels and not one for each class.

    Example:
        >>> Samples(np.zeros((2, 28, 28), np.uint8), np.array([5, 0]), 10, "mnist/train").classes
        10
    """

    inputs: np.ndarray
    targets: np.ndarray
    classes: int | None
    name: str
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.inputs.ndim < 1 or self.targets.ndim < 1 or len(self.inputs) != len(self.targets):
            raise DataError(
                f"{self.name} needs one target for each input, and has inputs of shape {self.inputs.shape} "
                f"and targets of shape {self.targets.shape}: check that both come from the same split."
            )
        if self.labels and len(self.labels) != self.classes:
            raise DataError(
                f"{self.name} has {len(self.labels)} labels and {self.classes} classes: give one for each, or none."
            )
        if self.classes is None:
            return
        if self.targets.ndim != 1 or self.targets.dtype != np.int64:
            raise DataError(
                f"{self.name} needs class indices of shape (n,) and dtype int64, and has targets of shape "
                f"{self.targets.shape} and dtype {self.targets.dtype}: convert them in its loader."
            )
        if self.targets.size and not 0 <= self.targets.min() <= self.targets.max() < self.classes:
            raise DataError(
                f"{self.name} has class indices from {self.targets.min()} to {self.targets.max()}, where "
                f"{self.classes} classes allow 0 to {self.classes - 1}: check its label file."
            )


class Loader(Protocol):
    """A function that reads one split of a data set.

    ``limit`` keeps the first samples only, so that a format that can stop reading early does. A loader
    finds its files with `grokscope.data.files.locate`, reads them with `read_bytes`, `read_idx` or
    `ZipFolder`, and raises `DataError` for whatever is wrong with them.
    """

    def __call__(
        self, split: str, directory: str | os.PathLike[str] | None = None, *, limit: int | None = None
    ) -> Samples:
        """Return the samples of a split, at most ``limit`` of them, in the order of the files."""
        ...


def load(
    name: str,
    split: str,
    directory: str | os.PathLike[str] | None = None,
    *,
    limit: int | None = None,
    size: int | None = None,
) -> Samples:
    """Return one split of a data set, read by the loader that its entry in the catalogue names.

    Of our own sets and of folders the last few splits read are kept, for as long as their files do not change; their
    arrays can only be read, because several tasks may hold them.

    Args:
        name: a data set of `grokscope.data.datasets.catalogue`, or a path to a folder or a zip file of pictures.
        split: one of its splits.
        directory: the data directory; see `grokscope.data.files.data_directory` for the default.
        limit: keep the first samples only, at least 1; None keeps all.
        size: side of the square to which pictures are scaled when they are read; None keeps theirs.

    Raises:
        UsageError: the data set or the split is unknown, the limit or the size is not positive, the data set has no
            loader, or its loader scales no pictures.
        DataError: a file is missing or is not what its format says, or the loader cannot be imported or
            returns no `Samples`.

    Example:
        >>> load("mnist", "test").inputs.shape  # doctest: +SKIP
        (10000, 28, 28)
    """
    dataset = find(name)
    check_request(dataset, split, limit)
    options: dict[str, Any] = {"limit": limit}
    if size is not None:
        if not dataset.resizable:
            raise UsageError(
                f"the data set {name!r} is read as it is and cannot be scaled to {size}: leave the size out."
            )
        options["size"] = size
    loader = _loader(dataset)
    root = data_directory(directory)
    if dataset is CATALOGUE.get(name):
        state = fingerprint(dataset, root)
    elif isinstance(loader, Fingerprinted):
        state = loader.fingerprint()
    else:
        return _checked(loader(split, directory, **options), name)
    place = None if root is None else str(root)
    return _remembered(loader, split, place, tuple(options.items()), state, name)


@runtime_checkable
class Fingerprinted(Protocol):
    """A loader that knows when what it reads has changed, and that is equal to another that reads the same."""

    def fingerprint(self) -> tuple[object, ...]:
        """Return a value that changes when the files do."""
        ...


@lru_cache(maxsize=4)
def _remembered(
    loader: Callable[..., Any],
    split: str,
    directory: str | None,
    options: tuple[tuple[str, int | None], ...],
    _state: tuple[object, ...],
    name: str,
) -> Samples:
    samples = _checked(loader(split, directory, **dict(options)), name)
    for array in (samples.inputs, samples.targets):
        array.flags.writeable = False
    return samples


def _checked(samples: Any, name: str) -> Samples:
    if not isinstance(samples, Samples):
        raise DataError(
            f"the loader of the data set {name!r} should return grokscope.data.Samples and returned "
            f"{type(samples).__name__}: repair the package that registered it."
        )
    return samples


def check_request(dataset: DataSet, split: str, limit: int | None) -> None:
    """Refuse a split that the data set does not have, or a limit below 1, before any file is touched.

    Raises:
        UsageError: in those two cases.

    Example:
        >>> check_request(find("mnist"), "train", None)
    """
    if split not in dataset.splits:
        raise unknown(f"split of the data set {dataset.name!r}", split, dataset.splits)
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1 and is {limit}: leave it out to load every sample.")


def share(count: int, whole: int, what: str) -> str:
    """Return what a name of samples ends in where they are not the whole split: how many of how many.

    Example:
        >>> share(5, 20, "reviews")
        ' (5 of 20 reviews)'
    """
    return "" if count == whole else f" ({count} of {whole} {what})"


def _loader(dataset: DataSet) -> Callable[..., Any]:
    if dataset.load is None:
        raise UsageError(
            f"the data set {dataset.name!r} has no loader: open its files yourself, with "
            f"grokscope.data.locate({dataset.name!r}, {dataset.files[0].path!r}) and the readers beside it."
        )
    if not isinstance(dataset.load, str):
        return dataset.load
    module, _, function = dataset.load.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataError(
            f"the loader {dataset.load!r} of the data set {dataset.name!r} cannot be imported ({error}): it "
            f"should be 'module:function' of an installed package."
        ) from error
