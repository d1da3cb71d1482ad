"""Regression on the outputs of a random network, the teacher (Kumar et al. 2024, App.)."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.facts import Chance, Facts, InputGeometry
from grokscope.rng import generator
from grokscope.settings import TaskSettings

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task


class StudentTeacher(TaskSettings):
    """Inputs are N(0, I) of size ``inputs``; targets are the ``outputs`` real outputs of a tanh network.

    Its weights and biases are uniform in ±√(1/fan-in) · teacher_scale. All draws are of the split stream.
    """

    name: Literal["student-teacher"] = "student-teacher"
    cites: ClassVar[tuple[str, ...]] = ("kumar2024",)
    inputs: int = Field(default=5, ge=1)
    outputs: int = Field(default=5, ge=1)
    teacher_widths: tuple[int, ...] = Field(default=(100, 100), min_length=1)
    teacher_scale: float = Field(default=1.0, gt=0)
    train_examples: int = Field(default=100, ge=1)
    test_examples: int = Field(default=100, ge=1)

    def build(self, seeds: Seeds) -> Task:
        """Return the task; only the split stream is drawn from."""
        import torch

        from grokscope.batch import Batch
        from grokscope.tasks.base import Task

        draws = generator(seeds.split, "inputs")
        inputs = torch.randn(self.train_examples + self.test_examples, self.inputs, generator=draws)
        targets = self._teacher(inputs, seeds.split)
        train = Batch(inputs[: self.train_examples], targets[: self.train_examples])
        test = Batch(inputs[self.train_examples :], targets[self.train_examples :])
        facts = Facts(
            outputs=self.outputs,
            # the best constant is the mean
            chance=Chance(loss=float(targets.double().var(0, correction=0).mean())),
            geometry=InputGeometry(shape=(self.inputs,)),
        )
        return Task(facts=facts, probes={"train": train, "test": test}, train=train, loss="mean-squared-error")

    def _teacher(self, inputs: Tensor, seed: int) -> Tensor:
        import torch

        sizes = [self.inputs, *self.teacher_widths, self.outputs]
        values = inputs
        for layer, (before, after) in enumerate(itertools.pairwise(sizes)):
            bound = self.teacher_scale / math.sqrt(before)
            draws = generator(seed, "teacher", layer)
            weight = torch.empty(after, before).uniform_(-bound, bound, generator=draws)
            bias = torch.empty(after).uniform_(-bound, bound, generator=draws)
            values = (values if layer == 0 else values.tanh()) @ weight.T + bias
        return values
