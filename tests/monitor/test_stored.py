"""A monitored run is a run: what is measured live is what its checkpoints give, and every command takes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import grokscope as gs
import zoo
from commands import ask, refused
from grokscope.errors import StoreError, UsageError
from grokscope.facts import Chance, Facts, GroupStructure, InputGeometry
from grokscope.monitor.monitor import Monitor
from grokscope.registry import MEASURES
from grokscope.store import StoredRun, read_lines
from loops import train

LIVE = (
    "performance",
    "weights",
    "norms",
    "htsr",
    "sparsity",
    "sparsity:threshold=0.1",
    "feature_rank:where=activations",
)
WEIGHTS = ("weights", "norms", "htsr")
"""Measures that look at nothing but the parameters."""
LIVE = (*WEIGHTS, "performance", "sparsity", "sparsity:threshold=0.1", "feature_rank:where=activations")


def monitored(name: str, out: Path, measures: Any = LIVE, **more: Any) -> StoredRun:
    """Train one of the zoo for a few steps with a monitor that stores what it measures with, and return the run."""

    def watch(model: nn.Module, animal: Any) -> Monitor:
        given = {"cadence": 1, "checkpoints": 2, "phase": False, "eval_chunk": 8, **more}
        return gs.Monitor(model, train=animal.train, test=animal.test, measures=measures, out=out, **given)

    train(name, watch)
    return StoredRun(out)


@pytest.fixture(scope="module")
def _mlp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    monitored("mlp", out)
    return out


@pytest.fixture
def mlp(_mlp: Path, tmp_path: Path) -> StoredRun:
    """A monitored run of the perceptron, four steps, checkpoints at 0 and 2; the test's own to change."""
    shutil.copytree(_mlp, tmp_path / "runs" / "mine")
    return StoredRun(tmp_path / "runs" / "mine")


def rows(path: Path, steps: tuple[int, ...] = (0, 2)) -> dict[tuple[Any, ...], Any]:
    """The rows of a log at some steps, without those of the loop's own."""
    return {
        (row["step"], row["key"], row["module"], row["version"]): row["value"]
        for row in read_lines(path)
        if row["step"] in steps and not row["key"].startswith("step/")
    }


def filled(run: StoredRun, measures: Any) -> dict[tuple[Any, ...], Any]:
    found: dict[tuple[Any, ...], Any] = {}
    for name in measures:
        found |= rows(run.directory / f"backfill-{name}.jsonl")
    return found


def is_of(row: tuple[Any, ...], measures: Any) -> bool:
    start = row[1].rpartition("/")[0]
    return start in measures or (start in ("train", "test") and "performance" in measures)


# -- live equals post hoc --------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.ZOO)
def test_live_equals_post_hoc(name: str, tmp_path: Path) -> None:
    run = monitored(name, tmp_path / "mine")
    assert run.checkpoints.steps() == [0, 2]
    # another start of the same model: all values are the checkpoints'
    done = gs.measure(run.directory, LIVE, model=lambda: zoo.animal(name, seed=5).model)
    assert {one.measure: one.problems for one in done} == {measure: () for measure in LIVE}
    live = rows(run.directory / "scalars.jsonl")
    assert filled(run, LIVE) == live
    assert len(live) > 50


@pytest.mark.parametrize("name", zoo.ZOO)
def test_weights_are_measured_without_the_models_code(name: str, tmp_path: Path) -> None:
    run = monitored(name, tmp_path / "mine", WEIGHTS)
    gs.measure(run.directory, WEIGHTS)
    assert filled(run, WEIGHTS) == rows(run.directory / "scalars.jsonl")


def test_every_registered_measure_is_the_same_live_and_post_hoc(tmp_path: Path) -> None:
    cheap = [name for name in MEASURES if MEASURES.get(name).cost != "heavy" and name != "troubled"]
    run = monitored("mlp", tmp_path / "mine", cheap, cadence=gs.Cadence(steps=(2,), first=False))
    done = gs.measure(run.directory, cheap, steps=[2], model=zoo.animal("mlp").model)
    live = rows(run.directory / "scalars.jsonl", (2,))
    later = {}
    for one in done:
        if one.readings:
            later |= rows(run.directory / f"backfill-{one.measure}.jsonl", (2,))
    assert later == live
    assert {row[1].partition("/")[0] for row in live} > {"weights", "train"}
    gone = {event["measure"] for event in run.events("measure_does_not_apply")}
    assert gone == {one.measure for one in done if not one.readings}


def test_a_model_that_draws_and_a_forward_of_its_own(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, *, tokens: torch.Tensor) -> tuple[str, torch.Tensor]:
            return "state", nn.functional.dropout(self.layer(tokens), 0.5)

    def forward(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        return model(tokens=inputs)[1]

    data = torch.randn(20, 4), torch.randint(0, 3, (20,))
    monitor = gs.Monitor(Odd(), train=data, forward=forward, measures=["performance"], phase=False, out=tmp_path / "a")
    monitor(0)
    monitor.close()
    assert monitor.run.spec["model"]["draws"]
    with pytest.raises(UsageError, match=r"was monitored with forward=: have the function return \(module, forward\)"):
        gs.measure(tmp_path / "a", ["performance"], model=Odd())
    gs.measure(tmp_path / "a", ["performance"], model=(Odd(), forward))
    assert filled(monitor.run.stored, ["performance"]) == rows(tmp_path / "a" / "scalars.jsonl")


def test_the_dtype_of_the_checkpoints_counts_and_not_that_of_the_code(tmp_path: Path) -> None:
    animal = zoo.animal("mlp")
    out = tmp_path / "half"
    with gs.Monitor(
        animal.model.to(torch.bfloat16), train=animal.train, measures=["performance"], phase=False, out=out
    ) as monitor:
        monitor(0)
    gs.measure(out, ["performance"], model=zoo.animal("mlp").model)
    assert filled(StoredRun(out), ["performance"]) == rows(out / "scalars.jsonl")


def test_facts_come_back(tmp_path: Path) -> None:
    order = 5
    a, b = torch.arange(order).repeat_interleave(order), torch.arange(order).repeat(order)
    pairs, sums = torch.stack([a, b], 1), (a + b) % order
    table = sums.reshape(order, order).numpy()
    facts = Facts(
        outputs=order,
        classes=order,
        chance=Chance(accuracy=0.2),
        group=GroupStructure("cyclic", table),
        geometry=InputGeometry((2,), bounds=(0.0, float("inf"))),
    )
    model = nn.Sequential(nn.Embedding(order, 6), nn.Flatten(), nn.Linear(12, order))
    out = tmp_path / "mine"
    measures = ["gini", "participation", "fourier"]
    given = {"measures": measures, "facts": facts, "phase": False, "roles": {"embedding": "0.weight"}}
    probes = {"all": gs.Batch(pairs, sums)}
    with gs.Monitor(model, train=(pairs, sums), probes=probes, out=out, **given) as monitor:  # type: ignore[arg-type]
        monitor(0)
    live = rows(out / "scalars.jsonl")
    assert any(row[1] == "gini/embedding" for row in live)
    gs.measure(out, ["gini"], model=model)
    assert filled(StoredRun(out), ["gini"]) == {row: value for row, value in live.items() if is_of(row, ["gini"])}


# -- every command ---------------------------------------------------------------------------------

CODE = """
import zoo

def make():
    return zoo.animal("mlp", seed=3).model

def number():
    return 3

def broken():
    raise OSError("no weights")

def another():
    return zoo.animal("cnn").model
"""


def test_the_run_is_shown_listed_exported_and_cited(mlp: StoredRun) -> None:
    where, root = mlp.directory, mlp.directory.parent
    (row,) = ask("runs", "--out", root, "--json").document["rows"]
    assert (row["paper"], row["experiment"], row["status"], row["steps"]) == ("monitor", "mine", "finished", 3)
    shown = ask("show", where, "--json").document
    assert shown["experiment"] == "monitor/mine"
    assert shown["final"]["sparsity:threshold=0.1/mean"] >= 0
    assert (shown["phases"], shown["claims"]) == ({}, [])
    assert "monitor/mine custom seed 0: finished" in ask("show", where).stdout
    assert ask("claims", where).code == 0
    key = "sparsity:threshold=0.1/layer"
    lines = ask("export", where, "--csv", "--keys", key).stdout.splitlines()
    assert lines[0] == "step,key,module,value,version"
    assert len(lines) == 1 + 4 * len(mlp.modules(key))
    wide = ask("export", where, "--json", "--wide", "--keys", f"{key}@{mlp.modules(key)[0]}").document["rows"]
    assert [sorted(one) for one in wide] == [sorted(["step", f"{key}@{mlp.modules(key)[0]}"])] * 4
    cited = ask("cite", where).stdout
    assert "golechha2024" in cited  # of the measure with an option too
    assert ask("verify", where).code == 0
    assert "come out as logged" in ask("verify", where, "--replay").stdout


def test_its_page_has_a_curve_for_each_key_and_module(mlp: StoredRun) -> None:
    assert ask("report", mlp.directory).code == 0
    page = (mlp.directory / "report.html").read_text()
    assert "grokscope run" not in page  # no command of ours makes it again
    assert "torch.nn.modules.container.Sequential" in page
    for key in ("weights/distance", "sparsity:threshold=0.1/layer"):
        assert key in page
    assert '"name":"4.tanh"' in page.replace(" ", "") or '"name":"4"' in page.replace(" ", "")


def test_two_are_compared_by_their_settings(mlp: StoredRun, tmp_path: Path) -> None:
    other = monitored("mlp", tmp_path / "runs" / "other", settings={"learning_rate": 0.01, "path": Path("a")})
    answer = ask("compare", mlp.directory, other.directory, "--json").document
    differing = {row["key"]: row["values"] for row in answer["differences"]}
    assert differing["learner.settings.learning_rate"] == [None, 0.01]
    assert differing["learner.settings.path"] == [None, "a"]
    assert not any(key.startswith(("task.", "model.")) for key in differing)
    assert answer["equal"]["same_training"] is False
    third = monitored("mlp", tmp_path / "runs" / "third")
    assert ask("compare", mlp.directory, third.directory, "--json").document["equal"]["bitwise"] is True


def test_measures_are_taken_on_the_command_line(mlp: StoredRun, tmp_path: Path) -> None:
    code = tmp_path / "mycode.py"
    code.write_text(CODE)
    where = mlp.directory
    answer = ask("measure", where, "--measures", "sparsity:threshold=0.2,mode=absolute,weights", "--json", "--model",
                 f"{code}:make")  # fmt: skip
    assert answer.code == 0, answer.stderr
    name = "sparsity:mode=absolute,threshold=0.2"
    assert [(row["measure"], row["steps"]) for row in answer.document["rows"]] == [(name, [0, 2]), ("weights", [0, 2])]
    assert len(mlp.series(f"{name}/mean")[0]) == 2
    assert f"{name}/mean" in ask("export", where, "--csv").stdout
    checkpoint = where / "checkpoints" / "0000000002.safetensors"
    values = ask("measure", checkpoint, "--measures", "performance", "--json", "--model", f"{code}:make").document
    assert {row["key"]: row["value"] for row in values["rows"]} == {
        key: mlp.series(key)[1][2] for key in ("train/loss", "train/accuracy", "test/loss", "test/accuracy")
    }


def test_without_the_code_measures_that_run_the_model_say_how_to_give_it(mlp: StoredRun) -> None:
    answer = ask("measure", mlp.directory, "--measures", "performance,sparsity,weights")
    assert answer.code == 0
    told = answer.stderr.splitlines()
    assert len(told) == 2
    assert all(line.endswith("Without --model FILE.py:function only the weights of a monitored run can be measured.")
               for line in told)  # fmt: skip
    assert ask("measure", mlp.directory, "--measures", "gini").stderr.splitlines() == [
        "gini needs a task whose targets are sums modulo p; this task is not known to be one."
    ]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("{code}", "names no model: write FILE.py:function or package.module:function"),
        ("{code}:making", "has no making: write FILE.py:function with the function that makes the model"),
        ("{code}x.py:make", "there is no "),
        ("{code}:number", "the model's code gave a int: have it return a torch.nn.Module, or (module, forward)"),
        ("{code}:broken", "the function that makes the model failed: OSError: no weights"),
        ("{code}:another", "this is not the model that was monitored: the run has the parameter '1.bias'"),
        ("{bad}:make", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("nowhere.at.all:make", "'nowhere.at.all:make' cannot be loaded: No module named 'nowhere'"),
    ],
)
def test_code_that_cannot_be_used_is_told_in_one_sentence(
    model: str, sentence: str, mlp: StoredRun, tmp_path: Path
) -> None:
    (tmp_path / "mycode2.py").write_text(CODE)
    (tmp_path / "badcode.py").write_text("1 / 0\n")
    text = model.format(code=tmp_path / "mycode2.py", bad=tmp_path / "badcode.py")
    assert sentence in refused(2, "measure", mlp.directory, "--measures", "sparsity", "--model", text)


def test_a_model_of_other_shapes_is_told(mlp: StoredRun) -> None:
    wider = nn.Sequential(nn.Flatten(), nn.Linear(16, 25), nn.ReLU(), nn.Linear(25, 24), nn.Tanh(), nn.Linear(24, 3))
    with pytest.raises(UsageError, match=r"its parameter '1.weight' has the shape \(25, 16\), and \(24, 16\) in the"):
        gs.measure(mlp.directory, ["sparsity"], model=wider)


def test_it_is_neither_trained_nor_forked(mlp: StoredRun, tmp_path: Path) -> None:
    where = mlp.directory
    wanted = "this run was recorded by gs.Monitor in a training loop of somebody else's"
    assert refused(2, "run", where / "spec.json", "--out", tmp_path / "new").startswith(wanted)
    assert not (tmp_path / "new").exists()
    assert refused(2, "fork", where, "--at", "2", "--intervene", "dropout:probability=0.1").startswith(wanted)
    with (where / "events.jsonl").open("a") as file:
        file.write('{"kind":"status","reason":null,"status":"interrupted","time":1.0}\n')
    events = (where / "events.jsonl").read_bytes()
    assert refused(2, "resume", where).startswith(wanted)
    assert (where / "events.jsonl").read_bytes() == events


def test_data_that_were_changed_are_told(mlp: StoredRun) -> None:
    path = mlp.directory / "inputs" / "probes.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(StoreError, match=r"is not what was stored \(its SHA-256 differs\)"):
        gs.measure(mlp.directory, ["weights"])
    assert ask("verify", mlp.directory).code == 1


# -- what is stored --------------------------------------------------------------------------------


def test_without_checkpoints_nothing_is_kept_for_later(tmp_path: Path) -> None:
    run = monitored("mlp", tmp_path / "mine", ["weights"], checkpoints=False)
    assert not (run.directory / "inputs").exists()
    assert "have gs.Monitor store some, with checkpoints=" in refused(
        1, "measure", run.directory, "--measures", "weights"
    )


def test_checkpoints_are_log_spaced_by_default_and_measured(tmp_path: Path) -> None:
    monitor = gs.Monitor(nn.Linear(2, 3), measures=["weights"], phase=False, out=tmp_path / "mine")
    for step in range(40):
        monitor(step)
    monitor.close()
    run = StoredRun(tmp_path / "mine")
    assert run.checkpoints.steps() == [0, 1, 2, 3, 6, 10, 18, 32]
    assert set(run.checkpoints.steps()) <= set(run.series("weights/distance")[0].tolist())


def test_storage_is_bounded_and_told(tmp_path: Path) -> None:
    def observed(out: str, **more: Any) -> StoredRun:
        given = {"measures": ["weights"], "phase": False, "cadence": 1, "checkpoints": 1, **more}
        with gs.Monitor(nn.Linear(10, 10), train=torch.zeros(4, 10), out=tmp_path / out, **given) as monitor:
            for step in range(3):
                monitor(step)
        return StoredRun(tmp_path / out)

    data = sum(path.stat().st_size for path in (observed("all").directory / "inputs").iterdir())
    with pytest.warns(UserWarning, match="not stored from step 1 on: another 440 bytes would exceed the"):
        run = observed("some", storage=data + 500)
    assert run.checkpoints.steps() == [0]
    assert len(run.events("storage_full")) == 1
    assert run.last_step == 2
    with pytest.warns(UserWarning, match=r"not stored (in .*few: with|from step 0 on)") as told:
        observed("few", storage=500)
    assert str(told[0].message).startswith("the data are not stored in ")
    assert "they take 600 bytes, and storage= allows 500" in str(told[0].message)
    assert not (tmp_path / "few" / "inputs" / "probes.safetensors").exists()


def test_the_spec_says_what_is_known_of_the_training(mlp: StoredRun) -> None:
    spec = mlp.spec
    assert spec["task"]["probes"]["train"]["given"] == 24
    assert spec["task"]["probes"]["train"]["inputs"]["shape"] == [24, 4, 4]
    assert spec["task"]["probes"]["train"]["targets"]["dtype"] == "int64"
    assert spec["model"]["parameters"] == 1083
    assert spec["record"]["measures"] == list(LIVE)
    assert spec["roles"] == {"readout": "5.weight"}
    json.dumps(spec)


# -- where it is stored ----------------------------------------------------------------------------


def linear(out: Path, **more: Any) -> gs.Monitor:
    torch.manual_seed(0)
    given = {"measures": ["weights"], "phase": False, "cadence": 1, "checkpoints": 1, **more}
    return gs.Monitor(nn.Linear(2, 3), out=out, **given)


def test_nothing_is_overwritten_a_second_monitor_makes_a_numbered_run(tmp_path: Path) -> None:
    for name in ("mine", "mine.2", "mine.3"):
        with linear(tmp_path / "mine") as monitor:
            monitor(0)
        assert monitor.directory == tmp_path / name
        assert monitor.run.status == "finished"


def test_a_training_that_goes_on_goes_on_with_its_run(tmp_path: Path) -> None:
    with linear(tmp_path / "mine") as monitor:
        for step in range(3):
            monitor(step)
    again = linear(tmp_path / "mine", resume=True)
    with torch.no_grad():
        again._subject.model.weight.add_(1.0)  # type: ignore[operator]
    assert again.directory == tmp_path / "mine"
    assert again.run.status == "running"
    with pytest.warns(UserWarning, match="step 1 comes after step 2"):
        again(1)
    assert [again(step) for step in (2, 3)] == [False, True]
    again.close()
    run = StoredRun(tmp_path / "mine")
    assert run.status == "finished"
    assert run.series("weights/distance")[0].tolist() == [0, 1, 2, 3]
    # from where the training began, not from where this process did
    assert run.series("weights/distance")[1][-1] == pytest.approx(6**0.5)
    assert again.scalars().index.tolist() == [0, 1, 2, 3]
    assert run.checkpoints.steps() == [0, 1, 2, 3]
    assert ask("verify", run.directory).code == 0


def test_a_run_of_another_model_or_other_data_is_not_gone_on_with(tmp_path: Path) -> None:
    linear(tmp_path / "mine").close()
    with pytest.raises(UsageError, match="is the run of another model"):
        gs.Monitor(nn.Linear(3, 3), measures=["weights"], out=tmp_path / "mine", resume=True)
    with pytest.raises(UsageError, match="is the run of another data"):
        linear(tmp_path / "mine", train=torch.zeros(2, 2), resume=True)


def test_a_run_that_another_monitor_writes_is_left_alone(tmp_path: Path) -> None:
    first = linear(tmp_path / "mine")
    with pytest.raises(StoreError):
        linear(tmp_path / "mine", resume=True)
    first.close()
