"""What the claims on matrix completion read off runs, on runs whose answers are known, and their figures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from grokscope.papers.lyu2024 import completion, completion_figures
from grokscope.papers.lyu2024.completion import ALPHA_CELLS, ALPHAS, DECAY_CELLS, FINE, MAIN, PERTURBED, alpha_cell
from grokscope.papers.lyu2024.completion_statistics import (
    completion_times,
    half,
    late_is_least_nuclear_norm,
    perturbed_ends_there,
    resolved,
    transition_by_decay,
    transition_by_scale,
    unobserved_are_zero,
)


class Stored:
    """A run whose matrix changes from one completion to the other when α e^{−λt} passes ``turning``."""

    def __init__(self, alpha: float = 10.0, decay: float = 1e-4, turning: float = 0.5, shift: float = 1.0) -> None:
        self.spec = {
            "learner": {"weight_decay": decay, "time_per_step": 0.1},
            "model": {"initial_scale": alpha},
            "task": {"size": 2},
            "seed": {"base": 100},
        }
        scaled = np.concatenate([[0], np.geomspace(1e-4, 40, 4000)])
        self.steps = np.round(scaled / decay / 0.1)
        size = alpha * np.exp(-scaled)
        share = 1 / (1 + (size / (turning * shift)) ** 8)
        self.values = {
            "clock/time": scaled / decay,
            "train/loss": np.where(self.steps < 10, 0.1, 1e-5),
            "test/loss": 0.102 * (1 - share) + 2e-5,
            "completion/early_test_loss": np.full_like(scaled, 0.102),
            "completion/late_test_loss": np.full_like(scaled, 2e-5),
            "completion/unobserved_mean": 1.5 * np.minimum(1, size**-4.0),
            "completion/late_distance": 1 - share,
            "completion/early_distance": share,
            "completion/nuclear_consistency": 1 + size,
            "completion/nuclear_norm": 30 + size,
            "completion/effective_rank": 1 + 5 * (1 - share),
            "weights/sum_of_squares": 2 * size**2 + 30,
            "transition_forecast/norm_ratio": np.sqrt(1 + (turning / size) ** 4),
            "transition_forecast/onset_time": np.full_like(scaled, math.log(alpha / turning) / decay),
            "transition_forecast/onset_scaled": np.full_like(scaled, math.log(alpha / turning)),
        }
        self.last_step = int(self.steps[-1])

    def has(self, key: str, module: str | None = None) -> bool:
        return key in self.values

    def series(self, key: str, module: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self.steps, self.values[key]

    def arrays(self) -> list[str]:
        return ["completion", "completion:maps=True"]

    def array_steps(self, name: str) -> list[int]:
        return [0, 10, 1000]

    def array(self, name: str, step: int) -> dict[str, np.ndarray]:
        return {"singular_values": np.array([1.0, 0.1]), "matrix": np.array([[1.0, 0.5], [0.5, 0.1]])}


RUN: Any = Stored()


def test_half_of_the_early_loss_is_where_the_matrix_turns() -> None:
    assert half(RUN) == pytest.approx(math.log(10 / 0.5) / 1e-4, rel=1e-3)
    assert half(RUN, None) == pytest.approx(10 * half(RUN), rel=1e-6)
    never: Any = Stored(turning=1e-30)
    assert half(never) == math.inf


def test_times_and_the_end() -> None:
    found = completion_times({MAIN: RUN})
    assert found["half_step"] == pytest.approx(299_573, rel=1e-3)
    assert found["plateau"] == pytest.approx(0.102, rel=1e-3)
    assert found["final_over_optimum"] == pytest.approx(1, abs=1e-6)
    late = late_is_least_nuclear_norm({MAIN: RUN})
    assert late == perturbed_ends_there({PERTURBED: RUN})
    assert late["late_distance"] == pytest.approx(0, abs=1e-9)
    assert late["effective_rank"] == pytest.approx(1)


def test_power_of_the_unobserved_entries() -> None:
    found = unobserved_are_zero({MAIN: RUN})
    assert found["exponent"] == pytest.approx(-4, rel=1e-6)
    assert found["unobserved"] == pytest.approx(1.5 * (10 / math.e) ** -4, rel=1e-3)


def test_slopes_of_a_transition_at_a_fixed_size() -> None:
    runs: Any = {name: Stored(alpha, 1e-3) for name, alpha in zip(ALPHA_CELLS, ALPHAS, strict=True)}
    found = transition_by_scale(runs)
    assert found["slope"] == pytest.approx(1, abs=1e-3)
    assert found["onset_slope"] == pytest.approx(1, abs=1e-3)
    by_decay: Any = {name: Stored(10, decay) for name, decay in zip(DECAY_CELLS, completion.DECAYS, strict=True)}
    assert transition_by_decay(by_decay)["range"] == pytest.approx(0, abs=1e-3)
    moved: Any = {alpha_cell(10): Stored(10, 1e-3), FINE: Stored(10, 1e-3, shift=math.exp(-0.3))}
    assert resolved(moved)["moved"] == pytest.approx(0.3 / math.log(20), rel=1e-2)


def test_every_figure_is_drawn_of_one_and_of_several_runs() -> None:
    runs: Any = [RUN, Stored()]
    names = ("loss", "unobserved", "distance", "norms", "spectrum", "matrices")
    for function in (getattr(completion_figures, name) for name in names):
        for some in (runs[:1], runs):
            assert function(some, [])["data"]
    cells: Any = {name: [Stored(alpha, 1e-3)] for name, alpha in zip(ALPHA_CELLS, ALPHAS, strict=True)}
    drawn = completion_figures.transition(cells)
    assert {trace["name"] for trace in drawn["data"]} >= {"half of the early test loss, over α"}


def test_figures_name_functions_that_exist() -> None:
    for figure in completion.FIGURES:
        assert callable(getattr(completion_figures, figure.function.partition(":")[2]))
    for claim in completion.CLAIMS:
        assert callable(claim.function())
