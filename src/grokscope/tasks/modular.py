"""Addition modulo p from a fixed share of the table (Power et al. 2022; Nanda et al. 2023)."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from grokscope.facts import Chance, Facts, GroupStructure, SequenceLayout
from grokscope.settings import TaskSettings

if TYPE_CHECKING:
    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task


class ModularAddition(TaskSettings):
    """Inputs are tokens (a, b, =), "=" being token p; the target is (a + b) mod p.

    All p² ordered pairs are listed in lexicographic order, shuffled by Python's ``random.Random(split
    seed)``, and the first ⌊train_fraction · p²⌋ are trained on (Nanda et al. 2023, released code).

    Probes: ``train``, ``test``, ``all`` (lexicographic) and ``leak_free``, the test pairs (a, b)
    whose mirror image (b, a) is not trained on: a model that has only learned that addition commutes
    answers the other test pairs.
    """

    name: Literal["modular-addition"] = "modular-addition"
    modulus: int = Field(default=113, ge=2, description="p, an integer >= 2")
    train_fraction: float = Field(default=0.3, gt=0, lt=1, description="share of the p² pairs trained on")

    @model_validator(mode="after")
    def _both_sides(self) -> ModularAddition:
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

    def build(self, seeds: Seeds) -> Task:
        """Return the task; only the split stream is drawn from."""
        import torch

        from grokscope.batch import Batch
        from grokscope.tasks.base import Task

        p = self.modulus
        order = list(range(p * p))
        random.Random(seeds.split).shuffle(order)
        trained = np.zeros(p * p, dtype=bool)
        trained[order[: self.train_pairs]] = True
        a, b = np.divmod(np.arange(p * p), p)
        mirrored = trained[b * p + a]
        tokens = torch.tensor(np.stack([a, b, np.full(p * p, p)], axis=1))
        sums = torch.tensor((a + b) % p)

        def pairs(chosen: np.ndarray) -> Batch:
            index = torch.tensor(np.flatnonzero(chosen))
            return Batch(tokens[index], sums[index], parent="all", rows=index)

        table = (np.arange(p)[:, None] + np.arange(p)[None, :]) % p
        probes = {
            "train": pairs(trained),
            "test": pairs(~trained),
            "all": Batch(tokens, sums),
            "leak_free": pairs(~trained & ~mirrored),
        }
        facts = Facts(
            outputs=p + 1,
            classes=p,
            chance=Chance(accuracy=1 / p, loss=math.log(p)),
            group=GroupStructure(kind="cyclic", table=table),
            sequence=SequenceLayout(length=3, vocabulary=p + 1, positions=("a", "b", "="), answers=(2,), constant=(2,)),
        )
        return Task(facts=facts, probes={name: b for name, b in probes.items() if len(b)}, train=probes["train"])
