"""What data sets there are: their files, where to get them, and who reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import PurePosixPath
from typing import Any

from grokscope.errors import DataError, UsageError, unknown

ENTRY_POINT_GROUP = "grokscope.data"


@dataclass(frozen=True)
class DataFile:
    """One file of a data set, as published.

    Attributes:
        path: posix path relative to any of the data set's folders; no absolute path, no ``..``.
        sha256: hexadecimal digest of the published file, or None where none is binding.
        size: bytes of the published file, or None where unknown.

    Raises:
        UsageError: the path is empty, absolute or climbs out.
    """

    path: str
    sha256: str | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        if not path.name or path.is_absolute() or ".." in path.parts or "\\" in self.path:
            raise UsageError(
                f"a data file's path must be relative, with '/' and without '..', and is {self.path!r}: "
                f"name the file within the data set's folder."
            )


@dataclass(frozen=True)
class DataSet:
    """A data set: the files it consists of and the function that reads them.

    Attributes:
        name: what `load` is called with; lower case, unique.
        title: the name people know it by.
        files: every file, in the order in which they are listed.
        splits: the valid splits, such as ``("train", "test")``.
        load: a `grokscope.data.protocol.Loader` or its ``"module:function"``; None where the files are
            only located and checked, and opened by the caller.
        source: where to get it, as words that follow "get it from".
        licence: its terms, or that none are stated.
        citation: BibTeX.
        folders: folders in the data directory in which the files may lie, in the order of search.

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


_MNIST = DataSet(
    name="mnist",
    title="MNIST handwritten digits",
    files=(
        DataFile(
            "train-images-idx3-ubyte.gz",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            9_912_422,
        ),
        DataFile(
            "train-labels-idx1-ubyte.gz",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            28_881,
        ),
        DataFile(
            "t10k-images-idx3-ubyte.gz",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            1_648_877,
        ),
        DataFile(
            "t10k-labels-idx1-ubyte.gz",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            4_542,
        ),
    ),
    splits=("train", "test"),
    load="grokscope.data.mnist:load_mnist",
    source="http://yann.lecun.com/exdb/mnist or its mirror https://ossci-datasets.s3.amazonaws.com/mnist",
    licence="not stated by the authors",
    citation="""@article{lecun1998gradient,
  title   = {Gradient-based learning applied to document recognition},
  author  = {LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick},
  journal = {Proceedings of the IEEE},
  volume  = {86},
  number  = {11},
  pages   = {2278--2324},
  year    = {1998}
}""",
    folders=("mnist", "MNIST/raw", "."),
)

# The images inside are what counts: archives of the same images packed anew differ from the published
# ones byte by byte, so no digest of an archive is binding in the two sets below.
_OMNIGLOT = DataSet(
    name="omniglot",
    title="Omniglot handwritten characters",
    files=(DataFile("images_background.zip"), DataFile("images_evaluation.zip")),
    splits=("background", "evaluation"),
    load=None,
    source="https://github.com/brendenlake/omniglot, folder python",
    licence="MIT",
    citation="""@article{lake2015human,
  title   = {Human-level concept learning through probabilistic program induction},
  author  = {Lake, Brenden M. and Salakhutdinov, Ruslan and Tenenbaum, Joshua B.},
  journal = {Science},
  volume  = {350},
  number  = {6266},
  pages   = {1332--1338},
  year    = {2015}
}""",
    folders=("omniglot", "omniglot-py", "."),
)

_IMAGENETTE = DataSet(
    name="imagenette",
    title="Imagenette, 10 classes of ImageNet, at 96x96 pixels",
    files=(DataFile("imagenette_96_train.zip"), DataFile("imagenette_96_val.zip")),
    splits=("train", "val"),
    load=None,
    source=(
        "https://github.com/fastai/imagenette, its images scaled to 96x96 and zipped as "
        "SPLIT/CLASS/NAME.JPEG, one zip per split"
    ),
    licence="Apache-2.0 for the selection; the images are under the research terms of ImageNet",
    citation="""@misc{howard2019imagenette,
  title  = {Imagenette: a smaller subset of 10 easily classified classes from ImageNet},
  author = {Howard, Jeremy},
  year   = {2019},
  url    = {https://github.com/fastai/imagenette}
}""",
    folders=("imagenette", "."),
)

CATALOGUE: dict[str, DataSet] = {dataset.name: dataset for dataset in (_MNIST, _OMNIGLOT, _IMAGENETTE)}


def names() -> list[str]:
    """Return the name of every data set, ours first; the code of third parties is not imported.

    Example:
        >>> "mnist" in names()
        True
    """
    return [*CATALOGUE, *sorted(_third_party())]


def find(name: str) -> DataSet:
    """Return one data set by name, importing the code of a third party only if it is the one asked for.

    Raises:
        UsageError: no data set has this name.
        DataError: the package that registered it cannot be imported, or registered something else.

    Example:
        >>> find("mnist").title
        'MNIST handwritten digits'
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
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
