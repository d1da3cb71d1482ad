"""What is known about a task: facts that measures may use and models never see.

NumPy only; imports nothing of ours. Tasks make facts, snapshots carry them, measures read them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Chance:
    """What the best guess without a look at the input achieves: ``accuracy`` (a share) and ``loss`` (in its units)."""

    accuracy: float | None = None
    loss: float | None = None


@dataclass(frozen=True)
class GroupStructure:
    """The targets are products in a group (or a binary operation) on ``order`` elements.

    ``table[a, b]`` is the target of elements a and b, shape (order, order). ``kind`` names the family:
    ``"cyclic"`` is addition or subtraction modulo ``order``, and which of them says the table. Inputs
    name a and b in columns ``operands``.
    """

    kind: str
    table: np.ndarray
    operands: tuple[int, int] = (0, 1)

    @property
    def order(self) -> int:
        """The number of elements."""
        return len(self.table)


@dataclass(frozen=True)
class InputGeometry:
    """Inputs are arrays of ``shape`` with values in ``bounds``; ``channels_first`` for images."""

    shape: tuple[int, ...]
    bounds: tuple[float, float] | None = None
    channels_first: bool = True


@dataclass(frozen=True)
class SequenceLayout:
    """Inputs are sequences of ``length`` tokens of a vocabulary; predictions are read at ``answers``.

    ``constant`` lists the positions (from 0) that hold the same token in every sequence.
    """

    length: int
    vocabulary: int
    positions: tuple[str, ...] = ()
    answers: tuple[int, ...] = (-1,)
    constant: tuple[int, ...] = ()


@dataclass(frozen=True)
class GraphLayout:
    """Inputs are graphs of at most ``nodes`` nodes, padded: arrays of ``shape``, one row a node.

    A row holds the node's ``features``, a 1, and for each kind of edge in turn a 1 at each node that one leads to. Two
    nodes share one edge at most. The row of a node that is not there is 0.

    Example:
        >>> GraphLayout(nodes=9, features=11, kinds=4).shape
        (9, 48)
    """

    nodes: int
    features: int
    kinds: int

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of a graph."""
        return self.nodes, self.features + 1 + self.nodes * self.kinds


@dataclass(frozen=True)
class QuadraticTarget:
    """Targets are ``scale`` · (β·x)² of inputs x ~ N(0, 1/D) in every direction; ``direction`` is β, shape (D,)."""

    direction: np.ndarray
    scale: float = 0.5


@dataclass(frozen=True)
class Facts:
    """All that is known about a task; what is None is not known or does not apply.

    ``classes`` is the number of answers that can be right: the first ``classes`` outputs of a model.
    """

    outputs: int
    classes: int | None = None
    chance: Chance = Chance()
    group: GroupStructure | None = None
    geometry: InputGeometry | None = None
    sequence: SequenceLayout | None = None
    graph: GraphLayout | None = None
    quadratic: QuadraticTarget | None = None
