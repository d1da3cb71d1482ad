"""The measure agop: each layer against autograd at what goes into it, options, what it says where there is nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.linalg.agop import agop, feature_alignment, matrix_power, neural_feature_matrix
from grokscope.linalg.kernels import spectrum
from grokscope.measures.agop import AGOP, measure
from grokscope.measures.base import DoesNotApply, evaluate, named
from grokscope.measures.layer_gradients import LayerGradients, layer_gradients
from grokscope.snapshot import Snapshot

close = {"rtol": 1e-9, "atol": 1e-12}


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def built(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().double()


def gradients(snapshot: Snapshot, inputs: Tensor, *, projections: int = 0, chunk: int = 4) -> dict[str, LayerGradients]:
    generator = torch.Generator().manual_seed(1)
    return layer_gradients(
        snapshot, inputs, last=False, projections=projections, generator=generator, chunk=chunk, widest=4096
    )


def test_every_linear_layer_is_differentiated_at_what_goes_into_it() -> None:
    for make in (
        lambda: nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 6), nn.ReLU(inplace=True), nn.Linear(6, 2)),
        lambda: nn.Sequential(nn.Linear(5, 9), nn.ReLU(inplace=True), nn.Linear(9, 2)),
    ):
        model = built(make)
        x = draws(10, 5)
        found = gradients(Snapshot.of(model, train=(x, None)), x)  # type: ignore[arg-type]
        assert list(found) == [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
        for name, layer in found.items():
            index = int(name)
            with torch.no_grad():
                into = model[:index](x)
            torch.testing.assert_close(layer.agop, agop(model[index:], into), **close)
            torch.testing.assert_close(layer.feature_matrix, neural_feature_matrix(model[index].weight.detach()))


class Groups(nn.Module):
    def __init__(self, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=groups)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_is_a_linear_layer_on_patches(groups: int) -> None:
    model = built(lambda: Groups(groups))
    x = draws(5, 4, 6, 6)
    patches = F.unfold(x, 3, padding=1, stride=2).transpose(1, 2)  # (examples, positions, channels × 9)
    weight = model.conv.weight.detach().flatten(1)  # type: ignore[union-attr,operator]

    def onwards(points: Tensor) -> Tensor:
        parts = points.unflatten(-1, (groups, -1))
        hidden = torch.einsum("npgc,grc->npgr", parts, weight.unflatten(0, (groups, -1))).flatten(2)
        return model.head(torch.tanh(hidden + model.conv.bias).mean(1))  # type: ignore[operator]

    torch.testing.assert_close(onwards(patches), model(x))
    whole = agop(onwards, patches, positions=True)
    width = whole.shape[0] // groups
    exact = sum(whole[g * width : (g + 1) * width, g * width : (g + 1) * width] for g in range(groups))
    found = gradients(Snapshot.of(model, train=(x, None)), x)["conv"]  # type: ignore[arg-type]
    torch.testing.assert_close(found.agop, exact, **close)
    torch.testing.assert_close(found.feature_matrix, weight.T @ weight, **close)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.layer(x)
        hidden += x  # into what the layer gave
        return self.layer(torch.tanh(hidden))[:, :2]


def test_a_layer_used_twice_is_averaged_over_its_uses() -> None:
    model = built(Twice)
    x = draws(7, 3)
    hidden = torch.tanh(model.layer(x) + x).detach()  # type: ignore[operator]
    late = agop(lambda points: model.layer(points)[:, :2], hidden)  # type: ignore[operator,index]
    early = agop(lambda points: model.layer(torch.tanh(model.layer(points) + x))[:, :2], x)  # type: ignore[operator,index]
    found = gradients(Snapshot.of(model, train=(x, None)), x, chunk=7)["layer"]  # type: ignore[arg-type]
    torch.testing.assert_close(found.agop, (early + late) / 2, **close)


@pytest.mark.parametrize("name", ["gpt", "lstm"])
def test_tokens_are_differentiated_at_their_embedding(name: str) -> None:
    animal = zoo.animal(name)
    snapshot = Snapshot.of(animal.model, train=animal.train).in_double()
    real = snapshot.real_inputs("train")
    assert real is not None
    exact = agop(lambda points: real.call(points, real.tokens), real.points.double(), positions=True)
    found = gradients(snapshot, animal.train[0])
    embedding = found[str(real.site)]
    torch.testing.assert_close(embedding.outputs_agop[0], exact, **close)
    weight = dict(snapshot.parameters)[f"{real.site}.weight"]
    torch.testing.assert_close(embedding.agop, weight @ exact @ weight.T, **close)  # of one-hot tokens
    if name == "lstm":  # reads the embedding and nothing else
        torch.testing.assert_close(found["lstm"].agop, exact, **close)
        into = snapshot.parameters["lstm.weight_ih_l0"]
        torch.testing.assert_close(found["lstm"].feature_matrix, into.T @ into, **close)


def test_random_projections_are_right_in_the_mean() -> None:
    animal = zoo.animal("cnn")
    snapshot = Snapshot.of(animal.model, train=animal.train).in_double()
    inputs = snapshot.probe("train").inputs
    exact, few = gradients(snapshot, inputs)["conv2"].agop, []
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        found = layer_gradients(snapshot, inputs, last=False, projections=1, generator=generator, chunk=24, widest=99)
        few.append(found["conv2"].agop.trace())
    assert float(torch.stack(few).mean()) == pytest.approx(
        float(exact.trace()), abs=4 * float(torch.stack(few).std()) / 60**0.5
    )


def test_the_keys_are_read_off_the_matrices() -> None:
    model = built(lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)))
    x = draws(10, 5)
    snapshot = Snapshot.of(model, train=(x, None))  # type: ignore[arg-type]
    found = measure(snapshot)
    matrix, features = agop(model, x), neural_feature_matrix(model[0].weight.detach())  # type: ignore[index]
    about = spectrum(matrix)
    expected = {
        "trace": about.trace,
        "effective_rank": about.effective_rank,
        "participation_ratio": about.participation_ratio,
        "top_share": about.top / about.trace,
        "nfa_cosine": feature_alignment(features, matrix, kind="cosine"),
        "nfa_pearson_off_diagonal": feature_alignment(features, matrix, diagonal="zeroed"),
        "nfa_root_pearson": feature_alignment(features, matrix_power(matrix)),
        "nfa_root_cosine_off_diagonal": feature_alignment(
            features, matrix_power(matrix), kind="cosine", diagonal="zeroed"
        ),
    }
    assert {key: found[key]["0"] for key in expected} == pytest.approx({k: float(v) for k, v in expected.items()})
    assert {key: found[f"input_{key}"] for key in list(expected)[:4]} == pytest.approx(
        {key: float(expected[key]) for key in list(expected)[:4]}
    )
    assert set(found) == set(AGOP.keys)
    assert {row[0] for row in evaluate("agop", snapshot).rows} == {f"agop/{key}" for key in AGOP.keys}
    centred = measure(snapshot, centred=True, layers=False)
    assert centred["input_trace"] == pytest.approx(float(agop(model, x, centred=True).trace()))
    assert "trace" not in centred
    dropped = measure(snapshot, diagonal="dropped")
    assert dropped["nfa_pearson_off_diagonal"]["0"] == pytest.approx(
        float(feature_alignment(features, matrix, diagonal="dropped"))
    )


def test_the_output_of_a_submodule_is_taken_for_the_input() -> None:
    model = built(lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)))
    x = draws(10, 5)
    snapshot = Snapshot.of(model, train=(x, None))  # type: ignore[arg-type]
    with torch.no_grad():
        into = model[:2](x)  # type: ignore[index]
    found = measure(snapshot, site="1")
    assert found["input_trace"] == pytest.approx(float(agop(model[2], into).trace()))  # type: ignore[index]
    assert set(found["trace"]) == {"0", "2"}
    with pytest.raises(UsageError, match="unknown site 'at_neurons'"):
        measure(snapshot, site="at_neurons")


def test_options_bound_what_is_looked_at() -> None:
    animal = zoo.animal("gpt")
    snapshot = Snapshot.of(animal.model, train=animal.train, eval_chunk=5)
    whole, last = measure(snapshot), measure(snapshot, positions="last", examples=8)
    assert last["examples"] == 8
    assert last["input_trace"] < whole["input_trace"]
    assert set(measure(snapshot, layers=False)) == {
        "examples",
        "directions",
        *(f"input_{key}" for key in ("trace", "effective_rank", "participation_ratio", "top_share")),
    }
    narrow = measure(snapshot, widest=12)
    assert "blocks.0.mlp.2" not in narrow["trace"]  # 48 inputs
    assert "lm_head" in narrow["trace"]
    drawn = measure(snapshot, projections=3)
    assert drawn["directions"] == 3
    assert evaluate(named("agop:layers=false"), snapshot).rows[0][0] == "agop:layers=False/examples"


def test_what_it_says_where_it_does_not_apply() -> None:
    x = torch.ones(3, 2)
    model = nn.Linear(2, 2)
    with pytest.raises(DoesNotApply, match="of at most 1 numbers"):
        measure(Snapshot.of(model, train=(x, x)), widest=1)
    with pytest.raises(DoesNotApply, match="none that count"):
        measure(Snapshot.of(model, train=Batch(x, x, torch.zeros(3))))
    with pytest.raises(UsageError, match="diagonal = 'off'"):
        measure(Snapshot.of(model, train=(x, x)), diagonal="off")
    broken = nn.Linear(2, 2)
    with torch.no_grad():
        broken.weight.fill_(torch.nan)
    assert math.isnan(measure(Snapshot.of(broken, train=(x, x)))["input_trace"])
    dead = nn.Linear(2, 2)
    with torch.no_grad():
        dead.weight.zero_()
    found = measure(Snapshot.of(dead, train=(x, x)))
    assert found["trace"][""] == 0
    assert math.isnan(found["effective_rank"][""])
    assert math.isnan(found["nfa_root_pearson"][""])
