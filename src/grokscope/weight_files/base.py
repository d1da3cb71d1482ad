"""What a file of weights is, whatever its format: names, shapes and types at once, values one tensor at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

AGAIN = "get the file again."
"""What to do about a damaged file."""


@dataclass(frozen=True)
class Entry:
    """What is known of a tensor before it is read.

    Attributes:
        name: its name in the file.
        shape: its shape.
        dtype: PyTorch's name of its type, without ``torch.``.
        tied: other names of the same storage.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    tied: tuple[str, ...] = ()


class WeightFile(Protocol):
    """Named tensors of one model, in a file or several."""

    @property
    def path(self) -> Path:
        """The file, or the index of several."""
        ...

    @property
    def format(self) -> str:
        """The name of the format, for people."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of how the file was read, a sentence each."""
        ...

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Every tensor by name, in the order of the network as far as it is known."""
        ...

    def load(self, name: str) -> Tensor:
        """Return one tensor, on the CPU; it is read now, and nothing of it is kept.

        Raises:
            DataError: it cannot be read.
        """
        ...


def in_order(names: Iterable[str]) -> list[str]:
    """Return names sorted with numbers by value, so that layer 10 comes after layer 9.

    Example:
        >>> in_order(["h.10.w", "h.9.w", "a"])
        ['a', 'h.9.w', 'h.10.w']
    """
    return sorted(names, key=lambda name: [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in _pieces(name)])


def _pieces(name: str) -> list[str]:
    return re.split(r"(\d+)", name)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text without its full stop, to stand in a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
