"""What is said of a data set: its files, where they come from, and who reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from grokscope.errors import UsageError


@dataclass(frozen=True)
class DataFile:
    """One file of a data set, as published.

    Attributes:
        path: posix path relative to any of the data set's folders; no absolute path, no ``..``.
        sha256: hexadecimal digest of the published file, or None where none is binding.
        size: bytes of the published file, or None where unknown.
        md5: hexadecimal digest by MD5, where its publisher gives no other.
        others: other names under which it, or the same samples in another format, may lie.
        optional: whether the data set, or a part of it, can be read from the other files alone.

    Raises:
        UsageError: a path is empty, absolute or climbs out.
    """

    path: str
    sha256: str | None = None
    size: int | None = None
    md5: str | None = None
    others: tuple[str, ...] = ()
    optional: bool = False

    def __post_init__(self) -> None:
        for one in (self.path, *self.others):
            path = PurePosixPath(one)
            if not path.name or path.is_absolute() or ".." in path.parts or "\\" in one:
                raise UsageError(
                    f"a data file's path must be relative, with '/' and without '..', and is {one!r}: "
                    f"name the file within the data set's folder."
                )


@dataclass(frozen=True)
class Download:
    """One file on a server, and which of a data set's files it brings.

    Attributes:
        url: where it is.
        files: the `DataFile` paths it brings; one where it is no archive.
        sha256: hexadecimal digest of what the server sends, or None where unknown.
        md5: hexadecimal digest by MD5, where its publisher gives no other.
        archive: whether it is a tar file whose members of these names (or their other names) are taken out.
    """

    url: str
    files: tuple[str, ...]
    sha256: str | None = None
    md5: str | None = None
    archive: bool = False


@dataclass(frozen=True)
class DataSet:
    """A data set: the files it consists of and the function that reads them.

    Attributes:
        name: what `load` is called with; lower case, unique.
        title: the name people know it by.
        files: every file, in the order in which they are listed.
        splits: the valid splits, such as ``("train", "test")``; what is trained on first.
        load: a `grokscope.data.protocol.Loader` or its ``"module:function"``; None where the files are
            only located and checked, and opened by the caller.
        source: where to get it, as words that follow "get it from".
        licence: its terms, or that none are stated.
        citation: BibTeX.
        folders: folders in the data directory in which the files may lie, in the order of search.
        contents: what a sample is.
        package: ``"module/folder"`` of an installed package that brings the files, looked into last.
        downloads: what `grokscope.data.fetch.fetch` gets; empty where the files must be got by hand.
        resizable: whether its loader takes a ``size`` to which it scales pictures.

    Example:
        >>> from grokscope.data.datasets import catalogue
        >>> catalogue()["mnist"].splits
        ('train', 'test')
    """

    name: str
    title: str
    files: tuple[DataFile, ...]
    splits: tuple[str, ...]
    load: str | Callable[..., Any] | None
    source: str
    licence: str
    citation: str
    folders: tuple[str, ...] = (".",)
    contents: Literal["images", "texts", "molecules"] = "images"
    package: str | None = None
    downloads: tuple[Download, ...] = ()
    resizable: bool = False
