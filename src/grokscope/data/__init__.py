"""Data files: which there are, where they lie, and how to read them; never downloads, never imports torch."""

from grokscope.data.archive import ZipFolder
from grokscope.data.compressed import read_bytes
from grokscope.data.datasets import DataFile, DataSet, catalogue
from grokscope.data.files import data_directory, inventory, locate
from grokscope.data.idx import parse_idx, read_idx
from grokscope.data.mnist import load_mnist
from grokscope.data.protocol import Loader, Samples, load

__all__ = [
    "DataFile",
    "DataSet",
    "Loader",
    "Samples",
    "ZipFolder",
    "catalogue",
    "data_directory",
    "inventory",
    "load",
    "load_mnist",
    "locate",
    "parse_idx",
    "read_bytes",
    "read_idx",
]
