"""The loops that are timed take the same steps, and what they are held against is what a step is made of."""

from __future__ import annotations

import pytest
import torch

from grokscope.bench import mnist_mlp
from grokscope.bench.mnist_mlp import TREE, Order, bare, benchmark
from grokscope.spec import override, resolve

SMALL = {
    "task.train_examples": 40,
    "task.batch_size": 10,
    "task.pool": 4,
    "model.widths": [12, 10],
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images, a narrow network, one pass a turn."""
    monkeypatch.setattr(mnist_mlp, "TREE", override(TREE, SMALL))
    monkeypatch.setattr(mnist_mlp, "STEPS", 4)


@pytest.mark.usefixtures("small")
def test_all_ways_take_the_same_steps() -> None:
    found = benchmark(threads=(1,), rounds=1)
    assert len(found) == 6
    assert {row.details["parameter_difference"] for row in found} == {found[0].details["parameter_difference"]}
    assert found[0].details["parameter_difference"] < 1e-4
    for row in found:
        assert row.details["steps_per_second"] == pytest.approx(1000 / row.ours)
        assert row.details["hours_for_1e7_steps"] == pytest.approx(row.ours * 1e4 / 3600)


def test_the_usual_loop_draws_the_batches_of_the_task() -> None:
    stream = resolve(override(TREE, SMALL), seed=0)
    task = stream.task.build(stream.seed)
    order = Order(task.stream)  # type: ignore[arg-type]
    for number in range(2):
        assert list(order) == torch.cat([task.stream.rows(4 * number + place) for place in range(4)]).tolist()  # type: ignore[union-attr]


def test_a_bare_step_has_eight_products(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = bare(resolve(override(TREE, SMALL), seed=0), 2)
    seen: list[tuple[int, ...]] = []
    product = torch.bmm

    def counted(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        found = product(one, other)
        seen.append(tuple(found.shape))
        return found

    monkeypatch.setattr(torch, "bmm", counted)
    advance(1)
    assert len(seen) == 8
    # outputs, gradients by weights, gradients by what goes in, of layers 49-12-10-10 on ten images
    assert sorted(seen) == sorted(
        [(2, 12, 10), (2, 10, 10), (2, 10, 10), (2, 12, 49), (2, 10, 12), (2, 10, 10), (2, 12, 10), (2, 10, 10)]
    )
