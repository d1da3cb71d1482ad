"""A zip file read as a folder, member by member, without ever writing to disk."""

from __future__ import annotations

import lzma
import os
import re
import zipfile
import zlib
from pathlib import Path
from types import TracebackType

from grokscope.errors import DataError, nearest

# What zipfile and its decompressors raise on a member that is damaged or packed in a way Python lacks.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)


class ZipFolder:
    """An open zip file whose members are read into memory by name.

    Names are posix paths inside the archive. The whole archive is refused when one of its member names
    is absolute or climbs with ``..``, although nothing is ever extracted: such an archive is not what it
    pretends to be.

    Raises:
        DataError: the file is missing, is not a zip file, is cut off, or holds an unsafe name.

    Example:
        >>> with ZipFolder("omniglot/images_background.zip") as folder:  # doctest: +SKIP
        ...     image = folder.read(folder.names(".png")[0])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._archive = zipfile.ZipFile(self.path)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise DataError(
                f"cannot read the zip file {self.path}: {reason}; check that it exists and may be read."
            ) from error
        except (zipfile.BadZipFile, RuntimeError, ValueError) as error:
            raise DataError(f"{self.path} is not a whole zip file ({_reason(error)}): fetch it again.") from error
        for info in self._archive.infolist():
            # Both spellings: zipfile cuts a name at a NUL byte and rewrites the separator on Windows.
            if _unsafe(info.filename) or _unsafe(info.orig_filename):
                self._archive.close()
                raise DataError(
                    f"the zip file {self.path} holds the unsafe member name {info.orig_filename!r}, which is "
                    f"absolute or climbs out with '..': do not use it, and fetch it again from its source."
                )

    def names(self, suffix: str | None = None) -> list[str]:
        """Return the sorted names of the files inside, or of those with a suffix in any letter case.

        Directory entries are left out.

        Example:
            >>> folder.names(".jpeg")  # doctest: +SKIP
            ['train/n01440764/ILSVRC2012_val_00013716.JPEG', ...]
        """
        wanted = (suffix or "").lower()
        return sorted(
            {
                info.filename
                for info in self._archive.infolist()
                if not info.is_dir() and info.filename.lower().endswith(wanted)
            }
        )

    def read(self, name: str) -> bytes:
        """Return the bytes of one member; its checksum (CRC-32) is verified.

        Raises:
            DataError: there is no such file (the nearest names are offered), it is encrypted, damaged
                or packed with a method this Python lacks, or the archive was closed.

        Example:
            >>> folder.read("images_background/Greek/character01/0394_01.png")[1:4]  # doctest: +SKIP
            b'PNG'
        """
        try:
            info = self._archive.getinfo(name)
        except KeyError as error:
            close = nearest(name, self.names())
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "names() lists what it holds."
            raise DataError(f"the zip file {self.path} holds no member {name!r}: {hint}") from error
        if info.is_dir():
            raise DataError(
                f"{name!r} in the zip file {self.path} is a directory, not a file: read the members under it."
            )
        if info.flag_bits & 0x1:
            raise DataError(
                f"the member {name!r} of the zip file {self.path} is encrypted, which is not supported: pack "
                f"the files anew without a password."
            )
        if self._archive.fp is None:
            raise DataError(f"the zip file {self.path} was closed before {name!r} was read: open it again.")
        try:
            return self._archive.read(info)
        except _DAMAGE as error:
            raise DataError(
                f"the member {name!r} of the zip file {self.path} cannot be unpacked ({_reason(error)}): "
                f"fetch the archive again."
            ) from error

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._archive.close()

    def __enter__(self) -> ZipFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _unsafe(name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    return parts[0] == "" or re.match(r"[A-Za-z]:", name) is not None or ".." in parts


def _reason(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__
