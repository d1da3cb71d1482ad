"""``grokscope compare``: what differs, what came out, and whether it is the same to the bit."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from commands import NAME, PLAIN, TINY, ask, only_run, refused, setting
from grokscope.execution.compare import differences, equality, names_of
from grokscope.execution.overlay import overlays
from grokscope.spec import Seeds
from grokscope.store import RunWriter, StoredRun, find_runs

PERFORMANCE = [f"{probe}/{word}" for probe in ("all", "leak_free", "test", "train") for word in ("accuracy", "loss")]


@pytest.fixture(scope="session")
def _wider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wider")
    changes = setting("model.width=12", "learner.steps=4")
    assert ask("run", NAME, *TINY, *PLAIN, *changes, "--out", root).code == 0
    return root


@pytest.fixture
def wider(_wider: Path) -> StoredRun:
    """Seed 0 of the pair in another width, for 4 steps; to be read only."""
    return only_run(_wider)


def figure_data(html: str) -> list[dict]:
    """The figures of a page."""
    found = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    return [json.loads(one) for one in found]


def test_what_differs_and_what_came_out(pair: list[StoredRun], wider: StoredRun) -> None:
    runs = [*pair, wider]
    document = ask("compare", *(run.directory for run in runs), "--json").document
    assert (document["schema"], document["kind"]) == (1, "compare")
    assert document["differences"] == [
        {"key": "learner.steps", "values": [6, 6, 4]},
        {"key": "model.width", "values": [8, 8, 12]},
        {"key": "seed.base", "values": [0, 1, 0]},
    ]
    assert [one["run_dir"] for one in document["runs"]] == [str(run.directory) for run in runs]
    assert [one["steps"] for one in document["runs"]] == [6, 6, 4]
    assert [one["phases"]["generalise_step"] for one in document["runs"]] == [None] * 3
    assert all(one["phases"]["bands"] for one in document["runs"])
    final = {one["key"]: one["values"] for one in document["final"]}
    assert final["test/loss"] == [run.final()["test/loss"] for run in runs]
    assert list(final)[: len(PERFORMANCE)] == PERFORMANCE
    assert {"step/loss", "weights/sum_of_squares"} <= final.keys()
    assert not any("@" in key for key in final)
    assert document["equal"] is None


def test_two_trainings_are_not_compared_bit_by_bit(pair: list[StoredRun]) -> None:
    equal = ask("compare", *(run.directory for run in pair), "--json").document["equal"]
    assert equal == {
        "same_training": False, "bitwise": None, "rows": None, "different": None, "first": None, "checkpoint": None
    }  # fmt: skip


def test_the_same_training_is_equal_to_the_bit(one: StoredRun, tmp_path: Path) -> None:
    root = one.directory.parents[2]
    more = setting('record.measures=["performance","gini"]')
    assert ask("run", NAME, *TINY, *PLAIN, *more, "--out", root).code == 0
    other = StoredRun(one.directory.with_name(one.directory.name + ".2"))
    document = ask("compare", one.directory, other.directory, "--json").document
    assert [told["key"] for told in document["differences"]] == ["record.measures"]
    common = 7 * len(PERFORMANCE) + 6  # step/loss has no value at step 0
    assert document["equal"] == {
        "same_training": True, "bitwise": True, "rows": common, "different": 0, "first": None,
        "checkpoint": {"step": 6, "equal": True},
    }  # fmt: skip
    assert ask("compare", one.directory, other.directory).stdout.splitlines()[-1] == (
        f"Bitwise equal: the same training, {common} common numbers are equal, the checkpoints at step 6 are equal."
    )
    assert equality(one, other) == document["equal"]


def test_a_number_that_differs_is_named(one: StoredRun, tmp_path: Path) -> None:
    other = StoredRun(shutil.copytree(one.directory, tmp_path / "other"))
    with RunWriter.reopen(other.directory) as writer:
        writer.backfill("odd", [(4, "test/loss", None, -1.0, 1)])
    equal = equality(one, other)
    assert (equal["bitwise"], equal["different"]) == (False, 1)
    assert equal["first"] == {
        "step": 4, "key": "test/loss", "module": None, "values": [one.series("test/loss")[1][4], -1.0]
    }  # fmt: skip
    text = ask("compare", one.directory, other.directory).stdout.splitlines()[-1]
    assert text.startswith("Not bitwise equal, though the same training: 1 of ")
    assert "the first test/loss at step 4, the checkpoints at step 6 are equal." in text


def test_a_state_that_differs_is_named(one: StoredRun, tmp_path: Path) -> None:
    other = StoredRun(shutil.copytree(one.directory, tmp_path / "other"))
    other.checkpoints.save(6, b"another state", marks={})
    equal = equality(one, other)
    assert (equal["bitwise"], equal["different"]) == (False, 0)
    assert equal["checkpoint"] == {"step": 6, "equal": False}


def test_a_member_and_the_run_alone_are_different_trainings(members: list[StoredRun], pair: list[StoredRun]) -> None:
    document = ask("compare", members[0].directory, pair[0].directory, "--json").document
    assert document["differences"] == [{"key": "engine", "values": ["ensemble", "single"]}]
    assert document["equal"]["same_training"] is False


def test_keys_are_chosen(pair: list[StoredRun]) -> None:
    flat = "weights/tensor_sum_of_squares@W_E"
    document = ask("compare", *(r.directory for r in pair), "--keys", f"test/loss,{flat}", "--json").document
    assert [one["key"] for one in document["final"]] == ["test/loss", flat]
    sentence = refused(2, "compare", *(run.directory for run in pair), "--keys", "tst/loss")
    assert sentence.startswith("unknown key 'tst/loss': did you mean 'test/loss'")


def test_a_key_that_one_run_lacks_is_a_gap(pair: list[StoredRun]) -> None:
    assert ask("measure", pair[0].directory, "--measures", "gini").code == 0
    directories = [run.directory for run in pair]
    (row,) = ask("compare", *directories, "--keys", "gini/embedding", "--json").document["final"]
    assert row["values"] == [pair[0].final()["gini/embedding"], None]
    shared = [one["key"] for one in ask("compare", *directories, "--json").document["final"]]
    assert "gini/embedding" not in shared
    assert "gini/embedding\t" in ask("compare", *directories, "--keys", "gini/embedding").stdout


def test_what_a_person_reads(pair: list[StoredRun]) -> None:
    answer = ask("compare", *(run.directory for run in pair))
    assert (answer.code, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    assert lines[:2] == [f"A  {pair[0].directory}", f"B  {pair[1].directory}"]
    assert "seed.base\t0\t1" in lines
    assert "generalised at step\t–\t–" in lines
    assert any(line.startswith("last value\tA\tB\tB - A") for line in lines)
    assert lines[-1] == "They are different trainings: their settings differ in what is trained."


def test_a_page_lays_the_curves_over_each_other(pair: list[StoredRun], wider: StoredRun, tmp_path: Path) -> None:
    runs = [*pair, wider]
    path = tmp_path / "new" / "page.html"
    answer = ask("compare", *(run.directory for run in runs), "--report", path)
    assert answer.stdout.splitlines()[-1] == f"report: {path}"
    html = path.read_text()
    assert "3 runs side by side" in html
    figures = figure_data(html)
    names = names_of(runs)
    assert names == ["steps 6, width 8, seed 0", "steps 6, width 8, seed 1", "steps 4, width 12, seed 0"]
    assert [trace["name"] for trace in figures[0]["data"]] == [*names, *(f"{name}, train" for name in names)]
    assert len({trace["line"]["color"] for trace in figures[0]["data"]}) == 3
    assert "@inproceedings{nanda2023progress," in html
    document = ask("compare", *(r.directory for r in runs), "--report", path, "--json", "--keys", "test/loss").document
    assert document["report"] == str(path)
    assert len(figure_data(path.read_text())) == 1


def test_curves_are_the_stored_numbers(pair: list[StoredRun]) -> None:
    drawn = {name: figure for name, _, _, figure in overlays(pair, ["a", "b"])}
    assert list(drawn)[:2] == ["overlay-accuracy", "overlay-loss"]
    traces = {trace["name"]: trace for trace in drawn["overlay-loss"]["data"]}
    assert list(traces) == ["a", "b", "a, train", "b, train"]
    assert list(traces["b, train"]["y"]) == pair[1].series("train/loss")[1].tolist()


def test_forks_of_one_state_are_branches(one: StoredRun, tmp_path: Path) -> None:
    answer = ask("fork", one.directory, "--at", 2, "--set", "optimizer.weight_decay=0", "--out", tmp_path / "forks")
    assert answer.code == 0, answer.stderr
    forks = find_runs(tmp_path / "forks")
    document = ask("compare", *forks, "--report", tmp_path / "page.html", "--json").document
    told = {row["key"]: row["values"] for row in document["differences"]}
    assert set(told["optimizer.weight_decay"]) == {0.0, 1.0}
    assert sorted(told) == ["optimizer.weight_decay", "parent.changes"]
    assert 'id="figure-branch-accuracy"' in (tmp_path / "page.html").read_text()
    for fork in forks:
        assert ask("verify", fork, "--replay").code == 0
        assert ask("measure", fork, "--measures", "gini").code == 0
    assert ask("runs", "--delete", "nanda2023", "--yes", "--out", tmp_path / "forks").code == 0
    assert ask("verify", one.directory).code == 0


def test_runs_of_different_experiments_share_a_page(one: StoredRun, wider: StoredRun, tmp_path: Path) -> None:
    other = StoredRun(shutil.copytree(wider.directory, tmp_path / "other"))
    path = other.directory / "spec.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "experiment": "mine"}))
    answer = ask("compare", one.directory, other.directory, "--report", tmp_path / "page.html")
    assert answer.code == 0, answer.stderr
    assert "nanda2023/mine" in (tmp_path / "page.html").read_text()


def test_what_cannot_be_compared_is_told(one: StoredRun, tmp_path: Path) -> None:
    few = "comparing takes at least two runs: name two run directories; grokscope runs lists them."
    assert refused(2, "compare") == few
    assert refused(2, "compare", one.directory) == few
    sentence = refused(2, "compare", one.directory, one.directory / ".." / one.directory.name)
    assert sentence.endswith("is given twice: name different runs.")
    assert refused(2, "compare", one.directory, tmp_path / "none").startswith(f"there is no {tmp_path / 'none'}:")


# -- the library -----------------------------------------------------------------------------------


def test_seeds_that_follow_from_the_base_are_one_difference() -> None:
    def seeds(base: int, **given: int) -> dict:
        return {"seed": Seeds.derive(base, **given).model_dump()}

    assert differences([seeds(0), seeds(1)]) == [{"key": "seed.base", "values": [0, 1]}]
    told = differences([seeds(0), seeds(0, init=5)])
    assert [one["key"] for one in told] == ["seed.init"]
    assert told[0]["values"][1] == 5


def test_sections_in_lists_are_compared_one_by_one() -> None:
    held = [{"interventions": [{"name": "weight-norm", "norm": norm}]} for norm in (3, 4)]
    assert differences(held) == [{"key": "interventions.0.norm", "values": [3, 4]}]
    without = [{"interventions": []}, held[0]]
    assert differences(without) == [
        {"key": "interventions", "values": [[], None]},
        {"key": "interventions.0.name", "values": [None, "weight-norm"]},
        {"key": "interventions.0.norm", "values": [None, 3]},
    ]
    assert differences([{"record": {"measures": ["a"]}}, {"record": {"measures": ["a", "b"]}}]) == [
        {"key": "record.measures", "values": [["a"], ["a", "b"]]}
    ]


def test_names_are_distinct(one: StoredRun, tmp_path: Path) -> None:
    other = StoredRun(shutil.copytree(one.directory, tmp_path / "other"))
    third = StoredRun(shutil.copytree(one.directory, tmp_path / "below" / "other"))
    assert names_of([one, other]) == [one.directory.name, "other"]
    names = names_of([one, other, third])
    assert len(set(names)) == 3
