"""Binary operations modulo p from a fixed share of their table (Power et al. 2022; Nanda et al. 2023)."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from grokscope.facts import Chance, Facts, GroupStructure, SequenceLayout
from grokscope.rng import generator
from grokscope.settings import TaskSettings

if TYPE_CHECKING:
    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task

Operation = Literal["addition", "subtraction", "quadratic-form", "random"]
CYCLIC = ("addition", "subtraction")
SYMMETRIC = ("addition", "quadratic-form")


class ModularTable(TaskSettings):
    """Inputs are tokens (a, b, =), "=" being token p; the target is an integer modulo p.

    All p² ordered pairs are listed in lexicographic order, shuffled by Python's ``random.Random(split
    seed)``, and the first ⌊train_fraction · p²⌋ are trained on (Nanda et al. 2023, released code): the
    same pairs for every operation.

    Probes: ``train``, ``test``, ``all`` (lexicographic) and, where the operation commutes, ``leak_free``,
    the test pairs (a, b) whose mirror image (b, a) is not trained on: a model that has only learned that
    the operation commutes answers the other test pairs.

    Without ``equals_sign`` the inputs are (a, b) alone and a model has p outputs, as perceptrons on two one-hot
    numbers have.
    """

    cites: ClassVar[tuple[str, ...]] = ("power2022",)
    modulus: int = Field(default=113, ge=2, description="p, an integer >= 2")
    train_fraction: float = Field(default=0.3, gt=0, lt=1, description="share of the p² pairs trained on")
    equals_sign: bool = Field(default=True, description='whether the token "=" follows each pair')

    @model_validator(mode="after")
    def _both_sides(self) -> ModularTable:
        trained = self.train_pairs
        if trained == 0 or trained == self.modulus**2:
            raise ValueError(
                f"train_fraction = {self.train_fraction} of {self.modulus}² pairs leaves no pair to "
                f"{'test' if trained else 'train'} on: choose one nearer to 0.5"
            )
        return self

    @property
    def train_pairs(self) -> int:
        """How many pairs are trained on: ⌊train_fraction · p²⌋."""
        return int(self.train_fraction * self.modulus**2)

    def _build(self, operation: Operation, seeds: Seeds) -> Task:
        import torch

        from grokscope.batch import Batch
        from grokscope.tasks.base import Task

        p = self.modulus
        order = list(range(p * p))
        random.Random(seeds.split).shuffle(order)
        trained = np.zeros(p * p, dtype=bool)
        trained[order[: self.train_pairs]] = True
        a, b = np.divmod(np.arange(p * p), p)
        labels = results(operation, p, seeds.split)
        extra = int(self.equals_sign)
        tokens = torch.tensor(np.stack([a, b, np.full(p * p, p)][: 2 + extra], axis=1))
        targets = torch.tensor(labels.flatten())

        def pairs(chosen: np.ndarray) -> Batch:
            index = torch.tensor(np.flatnonzero(chosen))
            return Batch(tokens[index], targets[index], parent="all", rows=index)

        probes = {"train": pairs(trained), "test": pairs(~trained), "all": Batch(tokens, targets)}
        if operation in SYMMETRIC:
            probes["leak_free"] = pairs(~trained & ~trained[b * p + a])
        facts = Facts(
            outputs=p + extra,
            classes=p,
            chance=_chance(operation, labels),
            group=GroupStructure(kind="cyclic", table=labels) if operation in CYCLIC else None,
            sequence=SequenceLayout(
                length=2 + extra,
                vocabulary=p + extra,
                positions=("a", "b", "=")[: 2 + extra],
                answers=(1 + extra,),
                constant=(2,) if extra else (),
            ),
        )
        return Task(facts=facts, probes={name: b for name, b in probes.items() if len(b)}, train=probes["train"])


class ModularAddition(ModularTable):
    """The target is (a + b) mod p; inputs, split and probes are those of every :class:`ModularTable`."""

    name: Literal["modular-addition"] = "modular-addition"

    def build(self, seeds: Seeds) -> Task:
        """Return the task; only the split stream is drawn from."""
        return self._build("addition", seeds)


class ModularArithmetic(ModularTable):
    """The target is (a + b), (a - b) or (a² + ab + b²) mod p, or a label drawn at random.

    Subtraction has no probe ``leak_free``: what is known of (b, a) gives (a, b) another label, -c for c.
    The quadratic form and random labels are no group, so that Fourier measures do not apply. Random labels
    are uniform and independent, drawn once for the whole table: a network can only memorise them, and
    whatever a measure says of it is what it says without a rule to learn (the null control).
    """

    name: Literal["modular-arithmetic"] = "modular-arithmetic"
    operation: Operation = Field(
        default="addition", description="addition, subtraction, quadratic-form (a² + ab + b²) or random"
    )

    def build(self, seeds: Seeds) -> Task:
        """Return the task; only the split stream is drawn from."""
        return self._build(self.operation, seeds)


def results(operation: Operation, p: int, seed: int) -> np.ndarray:
    """Return the label of every pair, ``table[a, b]``, int64 in 0…p-1, shape (p, p).

    Random labels are uniform and independent. They are part of the data, so ``seed`` is that of the split
    stream: other pairs, other labels; the same data, whatever else is drawn. (The released code of Nanda
    et al. 2023 draws them anew at each call.)

    Example:
        >>> results("subtraction", 3, 0).tolist()
        [[0, 2, 1], [1, 0, 2], [2, 1, 0]]
    """
    a, b = np.indices((p, p))
    match operation:
        case "addition":
            return (a + b) % p
        case "subtraction":
            return (a - b) % p
        case "quadratic-form":
            return (a * a + a * b + b * b) % p
        case "random":
            import torch

            return torch.randint(p, (p, p), generator=generator(seed, "labels")).numpy()


def _chance(operation: Operation, labels: np.ndarray) -> Chance:
    """Return what is achieved without a look at the pair: the most frequent label, and the labels' entropy.

    In a row of a group's table every label is there once, and random labels are drawn so: 1/p and ln p. A
    quadratic form takes some values more often than others.
    """
    p = len(labels)
    if operation != "quadratic-form":
        return Chance(accuracy=1 / p, loss=math.log(p))
    shares = np.bincount(labels.flatten(), minlength=p) / p**2
    present = shares[shares > 0]
    return Chance(accuracy=float(shares.max()), loss=float(-(present * np.log(present)).sum()))
