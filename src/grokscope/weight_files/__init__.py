"""Weights in files of other programs: their tensors by name, one at a time, and nothing that could run code.

Read ``open.py`` first.
"""

from grokscope.weight_files.base import Entry, WeightFile
from grokscope.weight_files.open import open_weights

__all__ = ["Entry", "WeightFile", "open_weights"]
