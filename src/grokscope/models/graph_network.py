"""The graph network of edge-conditioned convolutions (Gilmer et al. 2017), on graphs that are padded to one size."""

from __future__ import annotations

import itertools
import math
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
        """Return the outputs for a batch of graphs."""
        nodes = graphs[..., : self.features]
        present = graphs[..., self.features : self.features + 1]
        edges = graphs[..., self.features + 1 :]
        for convolution, site in zip(self.convolutions, self.at_nodes, strict=True):
            nodes = site(self.activation(convolution(nodes, edges)))
        pooled = self.at_pooled((present * nodes).sum(-2))
        return self.readout(self.at_hidden(self.activation(self.hidden(pooled))))
