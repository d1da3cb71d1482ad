"""Sparsity, dead units and feature rank of models: by hand, one pass, chunks of any size, wide and broken layers."""

from __future__ import annotations

import doctest
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.linalg.feature_spectrum import feature_ranks, feature_variances
from grokscope.linalg.moments import moments
from grokscope.measures import activations, features, units
from grokscope.measures import sparsity as sparsity_module
from grokscope.measures.activations import Layer, UnitCounts, layer_moments, unit_counts
from grokscope.measures.base import DoesNotApply, evaluate
from grokscope.measures.feature_rank import variances_of
from grokscope.measures.sparsity import below, sparsity
from grokscope.measures.units import dead_and_always_on
from grokscope.snapshot import Snapshot

quick = settings(derandomize=True, deadline=None, max_examples=25)


def numbers(measure: str, snapshot: Snapshot) -> dict[tuple[str, str | None], float]:
    return {(key.rpartition("/")[2], module): value for key, module, value in evaluate(measure, snapshot).rows}


class Diagonal(nn.Module):
    """ReLU of the input times a vector: what the activations are is plain."""

    def __init__(self, scales: Tensor) -> None:
        super().__init__()
        self.scales = nn.Parameter(scales)
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return F.relu(x * self.scales)


def diagonal(inputs: Tensor, *, weights: Tensor | None = None, eval_chunk: int | None = None) -> Snapshot:
    model = Diagonal(torch.ones(inputs.shape[1], dtype=inputs.dtype))
    return Snapshot.of(model, train=Batch(inputs, weights=weights), eval_chunk=eval_chunk)


SHEET = torch.tensor([[0.0, 2.0], [0.0, 0.0], [1.0, 3.0]])


def test_the_documented_examples_hold():
    for module in (activations, features, units, sparsity_module):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, 0.5), (0.0, 0.0), (10.0, 1.0)])
def test_sparsity_of_the_printed_example(threshold: float, expected: float):
    assert sparsity(SHEET, threshold=threshold, mode="absolute") == expected  # sheet 05, 3.1
    found = numbers(f"sparsity:mode=absolute,threshold={threshold}", diagonal(SHEET))
    assert found["layer", "relu"] == found["mean", None] == expected
    assert found["threshold", "relu"] == threshold


def test_sparsity_relative_to_the_root_mean_square():
    root = math.sqrt(14 / 6)  # (4 + 1 + 9) / 6
    assert sparsity(SHEET) == 0.5
    found = numbers("sparsity", diagonal(SHEET))
    assert found["layer", "relu"] == 0.5
    assert found["threshold", "relu"] == pytest.approx(1e-9 * root, rel=1e-12)
    # 0.7 × 1.53 = 1.07 lies above the 1, so the activations have to be counted once more
    assert sparsity(SHEET, threshold=0.7) == pytest.approx(4 / 6)
    assert numbers("sparsity:threshold=0.7", diagonal(SHEET))["layer", "relu"] == pytest.approx(4 / 6)


def test_sparsity_below_zero():
    tanh = nn.Sequential(nn.Identity(), nn.Tanh())
    inputs = torch.tensor([[-3.0, 1e-3], [-1e-3, 2.0]])
    snapshot = Snapshot.of(tanh, train=Batch(inputs))
    assert numbers("sparsity:mode=absolute,threshold=0.1", snapshot)["layer", "1"] == 0.75
    assert numbers("sparsity:mode=absolute,threshold=0.1,magnitude=true", snapshot)["layer", "1"] == 0.5
    assert sparsity(inputs, mode="absolute", threshold=-1.0) == 0.25
    assert sparsity(inputs, mode="absolute", threshold=-1.0, magnitude=True) == 0
    assert numbers("sparsity:mode=absolute,threshold=-0.5", snapshot)["layer", "1"] == 0.25
    assert numbers("sparsity:mode=absolute,threshold=-0.5,magnitude=true", snapshot)["layer", "1"] == 0


def test_all_zeros_relative_to_nothing():
    assert sparsity(torch.zeros(2, 2)) == 0  # τ = 0, and the inequality is strict
    found = numbers("sparsity", diagonal(torch.zeros(2, 2)))
    assert (found["layer", "relu"], found["threshold", "relu"]) == (0, 0)


@quick
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3), threshold=st.sampled_from([1e-9, 0.1, 1.0]))
def test_relative_sparsity_does_not_know_the_scale(seed: int, scale: float, threshold: float):
    a = torch.randn(20, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).relu()
    assert sparsity(a * scale, threshold=threshold) == sparsity(a, threshold=threshold)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
    assert sparsity(a[order].flip(1), threshold=threshold) == sparsity(a, threshold=threshold)


def test_dead_and_always_on_units():
    inputs = torch.tensor([[-1.0, 1.0, 1.0, -2.0], [-2.0, 2.0, -1.0, -1.0]])
    found = numbers("units", diagonal(inputs))
    assert (found["dead_units", "relu"], found["always_on_units", "relu"]) == (2, 1)
    assert (found["dead", "relu"], found["always_on", "relu"]) == (0.5, 0.25)
    assert (found["dead_mean", None], found["always_on_mean", None]) == (0.5, 0.25)
    arrays = evaluate("units:per_unit=true", diagonal(inputs)).arrays
    assert arrays["below/relu"].tolist() == [1.0, 0.0, 0.5, 1.0]


def test_a_channel_is_a_unit_and_is_dead_at_all_positions():
    conv = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU())
    with torch.no_grad():
        conv[0].weight.copy_(torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1, 1))
        conv[0].bias.copy_(torch.tensor([0.0, 0.0, -1.0]))
    inputs = torch.ones(2, 1, 4, 4)
    inputs[1, 0, 0, 0] = -1.0
    found = numbers("units", Snapshot.of(conv, train=Batch(inputs)))
    assert (found["dead_units", "1"], found["always_on_units", "1"]) == (1, 0)
    assert numbers("sparsity", Snapshot.of(conv, train=Batch(inputs)))["layer", "1"] == (1 + 31 + 32) / 96


def test_examples_of_weight_zero_are_not_there():
    masked = diagonal(torch.cat([SHEET, torch.full((2, 2), -5.0)]), weights=torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0]))
    assert numbers("sparsity", masked) == numbers("sparsity", diagonal(SHEET))


def test_one_pass_serves_all_three():
    model = Diagonal(torch.ones(4))
    snapshot = Snapshot.of(nn.Sequential(nn.Linear(4, 4), model), train=Batch(torch.randn(600, 4)))
    private: Any = snapshot.module
    for name in ("feature_rank", "sparsity", "units", "feature_rank:explained=0.5"):
        evaluate(name, snapshot)
    assert private[1].passes == 3  # 600 examples, 256 at a time
    assert evaluate("sparsity:threshold=0.5", snapshot)
    assert private[1].passes == 6  # these have to be counted again


@pytest.mark.parametrize("name", ["cnn", "resnet", "gpt", "lstm"])
@pytest.mark.parametrize("chunk", [1, 7, 24])
def test_chunks_of_any_size_give_the_same(name: str, chunk: int):
    animal = zoo.animal(name)
    whole = Snapshot.of(animal.model.double(), train=double(animal.train))
    parts = Snapshot.of(animal.model.double(), train=double(animal.train), eval_chunk=chunk)
    for measure in ("sparsity", "sparsity:threshold=0.3,magnitude=true", "units", "feature_rank"):
        one, other = numbers(measure, whole), numbers(measure, parts)
        assert one.keys() == other.keys()
        # float64 sums in another order
        assert [one[key] for key in one] == pytest.approx([other[key] for key in one], rel=1e-9, nan_ok=True)


def double(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return (pair[0].double() if pair[0].is_floating_point() else pair[0]), pair[1]


def test_float32_models_are_measured_as_float64_ones():
    animal = zoo.animal("mlp")
    single = numbers("feature_rank", Snapshot.of(animal.model, train=animal.train))
    exact = numbers("feature_rank", Snapshot.of(animal.model.double(), train=double(animal.train)))
    for key in ("effective", "stable", "participation"):
        assert single[key, "3"] == pytest.approx(exact[key, "3"], rel=1e-5)
    assert single["numerical", "3"] == exact["numerical", "3"]


def test_the_rounding_of_a_float32_pass_is_left_out_in_double():
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3), nn.Linear(3, 16))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(generator=generator)
        net[3].bias.fill_(100.0)
    snapshot = Snapshot.of(net, train=Batch(torch.randn(400, 16, generator=generator)))
    # three directions come in; numbers near 100 are rounded by 4e-6 in float32, more than 3e-7 of the spread
    assert numbers("feature_rank:double=true", snapshot)["numerical", "3"] == 3
    assert numbers("feature_rank", snapshot)["numerical", "3"] > 3


def test_feature_rank_is_of_the_outputs_before_the_nonlinearity():
    animal = zoo.animal("mlp")
    snapshot = Snapshot.of(animal.model, train=animal.train)
    with torch.no_grad():
        before = animal.model[1](animal.train[0].flatten(1))  # type: ignore[index]
    expected = feature_ranks(feature_variances(before))
    found = numbers("feature_rank", snapshot)
    assert {module for _, module in found if module} == {"1", "3", "5"}
    assert {key: found[key, "1"] for key in expected} == pytest.approx(expected, rel=1e-9)
    assert found["attainable", "1"] == 23  # 24 units, 24 examples
    after = numbers("feature_rank:where=activations", snapshot)
    assert {module for _, module in after if module} == {"2", "4"}
    post = feature_ranks(feature_variances(before.relu()))
    assert {key: after[key, "2"] for key in post} == pytest.approx(post, rel=1e-9)


def test_a_model_without_layer_modules_is_seen_at_its_nonlinearities():
    inputs = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    found = numbers("feature_rank", diagonal(inputs))
    assert found["effective", "relu"] == pytest.approx(
        feature_ranks(feature_variances(inputs.relu()))["effective"], rel=1e-9
    )


def test_the_tunnel():
    deep = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3))
    with torch.no_grad():
        deep[1].weight[5:] = 0
    snapshot = Snapshot.of(deep.double(), train=Batch(torch.randn(50, 8, dtype=torch.float64)))
    assert numbers("feature_rank", snapshot)["tunnel_length", None] == 1  # rank 5 < 6
    # as in the paper, where the readout counts as part of the tunnel
    assert numbers("feature_rank:tunnel_width=widest", snapshot)["tunnel_length", None] == 2
    assert numbers("feature_rank:tunnel_fraction=0.5", snapshot)["tunnel_length", None] == 0


def test_little_memory_takes_more_passes_and_gives_the_same():
    animal = zoo.animal("cnn")
    snapshot = Snapshot.of(animal.model, train=animal.train)
    kept: list[str] = []

    def finish(layer: Layer) -> Tensor:
        assert layer.moments is not None
        kept.append("")
        return layer.moments.within

    roomy = layer_moments(snapshot, "train", finish)
    tight = layer_moments(snapshot, "train", lambda layer: finish(layer), memory=1)
    assert list(roomy) == list(tight) == ["conv1", "conv2", "fc"]
    assert len(kept) == 6
    assert all(torch.equal(roomy[name], tight[name]) for name in roomy)


def test_wide_layers_are_seen_through_the_same_columns_at_every_step():
    wide = nn.Linear(4, 30)
    snapshots = [Snapshot.of(wide, step=step, train=Batch(torch.randn(50, 4))) for step in (0, 7)]
    first, second = (activations.chosen_columns(s, "", 30, 10) for s in snapshots)
    assert first is not None
    assert second is not None
    assert len(first) == len(set(first.tolist())) == 10
    assert torch.equal(first, second)
    found = numbers("feature_rank:columns=10", snapshots[0])
    assert found["attainable", ""] == 10
    assert found["numerical", ""] == 4


def test_long_data_are_seen_through_the_same_examples():
    inputs = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    snapshot = diagonal(inputs)
    rows = activations.chosen_rows(snapshot, "train", 20)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == 20
    assert numbers("sparsity:examples=20", snapshot)["layer", "relu"] == sparsity(inputs[rows].relu())


def test_activations_that_are_not_finite_give_nan_for_their_site_alone():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU())
    with torch.no_grad():
        model[2].bias[0] = math.inf
    snapshot = Snapshot.of(model, train=Batch(torch.randn(8, 2)))
    rank, sparse, unit = (numbers(name, snapshot) for name in ("feature_rank", "sparsity", "units"))
    assert math.isnan(rank["effective", "2"])
    assert not math.isnan(rank["effective", "0"])
    assert math.isnan(sparse["layer", "3"])
    assert not math.isnan(sparse["layer", "1"])
    assert math.isnan(unit["dead", "3"])
    assert unit["dead", "1"] >= 0


def test_one_example_has_no_covariance():
    found = numbers("feature_rank", Snapshot.of(nn.Linear(2, 2), train=Batch(torch.ones(1, 2))))
    assert math.isnan(found["effective", ""])
    assert math.isnan(found["tunnel_length", None])
    assert variances_of(Layer(2, moments(torch.ones(1, 2)))).variances is None


def test_what_does_not_apply_says_why():
    linear = Snapshot.of(nn.Linear(2, 2), train=Batch(torch.ones(4, 2)))
    with pytest.raises(DoesNotApply, match="no nonlinearity in the forward pass"):
        evaluate("sparsity", linear)
    with pytest.raises(DoesNotApply, match="no data called 'later'"):
        evaluate("units:probe=later", linear)
    with pytest.raises(DoesNotApply, match="neither layers nor nonlinearities"):
        evaluate("feature_rank", Snapshot.of(nn.Identity(), train=Batch(torch.ones(4, 2))))
    for name in ("sparsity", "feature_rank"):
        with pytest.raises(DoesNotApply, match="no examples in the train data"):
            evaluate(name, diagonal(torch.zeros(0, 2)))


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        ("sparsity:mode=about", "unknown mode 'about'"),
        ("sparsity:threshold=nan", "threshold = nan was given"),
        ("feature_rank:where=layer", "did you mean 'layers'"),
        ("feature_rank:tunnel_width=wide", "did you mean 'widest'"),
        ("feature_rank:explained=2", "share of the variance"),
    ],
)
def test_bad_options_get_one_sentence(measure: str, said: str):
    snapshot = Snapshot.of(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), train=Batch(torch.randn(4, 2)))
    with pytest.raises(UsageError, match=said):
        evaluate(measure, snapshot)


def test_bad_tensors_get_one_sentence():
    with pytest.raises(UsageError, match="real floating-point numbers"):
        sparsity(torch.ones(2, 2).long())
    with pytest.raises(UsageError, match="one share a unit"):
        dead_and_always_on(torch.ones(2, 2))
    with pytest.raises(UsageError, match=r"outside \[0, 1\]"):
        dead_and_always_on(torch.tensor([0.5, 2.0]))


def test_counts_say_what_they_are():
    counts = unit_counts(diagonal(SHEET), "train")["relu"]
    assert isinstance(counts, UnitCounts)
    assert (counts.samples, counts.zero.tolist(), counts.smallest_positive) == (3, [2, 1], 1.0)
    assert below(diagonal(SHEET), "train", threshold=2.5, mode="absolute")["relu"].counts.tolist() == [3, 2]
