"""Batches of a finite train set, one after the other: rows that are a pure function of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from grokscope.batch import Batch
from grokscope.rng import derive, permutation

Order = Literal["cyclic", "shuffled"]


@dataclass(frozen=True)
class Minibatches:
    """The batch of each update: ``train`` cut into batches of ``size``, in the same order in each pass or another one.

    It is a stream of a task: called with a step it returns the batch. A learner may keep ``train`` on its device and
    ask for :meth:`rows` alone. The last batch of a pass is shorter where ``size`` does not divide the train set.

    Attributes:
        train: all examples.
        size: examples in a batch, at most as many as there are.
        order: ``shuffled`` draws a permutation a pass (Fisher and Yates' set, each once), ``cyclic`` keeps the order.
        seed: of the order.

    Example:
        >>> batches = Minibatches(Batch(torch.arange(5)), 2, "cyclic", 0)
        >>> [batches(step).inputs.tolist() for step in range(4)]
        [[0, 1], [2, 3], [4], [0, 1]]
    """

    train: Batch
    size: int
    order: Order = "cyclic"
    seed: int = 0
    _kept: dict[int, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def updates(self) -> int:
        """How many updates a pass takes."""
        return math.ceil(len(self.train) / self.size)

    @property
    def key(self) -> int:
        """What the permutations are drawn with."""
        return derive(self.seed, "passes")

    def rows(self, step: int) -> Tensor:
        """Return which examples update ``step`` (from 0) sees, (examples,) int64."""
        number, place = divmod(step, self.updates)
        if number not in self._kept:
            self._kept.clear()
            self._kept[number] = (
                torch.arange(len(self.train))
                if self.order == "cyclic"
                else permutation(torch.tensor(self.key), len(self.train), number)
            )
        return self._kept[number][place * self.size : (place + 1) * self.size]

    def __call__(self, step: int) -> Batch:
        """Return the batch of update ``step``."""
        rows = self.rows(step)
        one = self.train
        targets, weights = (None if tensor is None else tensor[rows] for tensor in (one.targets, one.weights))
        return Batch(one.inputs[rows], targets, weights)
