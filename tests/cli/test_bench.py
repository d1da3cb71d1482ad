"""``grokscope bench``: its table and document, and wrong arguments."""

from __future__ import annotations

import json

import pytest

from grokscope.bench.alternation import Comparison
from grokscope.cli.main import call

ROW = Comparison("a step", baseline=40.0, ours=4.0, unit="ms", details={"threads": 1, "baseline_range": [39.0, 41.0]})


def known(*, device: str, threads: tuple[int, ...], rounds: int) -> list[Comparison]:
    assert (device, threads, rounds) == ("cpu", (1,), 7)
    return [ROW]


@pytest.fixture
def one_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grokscope.bench.BENCHMARKS", {"known": (f"{__name__}:known", "a known one")})
    monkeypatch.setattr("grokscope.registry.load", lambda target: known)


@pytest.mark.usefixtures("one_benchmark")
def test_rows_are_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["bench", "known", "--rounds", "7", "--threads", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "benchmarks": [json.loads(json.dumps(ROW.as_dict()))]}


@pytest.mark.usefixtures("one_benchmark")
def test_rows_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["bench", "--rounds", "7", "--threads", "1"]) == 0
    written = capsys.readouterr().out
    assert "a step\t40\t4\tms\t10.0" in written
    assert "baseline_range 39 to 41" in written


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["modular-adition"], "did you mean 'modular-addition'?"),
        (["--rounds", "0"], "rounds = 0"),
        (["--threads", "two"], "threads = 'two': give numbers"),
        (["--threads", "0,1"], "each must be at least 1"),
        (["--device", "cuda:99"], "cuda"),
    ],
)
def test_wrong_arguments(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err
