"""The graph network against a plain loop over edges; order and padding of nodes do not matter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import toys
from driving import Training
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.facts import Facts, GraphLayout
from grokscope.learners.closed import Closed
from grokscope.learners.losses import loss_function
from grokscope.models.graph_network import EdgeConvolution, GraphNetwork
from grokscope.models.graph_network_settings import GraphNetworkSettings
from grokscope.rng import generator
from grokscope.tasks.molecule_features import pack

LAYOUT = GraphLayout(nodes=6, features=11, kinds=4)


def network(layout: GraphLayout = LAYOUT, **changes: float) -> GraphNetwork:
    built = GraphNetworkSettings(**changes).build(Facts(outputs=1, graph=layout), generator(3, "init"))  # type: ignore[arg-type]
    assert isinstance(built, GraphNetwork)
    return built


def drawn(seed: int, nodes: int, layout: GraphLayout = LAYOUT) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Return the features and edges of a random graph."""
    draws = np.random.default_rng(seed)
    pairs = [(i, j) for j in range(nodes) for i in range(j) if draws.random() < 0.6]
    features = draws.standard_normal((nodes, layout.features)).astype(np.float32)
    return features, [(i, j, int(draws.integers(layout.kinds))) for i, j in pairs]


def packed(features: np.ndarray, edges: list[tuple[int, int, int]], layout: GraphLayout = LAYOUT) -> Tensor:
    return torch.tensor(pack([features], [edges], layout))


def by_edges(model: GraphNetwork, features: np.ndarray, edges: list[tuple[int, int, int]]) -> Tensor:
    """Return what the network says of one graph, node by node and edge by edge."""
    values = [torch.tensor(row, dtype=model.readout.weight.dtype) for row in features]
    for layer in model.convolutions:
        assert isinstance(layer, EdgeConvolution)
        found = [layer.root(value) + layer.bias for value in values]
        for i, j, kind in edges:
            edge = torch.zeros(layer.kinds, dtype=values[0].dtype)
            edge[kind] = 1
            matrix = layer.kernel(edge).view(layer.inputs, layer.outputs)
            found[i] = found[i] + values[j] @ matrix
            found[j] = found[j] + values[i] @ matrix
        values = [value.relu() for value in found]
    return model.readout(model.hidden(torch.stack(values).sum(0)).relu())


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_loop_over_edges(seed: int) -> None:
    model = network().double()
    torch.nn.init.normal_(model.convolutions[0].bias)  # type: ignore[arg-type]
    features, edges = drawn(seed, 5)
    with torch.no_grad():
        assert torch.allclose(model(packed(features, edges).double())[0], by_edges(model, features, edges), rtol=1e-12)


def test_sizes_and_start_are_those_of_pytorch_times_the_scale() -> None:
    model = network()
    assert [tuple(one.shape) for one in model.convolutions[1].parameters()] == [
        (16,),
        (16, 32),
        (32, 4),
        (32,),
        (512, 32),
        (512,),
    ]
    assert sum(one.numel() for one in model.parameters()) == 30_321
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear):
            bound = 1 / math.sqrt(layer.in_features)
            largest = max(float(one.detach().abs().max()) for one in layer.parameters())
            assert 0.9 * bound < largest <= bound, name
    assert all(float(one.bias.detach().abs().max()) == 0 for one in model.convolutions)  # type: ignore[operator, union-attr]
    larger = network(initial_scale=3.0)
    for one, other in zip(model.parameters(), larger.parameters(), strict=True):
        assert torch.allclose(3 * one, other)


DOUBLE = network().double()


@given(seed=st.integers(0, 10**6), nodes=st.integers(1, 6), order=st.permutations(range(6)))
@settings(max_examples=25, deadline=None)
def test_the_order_of_nodes_does_not_matter(seed: int, nodes: int, order: list[int]) -> None:
    model = DOUBLE
    features, edges = drawn(seed, nodes)
    place = [at for at in order if at < nodes]  # node i moves to place[i]
    moved = np.empty_like(features)
    moved[place] = features
    renamed = [(place[i], place[j], kind) for i, j, kind in edges]
    with torch.no_grad():
        one, other = (model(packed(*graph).double()) for graph in ((features, edges), (moved, renamed)))
    assert torch.allclose(one, other, rtol=1e-10)


def test_padding_does_not_matter() -> None:
    wide = GraphLayout(nodes=9, features=11, kinds=4)
    narrow_model, wide_model = network().double(), network(wide).double()
    torch.nn.init.constant_(narrow_model.convolutions[1].bias, 0.5)  # type: ignore[arg-type]
    wide_model.load_state_dict(narrow_model.state_dict())
    features, edges = drawn(4, 5)
    with torch.no_grad():
        narrow = narrow_model(packed(features, edges).double())
        assert torch.allclose(narrow, wide_model(packed(features, edges, wide).double()), rtol=1e-12)


def test_single_precision_agrees_with_double() -> None:
    model = network()
    graphs = torch.cat([packed(*drawn(seed, 4)) for seed in range(8)])
    with torch.no_grad():
        assert torch.allclose(model(graphs).double(), network().double()(graphs.double()), rtol=1e-4, atol=1e-5)


def test_members_side_by_side_are_the_members() -> None:
    models = [network(initial_scale=scale).double() for scale in (1.0, 3.0)]
    graphs = torch.cat([packed(*drawn(seed, 5)) for seed in range(4)]).double()
    stacked = {
        name: torch.stack([dict(one.named_parameters())[name].detach() for one in models])
        for name, _ in models[0].named_parameters()
    }
    together = torch.vmap(lambda one: torch.func.functional_call(models[0], one, (graphs,)))(stacked)
    with torch.no_grad():
        assert torch.allclose(together, torch.stack([one(graphs) for one in models]), rtol=1e-12)


def test_gradients_written_out_are_those_of_autograd() -> None:
    """Two groups of three members, each group on graphs of its own, some of them smaller than others."""
    models = [network(initial_scale=1.0 + member).double() for member in range(6)]
    for member, model in enumerate(models):
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator(member, "noise")).double()
    graphs = torch.stack(
        [torch.cat([packed(*drawn(10 * group + seed, 3 + seed % 4)) for seed in range(7)]) for group in range(2)]
    ).double()
    targets = torch.randn(2, 7, 1, generator=generator(0, "targets")).double()
    weights = torch.tensor([[1.0] * 7, [1.0] * 5 + [0.0] * 2]).double()
    names = [name for name, _ in models[0].named_parameters()]
    stacked = {name: torch.stack([dict(one.named_parameters())[name].detach() for one in models]) for name in names}
    closed = Closed(models[0], "mean-squared-error", torch.float64)
    losses, slopes = closed(stacked, {}, Batch(graphs, targets, weights))
    for member, model in enumerate(models):
        group = member // 3
        batch = Batch(graphs[group], targets[group], weights[group])
        expected = loss_function("mean-squared-error", torch.float64)(model(batch.inputs), batch)
        torch.testing.assert_close(losses[member], expected.detach(), rtol=1e-12, atol=0)
        for name, one in zip(names, torch.autograd.grad(expected, list(model.parameters())), strict=True):
            scale = float(one.abs().max())
            assert scale > 0, name
            torch.testing.assert_close(slopes[name][member], one, rtol=1e-9, atol=1e-12 * scale)


def test_members_of_an_ensemble_are_those_trained_alone() -> None:
    tree: dict[str, Any] = {
        "paper": "toys",
        "task": {
            "name": "molecules",
            "dataset": "synthetic",
            "train_examples": 10,
            "test_examples": 4,
            "nodes": 5,
            "batch_size": 4,
        },
        "model": {"name": "graph-network", "widths": [4, 3], "kernel_width": 5, "hidden_width": 4},
        "learner": {"name": "gradient", "steps": 30},
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
        "numerics": {"dtype": "float64"},
    }
    specs = toys.members(tree, [{"seed.base": 0}, {"seed.base": 1, "model.initial_scale": 2.0}, {"seed.base": 1}])
    together = Training(specs)
    together.advance(20)
    for member, spec in enumerate(specs):
        one = Training([toys.alone(spec)])
        assert one.state.kernel.closed is not None
        begun = one.parameters()
        one.advance(20)
        mine, members = one.parameters(), together.parameters(member)
        for name, values in mine.items():
            assert float((values - members[name]).abs().max()) <= 2e-9, name
        assert float((mine["hidden.weight"] - begun["hidden.weight"]).abs().max()) > 1e-3


def test_a_task_without_graphs_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a graph network reads graphs, and this task has none: change task\.name"):
        GraphNetworkSettings().build(Facts(outputs=1), generator(0, "init"))
