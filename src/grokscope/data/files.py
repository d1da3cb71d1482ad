"""Where the data files lie, and which of them are there."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path, PurePosixPath

from grokscope.data.datasets import DataFile, DataSet, find, names
from grokscope.errors import DataError, unknown

DIRECTORY_VARIABLE = "GROKSCOPE_DATA"


def data_directory(explicit: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the data directory: the explicit one, else that of ``GROKSCOPE_DATA``, else None.

    A leading ``~`` is the home directory; an empty string counts as not given. Whether the directory
    exists is not looked at: `locate` tells what is missing in it.

    Example:
        >>> data_directory("datasets").name
        'datasets'
    """
    chosen = os.fspath(explicit) if explicit is not None else ""
    chosen = chosen or os.environ.get(DIRECTORY_VARIABLE, "")
    return Path(chosen).expanduser() if chosen else None


def locate(dataset: str | DataSet, filename: str, directory: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of one file of a data set, as it lies in the data directory.

    The data set's folders are searched in their order, and then the package that brings it, if one does; in each,
    a file published as ``NAME.gz`` is also found as ``NAME`` or ``NAME.xz``, and the other way round, and under its
    other names. The content is not looked at.

    Args:
        dataset: a data set or its name.
        filename: the path of one of its files, as the data set lists it.
        directory: the data directory; see `data_directory` for the default.

    Raises:
        UsageError: the data set is unknown, or has no such file.
        DataError: no data directory is set, or the file is not in it.

    Example:
        >>> locate("mnist", "t10k-labels-idx1-ubyte.gz")  # doctest: +SKIP
        PosixPath('datasets/mnist/t10k-labels-idx1-ubyte.gz')
    """
    dataset = find(dataset) if isinstance(dataset, str) else dataset
    listed = {file.path: file for file in dataset.files}
    if filename not in listed:
        raise unknown(f"file of the data set {dataset.name!r}", filename, listed)
    root = data_directory(directory)
    found = _search(dataset, listed[filename], root)
    if found is not None:
        return found
    if dataset.package is not None:
        raise DataError(
            f"{filename} of the data set {dataset.name!r} comes with the package {dataset.package.partition('/')[0]}, "
            f"which is not installed or lacks it: get it from {dataset.source}."
        )
    if root is None:
        raise DataError(
            f"{filename} of the data set {dataset.name!r} was not looked for, because no data directory is "
            f"set: set {DIRECTORY_VARIABLE}, or pass --set task.directory=DIR (directory=DIR in Python), "
            f"and get the file from {dataset.source}."
        )
    looked = " or ".join(str(root / folder) for folder in dataset.folders)
    fetched = f"run grokscope data fetch {dataset.name}, or " if dataset.downloads else ""
    absent = "" if root.is_dir() else ", and that data directory does not exist"
    raise DataError(
        f"{filename} of the data set {dataset.name!r} was not found in {looked}{absent}: {fetched}get it from "
        f"{dataset.source}, or name another data directory with {DIRECTORY_VARIABLE} or "
        f"--set task.directory=DIR (directory=DIR in Python)."
    )


def fingerprint(dataset: DataSet, directory: str | os.PathLike[str] | None = None) -> tuple[object, ...]:
    """Return what changes when a file of a data set does: path, time and size of each, None where it is missing.

    Example:
        >>> fingerprint(find("mnist"), "an-empty-directory")
        (None, None, None, None)
    """
    places = [_search(dataset, file, data_directory(directory)) for file in dataset.files]
    states = [None if place is None else place.stat() for place in places]
    return tuple(
        None if state is None else (str(place), state.st_mtime_ns, state.st_size)
        for place, state in zip(places, states, strict=True)
    )


def inventory(
    directory: str | os.PathLike[str] | None = None, *, verify: bool = False
) -> list[dict[str, str | int | None]]:
    """Return one row for every file of every data set: is it there, and if not, how to get it.

    Args:
        directory: the data directory; see `data_directory` for the default.
        verify: also compare digests, which reads every file that has one.

    Returns:
        Rows of ``dataset``, ``file``, ``status``, ``path`` (None if missing), ``bytes`` (None if
        missing) and ``how`` (what to do or to know; empty if nothing). ``status`` is ``found``,
        ``missing``, ``checksum differs`` (a differing size is enough) or ``unreadable`` (the operating
        system refuses, or the package that registered the data set is broken).

    Example:
        >>> {row["status"] for row in inventory("an-empty-directory")}  # doctest: +SKIP
        {'missing'}
    """
    rows: list[dict[str, str | int | None]] = []
    root = data_directory(directory)
    for name in names():
        try:
            dataset = find(name)
        except DataError as error:
            # One broken package must not hide the data sets of the others.
            rows.append(_row(name, "", "unreadable", how=str(error)))
            continue
        rows.extend(examine(dataset, root, verify=verify))
    return rows


def examine(
    dataset: DataSet, directory: str | os.PathLike[str] | None = None, *, verify: bool = False
) -> list[dict[str, str | int | None]]:
    """Return the rows of `inventory` that are of one data set.

    Example:
        >>> examine(find("mnist"), "an-empty-directory")[0]["status"]
        'missing'
    """
    root = data_directory(directory)
    return [_examine(dataset, file, root, verify) for file in dataset.files]


def _examine(dataset: DataSet, file: DataFile, root: Path | None, verify: bool) -> dict[str, str | int | None]:
    found = _search(dataset, file, root)
    if found is None:
        where = (
            f"set {DIRECTORY_VARIABLE} to the data directory"
            if root is None
            else f"put it in {root / dataset.folders[0]}"
        )
        fetched = f"run grokscope data fetch {dataset.name}, or " if dataset.downloads else ""
        how = f"{where}; {fetched}get it from {dataset.source}"
        if file.optional:
            how += "; with the set's other files alone, what they hold is read"
        return _row(dataset.name, file.path, "missing", how=how)
    try:
        size = found.stat().st_size
        status, how = _compare(file, found, size, verify)
    except OSError as error:
        how = f"{error.strerror or type(error).__name__}: check its permissions"
        return _row(dataset.name, file.path, "unreadable", path=found, how=how)
    return _row(dataset.name, file.path, status, path=found, size=size, how=how)


def _compare(file: DataFile, found: Path, size: int, verify: bool) -> tuple[str, str]:
    if found.name != PurePosixPath(file.path).name:
        # Another compression of the same content: published digests do not apply to it.
        how = f"not verified: the published checksum is that of {file.path}"
        return "found", how if verify and (file.sha256 or file.md5) else ""
    again = "fetch it again, unless you packed it anew yourself"
    if file.size is not None and size != file.size:
        return "checksum differs", f"it has {size} bytes, the published file {file.size}: {again}"
    if not verify:
        return "found", ""
    kind, published = ("sha256", file.sha256) if file.sha256 else ("md5", file.md5)
    if published is None:
        return "found", "not verified: no binding checksum exists"
    with found.open("rb") as stream:
        digest = hashlib.file_digest(stream, kind).hexdigest()
    if digest != published:
        return "checksum differs", f"its {kind} is {digest}, the published one {published}: {again}"
    return "found", ""


def _search(dataset: DataSet, file: DataFile, root: Path | None) -> Path | None:
    for folder in _folders(dataset, root):
        for name in _spellings(file):
            candidate = folder / name
            # os.path.isfile says no where Path.is_file would raise: a folder that may not be entered.
            if os.path.isfile(candidate):
                return candidate
    return None


def _folders(dataset: DataSet, root: Path | None) -> list[Path]:
    folders = [] if root is None else [root / folder for folder in dataset.folders]
    if dataset.package is not None:
        module, _, below = dataset.package.partition("/")
        # finds the package without importing it, which may take seconds
        spec = importlib.util.find_spec(module)
        folders += [Path(place) / below for place in (spec and spec.submodule_search_locations) or ()]
    return folders


def _spellings(file: DataFile) -> list[str]:
    spellings: list[str] = []
    for path in (file.path, *file.others):
        plain = path.removesuffix(".gz").removesuffix(".xz")
        spellings += [path] if plain.endswith(".zip") else [path, plain, f"{plain}.gz", f"{plain}.xz"]
    return list(dict.fromkeys(spellings))


def _row(
    dataset: str, file: str, status: str, *, path: Path | None = None, size: int | None = None, how: str = ""
) -> dict[str, str | int | None]:
    return {
        "dataset": dataset,
        "file": file,
        "status": status,
        "path": None if path is None else str(path),
        "bytes": size,
        "how": how,
    }
