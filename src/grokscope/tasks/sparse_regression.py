"""Regression on few of many Gaussian coordinates (Lyu et al. 2024, App. B.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from grokscope.facts import Chance, Facts, InputGeometry
from grokscope.rng import generator
from grokscope.settings import TaskSettings

if TYPE_CHECKING:
    from grokscope.batch import Batch
    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task


class SparseRegression(TaskSettings):
    """Inputs x ~ N(0, I) in ``dimension`` coordinates; y = Σ s_k x_k over the first ``relevant`` ones, s uniform ±1.

    The coordinates are exchangeable, so that which of them matter makes no difference. Probes: ``train`` and ``test``.
    """

    name: Literal["sparse-regression"] = "sparse-regression"
    cites: ClassVar[tuple[str, ...]] = ("lyu2024",)
    dimension: int = Field(default=50, ge=1)
    examples: int = Field(default=30, ge=1, description="trained on")
    test_examples: int = Field(default=1000, ge=1)
    relevant: int = Field(default=2, ge=1, description="how many coordinates the target depends on")

    @model_validator(mode="after")
    def _relevant_are_there(self) -> SparseRegression:
        if self.relevant > self.dimension:
            raise ValueError(
                f"relevant = {self.relevant} of {self.dimension} coordinates: give a number that is not larger"
            )
        return self

    def build(self, seeds: Seeds) -> Task:
        """Return the task; the split stream decides the signs and the inputs."""
        import torch

        from grokscope.batch import Batch
        from grokscope.tasks.base import Task

        signs = 2.0 * torch.randint(2, (self.relevant,), generator=generator(seeds.split, "signs")).double() - 1

        def batch(name: str, examples: int) -> Batch:
            drawing = generator(seeds.split, name)
            inputs = torch.randn(examples, self.dimension, generator=drawing, dtype=torch.float64)
            return Batch(inputs, (inputs[:, : self.relevant] @ signs)[:, None])

        train = batch("train", self.examples)
        facts = Facts(
            outputs=1,
            # without a look at the input the best guess is 0
            chance=Chance(loss=float(self.relevant)),
            geometry=InputGeometry(shape=(self.dimension,)),
        )
        probes = {"train": train, "test": batch("test", self.test_examples)}
        return Task(facts=facts, probes=probes, train=train, loss="mean-squared-error")
