"""Measures of weights: their numbers on known matrices, every kind of layer, one SVD for all, bad weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import zoo
from golden_spectra import GOLDEN, MATRICES
from grokscope.errors import UsageError
from grokscope.linalg import spectra
from grokscope.measures import htsr
from grokscope.measures.base import DoesNotApply, Reading, evaluate, named
from grokscope.snapshot import Snapshot

NAMES = ("norms", "spectra", "weight_entropy", "htsr", "marchenko_pastur", "correlation_traps")


class Weights(nn.Module):
    """A module of given parameters and nothing else."""

    def __init__(self, **weights: torch.Tensor) -> None:
        super().__init__()
        for name, weight in weights.items():
            self.register_parameter(name, nn.Parameter(weight))


def reading(measure: str, **weights: torch.Tensor) -> dict[str, float]:
    found = evaluate(measure, Snapshot.of(Weights(**weights)))
    return {key if module is None else f"{key}@{module}": value for key, module, value in found.rows}


def golden(name: str) -> torch.Tensor:
    return torch.from_numpy(MATRICES[name])


def test_golden_matrices_through_the_measures() -> None:
    both = {name: golden(name) for name in ("S1", "B1")}
    tail = reading("htsr", **both)
    bulk = reading("marchenko_pastur", **both)
    traps = reading("correlation_traps", **both)
    for name in both:
        assert tail[f"htsr/alpha@{name}"] == pytest.approx(GOLDEN[name].tail[0], rel=1e-6)
        assert tail[f"htsr/tail_count@{name}"] == GOLDEN[name].tail[4]
        assert bulk[f"marchenko_pastur/spikes@{name}"] == GOLDEN[name].bulk[1]
        assert bulk[f"marchenko_pastur/outliers@{name}"] == 1
    assert tail["htsr/mean_alpha"] == pytest.approx((4.85984955 + 4.14771730) / 2, rel=1e-6)
    assert tail["htsr/clipped_alpha@S1"] == pytest.approx(3.68384979, rel=1e-6)
    assert tail["htsr/fingers@S1"] == 3
    assert [traps[f"correlation_traps/{key}@{name}"] for key in ("traps", "traps_ww") for name in ("S1", "B1")] == [
        *(0, 1),
        *(0, 1),
    ]
    assert traps["correlation_traps/total"] == 1
    assert traps["correlation_traps/traps_error@B1"] == 0
    # without an SVD: a single large entry is foreseen to be a trap, a component of rank one is not
    assert traps["correlation_traps/largest_entry@B1"] > 1 > traps["correlation_traps/largest_entry@S1"]


def test_norms_by_hand() -> None:
    found = reading("norms", a=torch.tensor([[3.0, 0.0], [0.0, 4.0]]), bias=torch.tensor([12.0]))
    assert found == {
        "norms/total_l1": 19,
        "norms/total_l2": 13,
        "norms/l1@a": 7,
        "norms/l2@a": 5,
        "norms/largest@a": 4,
        "norms/spectral@a": 4,
        "norms/nuclear@a": 7,
        "norms/share@a": pytest.approx(25 / 169),
    }


def test_entropies_of_the_first_and_of_all() -> None:
    half = torch.tensor([[0.5, -0.5]])
    found = reading("weight_entropy", a=half, b=torch.tensor([[1.0, 2.0]]))
    assert found["weight_entropy/absolute@a"] == found["weight_entropy/first"] == pytest.approx(math.log(2))
    assert found["weight_entropy/sum"] == pytest.approx(math.log(2) - 2 * math.log(2))
    assert found["weight_entropy/used_share@a"] == pytest.approx(1)


def test_the_eigenvalues_of_a_shuffle_are_an_array_a_row_a_matrix() -> None:
    weight, few = torch.randn(12, 20, generator=torch.Generator().manual_seed(0)), torch.ones(2, 3)
    snapshot = Snapshot.of(Weights(a=weight, b=few, c=torch.zeros(3, 3)))
    found = evaluate("correlation_traps", snapshot).arrays["eigenvalues"]
    assert found.shape == (3, 12)
    assert found[0].sum() == pytest.approx(float(weight.double().square().sum()))  # a shuffle keeps Σw²
    assert found[0].tolist() == sorted(found[0].tolist())
    assert found[1, :2].tolist() == pytest.approx([0, 6], abs=1e-9)
    assert found[1, 2:].isnan().all()
    assert found[2, :3].tolist() == [0, 0, 0]


def test_the_eigenvalues_are_an_array_a_row_a_matrix() -> None:
    found = evaluate("spectra", Snapshot.of(Weights(a=torch.eye(3) * 2, b=torch.tensor([[3.0, 0.0], [0.0, 1.0]]))))
    array = found.arrays["eigenvalues"]
    assert array[0].tolist() == pytest.approx([4, 4, 4])
    assert array[1, :2].tolist() == pytest.approx([1, 9])
    assert bool(array[1, 2].isnan())
    values = {(key, module): value for key, module, value in found.rows}
    assert values["spectra/rank_loss", "a"] == 0
    assert values["spectra/stable_rank", "b"] == pytest.approx(10 / 9)
    # the modules of the rows are the rows of the array
    assert [module for key, module, _ in found.rows if key == "spectra/stable_rank"] == ["a", "b"]


def test_the_tolerance_of_the_rank_is_an_option() -> None:
    weight = torch.diag(torch.tensor([1.0, 0.1, 0.01]))
    snapshot = Snapshot.of(Weights(a=weight))
    ranks = [
        next(value for key, _, value in evaluate(name, snapshot).rows if key.endswith("/numerical_rank"))
        for name in ("spectra", "spectra:tolerance=0.05")
    ]
    assert ranks == [3, 2]


SCALE_FREE = {
    "norms": ("share",),
    "spectra": ("stable_rank", "effective_rank", "numerical_rank", "participation_ratio", "spectral_entropy"),
    "weight_entropy": ("normalised", "used_share"),
    "htsr": ("alpha", "mean_alpha", "distance", "sigma", "tail_count", "runner_up_alpha", "clipped_alpha", "erg_gap"),
    "marchenko_pastur": ("sigma", "spikes", "outliers", "softrank", "ks_statistic", "ks_p_value"),
    "correlation_traps": ("traps", "traps_ww", "largest_entry", "distance", "softrank", "ks_statistic"),
}


@pytest.mark.parametrize("measure", NAMES)
def test_orientation_does_not_matter_and_scale_only_where_it_should(measure: str) -> None:
    weight = torch.randn(40, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, turned, scaled = (reading(measure, a=w) for w in (weight, weight.T.contiguous(), weight * 1e-4))
    if measure != "correlation_traps":  # where its entries have other places
        assert turned == pytest.approx(found, rel=1e-6, nan_ok=True)
    for key in SCALE_FREE[measure]:
        name = f"{measure}/{key}" if key == "mean_alpha" else f"{measure}/{key}@a"
        assert scaled[name] == pytest.approx(found[name], rel=1e-6, abs=1e-9, nan_ok=True), key


def test_the_threshold_of_weightwatcher_knows_the_scale() -> None:
    weight = torch.randn(40, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert htsr.alpha(weight * 1e-4) == pytest.approx(htsr.alpha(weight), rel=1e-9)
    found = evaluate("htsr:mode=ww", Snapshot.of(Weights(a=weight * 1e-4)))
    (alpha,) = [value for key, _, value in found.rows if key == "htsr:mode=ww/alpha"]
    assert math.isnan(alpha)  # nothing of this matrix exceeds 1e-5


def test_the_threshold_of_weightwatcher_for_kernels() -> None:
    """Values of WeightWatcher 0.7.5.5, whose eigenvalues of a kernel of 4 positions are a quarter of ours."""
    kernel = torch.from_numpy(np.random.default_rng(9).standard_t(2, (16, 12, 2, 2)) * 4e-4).float()
    law = htsr.fit(kernel, mode="ww")
    assert (law.alpha, law.xmin / 4) == pytest.approx((2.35293362, 1.00068987e-5), rel=1e-6)
    assert (law.tail_count, law.count) == (10, 10)
    assert htsr.fit(kernel).tail_count == 17
    assert htsr.fit(kernel, mode="ww", layout="flat").xmin > 1e-5
    summary, _ = htsr.spectral_summary(kernel, mode="ww")
    measured = reading("htsr:mode=ww", a=kernel)
    assert summary["alpha"] == measured["htsr:mode=ww/alpha@a"] == law.alpha


def test_all_share_one_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = Snapshot.of(zoo.animal("mlp").model)
    matrices = len(snapshot.matrices())
    calls = 0
    plain = spectra.slice_values

    def counted(*args, **options):
        nonlocal calls
        calls += 1
        return plain(*args, **options)

    monkeypatch.setattr(spectra, "slice_values", counted)
    for measure in ("norms", "spectra", "htsr", "marchenko_pastur"):
        evaluate(measure, snapshot)
    assert calls == matrices


def test_split_fused_recurrent_and_tied_weights_have_a_spectrum_each() -> None:
    for name, expected in (
        ("gpt", ("blocks.0.attn.c_attn.weight[query]", "wte.weight")),
        ("lstm", ("lstm.weight_hh_l0[forget]",)),
        ("cnn", ("conv1.weight",)),
    ):
        snapshot = Snapshot.of(zoo.animal(name).model)
        found = evaluate("norms", snapshot)
        modules = [module for key, module, _ in found.rows if key == "norms/spectral"]
        assert set(expected) <= set(modules)
        assert "lm_head.weight" not in modules
        assert len(modules) == len(set(modules))
        for matrix in snapshot.matrices():
            values = torch.linalg.svdvals(matrix.matrix.double())
            torch.testing.assert_close(snapshot.singular_values(matrix.name), values, rtol=1e-8, atol=1e-9)


def test_kernels_pooled_and_flat() -> None:
    conv = nn.Conv2d(6, 8, 3)
    pooled = evaluate("htsr", Snapshot.of(conv))
    flat = evaluate("htsr:layout=flat,least=5", Snapshot.of(conv))
    alphas = {key: value for r in (pooled, flat) for key, _, value in r.rows if key.endswith("/alpha")}
    assert alphas["htsr/alpha"] == pytest.approx(htsr.alpha(conv.weight), rel=1e-9)
    expected = htsr.alpha(conv.weight, layout="flat")
    assert alphas["htsr:layout=flat,least=5/alpha"] == pytest.approx(expected, rel=1e-9)
    with pytest.raises(DoesNotApply, match="at least 10 eigenvalues; this model has none"):
        evaluate("htsr:layout=flat", Snapshot.of(conv))


def test_weights_that_went_wrong_give_nan_and_spare_the_others() -> None:
    good = torch.randn(12, 16, generator=torch.Generator().manual_seed(0))
    bad = good.clone()
    bad[3, 3] = math.nan
    for measure in NAMES:
        found = reading(measure, a=bad, b=good, c=torch.zeros(12, 16))
        for key, value in found.items():
            if key.endswith("@a"):
                assert math.isnan(value), key
            assert not math.isinf(value), key
    alphas = reading("htsr", a=bad, b=good)
    assert alphas["htsr/mean_alpha"] == alphas["htsr/alpha@b"]
    zeros = reading("norms", c=torch.zeros(12, 16))
    assert zeros["norms/l2@c"] == zeros["norms/spectral@c"] == 0


@pytest.mark.parametrize("measure", NAMES)
def test_a_model_without_matrices_is_told_of(measure: str) -> None:
    with pytest.raises(DoesNotApply, match=rf"^{measure} looks at weight matrices; this model has none"):
        evaluate(measure, Snapshot.of(Weights(bias=torch.ones(4))))


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (1, 1), (12, 12)])
def test_narrow_and_rank_one_matrices(shape: tuple[int, int]) -> None:
    numbers, eigenvalues = htsr.spectral_summary(torch.ones(shape))
    assert len(eigenvalues) == min(shape)
    assert numbers["stable_rank"] == pytest.approx(1)
    assert numbers["numerical_rank"] == 1
    assert math.isnan(numbers["alpha"])
    assert not any(math.isinf(value) for value in numbers.values())
    with pytest.raises(UsageError, match="a power law needs at least 2"):
        htsr.alpha(torch.ones(shape))


def test_the_summary_is_what_the_measures_say() -> None:
    weight = golden("G3").float()
    numbers, eigenvalues = htsr.spectral_summary(weight)
    torch.testing.assert_close(eigenvalues, spectra.eigenvalues(weight))
    found = {}
    for measure in ("norms", "spectra", "htsr", "marchenko_pastur", "weight_entropy"):
        found |= {key.partition("/")[2].partition("@")[0]: value for key, value in reading(measure, a=weight).items()}
    names = {"spectral_norm": "spectral", "nuclear_norm": "nuclear", "mp_upper": "upper", "mp_spikes": "spikes"}
    names |= {"absolute_entropy": "absolute", "normalised_entropy": "normalised"}
    compared = [key for key in numbers if names.get(key, key) in found and key not in ("sigma",)]
    assert len(compared) > 20
    for key in compared:
        assert numbers[key] == pytest.approx(found[names.get(key, key)], rel=1e-9, nan_ok=True), key


def test_intervals_are_an_option_and_hold_alpha() -> None:
    snapshot = Snapshot.of(Weights(a=golden("P2")))
    found = {key.partition("/")[2]: value for key, _, value in evaluate("htsr:resamples=40", snapshot).rows}
    assert found["alpha_low"] < found["alpha"] < found["alpha_high"]
    again = evaluate(named("htsr:resamples=40"), Snapshot.of(Weights(a=golden("P2"))))
    assert isinstance(again, Reading)
    assert {key.partition("/")[2]: value for key, _, value in again.rows} == found


def test_bad_modes_and_names_are_told_of() -> None:
    with pytest.raises(UsageError, match="unknown mode 'www': did you mean 'ww'"):
        htsr.alpha(torch.ones(3, 3), mode="www")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown mode 'w': did you mean 'ww'"):
        evaluate("htsr:mode=w", Snapshot.of(Weights(a=torch.ones(20, 20))))
    with pytest.raises(UsageError, match="unknown weight matrix 'b'"):
        Snapshot.of(Weights(a=torch.ones(2, 2))).singular_values("b")
