"""Local complexity of whole models: by hand, against a loop over units, boundary, options, reasons."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import zoo
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.facts import Facts, InputGeometry
from grokscope.linalg.cross_polytope import cross_polytope, orthonormal_frame
from grokscope.measures.base import DoesNotApply, evaluate, named
from grokscope.measures.local_complexity import VERSION
from grokscope.snapshot import Snapshot


def values(measure: str, snapshot: Snapshot) -> dict[str, float]:
    found = evaluate(measure, snapshot)
    strip = len(named(measure).name) + 1
    return {key[strip:] + (f"@{module}" if module else ""): value for key, module, value in found.rows}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def frame_of(snapshot: Snapshot, dimensions: int, directions: int = 25) -> Tensor:
    return orthonormal_frame(dimensions, min(directions, dimensions), snapshot.generator("local_complexity", VERSION))


def brute_force(model: nn.Module, points: Tensor, frame: Tensor, radius: float, sites) -> dict[str, float]:
    """Return mean counts by a loop over points and units; ``sites`` gives the pre-activations of a batch by name."""
    model = model.double().eval()
    sums: dict[str, int] = {}
    for point in points.double():
        vertices = cross_polytope(point[None], frame, radius)[0].view(-1, *point.shape)
        with torch.no_grad():
            for name, before in sites(model, vertices).items():
                for unit in before.flatten(1).T:
                    sums[name] = sums.get(name, 0) + (len({float(sign) for sign in unit.sign()}) > 1)
    return {name: total / len(points) for name, total in sums.items()}


def test_parallel_planes_by_hand() -> None:
    layer = nn.Linear(3, 12)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3)[:1].expand(12, 3))
        layer.bias.copy_(-0.1 * torch.arange(1, 13))
    snapshot = Snapshot.of(nn.Sequential(layer, nn.ReLU(), nn.Linear(12, 2)), train=(torch.zeros(3, 3), None))
    # three directions span the space: of (±r v) the one furthest along the first axis decides
    reach = 0.55 / float(frame_of(snapshot, 3)[:, 0].abs().max())
    found = values(f"local_complexity:radius={reach}", snapshot)
    assert found["train"] == found["train_at@1"] == 5
    assert found["train_share@1"] == pytest.approx(5 / 12)
    assert found["train_error"] == 0
    assert found["random"] == 5  # the range of these data is a point
    assert found["random_over_train"] == 1
    assert not any(key.startswith(("test", "boundary", "eccentricity")) for key in found)
    assert values(f"local_complexity:include_output=true,radius={reach}", snapshot)["train_at@outputs"] <= 2


def test_convolutions_are_counted_unit_by_unit() -> None:
    animal = zoo.animal("cnn", train=5)
    snapshot = Snapshot.of(animal.model, train=animal.train)

    def sites(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
        first = model.conv1(x)
        return {"relu": first, "relu#2": model.conv2(functional.max_pool2d(functional.relu(first), 2))}

    expected = brute_force(animal.model, animal.train[0], frame_of(snapshot, 64), 0.05, sites)
    found = values("local_complexity:radius=0.05", snapshot)
    assert {site: found[f"train_at@{site}"] for site in expected} == expected
    assert found["train"] == pytest.approx(sum(expected.values()))
    assert found["train"] > 1
    assert found["train_share@relu"] == pytest.approx(expected["relu"] / 256)


def test_residual_networks_are_counted_before_each_use_of_a_relu() -> None:
    animal = zoo.animal("resnet", train=5)
    for name, buffer in animal.model.named_buffers():
        if "running" in name:
            low, high = (0.5, 1.5) if name.endswith("var") else (-0.1, 0.1)
            buffer.data.uniform_(low, high, generator=torch.Generator().manual_seed(1))
    snapshot = Snapshot.of(animal.model, train=animal.train)

    def sites(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
        found = {"stem.2": model.stem[1](model.stem[0](x))}
        x = functional.relu(found["stem.2"])
        for at, block in enumerate(model.layer1):
            first = block.bn1(block.conv1(x))
            second = block.bn2(block.conv2(functional.relu(first))) + x
            found |= {f"layer1.{at}.relu": first, f"layer1.{at}.relu#2": second}
            x = functional.relu(second)
        return found

    expected = brute_force(animal.model, animal.train[0], frame_of(snapshot, 64), 0.05, sites)
    found = values("local_complexity:radius=0.05", snapshot)
    assert {site: found[f"train_at@{site}"] for site in expected} == expected
    assert found["train"] > 10


def test_a_convolution_is_the_linear_layer_it_unfolds_to() -> None:
    convolution = nn.Conv2d(2, 3, 3, padding=1)
    weight = torch.stack([convolution(unit.view(1, 2, 4, 4)).flatten() for unit in torch.eye(32)], 1)
    bias = convolution(torch.zeros(1, 2, 4, 4)).flatten()
    linear = nn.Linear(32, 48)
    linear.load_state_dict({"weight": weight.detach() - bias.detach()[:, None], "bias": bias.detach()})
    inputs = normal(20, 2, 4, 4)
    one = Snapshot.of(nn.Sequential(convolution, nn.ReLU()), train=(inputs, None))
    other = Snapshot.of(nn.Sequential(nn.Flatten(), linear, nn.ReLU()), train=(inputs, None))
    first, second = (values("local_complexity:radius=0.3", one), values("local_complexity:radius=0.3", other))
    assert first["train"] == second["train"] > 1
    assert first["random"] == second["random"]


def test_tokens_are_moved_at_their_embedding() -> None:
    class Adder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.hidden, self.out = nn.Embedding(7, 4), nn.Linear(8, 40), nn.Linear(40, 7)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(functional.gelu(self.hidden(self.embedding(tokens).flatten(1))))

    model, tokens = Adder(), torch.randint(0, 7, (11, 2), generator=torch.Generator().manual_seed(0))
    found = values("local_complexity:radius=0.2", Snapshot.of(model, train=(tokens, None)))
    rest = nn.Sequential(model.hidden, nn.GELU(), model.out)
    same = values(
        "local_complexity:radius=0.2", Snapshot.of(rest, train=(model.embedding(tokens).detach().flatten(1), None))
    )
    assert found["train"] == same["train"] > 0


@pytest.mark.parametrize("name", ["cnn", "resnet", "gpt", "mlp"])
def test_chunks_and_chunks_of_evaluation_change_nothing(name: str) -> None:
    animal = zoo.animal(name, train=4)
    options = "boundary=4,deformation=true,radius=0.05"
    whole = values(f"local_complexity:{options}", Snapshot.of(animal.model, train=animal.train))
    parts = values(f"local_complexity:{options},chunk=63", Snapshot.of(animal.model, train=animal.train))
    assert parts.keys() == whole.keys()
    assert {key: v for key, v in parts.items() if not key.startswith(("ecc", "dia"))} == pytest.approx(
        {key: v for key, v in whole.items() if not key.startswith(("ecc", "dia"))}, nan_ok=True
    )
    split = values("local_complexity:radius=0.05", Snapshot.of(animal.model, train=animal.train, eval_chunk=7))
    assert split["train"] == whole["train"]


def test_the_boundary_is_where_the_prediction_changes() -> None:
    model = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2))
    with torch.no_grad():
        for parameter, given in zip(
            model.parameters(), ([[1.0, 0.0]], [0.0], [[1.0], [-1.0]], [-0.5, 0.5]), strict=True
        ):
            parameter.copy_(torch.tensor(given))
    # classes differ where x_1 > 0.5, far from the one cut at x_1 = 0
    inputs = torch.tensor([[1.0, 0.0], [0.001, 0.3], [0.7, 0.1], [-0.001, 0.2]])
    found = values("local_complexity:boundary=40", Snapshot.of(model, train=(inputs, None)))
    assert found["train"] == 0.5
    assert found["boundary"] == found["boundary_over_train"] == 0
    constant = values("local_complexity:boundary=5", Snapshot.of(model, train=(inputs[::2], None)))
    assert math.isnan(constant["boundary"])
    assert math.isnan(constant["random_over_train"]) == (constant["train"] == 0)


def test_random_points_are_in_the_bounds_that_are_known() -> None:
    layer = nn.Linear(1, 1)
    nn.init.ones_(layer.weight)
    nn.init.constant_(layer.bias, -0.5)
    model, inputs = nn.Sequential(layer, nn.ReLU()), torch.tensor([[0.6], [0.62]])
    data = Batch(inputs.expand(2, 1).repeat(200, 1))
    inside = values("local_complexity:radius=0.05", Snapshot.of(model, train=data))
    assert inside["random"] == 0  # the data end before the cut
    facts = Facts(outputs=1, geometry=InputGeometry((1,), (0.0, 1.0)))
    known = values("local_complexity:radius=0.05", Snapshot.of(model, train=data, facts=facts))
    assert 0.05 < known["random"] < 0.15


def test_weights_that_are_not_numbers_give_nan() -> None:
    model = zoo.animal("mlp").model
    with torch.no_grad():
        model[3].weight[0, 0] = math.nan
    found = values("local_complexity", Snapshot.of(model, train=zoo.animal("mlp").train))
    assert math.isnan(found["train"])
    assert not math.isnan(found["train_at@2"])


def test_in_the_type_of_the_weights_it_is_nearly_the_same() -> None:
    animal = zoo.animal("mlp")
    snapshot = Snapshot.of(animal.model, train=animal.train)
    one, other = (values(f"local_complexity:radius=0.1{more}", snapshot) for more in ("", ",double=false"))
    assert one["train"] == pytest.approx(other["train"], abs=0.1)


@pytest.mark.parametrize(
    ("model", "train", "said"),
    [
        (nn.Linear(2, 2), torch.zeros(3, 2), "no nonlinearity in the forward pass"),
        (
            nn.Sequential(nn.Embedding.from_pretrained(torch.full((2, 2), math.nan)), nn.Linear(2, 2), nn.ReLU()),
            torch.zeros(3, 1).long(),
            "train data are not all finite",
        ),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU()), torch.zeros(0, 2), "no examples in the train data"),
    ],
)
def test_reasons(model: nn.Module, train: Tensor, said: str) -> None:
    with pytest.raises(DoesNotApply, match=said):
        evaluate("local_complexity", Snapshot.of(model, train=(train, None)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("directions=0", "directions = 0"),
        ("examples=0", "examples = 0"),
        ("chunk=0", "chunk = 0"),
        ("boundary=-1", "boundary = -1"),
        ("radius=0", "radius = 0"),
        ("deformation=true,chunk=3", "all vertices of a point at once"),
    ],
)
def test_wrong_options(options: str, said: str) -> None:
    animal = zoo.animal("mlp")
    with pytest.raises(UsageError, match=said):
        evaluate(f"local_complexity:{options}", Snapshot.of(animal.model, train=animal.train))
