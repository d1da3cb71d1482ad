"""Which data sets there are: ours, and those that installed packages bring."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points

from grokscope.data.description import DataFile, DataSet, Download
from grokscope.data.entries import CATALOGUE
from grokscope.errors import DataError, unknown

__all__ = ["CATALOGUE", "DataFile", "DataSet", "Download", "catalogue", "find", "names"]

ENTRY_POINT_GROUP = "grokscope.data"


def is_path(name: str) -> bool:
    """Return whether the name of a data set is meant as a path: it has a separator, a leading ``.`` or ``~``, or .zip.

    Example:
        >>> [is_path(name) for name in ("mnist", "./mnist", "flowers.zip")]
        [False, True, True]
    """
    return "/" in name or os.sep in name or name.startswith((".", "~")) or name.lower().endswith(".zip")


def names() -> list[str]:
    """Return the name of every data set, ours first; the code of third parties is not imported.

    Example:
        >>> "mnist" in names()
        True
    """
    return [*CATALOGUE, *sorted(_third_party())]


def find(name: str) -> DataSet:
    """Return the data set of a name or of a path to pictures; a third party's code is imported only if asked for.

    Raises:
        UsageError: no data set has this name.
        DataError: the package that registered it cannot be imported, or registered something else; or it is a path,
            and there are no pictures.

    Example:
        >>> find("mnist").title
        'MNIST handwritten digits'
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    if is_path(name):
        # here, because what reads pictures stands on this module
        from grokscope.data.folders import picture_folder

        return picture_folder(name)
    entry = _third_party().get(name)
    if entry is None:
        raise unknown("data set", name, names())
    package = entry.dist.name if entry.dist is not None else entry.value
    try:
        found = entry.load()
    except Exception as error:  # whatever a stranger's module raises when it is imported
        raise DataError(
            f"the data set {name!r} of the package {package} cannot be imported ({type(error).__name__}: "
            f"{' '.join(str(error).split())}): repair or uninstall that package."
        ) from error
    if not isinstance(found, DataSet) or found.name != name:
        received = f"the data set {found.name!r}" if isinstance(found, DataSet) else type(found).__name__
        raise DataError(
            f"the entry point {name!r} of the package {package} should be a grokscope.data.DataSet of that "
            f"name and is {received}: repair or uninstall that package."
        )
    return found


def catalogue() -> dict[str, DataSet]:
    """Return every data set by name: ours, and those in the entry-point group ``grokscope.data``.

    An entry point is named as its `DataSet` is; one that takes the name of a set of ours is ignored.

    Raises:
        DataError: a third party's data set cannot be imported; `find` reaches the others.

    Example:
        >>> sorted(catalogue())[:3]  # doctest: +SKIP
        ['imagenette', 'mnist', 'omniglot']
    """
    return {name: find(name) for name in names()}


def _third_party() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name not in CATALOGUE}
