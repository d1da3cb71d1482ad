"""Losses of one member, and the precision they are computed in."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import toys
from driving import Training
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.forward import module_forward
from grokscope.learners.losses import check_targets, loss_function
from grokscope.learners.settings import SGDSettings
from grokscope.learners.update import Kernel, Moving, update

CORRECT = torch.tensor([0])


def batch() -> Batch:
    """Return a batch of one example, whose target is the first output."""
    return Batch(torch.ones(1, 1), CORRECT)


def loss_and_gradient(margin: float, loss_dtype: torch.dtype, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of logits (margin, 0, 0) with target 0, and its gradient."""
    logits = torch.tensor([[margin, 0.0, 0.0]], dtype=dtype, requires_grad=True)
    loss = loss_function("cross-entropy", loss_dtype)(logits, batch())
    (gradient,) = torch.autograd.grad(loss, logits)
    return loss.detach(), gradient[0]


@pytest.mark.parametrize("margin", [20.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_small_loss_vanishes_in_float32_and_not_in_float64(margin: float, dtype: torch.dtype) -> None:
    exact = math.log1p(2 * math.exp(-margin))  # 4e-9, 2e-13
    for loss_dtype in (torch.float32, torch.float64):
        loss, gradient = loss_and_gradient(margin, loss_dtype, dtype)
        assert loss.dtype == loss_dtype
        assert gradient.dtype == dtype
        # the wrong logits are pushed down in either precision …
        assert gradient[1:].tolist() == pytest.approx([math.exp(-margin)] * 2, rel=1e-5)
        if loss_dtype == torch.float64:
            assert float(loss) == pytest.approx(exact, rel=1e-3 if margin == 30 else 1e-7)
            assert float(gradient[0]) == pytest.approx(-exact, rel=1e-3)
        else:  # … but the right one is no longer pulled up: the gradients no longer add up to 0
            assert float(loss) == 0
            assert float(gradient[0]) == 0


def test_float32_resolves_multiples_of_its_spacing_at_1() -> None:
    margins = (14.0, 15.0, 16.0, 16.5, 17.0)
    logits = torch.tensor([[margin, 0.0] for margin in margins])
    one_by_one = [loss_function("cross-entropy", torch.float32)(row[None], batch()) for row in logits]
    quanta = [float(loss) / 2**-23 for loss in one_by_one]  # 1.2e-7
    assert quanta == pytest.approx([7, 3, 1, 1, 0], abs=1e-3)
    exact = [math.log1p(math.exp(-margin)) / 2**-23 for margin in margins]
    assert exact == pytest.approx([6.98, 2.57, 0.94, 0.57, 0.35], abs=0.01)


def test_an_update_in_float32_no_longer_sharpens_what_is_fitted() -> None:
    weights = {}
    for loss_dtype in (torch.float32, torch.float64):
        module = nn.Linear(1, 3, bias=False)
        kernel = Kernel(
            module, module_forward(module), loss_function("cross-entropy", loss_dtype), (), lambda function: function
        )
        optimizer = SGDSettings(learning_rate=1e7).build()
        start = {"weight": torch.tensor([[0.25], [-20.0], [-20.0]])}  # a loss of 3e-9
        moving = Moving(start, {}, optimizer.init(start), [], torch.zeros(()))
        update(kernel, optimizer, moving, batch(), 0)
        assert (float(moving.loss) > 0) == (loss_dtype == torch.float64)
        weights[loss_dtype] = moving.parameters["weight"][:, 0] - torch.tensor([0.25, -20.0, -20.0])
    pushed = -1e7 * math.exp(-20.25)
    assert weights[torch.float64].tolist() == pytest.approx([-2 * pushed, pushed, pushed], rel=1e-3)
    assert weights[torch.float32].tolist() == pytest.approx([0, pushed, pushed], rel=1e-3)


@pytest.mark.parametrize("loss_dtype", ["float32", "float64"])
@pytest.mark.parametrize("toy", ["gradient", "ensemble"])
def test_the_learner_computes_its_loss_in_the_dtype_asked_for(toy: str, loss_dtype: str) -> None:
    training = Training(toys.specs(toy, {"learner.loss_dtype": loss_dtype})).advance(1)
    assert training.state.moving.loss.dtype == getattr(torch, loss_dtype)
    assert {tensor.dtype for tensor in training.parameters().values()} == {torch.float32}


def test_the_two_precisions_agree_where_the_loss_is_large() -> None:
    one, other = (Training(toys.specs("gradient", {"learner.loss_dtype": name})).advance(5).parameters() for name in
                  ("float32", "float64"))  # fmt: skip
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-4, atol=1e-5)


def test_an_unknown_loss_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown loss 'hinge'"):
        loss_function("hinge", torch.float64)
    with pytest.raises(UsageError, match=r"learner\.loss_dtype = 'float16': it must be 'float32' or 'float64'"):
        toys.specs("gradient", {"learner.loss_dtype": "float16"})


def test_real_numbers_are_no_classes() -> None:
    check_targets("cross-entropy", torch.tensor([[0.2, 0.8]]))
    check_targets("mean-squared-error", torch.zeros(3, 1))
    message = "^learner.loss = 'cross-entropy' needs classes, .* set learner.loss = 'mean-squared-error'.$"
    for real in (torch.zeros(3), torch.zeros(3, 1)):
        with pytest.raises(UsageError, match=message):
            check_targets("cross-entropy", real)
    with pytest.raises(UsageError, match=message):
        Training(toys.specs("stream", {"learner.loss": "cross-entropy"}))
