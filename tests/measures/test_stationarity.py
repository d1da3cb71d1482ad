"""Stationarity of parameters: by hand, against the gradient autograd gives, and where the loss has underflowed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import zoo
from grokscope.measures.base import DoesNotApply, evaluate
from grokscope.measures.performance import losses
from grokscope.snapshot import Descent, Snapshot
from grokscope.theory.margin import max_l2_margin
from grokscope.theory.stationarity import complementarity


class Linear(nn.Module):
    """Two logits (−w·x/2, w·x/2), so that the lead of class 1 is w·x."""

    def __init__(self, w: Any) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.as_tensor(w, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        score = inputs.double() @ self.w
        return torch.stack([-score / 2, score / 2], 1)


def decaying(snapshot: Snapshot, weight_decay: float) -> Snapshot:
    """Return the snapshot as one of gradient descent with weight decay."""
    snapshot._source = replace(snapshot._source, descent=Descent(0.1, weight_decay))
    return snapshot


def values(snapshot: Snapshot, name: str = "stationarity") -> dict[str, float]:
    return {key.partition("/")[2]: value for key, _, value in evaluate(name, snapshot).rows}


def test_no_force() -> None:
    """Examples at 0 exert none: only the decay is left."""
    found = values(decaying(Snapshot.of(Linear([3, 4]), train=(torch.zeros(2, 2), torch.tensor([0, 1]))), 0.1))
    assert found == {"residual": pytest.approx(1, rel=1e-14)}


def test_one_example_by_hand() -> None:
    """−∇L = σ(−q) x with q = w·x = ln 3: a quarter of x = w, against a decay of λ w."""
    w = torch.tensor([0.6, 0.8], dtype=torch.float64) * math.log(3) ** 0.5
    train = (w[None], torch.tensor([1]))
    assert values(Snapshot.of(Linear(w), train=train)) == {
        "cosine": pytest.approx(1, rel=1e-12),
        "tangent_gradient": pytest.approx(0, abs=1e-15),
        "complementarity": pytest.approx(0, abs=1e-15),
    }
    found = values(decaying(Snapshot.of(Linear(w), train=train), 0.5))
    assert found["residual"] == pytest.approx(0.5, rel=1e-12)
    assert values(decaying(Snapshot.of(Linear(w), train=train), 0.25))["residual"] == pytest.approx(0, abs=1e-12)


def test_the_gradient_along_the_sphere_by_hand() -> None:
    """w = (2, 0) and x = (0, 3): the lead is 0, its force 1/2, and −∇L = x/2 all lies in the sphere."""
    train = (torch.tensor([[0, 3.0]], dtype=torch.float64), torch.tensor([1]))
    found = values(Snapshot.of(Linear([2, 0]), train=train))
    assert found["tangent_gradient"] == pytest.approx(1.5, rel=1e-12)
    # x = (3, 4): −∇L = σ(−6) x, of which (0, 4) lies in it
    train = (torch.tensor([[3.0, 4.0]], dtype=torch.float64), torch.tensor([1]))
    found = values(Snapshot.of(Linear([2, 0]), train=train))
    assert found["tangent_gradient"] == pytest.approx(4 / (1 + math.exp(6)), rel=1e-12)
    assert found["cosine"] == pytest.approx(0.6, rel=1e-12)


def test_two_examples_by_hand() -> None:
    """Leads ln 2 and ln 4 carry 1/3 and 1/5: (ln 2 / 5) / (ln 2 / 3 + 2 ln 2 / 5) = 3/11."""
    train = (torch.tensor([[math.log(2), 0], [math.log(4), 0]], dtype=torch.float64), torch.tensor([1, 1]))
    found = values(Snapshot.of(Linear([1, 0]), train=train))
    assert found["complementarity"] == pytest.approx(3 / 11, rel=1e-12)
    assert found["complementarity"] == pytest.approx(complementarity([math.log(2), math.log(4)], [1 / 3, 1 / 5]))
    wrong = (train[0], torch.tensor([1, 0]))
    assert "complementarity" not in values(Snapshot.of(Linear([1, 0]), train=wrong))


@pytest.mark.parametrize("chunk", [7, 4096])
@pytest.mark.parametrize("loss", ["cross-entropy", "mean-squared-error"])
def test_equals_the_gradient_of_the_loss(loss: str, chunk: int) -> None:
    found = zoo.animal("mlp", train=20, test=5)
    snapshot = decaying(Snapshot.of(found.model, train=found.train, loss=loss), 0.03)
    measured = values(snapshot, f"stationarity:chunk={chunk}" if chunk != 4096 else "stationarity")
    model = found.model.eval().double()
    inputs, targets = found.train
    outputs = model(inputs.double())
    whole = (
        functional.cross_entropy(outputs, targets)
        if loss == "cross-entropy"
        else (outputs - functional.one_hot(targets, outputs.shape[1])).square().mean()
    )
    parameters = list(model.parameters())
    slope = torch.cat([g.flatten() for g in torch.autograd.grad(whole, parameters)])
    theta = torch.cat([p.detach().flatten() for p in parameters])
    assert measured["cosine"] == pytest.approx(float(-theta @ slope / (theta.norm() * slope.norm())), rel=1e-9)
    assert measured["residual"] == pytest.approx(float((0.03 * theta + slope).norm() / (0.03 * theta.norm())), rel=1e-9)


def test_positions_count_within_their_example() -> None:
    """Each example is the mean over its positions that count, of which one has three and another one."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5)).double()
    tokens = torch.tensor([[0, 1, 2], [3, 4, 0], [1, 1, 1]])
    targets = torch.tensor([[1, 2, 3], [4, -100, -100], [-100, -100, -100]])
    measured = values(Snapshot.of(model, train=(tokens, targets)))
    whole = losses(model(tokens), targets)[:2].mean()
    parameters = list(model.parameters())
    slope = torch.cat([g.flatten() for g in torch.autograd.grad(whole, parameters)])
    theta = torch.cat([p.detach().flatten() for p in parameters])
    assert measured["cosine"] == pytest.approx(float(-theta @ slope / (theta.norm() * slope.norm())), rel=1e-9)


def test_the_largest_margin_is_stationary_where_the_loss_has_underflowed() -> None:
    """At w = s w_2 the loss is about e^−s; at s = 10⁵ only its logarithm is left."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 40, generator=generator, dtype=torch.float64)
    labels = torch.randint(2, (6,), generator=generator)
    w = torch.from_numpy(max_l2_margin(x.numpy(), 2.0 * labels.numpy() - 1).solution)
    small, large = (values(Snapshot.of(Linear(s * w), train=(x, labels))) for s in (5.0, 1e5))
    # all six are support vectors with the lead s: the forces are equal, and so is the direction at every s
    assert large["cosine"] == pytest.approx(small["cosine"], rel=1e-4)
    assert 0 < large["cosine"] < 1
    assert large["complementarity"] == pytest.approx(0, abs=1e-9)


def test_single_precision() -> None:
    found = zoo.animal("mlp", train=20, test=5)
    double, single = found.model.double(), zoo.animal("mlp", train=20, test=5).model
    one = values(Snapshot.of(single, train=found.train))
    other = values(Snapshot.of(double, train=(found.train[0].double(), found.train[1])))
    assert one["cosine"] == pytest.approx(other["cosine"], abs=1e-6)


def test_does_not_apply() -> None:
    with pytest.raises(
        DoesNotApply, match=r"^stationarity compares the parameters with the gradient of the loss; one of"
    ):
        evaluate("stationarity", Snapshot.of(Linear([0, 0]), train=(torch.zeros(2, 2), torch.tensor([0, 1]))))
    with pytest.raises(DoesNotApply, match=r"^stationarity needs train data"):
        evaluate("stationarity", Snapshot.of(Linear([0, 0])))
