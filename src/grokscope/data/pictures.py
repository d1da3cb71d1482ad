"""PNG and JPEG pictures in one folder a class, or in a zip file of such folders."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from grokscope.data.archive import ZipFolder
from grokscope.data.entries import CATALOGUE
from grokscope.data.files import locate
from grokscope.data.protocol import Samples, check_request
from grokscope.errors import DataError, UsageError, first_line

SUFFIXES = (".png", ".jpg", ".jpeg")
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error, MemoryError)
_GREY, _COLOUR = ("1", "L", "LA", "La"), ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")

Colour = Literal["grey", "rgb"]


@dataclass(frozen=True)
class Picture:
    """A picture that can be read: its posix path below the root, and the folders that lead to it."""

    path: str
    folders: tuple[str, ...]


@contextmanager
def open_pictures(path: str | os.PathLike[str]) -> Iterator[tuple[list[Picture], Callable[[str], bytes]]]:
    """Give the pictures in a folder or a zip file, sorted by path, and the function that reads the bytes of one.

    Folders that all pictures have in common lead to no class and are left out of `Picture.folders`, as long as one
    more follows; hidden files and folders, and those that macOS adds, are skipped.

    Raises:
        DataError: the path does not exist, is no folder and no whole zip file, or holds no picture.

    Example:
        >>> with open_pictures("flowers") as (pictures, read):  # doctest: +SKIP
        ...     pictures[0]
        Picture(path='rose/1.png', folders=('rose',))
    """
    place = Path(path).expanduser()
    if place.is_dir():
        yield _sorted(_walk(place), place), lambda name: _bytes(place / name)
        return
    if not place.exists():
        raise DataError(f"{place} does not exist: name a folder or a zip file with one folder of pictures a class.")
    with ZipFolder(place) as archive:
        yield _sorted(archive.names(), place), archive.read


def load_image_folder(
    path: str | os.PathLike[str],
    *,
    within: str | None = None,
    size: int | tuple[int, int] | None = None,
    colour: Colour | None = None,
    limit: int | None = None,
    deep: bool = False,
    name: str | None = None,
) -> Samples:
    """Return the pictures of ``ROOT/CLASS/NAME.png`` (or .jpg, .jpeg), from a folder or from a zip file of it.

    Classes are sorted by name, and pictures by class and then by path. Folders that all pictures have in common lead
    to no class, so that a zip may hold the root itself.

    Args:
        path: the folder or the zip file.
        within: the folder below the root that holds the classes, such as ``"train"``.
        size: the height and width (one number: both) to which every picture is scaled, its aspect not kept, with
            Pillow's antialiased bilinear filter; None keeps pictures as they are, which must then agree.
        colour: ``"grey"`` or ``"rgb"``; None: grey where every picture read is, else rgb. Transparency is dropped.
        limit: keep the first pictures only, at least 1; the classes are still those of all.
        deep: whether every folder with pictures is a class, ``a/b``; otherwise all below ``a`` are of the class a.
        name: what errors and reports call the samples; None: the path.

    Returns:
        Samples with inputs uint8 ``(n, height, width)`` if grey, else ``(n, height, width, 3)``, targets ``(n,)``
        int64 and the names of the classes as ``labels``.

    Raises:
        UsageError: the size or the limit is not positive.
        DataError: what `open_pictures` refuses; pictures lie outside any class, or all in one; a picture cannot be
            decoded, is of more than 8 bits a channel, or differs from the first in size; Pillow is not installed.

    Example:
        >>> load_image_folder("flowers", size=32).inputs.shape  # doctest: +SKIP
        (60, 32, 32, 3)
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1 and is {limit}: leave it out to load every sample.")
    shape = (size, size) if isinstance(size, int) else size
    if shape is not None and min(shape) < 1:
        raise UsageError(f"size must be at least 1 and is {size}: leave it out to keep pictures as they are.")
    with open_pictures(path) as (pictures, read):
        if within is not None:
            pictures = [Picture(one.path, one.folders[1:]) for one in pictures if one.folders[:1] == (within,)]
        classes = ["/".join(one.folders) if deep else "".join(one.folders[:1]) for one in pictures]
        labels = sorted(set(classes))
        if "" in labels:
            raise DataError(
                f"the picture {pictures[classes.index('')].path} in {path} lies in no folder of its class: move it "
                "into one, as ROOT/CLASS/NAME.png."
            )
        if len(labels) < 2:
            raise DataError(
                f"{path} holds pictures of one class ({', '.join(labels)}), where at least two are needed: put those "
                "of each class into a folder of its own, as ROOT/CLASS/NAME.png."
            )
        # stable: by class and then as they were, by path
        order = sorted(range(len(pictures)), key=lambda index: classes[index])[:limit]
        arrays = _decoded([pictures[index].path for index in order], read, shape, colour, str(path))
    index = {label: number for number, label in enumerate(labels)}
    targets = np.array([index[classes[place]] for place in order], np.int64)
    return Samples(arrays, targets, len(labels), name or str(path), tuple(labels))


def load_imagenette(
    split: str, directory: str | os.PathLike[str] | None = None, *, limit: int | None = None, size: int | None = None
) -> Samples:
    """Return pictures of Imagenette in colour, (n, 96, 96, 3) uint8, or scaled to ``size``; its classes are WordNet's.

    Raises:
        UsageError: an unknown split, or a limit or size below 1.
        DataError: the zip file is missing or is not what `load_image_folder` reads.

    Reference:
        Howard 2019.

    Example:
        >>> load_imagenette("train", limit=1).labels[:1]  # doctest: +SKIP
        ('n01440764',)
    """
    dataset = CATALOGUE["imagenette"]
    check_request(dataset, split, limit)
    path = locate(dataset, f"imagenette_96_{split}.zip", directory)
    return load_image_folder(path, size=size, colour="rgb", limit=limit, name=f"imagenette/{split}")


def load_omniglot(
    split: str, directory: str | os.PathLike[str] | None = None, *, limit: int | None = None, size: int | None = None
) -> Samples:
    """Return handwritten characters, (n, 105, 105) uint8 with ink 0 on paper 255, or scaled to ``size``.

    A class is a character, ``"Greek/character01"``, drawn by twenty people: 964 classes in ``"background"`` and 659
    others in ``"evaluation"``.

    Raises:
        UsageError: an unknown split, or a limit or size below 1.
        DataError: the zip file is missing or is not what `load_image_folder` reads.

    Reference:
        Lake, Salakhutdinov and Tenenbaum 2015.

    Example:
        >>> load_omniglot("background", limit=1).classes  # doctest: +SKIP
        964
    """
    dataset = CATALOGUE["omniglot"]
    check_request(dataset, split, limit)
    path = locate(dataset, f"images_{split}.zip", directory)
    return load_image_folder(path, size=size, colour="grey", limit=limit, deep=True, name=f"omniglot/{split}")


def _walk(root: Path) -> list[str]:
    names: list[str] = []
    seen: set[str] = set()
    # links are followed, because collections are often made of them, but none twice
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        names += [(Path(folder) / file).relative_to(root).as_posix() for file in files]
    return names


def _sorted(names: Sequence[str], root: Path) -> list[Picture]:
    split = sorted(tuple(name.split("/")) for name in names if name.lower().endswith(SUFFIXES))
    parts = [one for one in split if not any(part.startswith(".") or part == "__MACOSX" for part in one)]
    if not parts:
        raise DataError(
            f"{root} holds no picture ({', '.join(SUFFIXES)}): name a folder or a zip file with one folder of pictures "
            "a class."
        )
    common = 0
    while len({one[common] for one in parts}) == 1 and all(len(one) > common + 2 for one in parts):
        common += 1
    return [Picture("/".join(one), one[common:-1]) for one in parts]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"cannot read the picture {path}: {reason}; check that it may be read.") from error


def _decoded(
    names: Sequence[str],
    read: Callable[[str], bytes],
    shape: tuple[int, int] | None,
    colour: Colour | None,
    root: str,
) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(
            "reading pictures needs the package Pillow, which is not installed: run pip install 'grokscope[data]'."
        ) from error

    arrays: list[np.ndarray] = []
    with warnings.catch_warnings():
        # its warning of a picture that would fill the memory is a refusal here; its others are of no account
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for name in names:
            content = read(name)
            try:
                with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
                    arrays.append(_pixels(picture, shape, colour, f"the picture {name} in {root}"))
            except (*_DAMAGE, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
                # of what is no picture at all Pillow only names the buffer
                told = "it is no PNG or JPEG" if isinstance(error, Image.UnidentifiedImageError) else first_line(error)
                raise DataError(
                    f"the picture {name} in {root} cannot be decoded ({told}): replace it or remove it."
                ) from error
            if arrays[-1].shape[:2] != arrays[0].shape[:2]:
                (height, width), (first, wide) = arrays[-1].shape[:2], arrays[0].shape[:2]
                raise DataError(
                    f"the pictures in {root} differ in size ({names[0]} has {first}x{wide} pixels, {name} has "
                    f"{height}x{width}): scale them on reading, with --set task.resize=SIDE (size=SIDE in Python)."
                )
    if any(array.ndim == 3 for array in arrays):
        arrays = [array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2) for array in arrays]
    return np.stack(arrays)


def _pixels(picture: Any, shape: tuple[int, int] | None, colour: Colour | None, what: str) -> np.ndarray:
    if picture.mode not in (*_GREY, *_COLOUR):
        raise DataError(
            f"{what} has pixels of the kind {picture.mode!r}, where 8 bits a channel are needed: convert it, or "
            "remove it."
        )
    grey = colour == "grey" or (colour is None and picture.mode in _GREY)
    picture = picture.convert("L" if grey else "RGB")
    if shape is not None and picture.size != shape[::-1]:
        from PIL import Image

        picture = picture.resize(shape[::-1], Image.Resampling.BILINEAR)
    return np.asarray(picture).copy()
