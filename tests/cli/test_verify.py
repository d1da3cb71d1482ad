"""``grokscope verify``: a sound run is told to be sound, and every kind of damage is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import NAME, TINY, Killed, ask, killed, only_run, refused, setting, trouble
from grokscope.execution.verify import verify
from grokscope.store import DirectoryLock, RunWriter, StoredRun, seal

Harm = Callable[[Path], object]


def cut(name: str, count: int) -> Harm:
    """Cut bytes off a file's end."""
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:-count])


def change(name: str, old: str, new: str) -> Harm:
    """Replace the first of some text in a file."""

    def harm(run: Path) -> None:
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return harm


def remove(name: str) -> Harm:
    return lambda run: (run / name).unlink()


def flip(name: str) -> Harm:
    """Change one bit of a file's last byte."""

    def harm(run: Path) -> None:
        data = (run / name).read_bytes()
        (run / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    return harm


def swap_lines(run: Path) -> None:
    path = run / "scalars.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[-1], *lines[1:-1], lines[0]]))


def double_line(run: Path) -> None:
    path = run / "scalars.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], *lines]))


def with_input(harm: Harm) -> Harm:
    def made(run: Path) -> None:
        with RunWriter.reopen(run) as writer:
            writer.input("key", b"value")
        harm(run)

    return made


STATE = "checkpoints/0000000004.safetensors"
DAMAGE: dict[str, tuple[Harm, str, str, str]] = {
    "spec gone": (remove("spec.json"), "missing", "spec.json", "restore it from a copy."),
    "spec broken": (cut("spec.json", 9), "damaged", "spec.json", "is not JSON"),
    "spec changed": (
        change("spec.json", '"modulus": 5', '"modulus": 7'),
        "damaged",
        "spec.json training_id",
        "spec.json was changed.",
    ),
    "spec of the future": (change("spec.json", '"schema": 1', '"schema": 9'), "damaged", "spec.json", "schema 9"),
    "no identity": (
        change("spec.json", '"training_id"', '"trained_id"'),
        "missing",
        "spec.json training_id",
        "nothing of the identity",
    ),
    "environment gone": (remove("environment.json"), "missing", "environment.json", "restore it"),
    "environment broken": (cut("environment.json", 9), "damaged", "environment.json", "is not JSON"),
    "events gone": (remove("events.jsonl"), "missing", "events.jsonl", "nothing tells how the run went"),
    "event broken": (change("events.jsonl", '{"', '{'), "damaged", "events.jsonl", "line 1 is broken."),
    "no event": (change("events.jsonl", '"kind"', '"kin"'), "damaged", "events.jsonl", "line 1 is no event"),
    "log gone": (remove("scalars.jsonl"), "missing", "scalars.jsonl", "the log is gone"),
    "line broken": (change("scalars.jsonl", '{"', '{'), "damaged", "scalars.jsonl", "line 1 is broken."),
    "no row": (change("scalars.jsonl", '"step"', '"stop"'), "damaged", "scalars.jsonl", "line 1 of "),
    "log torn": (cut("scalars.jsonl", 3), "damaged", "scalars.jsonl", "ends in a torn line ("),
    "steps back": (swap_lines, "damaged", "scalars.jsonl", "line 2 goes back from step 6 to step 0."),
    "line twice": (double_line, "damaged", "scalars.jsonl", "line 2 holds "),
    "value changed": (
        change("scalars.jsonl", '"value":0', '"value":7'),
        "damaged",
        "scalars.parquet",
        "where the JSON lines have 7",
    ),
    "parquet cut": (cut("scalars.parquet", 9), "damaged", "scalars.parquet", "is not a readable log"),
    "array cut": (cut("arrays/made/0000000002.safetensors", 3), "damaged",
                  "arrays/made/0000000002.safetensors", "is not a readable array file"),
    "checkpoint gone": (remove(STATE), "missing", STATE, "the index has it, for step 4."),
    "checkpoint flipped": (flip(STATE), "damaged", STATE, "whose SHA-256 is not the recorded one"),
    "checkpoint cut": (cut(STATE, 1), "damaged", STATE, "bytes where the index has "),
    "index broken": (
        change("checkpoints/index.jsonl", '{"', '{'),
        "damaged",
        "checkpoints",
        "index.jsonl is broken",
    ),
    "input flipped": (with_input(flip("inputs/key")), "damaged", "inputs/key", "its SHA-256 is not the one"),
    "input gone": (with_input(remove("inputs/key")), "missing", "inputs/key", "an event says that it was copied"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_named(name: str, one: StoredRun) -> None:
    harm, status, what, fragment = DAMAGE[name]
    shutil.rmtree(one.directory / "arrays", ignore_errors=True)
    make_array(one.directory)
    assert all(finding.status == "ok" for finding in verify(one.directory))
    harm(one.directory)
    answer = ask("verify", one.directory, "--json")
    assert answer.code == 1, answer
    assert answer.document["sound"] is False
    matching = [row for row in answer.document["rows"] if (row["status"], row["what"]) == (status, what)]
    assert any(fragment in row["detail"] for row in matching), answer.document["rows"]


def make_array(run: Path) -> None:
    import numpy as np
    from safetensors.numpy import save

    with RunWriter.reopen(run) as writer:
        writer.array("made", 2, save({"x": np.ones(3)}))


def test_a_log_cut_at_a_line_is_shorter_than_its_checkpoints(one: StoredRun) -> None:
    path = one.directory / "scalars.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-30]))
    rows = ask("verify", one.directory, "--json").document["rows"]
    wrong = {row["what"]: row["detail"] for row in rows if row["status"] == "damaged"}
    assert "before the checkpoint at step 6" in wrong["scalars.jsonl"]
    assert wrong["scalars.parquet"].startswith("holds ")


def test_a_sound_run(one: StoredRun) -> None:
    before = {path: path.read_bytes() for path in one.directory.rglob("*") if path.is_file()}
    answer = ask("verify", one.directory)
    assert answer.code == 0
    assert answer.stderr == ""
    lines = answer.stdout.splitlines()
    assert lines[0] == "\twhat\tfound"
    assert all(line.startswith("ok\t") for line in lines[1:-1])
    assert lines[-1] == f"{one.directory}: sound"
    assert "ok\tcheckpoints\t4 with their digests, the last at step 6" in lines
    document = ask("verify", one.directory, "--json").document
    assert document["schema"] == 1
    assert document["sound"] is True
    assert document["run_dir"] == str(one.directory)
    assert {path: path.read_bytes() for path in before} == before


def test_what_a_kill_leaves_is_no_damage(tmp_path: Path) -> None:
    changes = setting('record.measures=["performance","troubled"]', "record.extra=[]", "record.observe.every=1")
    with trouble({5: killed}), pytest.raises(Killed):
        ask("run", NAME, *TINY, *changes, "--out", tmp_path)
    run = only_run(tmp_path)
    for name in ("scalars.jsonl", "events.jsonl"):
        with (run.directory / name).open("a") as file:
            file.write('{"key":"train')
    (run.directory / "checkpoints").mkdir(exist_ok=True)
    (run.directory / "checkpoints" / "0000000005.safetensors").write_bytes(b"half")
    answer = ask("verify", run.directory)
    assert answer.code == 0, answer.stdout
    assert "ok\tscalars.jsonl\tends in a torn line (13 bytes), which the next writer cuts off" in answer.stdout
    assert "ok\tcheckpoints\t0000000005.safetensors never reached the index and is not used" in answer.stdout


def test_an_unsealed_run_is_sound(one: StoredRun) -> None:
    (one.directory / "scalars.parquet").unlink()
    answer = ask("verify", one.directory)
    assert answer.code == 0
    assert "ok\tscalars.parquet\tnot there: the JSON lines are read" in answer.stdout
    seal(one.directory)
    assert ask("verify", one.directory).code == 0


def test_a_run_being_written_is_told(one: StoredRun) -> None:
    with DirectoryLock(one.directory):
        answer = ask("verify", one.directory)
    assert answer.code == 0
    assert "ok\tlock\ta process is writing here" in answer.stdout


def test_settings_that_are_not_known_here_are_no_damage(one: StoredRun) -> None:
    change("spec.json", '"name": "modular-addition"', '"name": "of-another-package"')(one.directory)
    rows = ask("verify", one.directory, "--json").document["rows"]
    (found,) = [row for row in rows if row["what"] == "spec.json training_id"]
    assert found["status"] == "ok"
    assert found["detail"].startswith("not checked, the settings are not known here: unknown task 'of-another-package'")


def test_a_run_of_earlier_versions_is_not_taken_for_a_changed_one(
    one: StoredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from grokscope.learners.settings import GradientSettings

    path = one.directory / "spec.json"
    tree = json.loads(path.read_text())
    spec_id = tree["training_id"]
    monkeypatch.setattr(GradientSettings, "version", GradientSettings.version + 1)
    rows = ask("verify", one.directory, "--json").document["rows"]
    (found,) = [row for row in rows if row["what"] == "spec.json training_id"]
    assert found["status"] == "ok"
    assert found["detail"] == f"{spec_id[:8]}…, the hash of its settings, in version learner 1 (now trained otherwise)"


def test_a_setting_that_came_later_does_not_change_the_identity_of_old_runs(one: StoredRun) -> None:
    from grokscope.execution.plan import stored_spec

    spec, tree = stored_spec(one), one.spec
    assert spec.training_id_of(tree, spec.versions) == spec.training_id == tree["training_id"]
    del tree["optimizer"]["epsilon"]  # as if it had been written before there was one
    assert spec.training_id_of(tree, spec.versions) != spec.training_id


def test_replay(one: StoredRun) -> None:
    answer = ask("verify", one.directory, "--replay")
    assert answer.code == 0, answer.stdout
    assert "ok\treplay\t" in answer.stdout
    assert " values at step 6 come out as logged" in answer.stdout
    path = one.directory / "scalars.jsonl"
    lines = path.read_text().splitlines()
    index = next(i for i, line in enumerate(lines) if '"key":"test/loss"' in line and '"step":6' in line)
    row = json.loads(lines[index])
    lines[index] = lines[index].replace(repr(row["value"]), repr(row["value"] * 1.001))
    path.write_text("\n".join(lines) + "\n")
    rows = ask("verify", one.directory, "--replay", "--json").document["rows"]
    (found,) = [row for row in rows if row["what"] == "replay"]
    assert found["status"] == "damaged"
    assert found["detail"].startswith("test/loss at step 6 is ")


def test_an_ensemble_is_complete_or_not(members: list[StoredRun]) -> None:
    run = members[0]
    answer = ask("verify", run.directory, "--replay")
    assert answer.code == 0, answer.stdout
    assert "ok\tensemble\t2 members are there" in answer.stdout
    assert "ok\tensemble checkpoints\t4 with their digests, the last at step 6" in answer.stdout
    (group,) = (run.directory.parents[2] / "groups").iterdir()
    flip(STATE)(group)
    rows = ask("verify", run.directory, "--json").document["rows"]
    assert ("damaged", f"ensemble {STATE}") in [(row["status"], row["what"]) for row in rows]
    shutil.rmtree(members[1].directory)
    rows = ask("verify", run.directory, "--json").document["rows"]
    (found,) = [row for row in rows if row["what"] == "ensemble"]
    assert found["status"] == "missing"
    assert str(members[1].directory.name) in found["detail"]
    shutil.rmtree(group)
    assert "group.json cannot be read" in ask("verify", run.directory).stdout


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    assert refused(2, "verify", tmp_path / "none") == f"there is no {tmp_path / 'none'}: " + (
        "give the directory of a run; grokscope runs lists them."
    )
    assert "holds no run" in refused(1, "verify", tmp_path)
    assert refused(2, "verify").startswith('Command "verify" parameter --run requires an argument.')
