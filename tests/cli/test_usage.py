"""What the program says when it is asked for what is not there, and the exit code it gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands import NAME, TINY, ask, refused
from grokscope.cli.main import COMMANDS, call
from grokscope.errors import UsageError

ANSWERS = {
    "rnu": "unknown command 'rnu': did you mean run or runs?",
    "zzz": f"unknown command 'zzz': the commands are {', '.join(COMMANDS)}.",
    "run modular-addition": "unknown experiment 'modular-addition': did you mean 'lyu2024/modular-addition' or ",
    "run mnist": "unknown experiment 'mnist': did you mean 'golechha2024/mnist' or 'liu2023/mnist' or 'prakash2025",
    "run nanda2032/modular-addition": f"unknown experiment 'nanda2032/modular-addition': did you mean '{NAME}' or ",
    "run nanda2023/modular-adition": "unknown experiment of nanda2023 'modular-adition': did you mean",
    "run nowhere.json": "the spec file nowhere.json cannot be read: No such file or directory.",
    f"run {NAME} --scale smok": "unknown scale 'smok': did you mean 'smoke'?",
    f"run {NAME} --seeed 3": "Unknown option: --seeed. Did you mean --seed? Try: grokscope run --help",
    f"run {NAME} --seed x": 'Invalid value for --seed: unable to convert "x" into int. Try: grokscope run --help',
    "run": 'Command "run" parameter --name requires an argument. Try: grokscope run --help',
    f"run {NAME} --intervene weigt-norm:norm=3": "unknown intervention 'weigt-norm': did you mean 'weight-norm'?",
    f"run {NAME} --intervene weight-norm:nrm=3": "unknown key interventions.0.nrm: did you mean interventions.0.norm",
    f"run {NAME} --intervene :x=1": "':x=1' names no intervention: write NAME:key=value,key=value.",
    "reproduce nanda": "unknown paper 'nanda': did you mean 'nanda2023'?",
    "reproduce --scale huge": "unknown scale 'huge': the known ones are cpu, paper, smoke.",
    "reproduce --experiment modular": "unknown experiment 'modular': did you mean 'modular-",
    "reproduce nanda2023 --experiment modular": "unknown experiment of nanda2023 'modular': did you mean 'modular-",
    "reproduce --seeds 0": "seeds = 0: give at least one seed; a verdict needs 3.",
    "reproduce --seeds -1": "seeds = -1: give at least one seed; a verdict needs 3.",
    "reproduce --jobs 0": "jobs = 0: give at least 1.",
    "reproduce --seed-list a": "'a' is no list of seeds: write 0,1,2 or 0..2.",
    f"sweep {NAME} --grid modulus": "'modulus' is no line of a grid: write KEY=V1,V2",
    f"sweep {NAME} --grid task.modulus=5,1": "task.modulus = 1: it must be greater than or equal to 2.",
    f"sweep {NAME} --grid task.modulus=5 --grid task.modulus=7": "the grid names task.modulus twice",
    f"sweep {NAME} --grid task.modulus=5 --jobs 0": "jobs = 0, seeds = 1: both must be at least 1.",
    f"sweep {NAME} --grid task.modulus=5 --engine dask": 'Invalid value "dask" for --engine. Choose from: "pool", "',
    "list measure": "unknown kind of thing 'measure': did you mean 'measures'?",
    "list claims nanda2024": "unknown paper 'nanda2024': did you mean 'nanda2023' or ",
    "report": "name at least one run directory; grokscope runs lists them.",
    "report nowhere --format svg": "--format is that of the files of --print: say where to write them with --print D",
    "report nowhere --to .": ". is a directory: name a file in it.",
    f"report nowhere --print {__file__}": f"{__file__} is a file: --print takes a directory.",
    f"run {NAME} --intervene dropout:rate=0.5": "interventions.0.site is missing: give it, as in --int",
    "measure nowhere/0000000061.safetensors --measures gini": "there is no checkpoint nowhere/0000000061.safetensors:",
}

SETTINGS = {
    "modulus=5": "unknown key modulus: did you mean task.modulus?",
    "learner.step=3": "unknown key learner.step: did you mean learner.steps?",
    "optimizer.wait_decay=1": "unknown key optimizer.wait_decay: did you mean optimizer.weight_decay",
    "task.modulus=1": "task.modulus = 1: it must be greater than or equal to 2.",
    "task.modulus=2.5": "task.modulus = 2.5: it must be a valid integer",
    "task.modulus=five": "task.modulus = 'five': it must be a valid integer",
    "task.train_fraction=0": "task.train_fraction = 0: it must be greater than 0.",
    "task.train_fraction=1": "task.train_fraction = 1: it must be less than 1.",
    "task.train_fraction=NaN": "task.train_fraction = nan: it must be a finite number.",
    "task.train_fraction=0.001": "leaves no pair to train on: choose one nearer to 0.5.",
    "task.name=modular-adition": "did you mean 'modular-addition' or 'modular-arithmetic'",
    "task.name=5": "task must say which task it is: set task.name to one of ",
    "task.name=[1]": "task must say which task it is: set task.name to one of ",
    "model=5": "model must say which model it is: set model.name to one of ",
    "model.width=9": "model: width = 9 is not a multiple of heads = 2.",
    "optimizer.name=adm": "unknown optimizer 'adm': did you mean 'adam'",
    "optimizer.learning_rate=0": "optimizer.learning_rate = 0: it must be greater than 0.",
    "learner.steps=-1": "learner.steps = -1: it must be greater than or equal to 0.",
    "learner.steps=1000000000001": "learner.steps = 1000000000001: it must be less than or equal to 1000000000000.",
    "learner.loss=hinge": "learner.loss = 'hinge': it must be 'cross-entropy' or 'mean-squared-error'.",
    'record.measures=["fouriar"]': "unknown measure 'fouriar': did you mean 'fourier'",
    "record.observe.every=0": "record.observe.every = 0: it must be greater than or equal to 1.",
    "interventions=5": "interventions = 5: give a list of sections, each with a name, or --intervene.",
    "numerics.device=gpu": "numerics.device = 'gpu': it must be cpu, cuda or cuda:N.",
    "numerics.path=quick": "numerics.path = 'quick': it must be 'auto', 'plain', 'fast' or 'graph'.",
    "numerics.threads=0": "numerics.threads = 0: it must be greater than or equal to 1.",
    "numerics.threads=100000": "numerics.threads = 100000: it must be less than or equal to 1024.",
    "seed=abc": "seed.base = 'abc': it must be a valid integer",
    "paper=../x": "'../x' cannot name a file of a run",
    "modulus": "'modulus' is not KEY=VALUE: write for example task.modulus=53.",
    "=3": "'=3' is not KEY=VALUE: write for example task.modulus=53.",
}


@pytest.mark.parametrize("arguments", ANSWERS)
def test_wrong_usage_is_one_sentence_that_offers_what_is_right(arguments: str) -> None:
    assert refused(2, *arguments.split()).startswith(ANSWERS[arguments])


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_wrong_key_or_value_is_told_before_anything_is_trained(setting: str, tmp_path: Path) -> None:
    assert SETTINGS[setting] in refused(2, "run", NAME, *TINY, "--set", setting, "--out", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("device", ["cuda", "cuda:99"])
def test_a_device_that_is_not_there_is_told(device: str, tmp_path: Path) -> None:
    import torch

    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    sentence = refused(2, "run", NAME, *TINY, "--device", device, "--out", tmp_path)
    assert sentence.startswith(f"numerics.device = {device!r}, but ")
    assert list(tmp_path.iterdir()) == []


MISFITS = {
    "dropout:site=at_nowhere,rate=0.5": "unknown site 'at_nowhere': ",
    "activation-clamp:site=at_neurons,value=0,units=[8]": "activation-clamp: unit 8 of at_neurons is out of range",
    "fourier-ablation:frequencies=[1],parameters=no_such": "fourier-ablation: no parameter matches 'no_such'; ",
    "fourier-ablation:frequencies=[1],axis=7": "fourier-ablation: axis 7 of ",
}


@pytest.mark.parametrize("intervention", MISFITS)
def test_an_intervention_that_does_not_fit_is_told_and_leaves_no_run(intervention: str, tmp_path: Path) -> None:
    sentence = refused(2, "run", NAME, *TINY, "--intervene", intervention, "--out", tmp_path)
    assert sentence.startswith(MISFITS[intervention])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        ("[task", "spec.toml", "does not parse"),
        ("{", "spec.json", "does not parse"),
        ("[1]", "spec.json", "must hold sections such as [task] and [model]"),
        ("[task]\nmodulus = 5\n", "spec.toml", "task must say which task it is"),
        ('{"learner": {"name": "gradient"}}', "spec.json", "task is missing: set it"),
    ],
)
def test_a_wrong_spec_file_is_told(content: str, name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert words in refused(2, "run", tmp_path / name, "--out", tmp_path / "runs")


MORE = {"fork": ["--at", 0], "measure": ["--measures", "gini"], "export": ["--csv"]}


@pytest.mark.parametrize(
    "command", ["show", "resume", "report", "claims", "compare", "export", "verify", "fork", "measure"]
)
def test_a_run_that_is_not_there_is_told(command: str, tmp_path: Path) -> None:
    more = MORE.get(command, [])
    nowhere = tmp_path / "nowhere"
    sentence = refused(2, command, nowhere, *more)
    assert sentence == f"there is no {nowhere}: give the directory of a run; grokscope runs lists them."
    sentence = refused(1, command, tmp_path, *more)
    assert "holds no run" in sentence
    assert "give " in sentence


def test_a_damaged_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text("{")
    assert "is not JSON: restore it from a copy" in refused(1, "show", tmp_path)
    answer = ask("runs", "--out", tmp_path, "--json")
    assert answer.code == 0
    assert answer.document["rows"][0]["status"] == "unreadable"


def test_a_report_that_cannot_be_written_is_told(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "could not write page.html" in refused(1, "report", finished, "--to", tmp_path / "file" / "page.html")


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(UsageError, match="unknown experiment"):
        call(["--debug", "run", "nowhere"])
    with pytest.raises(UsageError, match="unknown experiment"):
        call(["run", "nowhere", "--debug"])


def test_a_defect_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("grokscope.store.runs_table", broken)
    answer = ask("runs")
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.sentence.startswith("ZeroDivisionError: division by zero (this is a defect of grokscope; --debug")


def test_ctrl_c_anywhere_gives_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("grokscope.store.runs_table", pressed)
    assert refused(130, "runs") == "interrupted."


def test_the_program_itself_says_one_sentence() -> None:
    command = [sys.executable, "-m", "grokscope", "run", "nanda2023/modular-adition"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("grokscope: unknown experiment of nanda2023 'modular-adition'")


def test_a_reader_that_went_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "grokscope", "list", "--json"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


LIGHT = """
import contextlib, io, json, sys
from grokscope.cli.main import COMMANDS, call
run = sys.argv[1]
asked = [["--help"], ["--version"], [], *([name, "--help"] for name in COMMANDS)]
asked += [["list", kind] for kind in ("experiments", "claims", "tasks", "models")]
asked += [["runs", "--out", run], ["show", run], ["claims", run], ["report", run, "--to", sys.argv[2]], ["data"]]
asked += [["verify", run], ["export", run, "--csv"], ["cite", run], ["cite", "nanda2023"]]
heavy = {}
for arguments in asked:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = call(arguments)
    loaded = [name for name in ("torch", "pandas", "scipy") if name in sys.modules]
    heavy[" ".join(arguments)] = [code, bool(out.getvalue()), loaded]
print(json.dumps(heavy))
"""


def test_help_and_everything_that_only_reads_loads_no_torch(finished: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIGHT, str(finished), str(tmp_path / "page.html")]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 3 + len(COMMANDS) + 4 + 5 + 4
    assert {words: what for words, what in found.items() if what != [0, True, []]} == {}
