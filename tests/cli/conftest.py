from __future__ import annotations

from pathlib import Path

import pytest

from commands import NAME, SMOKE, ask, only_run


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
