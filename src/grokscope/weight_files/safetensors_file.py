"""Tensors of a safetensors file, one at a time; of our own checkpoints the parameters only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import DataError
from grokscope.weight_files.base import AGAIN, Entry, first_line, in_order

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_HEADER = 100_000_000
"""Bytes of a header beyond which the format itself says that it is none."""

DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "F4": "float4_e2m1fn_x2",
    "C64": "complex64",
}  # fmt: skip
OURS = "parameter/"
"""What the names of parameters begin with in our own checkpoints; moments of the optimizer stand beside them."""


class SafetensorsFile:
    """A safetensors file.

    Args:
        path: the file.
        member: of a checkpoint of an ensemble, the parameters of this member only; else of all members.

    Raises:
        DataError: it is damaged, or no safetensors file.
    """

    format = "safetensors"

    def __init__(self, path: Path, member: int | None = None) -> None:
        self.path = path
        self.notes: tuple[str, ...] = ()
        self._where: dict[str, tuple[str, int | None]] = {}
        """Name -> (name in the file, index of the member)."""
        self.entries: dict[str, Entry] = {}
        with self._opened() as file:
            stored = in_order(file.keys())
            own = OURS if "values" in (file.metadata() or {}) and any(n.startswith(OURS) for n in stored) else ""
            # an ensemble's tensors are stacked; its losses tell how many members it has
            losses = file.get_slice("loss").get_shape() if own and "loss" in stored else []
            members = [None] if not losses else list(range(losses[0])) if member is None else [member]
            for index in members:
                for name in stored:
                    if not name.startswith(own):
                        continue
                    part = file.get_slice(name)
                    shape = tuple(part.get_shape())
                    dtype = DTYPES.get(str(part.get_dtype()), str(part.get_dtype()).lower())
                    short = name.removeprefix(own)
                    if index is not None:
                        shape, short = shape[1:], short if len(members) == 1 else f"{index}/{short}"
                    self.entries[short] = Entry(short, shape, dtype)
                    self._where[short] = (name, index)
        if own:
            self.notes += ("It is a checkpoint of grokscope: its parameters were read.",)
        if len(members) > 1:
            self.notes += (f"It holds {len(members)} members of an ensemble; names begin with the member's number.",)

    def load(self, name: str) -> Tensor:
        """Return one tensor; the file is open no longer than that, so that pages of earlier ones are given back."""
        from safetensors import SafetensorError

        stored, index = self._where[name]
        try:
            with self._opened() as file:
                return file.get_tensor(stored) if index is None else file.get_slice(stored)[index]
        except (SafetensorError, AttributeError, TypeError, KeyError, RuntimeError) as error:
            # a type that this PyTorch does not have
            raise DataError(f"{self.entries[name].dtype} cannot be read ({first_line(error)}).") from error

    def _opened(self) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            return safe_open(self.path, framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise DataError(trouble(self.path) or f"{self.path} cannot be read ({first_line(error)}).") from error


def trouble(path: Path) -> str | None:
    """Return in one sentence what is wrong with a safetensors file, or None if it is whole as far as this can tell."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        begins = file.read(1)
        if size < 8 or begins != b"{" or length > LARGEST_HEADER:
            return f"{path} is no safetensors file: its first bytes are not those of a header; {AGAIN}"
        if 8 + length > size:
            return f"{path} is cut off in its header, which has {length:,} bytes, the file {size:,}: {AGAIN}"
        text = begins + file.read(length - 1)
    try:
        header = json.loads(text)
        end = max((one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return f"{path} has a header that is no valid safetensors header: {AGAIN}"
    if 8 + length + end > size:
        return f"{path} is cut off: its header tells of {8 + length + end:,} bytes and it has {size:,}; {AGAIN}"
    return None
