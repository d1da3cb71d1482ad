"""A grid of runs: what is planned, what is run, what is found stored, what a failure does to the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import NAME, TINY, ask, refused, setting
from grokscope.errors import UsageError
from grokscope.registry import MEASURES
from grokscope.spec import parse_assignment
from grokscope.store import find_runs, open_run
from grokscope.sweep.plan import Sweep, parse_grid, plan
from grokscope.sweep.pool import run_pool
from grokscope.sweep.table import phase_table

GRID = ["--grid", "optimizer.weight_decay=0,1"]
ROW_FIELDS = {"values", "seeds", "fit_step", "generalise_step", "interval", "delay_ratio", "never", "failed", "runs"}


def planned(*grid: str, seeds: int = 1) -> Sweep:
    changes = dict(parse_assignment(word) for word in TINY if "=" in word)
    return plan(NAME, parse_grid(grid), scale="smoke", seeds=range(seeds), changes=changes)


Processes = Callable[..., list[str | None]]


def here(ran: list[str], failing: str = "") -> Processes:
    """Return a stand-in for ``run_processes`` that runs in this process, where one spec file may fail."""

    def run(commands: list[list[str]], *, jobs: int, threads: int, tell: Callable[..., None]) -> list[str | None]:
        problems: list[str | None] = []
        for index, (_, _, program, *arguments) in enumerate(commands):
            assert program == "grokscope"
            name = Path(arguments[1]).name
            ran.append(name)
            failed = name == failing or ask(*arguments).code != 0
            problems.append("the disk is full." if failed else None)
            tell(index, problems[-1])
        return problems

    return run


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cells are run here, not in a process of their own; gives the spec files that were run."""
    ran: list[str] = []
    monkeypatch.setattr("grokscope.sweep.pool.run_processes", here(ran))
    return ran


def document(*arguments: object, code: int = 0) -> dict[str, Any]:
    answer = ask("sweep", NAME, *TINY, *arguments, "--json")
    assert answer.code == code, answer.stderr
    assert answer.document["schema"] == 1
    return answer.document


def test_a_plan_is_every_combination_for_every_seed() -> None:
    sweep = planned("task.modulus=5,7", "optimizer.weight_decay=0,0.5,1", seeds=2)
    assert len(sweep.cells) == 2 * 3 * 2
    assert {(c.spec.task.modulus, c.spec.optimizer.weight_decay, c.spec.seed.base) for c in sweep.cells} == {  # type: ignore[union-attr]
        (p, decay, seed) for p in (5, 7) for decay in (0, 0.5, 1) for seed in (0, 1)
    }
    assert len({cell.spec.training_id for cell in sweep.cells}) == 12
    assert sweep.identity == planned("task.modulus=5,7", "optimizer.weight_decay=0,0.5,1", seeds=2).identity
    assert sweep.identity != planned("task.modulus=5,7", seeds=2).identity


def test_a_wrong_cell_is_told_before_any_is_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"task\.modulus = 1: it must be"):
        planned("task.modulus=5,1")
    sentence = refused(2, "sweep", NAME, *TINY, "--grid", "task.modulus=5,1", "--out", tmp_path)
    assert sentence.startswith("task.modulus = 1")
    assert list(tmp_path.iterdir()) == []


def test_values_of_a_grid_are_json_where_they_can_be() -> None:
    assert parse_grid(["a.b=1,0.5,true,relu", "c=x"]) == {"a.b": [1, 0.5, True, "relu"], "c": ["x"]}
    for text in ("a", "=1", "a=", "a=,"):
        with pytest.raises(UsageError, match="is no line of a grid"):
            parse_grid([text])
    with pytest.raises(UsageError, match=r"gives a a value twice \(1,2,1\)"):
        parse_grid(["a=1,2,1"])


def test_every_cell_is_run_once(tmp_path: Path, in_this_process: list[str]) -> None:
    arguments = [*GRID, "--seeds", 2, "--out", tmp_path]
    found = document(*arguments)
    assert in_this_process == [f"cell-{index:04d}.json" for index in range(4)]
    assert found["experiment"] == NAME
    assert [row["values"] for row in found["rows"]] == [{"optimizer.weight_decay": 0}, {"optimizer.weight_decay": 1}]
    for row in found["rows"]:
        assert row.keys() >= ROW_FIELDS
        assert (row["seeds"], row["never"], row["failed"]) == ([0, 1], 2, 0)
        assert (row["generalise_step"], row["interval"], row["delay_ratio"]) == (None, None, None)
        specs = [open_run(path).spec for path in row["runs"]]
        assert [spec["optimizer"]["weight_decay"] for spec in specs] == [row["values"]["optimizer.weight_decay"]] * 2
    cells = [str(path) for path in find_runs(tmp_path / "nanda2023")]
    assert sorted(run for row in found["rows"] for run in row["runs"]) == cells
    assert len(list(Path(found["directory"]).glob("cell-*.json"))) == 4
    assert document(*arguments) == found
    assert len(in_this_process) == 4  # the second time nothing was run
    text = ask("sweep", NAME, *TINY, *arguments).stdout
    assert text.startswith("optimizer.weight_decay\tfitted\tgeneralised\t")


def test_a_larger_grid_runs_only_what_is_new(tmp_path: Path, in_this_process: list[str]) -> None:
    document("--grid", "task.modulus=5", "--out", tmp_path)
    document("--grid", "task.modulus=5,7", "--out", tmp_path)
    assert in_this_process == ["cell-0000.json", "cell-0001.json"]


def test_a_cell_that_fails_is_told_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grokscope.sweep.pool.run_processes", here([], failing="cell-0000.json"))
    answer = ask("sweep", NAME, *TINY, *GRID, "--out", tmp_path, "--json")
    assert answer.code == 1
    failed, went = answer.document["rows"]
    assert (failed["failed"], failed["never"]) == (1, 0)
    assert (went["failed"], went["never"]) == (0, 1)
    assert "[1/2] optimizer.weight_decay=0 seed 0: the disk is full." in answer.stderr
    assert "[2/2] optimizer.weight_decay=1 seed 0: done" in answer.stderr


def test_cells_run_in_processes_of_their_own(tmp_path: Path) -> None:
    """One process that trains, and one that is refused by the measure it does not know."""
    told: list[str] = []
    sweep = planned("optimizer.weight_decay=0.5")
    (done,) = run_pool(sweep, tmp_path, tell=told.append)
    assert done.problem is None
    assert open_run(done.directory).status == "finished"
    assert told == ["[1/1] optimizer.weight_decay=0.5 seed 0: done"]
    (row,) = phase_table([done])
    assert row["never"] == 1
    MEASURES.add("only-here", MEASURES.get("weights"))
    changes = {"record.measures": ["only-here"]}
    (failed,) = run_pool(plan(NAME, {}, scale="smoke", changes=changes), tmp_path)
    assert failed.problem is not None
    assert failed.problem.startswith("unknown measure 'only-here'")


def test_settings_hold_for_every_cell(tmp_path: Path, in_this_process: list[str]) -> None:
    found = document(*GRID, *setting("optimizer.learning_rate=0.5"), "--out", tmp_path)
    rates = {open_run(run).spec["optimizer"]["learning_rate"] for row in found["rows"] for run in row["runs"]}
    assert rates == {0.5}
