"""What the callbacks do at a trainer's hooks, called as the trainers call them; with them in tests/adapters."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from grokscope.callbacks import lightning, transformers
from grokscope.errors import UsageError
from grokscope.forward import private_copy
from grokscope.store import StoredRun

WATCHED: dict[str, Any] = {"measures": ["weights"], "phase": False, "cadence": 2, "checkpoints": False}


def test_an_update_is_a_step_of_lightning_and_the_last_is_measured(tmp_path: Path) -> None:
    model = nn.Linear(2, 3)
    trainer = SimpleNamespace(is_global_zero=True, global_step=0, optimizers=[torch.optim.SGD(model.parameters(), 0.5)])
    callback = lightning.Hooks(out=tmp_path / "mine", **WATCHED)
    callback.on_train_start(trainer, model)
    for batch in range(10):
        trainer.global_step += batch % 2  # two batches to an update
        callback.on_train_batch_end(trainer, model, None, None, batch)
    callback.on_train_end(trainer, model)
    assert callback.monitor is not None
    assert callback.monitor.scalars("step/learning_rate").index.tolist() == [0, 2, 4, 5]
    assert StoredRun(tmp_path / "mine").status == "finished"


def test_an_exception_in_lightning_is_how_the_run_ended(tmp_path: Path) -> None:
    model = nn.Linear(2, 3)
    trainer = SimpleNamespace(is_global_zero=True, global_step=0, optimizers=[])
    callback = lightning.Hooks(out=tmp_path / "mine", **WATCHED)
    callback.on_train_start(trainer, model)
    callback.on_exception(trainer, model, ValueError("diverged"))
    run = StoredRun(tmp_path / "mine")
    assert (run.status, run.status_reason) == ("failed", "ValueError: diverged")


def test_an_exception_before_the_training_has_nothing_to_seal() -> None:
    lightning.Hooks(**WATCHED).on_exception(None, None, ValueError("no data"))


def arguments(**state: Any) -> tuple[Any, Any, Any]:
    """What a Trainer of transformers gives to every hook."""
    known = {"is_world_process_zero": True, "global_step": 0, "max_steps": 5}
    return SimpleNamespace(load_best_model_at_end=False), SimpleNamespace(**{**known, **state}), None


def test_a_training_of_transformers_stopped_early_is_measured_at_its_end() -> None:
    model = nn.Linear(2, 3)
    callback = transformers.Hooks(**WATCHED)
    callback.on_train_begin(*arguments(), model=model, optimizer=None)
    for step in (1, 2, 3):
        callback.on_step_end(*arguments(global_step=step))
    callback.on_train_end(*arguments(global_step=3))
    assert callback.monitor is not None
    assert callback.monitor.scalars().index.tolist() == [0, 2, 3]


def test_the_wrapped_optimizer_is_the_one_recorded() -> None:
    model = nn.Linear(2, 3)
    inner = torch.optim.SGD(model.parameters(), lr=0.25)
    callback = transformers.Hooks(**WATCHED)
    callback.on_train_begin(*arguments(), model=model, optimizer=SimpleNamespace(optimizer=inner))
    assert callback.monitor is not None
    assert callback.monitor.series["step/learning_rate"][1].tolist() == [0.25]


def test_a_model_is_asked_by_the_name_of_its_main_input() -> None:
    class Named(nn.Module):
        main_input_name = "pixel_values"

        def forward(self, *, pixel_values: torch.Tensor) -> torch.Tensor:
            return pixel_values + 1

    assert transformers.predict(Named(), torch.zeros(1)).item() == 1
    assert transformers.predict(nn.Identity(), torch.zeros(1)).item() == 0


def test_only_the_first_process_measures() -> None:
    model = nn.Linear(2, 3)
    first = lightning.Hooks(**WATCHED)
    trainer = SimpleNamespace(is_global_zero=False, global_step=0, optimizers=[])
    first.on_train_start(trainer, model)
    first.on_train_batch_end(trainer, model, None, None, 0)
    first.on_train_end(trainer, model)
    other = transformers.Hooks(**WATCHED)
    other.on_train_begin(*arguments(is_world_process_zero=False), model=model)
    other.on_step_end(*arguments(global_step=1))
    other.on_train_end(*arguments(global_step=1))
    assert first.monitor is None
    assert other.monitor is None


def test_wrong_arguments_are_told_before_the_training() -> None:
    with pytest.raises(UsageError, match="unknown argument 'measure': did you mean 'measures'"):
        lightning.Hooks(measure=["weights"])
    with pytest.raises(UsageError, match="unknown argument 'model': did you mean 'module'"):
        transformers.Hooks(model=nn.Linear(2, 3))


def test_a_submodule_that_is_not_there_is_told() -> None:
    model = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(UsageError, match="unknown module 'head': the known ones are 0"):
        transformers.Hooks(module="head", **WATCHED).on_train_begin(*arguments(), model=model)


@pytest.mark.parametrize(("home", "library"), [(lightning, "lightning"), (transformers, "transformers")])
def test_without_the_library_the_extra_is_named(home: Any, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(home), "GrokscopeCallback", raising=False)
    for name in (library, f"{library}.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=f"{library} cannot be imported .*: install it with pip install 'grokscope"):
        _ = home.GrokscopeCallback
    with pytest.raises(AttributeError, match="has no attribute 'Callback'"):
        _ = home.Callback


def test_mixed_precision_of_accelerate_is_not_in_the_copy() -> None:
    model = nn.Linear(2, 3)
    model._original_forward = model.forward  # type: ignore[assignment]
    model.forward = lambda inputs: torch.zeros(1)
    copied = private_copy(model)
    inputs = torch.ones(1, 2)
    assert torch.equal(copied(inputs), inputs @ model.weight.T + model.bias)
    with torch.no_grad():
        copied.weight.zero_()
    assert torch.equal(copied(inputs), model.bias[None])
    assert model(inputs).item() == 0
