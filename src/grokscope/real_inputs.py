"""Where a model can be differentiated with respect to its input: real inputs, or the embedding of tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.batch import Batch
from grokscope.forward import module_forward, sites
from grokscope.visits import Visit, watched

if TYPE_CHECKING:
    from grokscope.snapshot import Source


@dataclass(frozen=True)
class RealInputs:
    """Where a model is differentiated with respect to its input: real inputs, or embedded tokens.

    Attributes:
        points: (examples, ...), the inputs or what the embedding gives for them.
        tokens: the tokens that were embedded, (examples, ...), or None.
        site: the embedding whose output ``points`` are, or None.
        call: (points, tokens) -> outputs, differentiable in the points; repeated points need repeated tokens.
    """

    points: Tensor
    tokens: Tensor | None
    site: str | None
    call: Callable[[Tensor, Tensor | None], Tensor]


def real_inputs(source: Source, tensors: Mapping[str, Tensor], batch: Batch) -> RealInputs | None:
    """Return the points of a batch at which a model can be differentiated, or None if there are none."""
    if batch.inputs.is_floating_point():
        return RealInputs(batch.inputs, None, None, lambda points, _: source.forward(tensors, points))
    module = source.module
    if module is None or not len(batch):
        return None
    plain = source.plain or module_forward(module)
    found: list[tuple[str, Tensor]] = []
    points: list[Tensor] = []
    for part in batch.inputs.split(source.eval_chunk or len(batch)):

        def see(visit: Visit, part: Tensor = part) -> None:
            # positions are embedded too: the embedding of the tokens is the one that is given them
            if visit.kind == "embedding" and visit.inputs.shape == part.shape and torch.equal(visit.inputs, part):
                found.append((visit.name, visit.output))

        found.clear()
        with torch.no_grad(), watched(module, see):
            plain(tensors, part)
        if not found:
            return None
        points.append(found[0][1])
    name = found[0][0]

    def call(embedded: Tensor, tokens: Tensor | None) -> Tensor:
        assert tokens is not None
        with sites(module, {name: lambda _: embedded}, first=True):
            return plain(tensors, tokens)

    return RealInputs(torch.cat(points), batch.inputs, name, call)
