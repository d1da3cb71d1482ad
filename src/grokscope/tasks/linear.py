"""Two classes that a linear function of many coordinates separates (Lyu et al. 2024, Sec. 3.2.2 and 3.2.3)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from grokscope.facts import Chance, Facts, InputGeometry
from grokscope.rng import generator
from grokscope.settings import TaskSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task

    Draw = Callable[..., tuple[Tensor, Tensor]]
    """From a number of examples and the names of the draw to inputs (n, d) and whether y is +1, (n,)."""

CHUNK = 256
"""Examples drawn at a time, each from a generator of its own: the first are the same however many there are."""


class LinearClassification(TaskSettings):
    """What both tasks share: ``examples`` to train on and ``test_examples``, each of ``dimension`` coordinates.

    Targets are classes 0 and 1, for y = -1 and +1. Probes: ``train`` and ``test``.
    """

    cites: ClassVar[tuple[str, ...]] = ("lyu2024",)
    dimension: int = Field(default=100_000, ge=1)
    examples: int = Field(default=256, ge=1, description="trained on")
    test_examples: int = Field(default=10_000, ge=1)

    def _task(self, draw: Draw, bounds: tuple[float, float] | None) -> Task:
        import torch

        from grokscope.batch import Batch
        from grokscope.tasks.base import Task

        def batch(examples: int, *names: str) -> Batch:
            parts = []
            for index, start in enumerate(range(0, examples, CHUNK)):
                inputs, positive = draw(CHUNK, *names, index)
                kept = slice(0, min(CHUNK, examples - start))
                parts.append((inputs[kept], positive[kept].long()))
            return Batch(torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]))

        train = batch(self.examples, "train")
        facts = Facts(
            outputs=2,
            classes=2,
            chance=Chance(accuracy=0.5, loss=math.log(2)),
            geometry=InputGeometry(shape=(self.dimension,), bounds=bounds),
        )
        return Task(facts=facts, probes={"train": train, "test": batch(self.test_examples, "test")}, train=train)


class SparseClassification(LinearClassification):
    """Inputs uniform in {-1, 1}^d; y = sign(Σ s_k x_k) over the first ``relevant`` coordinates, s uniform ±1.

    The coordinates are exchangeable, so that which of them matter makes no difference. ``relevant`` is odd: an even
    number of signs can cancel, and the class would be undecided.
    """

    name: Literal["sparse-classification"] = "sparse-classification"
    relevant: int = Field(default=3, ge=1, description="how many coordinates decide the class, odd")

    @model_validator(mode="after")
    def _decided(self) -> SparseClassification:
        if self.relevant % 2 == 0 or self.relevant > self.dimension:
            raise ValueError(
                f"relevant = {self.relevant} of {self.dimension} coordinates: give an odd number that is not larger"
            )
        return self

    def build(self, seeds: Seeds) -> Task:
        """Return the task; the split stream decides the signs and the inputs."""
        import torch

        signs = 2.0 * torch.randint(2, (self.relevant,), generator=generator(seeds.split, "signs")) - 1

        def draw(count: int, *names: str | int) -> tuple[Tensor, Tensor]:
            coins = torch.randint(
                2, (count, self.dimension), generator=generator(seeds.split, *names), dtype=torch.int8
            )
            inputs = 2 * coins.float() - 1
            return inputs, inputs[:, : self.relevant] @ signs > 0

        return self._task(draw, (-1.0, 1.0))


class MarginGaussian(LinearClassification):
    """Gaussian inputs pushed apart: x = z + (γ/2) y w*, z ~ N(0, I), y = sign(z·w*), w* uniform on the unit sphere.

    Every direction near w* separates them with a margin of about γ/2, so that the classifier of maximal L2 margin
    generalises, and one that looks at few coordinates does not.
    """

    name: Literal["margin-gaussian"] = "margin-gaussian"
    examples: int = Field(default=32, ge=1, description="trained on")
    margin: float = Field(default=25.0, ge=0, description="γ, the distance between the classes along w*")

    def build(self, seeds: Seeds) -> Task:
        """Return the task; the split stream decides w* and the inputs."""
        import torch

        direction = torch.randn(self.dimension, generator=generator(seeds.split, "direction"))
        direction /= direction.norm()

        def draw(count: int, *names: str | int) -> tuple[Tensor, Tensor]:
            noise = torch.randn(count, self.dimension, generator=generator(seeds.split, *names))
            positive = noise @ direction > 0
            side = torch.where(positive, 0.5, -0.5)
            return noise + self.margin * side[:, None] * direction, positive

        return self._task(draw, None)
