"""``grokscope measure``: what is measured afterwards is what would have been measured live."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import NAME, TINY, Killed, ask, killed, only_run, refused, setting, trouble
from grokscope.cli.measure import measure_names
from grokscope.measures.base import Key, Measure
from grokscope.registry import MEASURES
from grokscope.store import DirectoryLock, StoredRun, read_lines

STEPS = [0, 2, 4, 6]
LATER = ("gini", "fourier", "gradient")


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """The training of the fixture ``one`` with every measure live; to be read only."""
    root = tmp_path_factory.mktemp("live")
    names = ",".join(f'"{name}"' for name in ("performance", "weights", *LATER))
    changes = setting(
        f"record.measures=[{names}]", "record.extra=[]", "record.observe.every=1", "record.checkpoints.every=2"
    )
    assert ask("run", NAME, *TINY, *changes, "--out", root).code == 0
    return only_run(root)


@pytest.fixture
def inapplicable() -> Iterator[str]:
    """The name of a measure that applies to no run here."""
    measure = Measure("nowhere", 1, {"x": Key("x")}, "a test", compute=lambda _: {"x": 1.0}, needs=("probe:far",))
    MEASURES.add("nowhere", measure)
    yield "nowhere"
    del MEASURES._known["nowhere"]


def numbers(path: Path, *prefixes: str, steps: list[int] | None = None) -> dict[tuple[Any, ...], Any]:
    """The rows of a file of JSON lines, by (step, key, module, version)."""
    return {
        (row["step"], row["key"], row["module"], row["version"]): row["value"]
        for row in read_lines(path)
        if row["key"].startswith(prefixes) and (steps is None or row["step"] in steps)
    }


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_back_fill_is_what_live_measuring_gives_bit_for_bit(one: StoredRun, live: StoredRun) -> None:
    answer = ask("measure", one.directory, "--measures", "gini,fourier", "--measures", "gradient", "--json")
    assert answer.code == 0, answer.stderr
    assert answer.document["run_dir"] == str(one.directory)
    assert [(row["measure"], row["steps"]) for row in answer.document["rows"]] == [(name, STEPS) for name in LATER]
    for name in LATER:
        wanted = numbers(live.directory / "scalars.jsonl", f"{name}/", steps=STEPS)
        if name == "fourier":
            wanted |= numbers(live.directory / "backfill-fourier.jsonl", "fourier/", steps=STEPS)
            assert any(key == "fourier/restricted_loss" for _, key, *_ in wanted)
        assert wanted
        assert numbers(one.directory / f"backfill-{name}.jsonl", f"{name}/") == wanted
    for step in STEPS:
        place = Path("arrays") / "fourier" / f"{step:010d}.safetensors"
        assert (one.directory / place).read_bytes() == (live.directory / place).read_bytes()
    place = Path("arrays") / "references" / "fourier.safetensors"
    assert (one.directory / place).read_bytes() == (live.directory / place).read_bytes()
    assert one.arrays() == live.arrays()  # nothing transient stays


def test_the_run_is_sealed_again_and_sound(one: StoredRun) -> None:
    log = (one.directory / "scalars.jsonl").read_bytes()
    assert ask("measure", one.directory, "--measures", "gini").code == 0
    assert (one.directory / "scalars.jsonl").read_bytes() == log
    assert one.status == "finished"
    assert one.series("gini/embedding")[0].tolist() == STEPS
    assert ask("verify", one.directory).code == 0
    assert [event["measure"] for event in one.events("backfilled")] == ["gini"]
    again = files(one.directory)
    assert ask("measure", one.directory, "--measures", "gini").code == 0
    changed = {name for name, data in files(one.directory).items() if again.get(name) != data}
    assert changed <= {"events.jsonl", "scalars.parquet", ".lock"}


def test_rows_of_other_steps_stay(live: StoredRun, tmp_path: Path) -> None:
    run = StoredRun(shutil.copytree(live.directory, tmp_path / "run"))
    before = numbers(run.directory / "backfill-fourier.jsonl", "fourier/")
    assert {step for step, *_ in before} == set(range(7))
    assert ask("measure", run.directory, "--measures", "fourier", "--steps", "2,6").code == 0
    after = numbers(run.directory / "backfill-fourier.jsonl", "fourier/")
    assert {place: after[place] for place in before} == before
    assert {(step, key) for step, key, *_ in after.keys() - before.keys()} == {
        (step, key) for step, key, *_ in numbers(run.directory / "scalars.jsonl", "fourier/", steps=[2, 6])
    }
    for key in live.keys():  # noqa: SIM118
        assert run.series(key)[1].tolist() == pytest.approx(live.series(key)[1].tolist(), abs=0, nan_ok=True)


def test_some_steps_only(one: StoredRun) -> None:
    answer = ask("measure", one.directory, "--measures", "gini", "--steps", "4,0", "--json")
    assert answer.document["rows"][0]["steps"] == [0, 4]
    assert one.series("gini/embedding")[0].tolist() == [0, 4]
    sentence = refused(2, "measure", one.directory, "--measures", "gini", "--steps", "3")
    assert sentence == f"{one.directory} has no checkpoint at step 3: there are 0, 2, 4, 6."
    sentence = refused(2, "measure", one.directory, "--measures", "gini", "--steps", "a")
    assert sentence == "--steps 'a' is no list of steps: write for example 0,1000,2000."


def test_one_checkpoint_is_shown_and_nothing_is_written(one: StoredRun, live: StoredRun) -> None:
    before = files(one.directory)
    path = one.directory / "checkpoints" / "0000000004.safetensors"
    answer = ask("measure", path, "--measures", "gini,fourier", "--json")
    assert answer.code == 0, answer.stderr
    document = answer.document
    assert (document["kind"], document["step"], document["checkpoint"]) == ("values", 4, str(path))
    wanted = numbers(live.directory / "scalars.jsonl", "gini/", "fourier/", steps=[4])
    wanted |= numbers(live.directory / "backfill-fourier.jsonl", "fourier/", steps=[4])
    assert {(4, r["key"], r["module"], r["version"]): r["value"] for r in document["rows"]} == wanted
    given = {(row["array"], row["tensor"]): row["shape"] for row in document["arrays"]}
    assert given == {
        (name, tensor): list(values.shape) for name in live.arrays() for tensor, values in live.array(name, 4).items()
    }
    assert ("fourier", "spectrum_embedding") in given
    text = ask("measure", path, "--measures", "gini").stdout
    assert text.splitlines()[0] == "key\tvalue"
    assert any(line.startswith("gini/embedding\t0.") for line in text.splitlines())
    assert files(one.directory) == before


def test_members_of_an_ensemble_are_measured_one_by_one(members: list[StoredRun], pair: list[StoredRun]) -> None:
    for member, alone in zip(members, pair, strict=True):
        for run in (member, alone):
            assert ask("measure", run.directory, "--measures", "gini").code == 0
        assert member.series("gini/embedding")[0].tolist() == STEPS
        assert member.series("gini/embedding")[1] == pytest.approx(alone.series("gini/embedding")[1], rel=1e-5)
    root = members[0].directory.parents[2]
    (path,) = root.glob("groups/*/checkpoints/0000000006.safetensors")
    rows = ask("measure", path, "--measures", "gini", "--json").document["rows"]
    assert {row["run_dir"] for row in rows} == {str(run.directory.resolve()) for run in members}
    assert [r["value"] for r in rows if r["key"] == "gini/embedding"] == [
        run.series("gini/embedding")[1][-1] for run in members
    ]


# -- what cannot be measured -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["gini,fourier"], ["gini", "fourier"]),
        (["sparsity:threshold=0.1,fourier"], ["sparsity:threshold=0.1", "fourier"]),
        (["sparsity:threshold=0.1,mode=absolute,fourier"], ["sparsity:threshold=0.1,mode=absolute", "fourier"]),
        (["gini, a:x=1 , y=2,b:z=3"], ["gini", "a:x=1,y=2", "b:z=3"]),
        (["a:x=1", "b"], ["a:x=1", "b"]),
    ],
)
def test_options_of_measures_are_told_from_measures(given: list[str], wanted: list[str]) -> None:
    assert measure_names(given) == wanted


def test_wrong_names_are_told(one: StoredRun, tmp_path: Path) -> None:
    sentence = refused(2, "measure", one.directory, "--measures", "fouriar")
    assert sentence.startswith("unknown measure 'fouriar': did you mean 'fourier'")
    sentence = refused(2, "measure", one.directory, "--measures", "gini,threshold=0.1")
    assert sentence == "'threshold=0.1' names no measure: write its options as NAME:key=value,key=value."
    assert refused(2, "measure", one.directory, "--measures", ",").startswith("name at least one measure")
    sentence = refused(2, "measure", one.directory, "--measures", "gini", "--model", "code.py:make")
    assert sentence.endswith("makes its model from its spec: leave --model out, it is for monitored runs.")
    assert "--measures" in refused(2, "measure", one.directory)
    assert refused(2, "measure", tmp_path / "none", "--measures", "gini").startswith(
        f"there is no {tmp_path / 'none'}:"
    )
    stray = tmp_path / "0000000001.safetensors"
    stray.write_bytes(b"x")
    sentence = refused(2, "measure", stray, "--measures", "gini")
    assert sentence.startswith(f"{stray} is not a checkpoint of a run: give a run directory")
    path = one.directory / "checkpoints" / "0000000004.safetensors"
    assert "--steps is for a run directory" in refused(2, "measure", path, "--measures", "gini", "--steps", "4")


def test_a_measure_that_does_not_apply_says_why(one: StoredRun, inapplicable: str) -> None:
    answer = ask("measure", one.directory, "--measures", inapplicable, "--json")
    assert answer.code == 1
    (line,) = answer.stderr.splitlines()
    assert line.startswith("nowhere needs a probe called 'far'; this task has ")
    assert answer.document["rows"][0]["reason"] == line
    assert not (one.directory / "backfill-nowhere.jsonl").exists()
    both = ask("measure", one.directory, "--measures", f"{inapplicable},gini")
    assert (both.code, both.stderr.splitlines()) == (0, [line])


def test_a_run_without_checkpoints_says_what_to_do(one: StoredRun) -> None:
    shutil.rmtree(one.directory / "checkpoints")
    sentence = refused(1, "measure", one.directory, "--measures", "gini")
    assert sentence == (
        f'{one.directory} has no checkpoint to measure: resume it, or run it anew with --set record.measures=["gini"].'
    )


def test_a_damaged_checkpoint_is_told_and_the_others_are_measured(one: StoredRun) -> None:
    (one.directory / "checkpoints" / "0000000004.safetensors").write_bytes(b"broken")
    answer = ask("measure", one.directory, "--measures", "gini", "--json")
    assert answer.code == 0
    assert answer.document["rows"][0]["steps"] == [0, 2, 6]
    assert "the checkpoint at step 4" in answer.stderr
    assert "is corrupt" in answer.stderr


def test_a_measure_that_raises_ends_nothing(one: StoredRun) -> None:
    def fail() -> float:
        raise ValueError("no")

    with trouble({2: fail}):
        answer = ask("measure", one.directory, "--measures", "troubled", "--json")
    assert answer.code == 0
    assert answer.document["rows"][0]["steps"] == [0, 4, 6]
    assert answer.stderr == "troubled: at step 2: ValueError: no\n"
    assert [event["reason"] for event in one.events("measure_failed")] == ["at step 2: ValueError: no"]


def test_a_run_that_is_being_written_is_left_alone(one: StoredRun) -> None:
    with DirectoryLock(one.directory):
        sentence = refused(1, "measure", one.directory, "--measures", "gini")
    assert "is being written by this process" in sentence


def test_versions_are_not_mixed_in_silence(one: StoredRun, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("measure", one.directory, "--measures", "troubled", "--steps", "0").code == 0
    newer = Measure("troubled", 2, {"step": Key("the step")}, "a test", compute=lambda s: {"step": -1.0})
    monkeypatch.setitem(MEASURES._known, "troubled", newer)
    answer = ask("measure", one.directory, "--measures", "troubled", "--steps", "0,2")
    assert answer.stderr == ("troubled: the log also holds version 1 of it: do not mix them in one figure.\n")
    assert set(numbers(one.directory / "backfill-troubled.jsonl", "troubled/")) == {
        (0, "troubled/step", None, 1), (0, "troubled/step", None, 2), (2, "troubled/step", None, 2)
    }  # fmt: skip
    assert one.series("troubled/step")[1].tolist() == [-1.0, -1.0]


def test_an_interrupted_run_is_measured_and_still_ends_as_it_should(tmp_path: Path) -> None:
    changes = setting(
        'record.measures=["performance","fourier","troubled"]',
        "record.extra=[]",
        "record.observe.every=3",
        "record.observe.per_decade=null",
        "record.checkpoints.every=2",
    )
    with trouble({6: killed}), pytest.raises(Killed):
        ask("run", NAME, *TINY, *changes, "--out", tmp_path)
    run = only_run(tmp_path)
    status = run.status
    answer = ask("measure", run.directory, "--measures", "fourier", "--json")
    assert answer.code == 0
    assert answer.document["rows"][0]["steps"] == [0, 2, 4]
    assert answer.stderr == (
        "fourier: the run has no end yet: there is no final network to look back from, so only keys in _online are "
        "given.\n"
    )
    assert run.status == status == "failed"
    assert not run.has("fourier/restricted_loss")
    assert ask("resume", run.directory).code == 0
    assert run.status == "finished"
    assert run.events("measure_failed") == []
    assert run.series("fourier/restricted_loss")[0].tolist() == [0, 2, 3, 4, 6]
    assert "fourier.transient" not in run.arrays()
    assert ask("verify", run.directory).code == 0
