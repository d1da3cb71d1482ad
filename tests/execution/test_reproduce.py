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
from grokscope.errors import DataError
from grokscope.execution import reproduce as module
from grokscope.execution.reproduce import in_batches, longest_first, reproduce
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


def rates(rate: float) -> dict[str, dict[str, Any]]:
    """Return scales at which cells differ in the learning rate alone."""
    return {"smoke": {"learner.steps": 2}, "cpu": {"learner.steps": 3, "optimizer.learning_rate": rate}}


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


def test_several_papers_keep_their_claims_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A claim of one is unknown to the other, also where both have an experiment of one name."""
    other = Paper("other2026", "Another", "@misc{other2026}", (experiment("a"), experiment("z")), (claim("D1", "a"),))
    for paper in (SWEEP, other):
        monkeypatch.setitem(PAPERS._known, paper.id, paper)
    board = reproduce(["sweep2026", "other2026"], seeds=(0,), root=tmp_path, scale="cpu")
    assert [v.id for v in board.verdicts] == ["sweep2026/C1", "sweep2026/C2", "other2026/D1"]
    assert [path.name for path in board.reports] == [
        "sweep2026-a-cpu.html", "sweep2026-b-cpu.html", "other2026-a-cpu.html",
    ]  # fmt: skip
    named = reproduce(seeds=(0,), root=tmp_path, scale="cpu", experiments=["z"])
    assert named.papers == ("other2026",)


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
    units = [[(SWEEP, name)] for name in "abcde"]
    assert [name for ((_, name),) in longest_first(units, scale)] == list(order)


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


BATCHED = replace(
    SWEEP,
    experiments=(
        experiment("a", batch="rates", scales=rates(0.01), minutes={"cpu": 1}),
        experiment("c", minutes={"cpu": 2}),
        experiment("b", batch="rates", scales=rates(0.02), minutes={"cpu": 1.5}),
        experiment("w", batch="rates", scales={**rates(0.03), "cpu": {"model.widths": [4], "learner.steps": 3}}),
    ),
    claims=(claim("C1", "a", "b", "c", "w"),),
)


def test_a_batch_is_one_ensemble_of_cells_and_seeds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    groups: list[list[tuple[str, int]]] = []
    train = module.train

    def noting(specs: Sequence[Any], **options: Any) -> list[Path]:
        groups.append([(spec.experiment, spec.seed.base) for spec in specs])
        assert {spec.engine for spec in specs} == {"ensemble" if len(specs) > 1 else "single"}
        return train(specs, **options)

    monkeypatch.setattr(module, "train", noting)
    monkeypatch.setitem(PAPERS._known, BATCHED.id, BATCHED)
    names = [[name for _, name in unit] for unit in in_batches([(BATCHED, name) for name in "acbwa"])]
    assert names == [["a", "b", "w"], ["c"]]
    assert [[name for _, name in unit] for unit in longest_first(in_batches([(BATCHED, n) for n in "acb"]), "cpu")] == [
        ["a", "b"],
        ["c"],
    ]
    alone = [("w", 0)]  # of other shapes
    board = reproduce([BATCHED.id], seeds=(0,), root=tmp_path, experiments=["a", "w"])
    assert groups == [[("a", 0)], alone]
    groups.clear()
    board = reproduce([BATCHED.id], seeds=(0, 1, 2), root=tmp_path)
    # what is stored, alone or in another ensemble, is not trained again
    # and who shares data is side by side
    cells = [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("b", 0)]
    assert groups == [cells, [("w", 1), ("w", 2)], [("c", 0), ("c", 1), ("c", 2)]]
    assert [v.status for v in board.verdicts] == ["reproduced"]
    groups.clear()
    reproduce([BATCHED.id], seeds=(0, 1, 2), root=tmp_path, experiments=["a", "b", "w"])
    assert groups == []
    reproduce([BATCHED.id], seeds=(0, 1), root=tmp_path, experiments=["a", "b"], fresh=True)
    assert groups == [[("a", 0), ("b", 0), ("a", 1), ("b", 1)]]


def test_a_batch_is_one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun: list[list[str]] = []

    def fake(commands: Sequence[Sequence[str]], **options: Any) -> list[str | None]:
        begun.extend([c[i + 1] for i, word in enumerate(c) if word == "--experiment"] for c in commands)
        return [None] * len(commands)

    monkeypatch.setattr(module, "run_processes", fake)
    trained(monkeypatch, tmp_path, BATCHED, scale="cpu", jobs=2)
    assert begun == [["a", "b", "w"], ["c"]]
    trained(monkeypatch, tmp_path, BATCHED, scale="cpu", jobs=2)
    assert len(begun) == 2  # all is stored


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


def test_without_its_data_an_experiment_is_left_out_and_the_claim_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GROKSCOPE_DATA", raising=False)
    digits = experiment("digits", spec={**experiment("a").spec, "task": {"name": "images"}})
    paper = Paper(
        "digits2026",
        "Digits",
        "@misc{digits2026}",
        experiments=(experiment("a"), digits),
        claims=(claim("C1", "a"), claim("C2", "a", "digits")),
    )
    names, board = trained(monkeypatch, tmp_path, paper, scale="cpu")
    assert names == ["a"]
    one, two = board.verdicts
    assert one.value is not None
    assert two.status == "not testable here"
    assert two.reason.startswith("There are no runs of digits2026/digits at scale cpu. train-images-idx3-ubyte.gz")
    assert "set GROKSCOPE_DATA" in two.reason
    with pytest.raises(DataError, match="no data directory is set"):
        reproduce(["digits2026"], seeds=(0,), root=tmp_path, experiments=["digits"])
