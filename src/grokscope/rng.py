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
    from torch import Tensor


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


def words(seed: Tensor, count: int, *names: str | int) -> Tensor:
    """Return ``count`` random 32-bit words, int32 and uniform over all its values, shape (count,).

    Word i is a pure function of (seed, names, i). It takes integer arithmetic on tensors and no generator,
    so that ``torch.vmap`` may lift it over members with a seed each and a GPU draws what a CPU draws. With
    f = ``fmix32``, the finalizer of MurmurHash3 (Appleby 2011), and the two halves k of seed xor hash(names):
    word i = f(f(i xor k₀) xor k₁). It is for masks and noise, not for secrets.

    Args:
        seed: int64, no axes.
        count: at most 2³², from where on words repeat.
        names: what is drawn, the step among them.

    Example:
        >>> import torch
        >>> words(torch.tensor(7), 3, "noise", 0).tolist() == words(torch.tensor(7), 5, "noise", 0).tolist()[:3]
        True
    """
    import torch

    key = seed ^ derive(0, *names)
    low, high = ((key << 32) >> 32).to(torch.int32), (key >> 32).to(torch.int32)
    index = torch.arange(count, dtype=torch.int64, device=seed.device).to(torch.int32)
    return _fmix32(_fmix32(index ^ low) ^ high)


def permutation(seed: Tensor, count: int, number: int | Tensor) -> Tensor:
    """Return permutation ``number`` of 0 … count - 1, int64 of shape (*seed.shape, count).

    It sorts a 32-bit word an index, each a pure function of (seed, number, index) in integer arithmetic on tensors as
    in :func:`words`, so that a GPU draws what a CPU draws, and no value need be known to the host.

    Args:
        seed: int64, one for each permutation.
        count: how many there are to order, at most 2³¹.
        number: which permutation, from 0; a tensor of shape () and an integer dtype where it lives on the device.

    Example:
        >>> import torch
        >>> sorted(permutation(torch.tensor(7), 5, 3).tolist())
        [0, 1, 2, 3, 4]
    """
    import torch

    key = seed ^ derive(0, "permutation")
    low, high = ((key << 32) >> 32).to(torch.int32), (key >> 32).to(torch.int32)
    index = torch.arange(count, dtype=torch.int64, device=seed.device).to(torch.int32)
    turn = torch.as_tensor(number, device=seed.device).to(torch.int64)
    turns = ((turn << 32) >> 32).to(torch.int32)
    start = _fmix32(_fmix32(turns ^ low) ^ high)[..., None]
    # each step is a bijection of the 32-bit words, so that no two indices have the same word
    return _fmix32(_fmix32(index ^ start) ^ low[..., None]).argsort(dim=-1)


def _fmix32(word: Tensor) -> Tensor:
    """Mix each word in place; a shift to the right fills in zeros, so the sign's copies are masked out."""
    word ^= (word >> 16).bitwise_and_(0xFFFF)
    word *= 0x85EBCA6B - (1 << 32)
    word ^= (word >> 13).bitwise_and_(0x7FFFF)
    word *= 0xC2B2AE35 - (1 << 32)
    word ^= (word >> 16).bitwise_and_(0xFFFF)
    return word
