"""The callback in the Trainer of transformers, on models made of a configuration: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from grokscope.callbacks import transformers as ours
from grokscope.store import StoredRun
from loops import same

# the trainer's own warnings are not ours to judge
pytestmark = [pytest.mark.adapters, pytest.mark.filterwarnings("ignore")]
TOKENS = (torch.arange(16)[:, None] + torch.arange(9) * (1 + torch.arange(16)[:, None] % 2)) % 11
TRAIN = (TOKENS[:, :-1], TOKENS[:, 1:])
WATCHED = {"measures": ["weights", "sparsity"], "cadence": 1}


def gpt() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=11, n_positions=8, n_embd=16, n_layer=2, n_head=2))


def bert() -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return BertForSequenceClassification(BertConfig(vocab_size=11, num_labels=3, **size))


def train(*callbacks: Any, model: Any = gpt, resume: str | None = None, **more: Any) -> tuple[Any, Any]:
    """Train; return what a callback must not have changed, and the trainer."""
    from transformers import Trainer, TrainingArguments, set_seed

    set_seed(0)
    made = model()
    if model is bert:
        rows = [{"input_ids": row[:-1], "labels": row[0] % 3} for row in TOKENS]
    else:
        rows = [{"input_ids": row[:-1], "labels": row[:-1]} for row in TOKENS]  # it shifts them itself
    given = {"output_dir": "trained", "max_steps": 6, "per_device_train_batch_size": 4, "save_strategy": "no"}
    arguments = TrainingArguments(use_cpu=True, report_to="none", disable_tqdm=True, **{**given, **more})
    trainer = Trainer(model=made, args=arguments, train_dataset=rows, eval_dataset=rows, callbacks=list(callbacks))
    trainer.train(resume_from_checkpoint=resume)
    state = {"model": dict(made.state_dict()), "optimizer": trainer.optimizer.state_dict()["state"]}
    return {**state, "training": made.training, "next": torch.rand(1)}, trainer


def callback(**more: Any) -> Any:
    return ours.GrokscopeCallback(**{"train": TRAIN, **WATCHED, **more})


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")


@pytest.mark.parametrize(
    "how",
    [{}, {"bf16": True}, {"gradient_accumulation_steps": 2, "gradient_checkpointing": True}],
    ids=["plain", "amp", "accumulation"],
)
def test_the_training_ends_in_the_same_bits(how: dict[str, Any]) -> None:
    watching = callback()
    state, _ = train(watching, **how)
    assert same(state, train(**how)[0])
    monitor = watching.monitor
    assert monitor.scalars("train/loss").index.tolist() == list(range(7))
    assert not [event for event in monitor.events if event["kind"] in ("measure_failed", "observation_failed")]
    # what is measured is the model in full precision, whatever it trains in
    plain = gpt()
    plain.load_state_dict(state["model"])
    with torch.no_grad():
        logits = plain.eval()(input_ids=TRAIN[0]).logits
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), TRAIN[1].flatten())
    assert monitor.series["train/loss"][1][-1] == pytest.approx(loss.item(), rel=1e-5)
    assert monitor.series["step/learning_rate"][1][0] > monitor.series["step/learning_rate"][1][-1]


def test_the_class_is_the_librarys() -> None:
    from transformers import TrainerCallback

    assert issubclass(ours.GrokscopeCallback, TrainerCallback)


def test_a_classifier_and_a_submodule() -> None:
    watching = callback(train=(TRAIN[0], TOKENS[:, 0] % 3))
    train(watching, model=bert, max_steps=2)
    assert watching.monitor.scalars("train/accuracy").index.tolist() == [0, 1, 2]
    watching = ours.GrokscopeCallback(module="bert.encoder", phase=False, **WATCHED)
    train(watching, model=bert, max_steps=2)
    assert any("@layer.0." in key for key in watching.monitor.series)


def test_a_resumed_training_goes_on_with_its_run(tmp_path: Path) -> None:
    from transformers import TrainerCallback

    class Stopping(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            control.should_training_stop |= state.global_step == 3
            return control

    out = tmp_path / "runs" / "mine"
    saved = {"save_strategy": "steps", "save_steps": 3}
    train(callback(out=out, cadence=2, checkpoints=False), Stopping(), **saved)
    assert StoredRun(out).series("train/loss")[0].tolist() == [0, 2, 3]
    second = callback(out=out, cadence=2, checkpoints=False)
    state, _ = train(second, resume="trained/checkpoint-3", **saved)
    assert same(state["model"], train()[0]["model"])
    assert second.monitor.directory == out
    run = StoredRun(out)
    assert run.status == "finished"
    assert run.series("train/loss")[0].tolist() == [0, 2, 3, 4, 6]
    train(callback(out=out))  # from the beginning again
    assert StoredRun(tmp_path / "runs" / "mine.2").series("train/loss")[0].tolist() == list(range(7))


def test_the_last_step_is_not_that_of_the_best_model() -> None:
    every = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 2, "save_steps": 2}
    worst = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": True}
    last, best = callback(), callback()
    train(last, **every)
    _, trainer = train(best, **every, **worst)
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-2")
    assert best.monitor.series["train/loss"][1].tolist() == last.monitor.series["train/loss"][1].tolist()
    assert best.monitor.scalars("train/loss").index.tolist() == list(range(7))
