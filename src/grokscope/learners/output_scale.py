"""Any model as α f or, centred, α (f − f_0): the dial between lazy and rich training (Chizat et al. 2019)."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from grokscope.forward import Forward, module_forward

SCALE = "output_scale."
"""Buffers whose names begin so belong to the scale: α itself, and the parameters at the start."""
ALPHA = f"{SCALE}alpha"


def scale_buffers(module: nn.Module, alpha: float, *, centred: bool) -> dict[str, Tensor]:
    """Return the buffers of a scaled model: α, shape (), and where it is centred its parameters at the start."""
    some = next(module.parameters())
    buffers = {ALPHA: torch.tensor(alpha, dtype=some.dtype, device=some.device)}
    if centred:
        buffers |= {f"{SCALE}start.{name}": p.detach().clone() for name, p in module.named_parameters()}
    return buffers


def with_own_scale(own: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint's tensors with the scale that the spec asks for, which a fork may change.

    ``own`` are those of the spec's first state. α is the spec's; the parameters at the start are the stored ones.
    """
    prefix = f"buffer/{SCALE}"
    kept = {name: tensor for name, tensor in stored.items() if not name.startswith(prefix)}
    scale = {name: tensor for name, tensor in own.items() if name.startswith(prefix)}
    return kept | {n: t if n == f"buffer/{ALPHA}" else stored.get(n, t) for n, t in scale.items()}


def scaled(module: nn.Module, *, fast: bool = False) -> Forward:
    """Return the forward of α f, or of α (f − f_0) where the tensors hold a start: see :func:`scale_buffers`.

    f_0 is computed by a copy of the module, so that who watches or clamps the module does not meet it.
    """
    start = f"{SCALE}start."
    forward, reference = module_forward(module, fast=fast), module_forward(copy.deepcopy(module), fast=fast)

    def call(tensors: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        own = {name: tensor for name, tensor in tensors.items() if not name.startswith(SCALE)}
        outputs = forward(own, inputs)
        first = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
        if first:
            outputs = outputs - reference({**own, **first}, inputs)
        return tensors[ALPHA] * outputs

    return call
