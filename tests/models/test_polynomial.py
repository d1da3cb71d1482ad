"""The polynomial student against hand-computed values and its own averages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from grokscope.errors import UsageError
from grokscope.facts import Facts, InputGeometry, QuadraticTarget
from grokscope.linalg.quadratic_student import population_loss
from grokscope.models.polynomial_settings import PolynomialStudentSettings

DIRECTION = np.array([1.0, -1.0, 2.0])
FACTS = Facts(outputs=1, geometry=InputGeometry(shape=(3,)), quadratic=QuadraticTarget(DIRECTION, 0.5))


def student(facts: Facts = FACTS, **fields: Any) -> Any:
    settings = PolynomialStudentSettings(**{"width": 4, "epsilon": 0.5, **fields})
    return settings.build(facts, torch.Generator().manual_seed(0))


def tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach() for name, tensor in [*module.named_parameters(), *module.named_buffers()]}


def test_by_hand() -> None:
    """One neuron of weight 2: f(x) = 2x + x² for ε = 0.5; a readout of 3 makes three times that."""
    facts = Facts(outputs=1, geometry=InputGeometry(shape=(1,)))
    for readouts, factor in (("fixed", 1.0), ("trained", 3.0)):
        module = student(facts, width=1, readouts=readouts)
        module.hidden.weight.data.fill_(2.0)
        if module.readout is not None:
            module.readout.weight.data.fill_(3.0)
        found = module(torch.tensor([[1.0], [2.0]], dtype=torch.float64))
        assert found.tolist() == [[factor * 3.0], [factor * 8.0]]


@pytest.mark.parametrize("readouts", ["fixed", "trained"])
def test_the_averages_give_the_same_function(readouts: str) -> None:
    module = student(readouts=readouts)
    inputs = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(module.quadratic_student(tensors(module))(inputs), module(inputs)[:, 0])
    assert module.has_fixed_readouts == (readouts == "fixed")


@pytest.mark.parametrize(("kind", "expected"), [("hermite-2", 3.0), ("hermite-3", 2.0), ("hermite-4", -5.0)])
def test_hermite_nonlinearities(kind: str, expected: float) -> None:
    facts = Facts(outputs=1, geometry=InputGeometry(shape=(1,)))
    module = student(facts, width=1, nonlinearity=kind)
    module.hidden.weight.data.fill_(1.0)
    found = module(torch.full((1, 1), 2.0, dtype=torch.float64)).item()  # He_k(2) = 3, 2, −5
    assert found == pytest.approx(2 + 0.25 * expected)
    assert module.quadratic_student(tensors(module)) is None


def test_the_limit_has_the_averages_of_infinite_width() -> None:
    found = student(width=None, initial_scale=2.0)
    averages = found.quadratic_student(tensors(found))
    assert averages.width == 6
    torch.testing.assert_close(averages.mean, torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(averages.second, 4 * torch.eye(3, dtype=torch.float64))


def test_scale_and_aligned_start() -> None:
    plain, larger = student().hidden.weight, student(initial_scale=3.0).hidden.weight
    torch.testing.assert_close(larger, 3 * plain)
    solved = student(aligned=1.0)  # w = ±√(2s/ε) β has no error at all
    target = torch.from_numpy(DIRECTION)
    assert population_loss(solved.quadratic_student(tensors(solved)), target) == pytest.approx(
        {"variance": 0, "misalignment": 0, "linear_power": 0}, abs=1e-24
    )
    mixed = student(aligned=0.25).hidden.weight
    torch.testing.assert_close(mixed, 0.75 * plain + 0.25 * solved.hidden.weight)


def test_what_does_not_go_together_is_told() -> None:
    with pytest.raises(ValueError, match="limit of infinite width is known for drawn weights"):
        PolynomialStudentSettings(width=None, readouts="trained")
    with pytest.raises(ValueError, match="needs a nonlinear part"):
        PolynomialStudentSettings(aligned=0.5, epsilon=0)
    with pytest.raises(UsageError, match="this task has none"):
        student(Facts(outputs=1, geometry=InputGeometry(shape=(3,))), aligned=0.5)
    with pytest.raises(UsageError, match="one output of real inputs"):
        student(Facts(outputs=3))
