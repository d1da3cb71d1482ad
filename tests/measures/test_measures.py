"""The registered measures on snapshots whose answers are known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import grokscope as gs
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.facts import Facts, GroupStructure
from grokscope.measures.base import DoesNotApply, Measure, evaluate, flatten, named, why_not
from grokscope.measures.fourier import FOURIER
from grokscope.measures.gini import GINI
from grokscope.measures.gradient import GRADIENT
from grokscope.measures.performance import PERFORMANCE, hits, losses
from grokscope.measures.residues import frequency_norms
from grokscope.measures.weights import WEIGHTS
from grokscope.snapshot import Snapshot, Source, StepRecord

P = 5


def cosine_snapshot(alpha: float = 1.0, sign: int = 1, frequency: int = 1) -> Snapshot:
    """A 'network' whose logits are alpha cos(2 pi k (a +- b - c) / 5), with one spare output like the "=" token."""
    a, b = np.divmod(np.arange(P * P), P)
    c = np.arange(P)
    logits = alpha * np.cos(2 * np.pi * frequency * ((a + sign * b)[:, None] - c[None, :]) / P)
    table = torch.tensor(np.concatenate([logits, np.full((P * P, 1), -9.0)], axis=1))
    tokens = torch.tensor(np.stack([a, b, np.full(P * P, P)], axis=1))
    sums = torch.tensor((a + b) % P)
    rows = torch.arange(0, P * P, 2)
    waves = torch.tensor(np.stack([np.cos(2 * np.pi * frequency * c / P), np.sin(2 * np.pi * frequency * c / P)], 1))
    source = Source(
        forward=lambda tensors, inputs: tensors["table"][inputs[:, 0] * P + inputs[:, 1]],
        probes={"all": Batch(tokens, sums), "train": Batch(tokens[rows], sums[rows], parent="all", rows=rows)},
        facts=Facts(
            outputs=P + 1,
            classes=P,
            group=GroupStructure("cyclic", (np.arange(P)[:, None] + np.arange(P)) % P),
        ),
        roles={"neuron_to_logit": "waves", "embedding": "waves"},
    )
    return Snapshot(source, step=3, parameters={"table": table, "waves": waves})


def values(measure: Measure, snapshot: Snapshot) -> dict[str, float]:
    return {key: value for key, module, value in evaluate(measure, snapshot).rows if module is None}


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, 0.845781), (5.0, 0.0614863), (10.0, 0.00199389)])
def test_restricted_loss_of_the_pure_circuit_is_its_loss(alpha: float, expected: float) -> None:
    found = values(FOURIER, cosine_snapshot(alpha))
    assert found["fourier/restricted_loss_online"] == pytest.approx(expected, rel=1e-5)
    assert found["fourier/excluded_loss_online"] == pytest.approx(math.log(P), rel=1e-12)
    assert found["fourier/key_frequencies_online"] == 1
    assert found["fourier/restricted_accuracy_online"] == 1


def test_the_wrong_symmetry_leaves_nothing_in_the_circuit() -> None:
    snapshot = cosine_snapshot(1.0, sign=-1)
    found = values(FOURIER, snapshot)
    assert found["fourier/restricted_loss_online"] == pytest.approx(math.log(P), rel=1e-12)
    outputs = snapshot.logits("train")[:, :P]
    targets = snapshot.probe("train").targets
    assert targets is not None
    assert found["fourier/excluded_loss_online"] == pytest.approx(float(losses(outputs, targets).mean()), rel=1e-12)


def test_hindsight_takes_the_keys_of_the_reference_and_not_of_the_moment() -> None:
    assert FOURIER.hindsight is not None
    moment, end = cosine_snapshot(2.0, frequency=1), cosine_snapshot(2.0, frequency=2)
    collected = FOURIER.hindsight.collect(moment)
    reference = FOURIER.hindsight.reference(end)
    assert reference["key_frequencies"].tolist() == [2]
    found = FOURIER.hindsight.compare(reference, {**collected.kept, **collected.transient})
    assert float(found["restricted_loss"]) == pytest.approx(math.log(P), rel=1e-12)
    own = FOURIER.hindsight.compare(FOURIER.hindsight.reference(moment), {**collected.kept, **collected.transient})
    assert flatten(FOURIER, own, suffix="_online").rows == evaluate(FOURIER, moment).rows


def test_losses_and_hits_by_hand() -> None:
    outputs = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]], dtype=torch.float64)
    targets = torch.tensor([0, 1])
    assert losses(outputs, targets).tolist() == pytest.approx([math.log(2), math.log(4)], rel=1e-12)
    assert hits(outputs, targets).tolist() == [1, 0]
    assert hits(torch.tensor([[0.0, 1.0, 9.0]]), torch.tensor([1]), classes=2).tolist() == [1]
    assert losses(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [1.0]])).tolist() == [1, 4]
    assert losses(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])).tolist() == [1, 4]  # outputs of shape (n,)
    squared = losses(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), targets, kind="mean-squared-error")
    assert squared.tolist() == [0, 0.5]


def test_weights_of_examples_count() -> None:
    inputs, targets = torch.eye(2), torch.tensor([0, 0])
    model = nn.Identity()
    train = Batch(inputs, targets, weights=torch.tensor([3.0, 1.0]))
    assert values(PERFORMANCE, Snapshot.of(model, train=train))["train/accuracy"] == 0.75


def test_examples_without_a_target_count_for_nothing() -> None:
    x = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, -5.0]])
    y = torch.tensor([0, 0, -100])
    found = values(PERFORMANCE, Snapshot.of(nn.Identity(), train=(x, y)))
    assert found["train/loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(x, y, ignore_index=-100)))
    assert found["train/accuracy"] == 0.5
    weighted = values(PERFORMANCE, Snapshot.of(nn.Identity(), train=Batch(x, y, torch.tensor([3.0, 1.0, 9.0]))))
    assert weighted["train/accuracy"] == 0.75
    none = values(PERFORMANCE, Snapshot.of(nn.Identity(), train=(x, torch.full((3,), -100))))
    assert math.isnan(none["train/loss"])
    assert math.isnan(none["train/accuracy"])
    model = nn.Linear(2, 2)
    loss = values(named("curvature"), Snapshot.of(model, train=(x, y)))["curvature/loss"]
    assert loss == pytest.approx(float(torch.nn.functional.cross_entropy(model(x), y).detach()), rel=1e-6)
    with pytest.raises(DoesNotApply, match="performance needs labelled examples; there are none in the data"):
        values(PERFORMANCE, Snapshot.of(nn.Identity(), train=(x[:0], y[:0])))


def test_part_of_a_probe_is_looked_up_and_relabelled_examples_are_not() -> None:
    inputs, targets, rows = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([4, 1])
    probes = {
        "all": Batch(inputs, targets),
        "part": Batch(inputs[rows], targets[rows], parent="all", rows=rows),
        "relabelled": Batch(inputs[rows], (targets[rows] + 1) % 3, parent="all", rows=rows),
    }
    alone = {name: Batch(batch.inputs, batch.targets) for name, batch in probes.items()}
    torch.manual_seed(0)
    model = nn.Linear(3, 3)
    found = values(PERFORMANCE, Snapshot.of(model, probes=probes))
    assert found == pytest.approx(values(PERFORMANCE, Snapshot.of(model, probes=alone)), rel=1e-6)
    assert found["part/loss"] != found["relabelled/loss"]


def test_performance_keys_are_probe_and_metric() -> None:
    model = nn.Linear(2, 3)
    x, y = torch.randn(4, 2), torch.tensor([0, 1, 2, 0])
    found = values(PERFORMANCE, Snapshot.of(model, train=(x, y)))
    assert set(found) == {"train/loss", "train/accuracy"}
    expected = nn.functional.cross_entropy(model(x).detach().double(), y)
    assert found["train/loss"] == pytest.approx(float(expected), rel=1e-12)


def test_sums_of_squares_by_tensor_and_in_all_and_distance() -> None:
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 4.0]]))
        model.bias.fill_(12.0)
    start = Snapshot.of(model)
    with torch.no_grad():
        model.weight.add_(1.0)
    rows = {(key, module): value for key, module, value in evaluate(WEIGHTS, Snapshot.of(model, initial=start)).rows}
    assert rows["weights/sum_of_squares", None] == 16 + 25 + 144
    assert rows["weights/tensor_sum_of_squares", "weight"] == 41
    assert rows["weights/distance", None] == pytest.approx(math.sqrt(2))


def test_gini_of_a_single_frequency_is_nearly_the_largest_there_is() -> None:
    found = values(GINI, cosine_snapshot())
    # two equal components of four non-constant ones: (2/n) sum i x_i / sum x - (n+1)/n = 0.5
    assert found["gini/embedding"] == pytest.approx(0.5, abs=1e-12)


def test_update_of_gradient_descent_on_a_quadratic() -> None:
    before = {"w": torch.tensor([3.0, 4.0], dtype=torch.float64)}
    rate = 0.1
    record = StepRecord(before, before, {"w": (1 - rate) * before["w"]}, 12.5)
    snapshot = Snapshot(
        Source(forward=lambda tensors, inputs: inputs, probes={}), step=0, parameters=before, trial=lambda: record
    )
    found = values(GRADIENT, snapshot)
    assert found["gradient/norm"] == pytest.approx(5)
    assert found["gradient/update_norm"] == pytest.approx(0.5)
    assert found["gradient/update_weight_cosine"] == pytest.approx(-1)


@pytest.mark.parametrize(
    ("measure", "sentence"),
    [
        (PERFORMANCE, "performance needs labelled data; this snapshot has none."),
        (FOURIER, "fourier needs a task whose targets are sums modulo p; this task is not known to be one."),
        (GRADIENT, "gradient looks at an update of the parameters; this snapshot has no update to look at."),
    ],
)
def test_a_measure_that_does_not_apply_says_why(measure: Measure, sentence: str) -> None:
    snapshot = Snapshot.of(nn.Linear(2, 2))
    assert why_not(measure, snapshot) == sentence
    with pytest.raises(gs_error(), match=sentence.split(";")[0]):
        evaluate(measure, snapshot)


class InFloat(nn.Module):
    """Says float32 in its forward, as many do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x.float() @ self.layer.weight.T)


X, Y = torch.ones(4, 2), torch.zeros(4).long()


@pytest.mark.parametrize(
    ("measure", "model", "train", "sentence"),
    [
        (
            "performance",
            nn.Linear(2, 3),
            (torch.ones(4, 5), Y),
            "the model does not run on the inputs of train, (4, 5)",
        ),
        ("sparsity", nn.Linear(2, 3), (X.long(), Y), "the model does not run on the inputs of train, (4, 2) of int64"),
        ("performance", nn.Linear(2, 3), (X, Y + 3), "train has the target 3, and the model gives 3 outputs"),
        ("input_jacobian", InFloat(), (X, Y), "input_jacobian computes in float64, which this model does not allow"),
        ("weights", nn.ReLU(), (X, Y), "weights needs parameters; this model has none."),
    ],
)
def test_what_a_model_cannot_do_is_told_and_not_what_torch_says_of_it(
    measure: str, model: nn.Module, train: tuple[torch.Tensor, torch.Tensor], sentence: str
) -> None:
    with pytest.raises(UsageError) as found:
        evaluate(measure, Snapshot.of(model, train=train))
    assert str(found.value).startswith(sentence)
    assert "\n" not in str(found.value)


def test_a_snapshot_is_asked_for() -> None:
    with pytest.raises(UsageError, match=r"a Linear was given where a snapshot belongs: write gs\.evaluate"):
        evaluate("norms", nn.Linear(2, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"train": {"x": X}}, "train is a dict of 1: give a tensor of inputs, or (inputs, targets)"),
        ({"train": (X.numpy(), Y)}, "the inputs of train are a ndarray: give a tensor"),
        ({"test": (X, Y[:3])}, "test has 4 inputs and 3 targets: give one for each example."),
        ({"probes": {"odd": (X / 0, Y)}}, "the inputs of odd hold NaN or Inf: give data without."),
        ({"train": X.to("meta")}, "the inputs of train are on the meta device"),
        (
            {"train": (X, Y.to(torch.complex64))},
            "the targets of train are torch.complex64: give classes",
        ),
        ({"model": 3}, "the model is a int: give a torch.nn.Module."),
    ],
)
def test_data_that_cannot_be_used_are_told_as_by_the_monitor(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError) as found:
        Snapshot.of(**{"model": nn.Linear(2, 3), **given})  # type: ignore[arg-type]
    assert str(found.value).startswith(sentence)


def test_inputs_alone_and_small_integers_will_do() -> None:
    assert Snapshot.of(nn.Linear(2, 3), train=X).probe("train").targets is None
    targets = Snapshot.of(nn.Linear(2, 3), train=(X, Y.to(torch.uint8))).probe("train").targets
    assert targets is not None
    assert targets.dtype == torch.int64


def gs_error() -> type[Exception]:
    from grokscope.errors import UsageError

    return UsageError


def test_float32_agrees_with_float64() -> None:
    snapshot = cosine_snapshot(3.0)
    single = Snapshot(
        snapshot._source, step=3, parameters={name: tensor.float() for name, tensor in snapshot.parameters.items()}
    )
    for key, value in values(FOURIER, snapshot).items():
        assert values(FOURIER, single)[key] == pytest.approx(value, rel=1e-5, abs=1e-6), key


def test_public_face_reaches_the_mathematics() -> None:
    assert float(gs.linalg.concentration.gini(torch.tensor([1.0, 2.0, 3.0, 4.0]))) == pytest.approx(0.25)  # type: ignore[attr-defined]


@pytest.mark.parametrize("p", [4, 5, 7, 10])
def test_norms_by_frequency_are_those_of_the_matrix(p: int) -> None:
    facts = Facts(outputs=p, classes=p, group=GroupStructure("cyclic", (np.arange(p)[:, None] + np.arange(p)) % p))
    snapshot = Snapshot.of(nn.Linear(3, p + 1), facts=facts, roles={"embedding": "weight"})
    found, matrix = frequency_norms(snapshot, "embedding"), snapshot.parameters["weight"][:p]
    assert found is not None
    torch.testing.assert_close(found, gs.linalg.fourier.frequency_norms(matrix))  # type: ignore[attr-defined]
