"""The one-layer transformer in which grokking is fully understood (Nanda et al. 2023, App. A)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from grokscope.facts import Facts
    from grokscope.models.settings import ModularTransformerSettings


class ModularTransformer(nn.Module):
    """Tokens ``(batch, context)`` to logits ``(batch, outputs)`` at the last position.

    Sites to observe or clamp are named identities: ``at_embedding`` (batch, context, width),
    ``at_attention`` (batch, heads, context, context), ``at_mixed`` (the heads' outputs, batch, context,
    width), ``at_neurons`` (batch, context, hidden) and ``at_residual`` (batch, context, width).
    """

    def __init__(self, settings: ModularTransformerSettings, facts: Facts, generator: torch.Generator) -> None:
        super().__init__()
        layout = facts.sequence
        if layout is None:
            raise TypeError("the modular transformer reads token sequences; this task has none")
        width, hidden, outputs = settings.width, settings.hidden_width, facts.outputs
        self.heads = settings.heads
        self.same_last_token = layout.length - 1 in layout.constant

        def normal(*shape: int, fan: int = width) -> nn.Parameter:
            scale = settings.initial_scale / math.sqrt(fan)
            return nn.Parameter(torch.randn(*shape, generator=generator) * scale)

        self.W_E = normal(layout.vocabulary, width)
        self.W_pos = normal(layout.length, width)
        self.W_K = normal(width, width)
        self.W_Q = normal(width, width)
        self.W_V = normal(width, width)
        self.W_O = normal(width, width)
        self.W_in = normal(hidden, width)
        self.b_in = nn.Parameter(torch.zeros(hidden))
        # by the model's width although its fan-in is the hidden width, as in the paper's code
        self.W_out = normal(width, hidden)
        self.b_out = nn.Parameter(torch.zeros(width))
        self.W_U = normal(outputs, width, fan=outputs)
        self.activation = nn.ReLU() if settings.activation == "relu" else nn.GELU()
        self.at_embedding = nn.Identity()
        self.at_attention = nn.Identity()
        self.at_mixed = nn.Identity()
        self.at_neurons = nn.Identity()
        self.at_residual = nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits after the last token, evaluating every position."""
        batch, context = tokens.shape
        x = self.at_embedding(self.W_E[tokens] + self.W_pos[:context])

        def split(matrix: Tensor) -> Tensor:  # (batch, heads, context, head width)
            return (x @ matrix.T).view(batch, context, self.heads, -1).transpose(1, 2)

        keys, queries, values = split(self.W_K), split(self.W_Q), split(self.W_V)
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(keys.shape[-1])
        ahead = torch.ones(context, context, dtype=torch.bool, device=tokens.device).triu(1)
        attention = self.at_attention(scores.masked_fill(ahead, -math.inf).softmax(-1))
        mixed = self.at_mixed((attention @ values).transpose(1, 2).reshape(batch, context, -1))
        x = x + mixed @ self.W_O.T
        neurons = self.at_neurons(self.activation(x @ self.W_in.T + self.b_in))
        x = self.at_residual(x + neurons @ self.W_out.T + self.b_out)
        return x[:, -1] @ self.W_U.T

    def fast_forward(self, tokens: Tensor) -> Tensor:
        """Return the same logits with less work: only the last position is ever read.

        Keys and values are computed once a (token, position) that can occur, not once a pair, and the
        query, the neurons and the logits at the last position only; where all sequences end in the same
        token there is one query, and the scores are a table too. Equal to ``forward`` up to rounding, in
        values and gradients.
        """
        batch, context = tokens.shape
        vocabulary, width = self.W_E.shape
        head_width = width // self.heads
        table = (self.W_E[:, None] + self.W_pos[None, :context]).reshape(vocabulary * context, width)
        # row of the table that each position of each example reads; the lookups below are gathers
        rows = tokens * context + torch.arange(context, device=tokens.device)
        keys = (table @ self.W_K.T).view(-1, self.heads, head_width)
        values = table @ self.W_V.T
        last = table[rows[:1, -1]] if self.same_last_token else table[rows[:, -1]]
        queries = (last @ self.W_Q.T).view(-1, self.heads, head_width) / math.sqrt(head_width)
        if self.same_last_token:
            scores = (keys * queries).sum(-1)[rows]
        else:
            scores = (queries[:, None] * keys[rows]).sum(-1)
        attention = scores.softmax(1)  # (batch, context, heads)
        read = values[rows].view(batch, context, self.heads, head_width)
        mixed = (attention[..., None] * read).sum(1).reshape(batch, width)
        x = last + mixed @ self.W_O.T
        neurons = self.activation(torch.addmm(self.b_in, x, self.W_in.T))
        x = x + torch.addmm(self.b_out, neurons, self.W_out.T)
        return x @ self.W_U.T


def neuron_to_logit(parameters: Mapping[str, Tensor]) -> Tensor:
    """Return W_U W_out, the map from neurons to logits, shape (outputs, hidden) (Nanda et al. 2023, W_L).

    Example:
        >>> neuron_to_logit({"W_U": torch.ones(3, 2), "W_out": torch.ones(2, 4)}).shape
        torch.Size([3, 4])
    """
    return parameters["W_U"] @ parameters["W_out"]
