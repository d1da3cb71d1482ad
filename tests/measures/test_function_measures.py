"""Margins, circuit complexity, robustness, input Jacobian and uniformity as measures: options, data, reasons."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rings
import zoo
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.facts import Facts, GroupStructure, InputGeometry, SequenceLayout
from grokscope.measures.base import DoesNotApply, evaluate, named
from grokscope.snapshot import Snapshot


def values(measure: str, snapshot: Snapshot) -> dict[str, float]:
    found = evaluate(measure, snapshot)
    strip = len(named(measure).name) + 1
    return {key[strip:] + (f"@{module}" if module else ""): value for key, module, value in found.rows}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network(*layers: nn.Module, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = nn.Sequential(*layers)
        for parameter in made.parameters():
            nn.init.normal_(parameter, std=0.5)
    return made


def separable(count: int = 40) -> tuple[Tensor, Tensor]:
    inputs = normal(count, 6)
    return inputs, (inputs[:, 0] > 0).long()


class Scorer(nn.Module):
    """z = (w·x, -w·x)."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([weight, -weight]))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


def test_margins_of_a_linear_classifier_and_of_its_multiples() -> None:
    inputs, targets = separable()
    weight = torch.tensor([-1.0, 0, 0, 0, 0, 0])
    one = values("margin", Snapshot.of(Scorer(weight), train=(inputs, targets), test=(inputs[:5], targets[:5])))
    three = values("margin", Snapshot.of(Scorer(3 * weight), train=(inputs, targets)))
    expected = 2 * inputs[:, 0].abs().double()
    assert one["train/minimum"] == pytest.approx(expected.min().item(), rel=1e-6)
    assert one["train/mean"] == pytest.approx(expected.mean().item(), rel=1e-6)
    assert one["train/median"] == pytest.approx(expected.quantile(0.5).item(), rel=1e-6)
    assert one["train/quantile"] == pytest.approx(expected.quantile(0.1).item(), rel=1e-6)
    assert one["test/minimum"] == pytest.approx(expected[:5].min().item(), rel=1e-6)
    assert one["degree"] == pytest.approx(1)
    assert one["train/normalised"] == pytest.approx(expected.min().item() / math.sqrt(2), rel=1e-6)
    assert one["train/spectral"] == pytest.approx(expected.min().item() / math.sqrt(2), rel=1e-6)
    assert one["train/relative"] == pytest.approx(math.sqrt(2))
    assert three["train/minimum"] == pytest.approx(3 * one["train/minimum"], rel=1e-6)
    for key in ("normalised", "spectral", "spectral_median", "relative", "relative_mean"):
        assert three[f"train/{key}"] == pytest.approx(one[f"train/{key}"], rel=1e-6)


def test_a_model_of_no_degree_has_no_normalised_margin_unless_one_is_stated() -> None:
    inputs, targets = separable()
    model = network(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    found = values("margin", Snapshot.of(model, train=(inputs, targets)))
    assert math.isnan(found["train/normalised"])
    assert found["inhomogeneity"] > 0.001
    stated = values("margin:degree=2", Snapshot.of(model, train=(inputs, targets)))
    squares = sum(float(p.detach().double().square().sum()) for p in model.parameters())
    assert stated["train/normalised"] == pytest.approx(stated["train/minimum"] / squares, rel=1e-6)
    plain = network(nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 2, bias=False))
    assert values("margin", Snapshot.of(plain, train=(inputs, targets)))["degree"] == pytest.approx(2)


def test_margins_leave_out_examples_of_no_weight_and_spare_outputs() -> None:
    outputs = torch.tensor([[3.0, 1.0, 9.0], [0.0, 5.0, 9.0], [7.0, 0.0, 9.0]])
    model = nn.Linear(3, 3, bias=False)
    model.weight.data = torch.eye(3)
    batch = Batch(outputs, torch.tensor([0, 0, 0]), weights=torch.tensor([1.0, 0.0, 1.0]))
    facts = Facts(outputs=3, classes=2)
    found = values("margin", Snapshot.of(model, probes={"train": batch}, facts=facts))
    assert found["train/minimum"] == 2
    assert found["train/mean"] == 4.5


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (1, torch.zeros(8).long(), "one output a target"),
        (2, torch.zeros(8, 2).long(), "one output a target"),
        (3, torch.zeros(8, 2).long(), "cannot be taken of these data"),
    ],
)
def test_margin_tells_why_it_does_not_apply(outputs: int, targets: Tensor, message: str) -> None:
    with pytest.raises(DoesNotApply, match=message):
        evaluate("margin", Snapshot.of(nn.Linear(6, outputs), train=(normal(8, 6), targets)))


def test_outputs_that_are_not_finite_have_no_margin() -> None:
    model = nn.Linear(6, 2)
    model.weight.data[0, 0] = math.nan
    found = values("margin", Snapshot.of(model, train=separable()))
    assert math.isnan(found["train/minimum"])
    assert math.isnan(found["log_spectral_product"])


def test_circuit_complexity_of_a_layer_is_that_of_masks_by_hand() -> None:
    model = network(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    inputs = normal(20, 6)
    snapshot = Snapshot.of(model, train=(inputs, torch.zeros(20).long()))
    layers = values("circuit_complexity:scope=layer", snapshot)
    one = values("circuit_complexity:layer=2.weight,scope=layer", snapshot)
    assert one["complexity@2.weight"] == layers["complexity@2.weight"]
    assert "complexity@0.weight" not in one
    plain = torch.log_softmax(model(inputs).double(), -1)
    each = []
    for index in range(8):
        mask = torch.randperm(24, generator=snapshot.generator(f"circuit_complexity/2.weight/{index}", 1))[:2]
        changed = model.get_parameter("2.weight").detach().clone().flatten()
        changed[mask] = 0
        other = torch.func.functional_call(model, {"2.weight": changed.view(3, 8)}, (inputs,))
        each.append((plain.exp() * (plain - torch.log_softmax(other.double(), -1))).sum().item())
    assert layers["complexity@2.weight"] == pytest.approx(float(np.mean(each)), rel=1e-5)
    assert layers["complexity_error@2.weight"] == pytest.approx(float(np.std(each, ddof=1)) / math.sqrt(8), rel=1e-4)


def test_circuit_complexity_keeps_its_masks_and_leaves_the_model_alone() -> None:
    model = network(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    early = Snapshot.of(model, step=1, train=(normal(20, 6), torch.zeros(20).long()))
    late = Snapshot.of(model, step=9, train=(normal(20, 6), torch.zeros(20).long()))
    before = model.get_parameter("0.weight").detach().clone()
    assert values("circuit_complexity", early) == values("circuit_complexity:chunk=7", late) | values(
        "circuit_complexity", late
    )
    assert torch.equal(early.parameters["0.weight"], before)
    mean = values("circuit_complexity:reduction=mean", early)
    assert 20 * mean["complexity"] == pytest.approx(values("circuit_complexity", early)["complexity"])


def test_circuit_complexity_of_tied_weights_masks_both_uses() -> None:
    animal = zoo.animal("gpt")
    snapshot = Snapshot.of(animal.model, train=animal.train)
    found = values("circuit_complexity:layer=wte.weight,masks=1,scope=layer,share=1.0", snapshot)
    assert found["output_change@wte.weight"] == pytest.approx(1)  # the readout is gone too
    assert math.isnan(found["output_change_error@wte.weight"])
    without = values("circuit_complexity:embeddings=false,scope=layer", snapshot)
    assert "complexity@wte.weight" not in without


@pytest.mark.parametrize("name", ["gpt", "lstm"])
def test_second_order_is_near_for_a_small_share(name: str) -> None:
    animal = zoo.animal(name)
    snapshot = Snapshot.of(animal.model, train=animal.train)
    options = "layer=lstm.weight_ih_l1" if name == "lstm" else "layer=blocks.1.mlp.2.weight"
    found = values(
        f"circuit_complexity:{options},mask=bernoulli,masks=20,scope=layer,second_order=true,share=0.02", snapshot
    )
    module = options.removeprefix("layer=")
    errors = math.hypot(found[f"complexity_error@{module}"], found[f"second_order_error@{module}"])
    assert abs(found[f"complexity@{module}"] - found[f"second_order@{module}"]) < 4 * errors


def test_a_regression_has_a_change_of_outputs_only() -> None:
    snapshot = Snapshot.of(nn.Linear(6, 1), train=(normal(8, 6), normal(8, 1)))
    found = values("circuit_complexity", snapshot)
    assert set(found) == {"output_change", "output_change_error"}


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_robust_accuracy_of_a_linear_classifier_is_known(norm: str, dual: int) -> None:
    weight = normal(6, seed=3)
    inputs = normal(60, 6)
    targets = (inputs @ weight < 0).long()
    epsilon = 0.2
    margin = (inputs @ weight).abs() - epsilon * torch.linalg.vector_norm(weight, dual)
    snapshot = Snapshot.of(Scorer(weight), train=(inputs[:4], targets[:4]), test=(inputs, targets))
    found = values(f"robustness:chunk=7,epsilon={epsilon},norm={norm},step=0.4,steps=20", snapshot)
    assert found["clean"] == 1
    assert found["fgsm"] == pytest.approx((margin > 0).double().mean().item())
    assert found["pgd"] == found["pgd_cross_entropy"] == found["fgsm"]
    assert found["no_gradient"] == 0
    still = values("robustness:epsilon=0.0", snapshot)
    assert still["fgsm"] == still["pgd"] == still["clean"]


def test_robustness_reports_where_the_cross_entropy_has_no_gradient() -> None:
    inputs = normal(60, 6)
    weight = torch.full((6,), 1000.0)
    targets = (inputs @ weight < 0).long()
    found = values("robustness:epsilon=0.5,random=false", Snapshot.of(Scorer(weight), train=(inputs, targets)))
    assert found["no_gradient"] > 0.5
    assert found["pgd"] < found["pgd_cross_entropy"]
    assert found["pgd"] == found["fgsm"]


def test_robustness_keeps_to_the_bounds_of_the_task() -> None:
    inputs = torch.zeros(4, 6)
    facts = Facts(outputs=2, classes=2, geometry=InputGeometry((6,), (0.0, 1.0)))
    snapshot = Snapshot.of(_Shifted(), train=(inputs, torch.zeros(4).long()), facts=facts)
    assert values("robustness", snapshot)["pgd"] == 1  # only below 0 would it be wrong
    assert values("robustness:low=-1.0", snapshot)["pgd"] == 0


class _Shifted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        score = self.scale * (x.sum(1) + 0.1)
        return torch.stack([score, -score], 1)


def test_robustness_moves_embedded_tokens() -> None:
    for name in ("gpt", "lstm"):
        animal = zoo.animal(name)
        snapshot = Snapshot.of(animal.model, train=animal.train)
        near, far = values("robustness:epsilon=0.01", snapshot), values("robustness:epsilon=3.0", snapshot)
        assert far["pgd"] < near["clean"]


def test_input_jacobian_of_a_linear_model_exact_and_estimated() -> None:
    model = nn.Linear(6, 4)
    snapshot = Snapshot.of(model, train=(normal(30, 6), torch.zeros(30).long()))
    exact = values("input_jacobian", snapshot)
    norm = model.weight.detach().double().norm().item()
    assert exact["frobenius"] == pytest.approx(norm, rel=1e-9)
    assert exact["square"] == pytest.approx(norm**2, rel=1e-9)
    assert exact["square_error"] == 0
    assert exact["spectral"] == pytest.approx(torch.linalg.matrix_norm(model.weight.detach().double(), 2).item())
    estimated = values("input_jacobian:chunk=16,exact=0,iterations=60,projections=3", snapshot)
    assert abs(estimated["square"] - norm**2) < 4 * estimated["square_error"]
    assert estimated["spectral"] == pytest.approx(exact["spectral"], rel=1e-2)
    assert math.isnan(values("input_jacobian:exact=0,projections=1", snapshot)["square_error"])
    assert values("input_jacobian:of=probabilities", snapshot)["frobenius"] < norm


def circle(p: int, k: int) -> Tensor:
    angle = 2 * math.pi * k * torch.arange(p, dtype=torch.float64) / p
    return torch.stack([angle.cos(), angle.sin()], 1)


class Embedded(nn.Module):
    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.embedding = nn.Parameter(rows)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.embedding[tokens].sum(1)


def residues(p: int, rows: Tensor, *, cyclic: bool = True) -> Snapshot:
    table = np.add.outer(np.arange(p), np.arange(p)) % p
    layout = SequenceLayout(length=3, vocabulary=p + 1)
    group = GroupStructure("cyclic", table) if cyclic else None
    facts = Facts(outputs=p, classes=p, group=group, sequence=layout)
    return Snapshot.of(Embedded(rows), facts=facts, roles={"embedding": "embedding"})


def test_uniformity_of_circles_with_a_further_token() -> None:
    far = torch.tensor([[50.0, 50.0]], dtype=torch.float64)
    for k, expected in ((1, 1.175571), (2, 1.902113)):
        for cyclic in (True, False):
            found = values("uniformity", residues(5, torch.cat([circle(5, k), far]), cyclic=cyclic))
            assert found["wrap"] == pytest.approx(expected, abs=5e-7)
            assert found["scale_free"] == pytest.approx(expected, abs=5e-7)
            assert found["code"] == pytest.approx(expected, abs=5e-7)
            assert found["generator"] == pytest.approx(1.175571, abs=5e-7)
            assert found["generator_step"] == k
            assert found["mean_norm"] == pytest.approx(1)
            assert ("class_sum_spread" in found) == cyclic
            assert "multiplicative" in found
            assert "between" not in found


def test_uniformity_of_operands_with_embeddings_of_their_own() -> None:
    rows = torch.cat([circle(5, 1), 2 * circle(5, 1)])
    found = values("uniformity:offset=5", residues(5, rows))
    assert found["code"] == pytest.approx(1.5 * 1.175571, rel=1e-6)
    assert found["between"] == pytest.approx(math.sqrt(5))
    by_hand = values(
        "uniformity:offset=5,order=5,variant=strip", Snapshot.of(Embedded(rows), roles={"embedding": "embedding"})
    )
    assert by_hand["code"] == pytest.approx(3 * 1.175571, rel=1e-6)
    with pytest.raises(DoesNotApply, match="one row for each of the 5 residues"):
        evaluate("uniformity", residues(5, rows))
    equal = values("uniformity", residues(5, torch.ones(5, 2)))
    assert equal["wrap"] == 0
    assert math.isnan(equal["scale_free"])
    assert math.isnan(equal["generator_step"])


def test_uniformity_looks_at_a_trained_task_as_it_is() -> None:
    found = values("uniformity", rings.snapshot_of(rings.random_network(7)))
    assert 0 < found["scale_free"] <= 2


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ("margin:quantile=2.0", "quantile = 2"),
        ("margin:chunk=0", "chunk = 0"),
        ("circuit_complexity:scope=some", "all, pool or layer"),
        ("circuit_complexity:layer=9.weight,scope=layer", "the weight matrices are"),
        ("circuit_complexity:share=2.0", "share = 2"),
        ("robustness:norm=l1", "linf or l2"),
        ("robustness:steps=0", "steps = 0"),
        ("input_jacobian:of=loss", "logits or probabilities"),
        ("input_jacobian:projections=0", "projections = 0"),
    ],
)
def test_options_out_of_range_are_told_of_in_a_sentence(measure: str, message: str) -> None:
    snapshot = Snapshot.of(nn.Linear(6, 2), train=separable())
    with pytest.raises(UsageError, match=message):
        evaluate(measure, snapshot)


@pytest.mark.parametrize(
    ("option", "message"),
    [("variant=box", "base, rectangle, strip"), ("tokens=1", "tokens = 1"), ("order=9", "order = 9")],
)
def test_options_of_uniformity_out_of_range_are_told_of_in_a_sentence(option: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate(f"uniformity:{option}", residues(5, circle(5, 1)))
