"""Completing a multiplication table from some of its entries (Lyu et al. 2024, Sec. 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from grokscope.facts import Chance, Facts, SequenceLayout
from grokscope.rng import generator
from grokscope.settings import TaskSettings

if TYPE_CHECKING:
    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task


class MatrixCompletion(TaskSettings):
    """X*_ij = ij/d² for i, j = 0 … d − 1, of rank 1; ⌊observed · d²⌋ of the ordered entries are trained on.

    Inputs are the indices (i, j), targets the entries. Probes: ``train``; ``test``, all other entries; ``unobserved``,
    those of which the mirror image (j, i) is not trained on either: a symmetric model knows the others.
    """

    name: Literal["matrix-completion"] = "matrix-completion"
    cites: ClassVar[tuple[str, ...]] = ("lyu2024",)
    size: int = Field(default=97, ge=2, description="d, rows and columns")
    observed: float = Field(default=0.05, gt=0, lt=1, description="share of the d² entries that is trained on")

    @model_validator(mode="after")
    def _both_sides(self) -> MatrixCompletion:
        if not int(self.observed * self.size**2):
            raise ValueError(f"observed = {self.observed} of {self.size}² entries leaves none to train on")
        return self

    def build(self, seeds: Seeds) -> Task:
        """Return the task; the split stream decides which entries are observed."""
        import torch

        from grokscope.batch import Batch
        from grokscope.tasks.base import Task

        d = self.size
        order = torch.randperm(d * d, generator=generator(seeds.split, "entries"))
        seen = torch.zeros(d * d, dtype=torch.bool)
        seen[order[: int(self.observed * d * d)]] = True
        seen = seen.view(d, d)

        def entries(chosen: torch.Tensor) -> Batch:
            pairs = chosen.nonzero()
            return Batch(pairs, (pairs[:, 0] * pairs[:, 1]).double() / d**2)

        train = entries(seen)
        probes = {"train": train, "test": entries(~seen), "unobserved": entries(~seen & ~seen.T)}
        filled = {name: batch for name, batch in probes.items() if len(batch)}
        assert train.targets is not None
        facts = Facts(
            outputs=1,
            chance=Chance(loss=float(entries(torch.ones(d, d, dtype=torch.bool)).targets.square().mean())),  # type: ignore[union-attr]
            sequence=SequenceLayout(length=2, vocabulary=d, positions=("row", "column")),
        )
        return Task(facts=facts, probes=filled, train=train, loss="mean-squared-error")
