"""Gets the files of a data set from the servers that publish them, and keeps only what has the published checksum."""

from __future__ import annotations

import errno
import hashlib
import os
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from grokscope.data.datasets import find, names
from grokscope.data.description import DataSet, Download
from grokscope.data.files import DIRECTORY_VARIABLE, data_directory, examine
from grokscope.errors import DataError, first_line

CHUNK = 1 << 20
PATIENCE = 30
"""Seconds without an answer after which a server is given up."""

Progress = Callable[[str, int, int | None], None]
"""Told of the name of a file, the bytes received and, if the server says it, how many there are."""


def fetch(
    name: str, directory: str | os.PathLike[str] | None = None, *, progress: Progress | None = None
) -> list[dict[str, str]]:
    """Download the files of a data set that are missing or wrong, into its first folder in the data directory.

    A file gets its name only when it is whole and its checksum is the published one, so that an interrupted download
    leaves nothing behind. What is there and right is not downloaded again. Of an archive only the data set's own files
    are kept.

    Args:
        name: a data set of `grokscope.data.datasets.catalogue`.
        directory: the data directory, made if it is missing; see `data_directory` for the default.
        progress: called as a file comes in.

    Returns:
        Rows of ``file``, ``status`` (``fetched`` or ``found``) and ``path``.

    Raises:
        UsageError: the data set is unknown.
        DataError: no data directory is set, the data set has no address to fetch it from, the server cannot be reached
            or does not have the file, what it sends is cut off or has another checksum, an archive is damaged, has
            unsafe names or lacks a file, or the disk is full or may not be written.

    Example:
        >>> [row["status"] for row in fetch("mnist", "data")]  # doctest: +SKIP
        ['fetched', 'fetched', 'fetched', 'fetched']
    """
    dataset = find(name)
    root = data_directory(directory)
    if not dataset.downloads:
        raise DataError(
            f"the data set {name!r} cannot be fetched ({', '.join(fetchable())} can): get it from {dataset.source}."
        )
    if root is None:
        raise DataError(
            f"{name} was not fetched, because no data directory is set: set {DIRECTORY_VARIABLE}, or pass --directory "
            "DIR (directory=DIR in Python)."
        )
    rows: list[dict[str, str]] = []
    for download in dataset.downloads:
        there = _there(dataset, download, root)
        if there is None:
            rows += _fetched(dataset, download, root / dataset.folders[0], progress)
        else:
            rows += there
    return rows


def fetchable() -> list[str]:
    """Return the names of the data sets that `fetch` can get.

    Example:
        >>> "mnist" in fetchable(), "imagenette" in fetchable()
        (True, False)
    """
    found: list[str] = []
    for name in names():
        try:
            dataset = find(name)
        except DataError:  # a broken package of others
            continue
        found += [name] if dataset.downloads else []
    return found


def _there(dataset: DataSet, download: Download, root: Path) -> list[dict[str, str]] | None:
    states = {row["file"]: row for row in examine(dataset, root, verify=True) if row["file"] in download.files}
    if any(row["status"] != "found" for row in states.values()):
        return None
    return [{"file": file, "status": "found", "path": str(row["path"])} for file, row in states.items()]


def _fetched(dataset: DataSet, download: Download, folder: Path, progress: Progress | None) -> list[dict[str, str]]:
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _unfinished(folder) as (stream, partial):
        _receive(download, stream, folder, progress)
        stream.close()
        if not download.archive:
            return [_placed(partial, folder, download.files[0])]
        with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=folder) as unpacked:
            members = _unpack(dataset, download, partial, Path(unpacked))
            return [_placed(member, folder, file) for file, member in members.items()]


def _placed(found: Path, folder: Path, file: str) -> dict[str, str]:
    place = folder / file
    with _writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        # temporary files are for their owner alone, data files as others are
        found.chmod(0o644)
        os.replace(found, place)
    return {"file": file, "status": "fetched", "path": str(place)}


@contextmanager
def _unfinished(folder: Path) -> Iterator[tuple[IO[bytes], Path]]:
    with _writing(folder):
        handle, name = tempfile.mkstemp(prefix=".fetching-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _receive(download: Download, stream: IO[bytes], folder: Path, progress: Progress | None) -> None:
    # here, because they are slow to import
    import urllib.request

    name = PurePosixPath(download.url).name
    kind, published = ("sha256", download.sha256) if download.sha256 else ("md5", download.md5)
    digest = hashlib.new(kind, usedforsecurity=False)
    received = 0
    with _reaching(download.url):
        request = urllib.request.Request(download.url, headers={"User-Agent": "grokscope"})
        answer = urllib.request.urlopen(request, timeout=PATIENCE)
    with answer:
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
        while True:
            with _reaching(download.url):
                piece = answer.read(CHUNK)
            if not piece:
                break
            with _writing(folder):
                stream.write(piece)
            digest.update(piece)
            received += len(piece)
            if progress is not None:
                progress(name, received, total)
    with _writing(folder):
        stream.flush()
    if total is not None and received != total:
        raise DataError(f"{download.url} ended after {received} of {total} bytes, and nothing was kept: try again.")
    if published is not None and digest.hexdigest() != published:
        raise DataError(
            f"what {download.url} sent has the {kind} {digest.hexdigest()}, where {published} is published, and was "
            "not kept: try again later, or get the file from elsewhere."
        )


def _unpack(dataset: DataSet, download: Download, path: Path, into: Path) -> dict[str, Path]:
    """Write the data set's files out of a tar file, each under a name of ours, and return where they are."""
    known = {
        spelling: file.path
        for file in dataset.files
        if file.path in download.files
        for spelling in (file.path, *file.others)
    }
    found: dict[str, Path] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                member_path = PurePosixPath(member.name.replace("\\", "/"))
                if member_path.is_absolute() or ".." in member_path.parts:
                    raise DataError(
                        f"the archive {download.url} holds the unsafe member name {member.name!r}, which is absolute "
                        "or climbs out with '..', and nothing was kept: get the data from elsewhere."
                    )
                file = known.get(member_path.name)
                content = archive.extractfile(member) if file is not None and member.isreg() else None
                if file is None or content is None:
                    continue
                found[file] = into / f"{len(found)}"
                with content, found[file].open("wb") as stream:
                    while piece := content.read(CHUNK):
                        with _writing(into.parent):
                            stream.write(piece)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"the archive {download.url} cannot be unpacked ({first_line(error)}), and nothing was kept: try again."
        ) from error
    absent = [file for file in download.files if file not in found]
    if absent:
        raise DataError(
            f"the archive {download.url} holds no file {absent[0]}, and nothing was kept: get the data from "
            f"{dataset.source}."
        )
    return found


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    import http.client
    import urllib.error

    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise DataError(
            f"the server of {url} answered {error.code} ({error.reason}): the file has moved or is refused; try again "
            "later, or get it from elsewhere."
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        # the reason of a URLError is another error, or a text
        reason: Any = getattr(error, "reason", error)
        told = getattr(reason, "strerror", None) or str(reason).strip() or type(error).__name__
        raise DataError(
            f"{url} cannot be reached ({told}): check the network, or fetch on a machine that "
            "has one and copy the files here."
        ) from error


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        advice = "make room, or name another data directory"
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            advice = "name a data directory that can be written"
        raise DataError(f"cannot write in {place} ({reason}), and nothing was kept: {advice}.") from error
