"""Networks that add modulo p, given as tables: what neurons and attention are for each pair is a parameter."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cubes import all_sums, half_of_the_pairs, random_logits, wave
from grokscope.batch import Batch
from grokscope.facts import Facts, GroupStructure
from grokscope.snapshot import Snapshot

SINE = np.pi / 2


class TableNetwork(nn.Module):
    """Tokens (a, b, =) to p + 1 logits: bypass + W neurons, with the sites of the modular transformer."""

    def __init__(self, neurons: Tensor, matrix: Tensor, bypass: Tensor, attention: Tensor, embedding: Tensor) -> None:
        super().__init__()
        self.p = len(neurons)
        self.neurons, self.bypass, self.attention = (nn.Parameter(t) for t in (neurons, bypass, attention))
        self.matrix = nn.Parameter(torch.cat([matrix, -torch.ones_like(matrix[:1])]))
        self.embedding = nn.Parameter(embedding)
        self.at_neurons, self.at_attention = nn.Identity(), nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        pairs = tokens[:, 0], tokens[:, 1]
        last = self.attention[pairs]  # (batch, heads, 2): from "=" to a and to b
        rows = torch.cat([last, 1 - last.sum(-1, keepdim=True)], dim=-1)[:, :, None].expand(-1, -1, 3, -1)
        self.at_attention(rows)
        # the other positions hold something else, which no measure may look at
        neurons = self.at_neurons(self.neurons[pairs][:, None] * torch.tensor([-1.0, 5.0, 1.0])[None, :, None])
        direct = torch.cat([self.bypass[pairs], torch.full((len(tokens), 1), -9.0, dtype=torch.float64)], dim=1)
        return direct + neurons[:, -1] @ self.matrix.T


def snapshot_of(network: TableNetwork, table: Tensor | None = None) -> Snapshot:
    """Return a snapshot with the probes all, train (a half) and test; ``table`` holds the answers."""
    p = network.p
    answers = (all_sums(p) if table is None else table).flatten()
    a, b = torch.arange(p * p) // p, torch.arange(p * p) % p
    tokens = torch.stack([a, b, torch.full_like(a, p)], dim=1)
    train = half_of_the_pairs(p).sort().values
    test = torch.tensor([row for row in range(p * p) if row not in train.tolist()])

    def part(rows: Tensor) -> Batch:
        return Batch(tokens[rows], answers[rows], parent="all", rows=rows)

    group = GroupStructure("cyclic", answers.view(p, p).numpy().copy())
    return Snapshot.of(
        network,
        probes={"all": Batch(tokens, answers), "train": part(train), "test": part(test)},
        facts=Facts(outputs=p + 1, classes=p, group=group),
        roles={"neuron_to_logit": "matrix", "embedding": "embedding"},
    )


def circuit_network(p: int, keys: tuple[int, ...], alpha: float, table: Tensor | None = None) -> TableNetwork:
    """Return the exact circuit: logits α Σ_k cos w_k(s−c), neurons cos and sin of w_k s, one head at the first key."""
    answers = all_sums(p) if table is None else table
    waves = torch.stack([wave(p, k, phase) for k in keys for phase in (0.0, SINE)], dim=1)
    attention = torch.stack([0.4 + 0.2 * wave(p, keys[0])[:, None].expand(p, p), torch.full((p, p), 0.3)], dim=-1)
    turned = torch.linalg.qr(random_logits(2 * len(keys), 2 * len(keys))[0]).Q
    return TableNetwork(
        waves[answers], alpha * waves, torch.zeros(p, p, p).double(), attention[:, :, None].double(), 3 * waves @ turned
    )


def random_network(p: int, seed: int = 0) -> TableNetwork:
    """Return a network of no structure but a weak circuit at frequency 2, so that it has key frequencies."""
    weak = circuit_network(p, (2,), 4.0)
    attention = torch.rand(p, p, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / 2
    return TableNetwork(
        torch.cat([weak.neurons.detach() + random_logits(p, 2, seed, 0.3), random_logits(p, 3, seed + 1, 0.5)], dim=2),
        torch.cat([weak.matrix.detach()[:p], random_logits(p, 3, seed + 2, 0.2)[0]], dim=1),
        random_logits(p, p, seed + 3, 0.3),
        attention,
        random_logits(p, 5, seed + 4)[0],
    )


def mirrored(network: TableNetwork) -> TableNetwork:
    """Return the network that does for (a, b) what the given one does for (a, −b): it subtracts where that adds."""
    turn = -torch.arange(network.p) % network.p
    return TableNetwork(
        network.neurons.detach()[:, turn],
        network.matrix.detach()[: network.p],
        network.bypass.detach()[:, turn],
        network.attention.detach()[:, turn],
        network.embedding.detach(),
    )
