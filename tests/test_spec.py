"""Specs: their identity, how they are changed and read, and the sentences that refuse wrong ones."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grokscope.errors import UsageError
from grokscope.execution.plan import document, experiment_spec, parse_intervention
from grokscope.spec import STREAMS, Spec, override, parse_assignment, parse_value, read_file, resolve

TREE: dict[str, Any] = {
    "task": {"name": "modular-addition", "modulus": 7, "train_fraction": 0.5},
    "model": {"name": "modular-transformer", "width": 8, "heads": 2, "hidden_width": 8},
    "learner": {"name": "gradient", "steps": 20},
    "optimizer": {"name": "adamw", "learning_rate": 0.01},
    "interventions": [{"name": "weight-norm", "norm": 3.0}],
}


def changed(**changes: Any) -> Spec:
    return resolve(override(TREE, {key.replace("__", "."): value for key, value in changes.items()}))


# -- identity -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"paper": "p"},
        {"experiment": "e"},
        {"scale": "cpu"},
        {"learner.steps": 21},
        {"record.observe": {"every": 3}},
        {"record.measures": ["weights"]},
        {"record.checkpoints": {"every": 5}},
        {"record.extra": [{"measures": ["gini"], "cadence": {"every": 2}}]},
        {"stop": {"key": "test/accuracy", "level": 0.99}},
        {"transition": {"fit": ["train/accuracy", 0.9], "generalise": ["test/accuracy", 0.9]}},
        {"roles": {"embedding": "W_E"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_labels_recording_and_steps_are_no_part_of_the_identity(change: dict[str, Any]) -> None:
    assert changed(**change).training_id == changed().training_id


@pytest.mark.parametrize(
    "change",
    [
        {"task.modulus": 11},
        {"task.train_fraction": 0.4},
        {"model.width": 10},
        {"model.initial_scale": 2.0},
        {"model.name": "mlp"},
        {"learner.loss": "mean-squared-error"},
        {"learner.loss_dtype": "float32"},
        {"optimizer.learning_rate": 0.02},
        {"optimizer.weight_decay": 0.5},
        {"optimizer.beta2": 0.98},
        {"optimizer.warmup_steps": 1},
        {"optimizer.name": "adam"},
        {"interventions": []},
        {"interventions": [{"name": "weight-norm", "norm": 4.0}]},
        {"interventions": [{"name": "weight-norm", "norm": 3.0, "start": 1}]},
        {"numerics.dtype": "float64"},
        {"numerics.threads": 2},
        {"numerics.device": "cuda"},
        {"numerics.path": "plain"},
        {"numerics.eval_chunk": 10},
        {"seed.base": 1},
        *({f"seed.{stream}": 5} for stream in STREAMS),
    ],
    ids=lambda change: "-".join(map(str, *zip(*change.items(), strict=True))) if len(change) > 1 else str(change),
)
def test_all_that_trains_is_part_of_the_identity(change: dict[str, Any]) -> None:
    assert changed(**change).training_id != changed().training_id


def test_the_order_in_which_a_tree_is_written_does_not_matter() -> None:
    backwards = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in reversed(TREE.items())
    }
    assert resolve(backwards).training_id == resolve(TREE).training_id


def test_a_default_that_is_written_out_does_not_matter() -> None:
    assert changed(**{"optimizer.beta1": 0.9, "numerics.threads": 1}).training_id == changed().training_id


def test_the_base_seed_is_a_label_of_its_streams() -> None:
    streams = {stream: getattr(resolve(TREE, seed=3).seed, stream) for stream in STREAMS}
    assert resolve({**TREE, "seed": {"base": 8, **streams}}).training_id == resolve(TREE, seed=3).training_id
    assert resolve({**TREE, "seed": 3}) == resolve(TREE, seed=3)


def test_the_version_of_what_trains_is_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = changed()
    before = spec.training_id
    for part in (spec.task, spec.model, spec.learner, spec.optimizer, spec.interventions[0]):
        with monkeypatch.context() as patch:
            patch.setattr(type(part), "version", 99)
            assert changed().training_id != before
    assert changed().training_id == before


def test_the_identity_does_not_depend_on_the_process() -> None:
    code = (
        "import json, sys; from grokscope.spec import resolve; "
        "sys.stdout.write(resolve(json.load(sys.stdin)).training_id)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(TREE), env={"PYTHONHASHSEED": "7"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout == resolve(TREE).training_id


def test_resolving_loads_no_torch() -> None:
    code = (
        f"import sys; from grokscope.spec import resolve; resolve({TREE!r}).training_id; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_member_of_an_ensemble_is_another_training_with_the_same_solo_id() -> None:
    alone = [resolve(TREE, seed=seed) for seed in range(3)]
    group = [spec.with_group(alone) for spec in alone]
    assert len({spec.group for spec in group}) == 1
    for one, member in zip(alone, group, strict=True):
        assert member.training_id != one.training_id
        assert member.solo_id == one.solo_id == one.training_id
    assert alone[0].with_group(alone[:2]).group != group[0].group


# -- there and back -------------------------------------------------------------------------------


def test_a_written_spec_gives_the_same_run() -> None:
    alone = changed(**{"seed.order": 4, "record.extra": [{"measures": ["gini"], "cadence": {"every": 2}}]})
    for spec in (alone, alone.with_group([alone])):
        written = json.loads(json.dumps(document(spec)))
        assert written["schema"] == 1
        assert written["training_id"] == spec.training_id
        read = resolve({key: value for key, value in written.items() if key not in ("schema", "training_id")})
        assert read == spec
        assert read.training_id == spec.training_id


def test_files_in_toml_and_json_give_the_same_spec(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(TREE))
    (tmp_path / "a.toml").write_text(
        """
        "optimizer.learning_rate" = 0.01
        interventions = [{name = "weight-norm", norm = 3.0}]
        [task]
        name = "modular-addition"
        modulus = 7
        train_fraction = 0.5
        [model]
        name = "modular-transformer"
        width = 8
        heads = 2
        hidden_width = 8
        [learner]
        name = "gradient"
        steps = 20
        [optimizer]
        name = "adamw"
        """
    )
    specs = [experiment_spec(str(tmp_path / f"a.{kind}"), seed=2) for kind in ("json", "toml")]
    assert specs[0] == specs[1]
    assert specs[0].experiment == "a"
    assert specs[0].training_id == resolve(TREE, seed=2).training_id


def test_a_stored_spec_file_can_be_run_again(tmp_path: Path) -> None:
    spec = resolve(TREE, seed=6)
    (tmp_path / "spec.json").write_text(json.dumps(document(spec)))
    assert experiment_spec(str(tmp_path / "spec.json")) == spec


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.toml", None, "cannot be read: No such file"),
        ("broken.toml", b"task = [", "does not parse"),
        ("broken.json", b"{", "does not parse"),
        ("list.json", b"[1]", "must hold sections"),
        ("bytes.toml", b"\xff\xfe\x00", "is not text"),
    ],
)
def test_files_that_are_no_specs_are_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_file(tmp_path / name)


# -- overrides ------------------------------------------------------------------------------------


def test_overrides_are_laid_over_a_copy() -> None:
    tree = copy.deepcopy(TREE)
    found = override(tree, {"task.modulus": 11, "record.observe.every": 5, "paper": "p"})
    assert tree == TREE
    assert found["task"] == {"name": "modular-addition", "modulus": 11, "train_fraction": 0.5}
    assert found["record"] == {"observe": {"every": 5}}
    assert found["paper"] == "p"


def test_another_part_takes_none_of_the_settings_of_the_old_one() -> None:
    found = override(TREE, {"optimizer.momentum": 0.9, "optimizer.name": "sgd"})
    assert found["optimizer"] == {"name": "sgd", "momentum": 0.9}
    assert override(TREE, {"optimizer.name": "adamw"})["optimizer"] == TREE["optimizer"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("3", 3), ("true", True), ("null", None), ("[1,2]", [1, 2]), ("adamw", "adamw"), ('"3"', "3")],
)
def test_values_are_json_or_text(text: str, value: Any) -> None:
    assert parse_value(text) == value
    assert parse_assignment(f" task.modulus = {text} ") == ("task.modulus", value)


@pytest.mark.parametrize("text", ["task.modulus", "=3", ""])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not KEY=VALUE"):
        parse_assignment(text)


def test_interventions_in_one_word() -> None:
    assert parse_intervention("gradient-filter") == {"name": "gradient-filter"}
    with pytest.raises(UsageError, match="names no intervention"):
        parse_intervention(":norm=3")


# -- wrong specs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task.modulos": 3}, "^unknown key task.modulos: did you mean task.modulus[?]$"),
        ({"tsak.modulus": 3}, "^unknown key tsak: did you mean task[?]$"),
        ({"optimizer.learning_rat": 1}, "unknown key optimizer.learning_rat: did you mean optimizer.learning_rate"),
        ({"record.observe.evry": 1}, "unknown key record.observe.evry: did you mean record.observe.every"),
        ({"model.zzz": 1}, "unknown key model.zzz: the known ones are model.name, model.layers"),
        ({"task.name": "modular-adition"}, "unknown task 'modular-adition': did you mean 'modular-addition'"),
        ({"model.name": "mpl"}, "unknown model 'mpl': did you mean 'mlp'"),
        ({"learner.name": "gradeint"}, "unknown learner 'gradeint': did you mean 'gradient'"),
        ({"interventions": [{"name": "weight-nrm"}]}, "unknown intervention 'weight-nrm': did you mean 'weight-norm'"),
        ({"interventions": [{"norm": 3}]}, "interventions.0 must say which intervention it is"),
        (
            {"interventions": [{"name": "weight-norm", "norm": -3}]},
            "^interventions.0.norm = -3: it must be greater than 0 or 'initial'.$",
        ),
        (
            {"interventions": [{"name": "weight-norm", "norm": "first"}]},
            "^interventions.0.norm = 'first': it must be a valid number, .* or 'initial'.$",
        ),
        ({"record.measures": ["fouriar"]}, "unknown measure 'fouriar': did you mean 'fourier'"),
        ({"task": 3}, "task must say which task it is: set task.name to one of "),
        ({"task": None}, "task.* = None"),
        ({"learner.steps": -1}, "learner.steps = -1: it must be greater than or equal to 0"),
        ({"numerics.dtype": "float16"}, "numerics.dtype = 'float16': it must be 'float32' or 'float64'"),
        ({"numerics.threads": 0}, "numerics.threads = 0: it must be greater than or equal to 1"),
        ({"numerics.path": "graph"}, "records an update on a CUDA device: add --device cuda"),
        (
            {"numerics.path": "graph", "numerics.device": "cuda", "interventions": [{"name": "weight-norm"}]},
            "replays an update without the host, which interventions need",
        ),
        ({"numerics.device": "gpu"}, "numerics.device = 'gpu'"),
        ({"model.name": "mlp", "numerics.path": "fast"}, "numerics.path = 'fast': the model mlp offers plain"),
        ({"seed.base": "one"}, "seed.base = 'one': it must be a valid integer"),
        ({"record.observe": {"first": False, "last": False}}, "record.observe.* must name at least one step"),
        ({"stop": {"level": 1}}, "stop.key is missing: set it, for example with --set stop.key=VALUE"),
        ({"optimizer.learning_rate": float("inf")}, "optimizer.learning_rate = inf"),
    ],
    ids=str,
)
def test_wrong_specs_are_refused_in_one_sentence(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        changed(**change)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match=r"^learner is missing: set it"):
        resolve({key: value for key, value in TREE.items() if key != "learner"})


def test_the_path_is_resolved_before_anything_is_trained() -> None:
    assert changed().numerics.path == "fast"
    assert changed(**{"model.name": "mlp"}).numerics.path == "plain"
