"""The callback in Lightning's Trainer, under both of its names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import grokscope as gs
from grokscope.callbacks import lightning as ours
from grokscope.errors import UsageError
from grokscope.store import StoredRun
from loops import same

# the trainers' own warnings are not ours to judge
pytestmark = [pytest.mark.adapters, pytest.mark.filterwarnings("ignore")]
HOME = "lightning.pytorch"
WATCHED = {"measures": ["weights", "sparsity"], "cadence": 1}


def data() -> TensorDataset:
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(32, 4, generator=drawn)
    return TensorDataset(x, x[:, :3].argmax(1))


def classifier(library: Any) -> Any:
    """Return a LightningModule as its users write one."""

    class Classifier(library.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.backbone = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2))
            self.head = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.backbone(x))

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
            self.log("loss", loss)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val", nn.functional.cross_entropy(self(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-2)

    return Classifier()


def fit(
    callback: Any = None,
    *,
    home: str = HOME,
    prepare: Callable[[Any], Any] = lambda model: model,
    resume: str | None = None,
    **more: Any,
) -> tuple[dict[str, Any], Any]:
    """Train; return what a callback must not have changed, and the trainer."""
    library = importlib.import_module(home)
    torch.manual_seed(0)
    model = prepare(classifier(library))
    given = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": 2,
        "callbacks": [] if callback is None else [callback],
    }
    trainer = library.Trainer(**{**given, **more})
    trainer.fit(model, DataLoader(data(), batch_size=8, shuffle=True), DataLoader(data(), 16), ckpt_path=resume)
    (optimizer,) = trainer.optimizers
    state = {"model": dict(model.state_dict()), "optimizer": optimizer.state_dict()["state"], "next": torch.rand(1)}
    return state, trainer


def callback(**more: Any) -> Any:
    return ours.GrokscopeCallback(train=data().tensors, **{**WATCHED, **more})


@pytest.mark.parametrize("home", ours.HOMES)
@pytest.mark.parametrize(
    "how",
    [{}, {"precision": "bf16-mixed"}, {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5}],
    ids=["plain", "amp", "accumulation"],
)
def test_the_training_ends_in_the_same_bits(home: str, how: dict[str, Any]) -> None:
    pytest.importorskip(home)
    watching = callback()
    state, trainer = fit(watching, home=home, **how)
    assert same(state, fit(home=home, **how)[0])
    steps = 4 if "accumulate_grad_batches" in how else 8
    assert trainer.global_step == steps
    assert watching.monitor.scalars("train/loss").index.tolist() == list(range(steps + 1))
    assert watching.monitor.scalars("step/learning_rate").iloc[0, 0] == 1e-2
    assert not [event for event in watching.monitor.events if event["kind"] in ("measure_failed", "observation_failed")]
    with torch.no_grad():
        model = trainer.lightning_module.eval()
        loss = nn.functional.cross_entropy(model(data().tensors[0]), data().tensors[1])
    assert watching.monitor.series["train/loss"][1][-1] == pytest.approx(loss.item(), rel=1e-6)


def test_the_class_is_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    monkeypatch.delitem(vars(ours), "GrokscopeCallback", raising=False)
    assert issubclass(ours.GrokscopeCallback, lightning.Callback)
    assert ours.GrokscopeCallback is ours.GrokscopeCallback


def test_a_submodule_and_a_compiled_one() -> None:
    pytest.importorskip(HOME)

    def compiled(model: Any) -> Any:
        model.backbone = torch.compile(model.backbone, backend="eager")
        return model

    watching = ours.GrokscopeCallback(module="backbone", train=data().tensors[0], phase=False, **WATCHED)
    fit(watching, max_steps=2, prepare=compiled)
    assert {key.partition("@")[2] for key in watching.monitor.series if "@" in key} >= {"0.weight"}
    with pytest.raises(UsageError, match=r"unknown module 'backbones': did you mean 'backbone'"):
        fit(ours.GrokscopeCallback(module="backbones", **WATCHED))


def test_a_resumed_training_goes_on_with_its_run(tmp_path: Path) -> None:
    pytest.importorskip(HOME)
    out = tmp_path / "runs" / "mine"
    _, trainer = fit(callback(out=out), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "half.ckpt", weights_only=False)
    watching = callback(out=out)
    state, _ = fit(watching, resume=str(tmp_path / "half.ckpt"))
    assert same(state["model"], fit(resume=str(tmp_path / "half.ckpt"))[0]["model"])
    assert watching.monitor.directory == out
    run = StoredRun(out)
    assert run.status == "finished"
    assert run.series("train/loss")[0].tolist() == list(range(9))


def test_a_second_fit_goes_on_too(tmp_path: Path) -> None:
    pytest.importorskip(HOME)
    watching = callback(out=tmp_path / "mine")
    _, trainer = fit(watching, max_epochs=1)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(trainer.lightning_module, DataLoader(data(), batch_size=8))
    assert StoredRun(tmp_path / "mine").series("train/loss")[0].tolist() == list(range(9))


@pytest.mark.parametrize(
    ("error", "status"), [(ZeroDivisionError, "failed"), (KeyboardInterrupt, "interrupted")], ids=["error", "interrupt"]
)
def test_how_a_training_ended_is_kept(error: type[BaseException], status: str, tmp_path: Path) -> None:
    lightning = pytest.importorskip(HOME)

    class Ending(lightning.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            raise error("diverged")

    with pytest.raises((error, SystemExit)):
        fit(callbacks=[callback(out=tmp_path / "mine"), Ending()])
    run = StoredRun(tmp_path / "mine")
    assert run.status == status
    assert run.series("train/loss")[0].tolist() == [0, 1]


def test_values_are_those_of_a_plain_monitor() -> None:
    pytest.importorskip(HOME)
    watching = callback()
    _, trainer = fit(watching, max_steps=3)
    monitor = gs.Monitor(trainer.lightning_module, train=data().tensors, **WATCHED)
    monitor(3)
    for key in monitor.series.keys() - {"weights/distance", "step/learning_rate"}:  # that from the beginning
        values = monitor.series[key][1]
        assert watching.monitor.series[key][1][-1] == pytest.approx(values[-1], nan_ok=True), key
