"""What each update of a training sees: all of the data, batches of it on the device, or a task's own stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from grokscope.batch import Batch, shared, stack
from grokscope.minibatches import Minibatches
from grokscope.rng import permutation

if TYPE_CHECKING:
    from grokscope.tasks.base import Task


class Feed(Protocol):
    """The batch of each update; ``sharing`` members next to each other see the same, which has no axis of theirs."""

    @property
    def sharing(self) -> int:
        """How many members share."""
        ...

    def at(self, step: int) -> Batch:
        """Return what update ``step`` (from 0) sees: in an ensemble with a leading axis of groups that share it."""
        ...


@dataclass(frozen=True)
class Whole:
    """All of the train set in every update."""

    batch: Batch
    sharing: int = 1

    def at(self, step: int) -> Batch:
        """Return the train set."""
        return self.batch


@dataclass(frozen=True)
class Streamed:
    """Batches that the tasks make themselves, moved to the device in each update."""

    tasks: Sequence[Task]
    device: str
    dtype: torch.dtype
    stacked: bool
    sharing: int = 1

    def at(self, step: int) -> Batch:
        """Return the batches of update ``step``, shorter ones padded with examples of weight 0."""
        batches = [task.batch(step) for task in self.tasks]
        return (stack(batches) if self.stacked else batches[0]).to(self.device, self.dtype)


@dataclass
class Resident:
    """Minibatches whose examples lie on the device, for groups of members that see the same ones.

    Attributes:
        data: examples of all groups, one after the other; floats in the training's precision.
        groups: how many groups there are, or None for a training of one member, which has no leading axis.
        streams: of each group; they agree in size, order and number of examples.
    """

    data: Batch
    groups: int | None
    streams: Sequence[Minibatches]
    sharing: int = 1
    _number: int | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        first = self.streams[0]
        device = self.data.inputs.device
        self.examples, self.size, self.updates = len(first.train), first.size, first.updates
        self.keys = torch.tensor([one.key for one in self.streams], device=device)
        self.offsets = torch.arange(len(self.streams), device=device)[:, None] * self.examples
        self.ordered = self.offsets + torch.arange(self.examples, device=device)

    def at(self, step: int) -> Batch:
        """Return the batch of update ``step``; the permutation is drawn once a pass."""
        number, place = divmod(step, self.updates)
        if number != self._number and self.streams[0].order == "shuffled":
            self.ordered = self.offsets + permutation(self.keys, self.examples, number)
            self._number = number
        return self._rows(self.ordered[:, place * self.size : (place + 1) * self.size])

    def at_clock(self, clock: Tensor) -> Batch:
        """Return the batch of the update that ``clock`` counts, without a value on the host; sizes must divide."""
        place = clock.to(torch.int64) % self.updates
        order = self._order_at(clock)
        return self._rows(order.index_select(1, place * self.size + torch.arange(self.size, device=order.device)))

    def pass_at(self, clock: Tensor) -> list[Batch]:
        """Return all batches of the pass that begins at the update that ``clock`` counts; its order is drawn once."""
        return [self._rows(rows) for rows in self._order_at(clock).split(self.size, 1)]

    def _order_at(self, clock: Tensor) -> Tensor:
        if self.streams[0].order == "cyclic":
            return self.ordered
        return self.offsets + permutation(self.keys, self.examples, clock.to(torch.int64) // self.updates)

    def _rows(self, rows: Tensor) -> Batch:
        flat = rows.flatten()

        def chosen(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            found = tensor.index_select(0, flat)
            return found if self.groups is None else found.unflatten(0, rows.shape)

        inputs = chosen(self.data.inputs)
        assert inputs is not None
        return Batch(inputs, chosen(self.data.targets), chosen(self.data.weights))


def feed_of(tasks: Sequence[Task], device: str, dtype: torch.dtype, *, stacked: bool) -> Feed:
    """Return what the updates of a training see; ``stacked`` for the members of an ensemble."""
    streams = [task.stream for task in tasks]
    if all(stream is None for stream in streams):
        batches, sharing = shared([task.batch(0) for task in tasks])
        return Whole((stack(batches) if stacked else batches[0]).to(device, dtype), sharing)
    known = [one for one in streams if isinstance(one, Minibatches)]
    if len(known) < len(streams) or len({(len(one.train), one.size, one.order) for one in known}) > 1:
        return Streamed(tasks, device, dtype, stacked)
    _, sharing = shared([one.train for one in known])
    # who sees the same examples may still see them in another order
    while any(one.seed != known[at - at % sharing].seed for at, one in enumerate(known)):
        sharing = next(size for size in range(sharing - 1, 0, -1) if len(known) % size == 0)
    kept = known[::sharing]
    data = _joined([one.train for one in kept]).to(device, dtype)
    return Resident(data, len(kept) if stacked else None, kept, sharing)


def _joined(batches: Sequence[Batch]) -> Batch:
    def joined(tensors: list[Tensor | None]) -> Tensor | None:
        there = [one for one in tensors if one is not None]
        return torch.cat(there) if there else None

    return Batch(
        torch.cat([one.inputs for one in batches]),
        joined([one.targets for one in batches]),
        joined([one.weights for one in batches]),
    )
