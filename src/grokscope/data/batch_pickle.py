"""The pickled batches of CIFAR-10, read without running anything that a pickle names."""

from __future__ import annotations

import io
import math
import pickle
from typing import Any, NoReturn

import numpy as np

from grokscope.errors import DataError, first_line

_DAMAGE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


class _Refused(Exception):
    """A pickle names something other than the parts of an array."""


class _Kind:
    """What stands for a NumPy dtype in a pickle: its code alone."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code = code.decode("latin-1") if isinstance(code, bytes) else code

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like say nothing of single bytes."""


class _Stored:
    """What stands for a NumPy array in a pickle: its shape, dtype and bytes, as they were written."""

    def __init__(self, *_: Any) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = tuple(state)


class _Array:
    """The name ``numpy.ndarray``, which is only handed to `_Stored`."""


def _from_buffer(buffer: Any, kind: Any, shape: Any, order: Any = "C") -> _Stored:
    stored = _Stored()
    stored.state = (1, shape, kind, order != "C", bytes(buffer))
    return stored


def _latin(text: Any, encoding: Any = "latin1") -> bytes:
    # how Python 3 writes bytes in the protocols of Python 2
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _Refused(f"_codecs.encode to {encoding!r}")
    return text.encode("latin-1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _latin,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Stored for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Return the stand-in of a name that an array needs; nothing is imported for any other."""
        if (module_name, global_name) not in _STAND_INS:
            raise _Refused(f"{module_name}.{global_name}")
        return _STAND_INS[module_name, global_name]

    def persistent_load(self, pid: Any, /) -> NoReturn:
        """Refuse references to objects outside."""
        raise _Refused("an object outside the file")


def read_batch_pickle(content: bytes, name: str) -> dict[str, Any]:
    """Return the dictionary that a pickled batch of CIFAR-10 holds; ``name`` is what errors call the file.

    Nothing that the pickle names is imported or called: of the few names that a NumPy array needs, each gives a plain
    record of what was written, from which arrays of unsigned bytes are made here; any other name is refused.

    Returns:
        Keys as text; arrays as new uint8 arrays; text of Python 2 as bytes.

    Raises:
        DataError: the content is no pickle or is cut off, names something else, is no dictionary, or holds an array
            that is not of bytes or does not fill its shape.

    Example:
        >>> read_batch_pickle(pickle.dumps({"labels": [3, 5]}), "data_batch_1")
        {'labels': [3, 5]}
    """
    try:
        found = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except _Refused as error:
        raise DataError(
            f"the pickle {name} asks for {error}, which no batch of CIFAR-10 needs and which could run code: do not "
            "use it, and fetch it again from its source."
        ) from error
    except _DAMAGE as error:
        raise DataError(f"{name} is no whole pickle ({first_line(error)}): fetch it again.") from error
    if not isinstance(found, dict):
        raise DataError(
            f"the pickle {name} holds {_called(found)}, where a batch of CIFAR-10 holds a dictionary: check that it is "
            "the right file."
        )
    return {_text(key): _array(value, name) if isinstance(value, _Stored) else value for key, value in found.items()}


def _array(stored: _Stored, name: str) -> np.ndarray:
    try:
        _, shape, kind, transposed, content = stored.state
        shape = tuple(int(length) for length in shape)
        content = content if isinstance(content, bytes) else b""
    except (TypeError, ValueError) as error:
        raise DataError(f"the pickle {name} holds an array without its parts: fetch it again.") from error
    if not isinstance(kind, _Kind) or kind.code not in ("u1", "uint8", "|u1", "B"):
        code = kind.code if isinstance(kind, _Kind) else _called(kind)
        raise DataError(f"the pickle {name} holds an array of {code!r}, where bytes ('u1') are needed: fetch it again.")
    if min(shape, default=0) < 0 or math.prod(shape) != len(content):
        raise DataError(
            f"the pickle {name} holds an array of shape {shape} and {len(content)} bytes, which do not fill it: fetch "
            "it again."
        )
    return np.frombuffer(content, np.uint8).reshape(shape, order="F" if transposed else "C").copy()


def _text(key: Any) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)


def _called(value: Any) -> str:
    return {"_Stored": "array", "_Kind": "dtype", "_Array": "type"}.get(type(value).__name__, type(value).__name__)
