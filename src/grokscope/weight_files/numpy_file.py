"""Arrays of a ``.npz`` or ``.npy`` file, read without unpickling."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.errors import DataError
from grokscope.weight_files.base import AGAIN, Entry, first_line, in_order

if TYPE_CHECKING:
    from torch import Tensor

OBJECTS = "Python objects"


class NumpyFile:
    """A ``.npz`` archive, or the one array of a ``.npy`` file, which is called as the file is.

    Raises:
        DataError: it is damaged.
    """

    format = "NumPy"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: tuple[str, ...] = ()
        self.entries: dict[str, Entry] = {}
        try:
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    for member in in_order(archive.namelist()):
                        with archive.open(member) as file:
                            self._add(member.removesuffix(".npy"), file)
            else:
                with path.open("rb") as file:
                    self._add(path.stem, file)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is damaged or cut off ({first_line(error)}): {AGAIN}") from error

    def _add(self, name: str, file: Any) -> None:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        self.entries[name] = Entry(name, tuple(shape), OBJECTS if dtype.hasobject else dtype.name)

    def load(self, name: str) -> Tensor:
        """Return one array as a tensor."""
        import torch

        if self.entries[name].dtype == OBJECTS:
            raise DataError("holds Python objects, which are not unpickled here: save the arrays themselves.")
        try:
            found = np.load(self.path, allow_pickle=False)
            array = found if isinstance(found, np.ndarray) else found[name]
            # byte order of this machine, and memory of our own
            return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))
        except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise DataError(f"cannot be read ({first_line(error)}).") from error
