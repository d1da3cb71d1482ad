from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from commands import NAME, PLAIN, SMOKE, TINY, ask, only_run
from grokscope.store import StoredRun, find_runs


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one finished run, which speaks to its paper's claims; to be read only."""
    root = tmp_path_factory.mktemp("store")
    assert ask("run", NAME, *SMOKE, "--out", root).code == 0
    return root


@pytest.fixture(scope="session")
def finished(root: Path) -> Path:
    """The directory of that run."""
    return only_run(root).directory


@pytest.fixture(scope="session")
def _pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pair")
    for seed in (0, 1):
        assert ask("run", NAME, *TINY, *PLAIN, "--seed", seed, "--out", root).code == 0
    return root


@pytest.fixture
def pair(_pair: Path, tmp_path: Path) -> list[StoredRun]:
    """Two finished runs of 6 steps, seeds 0 and 1, with checkpoints at 0, 2, 4, 6; the test's own to change."""
    shutil.copytree(_pair, tmp_path / "store")
    return [StoredRun(path) for path in find_runs(tmp_path / "store")]


@pytest.fixture
def one(pair: list[StoredRun]) -> StoredRun:
    """The first of the two."""
    return pair[0]


@pytest.fixture(scope="session")
def _members(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from grokscope.execution.plan import experiment_spec
    from grokscope.execution.train import train
    from grokscope.spec import parse_assignment

    root = tmp_path_factory.mktemp("members")
    changes = dict(parse_assignment(text) for text in (*TINY[2:], *PLAIN) if text != "--set")
    alone = [experiment_spec(NAME, scale="smoke", seed=seed, changes=changes) for seed in (0, 1)]
    train([spec.with_group(alone) for spec in alone], root=root)
    return root


@pytest.fixture
def members(_members: Path, tmp_path: Path) -> list[StoredRun]:
    """The two runs of the fixture ``pair``, trained as one ensemble."""
    shutil.copytree(_members, tmp_path / "ensemble")
    return [StoredRun(path) for path in find_runs(tmp_path / "ensemble")]
