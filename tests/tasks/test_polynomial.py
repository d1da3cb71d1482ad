"""Polynomial regression: inputs, targets and what is known of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from grokscope.errors import UsageError
from grokscope.linalg.quadratic_student import Student, tangent_kernel
from grokscope.models.polynomial_settings import PolynomialStudentSettings
from grokscope.rng import generator
from grokscope.spec import Seeds, resolve
from grokscope.tasks.base import Task
from grokscope.tasks.polynomial import PolynomialRegression, polynomial


def task(seed: int = 0, **fields: Any) -> Task:
    return PolynomialRegression(**{"dimension": 6, "examples": 30, "test_examples": 20, **fields}).build(
        Seeds.derive(seed)
    )


def targets(found: Task, probe: str = "train") -> torch.Tensor:
    given = found.probes[probe].targets
    assert given is not None
    return given[:, 0]


@pytest.mark.parametrize("norm", ["fixed", "drawn"])
def test_targets_are_the_square_of_the_hidden_direction(norm: str) -> None:
    found = task(scale=2.0, direction_norm=norm)
    known = found.facts.quadratic
    assert known is not None
    assert known.scale == 2
    assert (np.linalg.norm(known.direction) == pytest.approx(math.sqrt(6))) == (norm == "fixed")
    for name, count in (("train", 30), ("test", 20)):
        inputs = found.probes[name].inputs
        assert inputs.shape == (count, 6)
        torch.testing.assert_close(targets(found, name), 2 * (inputs @ torch.from_numpy(known.direction)).square())


def test_inputs_have_variance_one_over_dimensions_and_chance_is_the_targets_variance() -> None:
    found = task(dimension=4, examples=40_000)
    assert float(found.probes["train"].inputs.var(0).mean()) == pytest.approx(1 / 4, rel=0.02)
    assert found.facts.chance.loss == pytest.approx(0.5)
    assert float(targets(found).var()) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("degree", [2, 3, 4])
def test_hermite_targets_have_mean_zero_and_variance_factorial(degree: int) -> None:
    kind: Any = f"hermite-{degree}"
    points, weights = np.polynomial.hermite_e.hermegauss(20)
    values = polynomial(torch.from_numpy(points), kind).numpy()
    weights = weights / weights.sum()
    assert weights @ values == pytest.approx(0, abs=1e-12)
    assert weights @ values**2 == pytest.approx(math.factorial(degree))
    assert task(target=kind).facts.chance.loss == pytest.approx(0.25 * math.factorial(degree))
    assert task(target=kind).facts.quadratic is None


def test_draws_and_streams_are_independent() -> None:
    assert torch.equal(task().probes["train"].inputs, task().probes["train"].inputs)
    for other in (task(1), task(draw=1)):
        assert not torch.equal(task().probes["train"].inputs, other.probes["train"].inputs)
        assert not np.array_equal(task().facts.quadratic.direction, other.facts.quadratic.direction)  # type: ignore[union-attr]
    one = task(examples=20)
    assert not torch.equal(one.probes["train"].inputs, one.probes["test"].inputs)


def test_eigenvectors_are_those_of_the_student_that_is_trained() -> None:
    fields = {"target": "eigenvector", "student_width": 3, "student_epsilon": 0.5}
    first, last = task(eigenvector=1, **fields), task(eigenvector=50, **fields)
    seeds = Seeds.derive(0)
    module: Any = PolynomialStudentSettings(width=3, epsilon=0.5).build(first.facts, generator(seeds.init, "init"))
    student = module.quadratic_student({**dict(module.named_parameters()), **dict(module.named_buffers())})
    inputs = torch.cat([first.probes["train"].inputs, first.probes["test"].inputs])
    kernel = tangent_kernel(student, inputs, inputs)
    kernel = kernel - kernel.mean()
    values = torch.linalg.eigvalsh(kernel)
    for found, value in ((first, values[-1]), (last, values[0])):
        labels = torch.cat([targets(found), targets(found, "test")])
        assert float(labels.norm()) == pytest.approx(1)
        assert float(labels[labels.abs().argmax()]) > 0
        torch.testing.assert_close(kernel @ labels, value * labels, rtol=0, atol=1e-10)


def test_eigenvectors_of_the_limit() -> None:
    found = task(target="eigenvector", student_width=None, student_epsilon=0.5)
    inputs = torch.cat([found.probes["train"].inputs, found.probes["test"].inputs])
    kernel = tangent_kernel(Student(torch.zeros(6), torch.eye(6), 1, 0.5), inputs, inputs)
    products = inputs @ inputs.T
    torch.testing.assert_close(kernel, products + 0.25 * products.square())
    labels = torch.cat([targets(found), targets(found, "test")])
    centred = kernel - kernel.mean()
    torch.testing.assert_close(centred @ labels, torch.linalg.eigvalsh(centred)[-1] * labels, rtol=0, atol=1e-10)


def test_an_eigenvector_that_is_not_there_is_told() -> None:
    tree = {
        "task": {"name": "polynomial-regression", "examples": 2, "test_examples": 3, "target": "eigenvector"},
        "learner": {"name": "polynomial-reduction"},
    }
    tree["task"]["eigenvector"] = 6  # type: ignore[index]
    with pytest.raises(UsageError, match="eigenvector = 6 of a kernel of 5 inputs is not there"):
        resolve(tree)


def test_a_multi_index_target_is_the_sum_over_its_directions() -> None:
    one, three = task(dimension=4, examples=5), task(dimension=4, examples=5, directions=3)
    assert torch.equal(one.probes["train"].inputs, three.probes["train"].inputs)
    # (1/2) Σ_k (β_k·x)²/√3 is a quadratic form of trace √3 D/2, and E x xᵀ = 1/D
    many = task(dimension=4, examples=60_000, directions=3)
    assert float(targets(many).mean()) == pytest.approx(math.sqrt(3) / 2, rel=0.02)
    assert three.facts.quadratic is None
    assert three.facts.chance.loss is None
    x = many.probes["train"].inputs
    design = torch.stack([x[:, i] * x[:, j] for i in range(4) for j in range(i, 4)], 1)
    fitted = design @ torch.linalg.lstsq(design, targets(many)[:, None]).solution
    torch.testing.assert_close(fitted[:, 0], targets(many), atol=1e-9, rtol=0)


def test_eigenvectors_have_no_directions() -> None:
    tree: dict[str, Any] = {"name": "polynomial-regression", "target": "eigenvector", "directions": 2}
    with pytest.raises(
        UsageError, match="labels that are an eigenvector have no hidden directions: set directions = 1"
    ):
        resolve({"task": tree, "model": {"name": "polynomial-student"}, "learner": {"name": "gradient"}})
