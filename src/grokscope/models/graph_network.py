"""The graph network of edge-conditioned convolutions (Gilmer et al. 2017), on graphs that are padded to one size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from grokscope.errors import UsageError

if TYPE_CHECKING:
    from grokscope.facts import Facts
    from grokscope.models.graph_network_settings import GraphNetworkSettings


class EdgeConvolution(nn.Module):
    """h_i' = W h_i + b + Σ_j M(e_ij)ᵀ h_j over neighbours j, with M a perceptron from an edge's kind to a matrix.

    Edges are of few kinds, so M is computed once for each kind and not for each edge.
    """

    def __init__(self, inputs: int, outputs: int, kinds: int, kernel_width: int) -> None:
        super().__init__()
        self.inputs, self.outputs, self.kinds = inputs, outputs, kinds
        self.root = nn.Linear(inputs, outputs, bias=False)
        self.kernel = nn.Sequential(
            nn.Linear(kinds, kernel_width), nn.ReLU(), nn.Linear(kernel_width, inputs * outputs)
        )
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Return (graphs, nodes, outputs) for nodes (graphs, nodes, inputs), edges (graphs, nodes, kinds · nodes)."""
        kinds = torch.eye(self.kinds, dtype=nodes.dtype, device=nodes.device)
        matrices = self.kernel(kinds).view(self.kinds * self.inputs, self.outputs)
        # what comes to each node by edges of each kind: (graphs, nodes, kinds · inputs)
        gathered = (edges.unflatten(-1, (self.kinds, -1)).flatten(-3, -2) @ nodes).unflatten(-2, (-1, self.kinds))
        return self.root(nodes) + gathered.flatten(-2) @ matrices + self.bias


class GraphNetwork(nn.Module):
    """Graphs as :class:`grokscope.facts.GraphLayout` says, (batch, nodes, …), to outputs (batch, outputs).

    The nodes after convolution i can be observed at ``at_nodes.i``, their sum at ``at_pooled`` and the hidden layer at
    ``at_hidden``.
    """

    def __init__(self, settings: GraphNetworkSettings, facts: Facts, generator: torch.Generator) -> None:
        super().__init__()
        if facts.graph is None:
            raise UsageError("a graph network reads graphs, and this task has none: change task.name.")
        self.features, self.kinds = facts.graph.features, facts.graph.kinds
        sizes = [self.features, *settings.widths]
        self.convolutions = nn.ModuleList(
            EdgeConvolution(before, after, self.kinds, settings.kernel_width)
            for before, after in itertools.pairwise(sizes)
        )
        self.hidden = nn.Linear(sizes[-1], settings.hidden_width)
        self.readout = nn.Linear(settings.hidden_width, facts.outputs)
        self.activation = nn.ReLU()
        self.at_nodes = nn.ModuleList(nn.Identity() for _ in self.convolutions)
        self.at_pooled, self.at_hidden = nn.Identity(), nn.Identity()
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                bound = settings.initial_scale / math.sqrt(layer.in_features)
                for parameter in layer.parameters():
                    parameter.data.uniform_(-bound, bound, generator=generator)

    def forward(self, graphs: Tensor) -> Tensor:
        """Return the outputs for a batch of graphs, (batch, outputs)."""
        nodes = graphs[..., : self.features]
        present = graphs[..., self.features : self.features + 1]
        edges = graphs[..., self.features + 1 :]
        for convolution, site in zip(self.convolutions, self.at_nodes, strict=True):
            nodes = site(self.activation(convolution(nodes, edges)))
        pooled = self.at_pooled((present * nodes).sum(-2))
        return self.readout(self.at_hidden(self.activation(self.hidden(pooled))))

    def pullback(
        self, parameters: Mapping[str, Tensor], inputs: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], dict[str, Tensor]]]:
        """Return outputs and gradients of many members, as :class:`grokscope.learners.closed.Pullback` says."""
        groups, members = parameters["readout.weight"].shape[:2]
        of = {name: tensor.flatten(0, 1) for name, tensor in parameters.items()}
        graphs = inputs[:, None].expand(-1, members, *inputs.shape[1:]).flatten(0, 1)
        batch, count = graphs.shape[1:3]
        present = graphs[..., self.features : self.features + 1]
        # (members · graphs, nodes · kinds, nodes): products of three axes are one call each
        edges = graphs[..., self.features + 1 :].reshape(-1, count * self.kinds, count)
        nodes = graphs[..., : self.features].reshape(-1, count, self.features)
        kept: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for number in range(len(self.convolutions)):
            name = f"convolutions.{number}."
            units = (of[f"{name}kernel.0.weight"].mT + of[f"{name}kernel.0.bias"][:, None]).relu_()
            matrices = _linear(of, f"{name}kernel.2", units).view(len(units), -1, of[f"{name}bias"].shape[-1])
            before = nodes.view(len(units), batch * count, -1)
            gathered = torch.bmm(edges, nodes).view(len(units), batch * count, -1)
            after = torch.baddbmm(of[f"{name}bias"][:, None], gathered, matrices)
            after = after.baddbmm_(before, of[f"{name}root.weight"].mT).relu_()
            kept.append((units, matrices, before, gathered))
            nodes = after.view(-1, count, after.shape[-1])
        pooled = (nodes.view(len(graphs), batch, count, -1) * present).sum(2)
        hidden = _linear(of, "hidden", pooled).relu_()

        def pull(slopes: Tensor) -> dict[str, Tensor]:
            found: dict[str, Tensor] = {}
            moved = _pulled(of, "readout", slopes.flatten(0, 1), hidden, found)
            moved = _pulled(of, "hidden", _through_relu(moved, hidden), pooled, found)
            moved = (moved[:, :, None] * present).flatten(1, 2)
            after = nodes
            for number, (units, matrices, before, gathered) in reversed([*enumerate(kept)]):
                name = f"convolutions.{number}."
                moved = _through_relu(moved, after.view(moved.shape))
                found[f"{name}bias"] = moved.sum(1)
                found[f"{name}root.weight"] = torch.bmm(moved.mT, before)
                by_matrices = torch.bmm(gathered.mT, moved).view(len(units), self.kinds, -1)
                by_units = _through_relu(_pulled(of, f"{name}kernel.2", by_matrices, units, found), units)
                found[f"{name}kernel.0.weight"], found[f"{name}kernel.0.bias"] = by_units.mT, by_units.sum(1)
                if number:
                    by_gathered = torch.bmm(moved, matrices.mT).view(len(edges), count * self.kinds, -1)
                    by_root = torch.bmm(moved, of[f"{name}root.weight"])
                    moved = torch.bmm(edges.mT, by_gathered).view(by_root.shape).add_(by_root)
                    after = before
            return {name: one.unflatten(0, (groups, members)) for name, one in found.items()}

        return _linear(of, "readout", hidden).unflatten(0, (groups, members)), pull


def _linear(of: Mapping[str, Tensor], name: str, inputs: Tensor) -> Tensor:
    """Return x Wᵀ + b of each member, (members, rows, outputs)."""
    return torch.baddbmm(of[f"{name}.bias"][:, None], inputs, of[f"{name}.weight"].mT)


def _pulled(of: Mapping[str, Tensor], name: str, slopes: Tensor, inputs: Tensor, found: dict[str, Tensor]) -> Tensor:
    """Put the gradients of a linear layer into ``found`` and return the one by its inputs."""
    found[f"{name}.weight"], found[f"{name}.bias"] = torch.bmm(slopes.mT, inputs), slopes.sum(1)
    return torch.bmm(slopes, of[f"{name}.weight"])


def _through_relu(slopes: Tensor, after: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward(slopes, after, 0)
