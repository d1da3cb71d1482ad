"""Data as people give them to be measured on: what they may be, and in one sentence what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from grokscope.batch import Batch
from grokscope.errors import UsageError, first_line

IGNORED = -100
"""The target of positions that count for nothing, as in ``torch.nn.functional.cross_entropy``."""
TRIED = 2
"""Examples of each probe that are run through a model to see whether it runs."""
Given = Tensor | tuple[Tensor, ...] | Batch
"""Inputs; (inputs, targets); or a batch."""


def batch_of(name: str, data: Any, *, empty: bool = False) -> Batch:
    """Return what was given as a batch, its tensors not copied; without examples only if ``empty`` allows it.

    Raises:
        UsageError: it is not data, is empty, has no values, or its parts have unequal lengths.

    Example:
        >>> import torch
        >>> len(batch_of("train", (torch.zeros(5, 2), torch.zeros(5))))
        5
    """
    if isinstance(data, Batch):
        batch = data
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
            f"{name} is a {type(data).__name__}: give a tensor of inputs, (inputs, targets), or a gs.Batch; of a data "
            "set for example torch.utils.data.default_collate([dataset[i] for i in range(1000)])."
        )
    for what, tensor in parts_of(batch).items():
        if not isinstance(tensor, Tensor):
            raise UsageError(
                f"the {what} of {name} are a {type(tensor).__name__}: give a tensor (torch.as_tensor makes one); where "
                "the model takes more than one, give forward=."
            )
        if tensor.ndim == 0 or (len(tensor) == 0 and not empty):
            raise UsageError(f"the {what} of {name} are empty: give at least one example.")
        if tensor.is_meta:
            raise UsageError(f"the {what} of {name} are on the meta device, where tensors have no values.")
        if len(tensor) != len(batch.inputs):
            raise UsageError(
                f"{name} has {len(batch.inputs)} inputs and {len(tensor)} {what}: give one for each example."
            )
    return batch


def parts_of(batch: Batch) -> dict[str, Tensor]:
    """Return the tensors of a batch by what they are; those that are not there are left out."""
    named = {"inputs": batch.inputs, "targets": batch.targets, "weights": batch.weights}
    return {name: tensor for name, tensor in named.items() if tensor is not None}


def checked(name: str, batch: Batch) -> Batch:
    """Return a batch whose classes are int64, after checking that its values are numbers.

    Raises:
        UsageError: something is NaN or infinite, or targets are neither classes nor real numbers.
    """
    targets = batch.targets
    if targets is not None and not targets.is_floating_point():
        if targets.is_complex() or targets.is_quantized:
            raise UsageError(f"the targets of {name} are {targets.dtype}: give classes (int64) or real numbers.")
        targets = targets.long()
    for what, tensor in parts_of(batch).items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UsageError(f"the {what} of {name} hold NaN or Inf: give data without.")
    return replace(batch, targets=targets)


def does_not_run(name: str, batch: Batch, error: Exception) -> UsageError:
    """Return the error that says how a model failed on the inputs of a probe."""
    return UsageError(
        f"the model does not run on the inputs of {name}, {tuple(batch.inputs.shape)} of "
        f"{str(batch.inputs.dtype).removeprefix('torch.')} ({type(error).__name__}: {first_line(error)}): "
        "give them as your loop gives them to the model, or say how it predicts with forward=lambda model, x: …"
    )


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
    more = "".join(f"{size}, " for size in first.shape[1:])
    if first.numel() == outputs.numel() and 0 <= lowest <= highest == 1:
        raise UsageError(
            f"the model gives one number for each target of {name}, which is 0 or 1: give the second class its logit "
            f"with forward=lambda model, x: torch.nn.functional.pad(model(x).reshape(len(x), {more}1), (1, 0))."
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
