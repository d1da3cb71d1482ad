"""Bytes to disk so that a crash, a full disk or a reader in between never sees half a file.

Every ``OSError`` of a write becomes a :class:`~grokscope.errors.StoreError` of one sentence.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from grokscope.errors import StoreError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM)


def failure(error: OSError, path: Path, *, kept: str = "") -> StoreError:
    """Return the sentence for a write that failed; ``kept`` says what is safe on disk.

    Example:
        >>> str(failure(OSError(errno.ENOSPC, ""), Path("r/log"), kept="step 4 is kept, "))
        'the disk is full: could not write log in r; step 4 is kept, free some space and resume.'
    """
    what = f"could not write {path.name} in {path.parent}"
    if error.errno in _FULL:
        return StoreError(f"the disk is full: {what}; {kept}free some space and resume.")
    if error.errno == errno.EROFS:
        return StoreError(f"the file system is read-only: {what}; {kept}choose another directory.")
    if error.errno in _FORBIDDEN:
        return StoreError(f"no permission: {what}; {kept}change its permissions or choose another directory.")
    return StoreError(f"{what} ({error.strerror or error}); {kept}mend this and resume.")


@contextlib.contextmanager
def translated(path: Path, *, kept: str = "") -> Iterator[None]:
    """Turn an ``OSError`` of the block into the :class:`StoreError` of :func:`failure`."""
    try:
        yield
    except OSError as error:
        raise failure(error, path, kept=kept) from error


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        StoreError: the file is missing or unreadable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"could not read {path.name} in {path.parent}: {error.strerror}.") from error


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``; one ``os.write`` may take only a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync(path: Path) -> None:
    """Force a file or a directory entry to the device."""
    with translated(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def temporary_name(path: Path) -> Path:
    """Return the hidden name beside ``path`` under which its next content is prepared."""
    return path.with_name(f".{path.name}.tmp")


def atomic_write(path: Path, data: bytes, *, durable: bool = True, kept: str = "") -> None:
    """Replace ``path`` by ``data`` at once: a reader sees the old file or the new one.

    Args:
        path: the file; its directory is made if missing.
        data: the whole content.
        durable: also wait until the device has it (needed against power failure, not against kill -9).
        kept: what the error sentence says is safe.

    Raises:
        StoreError: the disk is full, read-only, …; the old file is untouched.
    """
    temporary = temporary_name(path)
    with translated(path, kept=kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                write_all(descriptor, data)
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    if durable:
        sync(path.parent)


def append(path: Path, data: bytes, *, durable: bool = False, kept: str = "") -> None:
    """Append whole lines to ``path``, all of them or none.

    A write that fails half way is cut back; if even that is impossible, the next append does it.

    Raises:
        StoreError: the lines could not be written; the file is as it was before.
    """
    with translated(path, kept=kept):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            length = _whole_lines(descriptor)
            try:
                write_all(descriptor, data)
                if durable:
                    os.fsync(descriptor)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, length)
                raise
        finally:
            os.close(descriptor)


def _whole_lines(descriptor: int) -> int:
    """Return the file's length after cutting off a last line without its end."""
    length = os.fstat(descriptor).st_size
    if length and os.pread(descriptor, 1, length - 1) != b"\n":
        length = os.pread(descriptor, length, 0).rfind(b"\n") + 1
        os.ftruncate(descriptor, length)
    return length


def safe_name(name: str, *, nested: bool = False) -> str:
    """Return ``name`` if it can be part of a path below the run directory.

    Args:
        name: a word, or with ``nested`` words joined by ``/``.
        nested: whether ``/`` is allowed.

    Raises:
        UsageError: it is empty, hidden, absolute or climbs out of the directory.
    """
    parts = name.split("/") if nested else [name]
    for part in parts:
        if not part or part.startswith(".") or any(char in part for char in "/\\\0\n"):
            raise UsageError(
                f"{name!r} cannot name a file of a run: use letters, digits, '-', '_', '.' or '@' "
                "and do not begin with a dot."
            )
    return name
