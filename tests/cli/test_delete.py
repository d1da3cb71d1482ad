"""``grokscope runs --delete``: what was named goes, after asking, and nothing else."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pytest

from commands import Answer, ask, refused
from grokscope.execution import delete as deletion
from grokscope.store import DirectoryLock, StoredRun, find_runs


class Terminal(io.StringIO):
    """A terminal that types this."""

    def isatty(self) -> bool:
        return True


def root_of(run: StoredRun) -> Path:
    return run.directory.parents[2]


def delete(root: Path, *arguments: object) -> Answer:
    return ask("runs", "--delete", *arguments, "--out", root)


def test_what_the_filter_names_goes(pair: list[StoredRun]) -> None:
    root, (one, other) = root_of(pair[0]), pair
    answer = delete(root, "smoke-s0-*", "--yes")
    assert answer.code == 0
    assert answer.stdout.startswith(f"deleted {one.directory} (")
    assert answer.stderr == ""
    assert find_runs(root) == [other.directory]
    assert not any(path.name.startswith(".smoke") for path in other.directory.parent.iterdir())
    answer = delete(root, other.directory, "--yes", "--json")
    (row,) = answer.document["rows"]
    assert (row["run_dir"], row["deleted"], row["reason"]) == (str(other.directory), True, None)
    assert row["bytes"] > 1000
    assert root.is_dir()
    assert list(root.iterdir()) == []  # empty parents are tidied away


@pytest.mark.parametrize("filters", [["nanda2023"], ["nanda2023/*/smoke"], ["*"], ["smoke-s0-*", "smoke-s1-*"]])
def test_a_filter_may_name_several(filters: list[str], pair: list[StoredRun]) -> None:
    root = root_of(pair[0])
    assert len(delete(root, *filters, "--yes", "--json").document["rows"]) == 2
    assert find_runs(root) == []


def test_a_directory_names_the_runs_in_it(pair: list[StoredRun]) -> None:
    root = root_of(pair[0])
    rows = ask("runs", root / "nanda2023", "--out", root, "--json").document["rows"]
    assert [row["run_dir"] for row in rows] == [str(run.directory) for run in pair]
    assert delete(root, root / "nanda2023", "--yes").code == 0
    assert find_runs(root) == []


def test_a_terminal_is_asked(pair: list[StoredRun], monkeypatch: pytest.MonkeyPatch) -> None:
    root = root_of(pair[0])
    for word in ("n\n", "\n", "", "maybe\n"):
        monkeypatch.setattr("sys.stdin", Terminal(word))
        answer = delete(root, "nanda2023")
        assert (answer.code, answer.stdout) == (0, "")
        assert "Delete 2 runs, " in answer.stderr
        assert answer.stderr.endswith("nothing is deleted\n")
        assert all(f"  {run.directory}  (finished, " in answer.stderr for run in pair)
        assert len(find_runs(root)) == 2
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    answer = delete(root, "smoke-s0-*")
    assert "Delete 1 run, " in answer.stderr
    assert find_runs(root) == [pair[1].directory]


def test_without_a_terminal_it_must_be_said(pair: list[StoredRun], monkeypatch: pytest.MonkeyPatch) -> None:
    root = root_of(pair[0])
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    sentence = refused(2, "runs", "--delete", "nanda2023", "--out", root)
    assert sentence == (
        "2 runs would be deleted, and there is no terminal to ask on: look with grokscope runs FILTER, then add --yes."
    )
    assert len(find_runs(root)) == 2


def test_a_run_that_is_being_written_stays(pair: list[StoredRun], monkeypatch: pytest.MonkeyPatch) -> None:
    root, (one, other) = root_of(pair[0]), pair
    with DirectoryLock(one.directory):
        monkeypatch.setattr("sys.stdin", Terminal("y\n"))
        answer = delete(root, "nanda2023")
    assert answer.code == 1
    assert f"  {one.directory}  (is being written, stays)" in answer.stderr
    assert "Delete 1 run, " in answer.stderr
    assert f"kept {one.directory}: {one.directory} is being written by this process" in answer.stdout
    assert f"deleted {other.directory}" in answer.stdout
    assert find_runs(root) == [one.directory]
    assert ask("verify", one.directory).code == 0


def test_an_ensemble_goes_with_its_last_member(members: list[StoredRun], monkeypatch: pytest.MonkeyPatch) -> None:
    root = root_of(members[0])
    (group,) = (root / "groups").iterdir()
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    answer = delete(root, members[0].directory)
    assert "of an ensemble, whose other members can then be neither resumed nor measured" in answer.stderr
    assert str(group) not in answer.stdout
    assert (group / "checkpoints").is_dir()
    answer = delete(root, members[1].directory, "--yes")
    assert f"deleted {group}, the checkpoints of its ensemble, whose last member it was" in answer.stdout
    assert list(root.iterdir()) == []


def test_the_other_ensemble_stays(members: list[StoredRun]) -> None:
    root = root_of(members[0])
    (group,) = (root / "groups").iterdir()
    shutil.copytree(group, root / "groups" / "another")
    assert delete(root, "nanda2023", "--yes").code == 0
    assert [path.name for path in (root / "groups").iterdir()] == ["another"]


def test_links_are_not_followed(pair: list[StoredRun], tmp_path: Path) -> None:
    root, (one, other) = root_of(pair[0]), pair
    elsewhere = tmp_path / "elsewhere"
    kept = elsewhere / "nanda2023" / "x" / "smoke-s7-00000000"
    shutil.copytree(other.directory, kept)
    (root / "linked").symlink_to(elsewhere)
    (root / "nanda2023" / "modular-addition" / "smoke-s9-link").symlink_to(kept)
    (one.directory / "inputs").mkdir(exist_ok=True)
    (one.directory / "inputs" / "link").symlink_to(kept)
    answer = delete(root, "*", "--yes", "--json")
    assert [row["run_dir"] for row in answer.document["rows"]] == [str(run.directory) for run in pair]
    assert (kept / "spec.json").is_file()
    assert (kept / "checkpoints").is_dir()
    assert (root / "linked").is_symlink()


def test_nothing_outside_the_root(pair: list[StoredRun], tmp_path: Path) -> None:
    root = root_of(pair[0])
    outside = tmp_path / "outside"
    shutil.copytree(root, outside)
    sentence = refused(2, "runs", "--delete", outside / "nanda2023", "--yes", "--out", root)
    assert sentence == f"{outside / 'nanda2023'} is not below {root}: name its parent directory of runs with --out."
    sentence = refused(2, "runs", "--delete", "*", "--yes", "--out", pair[0].directory)
    assert sentence.endswith("is itself a run: give the parent directory of all runs with --out.")
    assert len(find_runs(outside)) == len(find_runs(root)) == 2


def test_a_run_that_cannot_be_read_can_go(pair: list[StoredRun]) -> None:
    root = root_of(pair[0])
    (pair[0].directory / "spec.json").write_text("{")
    assert delete(root, "smoke-s0-*", "--yes").code == 0
    assert find_runs(root) == [pair[1].directory]


def test_what_a_killed_deletion_left_is_no_obstacle(pair: list[StoredRun]) -> None:
    root, one = root_of(pair[0]), pair[0]
    left = one.directory.with_name(f".{one.directory.name}.deleted")
    shutil.copytree(one.directory, left)
    assert len(find_runs(root)) == 2  # it is not taken for a run
    assert delete(root, "smoke-s0-*", "--yes").code == 0
    assert not left.exists()


class Killed(BaseException):
    """The process is gone."""


def dying(monkeypatch: pytest.MonkeyPatch, function: str, *, at: int) -> None:
    """Have the process die as it calls a function of the module the ``at``-th time."""
    calls = [0]
    original = getattr(deletion, function)

    def call(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            raise Killed
        return original(*given, **named)

    monkeypatch.setattr(deletion, function, call)


def test_what_a_deletion_killed_half_way_leaves_goes_with_the_next(
    pair: list[StoredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, one = root_of(pair[0]), pair[0]
    with monkeypatch.context() as patch:
        dying(patch, "_erased", at=2)  # renamed, not removed
        with pytest.raises(Killed):
            delete(root, "smoke-s0-*", "--yes")
    left = one.directory.with_name(f".{one.directory.name}.deleted")
    assert deletion.leftovers(root) == [left]
    answer = delete(root, "smoke-s0-*")  # nothing is named so any more, and nobody has said yes
    assert (answer.stdout.endswith("nothing is deleted\n"), answer.stderr, left.is_dir()) == (True, "", True)
    answer = delete(root, "smoke-s0-*", "--yes")
    assert answer.stderr == f"removed {left}, left by a deletion that was killed\n"
    assert not left.exists()
    assert find_runs(root) == [pair[1].directory]


def test_a_group_whose_last_member_went_alone_goes_with_the_next(
    members: list[StoredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = root_of(members[0])
    (group,) = (root / "groups").iterdir()
    assert deletion.leftovers(root) == []
    with monkeypatch.context() as patch:
        dying(patch, "_removed", at=3)  # two members, and before the group
        with pytest.raises(Killed):
            delete(root, "nanda2023", "--yes")
    assert find_runs(root) == []
    assert deletion.leftovers(root) == [group]
    answer = delete(root, "nanda2023", "--yes")
    assert (answer.code, answer.stderr) == (0, f"removed {group}, left by a deletion that was killed\n")
    assert list(root.iterdir()) == []


def test_leftovers_are_looked_for_below_the_root_only(pair: list[StoredRun], tmp_path: Path) -> None:
    root, one = root_of(pair[0]), pair[0]
    outside = tmp_path / "outside" / ".x.deleted"
    kept = [outside, one.directory / ".x.deleted", root / ".git" / ".x.deleted", root / "groups" / "unreadable"]
    for path in kept:
        path.mkdir(parents=True)
    links = [root / ".link.deleted", root / "linked"]
    links[0].symlink_to(outside)
    links[1].symlink_to(outside.parent)
    (root / "deep" / "er" / ".x.deleted").mkdir(parents=True)
    answer = delete(root, "nothing-like-it", "--yes")
    assert answer.stderr == f"removed {root / 'deep' / 'er' / '.x.deleted'}, left by a deletion that was killed\n"
    assert not (root / "deep").exists()
    assert all(path.is_dir() for path in kept)
    assert all(path.is_symlink() for path in links)


def test_two_processes_may_delete_the_last_two_members(members: list[StoredRun], tmp_path: Path) -> None:
    root = root_of(members[0])
    (group,) = (root / "groups").iterdir()
    first, second = ([one] for one in deletion.doomed(root, ["*"]))
    # both members are gone before either process looks at the group
    members[1].directory.rename(tmp_path / "aside")
    (done,) = deletion.delete(root, first)
    assert (done.reason, done.group) == (None, group)
    (done,) = deletion.delete(root, second)
    assert (done.reason, done.group) == (None, None)
    assert list(root.iterdir()) == []


def test_what_another_process_removes_meanwhile_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    remove = shutil.rmtree

    def beaten(path: Path) -> None:
        remove(path / "a")
        monkeypatch.setattr(shutil, "rmtree", remove)
        raise FileNotFoundError(path / "a")

    monkeypatch.setattr(shutil, "rmtree", beaten)
    assert deletion._erased(folder)
    assert not folder.exists()
    assert not deletion._erased(folder)
    assert not deletion._removed(folder)


def test_the_root_must_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sentence = refused(1, "runs", "--out", tmp_path / "file")
    assert sentence == f"{tmp_path / 'file'} is not a directory: give the parent directory of all runs with --out."
    assert "is not a directory" in refused(1, "runs", "--delete", "*", "--yes", "--out", tmp_path / "file")


def test_what_to_delete_must_be_said(pair: list[StoredRun], tmp_path: Path) -> None:
    root = root_of(pair[0])
    sentence = refused(2, "runs", "--delete", "--yes", "--out", root)
    assert sentence.startswith("name what to delete: part of a name, a pattern such as 'nanda2023/*/smoke'")
    sentence = refused(2, "runs", "nanda2023", "--yes", "--out", root)
    assert sentence == "--yes answers the question that --delete asks: add --delete, or leave it out."
    answer = delete(root, "nothing-like-it", "--yes")
    assert (answer.code, answer.stdout) == (0, f"no run in {root} is named by 'nothing-like-it': nothing is deleted\n")
    assert delete(tmp_path / "none", "x", "--yes", "--json").document["rows"] == []
    assert len(find_runs(root)) == 2
    assert ask("runs", "nothing-like-it", "--out", root).stdout.startswith(f"no run in {root} is named by")
