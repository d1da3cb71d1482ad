"""What is timed counts the same, every way."""

from __future__ import annotations

import doctest

import pytest
import torch

from grokscope.bench import local_complexity


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(local_complexity).failed == 0


def test_rows_tell_ratios_and_that_all_ways_count_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_complexity, "WIDTHS", (12, 20, 15, 10, 3))
    monkeypatch.setattr(local_complexity, "POINTS", 30)
    monkeypatch.setattr(local_complexity, "DIRECTIONS", 5)
    monkeypatch.setattr(local_complexity, "RADII", (0.01, 0.3))
    monkeypatch.setattr(local_complexity, "BATCH", 7)
    before = torch.get_num_threads(), torch.get_rng_state()
    rows = local_complexity.benchmark(threads=(1,), rounds=1)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert len(rows) == 8
    assert all(row.details["counts_that_differ"] == 0 for row in rows)
    assert rows[2].details["cuts_a_point"] == rows[0].details["cuts_a_point"]
    assert rows[6].details["cuts_a_point"] == [*rows[2].details["cuts_a_point"], *rows[4].details["cuts_a_point"]]
    assert rows[4].details["cuts_a_point"][0] > 1
    assert rows[0].ratio == rows[0].baseline / rows[0].ours
