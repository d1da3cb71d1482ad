"""Completions of matrices small enough to be known by hand, and a training that goes from one to the other."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from driving import Training
from grokscope.measures.base import DoesNotApply, Reading, evaluate
from grokscope.models.factorisation import completed_matrix
from grokscope.snapshot import Snapshot
from grokscope.spec import resolve

ROLE = "grokscope.models.factorisation:completed_matrix"


class Factors(nn.Module):
    def __init__(self, u: list[list[float]], v: list[list[float]]) -> None:
        super().__init__()
        self.U = nn.Parameter(torch.tensor(u, dtype=torch.float64))
        self.V = nn.Parameter(torch.tensor(v, dtype=torch.float64))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return completed_matrix({"U": self.U, "V": self.V})[inputs[:, 0], inputs[:, 1]][:, None]


def snapshot(module: nn.Module, pairs: list[list[int]], values: list[float], **more: Any) -> Snapshot:
    train = (torch.tensor(pairs), torch.tensor(values, dtype=torch.float64)[:, None])
    test = (torch.tensor([[0, 0], [1, 0]]), torch.tensor([[0.5], [1.0]], dtype=torch.float64))
    return Snapshot.of(module, train=train, test=test, roles={"completed_matrix": ROLE}, **more)


def numbers(reading: Reading) -> dict[str, float]:
    return {key.removeprefix("completion/"): value for key, _, value in reading.rows}


def test_hand_case() -> None:
    """(0, 1) observed as 1: both completions are [[0, 1], [1, 0]]; W is diag(4, −1)."""
    reading = evaluate("completion", snapshot(Factors([[2, 0], [0, 0]], [[0, 0], [0, 1]]), [[0, 1]], [1.0]))
    found = numbers(reading)
    assert found["unobserved_mean"] == pytest.approx(2.5)
    assert found["unobserved_max"] == pytest.approx(4)
    # (16 + 1 + 1 + 1) / 2
    assert found["early_distance"] == pytest.approx(math.sqrt(9.5))
    assert found["late_distance"] == pytest.approx(math.sqrt(9.5), rel=1e-3)
    assert found["nuclear_norm"] == pytest.approx(5)
    assert found["nuclear_consistency"] == pytest.approx(1)
    assert found["effective_rank"] == pytest.approx(math.exp(-0.8 * math.log(0.8) - 0.2 * math.log(0.2)))
    assert found["late_nuclear_norm"] == pytest.approx(2, rel=1e-4)
    assert found["early_test_loss"] == pytest.approx(0.125)
    assert reading.arrays["singular_values"].tolist() == pytest.approx([4, 1])
    assert "matrix" not in reading.arrays


def test_at_the_start_there_is_no_matrix_yet() -> None:
    reading = evaluate("completion:maps=true", snapshot(Factors([[1, 0], [0, 1]], [[1, 0], [0, 1]]), [[0, 1]], [1.0]))
    found = {key.partition("/")[2]: value for key, _, value in reading.rows}
    assert found["nuclear_consistency"] == math.inf
    assert found["early_distance"] == 1
    assert "effective_rank" not in found
    assert reading.arrays["matrix"].tolist() == [[0, 0], [0, 0]]


def test_all_observed_leaves_no_unobserved_entry() -> None:
    pairs = [[0, 0], [0, 1], [1, 1]]
    found = numbers(evaluate("completion", snapshot(Factors([[1, 0], [0, 1]], [[0, 0], [0, 0]]), pairs, [1, 0, 1])))
    assert "unobserved_mean" not in found
    assert found["early_distance"] == pytest.approx(0)


def test_a_training_goes_from_the_early_to_the_late_completion() -> None:
    tree: dict[str, Any] = {
        "task": {"name": "matrix-completion", "size": 10, "observed": 0.4},
        "model": {"name": "symmetric-factorisation"},
        "learner": {"name": "completion-flow", "weight_decay": 1e-2, "time_per_step": 1.0},
        "numerics": {"dtype": "float64"},
        "roles": {"completed_matrix": ROLE},
    }
    training = Training([resolve(tree, seed=100)]).advance(50)
    look = training.learner.snapshot
    early = numbers(evaluate("completion", look(training.state)))
    training.advance(2950)
    late = numbers(evaluate("completion", look(training.state)))
    assert early["early_distance"] < 1e-2
    assert early["late_distance"] > 0.5
    assert early["nuclear_consistency"] > 10
    assert late["late_distance"] < 1e-3
    assert late["nuclear_consistency"] == pytest.approx(1, abs=1e-3)
    assert late["early_test_loss"] == early["early_test_loss"] > late["late_test_loss"]


def test_what_it_does_not_apply_to() -> None:
    module = Factors([[1, 0], [0, 1]], [[0, 0], [0, 0]])
    real = Snapshot.of(
        nn.Linear(2, 2), train=(torch.zeros(3, 2), torch.zeros(3, 2)), roles={"completed_matrix": "weight"}
    )
    with pytest.raises(DoesNotApply, match="index pairs and real values"):
        evaluate("completion", real)
    with pytest.raises(DoesNotApply, match="which parameter is the completed_matrix"):
        evaluate("completion", Snapshot.of(nn.Linear(2, 2), train=(torch.zeros(3, 2), torch.zeros(3, 2))))
    broken = Factors([[math.nan, 0], [0, 1]], [[0, 0], [0, 0]])
    with pytest.raises(DoesNotApply, match="has diverged"):
        evaluate("completion", snapshot(broken, [[0, 1]], [1.0]))
    # the same measure, on a matrix that lacks an observed entry
    with pytest.raises(DoesNotApply, match="a square matrix with the observed entries"):
        evaluate(
            "completion",
            Snapshot.of(
                module,
                train=(torch.tensor([[0, 2]]), torch.ones(1, 1)),
                roles={"completed_matrix": ROLE},
                forward=lambda model, inputs: torch.zeros(len(inputs), 1) + 0 * next(model.parameters()).sum(),
            ),
        )
