"""Data files: which there are, where they lie, and how to read them; downloads only in `fetch`, never imports torch."""

from grokscope.data.archive import ZipFolder
from grokscope.data.cifar import load_cifar10
from grokscope.data.compressed import read_bytes
from grokscope.data.datasets import DataFile, DataSet, Download, catalogue, is_path
from grokscope.data.digits import load_digits
from grokscope.data.files import data_directory, inventory, locate
from grokscope.data.idx import parse_idx, read_idx
from grokscope.data.imdb import load_imdb
from grokscope.data.mnist import load_fashion_mnist, load_mnist
from grokscope.data.pictures import load_image_folder, load_imagenette, load_omniglot
from grokscope.data.protocol import Loader, Samples, load
from grokscope.data.qm9 import load_qm9
from grokscope.data.rows import read_columns, read_json_lines

__all__ = [
    "DataFile",
    "DataSet",
    "Download",
    "Loader",
    "Samples",
    "ZipFolder",
    "catalogue",
    "data_directory",
    "inventory",
    "is_path",
    "load",
    "load_cifar10",
    "load_digits",
    "load_fashion_mnist",
    "load_image_folder",
    "load_imagenette",
    "load_imdb",
    "load_mnist",
    "load_omniglot",
    "load_qm9",
    "locate",
    "parse_idx",
    "read_bytes",
    "read_columns",
    "read_idx",
    "read_json_lines",
]
