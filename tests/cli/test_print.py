"""``grokscope report --print``: the figures of a run as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import ask
from grokscope.execution import reporting


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two figures only: each takes a good part of a second."""
    monkeypatch.setattr(reporting, "figures_of", lambda *given, whole=reporting.figures_of: whole(*given)[:2])


@pytest.mark.usefixtures("few")
def test_figures_are_printed_by_id_and_no_page_is_written(finished: Path, tmp_path: Path) -> None:
    page = finished / "report.html"
    before = page.read_bytes() if page.exists() else None
    answer = ask("report", finished, "--print", tmp_path / "figures", "--format", "svg,png")
    assert (answer.code, answer.stderr) == (0, "")
    written = [Path(line) for line in answer.stdout.splitlines()]
    assert [path.name for path in written] == ["accuracy.svg", "accuracy.png", "loss.svg", "loss.png"]
    assert all(path.stat().st_size > 1000 for path in written)
    assert (page.read_bytes() if page.exists() else None) == before


@pytest.mark.usefixtures("few")
def test_a_page_is_written_beside_them_where_it_is_asked_for(finished: Path, tmp_path: Path) -> None:
    answer = ask("report", finished, "--print", tmp_path, "--to", tmp_path / "page.html")
    assert answer.stdout.splitlines()[-1] == str(tmp_path / "page.html")
    assert (tmp_path / "accuracy.pdf").read_bytes().startswith(b"%PDF")


def test_an_unknown_format_is_refused_before_anything_is_written(finished: Path, tmp_path: Path) -> None:
    answer = ask("report", finished, "--print", tmp_path / "new", "--format", "gif")
    assert answer.code == 2
    assert "unknown print format 'gif': the known ones are pdf, png, svg." in answer.stderr
    assert not (tmp_path / "new").exists()
