"""Measuring in the middle of somebody's training and leaving the process as it was."""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from grokscope.forward import neutral
from grokscope.spec import Numerics

Switch = tuple[Callable[[Any], Any], Callable[[], Any], Any]
"""Setter, getter and the value wanted."""


def numerics_of(model: nn.Module, eval_chunk: int | None) -> Numerics:
    """Return the numerics measures of a model are taken under: those of the process as it is, on the model's device."""
    device = device_of(model)
    return Numerics(
        dtype="float64" if torch.get_default_dtype() == torch.float64 else "float32",
        threads=torch.get_num_threads(),
        device=str(device),
        path="plain",
        eval_chunk=eval_chunk,
    )


def device_of(model: nn.Module) -> torch.device:
    """Return where a model is measured: on its own device, or on the CPU where that is neither CPU nor CUDA."""
    tensor = next((t for tensors in (model.parameters(), model.buffers()) for t in tensors), None)
    if tensor is None or tensor.device.type != "cuda":
        return torch.device("cpu")
    return tensor.device


@contextmanager
def undisturbed(numerics: Numerics) -> Iterator[None]:
    """Within the context, compute under these numerics; after it random states, modes and switches are as before.

    Products are in full precision, operations repeatable where they can be, and neither autocast nor inference
    mode nor gradients that were asked for around it have an effect.
    """
    cuda = numerics.device.startswith("cuda")
    with contextlib.ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        # measures draw from generators of their own; a model's forward may draw from any of these
        stack.callback(np.random.set_state, np.random.get_state())
        stack.callback(torch.set_rng_state, torch.get_rng_state())
        if cuda:
            stack.callback(torch.cuda.set_rng_state, torch.cuda.get_rng_state(numerics.device), numerics.device)
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", message=".*[dD]eterministic")
        for change, now, wanted in _switches(numerics, cuda):
            try:
                before = now()
            except RuntimeError:
                continue  # set by another interface of torch, which its own does not read
            if before != wanted:
                stack.callback(change, before)
                change(wanted)
        stack.enter_context(neutral())
        yield


def _switches(numerics: Numerics, cuda: bool) -> list[Switch]:
    cudnn, deterministic = torch.backends.cudnn, torch.utils.deterministic  # type: ignore[attr-defined]
    switches: list[Switch] = [
        (torch.set_num_threads, torch.get_num_threads, numerics.threads),
        (torch.set_default_dtype, torch.get_default_dtype, getattr(torch, numerics.dtype)),
        (torch.set_float32_matmul_precision, torch.get_float32_matmul_precision, "highest"),
    ]
    if cuda:
        switches += [
            (partial(setattr, cudnn, name), partial(getattr, cudnn, name), False)
            for name in ("allow_tf32", "benchmark")
        ]
        switches += [
            (
                partial(setattr, deterministic, "fill_uninitialized_memory"),
                partial(getattr, deterministic, "fill_uninitialized_memory"),
                False,
            ),
            # 1: warn of what cannot be repeated, which "error" would refuse
            (torch.set_deterministic_debug_mode, torch.get_deterministic_debug_mode, 1),
        ]
    return switches
