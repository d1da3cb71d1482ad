"""The linear mapping number of whole models: where paths start, that all ways agree, reasons, bad options."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import zoo
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.facts import Facts
from grokscope.linalg.linear_mapping import linearities, mappings
from grokscope.measures.base import DoesNotApply, evaluate, named
from grokscope.snapshot import Snapshot


def values(measure: str, snapshot: Snapshot) -> dict[str, float]:
    found = evaluate(measure, snapshot)
    strip = len(named(measure).name) + 1
    return {key[strip:] + (f"@{module}" if module else ""): value for key, module, value in found.rows}


def snapshot_of(name: str, **options) -> Snapshot:
    animal = zoo.animal(name, train=10)
    return Snapshot.of(animal.model, train=animal.train, **options)


class Adder(nn.Module):
    """The model of the paper: one embedding for both summands, three layers, SiLU."""

    def __init__(self, modulus: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(modulus, 32)
        self.first, self.second, self.out = nn.Linear(64, 100), nn.Linear(100, 100), nn.Linear(100, modulus)

    def forward(self, pairs: Tensor) -> Tensor:
        hidden = functional.silu(self.first(self.embedding(pairs).flatten(1)))
        return self.out(functional.silu(self.second(hidden)))


def test_the_papers_model_starts_as_others_found_it() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Adder(31)
    pairs = torch.cartesian_prod(torch.arange(31), torch.arange(31))
    chosen = torch.randperm(961, generator=torch.Generator().manual_seed(0))[:768]
    found = values("linear_mapping_number", Snapshot.of(model, train=(pairs[chosen], None)))
    assert found["examples"] == 140
    assert found["number@silu"] == pytest.approx(4.84, abs=0.5)  # another seed than theirs
    assert found["number@silu"] == pytest.approx(2 ** found["entropy@silu"])


def test_an_affine_network_has_one_map() -> None:
    snapshot = Snapshot.of(nn.Linear(3, 2), train=(torch.rand(9, 3), None))
    assert values("linear_mapping_number", snapshot)["number@input"] == pytest.approx(1)
    twice = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.Linear(4, 2))
    last = values("linear_mapping_number", Snapshot.of(twice, train=(torch.rand(9, 3), None)))
    assert last == {"number@1": pytest.approx(1), "entropy@1": pytest.approx(0, abs=1e-9)} | {
        "linearity@1": pytest.approx(1),
        "examples": 9,
    }


@pytest.mark.parametrize(
    ("name", "start"), [("cnn", "relu"), ("resnet", "stem.2"), ("mlp", "2"), ("gpt", "input"), ("lstm", "input")]
)
def test_paths_start_where_everything_goes_through(name: str, start: str) -> None:
    found = evaluate("linear_mapping_number", snapshot_of(name))
    assert {module for _, module, _ in found.rows} == {start, None}
    assert found.arrays["eigenvalues"].shape == (10,)
    assert found.arrays["eigenvalues"].sum().item() == pytest.approx(10)


def test_the_tail_is_the_network_from_there_on() -> None:
    animal = zoo.animal("cnn", train=10)
    model = animal.model.double()
    with torch.no_grad():
        hidden = functional.relu(model.conv1(animal.train[0].double()))

        def tail(given: Tensor, _: Tensor) -> Tensor:
            given = functional.relu(model.conv2(functional.max_pool2d(given, 2)))
            return model.fc(functional.adaptive_avg_pool2d(given, 3).flatten(1))

        expected = mappings(linearities(tail, hidden))
    found = values("linear_mapping_number", snapshot_of("cnn"))
    assert found["number@relu"] == pytest.approx(expected.number)
    assert found["linearity@relu"] == pytest.approx(expected.linearity)


def test_replaced_in_place_or_by_a_module_or_known_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Placed(nn.Module):
        def __init__(self, inplace: bool) -> None:
            super().__init__()
            with torch.random.fork_rng():
                torch.manual_seed(1)
                self.first, self.second, self.out = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 2)
            self.here, self.inplace = nn.Identity(), inplace

        def forward(self, x: Tensor) -> Tensor:
            before = self.first(x)
            after = functional.relu(before, inplace=self.inplace)
            return self.out(torch.tanh(self.second(self.here(before if self.inplace else after))))

    data = 5 * torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), None
    known = values("linear_mapping_number", Snapshot.of(Placed(False), train=data))
    module = values("linear_mapping_number:start=here", Snapshot.of(Placed(False), train=data))
    monkeypatch.setattr("grokscope.measures.linear_mapping_number.chain", lambda *_: None)
    plain = values("linear_mapping_number", Snapshot.of(Placed(False), train=data))
    inside = values("linear_mapping_number", Snapshot.of(Placed(True), train=data))
    for found in (module, plain, inside):
        assert list(found.values()) == pytest.approx(list(known.values()))
    assert known["number@relu"] > 1.01


def test_inputs_are_interpolated_where_asked() -> None:
    animal = zoo.animal("mlp", train=10)
    model = animal.model.double()
    with torch.no_grad():
        expected = mappings(linearities(lambda x, _: model(x), animal.train[0].double()))
    found = values("linear_mapping_number:start=input", snapshot_of("mlp"))
    assert found["number@input"] == pytest.approx(expected.number)


@pytest.mark.parametrize("start", ["blocks.0", "blocks.1"])
def test_a_residual_stream_can_be_started_at(start: str) -> None:
    found = values(f"linear_mapping_number:start={start}", snapshot_of("gpt"))
    assert 1 < found[f"number@{start}"] < 10


@pytest.mark.parametrize(
    ("name", "start"),
    [("gpt", "blocks.0.mlp.1"), ("gpt", "wpe"), ("resnet", "layer1.0.relu"), ("gpt", "blocks.0.attn")],
)
def test_what_is_bypassed_is_refused(name: str, start: str) -> None:
    with pytest.raises(DoesNotApply, match=f"depend on more than '{start}'"):
        evaluate(f"linear_mapping_number:start={start}", snapshot_of(name))


@pytest.mark.parametrize("name", ["cnn", "gpt", "mlp"])
def test_chunks_change_nothing(name: str) -> None:
    whole = values("linear_mapping_number", snapshot_of(name))
    assert values("linear_mapping_number:chunk=5", snapshot_of(name)) == pytest.approx(whole)
    assert values("linear_mapping_number", snapshot_of(name, eval_chunk=4)) == pytest.approx(whole)


def test_in_the_type_of_the_weights_it_is_nearly_the_same() -> None:
    one, other = (values(f"linear_mapping_number{more}", snapshot_of("cnn")) for more in ("", ":double=false"))
    assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-3)


def test_only_outputs_that_are_classes_count() -> None:
    net = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        net[4].weight[:2] = 0
    data = Batch(torch.rand(7, 2, generator=torch.Generator().manual_seed(0)))
    found = values("linear_mapping_number", Snapshot.of(net, train=data, facts=Facts(outputs=3, classes=2)))
    assert found["number@1"] == pytest.approx(1)  # the two are constant, and so affine


def test_tokens_without_an_embedding_start_at_their_first_nonlinearity_or_give_the_reason() -> None:
    class OneHot(nn.Module):
        def __init__(self, skip: bool) -> None:
            super().__init__()
            self.first, self.out, self.skip = nn.Linear(10, 8), nn.Linear(8, 2), skip

        def forward(self, tokens: Tensor) -> Tensor:
            x = functional.one_hot(tokens, 5).flatten(1).to(self.out.weight.dtype)
            return self.out(functional.relu(self.first(x))) + (x[:, :2] if self.skip else 0)

    tokens = torch.randint(0, 5, (8, 2), generator=torch.Generator().manual_seed(0)), None
    assert "number@relu" in values("linear_mapping_number", Snapshot.of(OneHot(False), train=tokens))
    with pytest.raises(DoesNotApply, match="neither inputs that are real numbers nor an embedding"):
        evaluate("linear_mapping_number", Snapshot.of(OneHot(True), train=tokens))


def test_weights_that_are_not_numbers_give_nan() -> None:
    animal = zoo.animal("mlp", train=6)
    with torch.no_grad():
        animal.model[5].weight[0, 0] = math.nan
    assert math.isnan(values("linear_mapping_number", Snapshot.of(animal.model, train=animal.train))["number@2"])


def test_one_example_is_no_pair() -> None:
    with pytest.raises(DoesNotApply, match="needs two examples"):
        evaluate("linear_mapping_number", Snapshot.of(nn.Linear(2, 1), train=(torch.rand(1, 2), None)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("examples=1", "examples = 1"),
        ("grid=2", "grid = 2"),
        ("chunk=0", "chunk = 0"),
        ("start=rellu", "unknown place to start at 'rellu': did you mean 'relu'"),
    ],
)
def test_wrong_options(options: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        evaluate(f"linear_mapping_number:{options}", snapshot_of("cnn"))
