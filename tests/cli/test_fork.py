"""``grokscope fork``: what it writes, what it says, and where it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import NAME, TINY, ask, only_run, refused, setting
from grokscope.cli.fork import match_text
from grokscope.execution.fork import Match
from grokscope.store import find_runs, open_run

RECORDED = setting(
    'record.measures=["performance","weights","fourier"]', "record.extra=[]", "record.checkpoints.every=2"
)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 6 steps; its forks go beside it."""
    root = tmp_path_factory.mktemp("parent")
    assert ask("run", NAME, *TINY, *RECORDED, "--out", root).code == 0
    return only_run(root).directory


def test_a_fork_is_two_runs_and_a_page(parent: Path, tmp_path: Path) -> None:
    answer = ask("fork", parent, "--at", 3, "--intervene", "fourier-ablation:frequencies=[1,2]", "--out", tmp_path)
    assert answer.code == 0
    assert len(find_runs(tmp_path)) == 2
    head, branch, control, match, *_ = answer.stdout.splitlines()
    assert head == f"{NAME} smoke seed 0, forked at step 3: fourier-ablation frequencies=[1,2]"
    assert branch.startswith(f"  branch   {tmp_path}")
    assert control.endswith(": finished at step 6")
    assert match == "  match    the control is the run it came from, bit for bit, at steps 4, 6"
    page = Path(answer.stdout.splitlines()[-1].removeprefix("report: "))
    assert "figure-branch-accuracy" in page.read_text()


def test_json(parent: Path, tmp_path: Path) -> None:
    how = ["--at", "2", *setting("optimizer.weight_decay=0"), "--steps", "3", "--out", tmp_path, "--json"]
    document = ask("fork", parent, *how).document
    assert document["at"] == 2
    assert document["changes"] == ["optimizer.weight_decay=0.0 (was 1.0)"]
    assert document["control_match"] == {"checkpoints": [4], "bitwise": True, "difference": 0.0}
    assert [document[name]["steps"] for name in ("branch", "control")] == [5, 5]
    assert document["branch"]["parent"]["training_id"] == open_run(parent).spec["training_id"]
    assert document["branch"]["training_id"] != document["control"]["training_id"]
    # both are ordinary runs: shown, resumed (there is nothing to do), reported
    branch = document["branch"]["run_dir"]
    assert "  fork     of nanda2023/modular-addition/smoke-s0-" in ask("show", branch).stdout
    assert ask("resume", branch).code == 0
    together = ask("report", branch, document["control"]["run_dir"])
    assert together.stdout.strip() == f"{branch}/report.html"
    assert ask("fork", parent, *how).document["branch"]["training_id"] == document["branch"]["training_id"]
    assert len(find_runs(tmp_path)) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--at", "7", "--intervene", "weight-norm"], "has no step 7: give one from 0 to 6, its last."),
        (["--at", "-1", "--intervene", "weight-norm"], "has no step -1: give one from 0 to 6, its last."),
        (["--at", "3"], "nothing that is trained would change: give --set or --intervene a value"),
        (["--at", "3", "--set", "model.width=16"], "model.width cannot change at a fork"),
        (["--at", "3", "--steps", "-2", "--intervene", "weight-norm"], "--steps -2: a fork makes at least 1 update."),
        (
            ["--at", "3", "--intervene", "fourier-ablation:frequencies=3"],
            "cannot take out frequency 3: give ones from 1",
        ),
        (["--intervene", "weight-norm"], "--at"),
    ],
)
def test_refused(arguments: list[str], sentence: str, parent: Path) -> None:
    before = len(find_runs(parent.parents[2]))
    assert sentence in refused(2, "fork", parent, *arguments)
    assert len(find_runs(parent.parents[2])) == before


def test_no_run_is_there(tmp_path: Path) -> None:
    assert "holds no run" in refused(1, "fork", tmp_path, "--at", 3, "--intervene", "weight-norm")


def test_how_a_match_is_said() -> None:
    assert match_text(Match((), 0.0)) == "the run has no later checkpoint to compare the control with"
    assert match_text(Match((8,), 0.0)) == "the control is the run it came from, bit for bit, at step 8"
    assert match_text(Match((1, 2, 3, 4, 5), 3e-9)).endswith("by at most 3.0e-09 at steps 1, 2, 3, 4, …")
