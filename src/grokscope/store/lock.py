"""One writer to a directory: an OS lock, which the kernel frees the moment the process is gone."""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from pathlib import Path
from types import TracebackType

from grokscope.errors import StoreError
from grokscope.store.files import translated

_NAME = ".lock"
_TRIES = 10
_PAUSE_SECONDS = 0.01


class DirectoryLock:
    """The right to write into a directory: ``flock`` on ``<directory>/.lock``.

    Example:
        >>> with DirectoryLock(directory):  # doctest: +SKIP
        ...     write()
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock now."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock without waiting.

        Raises:
            StoreError: another writer has it (its process id is told), or the directory cannot be written.
        """
        if self.held:
            return
        path = self.directory / _NAME
        with translated(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                if not _locked(descriptor):
                    raise StoreError(self._refusal(os.pread(descriptor, 32, 0)))
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            except BaseException:
                os.close(descriptor)
                raise
        self._descriptor = descriptor
        _HELD.add(self)

    def release(self) -> None:
        """Give the lock back; releasing twice is harmless."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _refusal(self, owner: bytes) -> str:
        process = owner.decode(errors="replace").strip() or "unknown"
        if process == str(os.getpid()):
            return (
                f"{self.directory} is being written by this process (pid {process}) already; close that writer first."
            )
        return f"{self.directory} is being written by another process (pid {process}); wait for it or stop it."

    def __enter__(self) -> DirectoryLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()


def _locked(descriptor: int) -> bool:
    # A reader's probe (is_locked) holds a shared lock for an instant: one refusal proves no writer.
    for attempt in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < _TRIES:
                time.sleep(_PAUSE_SECONDS)
        else:
            return True
    return False


def is_locked(directory: Path | str) -> bool:
    """Tell whether a live process is writing into ``directory``; readers may ask, nothing is changed."""
    try:
        descriptor = os.open(Path(directory) / _NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks has no lock held
        return False
    finally:
        os.close(descriptor)
    return False


_HELD: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    # A forked worker shares the parent's lock: left open, it would keep a killed parent's lock alive.
    for lock in list(_HELD):
        lock.release()


os.register_at_fork(after_in_child=_forget_in_child)
