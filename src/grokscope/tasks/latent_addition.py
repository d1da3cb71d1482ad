"""Addition of symbols that stand as points of a plane, on a line or scattered (Liu et al. 2023, Fig. 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from grokscope.facts import Chance, Facts, InputGeometry
from grokscope.rng import generator
from grokscope.settings import TaskSettings

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task


class LatentAddition(TaskSettings):
    """Inputs are E_i + E_j for unordered pairs i ≤ j of ``symbols``; the target is Y_k with k = (i + j) mod symbols.

    Each symbol has a fixed place in the plane, E = m R + (1 − m) S: R uniform in [−1, 1]², and S evenly spread from −1
    to 1 in its first coordinate, with 0.3 times normal noise in its second. ``messiness`` is m: at 0 sums are told by
    the first coordinate. Each Y_k has ``outputs`` standard normal entries. All draws are of the split stream, the same
    for every m; pairs not trained on are the test data.
    """

    name: Literal["latent-addition"] = "latent-addition"
    cites: ClassVar[tuple[str, ...]] = ("liu2023",)
    symbols: int = Field(default=10, ge=2)
    messiness: float = Field(default=0.0, ge=0, le=1, description="m: 0 the symbols are on a line, 1 anywhere")
    outputs: int = Field(default=30, ge=1)
    train_examples: int = Field(default=45, ge=1, description="of symbols · (symbols + 1) / 2 pairs")

    @model_validator(mode="after")
    def _leaves_some(self) -> LatentAddition:
        pairs = self.symbols * (self.symbols + 1) // 2
        if self.train_examples >= pairs:
            raise ValueError(
                f"train_examples = {self.train_examples} of the {pairs} pairs of {self.symbols} symbols leave none to "
                "test: give fewer"
            )
        return self

    def build(self, seeds: Seeds) -> Task:
        """Return the task; only the split stream is drawn from."""
        import torch

        from grokscope.batch import Batch
        from grokscope.tasks.base import Task

        pairs = torch.triu_indices(self.symbols, self.symbols).T
        order = torch.randperm(len(pairs), generator=generator(seeds.split, "pairs"))
        first, second = pairs[order].unbind(1)
        places = self._places(seeds.split)
        answers = torch.randn(self.symbols, self.outputs, generator=generator(seeds.split, "answers"))
        inputs, targets = places[first] + places[second], answers[(first + second) % self.symbols]
        train = Batch(inputs[: self.train_examples], targets[: self.train_examples])
        test = Batch(inputs[self.train_examples :], targets[self.train_examples :])
        facts = Facts(
            outputs=self.outputs,
            # the best constant is the mean
            chance=Chance(loss=float(targets.double().var(0, correction=0).mean())),
            geometry=InputGeometry(shape=(2,), bounds=(-2.0, 2.0) if self.messiness == 1 else None),
        )
        return Task(facts=facts, probes={"train": train, "test": test}, train=train, loss="mean-squared-error")

    def _places(self, seed: int) -> Tensor:
        """Return E, (symbols, 2)."""
        import torch

        scattered = torch.rand(self.symbols, 2, generator=generator(seed, "scattered")) * 2 - 1
        noise = torch.randn(self.symbols, generator=generator(seed, "line"))
        line = torch.stack([torch.linspace(-1, 1, self.symbols), 0.3 * noise], 1)
        return self.messiness * scattered + (1 - self.messiness) * line
