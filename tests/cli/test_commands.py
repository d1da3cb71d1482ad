"""What each command gives: the fields of its JSON document, and what a person reads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from commands import NAME, SMOKE, TINY, Answer, ask, only_run, refused, results, setting
from grokscope.claims.verdict import Status, Verdict
from grokscope.cli.main import COMMANDS
from grokscope.registry import MEASURES, MODELS, PAPERS, TASKS
from grokscope.store import find_runs

RUN_FIELDS = {"experiment", "paper", "scale", "seed", "run_dir", "status", "steps", "wall_seconds", "phases", "final"}
PHASE_FIELDS = {"fit_step", "generalise_step", "delay_steps", "delay_ratio", "censored"}
CLAIM_FIELDS = {"id", "statement", "status", "value", "criterion", "figure"}
BOARD_FIELDS = CLAIM_FIELDS | {"paper", "interval", "runs"}


def check_json(value: Any) -> None:
    """Numbers are finite, everything else is what JSON knows."""
    if isinstance(value, dict):
        for entry in value.values():
            check_json(entry)
    elif isinstance(value, list):
        for entry in value:
            check_json(entry)
    elif isinstance(value, float):
        assert math.isfinite(value)
    else:
        assert value is None or isinstance(value, str | int | bool)


def document(answer: Answer, code: int = 0) -> dict[str, Any]:
    assert answer.code == code, answer.stderr
    assert answer.document["schema"] == 1
    check_json(answer.document)
    return answer.document


# -- run, show, resume ----------------------------------------------------------------------------


def check_run(summary: dict[str, Any], directory: Path) -> None:
    assert summary.keys() >= RUN_FIELDS | {"claims"}
    assert summary["experiment"] == NAME
    assert (summary["paper"], summary["scale"], summary["seed"]) == ("nanda2023", "smoke", 0)
    assert (summary["run_dir"], summary["status"], summary["steps"]) == (str(directory), "finished", 60)
    assert summary["wall_seconds"] > 0
    assert summary["phases"].keys() >= PHASE_FIELDS
    assert summary["phases"]["generalise_step"] is None
    assert summary["phases"]["censored"] is True
    assert summary["final"].keys() >= {"train/loss", "test/loss", "train/accuracy", "test/accuracy"}
    assert summary["claims"]
    assert all(claim.keys() >= CLAIM_FIELDS for claim in summary["claims"])


def test_run_gives_its_summary_and_a_stored_run_is_shown_not_repeated(root: Path, finished: Path) -> None:
    before = (finished / "events.jsonl").read_bytes()
    answer = ask("run", NAME, *SMOKE, "--out", root, "--json")
    summary = document(answer)
    check_run(summary, finished)
    assert Path(summary["report"]).read_text().startswith("<!")
    assert answer.stderr == ""  # nothing was trained
    assert (finished / "events.jsonl").read_bytes() == before
    assert find_runs(root) == [finished]


def test_show_gives_the_same_summary(root: Path, finished: Path) -> None:
    summary = document(ask("show", finished, "--json"))
    check_run(summary, finished)
    assert document(ask("show", root, "--json")) == summary


def test_resuming_a_finished_run_does_nothing(root: Path, finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file() and path.suffix != ".html"}
    for place in (finished, root):
        answer = ask("resume", place, "--json")
        check_run(document(answer), finished)
        assert answer.stderr == ""
    assert before == {path: path.read_bytes() for path in before}


def test_what_a_person_reads_of_a_run(finished: Path) -> None:
    answer = ask("show", finished)
    assert answer.code == 0
    lines = answer.stdout.splitlines()
    assert lines[0] == f"{NAME} smoke seed 0: finished"
    assert str(finished) in lines[1]
    assert any(line.startswith("train/loss\t") for line in lines)
    assert any("nanda2023/C1.1\tnot testable here" in line for line in lines)


def test_fresh_trains_again_beside_the_stored_run(tmp_path: Path) -> None:
    first = document(ask("run", NAME, *TINY, "--out", tmp_path, "--json"))
    second = document(ask("run", NAME, *TINY, "--out", tmp_path, "--json", "--fresh"))
    assert second["run_dir"] == first["run_dir"] + ".2"
    one, two = (only_run(Path(summary["run_dir"])) for summary in (first, second))
    assert results(one) == results(two)
    assert document(ask("run", NAME, *TINY, "--out", tmp_path, "--json"))["run_dir"] == second["run_dir"]
    for command in ("show", "resume"):
        sentence = refused(1, command, tmp_path)
        assert sentence.startswith(f"{tmp_path} holds 2 runs: give one of them (")


def test_what_is_asked_for_is_what_runs(tmp_path: Path) -> None:
    changes = setting("optimizer.weight_decay=0.5", "numerics.path=plain", "learner.steps=2")
    more = ["--device", "cpu", "--seed", 7, "--intervene", "weight-norm:norm=3,start=1"]
    summary = document(ask("run", NAME, *TINY, *changes, *more, "--out", tmp_path, "--json"))
    assert (summary["seed"], summary["steps"]) == (7, 2)
    spec = only_run(tmp_path).spec
    assert spec["optimizer"]["weight_decay"] == 0.5
    assert spec["numerics"]["path"] == "plain"
    assert summary["claims"] == []  # a run with settings of its own says nothing about the paper
    assert [(part["name"], part["norm"], part["start"]) for part in spec["interventions"]] == [("weight-norm", 3.0, 1)]
    again = document(ask("run", Path(summary["run_dir"]) / "spec.json", "--out", tmp_path, "--json"))
    assert again["run_dir"] == summary["run_dir"]


def test_the_seed_may_be_set_like_any_key(tmp_path: Path) -> None:
    for count, word in enumerate(("seed=3", "seed.base=3")):
        answer = ask("run", NAME, *TINY, *setting(word), "--out", tmp_path, "--json")
        assert document(answer)["seed"] == 3
        assert bool(answer.stderr) == (count == 0)  # the second is the first, found stored


def test_runs_go_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROKSCOPE_RUNS", str(tmp_path / "mine"))
    assert ask("run", NAME, *TINY, *setting("learner.steps=1")).code == 0
    assert only_run(tmp_path / "mine").status == "finished"


# -- lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("experiments", {NAME, "nanda2023/no-weight-decay"}),
        ("claims", {"nanda2023/C1.1", "nanda2023/C1.6a", "nanda2023/C1.6b", "nanda2023/C1.10"}),
        ("measures", {"performance", "weights", "gini", "fourier"}),
        ("tasks", {"modular-addition"}),
        ("models", {"modular-transformer", "mlp"}),
    ],
)
def test_list(kind: str, names: set[str]) -> None:
    found = document(ask("list", kind, "--json"))
    assert found["kind"] == kind
    assert {row.get("name", row.get("id")) for row in found["rows"]} >= names
    shown = ask("list", kind)
    assert shown.code == 0
    assert {line.split("\t")[0] for line in shown.stdout.splitlines()[1:]} >= names


def test_list_gives_scales_times_and_every_name() -> None:
    rows = document(ask("list", "--json"))["rows"]
    assert {row["name"].split("/")[0] for row in rows} == set(PAPERS)
    assert all(row["scales"][-1] == "paper" and set(row["minutes"]) <= set(row["scales"]) for row in rows)
    for kind, registry in (("measures", MEASURES), ("tasks", TASKS), ("models", MODELS)):
        assert [row["name"] for row in document(ask("list", kind, "--json"))["rows"]] == registry.names()


def test_list_may_be_of_one_paper() -> None:
    assert ask("list", "nanda2023").stdout == ask("list", "experiments", "nanda2023").stdout
    rows = document(ask("list", "measures", "nanda2023", "--json"))["rows"]
    always = {"performance", "weights", "gini", "participation", "fourier", "circles"}
    assert {row["name"] for row in rows} == always | {"circuit", "ablation", "maps"}


def test_runs_lists_and_filters(root: Path, finished: Path) -> None:
    (row,) = document(ask("runs", "--out", root, "--json"))["rows"]
    assert (row["run_dir"], row["status"], row["steps"], row["seed"]) == (str(finished), "finished", 60, 0)
    assert document(ask("runs", "nanda2023/*", "--out", root, "--json"))["rows"] == [row]
    assert document(ask("runs", "power2022", "--out", root, "--json"))["rows"] == []
    assert str(finished) in ask("runs", "--out", root).stdout


def test_an_empty_store_is_no_error(tmp_path: Path) -> None:
    assert document(ask("runs", "--out", tmp_path / "none", "--json"))["rows"] == []
    assert ask("runs", "--out", tmp_path / "none").stdout.startswith("no runs in ")


# -- claims, reproduce, report, data, doctor ------------------------------------------------------


def test_claims(root: Path, finished: Path) -> None:
    found = document(ask("claims", finished, "--json"))
    assert [claim["id"] for claim in found["claims"]] == [
        f"nanda2023/{claim.id}" for claim in PAPERS.get("nanda2023").claims
    ]
    assert all(claim.keys() >= BOARD_FIELDS for claim in found["claims"])
    assert found["summary"] == {"not testable here": len(found["claims"])}
    assert document(ask("claims", "--out", root, "--json")) == found
    assert "not testable here" in ask("claims", finished).stdout


@pytest.mark.parametrize(
    ("status", "met", "code"),
    [
        ("reproduced", True, 0),
        ("not testable here", None, 1),  # nothing was judged
        ("inconclusive", True, 0),  # met, by too few seeds to say so
        ("inconclusive", None, 1),
        ("not reproduced", False, 1),
    ],
)
def test_a_verdict_is_a_result_unless_it_must_be_the_right_one(
    status: Status, met: bool | None, code: int, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nan = float("nan")
    verdict = Verdict("nanda2023/C9", "nanda2023", "It groks.", "accuracy", "smoke", status, value=nan, met=met)
    monkeypatch.setattr("grokscope.execution.judge.verdicts_on", lambda runs: [verdict])
    found = document(ask("claims", finished, "--json"))
    assert found["summary"] == {status: 1}
    assert found["claims"][0]["value"] == "nan"
    assert document(ask("claims", finished, "--json", "--strict"), code=code) == found


def test_reproduce_trains_what_is_needed_once(tmp_path: Path) -> None:
    chosen = ["--experiment", "modular-addition", "--experiment", "no-weight-decay", "--seed-list", "0..1"]
    arguments = ["reproduce", "nanda2023", "--scale", "smoke", *chosen, "--out", tmp_path]
    answer = ask(*arguments, "--json")
    board = document(answer)
    assert "modular-addition smoke seeds 0,1" in answer.stderr
    assert board.keys() >= {"papers", "scale", "seeds", "summary", "claims"}
    assert (board["papers"], board["scale"], board["seeds"]) == (["nanda2023"], "smoke", [0, 1])
    assert sum(board["summary"].values()) == len(board["claims"]) > 0
    assert all(claim.keys() >= BOARD_FIELDS for claim in board["claims"])
    runs = {run for claim in board["claims"] for run in claim["runs"]}
    assert runs == {str(path) for path in find_runs(tmp_path)}
    assert len(runs) == 4
    again = ask(*arguments, "--seeds", "5", "--jobs", "2", "--json")
    assert document(again) == board
    assert again.stderr == ""
    member = ask("resume", min(runs), "--json")
    assert (document(member)["status"], member.stderr) == ("finished", "")
    text = ask(*arguments).stdout
    assert f"{len(board['claims'])} not testable here" in text.splitlines()
    assert len(board["reports"]) == 2
    for path in board["reports"]:
        assert f"report: {path}" in text.splitlines()
        assert "nanda2023/C1.10" in Path(path).read_text()


def test_report(finished: Path, tmp_path: Path) -> None:
    answer = ask("report", finished, "--to", tmp_path / "new" / "page.html")
    assert answer.code == 0
    assert answer.stdout == f"{tmp_path / 'new' / 'page.html'}\n"
    assert "modular-addition" in (tmp_path / "new" / "page.html").read_text()
    assert ask("report", finished).stdout == f"{finished / 'report.html'}\n"


def test_data_says_what_is_missing_and_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROKSCOPE_DATA", raising=False)
    found = document(ask("data", "--json"))
    assert found["kind"] == "data"
    assert found["directory"] is None
    assert found["rows"]
    there = document(ask("data", "--directory", tmp_path, "--verify", "--json"))
    assert there["directory"] == str(tmp_path)
    elsewhere = [row for row in there["rows"] if row["dataset"] != "digits"]  # scikit-learn brings these
    assert all(row["status"] == "missing" and row["how"] for row in elsewhere)
    assert ask("data").stdout.startswith("no data directory: set GROKSCOPE_DATA, or pass --directory")


def test_doctor(tmp_path: Path) -> None:
    rows = document(ask("doctor", "--out", tmp_path, "--json"))["rows"]
    assert {"python", "torch", "torch computes", "CUDA devices", "torch threads", "data", "runs"} <= {
        row["what"] for row in rows
    }
    (tmp_path / "file").write_text("")
    rows = document(ask("doctor", "--out", tmp_path / "file", "--json"), code=1)["rows"]
    assert [row["what"] for row in rows if not row["ok"]] == ["runs"]


# -- help -----------------------------------------------------------------------------------------


def test_help_names_every_command_and_the_exit_codes() -> None:
    answer = ask("--help")
    assert answer.code == 0
    for name, (_, about) in COMMANDS.items():
        assert name in answer.stdout
        assert about.split(":")[0] in answer.stdout
    assert "130 and 143" in " ".join(answer.stdout.split())
    assert ask().stdout == answer.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    answer = ask(name, "--help")
    assert (answer.code, answer.stderr) == (0, "")
    assert f"grokscope {name}" in answer.stdout
    takes_json = name != "report"
    assert ("--json" in answer.stdout) == takes_json
