"""Rates that follow a gradient flow, the logarithm of the loss, and the clocks that go with them."""

from __future__ import annotations

import math

import pytest
import torch

import toys
from driving import Training
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.learners.losses import log_cross_entropy, log_loss_function, loss_function
from grokscope.learners.optim.base import Schedule
from grokscope.learners.optim.sgd import SGD
from grokscope.learners.settings import GradientSettings, SGDSettings
from grokscope.validation import validated

DOUBLE = torch.float64


def test_norm_scheduled_rate_grows_as_the_norm_shrinks() -> None:
    optimizer = SGD(Schedule(0.1), weight_decay=2.0, rate="norm-scheduled", largest_rate=0.3)
    parameters = {"w": torch.tensor([3.0, 4.0], dtype=DOUBLE)}
    state = optimizer.init(parameters)
    none = {"w": torch.zeros(2, dtype=DOUBLE)}
    loss = torch.zeros((), dtype=DOUBLE)
    optimizer.update(parameters, none, state, 0, loss)
    # the first rate is 0.1, so the norm falls from 5 to 5 · (1 - 0.2) = 4
    torch.testing.assert_close(parameters["w"], torch.tensor([2.4, 3.2], dtype=DOUBLE))
    optimizer.update(parameters, none, state, 1, loss)
    rate = 0.1 * (5 / 4) ** 2
    torch.testing.assert_close(parameters["w"].norm(), torch.tensor(4 * (1 - 2 * rate), dtype=DOUBLE))
    assert float(optimizer.clocks(state, 2)["time"]) == pytest.approx(0.1 + rate)
    optimizer.update(parameters, none, state, 2, loss)
    assert float(optimizer.clocks(state, 3)["time"]) == pytest.approx(0.1 + rate + 0.3)  # the largest


def test_loss_normalised_rate_follows_log_loss_at_losses_no_number_holds() -> None:
    optimizer = SGD(Schedule(0.5), rate="loss-normalised", least_rate=2.0, logarithmic=True)
    parameters = {"w": torch.zeros(1, dtype=DOUBLE)}
    state = optimizer.init(parameters)
    one = {"w": torch.ones(1, dtype=DOUBLE)}
    # loss 1: η / L = 0.5 is below the least rate 2, and ∇L = L ∇ log L
    optimizer.update(parameters, one, state, 0, torch.zeros((), dtype=DOUBLE))
    assert float(parameters["w"]) == -2
    # loss e^-3: η / L is above it, and the step on log L is η
    optimizer.update(parameters, one, state, 1, torch.tensor(-3.0, dtype=DOUBLE))
    assert float(parameters["w"]) == pytest.approx(-2.5)
    assert float(optimizer.clocks(state, 2)["log_time"]) == pytest.approx(math.log(2 + 0.5 * math.exp(3)))
    optimizer.update(parameters, one, state, 2, torch.tensor(-1e5, dtype=DOUBLE))
    assert float(parameters["w"]) == pytest.approx(-3)
    assert float(optimizer.clocks(state, 3)["log_time"]) == pytest.approx(1e5 + math.log(0.5))


def test_time_is_the_sum_of_the_rates() -> None:
    schedule = Schedule(0.3, warmup_steps=4)
    for steps in range(8):
        assert schedule.time(steps) == pytest.approx(sum(schedule.at(step) for step in range(steps)))


def test_log_cross_entropy_is_the_logarithm_and_outlives_it() -> None:
    torch.manual_seed(0)
    outputs = 5 * torch.randn(20, 4, dtype=DOUBLE)
    targets = torch.randint(4, (20,))
    batch = Batch(outputs, targets)
    for weights in (None, torch.rand(20, dtype=DOUBLE)):
        one, other = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
        plain = loss_function("cross-entropy", DOUBLE)(one, Batch(batch.inputs, targets, weights))
        logged = log_loss_function("cross-entropy", DOUBLE)(other, Batch(batch.inputs, targets, weights))
        torch.testing.assert_close(logged, plain.log())
        plain.log().backward()
        logged.backward()
        torch.testing.assert_close(other.grad, one.grad)
    far = torch.tensor([[0.0, 1000.0], [0.0, 1200.0]], dtype=DOUBLE, requires_grad=True)
    found = log_cross_entropy(far, torch.tensor([1, 1]))
    found.sum().backward()
    assert found.tolist() == [-1000, -1200]
    assert far.grad is not None
    assert far.grad.tolist() == [[1, -1], [1, -1]]
    # both sides of the seam agree
    seam = torch.tensor([[0.0, 30 - 1e-9], [0.0, 30 + 1e-9]], dtype=DOUBLE)
    low, high = log_cross_entropy(seam, torch.tensor([1, 1])).tolist()
    assert low == pytest.approx(high, abs=1e-8)


SCHEDULED = {"optimizer.rate": "norm-scheduled", "optimizer.largest_rate": 0.5, "optimizer.weight_decay": 0.3}
NORMALISED = {"optimizer.rate": "loss-normalised", "optimizer.least_rate": 0.5, "learner.objective": "log-loss"}


@pytest.mark.parametrize("changes", [SCHEDULED, NORMALISED], ids=["norm-scheduled", "loss-normalised"])
def test_members_with_rates_of_their_own_equal_single_runs(changes: dict[str, object]) -> None:
    tree = {**toys.REGRESSION, "optimizer": {"name": "sgd"}, "numerics": {"dtype": "float64"}}
    each = [
        {**changes, "seed.base": i, "optimizer.learning_rate": rate, "learner.output_scale": scale}
        for i, (rate, scale) in enumerate([(0.02, 1.0), (0.05, 2.0)])
    ]
    specs = toys.members(tree, each)
    together = Training(specs).advance(12)
    for index, spec in enumerate(specs):
        mine = Training([toys.alone(spec)]).advance(12)
        for key, tensor in mine.parameters().items():
            torch.testing.assert_close(together.parameters(index)[key], tensor, rtol=1e-9, atol=1e-9)
        clocks = mine.learner.snapshot(mine.state).clocks
        assert clocks
        assert together.learner.snapshot(together.state, index).clocks == pytest.approx(clocks)


def test_wrong_rates_are_told() -> None:
    with pytest.raises(UsageError, match="a constant rate has no largest_rate"):
        validated(SGDSettings, {"name": "sgd", "largest_rate": 1.0}, "optimizer")
    with pytest.raises(UsageError, match="only loss-normalised has"):
        validated(SGDSettings, {"name": "sgd", "rate": "norm-scheduled", "least_rate": 1.0}, "optimizer")
    with pytest.raises(UsageError, match="which has no momentum"):
        validated(SGDSettings, {"name": "sgd", "rate": "norm-scheduled", "momentum": 0.9}, "optimizer")
    with pytest.raises(UsageError, match=r"l1 is added to the loss.*set it to 0"):
        validated(GradientSettings, {"name": "gradient", "objective": "log-loss", "l1": 0.1}, "learner")
    with pytest.raises(UsageError, match=r"l2 is added to the loss.*set it to 0"):
        validated(GradientSettings, {"name": "gradient", "objective": "log-loss", "l2": -0.1}, "learner")
    with pytest.raises(UsageError, match="it must be a finite number"):
        validated(GradientSettings, {"name": "gradient", "l2": float("inf")}, "learner")
    with pytest.raises(UsageError, match="weight_decay"):
        validated(SGDSettings, {"name": "sgd", "weight_decay": -1.0}, "optimizer")
