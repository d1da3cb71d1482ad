"""A linear classifier against its oracles: by hand, at the oracles themselves, and where it does not apply."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokscope.measures.base import DoesNotApply, evaluate, named
from grokscope.snapshot import Snapshot
from grokscope.theory.margin import max_l1_margin, max_l2_margin

KEYS = {f"{what}_{norm}" for what in ("cosine", "margin", "best_margin") for norm in ("l2", "l1")} | {"l1_to_l2"}


class Classifier(nn.Module):
    """Two logits (−w·x/2, w·x/2)."""

    def __init__(self, w: Any) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.as_tensor(w))

    def forward(self, inputs: Tensor) -> Tensor:
        score = inputs.flatten(1) @ self.w.to(inputs)
        return torch.stack([-score / 2, score / 2], 1)


def snapshot_of(w: Any, train: Any, test: Any = None) -> Snapshot:
    return Snapshot.of(Classifier(w), train=train, test=test, roles={"linear_predictor": "w"})


def values(snapshot: Snapshot, name: str = "max_margin") -> dict[str, float]:
    return {key.partition("/")[2]: value for key, _, value in evaluate(name, snapshot).rows}


def sparse(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return signs (count, 200) and the majority of the first three as 0 or 1."""
    x = torch.randint(2, (count, 200), generator=torch.Generator().manual_seed(seed)).double() * 2 - 1
    return x, (x[:, :3].sum(1) > 0).long()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_point(dtype: torch.dtype) -> None:
    data = (torch.tensor([[2, 1]], dtype=dtype), torch.tensor([1]))
    found = values(snapshot_of(torch.tensor([0.0, 3.0], dtype=dtype), data))
    assert set(found) == KEYS
    assert found["best_margin_l2"] == pytest.approx(5**0.5, rel=1e-9)
    assert found["best_margin_l1"] == pytest.approx(2, rel=1e-9)
    assert found["cosine_l2"] == pytest.approx(1 / 5**0.5, rel=1e-9)
    assert found["cosine_l1"] == pytest.approx(0, abs=1e-9)
    assert found["margin_l2"] == pytest.approx(1, rel=1e-9)
    assert found["margin_l1"] == pytest.approx(1, rel=1e-9)
    assert found["l1_to_l2"] == 1


def test_at_the_oracles() -> None:
    train, test = sparse(60), sparse(500, seed=1)
    x, y = train[0].numpy(), 2.0 * train[1].numpy() - 1
    early, late = max_l2_margin(x, y), max_l1_margin(x, y)
    at_early = values(snapshot_of(7 * early.solution, train, test))
    at_late = values(snapshot_of(late.solution / 5, train, test))
    assert at_early["cosine_l2"] == pytest.approx(1, abs=1e-12)
    assert at_early["margin_l2"] == pytest.approx(at_early["best_margin_l2"], rel=1e-9)
    assert at_late["cosine_l1"] == pytest.approx(1, abs=1e-12)
    assert at_late["margin_l1"] == pytest.approx(at_late["best_margin_l1"], rel=1e-9)
    assert at_early["cosine_l1"] == pytest.approx(at_late["cosine_l2"], rel=1e-9)
    assert at_early["margin_l1"] < at_early["best_margin_l1"]
    # the late one has found the three features, the early one spreads over all
    assert at_late["late_accuracy"] == 1
    assert at_late["l1_to_l2"] == pytest.approx(3**0.5, rel=1e-6)
    assert at_early["l1_to_l2"] > 8
    signs = 2.0 * test[1].numpy() - 1
    assert at_early["early_accuracy"] == pytest.approx(float(np.mean(signs * (test[0].numpy() @ early.direction) > 0)))
    assert at_early["early_accuracy"] < 0.95
    assert values(snapshot_of(early.solution, train, test))["early_accuracy"] == at_early["early_accuracy"]


def test_without_the_programme_and_without_a_direction() -> None:
    train = sparse(30)
    found = values(snapshot_of(torch.ones(200), train), "max_margin:largest_dimension=100")
    assert set(found) == {key for key in KEYS if not key.endswith("_l1") or key == "margin_l1"}
    assert set(values(snapshot_of(torch.zeros(200), train))) == {"best_margin_l2", "best_margin_l1"}


def test_oracles_are_solved_once_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = snapshot_of(torch.ones(200), sparse(30))
    store: dict[Any, Any] = {}
    snapshot.keep_lasting(store)
    first = values(snapshot)
    monkeypatch.setattr("grokscope.measures.max_margin.max_l2_margin", None)
    later = snapshot_of(torch.ones(200), sparse(30))
    later.keep_lasting(store)
    assert values(later) == first


def test_images_and_weights_of_examples() -> None:
    x, y = sparse(30)
    assert values(snapshot_of(torch.ones(200), (x.reshape(30, 2, 10, 10), y))) == values(
        snapshot_of(torch.ones(200), (x, y))
    )


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            (torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([1, 1])),
            r"^max_margin: no linear classifier without bias is right on all examples",
        ),
        ((torch.eye(2), torch.tensor([1, 2])), r"^max_margin: it needs the classes 0 and 1; these go up to 2\.$"),
        (
            (torch.eye(3), torch.tensor([1, 0, 1])),
            r"^max_margin: the linear predictor has 2 weights, the inputs 3 feat",
        ),
    ],
)
def test_does_not_apply(train: Any, message: str) -> None:
    snapshot = snapshot_of(torch.ones(2), train)
    for _ in range(2):  # what was found out lasts
        with pytest.raises(DoesNotApply, match=message):
            named("max_margin").compute(snapshot)  # type: ignore[misc]


def test_it_needs_to_know_the_predictor() -> None:
    with pytest.raises(
        DoesNotApply, match=r"^max_margin needs to know which parameter is the linear_predictor: give rol"
    ):
        evaluate("max_margin", Snapshot.of(Classifier(torch.ones(2)), train=(torch.eye(2), torch.tensor([0, 1]))))
