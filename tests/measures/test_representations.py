"""Information, CKA, linear probes and neural collapse of models: against the pure functions, layouts, reasons."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.linalg.cka import linear_cka
from grokscope.linalg.information import binned_information, kernel_information, noise_of, squared_distances
from grokscope.linalg.moments import moments
from grokscope.linalg.neural_collapse import nearest_mean, neural_collapse
from grokscope.linalg.ridge import ridge_probes
from grokscope.linalg.trained_probe import trained_probe
from grokscope.measures.base import DoesNotApply, evaluate
from grokscope.measures.features import example_axes, features, per_example, represent
from grokscope.measures.neural_collapse import readout_weight
from grokscope.snapshot import Snapshot

NEW = ("information", "cka", "linear_probe", "neural_collapse")


def numbers(measure: str, snapshot: Snapshot) -> dict[tuple[str, str | None], float]:
    return {(key.rpartition("/")[2], module): value for key, module, value in evaluate(measure, snapshot).rows}


def snapshot_of(name: str, *, seed: int = 0, eval_chunk: int | None = None, **more: object) -> Snapshot:
    animal = zoo.animal(name, seed=seed)
    data = {"train": animal.train, "test": animal.test}
    double = {k: (x.double() if x.is_floating_point() else x, y) for k, (x, y) in data.items()}
    return Snapshot.of(animal.model.double(), eval_chunk=eval_chunk, **{**double, **more})  # type: ignore[arg-type]


def hidden(snapshot: Snapshot, name: str) -> Tensor:
    return snapshot.activations("train", name)


def targets_of(snapshot: Snapshot, probe: str = "train") -> Tensor:
    targets = snapshot.probe(probe).targets
    assert targets is not None
    return targets


# -- layouts ----------------------------------------------------------------------------------------------------------


class Folding(nn.Module):
    """Positions first for a recurrent layer, folded into the examples for a linear one; a table of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.mix = nn.Parameter(torch.randn(6, 3)), nn.Linear(3, 3)
        self.recurrent, self.folded, self.head = nn.GRU(3, 4), nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.recurrent((x[:, None] * self.mix(self.table)).transpose(0, 1))
        return self.head(self.folded(states.transpose(0, 1).reshape(-1, 4)).view(len(x), 6, 5).mean(1))


@pytest.mark.parametrize("chunk", [6, 5, 3, 1])  # 6 is also the number of positions, and 3 divides it
def test_the_axis_of_the_examples_is_found(chunk: int):
    data = (torch.randn(12, 3), torch.arange(12) % 2)
    snapshot = Snapshot.of(Folding(), train=data, eval_chunk=chunk)
    assert example_axes(snapshot, data[0]) == {"recurrent": 1, "folded": 0, "head": 0}
    found = features(snapshot, data[0], where="layers")
    assert set(found) == {"recurrent", "folded", "head"}
    outputs: list[Tensor] = []
    snapshot.watch(data[0][:1], lambda visit: outputs.append(visit.output) if visit.name == "recurrent" else None)
    assert torch.allclose(found["recurrent"][0], outputs[0][-1, 0], atol=1e-6)
    assert {module for _, module in numbers("linear_probe", snapshot)} == set(found)


def test_outputs_are_laid_out_by_examples():
    sequence = torch.arange(24.0).view(2, 3, 4)
    for output, batch in ((sequence, 0), (sequence.transpose(0, 1), 1), (sequence.flatten(0, 1), 0)):
        found = per_example(output, 2, batch)
        assert found is not None
        assert torch.equal(found, sequence)
    assert per_example(sequence, 2, None) is None
    assert per_example(torch.zeros(0, 4), 2, 0) is None
    assert per_example(torch.zeros(4, 2), 2, 1) is None
    vector = per_example(torch.zeros(2), 2, 0)
    assert vector is not None
    assert vector.shape == (2, 1, 1)


def test_positions():
    sequence = torch.arange(24.0).view(2, 3, 4)
    for positions, expected in {
        "all": sequence.flatten(1),
        "mean": sequence.mean(1),
        "last": sequence[:, -1],
        "auto": sequence[:, -1],
    }.items():
        found = represent(sequence, 2, 0, positions)
        assert found is not None
        assert torch.equal(found, expected)
    pooled = represent(torch.arange(16.0).view(2, 2, 2, 2), 2, 0, "auto", axis=1)
    assert pooled is not None
    assert pooled.tolist() == [[1.5, 5.5], [9.5, 13.5]]
    with pytest.raises(UsageError, match="unknown positions 'first'"):
        represent(sequence, 2, 0, "first")


# -- information ------------------------------------------------------------------------------------------------------


def test_information_is_that_of_the_activations():
    snapshot = snapshot_of("mlp")
    found = numbers("information", snapshot)
    layer, labels = hidden(snapshot, "2"), targets_of(snapshot)
    distances = squared_distances(layer)
    noise = noise_of(distances)
    exact = kernel_information(distances, noise.variance, labels)
    assert found["input", "2"] == pytest.approx(exact.input, abs=1e-12)
    assert found["label", "2"] == pytest.approx(exact.label, abs=1e-12)
    assert found["noise", "2"] == pytest.approx(math.sqrt(noise.variance))
    assert found["median_distance", "2"] == pytest.approx(math.sqrt(noise.variance / 0.1))
    assert found["largest", None] == math.log(24)
    for key, bandwidth in (("narrow", 0.05), ("wide", 0.2)):
        other = numbers(f"information:bandwidth={bandwidth}", snapshot)
        assert found[f"input_{key}", "2"] == pytest.approx(other["input", "2"], abs=1e-12)
    lower = kernel_information(distances, noise.variance, labels, bound="lower")
    assert found["label_lower", "2"] == pytest.approx(lower.label, abs=1e-12)


def test_the_other_estimators_are_options():
    snapshot = snapshot_of("mlp")
    layer, labels = hidden(snapshot, "4"), targets_of(snapshot)
    distances = squared_distances(layer)
    for rule in ("fixed", "variance", "dimension"):
        noise = noise_of(distances, rule=rule, bandwidth=0.3, units=24)
        exact = kernel_information(distances, noise.variance, labels).label
        assert numbers(f"information:bandwidth=0.3,estimator={rule}", snapshot)["label", "4"] == pytest.approx(exact)
    binned = numbers("information:bins=3,estimator=binning", snapshot)
    assert binned["input", "4"] == pytest.approx(binned_information(layer, bins=3).input)
    assert binned["label", "4"] == pytest.approx(binned_information(layer, labels, bins=3).label)


def test_information_of_a_sequence_is_of_the_last_position():
    snapshot = snapshot_of("gpt")
    layer, labels = hidden(snapshot, "blocks.0.mlp.1")[:, -1], targets_of(snapshot)[:, -1]
    distances = squared_distances(layer)
    exact = kernel_information(distances, noise_of(distances).variance, labels)
    found = numbers("information", snapshot)
    assert found["label", "blocks.0.mlp.1"] == pytest.approx(exact.label, abs=1e-12)
    # a last position that counts for nothing is looked at, but has no label
    inputs, targets = snapshot.probe("train").inputs, targets_of(snapshot).clone()
    targets[:10, -1] = -100
    masked = numbers("information", snapshot_of("gpt", train=(inputs, targets)))
    assert masked["input", "blocks.0.mlp.1"] == found["input", "blocks.0.mlp.1"]
    part = distances[10:, 10:]
    assert masked["label", "blocks.0.mlp.1"] == pytest.approx(
        kernel_information(part, noise_of(distances).variance, labels[10:]).label, abs=1e-12
    )


def test_information_needs_no_labels():
    found = numbers("information", snapshot_of("cnn", train=Batch(zoo.animal("cnn").train[0].double())))
    assert ("input", "relu") in found
    assert not [key for key, _ in found if key.startswith("label")]


# -- CKA --------------------------------------------------------------------------------------------------------------


def test_cka_is_that_of_the_layers():
    start = snapshot_of("mlp", seed=1)
    snapshot = snapshot_of("mlp", initial=start)
    x, y = hidden(snapshot, "1"), hidden(snapshot, "3")
    reading = evaluate("cka", snapshot)
    found = numbers("cka", snapshot)
    assert found["previous", "3"] == pytest.approx(linear_cka(x, y), rel=1e-10)
    assert numbers("cka:unbiased=true", snapshot)["previous", "3"] == pytest.approx(linear_cka(x, y, unbiased=True))
    between = reading.arrays["between"]
    assert between.shape == (3, 3)
    assert torch.equal(between, between.T)
    assert torch.allclose(between.diag(), torch.ones(3, dtype=torch.float64))
    assert float(between[0, 1]) == found["previous", "3"]
    # the start is seen on the same inputs, whatever data it knows
    inputs = snapshot.probe("train").inputs
    first = start.module
    assert first is not None
    assert found["initial", "1"] == pytest.approx(linear_cka(x, first[:2](inputs).detach()), rel=1e-10)  # type: ignore[index]


def test_without_a_start_layers_are_compared_all_the_same():
    found = numbers("cka", snapshot_of("resnet"))
    assert {key for key, _ in found} == {"previous"}
    same = snapshot_of("resnet")
    itself = numbers("cka", snapshot_of("resnet", initial=same))
    assert all(value == pytest.approx(1) for (key, _), value in itself.items() if key == "initial")


# -- linear probes ----------------------------------------------------------------------------------------------------


def test_a_probe_is_the_ridge_classifier_of_its_layer():
    snapshot = snapshot_of("mlp")
    found = numbers("linear_probe", snapshot)
    for name in ("1", "3", "5"):
        layer, labels = hidden(snapshot, name), targets_of(snapshot)
        (probe,) = ridge_probes(moments(layer, labels), [1e-3])
        assert found["train", name] == float((probe.classes(layer) == labels).double().mean())
        held_out = probe.classes(snapshot.activations("test", name)) == targets_of(snapshot, "test")
        assert found["test", name] == float(held_out.double().mean())


def test_a_probe_is_trained_as_in_the_paper():
    snapshot = snapshot_of("mlp")
    found = numbers("linear_probe:fit=adam", snapshot)
    assert found == numbers("linear_probe:fit=adam", snapshot_of("mlp"))
    layer, labels = hidden(snapshot, "3"), targets_of(snapshot)
    assert {name for _, name in found} == {"1", "3", "5"}
    known, places = labels.unique(return_inverse=True)
    generator = snapshot.generator("linear_probe/3", 1)
    probe = trained_probe(layer, places, len(known), 1e-3, generator)
    assert found["train", "3"] == float((known[probe.classes(layer)] == labels).double().mean())
    with pytest.raises(DoesNotApply, match="one class for each example"):
        evaluate("linear_probe:fit=adam", snapshot_of("gpt"))


def test_a_probe_of_tokens_sees_every_position():
    snapshot = snapshot_of("gpt")
    layer, labels = hidden(snapshot, "blocks.0.mlp.0").flatten(0, 1), targets_of(snapshot).flatten()
    (probe,) = ridge_probes(moments(layer, labels), [1e-3])
    expected = float((probe.classes(layer) == labels).double().mean())
    assert numbers("linear_probe", snapshot)["train", "blocks.0.mlp.0"] == pytest.approx(expected)


def test_a_probe_of_a_map_sees_the_mean_over_positions():
    snapshot = snapshot_of("cnn")
    layer, labels = hidden(snapshot, "conv1").mean((2, 3)), targets_of(snapshot)
    (probe,) = ridge_probes(moments(layer, labels), [1e-3])
    assert numbers("linear_probe", snapshot)["train", "conv1"] == float(
        (probe.classes(layer) == labels).double().mean()
    )


def test_separable_classes_are_read_off_whatever_their_labels_and_scale():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([-1, 7, 30]).repeat(20)
    centres = torch.tensor([[0.0, 3.0], [3.0, 0.0], [-3.0, -3.0]])
    inputs = centres.repeat(20, 1) + 0.1 * torch.randn(60, 2, generator=generator)
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.diag(torch.tensor([1e6, 1e-6])))
    unseen = torch.tensor([5, 7])  # a class that there is no example of, and one that there is
    test = Batch(centres[[0, 1]], unseen)
    found = numbers("linear_probe", Snapshot.of(model, train=Batch(inputs, labels), test=test))
    assert found == {("train", ""): 1.0, ("test", ""): 0.5}


# -- neural collapse --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm"])
def test_collapse_is_that_of_the_input_of_the_readout(name: str):
    snapshot = snapshot_of(name)
    readout = {"mlp": "5", "cnn": "fc", "lstm": "head"}[name]
    inputs: list[Tensor] = []
    snapshot.watch(snapshot.probe("train").inputs, lambda v: inputs.append(v.inputs) if v.name == readout else None)
    features, labels = torch.cat(inputs), targets_of(snapshot)
    found = {key: value for (key, _), value in numbers("neural_collapse", snapshot).items()}
    expected = neural_collapse(features, labels, readout_weight(snapshot, readout))
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-9)
    means = torch.stack([features[labels == k].mean(0) for k in range(int(labels.max()) + 1)])
    unlike = nearest_mean(features, means) != snapshot.logits("train").argmax(-1)
    assert found["nearest_mean"] == pytest.approx(float(unlike.double().mean()))


def test_collapse_of_tokens_and_tied_readouts():
    snapshot = snapshot_of("gpt")
    inputs: list[Tensor] = []
    snapshot.watch(snapshot.probe("train").inputs, lambda v: inputs.append(v.inputs) if v.name == "lm_head" else None)
    weight = readout_weight(snapshot, "lm_head")
    assert weight is not None
    assert torch.equal(weight, snapshot.parameters["wte.weight"])
    expected = neural_collapse(inputs[0].flatten(0, 1), targets_of(snapshot).flatten(), weight)
    found = {key: value for (key, _), value in numbers("neural_collapse", snapshot).items()}
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-9)


def test_a_network_that_has_collapsed():
    corners = torch.eye(3, dtype=torch.float64) - 1 / 3
    readout = nn.Linear(3, 3).double()
    with torch.no_grad():
        readout.weight.copy_(5 * corners)
        readout.bias.zero_()
    labels = torch.arange(3).repeat(4)
    found = numbers("neural_collapse", Snapshot.of(readout, train=(corners[labels], labels)))
    assert len(found) == 9
    assert all(value == pytest.approx(0, abs=1e-12) for value in found.values())


# -- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", NEW)
@pytest.mark.parametrize("name", ["cnn", "gpt", "lstm"])
def test_chunks_of_any_size_give_the_same(measure: str, name: str):
    whole, parts = numbers(measure, snapshot_of(name)), numbers(measure, snapshot_of(name, eval_chunk=7))
    assert whole.keys() == parts.keys()
    assert [whole[key] for key in whole] == pytest.approx([parts[key] for key in whole], rel=1e-8, abs=1e-9)


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.relu(self.first(x)) / 0.0)


def test_features_that_are_not_finite_give_nan_where_they_are():
    snapshot = Snapshot.of(Broken(), train=(torch.randn(8, 2), torch.arange(8) % 2))
    assert math.isnan(numbers("cka", snapshot)["previous", "second"])
    assert math.isnan(numbers("neural_collapse", snapshot)["within", None])
    probes = numbers("linear_probe", snapshot)
    assert math.isnan(probes["train", "second"])
    assert not math.isnan(probes["train", "first"])
    assert math.isnan(numbers("information:where=layers", snapshot)["input", "second"])


def flat(model: nn.Module, targets: Tensor, count: int = 8) -> Snapshot:
    return Snapshot.of(model, train=(torch.randn(count, 2), targets))


@pytest.mark.parametrize(
    ("measure", "snapshot", "said"),
    [
        ("information", flat(nn.Linear(2, 2), torch.zeros(1).long(), 1), "at least two examples"),
        ("cka", flat(nn.Linear(2, 2), torch.zeros(3).long(), 3), "at least 4 examples; there are 3"),
        ("linear_probe", flat(nn.Linear(2, 2), torch.zeros(8).long()), "at least two classes"),
        ("linear_probe", flat(nn.Linear(2, 2), torch.zeros(8)), "needs data labelled with classes"),
        ("linear_probe", flat(nn.Linear(2, 2), torch.zeros(8, 3).long() + torch.arange(3)), "laid out as the labels"),
        ("neural_collapse", flat(nn.Tanh(), torch.arange(8) % 2), "this model has no such module"),
        (
            "neural_collapse",
            flat(nn.Sequential(nn.Linear(2, 3), nn.MaxPool1d(3)), torch.arange(8) % 2),
            "has 3 outputs and the model 1",
        ),
        ("information", flat(nn.Identity(), torch.arange(8) % 2), "no layer or nonlinearity"),
    ],
)
def test_what_does_not_apply_says_why(measure: str, snapshot: Snapshot, said: str):
    with pytest.raises(DoesNotApply, match=said):
        evaluate(measure, snapshot)


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        ("information:estimator=mine", "unknown estimator 'mine'"),
        ("information:where=layer", "did you mean 'layers'"),
        ("cka:positions=first", "unknown positions 'first'"),
        ("cka:examples=2", "CKA needs at least 4"),
        ("linear_probe:penalty=-1", "cannot be negative"),
        ("linear_probe:where=layer", "did you mean 'layers'"),
        ("linear_probe:fit=adams", "did you mean 'adam'"),
    ],
)
def test_bad_options_get_one_sentence(measure: str, said: str):
    with pytest.raises(UsageError, match=said):
        evaluate(measure, snapshot_of("mlp"))
