"""The long short-term memory (Hochreiter & Schmidhuber 1997) that reads tokens, with its gradient written out.

Its cell is written as matrix products, in the layout of ``torch.nn.LSTM``, which ``torch.vmap`` cannot lift over the
members of an ensemble.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from grokscope.errors import UsageError
from grokscope.models.lstm_layer import backward, forward

if TYPE_CHECKING:
    from grokscope.facts import Facts
    from grokscope.models.lstm_settings import LSTMSettings


class Layer(nn.Module):
    """One layer: inputs (batch, length, width) to hidden states (batch, length, hidden), from a state of 0.

    With (i, f, g, o) = W_ih x_t + b_ih + W_hh h_{t−1} + b_hh, in rows of ``hidden`` each:
    c_t = σ(f) c_{t−1} + σ(i) tanh(g) and h_t = σ(o) tanh(c_t).
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden, width))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden))
        self.bias_hh = nn.Parameter(torch.empty(4 * hidden))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the hidden state after each input."""
        driven = inputs @ self.weight_ih.T + (self.bias_ih + self.bias_hh)
        hidden: list[Tensor] = []
        before = cell = inputs.new_zeros(())
        for step, drive in enumerate(driven.unbind(-2)):
            gates = drive if step == 0 else drive + before @ self.weight_hh.T
            i, f, g, o = gates.chunk(4, -1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            before = o.sigmoid() * cell.tanh()
            hidden.append(before)
        return torch.stack(hidden, -2)


class LSTM(nn.Module):
    """Tokens (batch, length) to outputs (batch, outputs), read off the last hidden state of the last layer.

    Of two classes there is one score f, and the outputs are (−f/2, f/2), whose cross-entropy is the binary one. The
    embedded tokens can be observed at ``at_embedding``, the states of layer i at ``at_states.i``, both (batch, length,
    …), and what the readout reads at ``at_last``.
    """

    def __init__(self, settings: LSTMSettings, facts: Facts, generator: torch.Generator) -> None:
        super().__init__()
        if facts.sequence is None:
            raise UsageError("an lstm reads sequences of tokens, and this task has none: change task.name.")
        width, hidden = settings.embedding_width, settings.hidden_width
        self.paired = facts.classes == 2
        embedding: Any = nn.utils.skip_init(nn.Embedding, facts.sequence.vocabulary, width)
        self.embedding = embedding
        self.layers = nn.ModuleList(Layer(hidden if number else width, hidden) for number in range(settings.layers))
        self.readout = nn.utils.skip_init(nn.Linear, hidden, 1 if self.paired else facts.outputs)
        self.at_embedding = nn.Identity()
        self.at_states = nn.ModuleList(nn.Identity() for _ in self.layers)
        self.at_last = nn.Identity()
        self.embedding.weight.data.normal_(generator=generator).mul_(settings.initial_scale)
        bound = settings.initial_scale / math.sqrt(hidden)
        for parameter in (*self.layers.parameters(), *self.readout.parameters()):
            parameter.data.uniform_(-bound, bound, generator=generator)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the outputs for a batch of token sequences."""
        x = self.at_embedding(self.embedding(tokens))
        for layer, site in zip(self.layers, self.at_states, strict=True):
            x = site(layer(x))
        return self._outputs(self.readout(self.at_last(x[..., -1, :])))

    def _outputs(self, score: Tensor) -> Tensor:
        return torch.cat([-score / 2, score / 2], -1) if self.paired else score

    def pullback(
        self, parameters: Mapping[str, Tensor], inputs: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], dict[str, Tensor]]]:
        """Return outputs and gradients of many members, as :class:`grokscope.learners.closed.Pullback` says."""
        axes = parameters["readout.weight"].shape[:2]
        own = {name: tensor.flatten(0, 1) for name, tensor in parameters.items()}
        members, vocabulary, width = own["embedding.weight"].shape
        # time before examples, so that a step is one block of memory: (members, length, examples)
        tokens = inputs.mT[:, None].expand(-1, axes[1], -1, -1).flatten(0, 1)
        rows = (tokens + vocabulary * torch.arange(members, device=tokens.device)[:, None, None]).flatten()
        x = own["embedding.weight"].flatten(0, 1).index_select(0, rows).unflatten(0, tokens.shape)
        embedded = x
        passes = []
        for number in range(len(self.layers)):
            passes.append(forward(x, *(own[f"layers.{number}.{name}"] for name in LAYER)))
            x = passes[-1].hidden[:, 1:]
        last = x[:, -1]
        score = torch.baddbmm(own["readout.bias"][:, None], last, own["readout.weight"].mT)

        def pull(slopes: Tensor) -> dict[str, Tensor]:
            moved = slopes.flatten(0, 1)
            if self.paired:
                moved = (moved[..., 1:] - moved[..., :1]) / 2
            found = {"readout.weight": moved.mT @ last, "readout.bias": moved.sum(1)}
            above, at_end = None, moved @ own["readout.weight"]
            for number in reversed(range(len(self.layers))):
                below = passes[number - 1].hidden[:, 1:] if number else embedded
                weight_ih, weight_hh = (own[f"layers.{number}.{name}"] for name in LAYER[:2])
                gradients, above = backward(passes[number], below, weight_ih, weight_hh, above, at_end)
                at_end = None
                found |= {f"layers.{number}.{name}": one for name, one in zip(LAYER, gradients, strict=True)}
            assert above is not None
            by_token = above.new_zeros(members * vocabulary, width).index_add_(0, rows, above.flatten(0, 2))
            found["embedding.weight"] = by_token.unflatten(0, (members, vocabulary))
            return {name: one.unflatten(0, axes) for name, one in found.items()}

        return self._outputs(score).unflatten(0, axes), pull


LAYER = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""The parameters of a layer."""
