"""Models as outsiders write them: functional activations, reused modules, fused attention, tuple outputs.

Nothing here knows of grokscope. Each entry gives a model, training data and held-out data, small and seeded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SmallCNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.fc = nn.Linear(6 * 3 * 3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.adaptive_avg_pool2d(F.relu(self.conv2(x)), 3)
        return self.fc(x.flatten(1))


class BasicBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


class SmallResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.layer1 = nn.Sequential(BasicBlock(4), BasicBlock(4))
        self.head = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer1(self.stem(x)).mean((2, 3)))


class CausalSelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.c_attn(x).split(width, dim=2)
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = CausalSelfAttention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class SmallGPT(nn.Module):
    """Decoder with LayerNorm, fused attention and a readout tied to the embedding; next-token targets."""

    def __init__(self, vocabulary: int = 11, width: int = 12, length: int = 6) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(length, width)
        self.blocks = nn.ModuleList([Block(width, 2) for _ in range(2)])
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return {"logits": self.lm_head(self.ln_f(x))}


class Sentiment(nn.Module):
    """LSTM classifier that returns its state too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(13, 8)
        self.lstm = nn.LSTM(8, 10, num_layers=2, batch_first=True)
        self.head = nn.Linear(10, 2)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Any]:
        states, last = self.lstm(self.embedding(tokens))
        return self.head(states[:, -1]), last


def small_mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3))


@dataclass(frozen=True)
class Animal:
    """A model with its data: (inputs, targets) to train on and held out."""

    model: nn.Module
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def _images(count: int, classes: int, size: int = 8) -> tuple[Tensor, Tensor]:
    targets = torch.arange(count) % classes
    inputs = torch.rand(count, 1, size, size) * 0.5
    for row, target in enumerate(targets):
        inputs[row, 0, int(target) : int(target) + 3, 2:5] += 0.5
    return inputs, targets


def _next_tokens(count: int, length: int = 6, vocabulary: int = 11) -> tuple[Tensor, Tensor]:
    starts = torch.randint(0, vocabulary, (count, 1))
    strides = torch.randint(1, 3, (count, 1))
    text = (starts + strides * torch.arange(length + 1)) % vocabulary
    return text[:, :-1], text[:, 1:]


def _reviews(count: int) -> tuple[Tensor, Tensor]:
    tokens = torch.randint(0, 13, (count, 7))
    return tokens, (tokens[:, -1] % 2 == 0).long()


def _points(count: int) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(count, 4, 4)
    return inputs, inputs.flatten(1)[:, :3].argmax(1)


_ZOO: dict[str, tuple[Callable[[], nn.Module], Callable[[int], tuple[Tensor, Tensor]]]] = {
    "cnn": (SmallCNN, lambda count: _images(count, 4)),
    "resnet": (SmallResNet, lambda count: _images(count, 4)),
    "gpt": (SmallGPT, _next_tokens),
    "lstm": (Sentiment, _reviews),
    "mlp": (small_mlp, _points),
}
ZOO = tuple(_ZOO)


def animal(name: str, *, seed: int = 0, train: int = 24, test: int = 12) -> Animal:
    """Return one of the zoo, freshly initialised, with its data."""
    model, data = _ZOO[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Animal(model(), data(train), data(test))


def loss_of(outputs: Any, targets: Tensor) -> Tensor:
    """Return the loss an outsider's loop would take of a model's raw outputs."""
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs[0] if isinstance(outputs, tuple) else outputs
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())
