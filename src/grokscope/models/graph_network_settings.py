"""Settings of the graph network, free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.settings import ModelSettings

if TYPE_CHECKING:
    import torch

    from grokscope.facts import Facts


class GraphNetworkSettings(ModelSettings):
    """Edge-conditioned convolutions of ``widths``, a sum over nodes, and a perceptron of one hidden layer.

    A convolution is h_i' = W h_i + b + Σ_j M(e_ij)ᵀ h_j over the neighbours j of node i, where M is a perceptron from
    the kind of an edge through ``kernel_width`` units to a matrix; ReLU follows. Weights and biases are uniform
    in ±√(1/fan-in) · initial_scale; b starts at 0, as in PyTorch Geometric.
    """

    name: Literal["graph-network"] = "graph-network"
    cites: ClassVar[tuple[str, ...]] = ("gilmer2017",)
    paths: ClassVar[tuple[str, ...]] = ("plain",)
    widths: tuple[int, ...] = Field(
        default=(32, 16), min_length=1, description="units a node has after each convolution"
    )
    kernel_width: int = Field(default=32, ge=1, description="hidden units of the perceptron that reads an edge")
    hidden_width: int = Field(default=32, ge=1, description="hidden units after the sum over nodes")
    initial_scale: float = Field(default=1.0, gt=0)

    def build(self, facts: Facts, generator: torch.Generator) -> torch.nn.Module:
        """Return the initialised network for the graphs and outputs of ``facts``."""
        from grokscope.models.graph_network import GraphNetwork

        return GraphNetwork(self, facts, generator)
