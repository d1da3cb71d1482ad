"""Tensors and JSON values to bytes and back, with safetensors; nothing is ever pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from grokscope.errors import CheckpointError
from grokscope.learners.base import StateDict


def encode_tensors(tensors: Mapping[str, Tensor], values: Mapping[str, Any] | None = None) -> bytes:
    """Return tensors (copied to the CPU, contiguous) and JSON values as the bytes of a safetensors file.

    Example:
        >>> import torch
        >>> decode(encode_tensors({"a": torch.ones(2)}, {"step": 3})).values
        {'step': 3}
    """
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return save(plain, {"values": json.dumps(dict(values or {}), sort_keys=True)})


def decode(data: bytes) -> StateDict:
    """Return what :func:`encode_tensors` wrote.

    Raises:
        CheckpointError: the bytes are no safetensors file of ours.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        values = json.loads(header.get("__metadata__", {}).get("values", "{}"))
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"the bytes are not a checkpoint: {error}.") from error
    return StateDict(tensors, values)


def encode_checkpoint(stored: StateDict, ended: Mapping[str, str]) -> bytes:
    """Return a learner's state as bytes, with how each member that has ended did, by its index."""
    return encode_tensors(stored.tensors, {**stored.values, "ended": dict(ended)})


def decode_checkpoint(data: bytes) -> tuple[StateDict, dict[int, str]]:
    """Return what :func:`encode_checkpoint` was given: to a learner, its own values and no others.

    Raises:
        CheckpointError: the bytes are no safetensors file of ours.
    """
    stored = decode(data)
    values = dict(stored.values)
    ended = {int(index): status for index, status in values.pop("ended", {}).items()}
    return StateDict(stored.tensors, values), ended
