"""Regression on a polynomial of one hidden direction, or the sum of some, of Gaussian inputs (Kumar et al. 2024)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from grokscope.facts import Chance, Facts, InputGeometry, QuadraticTarget
from grokscope.rng import generator
from grokscope.settings import TaskSettings

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task

Target = Literal["square", "hermite-2", "hermite-3", "hermite-4", "eigenvector"]


class PolynomialRegression(TaskSettings):
    """Inputs are x ~ N(0, 1/D) in D dimensions; the target is ``scale`` · (β·x)² for a hidden β.

    β has norm √D (``direction_norm = fixed``) or entries drawn from N(0, 1). Instead of the square it may be a
    Hermite polynomial He_k(β·x), of variance k!, or an ``eigenvector``: the labels are then the entries of one unit
    eigenvector (the ``eigenvector``-th, from the largest eigenvalue on) of the tangent kernel of a polynomial student
    at its start, on train and test inputs together, less the kernel's mean. That student is the one a run trains where
    ``student_width`` and ``student_epsilon`` are those of the model: it is drawn from the same stream; of a width of
    null, the limit. With several ``directions`` β_k (a multi-index target) it is the sum of the polynomials of them
    all, over their number's root. Inputs, test inputs and β are independent draws; ``draw`` numbers independent data of
    one seed.
    """

    name: Literal["polynomial-regression"] = "polynomial-regression"
    cites: ClassVar[tuple[str, ...]] = ("kumar2024",)
    dimension: int = Field(default=100, ge=1, description="D, of the inputs")
    examples: int = Field(default=550, ge=1, description="trained on")
    test_examples: int = Field(default=1000, ge=1)
    target: Target = "square"
    scale: float = Field(default=0.5, gt=0, description="factor of the polynomial; eigenvectors have none")
    direction_norm: Literal["fixed", "drawn"] = "fixed"
    directions: int = Field(default=1, ge=1, description="how many hidden directions the target depends on")
    draw: int = Field(default=0, ge=0, description="which of independent data sets of one seed")
    eigenvector: int = Field(default=1, ge=1, description="which eigenvector the labels are, from 1")
    student_width: int | None = Field(default=2, ge=1, description="of the student whose kernel has the eigenvectors")
    student_epsilon: float = Field(default=0.25, ge=0)

    @model_validator(mode="after")
    def _eigenvector_is_there(self) -> PolynomialRegression:
        size = self.examples + self.test_examples
        if self.target == "eigenvector" and self.eigenvector > size:
            raise ValueError(
                f"eigenvector = {self.eigenvector} of a kernel of {size} inputs is not there: choose one up to {size}"
            )
        if self.target == "eigenvector" and self.directions > 1:
            raise ValueError("labels that are an eigenvector have no hidden directions: set directions = 1")
        return self

    def build(self, seeds: Seeds) -> Task:
        """Return the task; the split stream is drawn from, and for eigenvectors a copy of what the model draws."""
        import torch

        from grokscope.batch import Batch
        from grokscope.tasks.base import Task

        def normal(name: str, *shape: int) -> Tensor:
            drawing = generator(seeds.split, name, self.draw)
            return torch.randn(*shape, generator=drawing, dtype=torch.float64)

        scale = math.sqrt(self.dimension)
        train = normal("train inputs", self.examples, self.dimension) / scale
        test = normal("test inputs", self.test_examples, self.dimension) / scale
        names = ["direction", *(f"direction {number}" for number in range(2, self.directions + 1))]
        directions = torch.stack([normal(name, self.dimension) for name in names])
        if self.direction_norm == "fixed":
            directions *= scale / directions.norm(dim=1, keepdim=True)
        inputs = torch.cat([train, test])
        if self.target == "eigenvector":
            labels = self._eigenvector(inputs, seeds)
        else:
            each = polynomial(inputs @ directions.T, self.target)
            labels = self.scale * each.sum(1) / math.sqrt(self.directions)
        targets = labels[:, None]
        probes = {
            "train": Batch(train, targets[: self.examples].clone()),
            "test": Batch(test, targets[self.examples :].clone()),
        }
        single = self.target == "square" and self.directions == 1
        known = QuadraticTarget(directions[0].numpy(), self.scale) if single else None
        facts = Facts(
            outputs=1,
            chance=Chance(loss=self._variance(float(directions.square().mean()))),
            geometry=InputGeometry(shape=(self.dimension,)),
            quadratic=known,
        )
        return Task(facts=facts, probes=probes, train=probes["train"], loss="mean-squared-error")

    def _eigenvector(self, inputs: Tensor, seeds: Seeds) -> Tensor:
        import torch

        from grokscope.linalg.quadratic_student import Student, initial_weights, student, tangent_kernel

        if self.student_width is None:
            start = Student(torch.zeros(self.dimension), torch.eye(self.dimension), 1.0, self.student_epsilon)
        else:
            weights = initial_weights(generator(seeds.init, "init"), self.student_width, self.dimension)
            start = student(weights, alpha=1.0, epsilon=self.student_epsilon)
        kernel = tangent_kernel(start, inputs, inputs)
        vectors = torch.linalg.eigh(kernel - kernel.mean()).eigenvectors
        chosen = vectors[:, -self.eigenvector]
        # a solver gives either sign, and to the student these are different labels
        return chosen * chosen[chosen.abs().argmax()].sign()

    def _variance(self, power: float) -> float | None:
        """Return what the best constant leaves of a polynomial of β·x ~ N(0, power)."""
        if self.directions > 1:
            return None
        if self.target == "square":
            return 2 * self.scale**2 * power**2
        if self.target == "eigenvector" or self.direction_norm == "drawn":
            return None
        return self.scale**2 * math.factorial(int(self.target[-1]))


def polynomial(values: Tensor, kind: Target) -> Tensor:
    """Return z², or the Hermite polynomial He_k(z) of the probabilists: z² − 1, z³ − 3z, z⁴ − 6z² + 3.

    Example:
        >>> import torch
        >>> polynomial(torch.tensor([2.0]), "hermite-3").item()
        2.0
    """
    square = values.square()
    match kind:
        case "hermite-2":
            return square - 1
        case "hermite-3":
            return values * (square - 3)
        case "hermite-4":
            return square * (square - 6) + 3
        case _:
            return square
