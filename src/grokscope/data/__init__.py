"""Data files: which there are, where they lie, and how to read them; never downloads, never imports torch."""

from grokscope.data.archive import ZipFolder
from grokscope.data.compressed import read_bytes
from grokscope.data.datasets import DataFile, DataSet, Download, catalogue
from grokscope.data.digits import load_digits
from grokscope.data.files import data_directory, inventory, locate
from grokscope.data.idx import parse_idx, read_idx
from grokscope.data.imdb import load_imdb
from grokscope.data.mnist import load_mnist
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
    "load",
    "load_digits",
    "load_imdb",
    "load_mnist",
    "load_qm9",
    "locate",
    "parse_idx",
    "read_bytes",
    "read_columns",
    "read_idx",
    "read_json_lines",
]
