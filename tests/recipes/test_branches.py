"""The figures of branch against control: which curves, cut where, marked where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grokscope.errors import UsageError
from grokscope.recipes.branches import BRANCHES, CONTROL, PARENT, after_fork, branch_figures, figure, label_of


class Fake:
    """A fork at step 100 that ends at step 140, seen with its parent's log before it."""

    def __init__(self, changes: list[str], series: dict[str, Any], at: int = 100) -> None:
        self.directory = Path("fork")
        self.spec: dict[str, Any] = {"parent": {"step": at, "changes": changes}}
        self._series = series
        self.last_step = 140

    def has(self, key: str, module: str | None = None) -> bool:
        return key in self._series

    def series(self, key: str, module: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        steps, values = self._series[key]
        return np.array(steps), np.array(values, float)


def forked(changes: list[str], series: dict[str, Any], at: int = 100) -> Any:
    return Fake(changes, series, at)


STEPS = [0, 50, 70, 90, 100, 101, 120, 140]
ACCURACY = {"test/accuracy": (STEPS, [0, 0.1, 0.5, 0.9, 1, 0.3, 0.6, 0.9])}
KEPT = {"test/accuracy": (STEPS, [0, 0.1, 0.5, 0.9, 1, 1, 1, 1])}
QUANTITY = [("test/accuracy", "", False)]


def drawn(*runs: Any) -> dict[str, Any]:
    return figure(runs, "Test accuracy", QUANTITY, y_title="accuracy")


def test_the_parent_before_and_the_forks_after_the_line() -> None:
    one = drawn(forked(["weight-norm"], ACCURACY), forked([], KEPT))
    before, branch, control = one["data"]
    # from as long before the fork as the forks go on after it: 100 - 40
    assert (before["x"], before["y"]) == ([70, 90, 100], [0.5, 0.9, 1])
    assert (branch["x"], branch["y"]) == ([100, 101, 120, 140], [1, 0.3, 0.6, 0.9])
    assert (control["x"], control["y"]) == ([100, 101, 120, 140], [1, 1, 1, 1])
    assert [trace["name"] for trace in one["data"]] == [
        "before the fork",
        "branch: weight-norm",
        "control: nothing changed",
    ]
    assert [trace["line"]["color"] for trace in one["data"]] == [PARENT, BRANCHES[0], CONTROL]


def test_hindsight_before_the_fork_is_the_parents() -> None:
    # at step 100 branch and control disagree: they look back from other last networks
    restricted = [("test/accuracy", "", True)]
    one = figure([forked(["x"], {"test/accuracy": (STEPS, [9] * 8)}), forked([], KEPT)], "", restricted, y_title="a")
    assert one["data"][0]["y"] == [0.5, 0.9, 1]
    alone = figure([forked(["x"], ACCURACY)], "", restricted, y_title="a")
    assert alone["data"][0]["x"] == [70, 90]


def test_steps_after_the_fork_on_a_log_axis() -> None:
    one = after_fork([forked(["x"], ACCURACY), forked([], KEPT)], "", "test/accuracy", y_title="accuracy")
    assert [trace["customdata"] for trace in one["data"]] == [[0, 1, 20, 40]] * 2
    assert one["data"][0]["y"] == [1, 0.3, 0.6, 0.9]
    assert one["layout"]["xaxis"]["type"] == "log"


def test_the_fork_is_marked_at_its_step_on_a_linear_axis() -> None:
    layout = drawn(forked(["x"], ACCURACY), forked([], KEPT))["layout"]
    (mark,) = [shape for shape in layout["shapes"] if shape["type"] == "line"]
    assert (mark["x0"], mark["x1"], mark["y0"], mark["y1"]) == (100, 100, 0, 1)
    assert [note["text"] for note in layout["annotations"]] == ["fork, step 100"]
    assert layout["xaxis"].get("type") != "log"


def test_a_fork_at_step_0_has_no_curve_before_it() -> None:
    one = drawn(forked(["x"], ACCURACY, at=0), forked([], KEPT, at=0))
    assert [trace["name"] for trace in one["data"]] == ["branch: x", "control: nothing changed"]
    assert one["data"][0]["x"] == STEPS


def test_several_branches_have_colours_of_their_own() -> None:
    one = drawn(*[forked([name], ACCURACY) for name in "abcdefg"], forked([], KEPT))
    colours = [trace["line"]["color"] for trace in one["data"][1:]]
    assert colours == [*BRANCHES, *BRANCHES[:2], CONTROL]


def test_only_what_is_stored_is_drawn() -> None:
    runs = [forked(["x"], ACCURACY), forked([], KEPT)]
    assert [name for name, *_ in branch_figures(runs)] == ["branch-accuracy", "branch-after"]
    weights = {"weights/sum_of_squares": (STEPS, range(8)), "test/loss": (STEPS, [1] * 8)}
    restricted = {"fourier/restricted_loss": (STEPS, [0.5] * 8)}
    runs = [forked(["x"], {**ACCURACY, **weights, **restricted}), forked([], {**KEPT, **weights})]
    named = {name: one for name, _, _, one in branch_figures(runs)}
    assert list(named) == ["branch-accuracy", "branch-after", "branch-loss", "branch-weights"]
    assert [(trace["name"], trace["line"]["dash"]) for trace in named["branch-loss"]["data"]] == [
        ("before the fork", "solid"),
        ("branch: x", "solid"),
        ("control: nothing changed", "solid"),
        ("before the fork, restricted", "dot"),
        ("branch: x, restricted", "dot"),
    ]
    assert named["branch-loss"]["layout"]["yaxis"]["type"] == "log"


def test_labels_say_what_was_changed() -> None:
    assert label_of(forked(["a=1 (was 2)", "weight-norm"], {})) == "branch: a=1 (was 2), weight-norm"
    assert label_of(forked([], {})) == "control: nothing changed"


def test_a_report_mixes_no_forks_with_other_runs(tmp_path: Path) -> None:
    import grokscope as gs
    from grokscope.execution.reporting import render

    run = gs.run("nanda2023/modular-addition", scale="smoke", set={"learner.steps": 6}, out=tmp_path)
    branch, control = gs.fork(run, at=3, set={"optimizer.weight_decay": 0})
    text = render([branch.stored, control.stored])
    for wanted in ("figure-branch-accuracy", "figure-branch-weights", "forked at step 3", "optimizer.weight_decay=0.0"):
        assert wanted in text
    assert "median, range" not in text
    with pytest.raises(UsageError, match="shows forks beside forks of the same state: give a branch and its control"):
        render([run.stored, control.stored])
    alone = render([branch.stored])
    assert "figure-accuracy" in alone
