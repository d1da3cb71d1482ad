"""The first state of a fork is held against the spec, not only against the event of its copy."""

from __future__ import annotations

import hashlib
from pathlib import Path

from grokscope.store import STATE, RunWriter
from grokscope.store.verify import verify_files


def made(directory: Path, state: bytes) -> Path:
    """Return a fork from the state ``b"state"`` that was given this one."""
    spec = {"parent": {"step": 6, "state": hashlib.sha256(b"state").hexdigest()}}
    RunWriter.create(directory, spec=spec, environment={}, inputs={Path(STATE).name: state}).close()
    return directory


def about_inputs(directory: Path) -> list[tuple[str, str]]:
    return [(one.status, one.what) for one in verify_files(directory) if one.what.startswith("inputs")]


def test_the_state_a_fork_begins_from_is_the_one_its_spec_names(tmp_path: Path) -> None:
    assert about_inputs(made(tmp_path / "whole", b"state")) == [("ok", "inputs"), ("ok", STATE)]
    other = made(tmp_path / "other", b"another")  # as its own event has it
    assert about_inputs(other) == [("ok", "inputs"), ("damaged", STATE)]
    (other / STATE).unlink()
    assert about_inputs(other) == [("missing", STATE), ("missing", STATE)]


def test_a_run_that_is_no_fork_begins_from_no_state(tmp_path: Path) -> None:
    RunWriter.create(tmp_path / "run", spec={"parent": None}, environment={}).close()
    assert about_inputs(tmp_path / "run") == []
    (tmp_path / "run" / "spec.json").write_text("{")
    assert about_inputs(tmp_path / "run") == []
