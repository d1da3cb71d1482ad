"""One update: the penalty on Σ|θ|, worked out by hand and against closed forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import toys
from driving import Training, log, run
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.forward import module_forward
from grokscope.learners.losses import loss_function
from grokscope.learners.settings import SGDSettings
from grokscope.learners.update import Kernel, Moving, update
from grokscope.spec import Spec, override, resolve

SGD: dict[str, Any] = {
    **toys.REGRESSION,
    "optimizer": {"name": "sgd", "learning_rate": 0.05},
    "numerics": {"dtype": "float64"},
}
DEAD = [{"name": "activation-clamp", "site": "at_hidden.0", "value": 0.0}]
"""With the hidden layer held at 0 the first layer's weights have no gradient of the loss."""


def spec(l1: float, **changes: Any) -> Spec:
    return resolve(override(SGD, {"learner.l1": l1, **changes}))


def training(l1: float, **changes: Any) -> Training:
    return Training([spec(l1, **changes)])


def test_one_update_moves_against_the_sign() -> None:
    start = training(0.0).parameters()
    with_it, without = training(0.3).advance(1).parameters(), training(0.0).advance(1).parameters()
    for name, before in start.items():
        torch.testing.assert_close(with_it[name] - without[name], -0.05 * 0.3 * before.sign(), rtol=0, atol=1e-15)


def test_the_loss_of_an_update_is_that_of_the_data() -> None:
    with_it, without = training(0.3).advance(1), training(0.0).advance(1)
    assert with_it.learner.scalars(with_it.state) == without.learner.scalars(without.state)


def test_what_step_measures_see_is_the_gradient_with_the_penalty() -> None:
    records = [one.learner.snapshot(one.state).trial_step() for one in (training(0.3), training(0.0))]
    first, second = records
    assert first is not None
    assert second is not None
    assert first.loss == second.loss
    for name, before in first.before.items():
        torch.testing.assert_close(
            first.gradient[name] - second.gradient[name], 0.3 * before.sign(), rtol=0, atol=1e-15
        )


@pytest.mark.parametrize("l1", [0.0, 1e-3, 0.02])
def test_a_weight_without_a_gradient_of_its_own_shrinks_by_a_constant(l1: float) -> None:
    one = training(l1, interventions=DEAD)
    start = one.parameters()["layers.0.weight"]
    after = one.advance(20).parameters()["layers.0.weight"]
    moved = 20 * 0.05 * l1
    chosen = start.abs() > moved  # the others have reached 0 and jump about it
    assert int(chosen.sum()) >= 16
    torch.testing.assert_close(after[chosen], (start - moved * start.sign())[chosen], rtol=0, atol=1e-14)
    assert bool((after[~chosen].abs() <= 0.05 * l1 + 1e-15).all())


@pytest.mark.parametrize("l1", [0.0, 0.05, 0.2, 2.0])
def test_linear_regression_on_orthogonal_inputs_ends_at_the_soft_threshold(l1: float) -> None:
    # L = (1/3) Σ c (w - g)² + l1 Σ|w| has its least at w = sign(g) max(|g| - 3 l1 / (2 c), 0) (Tibshirani 1996)
    module = nn.Linear(3, 1, bias=False).double()
    inputs = toys.CURVATURE.sqrt().diag()
    loss = loss_function("mean-squared-error", torch.float64)
    kernel = Kernel(module, module_forward(module), loss, (), lambda function: function, l1=l1)
    optimizer = SGDSettings(learning_rate=0.05).build()
    start = {"weight": torch.tensor([[0.3, -0.2, 0.0]], dtype=torch.float64)}
    moving = Moving(start, {}, optimizer.init(start), [], torch.zeros(()))
    for step in range(2500):
        update(kernel, optimizer, moving, Batch(inputs, (inputs @ toys.GOAL)[:, None]), step)
    ends = (toys.GOAL - 1.5 * l1 / toys.CURVATURE).clamp(min=0)
    found = moving.parameters["weight"][0]
    # a weight that ends at 0 jumps about it by steps of the subgradient
    torch.testing.assert_close(found, ends, rtol=0, atol=max(0.1 * l1, 1e-6))
    torch.testing.assert_close(found[ends > 0], ends[ends > 0], rtol=0, atol=1e-6)


def test_members_equal_single_runs() -> None:
    tree = {**toys.MODULAR, "numerics": {"dtype": "float64"}, "learner": {**toys.MODULAR["learner"], "l1": 0.01}}
    specs = toys.members(tree, toys.MEMBERS)
    together = Training(specs)
    apart = [Training([toys.alone(one)]) for one in specs]
    for step in (1, 5, 20):
        together.advance(step - together.state.step)
        for index, one in enumerate(apart):
            one.advance(step - one.state.step)
            for name, tensor in one.parameters().items():
                assert float((tensor - together.parameters(index)[name]).abs().max()) <= 1e-10 * step


def test_members_must_agree_in_it() -> None:
    each = [{"seed.base": 0}, {"seed.base": 1, "learner.l1": 0.1}]
    with pytest.raises(UsageError, match="must agree in learner"):
        Training(toys.members(SGD, each))


def test_a_run_keeps_it_and_is_another_run(tmp_path: Path) -> None:
    assert spec(0.1).training_id != spec(0.0).training_id
    (directory,) = run(tmp_path, "gradient", learner__l1=0.05, learner__steps=3, numerics__dtype="float64")
    rows = {(row["step"], row["key"]): row["value"] for row in log(directory)}
    assert rows[1, "step/loss"] == pytest.approx(rows[0, "train/loss"], rel=1e-12)  # without the penalty


@pytest.mark.parametrize("value", [-0.1, float("nan"), "much"])
def test_a_weight_out_of_range_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=r"learner\.l1 = "):
        spec(value)
