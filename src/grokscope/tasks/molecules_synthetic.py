"""Random graphs, and what a random graph network says of them: a substitute for molecules."""

from __future__ import annotations

import numpy as np

from grokscope.facts import GraphLayout
from grokscope.rng import generator
from grokscope.tasks.molecule_features import ELEMENTS, FEATURES, KINDS, Edge, pack

SMALLEST = 4
"""Nodes of the smallest graph, where as many are allowed."""
WIDTHS = (8, 8)
"""Units of the teacher after each convolution."""


def synthetic(count: int, nodes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``count`` random graphs, float32 (count, nodes, …), and their targets, float64 (count,).

    A graph is a random tree of 4 … ``nodes`` nodes in which a third as many further edges are drawn, some of them where
    there is one; each node is one of C, N, O and each edge of one of four kinds, at random. The target is that of
    :func:`teacher`, whose weights are of the same seed.

    Example:
        >>> graphs, targets = synthetic(3, 9, 0)
        >>> graphs.shape, targets.shape
        ((3, 9, 48), (3,))
    """
    import torch

    draws = generator(seed, "synthetic", "graphs")

    def below(limit: int) -> int:
        return int(torch.randint(limit, (), generator=draws))

    features: list[np.ndarray] = []
    edges: list[list[Edge]] = []
    for _ in range(count):
        smallest = min(SMALLEST, nodes)
        size = smallest + below(nodes - smallest + 1)
        one = np.zeros((size, FEATURES), np.float32)
        for node in one:
            node[ELEMENTS.index("CNO"[below(3)])] = 1
        pairs = {(below(i), i): below(KINDS) for i in range(1, size)}
        for _ in range(size // 3):
            i, j = sorted((below(size), below(size)))
            if i != j:
                pairs.setdefault((i, j), below(KINDS))
        features.append(one)
        edges.append([(i, j, kind) for (i, j), kind in pairs.items()])
    graphs = pack(features, edges, GraphLayout(nodes, FEATURES, KINDS))
    return graphs, teacher(graphs, seed)


def teacher(graphs: np.ndarray, seed: int) -> np.ndarray:
    """Return one number for each graph, float64 (graphs,): what a random graph network says of it.

    With h the nodes' features, twice h_i ← max(0, W h_i + Σ_j M_k h_j) over neighbours j by edges of kind k, then
    u · Σ_i h_i; all entries of W and M are N(0, 1/fan-in), and of u N(0, 1).
    """
    import torch

    features = graphs[..., :FEATURES].astype(float)
    edges = graphs[..., FEATURES + 1 :].reshape(*graphs.shape[:2], KINDS, -1)

    def drawn(what: str, *shape: int) -> np.ndarray:
        return torch.randn(shape, generator=generator(seed, "synthetic", what), dtype=torch.float64).numpy()

    values = features
    for layer, width in enumerate(WIDTHS):
        fan_in = values.shape[-1]
        root = drawn(f"root {layer}", fan_in, width) / np.sqrt(fan_in)
        kernels = drawn(f"kernels {layer}", KINDS, fan_in, width) / np.sqrt(fan_in)
        values = np.maximum(values @ root + np.einsum("gikj,gjf,kfw->giw", edges, values, kernels, optimize=True), 0)
    return values.sum(1) @ drawn("readout", WIDTHS[-1])
