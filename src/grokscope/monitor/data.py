"""The data a monitor looks at: what people give, checked, cut to a bounded number of examples, copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.rng import generator

IGNORED = -100
"""The target of positions that count for nothing, as in ``torch.nn.functional.cross_entropy``."""
Given = Tensor | tuple[Tensor, ...] | Batch
"""Inputs; (inputs, targets); or a batch."""


def probes_of(
    given: Mapping[str, Given | None], *, examples: int | None, seed: int
) -> tuple[dict[str, Batch], dict[str, int]]:
    """Return the probes, tensors of their own, and how many examples each was given with.

    Of more than ``examples`` so many are taken, chosen by the seed and the probe's name, in their order.

    Raises:
        UsageError: something given is not data, its parts have unequal lengths, or values are missing.

    Example:
        >>> probes, counts = probes_of({"train": torch.zeros(5, 2)}, examples=3, seed=0)
        >>> probes["train"].inputs.shape, counts
        (torch.Size([3, 2]), {'train': 5})
    """
    if examples is not None and (isinstance(examples, bool) or not isinstance(examples, int) or examples < 1):
        raise UsageError(f"examples = {examples!r}: give how many examples of each probe to look at, or None for all.")
    probes: dict[str, Batch] = {}
    counts: dict[str, int] = {}
    for name, data in given.items():
        if data is None:
            continue
        batch = _batch(name, data)
        counts[name] = len(batch)
        rows: Tensor | slice = slice(None)
        if examples is not None and len(batch) > examples:
            order = torch.randperm(len(batch), generator=generator(seed, "examples", name), device="cpu")
            rows = order[:examples].sort().values
        probes[name] = _checked(name, _taken(batch, rows))
    return probes, counts


def _batch(name: str, data: Any) -> Batch:
    if isinstance(data, Batch):
        batch = Batch(data.inputs, data.targets, data.weights)
    elif isinstance(data, Tensor):
        batch = Batch(data)
    elif isinstance(data, tuple | list) and len(data) in (1, 2):
        batch = Batch(*data)
    elif isinstance(data, tuple | list | Mapping):
        raise UsageError(
            f"{name} is a {type(data).__name__} of {len(data)}: give a tensor of inputs, or (inputs, targets), and "
            "where the model takes more than one input, forward=lambda model, x: …"
        )
    else:
        raise UsageError(
            f"{name} is a {type(data).__name__}: give a tensor of inputs, (inputs, targets), or a gs.Batch; of a "
            "loader for example next(iter(loader))."
        )
    for what, tensor in _parts(batch).items():
        if not isinstance(tensor, Tensor):
            raise UsageError(
                f"the {what} of {name} are a {type(tensor).__name__}: give a tensor (torch.as_tensor makes one); where "
                "the model takes more than one, give forward=."
            )
        if tensor.ndim == 0 or len(tensor) == 0:
            raise UsageError(f"the {what} of {name} are empty: give at least one example.")
        if tensor.is_meta:
            raise UsageError(f"the {what} of {name} are on the meta device, where tensors have no values.")
        if len(tensor) != len(batch.inputs):
            raise UsageError(
                f"{name} has {len(batch.inputs)} inputs and {len(tensor)} {what}: give one for each example."
            )
    return batch


def _parts(batch: Batch) -> dict[str, Any]:
    named = {"inputs": batch.inputs, "targets": batch.targets, "weights": batch.weights}
    return {name: tensor for name, tensor in named.items() if tensor is not None}


def _taken(batch: Batch, rows: Tensor | slice) -> Batch:
    def take(tensor: Tensor) -> Tensor:
        with torch.inference_mode(mode=False), torch.no_grad():
            chosen = rows.to(tensor.device) if isinstance(rows, Tensor) else rows
            return tensor.detach()[chosen].clone()

    parts = {name: take(tensor) for name, tensor in _parts(batch).items()}
    return Batch(parts["inputs"], parts.get("targets"), parts.get("weights"))


def _checked(name: str, batch: Batch) -> Batch:
    targets = batch.targets
    if targets is not None and not targets.is_floating_point():
        if targets.is_complex() or targets.is_quantized:
            raise UsageError(f"the targets of {name} are {targets.dtype}: give classes (int64) or real numbers.")
        targets = targets.long()
    for what, tensor in _parts(batch).items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UsageError(f"the {what} of {name} hold NaN or Inf: give data without.")
    return Batch(batch.inputs, targets, batch.weights)


def check_outputs(name: str, batch: Batch, outputs: Tensor) -> None:
    """Refuse targets that cannot be those of a model's outputs, on the first examples of a probe.

    Raises:
        UsageError: shapes do not fit, or a class is named that the model has no output for.
    """
    if not len(outputs) or not outputs.is_floating_point():
        raise UsageError(
            f"the model gives outputs {tuple(outputs.shape)} of {outputs.dtype}: real numbers, an output each class, "
            "are expected; say with forward= which tensor is its prediction."
        )
    targets = batch.targets
    if targets is None:
        return
    first = targets[: len(outputs)]
    if first.is_floating_point():
        if first.numel() != outputs.numel():
            raise UsageError(
                f"the model's outputs {tuple(outputs.shape)} and the targets {tuple(first.shape)} of {name} differ in "
                "shape: give targets that look like outputs, or classes as int64."
            )
        return
    counted = targets[targets != IGNORED]
    lowest, highest = (int(counted.min()), int(counted.max())) if counted.numel() else (0, 0)
    if first.numel() == outputs.numel() and 0 <= lowest <= highest == 1:
        raise UsageError(
            f"the model gives one number for each target of {name}, which is 0 or 1: give the second class its logit "
            "with forward=lambda model, x: torch.nn.functional.pad(model(x).reshape(len(x), 1), (1, 0))."
        )
    if outputs.shape[:-1] != first.shape:
        if first.shape == (*outputs.shape[:-1], 1):
            raise UsageError(
                f"the targets {tuple(first.shape)} of {name} have an axis more than the model's outputs "
                f"{tuple(outputs.shape)} leave room for: give targets.squeeze(-1)."
            )
        raise UsageError(
            f"the model's outputs {tuple(outputs.shape)} do not fit the targets {tuple(first.shape)} of {name}: "
            "classes come last; forward=lambda model, x: model(x).movedim(1, -1), for example, moves them there."
        )
    if lowest < 0 or highest >= outputs.shape[-1]:
        wrong = lowest if lowest < 0 else highest
        raise UsageError(
            f"{name} has the target {wrong}, and the model gives {outputs.shape[-1]} outputs: classes are counted "
            "from 0."
        )
