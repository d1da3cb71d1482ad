"""A training with a monitor at every step and one without end in the same bits, and nothing else has changed."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import grokscope as gs
import zoo
from grokscope.monitor.monitor import Monitor
from grokscope.registry import MEASURES
from grokscope.store import StoredRun
from loops import CHEAP, same, train


def watching(**more: Any) -> Callable[[nn.Module, Any], Monitor]:
    return lambda model, animal: gs.Monitor(
        model, train=animal.train, test=animal.test, **{"measures": CHEAP, "cadence": 1, "phase": False, **more}
    )


@pytest.mark.parametrize("name", zoo.ZOO)
def test_training_ends_in_the_same_bits(name: str) -> None:
    monitors = []

    def watch(model: nn.Module, animal: Any) -> Monitor:
        monitors.append(watching()(model, animal))
        return monitors[-1]

    assert same(train(name, watch), train(name))
    (monitor,) = monitors
    assert monitor.scalars().index.tolist() == [0, 1, 2, 3]
    assert {key.partition("/")[0] for key in monitor.series} >= {"train", "weights", "sparsity"}
    assert not [event for event in monitor.events if event["kind"] == "measure_failed"]


def test_under_autocast_and_between_forward_and_backward() -> None:
    assert same(train("mlp", watching(), autocast=True), train("mlp", autocast=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("name", zoo.ZOO)
def test_training_on_a_gpu_ends_in_the_same_bits(name: str, autocast: bool, tmp_path: Path) -> None:
    given: dict[str, Any] = {"device": "cuda", "autocast": autocast}
    with deterministic():
        out = tmp_path / "mine"
        assert same(train(name, watching(out=out, checkpoints=2), **given), train(name, **given))
        gs.measure(out, CHEAP, model=zoo.animal(name, seed=4).model)
        run = StoredRun(out)
        for key in ("weights/sum_of_squares", "train/loss"):
            assert run.rows(key)["value"].tolist()  # back-filled at 0 and 2 beside the live ones
            assert len(set(run.rows(key)["value"][run.rows(key)["step"] == 2].tolist())) == 1


@contextmanager
def deterministic() -> Iterator[None]:
    """Within the context, a training on a GPU can be repeated."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def test_frozen_parameters_stay_frozen() -> None:
    def freeze(model: nn.Module) -> nn.Module:
        for parameter in model[1].parameters():  # type: ignore[index]
            parameter.requires_grad_(False)
        return model

    assert same(train("mlp", watching(), prepare=freeze), train("mlp", prepare=freeze))


def test_a_scaler_is_left_alone() -> None:
    def scaled(watched: bool) -> Any:
        animal = zoo.animal("mlp")
        optimizer = torch.optim.Adam(animal.model.parameters())
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)
        monitor = watching(optimizer=optimizer)(animal.model, animal) if watched else None
        for step in range(3):
            optimizer.zero_grad()
            scaler.scale(zoo.loss_of(animal.model(animal.train[0]), animal.train[1])).backward()
            if monitor is not None:
                monitor(step)
            scaler.step(optimizer)
            scaler.update()
        return animal.model.state_dict(), optimizer.state_dict()["state"], scaler.state_dict()

    assert same(scaled(True), scaled(False))


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_any_mode_around_a_call_is_kept_and_has_no_effect(context: Callable[[], Any]) -> None:
    animal = zoo.animal("cnn")
    measures = ["performance", "input_jacobian"] if "input_jacobian" in MEASURES else ["performance"]
    plain = gs.Monitor(animal.model, train=animal.train, measures=measures, phase=False)
    plain(0)
    with context():
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        around = gs.Monitor(animal.model, train=animal.train, measures=measures, phase=False)
        around(0)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == modes
    assert around.scalars().equals(plain.scalars())


def test_threads_precision_and_default_dtype_are_put_back() -> None:
    animal = zoo.animal("mlp")
    monitor = watching()(animal.model, animal)
    before = torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.get_default_dtype()
    try:
        torch.set_num_threads(before[0] + 1)
        torch.set_float32_matmul_precision("medium")
        torch.set_default_dtype(torch.float64)
        monitor(0)
        after = torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.get_default_dtype()
        assert after == (before[0] + 1, "medium", torch.float64)
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])
        torch.set_default_dtype(before[2])


@pytest.mark.parametrize("training", [True, False])
def test_modes_of_single_modules_are_kept(training: bool) -> None:
    animal = zoo.animal("resnet")
    animal.model.train(training)
    animal.model.layer1[0].bn1.train(not training)  # type: ignore[index, union-attr]
    modes = [module.training for module in animal.model.modules()]
    watching()(animal.model, animal)(0)
    assert [module.training for module in animal.model.modules()] == modes


def test_hooks_of_others_see_no_pass_of_ours() -> None:
    animal = zoo.animal("mlp")
    seen: list[str] = []
    for module in animal.model.modules():
        module.register_forward_hook(lambda *_: seen.append("forward"))
        module.register_forward_pre_hook(lambda *_: seen.append("before"))
    watching()(animal.model, animal)(0)
    assert seen == []
    animal.model(animal.train[0])
    assert seen


class Dropping(nn.Module):
    """Dropout that forgets to ask whether it is training."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(self.layer(x.flatten(1)), 0.5)


def test_a_model_that_draws_as_it_predicts_disturbs_nothing_either() -> None:
    model, data = Dropping(), zoo.animal("mlp").train
    torch.manual_seed(0)
    monitor = gs.Monitor(model, train=data, measures=["performance"], phase=False, cadence=1)
    monitor(0)
    monitor(1)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))
    first, second = monitor.scalars("train/loss")["train/loss"]
    assert first == second  # the same draws at every step


def test_draws_from_python_and_numpy_are_put_back_and_repeat() -> None:
    class Shaking(Dropping):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.flatten(1)) * random.random() * np.random.rand()

    random.seed(0)
    np.random.seed(0)
    aims = random.random(), np.random.rand()
    random.seed(0)
    np.random.seed(0)
    monitor = gs.Monitor(Shaking(), train=zoo.animal("mlp").train, measures=["performance"], phase=False, cadence=1)
    monitor(0)
    monitor(1)
    assert (random.random(), np.random.rand()) == aims
    first, second = monitor.scalars("train/loss")["train/loss"]
    assert first == second


# -- wrapped models --------------------------------------------------------------------------------


def numbers(model: nn.Module, animal: Any) -> Any:
    monitor = watching()(model, animal)
    monitor(0)
    return monitor.scalars()


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")  # type: ignore[return-value]


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


def compiled_part(model: nn.Module) -> nn.Module:
    model[1] = torch.compile(model[1], backend="eager")  # type: ignore[index]
    return model


@pytest.mark.parametrize("wrap", [compiled, compiled_in_place, compiled_part, nn.DataParallel])
def test_a_wrapped_model_is_measured_as_the_model_it_wraps(wrap: Callable[[nn.Module], nn.Module]) -> None:
    plain = zoo.animal("mlp")
    assert numbers(wrap(zoo.animal("mlp").model), plain).equals(numbers(plain.model, plain))
    assert same(train("mlp", watching(), prepare=wrap), train("mlp", prepare=wrap))


def test_half_precision_weights_take_data_as_they_are_given() -> None:
    animal = zoo.animal("mlp")
    monitor = watching()(animal.model.to(torch.bfloat16), animal)
    assert monitor(0)
    assert animal.train[0].dtype == torch.float32
    assert monitor.series["train/loss"][1][0] > 0


# -- memory ----------------------------------------------------------------------------------------


def test_memory_is_given_back_after_each_observation() -> None:
    def live() -> int:
        gc.collect()
        return sum(1 for thing in gc.get_objects() if type(thing) in (torch.Tensor, nn.Parameter))

    animal = zoo.animal("gpt")
    monitor = watching()(animal.model, animal)
    monitor(0)  # what the first moment shares with all later ones is made here
    before = live()
    for step in range(1, 6):
        monitor(step)
    assert live() <= before
    del monitor
    assert live() < before


def test_a_step_that_is_not_due_makes_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    animal = zoo.animal("mlp")
    monitor = watching(cadence=gs.Cadence(steps=(3,), first=False))(animal.model, animal)
    made = []
    monkeypatch.setattr(monitor._subject, "at", lambda *given: made.append(given))
    assert not any(monitor(step) for step in range(3))
    assert made == []
