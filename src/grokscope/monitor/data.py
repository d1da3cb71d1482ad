"""The data a monitor looks at: what people give, checked, cut to a bounded number of examples, copied."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.given import Given, batch_of, checked, parts_of
from grokscope.rng import generator


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
        batch = batch_of(name, data)
        counts[name] = len(batch)
        rows: Tensor | slice = slice(None)
        if examples is not None and len(batch) > examples:
            order = torch.randperm(len(batch), generator=generator(seed, "examples", name), device="cpu")
            rows = order[:examples].sort().values
        probes[name] = checked(name, _taken(batch, rows))
    return probes, counts


def _taken(batch: Batch, rows: Tensor | slice) -> Batch:
    def take(tensor: Tensor) -> Tensor:
        with torch.inference_mode(mode=False), torch.no_grad():
            chosen = rows.to(tensor.device) if isinstance(rows, Tensor) else rows
            return tensor.detach()[chosen].clone()

    parts = {name: take(tensor) for name, tensor in parts_of(batch).items()}
    return Batch(parts["inputs"], parts.get("targets"), parts.get("weights"))
