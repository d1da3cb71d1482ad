"""The tangent kernel by factors equals the general one, for every way a matrix is used; other ways are not factored."""

from __future__ import annotations

import doctest
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from grokscope.linalg import ntk_factors
from grokscope.linalg.ntk import empirical_ntk, signs
from grokscope.linalg.ntk_factors import products
from grokscope.snapshot import Snapshot

Function = Callable[[Mapping[str, Tensor], Tensor], Tensor]


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 6, shape, generator=torch.Generator().manual_seed(seed))


W = {"w": draws(4, 3), "v": draws(2, 4, seed=1)}


def mlp(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return F.linear(torch.tanh(F.linear(x, p["w"])), p["v"])


def written_into(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    hidden = F.linear(x, p["w"])
    hidden += 1
    return F.linear(torch.relu_(hidden), p["v"])


def flattened(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return mlp(p, x.reshape(-1, 3)).reshape(len(x), -1)


def transposed(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return mlp(p, x.transpose(0, 1).reshape(-1, 3)).reshape(x.shape[1], len(x), -1).transpose(0, 1)


def penalised(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return mlp(p, x) * p["w"].norm()


def shared(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return F.linear(torch.tanh(F.linear(torch.tanh(F.linear(x, p["s"])), p["s"])), p["s"]).sum(1)


def tied(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return F.linear(torch.tanh(F.embedding(x, p["e"], padding_idx=-2)), p["e"])


def pictures(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    hidden = torch.tanh(F.conv2d(x, p["k"], p["b"], stride=(2, 1), padding=(1, 2), dilation=(1, 2)))
    return F.conv2d(hidden, p["l"]).mean((2, 3))


def sounds(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return torch.tanh(F.conv1d(x, p["c"], stride=2, padding=1)).mean(2)


def grouped(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return torch.tanh(F.conv1d(x, p["g"], groups=2)).mean(2)


def constant(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return F.linear(x, p["w"]).detach() + p["v"].sum()


def by_hand(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    hidden = torch.tanh(p["e"][x] @ p["m"] + p["pos"][: x.shape[1]])
    return torch.addmm(p["b"], hidden[:, -1] @ p["n"].T, p["o"])


def stored_the_other_way(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return torch.matmul(torch.tanh(F.linear(x, p["w"].mT)), p["v"].t())


def on_the_left(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return (p["w"] @ x.T).T * p["v"].T.sum()


def multiplied(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return torch.tanh(x @ (p["v"] @ p["w"]).T)


CASES: dict[str, tuple[Function, dict[str, Tensor], Tensor, set[str]]] = {
    "mlp": (mlp, W, draws(7, 3), {"w", "v"}),
    "mlp of sequences": (mlp, W, draws(7, 5, 3), {"w", "v"}),
    "written into": (written_into, W, draws(7, 3), {"w", "v"}),
    "flattened": (flattened, W, draws(7, 5, 3), {"w", "v"}),
    "transposed": (transposed, W, draws(7, 5, 3), set()),
    "also a penalty": (penalised, W, draws(7, 3), {"v"}),
    "shared": (shared, {"s": draws(3, 3)}, draws(7, 4, 3), {"s"}),
    "tied": (tied, {"e": draws(6, 3)}, tokens(7, 5), {"e"}),
    "pictures": (
        pictures,
        {"k": draws(2, 2, 3, 2), "b": draws(2, seed=1), "l": draws(3, 2, 2, 2, seed=2)},
        draws(7, 2, 6, 7),
        {"k", "l"},
    ),
    "sounds": (sounds, {"c": draws(3, 2, 3)}, draws(7, 2, 9), {"c"}),
    "grouped": (grouped, {"g": draws(4, 1, 3)}, draws(7, 2, 9), set()),
    "by hand": (
        by_hand,
        {
            "e": draws(6, 3),
            "m": draws(3, 4, seed=1),
            "pos": draws(5, 4, seed=2),
            "n": draws(3, 4, seed=3),
            "o": draws(3, 2, seed=4),
            "b": draws(2, seed=5),
        },
        tokens(7, 5),
        {"e", "m", "n", "o"},
    ),
    "stored the other way": (stored_the_other_way, {"w": draws(3, 4), "v": draws(2, 4)}, draws(7, 5, 3), {"w", "v"}),
    "on the left": (on_the_left, W, draws(7, 3), set()),
    "multiplied": (multiplied, W, draws(7, 3), set()),
    "detached": (constant, W, draws(7, 3), {"w"}),
}


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(ntk_factors).failed == 0


@pytest.mark.parametrize("name", CASES)
def test_factors_give_the_same_kernel(name: str) -> None:
    function, parameters, inputs, found = CASES[name]
    assert set(products(function, parameters, inputs)) == found
    exact = empirical_ntk(function, parameters, inputs, outputs="each", method="vectorised")
    size = sum(tensor.numel() for tensor in parameters.values())
    close = {"rtol": 1e-10, "atol": 1e-10}
    for memory in (7 * size - 1, 60):  # all graphs, some at a time
        memory *= 8
        torch.testing.assert_close(
            empirical_ntk(function, parameters, inputs, outputs="each", memory=memory), exact, **close
        )
        torch.testing.assert_close(empirical_ntk(function, parameters, inputs, memory=memory), exact.sum(0), **close)
        cross = empirical_ntk(function, parameters, inputs[:3], inputs[2:], memory=memory)
        torch.testing.assert_close(cross, exact.sum(0)[:3, 2:], **close)
    directions = signs(3, exact.shape[0], torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        empirical_ntk(function, parameters, inputs, directions=directions, memory=480),
        empirical_ntk(function, parameters, inputs, directions=directions, method="vectorised"),
        **close,
    )


def test_pairs_of_positions_and_whole_gradients_are_both_used(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: set[str] = set()
    for name in ("_pairs", "_gradients"):
        original = getattr(ntk_factors, name)

        def spy(*args: object, original: Callable[..., Tensor] = original, name: str = name) -> Tensor:
            taken.add(name)
            return original(*args)

        monkeypatch.setattr(ntk_factors, name, spy)
    empirical_ntk(mlp, W, draws(7, 3), memory=400)
    assert taken == {"_pairs"}
    empirical_ntk(sounds, {"c": draws(3, 2, 3)}, draws(7, 2, 99), memory=400)
    assert taken == {"_pairs", "_gradients"}


@pytest.mark.parametrize("name", zoo.ZOO)
def test_factors_give_the_same_kernel_of_outsiders_models(name: str) -> None:
    animal = zoo.animal(name, train=6)
    snapshot = Snapshot.of(animal.model, train=animal.train).in_double()
    inputs, parameters = snapshot.probe("train").inputs, dict(snapshot.parameters)
    matrices = {path for path, layer in animal.model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    tied = {"lm_head.weight"} if name == "gpt" else set()
    found = set(products(snapshot.predict_with, parameters, inputs))
    assert {f"{path}.weight" for path in matrices} - tied <= found
    assert {"gpt": "wte.weight", "lstm": "embedding.weight"}.get(name, next(iter(found))) in found
    size = sum(tensor.numel() for tensor in parameters.values())
    torch.testing.assert_close(
        empirical_ntk(snapshot.predict_with, parameters, inputs, memory=8 * (6 * size - 1)),
        empirical_ntk(snapshot.predict_with, parameters, inputs),
        rtol=1e-9,
        atol=1e-9,
    )
