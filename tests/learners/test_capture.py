"""An update that a graph can record: the step count is a tensor, everything changes in place."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grokscope.execution.plan import experiment_spec
from grokscope.learners.capture import Captured, clock_at, updates_in_place
from grokscope.learners.gradient import GradientState
from grokscope.learners.optim.base import Schedule
from grokscope.learners.update import update
from grokscope.numerics import applied
from grokscope.spec import Spec

OPTIMIZERS: list[dict[str, Any]] = [
    {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "warmup_steps": 4},
    {"name": "adam", "learning_rate": 1e-2, "weight_decay": 0.1},
    {"name": "adamw", "learning_rate": 1e-2, "weight_decay": 1.0, "warmup_steps": 4},
]


def started(specs: list[Spec], *, ensemble: bool) -> GradientState:
    learner: Any = specs[0].learner.build(ensemble=ensemble)
    return learner.start(specs, [spec.task.build(spec.seed) for spec in specs])


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=[one["name"] for one in OPTIMIZERS])
@pytest.mark.parametrize("seeds", [(0,), (0, 1)], ids=["single", "ensemble"])
def test_a_step_count_in_a_tensor_takes_the_same_updates(optimizer: dict[str, Any], seeds: tuple[int, ...]) -> None:
    changes = {"numerics.dtype": "float64", "optimizer": optimizer}
    specs = [experiment_spec("nanda2023", scale="smoke", seed=seed, changes=changes) for seed in seeds]
    specs = [spec.with_group(specs) for spec in specs] if len(seeds) > 1 else specs
    numbered, counted = (started(specs, ensemble=len(seeds) > 1) for _ in range(2))
    clock = clock_at(0, torch.device("cpu"))
    places = {name: tensor.data_ptr() for name, tensor in counted.moving.parameters.items()}
    loss = counted.moving.loss.data_ptr()
    for step in range(8):
        update(numbered.kernel, numbered.optimizer, numbered.moving, numbered.feed.at(step), step)
        updates_in_place(counted.kernel, counted.optimizer, counted.moving, counted.feed, clock)
    assert float(clock) == 8
    for name, tensor in counted.moving.parameters.items():
        torch.testing.assert_close(tensor, numbered.moving.parameters[name], rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(counted.moving.loss, numbered.moving.loss, rtol=1e-11, atol=1e-13)
    # a recorded update reads and writes the tensors it was recorded with
    assert {name: tensor.data_ptr() for name, tensor in counted.moving.parameters.items()} == places
    assert counted.moving.loss.data_ptr() == loss


class OnTheHost(TorchDispatchMode):
    """Remembers every operation that a tensor on the host takes part in: none of them can be recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        tensors = [one for one in tree_leaves((args, kwargs, given)) if isinstance(one, torch.Tensor)]
        self.seen += [str(func) for one in tensors if one.device.type == "cpu"]
        return given


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=[one["name"] for one in OPTIMIZERS])
@pytest.mark.parametrize("seeds", [(0,), (0, 1)], ids=["single", "ensemble"])
def test_an_update_asks_nothing_of_the_host(optimizer: dict[str, Any], seeds: tuple[int, ...]) -> None:
    # the device "meta" holds no values, so that reading one on the way is an error, as it is while recording
    changes = {"optimizer": optimizer, "learner.l1": 1e-3}
    specs = [experiment_spec("nanda2023", scale="smoke", seed=seed, changes=changes) for seed in seeds]
    specs = [spec.with_group(specs) for spec in specs] if len(seeds) > 1 else specs
    specs = [
        spec.model_copy(update={"numerics": spec.numerics.model_copy(update={"device": "meta"})}) for spec in specs
    ]
    state = started(specs, ensemble=len(seeds) > 1)
    learner: Any = specs[0].learner.build(ensemble=len(seeds) > 1)
    assert {tensor.device.type for tensor in learner.state_dict(state).tensors.values()} == {"meta"}
    clock = clock_at(0, torch.device("meta"))
    with OnTheHost() as host:
        updates_in_place(state.kernel, state.optimizer, state.moving, state.feed, clock)
    assert host.seen == []


def test_no_step_records_nothing() -> None:
    # a graph cannot be recorded on the device "meta", which would be an error
    spec = experiment_spec("nanda2023", scale="smoke", seed=0)
    on_meta = spec.numerics.model_copy(update={"device": "meta", "path": "graph"})
    spec = spec.model_copy(update={"numerics": on_meta})
    state = started([spec], ensemble=False)
    learner: Any = spec.learner.build()
    assert learner.advance(state, 0) is state
    assert (state.captured, state.step) == (None, 0)


@pytest.mark.parametrize("warmup", [0, 10])
def test_the_rate_of_a_counted_step_is_that_of_its_number(warmup: int) -> None:
    schedule = Schedule(1e-3, warmup)
    for step in (0, 1, 9, 10, 11, 5000):
        assert float(schedule.at(clock_at(step, torch.device("cpu")))) == schedule.at(step)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_replayed_graph_trains_as_the_fast_path_does() -> None:
    found = []
    for path in ("fast", "graph"):
        changes = {"numerics.device": "cuda", "numerics.dtype": "float64", "numerics.path": path}
        specs = [experiment_spec("nanda2023", scale="smoke", seed=0, changes=changes)]
        learner: Any = specs[0].learner.build()
        with applied(specs[0].numerics):
            state = started(specs, ensemble=False)
            for count in (1, 7, 12):
                state = learner.advance(state, count)
        found.append(state)
    assert isinstance(found[1].captured, Captured)
    for name, tensor in found[0].moving.parameters.items():
        torch.testing.assert_close(found[1].moving.parameters[name], tensor, rtol=1e-10, atol=1e-12)
