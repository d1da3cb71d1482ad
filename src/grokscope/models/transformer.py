"""The transformer in which grokking is fully understood (Nanda et al. 2023, App. A), of one layer or several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from grokscope.errors import UsageError

if TYPE_CHECKING:
    from grokscope.facts import Facts
    from grokscope.models.settings import ModularTransformerSettings


class Block(nn.Module):
    """Attention and a perceptron on a residual stream ``(batch, context, width)``; causal, no LayerNorm.

    Sites to observe or clamp are named identities: ``at_attention`` (batch, heads, context, context),
    ``at_mixed`` (the heads' outputs, batch, context, width), ``at_neurons`` (batch, context, hidden) and
    ``at_residual`` (batch, context, width).
    """

    def __init__(self, settings: ModularTransformerSettings, generator: torch.Generator) -> None:
        super().__init__()
        width, hidden = settings.width, settings.hidden_width
        self.heads = settings.heads
        scale = settings.initial_scale / math.sqrt(width)

        def normal(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * scale)

        self.W_K = normal(width, width)
        self.W_Q = normal(width, width)
        self.W_V = normal(width, width)
        self.W_O = normal(width, width)
        self.W_in = normal(hidden, width)
        self.b_in = nn.Parameter(torch.zeros(hidden))
        # by the model's width although its fan-in is the hidden width, as in the paper's code
        self.W_out = normal(width, hidden)
        self.b_out = nn.Parameter(torch.zeros(width))
        self.activation = nn.ReLU() if settings.activation == "relu" else nn.GELU()
        self.at_attention = nn.Identity()
        self.at_mixed = nn.Identity()
        self.at_neurons = nn.Identity()
        self.at_residual = nn.Identity()

    def residual(self, x: Tensor) -> Tensor:
        """Return the residual stream after the block, (batch, context, width), evaluating every position."""
        batch, context, _ = x.shape

        def split(matrix: Tensor) -> Tensor:  # (batch, heads, context, head width)
            return (x @ matrix.T).view(batch, context, self.heads, -1).transpose(1, 2)

        keys, queries, values = split(self.W_K), split(self.W_Q), split(self.W_V)
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(keys.shape[-1])
        ahead = torch.ones(context, context, dtype=torch.bool, device=x.device).triu(1)
        attention = self.at_attention(scores.masked_fill(ahead, -math.inf).softmax(-1))
        mixed = self.at_mixed((attention @ values).transpose(1, 2).reshape(batch, context, -1))
        x = x + mixed @ self.W_O.T
        neurons = self.at_neurons(self.activation(x @ self.W_in.T + self.b_in))
        return self.at_residual(x + neurons @ self.W_out.T + self.b_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``residual(x)``."""
        return self.residual(x)


class ModularTransformer(Block):
    """Tokens ``(batch, context)`` to logits ``(batch, outputs)`` at the last position.

    The model is the last block, whose tensors and sites have bare names (``W_in``, ``at_neurons``), with
    the embedding before it (site ``at_embedding``, batch, context, width) and the unembedding after it;
    of several layers the earlier ones are ``earlier.0``, ``earlier.1`` ….
    """

    def __init__(self, settings: ModularTransformerSettings, facts: Facts, generator: torch.Generator) -> None:
        layout = facts.sequence
        if layout is None:
            raise UsageError("the modular transformer reads token sequences, and this task has none: change task.name.")
        width, outputs, scale = settings.width, facts.outputs, settings.initial_scale
        embedding = torch.randn(layout.vocabulary, width, generator=generator)
        positions = torch.randn(layout.length, width, generator=generator)
        super().__init__(settings, generator)
        unembedding = torch.randn(outputs, width, generator=generator)
        self.W_E = nn.Parameter(embedding * (scale / math.sqrt(width)))
        self.W_pos = nn.Parameter(positions * (scale / math.sqrt(width)))
        self.W_U = nn.Parameter(unembedding * (scale / math.sqrt(outputs)))
        self.at_embedding = nn.Identity()
        self.earlier = nn.ModuleList(Block(settings, generator) for _ in range(settings.layers - 1))
        self.constant = layout.constant

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits after the last token, evaluating every position."""
        return self.residual(self._before_last_block(tokens))[:, -1] @ self.W_U.T

    def _before_last_block(self, tokens: Tensor) -> Tensor:
        x = self.at_embedding(self.W_E[tokens] + self.W_pos[: tokens.shape[1]])
        for block in self.earlier:
            x = block(x)
        return x

    def fast_forward(self, tokens: Tensor) -> Tensor:
        """Return the same logits with less work: of the last block, only the last position is ever read.

        With one layer, keys and values (and scores, where all sequences end in the same token and there
        is one query) are tables with a row a token, not a row a pair, and where a position holds the same
        token in every sequence they are one row. Attention sums to 1: the value of such a position is a constant,
        to which the others add their differences from it. The product of two weight matrices is taken once where
        the activations would go through both. Equal to ``forward`` up to rounding, in values and gradients.
        """
        batch, context = tokens.shape
        if self.earlier:
            x = self._before_last_block(tokens)
            places = [(x[:, position], None) for position in range(context)]
        else:
            places = [self._table(tokens[:, position], position) for position in range(context)]
        last = _looked_up(*places[-1])  # (batch or 1, width)
        heads, head_width = self.heads, last.shape[-1] // self.heads
        query = (last @ self.W_Q.T).view(-1, heads, head_width) / math.sqrt(head_width)
        scores, values = [], []
        for rows, index in places:
            keys = rows @ self.W_K.T
            if len(query) > 1:
                keys, index = _looked_up(keys, index), None
            score = (keys.view(-1, heads, head_width) * query).sum(-1)
            scores.append(_looked_up(score, index).expand(batch, heads))
            values.append(rows @ self.W_V.T)
        attention = torch.stack(scores).softmax(0)[..., None]  # (context, batch, heads, 1)

        to_neurons, to_logits = self.W_in @ self.W_O, self.W_U @ self.W_O
        neurons_start, logits_start = last @ self.W_in.T + self.b_in, (last + self.b_out) @ self.W_U.T
        fixed = next((i for i, (rows, index) in enumerate(places) if index is None and len(rows) == 1), None)
        if fixed is not None:
            always = values[fixed]  # (1, width)
            values = [value - always for value in values]
            neurons_start, logits_start = neurons_start + always @ to_neurons.T, logits_start + always @ to_logits.T
        mixed: Tensor | None = None
        for position, (value, (_, index)) in enumerate(zip(values, places, strict=True)):
            if position == fixed and context > 1:
                continue
            part = attention[position] * _looked_up(value, index).view(-1, heads, head_width)
            mixed = part if mixed is None else mixed + part
        assert mixed is not None
        mixed = mixed.reshape(batch, -1)
        neurons = self.activation((mixed @ to_neurons.T).add_(neurons_start))
        return (mixed @ to_logits.T).add_(logits_start) + neurons @ (self.W_U @ self.W_out).T

    def _table(self, tokens: Tensor, position: int) -> tuple[Tensor, Tensor | None]:
        """Return the embeddings that can stand at a position, and the row of each sequence; None: one for all."""
        if position in self.constant:
            return self.W_E[tokens[:1]] + self.W_pos[position], None
        return self.W_E + self.W_pos[position], tokens


def _looked_up(rows: Tensor, index: Tensor | None) -> Tensor:
    return rows if index is None else rows.index_select(0, index)


def neuron_to_logit(parameters: Mapping[str, Tensor]) -> Tensor:
    """Return W_U W_out, the map from neurons to logits, shape (outputs, hidden) (Nanda et al. 2023, W_L).

    Example:
        >>> neuron_to_logit({"W_U": torch.ones(3, 2), "W_out": torch.ones(2, 4)}).shape
        torch.Size([3, 4])
    """
    return parameters["W_U"] @ parameters["W_out"]
