"""Our optimizers against torch's, and against themselves with one number a member."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.learners.optim.base import Schedule
from grokscope.learners.optim.sgd import SGD
from grokscope.learners.settings import AdamSettings, AdamWSettings, SGDSettings
from grokscope.rng import generator

STEPS = 25
SHAPES = {"matrix": (4, 3), "vector": (5,), "number": ()}

CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "sgd": (SGDSettings(learning_rate=0.1), torch.optim.SGD, {"lr": 0.1}),
    "sgd, coupled decay": (
        SGDSettings(learning_rate=0.1, weight_decay=0.2),
        torch.optim.SGD,
        {"lr": 0.1, "weight_decay": 0.2},
    ),
    "momentum": (SGDSettings(learning_rate=0.05, momentum=0.9), torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "nesterov, decay": (
        SGDSettings(learning_rate=0.05, momentum=0.8, nesterov=True, weight_decay=0.1),
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
    ),
    "adam": (AdamSettings(learning_rate=0.01), torch.optim.Adam, {"lr": 0.01}),
    "adam, coupled decay": (
        AdamSettings(learning_rate=0.01, weight_decay=0.3, epsilon=1e-3),
        torch.optim.Adam,
        {"lr": 0.01, "weight_decay": 0.3, "eps": 1e-3},
    ),
    "adamw": (
        AdamWSettings(learning_rate=0.01, weight_decay=1.0, beta1=0.8, beta2=0.98),
        torch.optim.AdamW,
        {"lr": 0.01, "weight_decay": 1.0, "betas": (0.8, 0.98)},
    ),
    "adamw, its default decay": (AdamWSettings(learning_rate=0.01), torch.optim.AdamW, {"lr": 0.01}),
}


def draw(kind: str, step: int = 0) -> dict[str, Tensor]:
    return {
        name: torch.randn(shape, generator=generator(3, kind, name, step), dtype=torch.float64)
        for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_equals_torch(case: str) -> None:
    settings, kind, given = CASES[case]
    ours = draw("start")
    theirs = {name: tensor.clone().requires_grad_() for name, tensor in ours.items()}
    optimizer, reference = settings.build(), kind(list(theirs.values()), **given)
    state = optimizer.init(ours)
    for step in range(STEPS):
        gradients = draw("gradient", step)
        optimizer.update(ours, gradients, state, step)
        for name, tensor in theirs.items():
            tensor.grad = gradients[name].clone()
        reference.step()
        for name, tensor in ours.items():
            torch.testing.assert_close(tensor, theirs[name].detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("settings", [SGDSettings(), AdamSettings(), AdamWSettings(weight_decay=1.0)])
def test_first_update_of_a_warm_up_has_rate_zero(settings: Any) -> None:
    parameters = draw("start")
    before = {name: tensor.clone() for name, tensor in parameters.items()}
    optimizer = settings.model_copy(update={"warmup_steps": 4}).build()
    state = optimizer.init(parameters)
    optimizer.update(parameters, draw("gradient"), state, 0)
    assert all(torch.equal(parameters[name], before[name]) for name in before)
    optimizer.update(parameters, draw("gradient"), state, 1)
    assert not any(torch.equal(parameters[name], before[name]) for name in before)


def test_warm_up_is_linear_then_constant() -> None:
    schedule = Schedule(0.8, warmup_steps=4)
    assert [schedule.at(step) for step in range(7)] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert Schedule(0.8).at(0) == 0.8


def test_warm_up_equals_torch_with_a_schedule() -> None:
    ours = draw("start")
    theirs = {name: tensor.clone().requires_grad_() for name, tensor in ours.items()}
    optimizer = AdamWSettings(learning_rate=0.01, weight_decay=1.0, warmup_steps=10).build()
    reference = torch.optim.AdamW(list(theirs.values()), lr=0.01, weight_decay=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(reference, lambda step: min(step / 10, 1))
    state = optimizer.init(ours)
    for step in range(STEPS):
        gradients = draw("gradient", step)
        optimizer.update(ours, gradients, state, step)
        for name, tensor in theirs.items():
            tensor.grad = gradients[name].clone()
        reference.step()
        scheduler.step()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name].detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "settings",
    [
        SGDSettings(momentum=0.9, warmup_steps=3),
        SGDSettings(momentum=0.9, nesterov=True),
        AdamSettings(warmup_steps=3),
        AdamWSettings(),
    ],
    ids=["momentum", "nesterov", "adam", "adamw"],
)
def test_one_rate_and_decay_a_member_equal_separate_numbers(settings: Any) -> None:
    rates, decays = [0.1, 0.001, 0.03], [0.0, 0.5, 2.0]
    members = [
        settings.model_copy(update={"learning_rate": rate, "weight_decay": decay}).build()
        for rate, decay in zip(rates, decays, strict=True)
    ]
    together = settings.build(
        learning_rate=torch.tensor(rates, dtype=torch.float64), weight_decay=torch.tensor(decays, dtype=torch.float64)
    )
    apart = [draw(f"start {index}") for index in range(3)]
    stacked = {name: torch.stack([one[name] for one in apart]) for name in SHAPES}
    states = [optimizer.init(one) for optimizer, one in zip(members, apart, strict=True)]
    state = together.init(stacked)
    for step in range(STEPS):
        gradients = [draw(f"gradient {index}", step) for index in range(3)]
        together.update(stacked, {n: torch.stack([g[n] for g in gradients]) for n in SHAPES}, state, step)
        for index, optimizer in enumerate(members):
            optimizer.update(apart[index], gradients[index], states[index], step)
    for index, one in enumerate(apart):
        for name, tensor in one.items():
            torch.testing.assert_close(stacked[name][index], tensor, rtol=1e-12, atol=1e-13)


def test_momentum_starts_as_torch_does() -> None:
    parameters = {"w": torch.tensor([1.0], dtype=torch.float64)}
    optimizer = SGD(Schedule(0.5), momentum=0.9)
    state = optimizer.init(parameters)
    for step, value in enumerate([0.5, -0.45]):  # velocities 1 and 1.9 for gradients of 1
        optimizer.update(parameters, {"w": torch.ones(1, dtype=torch.float64)}, state, step)
        assert float(parameters["w"]) == pytest.approx(value)
    assert SGD(Schedule(0.5)).init(parameters) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer.learning_rate": 0}, "optimizer.learning_rate = 0: it must be greater than 0"),
        ({"optimizer.weight_decay": -1}, "optimizer.weight_decay = -1: it must be greater than or equal to 0"),
        ({"optimizer.momentum": 0.9}, "unknown key optimizer.momentum"),
        ({"optimizer.name": "adamv"}, "unknown optimizer 'adamv': did you mean 'adam"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    import toys

    with pytest.raises(UsageError, match=message):
        toys.specs("gradient", changes)


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_pass_over_memory_takes_the_same_steps(name: str, dtype: torch.dtype) -> None:
    settings: Any = {"adam": AdamSettings, "adamw": AdamWSettings}[name](warmup_steps=3)
    rates, decays = torch.tensor([1e-2, 1e-2, 3e-2]).double(), torch.tensor([0.1, 0.1, 0.0]).double()
    for each in ({}, {"learning_rate": rates, "weight_decay": decays}, {"weight_decay": decays}):
        plain, fused = settings.build(**each), settings.build(**each, fused=True)
        draw = generator(0, "draws")
        start = {"a": torch.randn(3, 4, 2, generator=draw).to(dtype), "b": torch.randn(3, 5, generator=draw).to(dtype)}
        both = [{key: value.clone() for key, value in start.items()} for _ in range(2)]
        states = [optimizer.init(own) for optimizer, own in zip((plain, fused), both, strict=True)]
        for step in range(12):
            gradients = {key: torch.randn(one.shape, generator=draw).to(dtype) for key, one in start.items()}
            for optimizer, own, state in zip((plain, fused), both, states, strict=True):
                optimizer.update(own, {key: one.clone() for key, one in gradients.items()}, state, step)
        for key in start:
            torch.testing.assert_close(both[0][key], both[1][key])
            assert not torch.equal(both[0][key], start[key])


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("size", [1e-18, 1e-20, 1e-25])
def test_squares_too_small_for_float32_do_not_matter_beside_epsilon(size: float, fused: bool) -> None:
    moved = {}
    for dtype in (torch.float32, torch.float64):
        optimizer = AdamWSettings(learning_rate=1.0, weight_decay=0.0).build(fused=fused)
        draw = generator(0, "small gradients")
        parameters = {"a": torch.zeros(6, dtype=dtype)}
        state = optimizer.init(parameters)
        for step in range(20):
            gradient = {"a": size * torch.randn(6, generator=draw, dtype=torch.float64).to(dtype)}
            optimizer.update(parameters, gradient, state, step)
        moved[dtype] = parameters["a"].double()
    # the step is m / (√v + 1e-8): a v that float32 holds as 0 is below 1e-19 under the root
    torch.testing.assert_close(moved[torch.float32], moved[torch.float64], rtol=1e-5, atol=0)
