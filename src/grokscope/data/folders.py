"""A person's own pictures as a data set: a path to a folder or a zip file takes the place of a name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from grokscope.data.description import DataSet
from grokscope.data.pictures import load_image_folder, open_pictures
from grokscope.data.protocol import Samples

TRAIN, TEST = ("train", "training"), ("test", "val", "valid", "validation")
"""Folders that are splits and not classes, where a root holds one of the first, and nothing else but these."""


@dataclass(frozen=True)
class PictureFolder:
    """The loader of one folder or zip file of pictures: equal for equal paths.

    Attributes:
        path: the folder or the zip file, absolute.
        folders: for each split the folder below the root that holds it; empty where all is the split ``"train"``.
    """

    path: str
    folders: tuple[str, ...]

    def __call__(
        self,
        split: str,
        directory: str | os.PathLike[str] | None = None,
        *,
        limit: int | None = None,
        size: int | None = None,
    ) -> Samples:
        """Return the pictures of a split; the data directory is of no account, because the path says all."""
        within = None
        if self.folders:
            within = next(one for one in self.folders if (one in TRAIN) == (split == "train"))
        return load_image_folder(self.path, within=within, size=size, limit=limit, name=f"{self.path}/{split}")

    def fingerprint(self) -> tuple[object, ...]:
        """Return what changes when a picture does: path, time and size of the zip file, or of every picture."""
        if not os.path.isdir(self.path):
            state = os.stat(self.path)
            return (self.path, state.st_mtime_ns, state.st_size)
        with open_pictures(self.path) as (pictures, _):
            return tuple(_state(self.path, one.path) for one in pictures)


def picture_folder(name: str) -> DataSet:
    """Return the data set that a path to a folder or a zip file of pictures is.

    A root that holds ``train`` (or ``training``) and perhaps one of ``test``, ``val``, ``valid`` and ``validation``,
    and nothing else, has the splits ``"train"`` and ``"test"``; any other is the split ``"train"``, a class a folder.

    Raises:
        DataError: the path does not exist, is no folder and no whole zip file, or holds no picture.

    Example:
        >>> picture_folder("~/flowers").splits  # doctest: +SKIP
        ('train',)
    """
    path = os.path.abspath(Path(name).expanduser())
    with open_pictures(path) as (pictures, _):
        tops = {one.folders[:1] for one in pictures}
        deep = all(len(one.folders) > 1 for one in pictures)
    found = tuple(sorted(one[0] for one in tops if one))
    known = deep and set(found) <= {*TRAIN, *TEST}
    splits = known and sum(one in TRAIN for one in found) == 1 and sum(one in TEST for one in found) == 1
    return DataSet(
        name=name,
        title=f"pictures in {path}",
        files=(),
        splits=("train", "test") if splits else ("train",),
        load=PictureFolder(path, found if splits else ()),
        source=path,
        licence="that of its owner",
        citation="",
        resizable=True,
    )


def _state(root: str, name: str) -> tuple[object, ...]:
    try:
        state = os.stat(os.path.join(root, name))
    except OSError:  # a link to nothing: reading it says so
        return (name, None, None)
    return (name, state.st_mtime_ns, state.st_size)
