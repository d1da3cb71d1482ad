"""What chosen examples are at the sites of a network: one row an example, or one a position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.errors import unknown
from grokscope.measures.activations import CHUNK, COLUMNS, WHERE, chosen_columns, chosen_inputs, stream
from grokscope.measures.base import DoesNotApply
from grokscope.visits import Visit

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

POSITIONS = ("auto", "each", "all", "mean", "last")


def per_example(visit: Visit, examples: int) -> Tensor | None:
    """Return a visit's output as (examples, positions, units), or None where it is not laid out by examples.

    Sequences may come first (positions, examples, units), and positions may have been folded into the examples.

    Example:
        >>> seen = Visit("conv", "convolution", "Conv2d", torch.zeros(2, 1, 4, 4), torch.zeros(2, 3, 4, 4), 1)
        >>> per_example(seen, 2).shape
        torch.Size([2, 16, 3])
    """
    tensor = visit.output
    if not tensor.numel():
        return None
    if tensor.ndim < 2:
        return tensor.reshape(-1, 1, 1) if len(tensor) == examples else None
    if visit.axis == 1:
        tensor = tensor.movedim(1, -1)
    if len(tensor) != examples and tensor.ndim > 2 and tensor.shape[1] == examples:
        tensor = tensor.transpose(0, 1)
    if len(tensor) % examples:
        return None
    return tensor.reshape(examples, -1, tensor.shape[-1])


def represent(visit: Visit, examples: int, positions: str) -> Tensor | None:
    """Return a visit's output as (samples, features), or None where it is not laid out by examples.

    Args:
        visit: of so many examples.
        examples: the number of examples.
        positions: ``each`` position is a sample, example by example; ``all`` of them are features of their example;
            their ``mean``; the ``last``; ``auto`` is the mean of a map with channels, and the last of a sequence.

    Raises:
        UsageError: there is no such way to treat positions.
    """
    if positions not in POSITIONS:
        raise unknown("positions", positions, POSITIONS)
    found = per_example(visit, examples)
    if found is None:
        return None
    if positions == "each":
        return found.flatten(0, 1)
    if positions == "all":
        return found.flatten(1)
    if positions == "mean" or (positions == "auto" and visit.axis == 1):
        return found.mean(1)
    return found[:, -1]


def features(
    snapshot: Snapshot,
    probe: str,
    *,
    where: str = "activations",
    positions: str = "auto",
    examples: int = 1000,
    columns: int = COLUMNS,
    chunk: int = CHUNK,
) -> dict[str, Tensor]:
    """Return what chosen examples are at each site, (samples, features), in the model's own type; by site.

    Sites that are not laid out by examples are left out. Memory: sites × samples × ``columns`` numbers.

    Args:
        snapshot: the moment.
        probe: the data.
        where: ``layers`` or ``activations``; of a module without such sites the other ones are taken.
        positions: see :func:`represent`.
        examples: at most so many, the same at every step.
        columns: of wider representations so many features are drawn, the same at every step.
        chunk: examples a forward pass takes at once.

    Raises:
        UsageError: there is no such ``where`` or ``positions``.
        DoesNotApply: there are no data, or the forward pass has neither layers nor nonlinearities.
    """
    if where not in WHERE:
        raise unknown("where", where, WHERE)
    inputs = chosen_inputs(snapshot, probe, examples)
    for place in (where, *(set(WHERE) - {where})):
        parts: dict[str, list[Tensor]] = {}
        left_out: set[str] = set()

        def see(visit: Visit, rows: slice, place: str = place, parts: dict = parts, left_out: set = left_out) -> None:
            if visit.kind not in WHERE[place]:
                return
            seen = represent(visit, rows.stop - rows.start, positions)
            if seen is None:
                left_out.add(visit.name)
                return
            index = chosen_columns(snapshot, visit.name, seen.shape[1], columns)
            # a copy: a later layer may write into what it was given
            parts.setdefault(visit.name, []).append(seen.clone() if index is None else seen[:, index.to(seen.device)])

        stream(snapshot, inputs, see, chunk=chunk)
        found = {name: torch.cat(part) for name, part in parts.items() if name not in left_out}
        if found:
            return found
    raise DoesNotApply(
        "the forward pass of this model has no layer or nonlinearity whose output is laid out by examples."
    )
