"""Against foolbox: where FGSM and PGD end, and what is still right there. Same start, same steps, same range."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from grokscope.linalg.attacks import attack, random_start
from grokscope.measures.base import named
from grokscope.snapshot import Snapshot

pytestmark = pytest.mark.referee
foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed: make referee installs it")

EPSILON, STEP, STEPS = 0.1, 0.03, 8
ATTACKS = {
    "linf": (foolbox.attacks.LinfFastGradientAttack, foolbox.attacks.LinfProjectedGradientDescentAttack),
    "l2": (foolbox.attacks.L2FastGradientAttack, foolbox.attacks.L2ProjectedGradientDescentAttack),
}


@pytest.fixture(scope="module")
def fitted() -> zoo.Animal:
    """Return a network that knows a little of its data, in float64, and whose answers an attack can change."""
    animal = zoo.animal("cnn", train=96, test=64)
    model, (inputs, targets) = animal.model.double(), animal.train
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        zoo.loss_of(model(inputs.double()), targets).backward()
        optimizer.step()
    return zoo.Animal(model.eval(), animal.train, animal.test)


def attacked(model: nn.Module, points: Tensor, targets: Tensor, how: Any, epsilon: float) -> Tensor:
    """Return where a foolbox attack ends, in [0, 1]."""
    watched = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, ends, _ = how(watched, points, targets, epsilons=epsilon)
    return ends


def right(model: nn.Module, points: Tensor, targets: Tensor) -> float:
    """Return the share of points that are told right."""
    return float((model(points).argmax(1) == targets).double().mean())


@pytest.mark.parametrize("norm", ATTACKS)
def test_points(fitted: zoo.Animal, norm: Any) -> None:
    inputs, targets = fitted.test
    points, options = inputs.double(), {"norm": norm, "low": 0.0, "high": 1.0}
    epsilon = EPSILON if norm == "linf" else 10 * EPSILON
    fast, projected = ATTACKS[norm]
    one = attack(fitted.model, points, targets, epsilon=epsilon, step=epsilon, steps=1, **options)
    torch.testing.assert_close(one.points, attacked(fitted.model, points, targets, fast(), epsilon))

    start = random_start(points, epsilon, norm=norm, generator=torch.Generator().manual_seed(0))
    step = STEP if norm == "linf" else 10 * STEP
    how = projected(abs_stepsize=step, steps=STEPS, random_start=True)
    how.get_random_start = lambda x0, _: x0 + start
    many = attack(fitted.model, points, targets, epsilon=epsilon, step=step, steps=STEPS, start=start, **options)
    torch.testing.assert_close(many.points, attacked(fitted.model, points, targets, how, epsilon))


@pytest.mark.parametrize("epsilon", [0.01, 0.03])
def test_the_measure(fitted: zoo.Animal, epsilon: float) -> None:
    inputs, targets = fitted.test
    points, step = inputs.double(), epsilon / 3
    measure = named(f"robustness:random=false,epsilon={epsilon},step={step},steps={STEPS},low=0.0,high=1.0")
    found = measure.compute(Snapshot.of(fitted.model, train=fitted.train, test=(points, targets)))  # type: ignore[misc]
    fast, projected = ATTACKS["linf"]
    for key, how in {"fgsm": fast(), "pgd": projected(abs_stepsize=step, steps=STEPS, random_start=False)}.items():
        accuracy = right(fitted.model, attacked(fitted.model, points, targets, how, epsilon), targets)
        assert 0 < accuracy < found["clean"]
        assert found[key] == accuracy


def test_a_saturated_network_is_not_robust(fitted: zoo.Animal) -> None:
    """Its cross-entropy is rounded to 0 in float32, and the point stays; ours is written so that it has a gradient."""
    sharp = copy.deepcopy(fitted.model).float()
    with torch.no_grad():
        sharp.fc.weight *= 1e3
        sharp.fc.bias *= 1e3
    points, targets = fitted.train
    able = sharp(points).argmax(1) == targets
    points, targets = points[able], targets[able]
    how = ATTACKS["linf"][1](abs_stepsize=STEP, steps=STEPS, random_start=False)
    assert right(sharp, attacked(sharp, points, targets, how, EPSILON), targets) > 0.5
    ours = attack(sharp, points, targets, epsilon=EPSILON, step=STEP, steps=STEPS, low=0.0, high=1.0)
    assert right(sharp, ours.points, targets) < 0.1
