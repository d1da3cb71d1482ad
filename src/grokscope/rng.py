"""Randomness as a pure function of names: no generator outlives the draw it was made for.

A draw is named by its stream's seed, the step, what is drawn and the index within the member; the
name is hashed into the seed of a fresh generator. Killing, resuming, partitioning or batching a run
therefore cannot change what it draws.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, *names: str | int) -> int:
    """Return the 63-bit seed of the draw called ``names`` in the stream of ``seed``.

    Example:
        >>> derive(0, "init") == derive(0, "init"), derive(0, "init") == derive(1, "init")
        (True, False)
    """
    text = "\x1f".join([str(int(seed)), *(f"{type(name).__name__}:{name}" for name in names)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a fresh CPU generator for one named draw.

    Draws are made on the CPU on every device, so that a run draws the same numbers everywhere.

    Example:
        >>> import torch
        >>> torch.rand(1, generator=generator(0, "noise", 5)).shape
        torch.Size([1])
    """
    import torch

    return torch.Generator().manual_seed(derive(seed, *names))
