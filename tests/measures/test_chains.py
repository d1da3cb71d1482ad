"""Perceptrons are found however they are written, and nothing else is taken for one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import zoo
from grokscope.measures.base import evaluate
from grokscope.measures.chains import Chain, chain
from grokscope.snapshot import Snapshot


def found(net: nn.Module, points: Tensor, start: Tensor | str | None = None) -> Chain | None:
    net.eval()
    given = points if start is None else start
    return chain(net, dict(net.named_parameters()), lambda: net(points), given)


class Written(nn.Module):
    """A perceptron as people write it, with an embedding in front where there is one."""

    def __init__(self, embedding: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 3) if embedding else nn.Identity()
        self.first, self.second, self.out = nn.Linear(6, 9), nn.Linear(9, 8, bias=False), nn.Linear(8, 2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.first(self.embedding(x).flatten(1)), inplace=True)
        return self.out(self.drop(torch.tanh(self.second(x))))


class Skipping(Written):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x[:, :2]


class Adding(Written):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 1)


class Normalising(Written):
    def forward(self, x: Tensor) -> Tensor:
        return self.out(functional.normalize(functional.relu(self.first(x)))[:, :8])


class Doubling(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


POINTS = torch.rand(4, 6, generator=torch.Generator().manual_seed(0))


def test_a_perceptron_is_followed_from_its_input_and_from_a_nonlinearity() -> None:
    net = Written()
    whole = found(net, POINTS)
    assert whole is not None
    assert whole.sites == ("relu", "tanh")
    torch.testing.assert_close(whole(POINTS), net(POINTS))
    assert whole.hidden[1].bias is None
    hidden = functional.relu(net.first(POINTS))
    rest = found(net, POINTS, "relu")
    assert rest is not None
    assert rest.sites == ("tanh",)
    torch.testing.assert_close(rest(hidden), net(POINTS))
    last = found(net, POINTS, "tanh")
    assert last is not None
    assert last.hidden == ()


def test_tokens_are_followed_from_their_embedding() -> None:
    net, tokens = Written(embedding=True), torch.randint(0, 7, (4, 2), generator=torch.Generator().manual_seed(0))
    whole = found(net, tokens, net.embedding(tokens).detach())
    assert whole is not None
    torch.testing.assert_close(whole(net.embedding(tokens)), net(tokens))


def test_a_plain_linear_layer_is_one_without_hidden_layers() -> None:
    net = nn.Linear(6, 2)
    whole = found(net, POINTS)
    assert whole is not None
    assert whole.sites == ()


@pytest.mark.parametrize(
    "net",
    [
        Skipping(),
        Adding(),
        Normalising(),
        nn.Sequential(Doubling(6, 3), nn.ReLU(), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(6, 3), nn.LeakyReLU(0.2), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(6, 3), nn.GELU(approximate="tanh"), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(6, 3), nn.ReLU()),
        nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.ReLU(), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 2)),
        nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)), nn.ReLU(), nn.Linear(3, 2)),
    ],
)
def test_nothing_else_is_one(net: nn.Module) -> None:
    assert found(net, POINTS) is None


def test_a_site_that_is_not_there_is_not_followed() -> None:
    assert found(Written(), POINTS, "relu#2") is None


def test_a_perceptron_is_counted_as_its_vertices_are(monkeypatch: pytest.MonkeyPatch) -> None:
    animal = zoo.animal("mlp")
    for options in ("radius=0.1", "include_output=true,radius=0.1"):
        fast = evaluate(f"local_complexity:{options}", Snapshot.of(animal.model, train=animal.train, test=animal.test))
        with monkeypatch.context() as patch:
            patch.setattr("grokscope.measures.local_complexity.chain", lambda *_: None)
            slow = evaluate(
                f"local_complexity:{options}", Snapshot.of(animal.model, train=animal.train, test=animal.test)
            )
        assert fast.rows == slow.rows
