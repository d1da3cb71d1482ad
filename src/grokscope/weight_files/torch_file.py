"""Tensors of a file written by ``torch.save``: mapped, not read, and unpickled no further than tensors."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grokscope.errors import DataError
from grokscope.weight_files.base import AGAIN, Entry, first_line

CONVERT = (
    "load it where you trust it, and save its weights with "
    "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')."
)
"""How to make of a file that would have to be unpickled one that has not."""

MAPPED = 1 << 28
"""Bytes read after which the file is mapped anew, so that pages of earlier tensors do not count as ours."""

_BESIDE = re.compile(r"optim|sched|scaler|^rng|callback|^loops$|^grads?$|exp_avg|hparams|hyper_parameters", re.I)
_DEEPEST = 6


class TorchFile:
    """A file written by ``torch.save``: a state dict, or one below some keys of a training checkpoint.

    State dicts are found by looking: every mapping of tensors that is no state of an optimizer. If there is
    one, its own names are used; of several, names begin with the keys that lead there.

    Args:
        path: the file.
        mapped: whether it is of the format that can be mapped; else it is read whole.

    Raises:
        DataError: it is damaged, holds more than tensors, or none.
    """

    format = "PyTorch"

    def __init__(self, path: Path, *, mapped: bool = True) -> None:
        self.path = path
        self.notes: tuple[str, ...] = ()
        self._mapped = mapped
        self._read = 0
        self._tensors = self._load()
        first: dict[tuple[object, ...], str] = {}
        ties: dict[str, list[str]] = {}
        for name, tensor in self._tensors.items():
            place = _place(tensor)
            if place is not None and first.setdefault(place, name) != name:
                ties.setdefault(first[place], []).append(name)
        doubles = {name for names in ties.values() for name in names}
        self.entries = {
            name: Entry(name, tuple(t.shape), str(t.dtype).removeprefix("torch."), tuple(ties.get(name, ())))
            for name, t in self._tensors.items()
            if name not in doubles
        }

    def load(self, name: str) -> Tensor:
        """Return one tensor."""
        tensor = self._tensors[name].detach()
        if self._mapped:
            self._read += tensor.numel() * tensor.element_size()
            if self._read > MAPPED:
                self._read = 0
                self._tensors = self._load()
        return tensor

    def _load(self) -> dict[str, Tensor]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                everything = torch.load(self.path, map_location="cpu", weights_only=True, mmap=self._mapped)
        except pickle.UnpicklingError as error:
            raise DataError(_refusal(self.path, error)) from error
        except Exception as error:  # the reader of archives and the unpickler raise all kinds
            raise DataError(f"{self.path} is damaged or cut off ({first_line(error)}): {AGAIN}") from error
        if _of_optimizer(everything):
            raise DataError(
                f"{self.path} holds the state of an optimizer and no weights: give the file of the model, which is "
                "saved from model.state_dict()."
            )
        found = list(_tensors(everything, ()))
        if not found:
            raise DataError(f"{self.path} holds no tensors, but {_what(everything)}: give a file of weights.")
        containers = list(dict.fromkeys(container for container, _, _ in found))
        notes = [] if self._mapped else ["It is in PyTorch's format from before 1.6, which is read whole into memory."]
        if len(containers) > 1:
            notes.append(f"It holds {len(containers)} sets of tensors; names begin with the keys that lead to them.")
        elif containers[0]:
            notes.append(f"The weights are those under {'.'.join(containers[0])!r}.")
        if left := _left_out(everything):
            notes.append(f"Left out as no weights of a model: {', '.join(left)}.")
        self.notes = tuple(notes)
        named: dict[str, Tensor] = {}
        for container, name, tensor in found:
            named[name if len(containers) == 1 else ".".join((*container, name))] = tensor
        return named


def _tensors(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, Tensor]]:
    """Yield (keys of the mapping it is in, name, tensor) for each tensor that belongs to a model."""
    if isinstance(value, Tensor):
        yield keys[:-1], keys[-1] if keys else "tensor", value
    elif len(keys) < _DEEPEST and (isinstance(value, Mapping | list | tuple)):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, one in items:
            if not _beside(key, one):
                yield from _tensors(one, (*keys, str(key)))


def _beside(key: Any, value: Any) -> bool:
    named = not isinstance(value, Tensor) and isinstance(key, str) and _BESIDE.search(key) is not None
    return named or _of_optimizer(value)


def _of_optimizer(value: Any) -> bool:
    return isinstance(value, Mapping) and {"state", "param_groups"} <= value.keys()


def _left_out(value: Any) -> list[str]:
    """Return the keys at the top that look like the state of a training and hold something."""
    return [key for key, one in value.items() if _beside(key, one) and one] if isinstance(value, Mapping) else []


def _place(tensor: Tensor) -> tuple[object, ...] | None:
    """Return where a tensor's values lie, equal for tied ones; None where it has no values or no one place."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.numel() == 0:
        return None
    return (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)


def _what(value: Any) -> str:
    if isinstance(value, Mapping):
        keys = ", ".join(str(key) for key in list(value)[:4])
        return f"a dictionary of {keys}" if keys else "an empty dictionary"
    return f"a {type(value).__name__}"


def _refusal(path: Path, error: Exception) -> str:
    found = re.search(r"GLOBAL (\S+)", str(error)) or re.search(r"(?:global|class) '?([\w.]+\.[\w.]+)", str(error))
    if found is None and "Unsupported" not in str(error):
        return f"{path} is no file of tensors that torch.load reads ({first_line(error)}): {CONVERT}"
    what = f" ({found[1]})" if found else ""
    return f"{path} holds more than tensors{what}, and reading that could run code: {CONVERT}"
