"""What the claims on trap removal read off known values, and their figures."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from grokscope.papers.prakash2025 import traps, traps_figures
from grokscope.papers.prakash2025.mnist_experiments import MNIST
from grokscope.papers.prakash2025.traps_statistics import harm, last_traps, prototype

A, B, C, D, OLD = (
    f"layers.{place}" for place in ("0.weight[0]", "0.weight[1]", "1.weight[0]", "2.weight[0]", "2.weight[1]")
)


class Stored:
    """A run whose traps are known; the last of them was there at step 10 only."""

    spec: ClassVar[Any] = {"seed": {"base": 3}, "paper": "prakash2025", "experiment": MNIST, "scale": "cpu"}

    def __init__(self) -> None:
        both = [(0.1, 0.0), (0.2, 0.01), (0.3, 0.02), (0.4, -0.05)]
        self.rows = {
            name: ([10, 20], [9.0, pair[0]], [9.0, pair[1]]) for name, pair in zip((A, B, C, D), both, strict=True)
        }
        self.rows[OLD] = ([10], [0.6], [0.6])

    def has(self, key: str) -> bool:
        return key.startswith("trap_removal") or key == "test/accuracy"

    def modules(self, key: str) -> list[str]:
        return list(self.rows)

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        key, _, name = key.partition("@")
        if name:
            steps, divergences, changes = self.rows[name]
            return np.array(steps), np.array(divergences if key.endswith("jsd") else changes)
        return np.array([0, 20]), np.array([0.2, 0.95 if "normal" in key else 0.8])


def test_the_traps_at_the_end_are_ranked() -> None:
    assert last_traps(Stored()) == {A: (0.1, 0.0), B: (0.2, 0.01), C: (0.3, 0.02), D: (0.4, -0.05)}
    # ranks 1 2 3 4 and 2 3 4 1
    assert harm({MNIST: Stored()}) == {"rank_correlation": pytest.approx(-0.2), "traps": 4.0}


def test_three_traps_say_nothing_and_none_are_none() -> None:
    run = Stored()
    del run.rows[A]
    assert harm({MNIST: run}) == {"rank_correlation": None, "traps": 3.0}
    run.rows = {}
    assert harm({MNIST: run}) == {"rank_correlation": None, "traps": 0.0}


def test_shares_at_both_ends() -> None:
    assert prototype({MNIST: Stored()}) == {
        "normal": 0.95, "normal_first": 0.2, "shuffled": 0.8, "shuffled_first": 0.2,
    }  # fmt: skip


def test_the_scatter_names_layer_mode_and_seed() -> None:
    figure = traps_figures.removal([Stored()], [])  # type: ignore[list-item]
    assert [trace["name"] for trace in figure["data"]] == ["FC1", "FC2", "readout"]
    assert [len(trace["x"]) for trace in figure["data"]] == [2, 1, 1]
    assert figure["data"][0]["text"][0] == "layers.0.weight[0], seed 3"
    assert {claim.id for claim in traps.CLAIMS} == {"C9a", "C9b"}
