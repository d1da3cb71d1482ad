from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from commands import LOGGED, NAME, TINY, Killed, StoredRun, ask, killed, only_run, trouble


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run that went from start to end, to be read only."""
    root = tmp_path_factory.mktemp("straight")
    assert ask("run", NAME, *TINY, *LOGGED, "--out", root).code == 0
    return only_run(root)


@pytest.fixture(scope="session")
def _dead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dead")
    with trouble({6: killed}), pytest.raises(Killed):
        ask("run", NAME, *TINY, *LOGGED, "--out", root)
    return root


@pytest.fixture
def dead(_dead: Path, tmp_path: Path) -> StoredRun:
    """A run whose process died at step 6 of 6: logged up to step 5, checkpoints at 0, 2 and 4."""
    shutil.copytree(_dead, tmp_path / "dead")
    return only_run(tmp_path / "dead")
