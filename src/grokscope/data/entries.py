"""The data sets that we describe, each with its source, terms and citation."""

from __future__ import annotations

from grokscope.data.description import DataFile, DataSet, Download


def _each(folder: str, files: tuple[DataFile, ...]) -> tuple[Download, ...]:
    return tuple(Download(folder + file.path, (file.path,), file.sha256, file.md5) for file in files)


_MNIST_FILES = (
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
)

_MNIST = DataSet(
    name="mnist",
    title="MNIST handwritten digits",
    files=_MNIST_FILES,
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
    downloads=_each("https://ossci-datasets.s3.amazonaws.com/mnist/", _MNIST_FILES),
)

_FASHION_MNIST_FILES = (
    DataFile("train-images-idx3-ubyte.gz", md5="8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    DataFile("train-labels-idx1-ubyte.gz", md5="25c81989df183df01b3e8a0aad5dffbe"),
    DataFile("t10k-images-idx3-ubyte.gz", md5="bef4ecab320f06d8554ea6380940ec79"),
    DataFile("t10k-labels-idx1-ubyte.gz", md5="bb300cfdad3c16e7a12a480ee83cd310"),
)

_FASHION_MNIST = DataSet(
    name="fashion-mnist",
    title="Fashion-MNIST, articles of clothing",
    files=_FASHION_MNIST_FILES,
    splits=("train", "test"),
    load="grokscope.data.mnist:load_fashion_mnist",
    source="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    citation="""@article{xiao2017fashion,
  title   = {Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms},
  author  = {Xiao, Han and Rasul, Kashif and Vollgraf, Roland},
  journal = {arXiv preprint arXiv:1708.07747},
  year    = {2017}
}""",
    # not the data directory itself: MNIST's files have the same names
    folders=("fashion-mnist", "FashionMNIST/raw"),
    downloads=_each("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", _FASHION_MNIST_FILES),
)

_CIFAR10 = DataSet(
    name="cifar10",
    title="CIFAR-10, small colour images of ten things",
    files=(
        *(
            DataFile(f"data_batch_{number}.bin", size=30_730_000, others=(f"data_batch_{number}",), optional=True)
            for number in range(1, 6)
        ),
        DataFile("test_batch.bin", size=30_730_000, others=("test_batch",)),
        DataFile("batches.meta.txt", others=("batches.meta",), optional=True),
    ),
    splits=("train", "test"),
    load="grokscope.data.cifar:load_cifar10",
    source="https://www.cs.toronto.edu/~kriz/cifar.html, its binary or its Python version",
    licence="not stated by the authors",
    citation="""@techreport{krizhevsky2009learning,
  title       = {Learning Multiple Layers of Features from Tiny Images},
  author      = {Krizhevsky, Alex},
  institution = {University of Toronto},
  year        = {2009}
}""",
    folders=(
        "cifar10",
        "cifar10/cifar-10-batches-bin",
        "cifar10/cifar-10-batches-py",
        "cifar-10-batches-bin",
        "cifar-10-batches-py",
        ".",
    ),
    downloads=(
        Download(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin", "batches.meta.txt"),
            md5="c32a1d4ab5d03f1284b67883e8d87530",
            archive=True,
        ),
    ),
)

# The images inside are what counts: archives of the same images packed anew differ from the published
# ones byte by byte, so no digest of an archive is binding in the two sets below.
_OMNIGLOT = DataSet(
    name="omniglot",
    title="Omniglot handwritten characters",
    files=(DataFile("images_background.zip"), DataFile("images_evaluation.zip")),
    splits=("background", "evaluation"),
    load="grokscope.data.pictures:load_omniglot",
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
    resizable=True,
    downloads=(
        Download(
            "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/images_background.zip",
            ("images_background.zip",),
            md5="68d2efa1b9178cc56df9314c21c6e718",
        ),
        Download(
            "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/images_evaluation.zip",
            ("images_evaluation.zip",),
            md5="6b91aef0f799c5bb55b94e3f2daec811",
        ),
    ),
)

_IMAGENETTE = DataSet(
    name="imagenette",
    title="Imagenette, 10 classes of ImageNet, at 96x96 pixels",
    files=(DataFile("imagenette_96_train.zip"), DataFile("imagenette_96_val.zip")),
    splits=("train", "val"),
    load="grokscope.data.pictures:load_imagenette",
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
    resizable=True,
)

_DIGITS = DataSet(
    name="digits",
    title="scikit-learn's 8x8 handwritten digits",
    files=(DataFile("digits.csv.gz"),),
    splits=("train",),
    load="grokscope.data.digits:load_digits",
    source="https://scikit-learn.org, which brings it: pip install 'grokscope[data]'",
    licence="CC BY 4.0",
    citation="""@misc{alpaydin1998optical,
  title        = {Optical Recognition of Handwritten Digits},
  author       = {Alpaydin, E. and Kaynak, C.},
  year         = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi          = {10.24432/C50P49}
}""",
    folders=("digits", "."),
    package="sklearn/datasets/data",
)

_IMDB = DataSet(
    name="imdb",
    title="IMDb film reviews, good or bad",
    files=(
        DataFile("imdb_train.jsonl.xz", others=("imdb_train_5k.jsonl.xz",), optional=True),
        DataFile("imdb_test.jsonl.xz", others=("imdb_test_5k.jsonl.xz",), optional=True),
        DataFile("aclImdb_v1.tar.gz", md5="7c2ac02c03563afcf9b574c7e56c153a", optional=True),
    ),
    splits=("train", "test"),
    load="grokscope.data.imdb:load_imdb",
    source=(
        "https://ai.stanford.edu/~amaas/data/sentiment, as its aclImdb_v1.tar.gz or written as one JSON object a line "
        "with the fields text and label (0 bad, 1 good), one file per split"
    ),
    licence="not stated by the authors",
    citation="""@inproceedings{maas2011learning,
  title     = {Learning Word Vectors for Sentiment Analysis},
  author    = {Maas, Andrew L. and Daly, Raymond E. and Pham, Peter T. and Huang, Dan and Ng, Andrew Y. and
               Potts, Christopher},
  booktitle = {Proceedings of the 49th Annual Meeting of the Association for Computational Linguistics},
  pages     = {142--150},
  year      = {2011}
}""",
    folders=("imdb", "."),
    contents="texts",
    downloads=(
        Download(
            "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
            ("aclImdb_v1.tar.gz",),
            md5="7c2ac02c03563afcf9b574c7e56c153a",
        ),
    ),
)

_QM9 = DataSet(
    name="qm9",
    title="QM9, small organic molecules and the gap between their frontier orbitals",
    files=(DataFile("qm9_gap.csv.xz", others=("qm9_gap_31k.csv.xz",)),),
    splits=("train",),
    load="grokscope.data.qm9:load_qm9",
    source=(
        "http://quantum-machine.org/datasets, written as CSV with the columns SMILES and gap (in eV) under the name "
        "qm9_gap.csv"
    ),
    licence="CC0 for the original; not stated for tables made of it",
    citation="""@article{ramakrishnan2014quantum,
  title   = {Quantum chemistry structures and properties of 134 kilo molecules},
  author  = {Ramakrishnan, Raghunathan and Dral, Pavlo O. and Rupp, Matthias and von Lilienfeld, O. Anatole},
  journal = {Scientific Data},
  volume  = {1},
  pages   = {140022},
  year    = {2014}
}""",
    folders=("qm9", "."),
    contents="molecules",
)

CATALOGUE: dict[str, DataSet] = {
    dataset.name: dataset
    for dataset in (_MNIST, _FASHION_MNIST, _CIFAR10, _DIGITS, _OMNIGLOT, _IMAGENETTE, _IMDB, _QM9)
}
