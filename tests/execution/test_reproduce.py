"""Which experiments ``reproduce`` trains at a scale, and which begin first."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import toys
from commands import ask
from grokscope.claims import Claim, Criterion
from grokscope.execution import reproduce as module
from grokscope.execution.reproduce import longest_first, reproduce
from grokscope.paper import Experiment, Paper
from grokscope.registry import PAPERS


def experiment(name: str, **changes: Any) -> Experiment:
    given: dict[str, Any] = {
        "name": name,
        "title": name,
        "spec": {key: toys.MODULAR[key] for key in ("task", "model", "learner", "optimizer")},
        "scales": {"smoke": {"learner.steps": 2}, "cpu": {"learner.steps": 3}},
        "transition": None,
        "record": {"measures": ["performance"]},
    }
    return Experiment(**{**given, **changes})


def claim(id: str, *experiments: str, scale: str = "cpu") -> Claim:
    criterion = {scale: Criterion({"loss": (0, None)}, "sheet")}
    return Claim(id, f"{id}.", "F", experiments, statistic, criterion=criterion)


def statistic(runs: Any) -> dict[str, float]:
    """Return the last train loss of the experiment that sorts last."""
    return {"loss": runs[max(runs)].series("train/loss")[1][-1]}


SWEEP = Paper(
    "sweep2026",
    "A sweep",
    "@misc{sweep2026}",
    experiments=(
        experiment("a", minutes={"cpu": 2}),
        experiment("b", cell_of="a", minutes={"cpu": 3}),
        experiment("c", minutes={"cpu": 1}),
        experiment("d", minutes={"cpu": 2}),
        experiment("e", cell_of="c"),
    ),
    claims=(claim("C1", "a"), claim("C2", "a", "b")),
)


def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, paper: Paper, **given: Any) -> tuple[list[str], Any]:
    """Return the experiments that were trained, in order, and the scoreboard."""
    names: list[str] = []
    train = module.train

    def noting(specs: Sequence[Any], **options: Any) -> list[Path]:
        names.append(specs[0].experiment)
        return train(specs, **options)

    monkeypatch.setattr(module, "train", noting)
    monkeypatch.setitem(PAPERS._known, paper.id, paper)
    return names, reproduce([paper.id], seeds=(0,), root=tmp_path, **given)


def test_the_cells_of_a_sweep_share_one_smoke_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names, board = trained(monkeypatch, tmp_path, SWEEP, scale="smoke")
    assert names == ["a", "c", "d"]
    assert [(v.id, v.status) for v in board.verdicts] == [
        ("sweep2026/C1", "not testable here"),
        ("sweep2026/C2", "not testable here"),
    ]
    assert [path.name for path in board.reports] == [f"sweep2026-{name}-smoke.html" for name in names]


def test_at_other_scales_a_cell_is_trained_where_a_claim_needs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names, board = trained(monkeypatch, tmp_path, SWEEP, scale="cpu")
    assert names == ["a", "b"]
    assert [v.reason for v in board.verdicts] == [
        "1 of 1 seeds meet the criterion, 0 fail it. 3 seeds are needed to judge."
    ] * 2


def test_a_cell_is_run_at_smoke_scale_where_it_is_asked_for_or_a_claim_is_judged_on_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names, _ = trained(monkeypatch, tmp_path, SWEEP, scale="smoke", experiments=["e"])
    assert names == ["e"]
    judged = replace(SWEEP, claims=(claim("C1", "a", "b", scale="smoke"),))
    names, board = trained(monkeypatch, tmp_path, judged, scale="smoke")
    assert names == ["a", "b", "c", "d"]
    assert [v.met for v in board.verdicts] == [True]


@pytest.mark.parametrize(
    ("scale", "order"),
    [("cpu", "ebadc"), ("smoke", "abcde")],  # e says no minutes; a and d are equal and stay in their order
)
def test_the_longest_is_first(scale: str, order: str) -> None:
    assert [name for _, name in longest_first([(SWEEP, name) for name in "abcde"], scale)] == list(order)


def test_processes_begin_with_the_longest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun: list[str] = []

    def fake(commands: Sequence[Sequence[str]], **options: Any) -> list[str | None]:
        assert options["jobs"] == 2
        for command in commands:
            assert command[:5] == [sys.executable, "-m", "grokscope", "reproduce", "sweep2026"]
            begun.append(command[command.index("--experiment") + 1])
        return [None] * len(commands)

    monkeypatch.setattr(module, "run_processes", fake)
    names, _ = trained(monkeypatch, tmp_path, SWEEP, scale="cpu", jobs=2)
    assert begun == ["b", "a"]
    assert names == ["a", "b"]  # collected, and reported, in the order of the paper


def test_cells_are_listed_like_any_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAPERS._known, SWEEP.id, SWEEP)
    rows = ask("list", "experiments", "--paper", SWEEP.id, "--json").document["rows"]
    assert [(row["name"], row["cell_of"]) for row in rows] == [
        ("sweep2026/a", None),
        ("sweep2026/b", "a"),
        ("sweep2026/c", None),
        ("sweep2026/d", None),
        ("sweep2026/e", "c"),
    ]
