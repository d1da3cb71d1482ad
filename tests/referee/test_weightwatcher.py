"""Against WeightWatcher 0.7.5.5: tails, bulks, shuffles and ranks of models that are not in the golden list.

Both take float32 weights to float64 before the SVD: equal up to its rounding, unless a comment says why not.
"""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from grokscope.errors import UsageError
from grokscope.linalg import marchenko_pastur, shuffles, spectra, tails
from grokscope.measures.base import evaluate
from grokscope.measures.htsr import fit
from grokscope.snapshot import Snapshot

pytestmark = [pytest.mark.referee, pytest.mark.filterwarnings("ignore:Passing a dict to DataFrame.from_records")]
with redirect_stdout(io.StringIO()):
    ww = pytest.importorskip("weightwatcher", reason="weightwatcher is not installed: make referee installs it")

SEED = 3
POSITIONS = {"0.weight": 9, "1.weight": 3, "2.weight": 1, "3.weight": 1}
ALONE = "4.weight"
"""A kernel with one axis, which WeightWatcher leaves out."""
SIGMA_STEP = 1e-4
"""Both stop Nelder and Mead where σ moves by less than this."""
Rows = dict[str, dict[str, Any]]


def matrix(rows: int, columns: int, seed: int) -> nn.Linear:
    layer = nn.Linear(columns, rows, bias=False)
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(seed))
    return layer


def watched(model: nn.Module, **options: Any) -> Rows:
    """Return what WeightWatcher says of each layer, by the name of its weight."""
    logging.getLogger("weightwatcher").setLevel(logging.ERROR)
    np.random.seed(SEED)
    found = ww.WeightWatcher(model=model).analyze(**options).to_dict("records")
    return {f"{row['longname']}.weight": row for row in found}


def measured(model: nn.Module, *measures: str) -> Rows:
    """Return what measures say of each matrix."""
    found: Rows = {}
    for name in measures:
        for key, weight, number in evaluate(name, Snapshot.of(model)).rows:
            found.setdefault(weight or "", {})[key] = number
    return found


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """Return kernels with more outputs and more inputs, a heavy-tailed matrix with fingers, and a square one."""
    made = nn.Sequential(
        nn.Conv2d(12, 16, 3), nn.Conv2d(20, 14, (3, 1)), matrix(120, 150, 1), matrix(64, 64, 2), nn.Conv1d(20, 30, 3)
    )
    for kernel in (made[0], made[1], made[4]):
        nn.init.normal_(kernel.weight, generator=torch.Generator().manual_seed(11))
    made[2].weight.data = torch.from_numpy(np.random.default_rng(10).standard_t(3, (120, 150))).float()
    return made


@pytest.fixture(scope="module")
def theirs(model: nn.Module) -> Rows:
    return watched(model, randomize=True, mp_fit=True, detX=True)


@pytest.fixture(scope="module")
def ours(model: nn.Module) -> Rows:
    return measured(model, "htsr", "htsr:mode=ww", "marchenko_pastur", "spectra")


def test_it_looks_at_the_layers_we_think(theirs: Rows, ours: Rows) -> None:
    assert set(theirs) == set(POSITIONS)
    assert set(ours) == {*POSITIONS, ALONE, ""}
    assert ours[ALONE]["htsr/alpha"] > 1


@pytest.mark.parametrize("name", POSITIONS)
@pytest.mark.parametrize("mode", ["htsr", "htsr:mode=ww"])
def test_tail(name: str, mode: str, theirs: Rows, ours: Rows) -> None:
    row, own = theirs[name], ours[name]
    # it does not multiply pooled kernels by P, see below
    factor = POSITIONS[name]
    shift = row["alpha"] * np.log10(factor)
    expected = {
        "alpha": row["alpha"],
        "distance": row["D"],
        "sigma": row["sigma"],
        "tail_count": row["num_pl_spikes"],
        "xmin": factor * row["xmin"],
        "xmax": factor * row["xmax"],
        "alpha_hat": row["alpha_weighted"] + shift,
        "log_alpha_norm": row["log_alpha_norm"] + shift,
        "erg_gap": row["detX_num"] - row["num_pl_spikes"],
    }
    assert {key: own[f"{mode}/{key}"] for key in expected} == pytest.approx(expected, rel=1e-6)


def test_tail_without_fingers(model: nn.Module, ours: Rows) -> None:
    rows = watched(model, fix_fingers="clip_xmax")
    for name, row in rows.items():
        assert ours[name]["htsr/clipped_alpha"] == pytest.approx(row["alpha"], rel=1e-6)
        assert ours[name]["htsr/fingers"] == row["num_fingers"]
    assert any(row["num_fingers"] for row in rows.values())


@pytest.mark.parametrize("name", POSITIONS)
def test_bulk(name: str, theirs: Rows, ours: Rows) -> None:
    row, own = theirs[name], ours[name]
    assert own["marchenko_pastur/sigma"] == pytest.approx(row["sigma_mp"], rel=SIGMA_STEP)
    # both are squares of σ
    assert own["marchenko_pastur/softrank"] == pytest.approx(row["mp_softrank"], rel=2 * SIGMA_STEP)
    assert own["marchenko_pastur/upper"] == pytest.approx(POSITIONS[name] * row["bulk_max"], rel=2 * SIGMA_STEP)
    assert own["marchenko_pastur/spikes"] == row["num_spikes"]


@pytest.mark.parametrize("name", ["2.weight", "3.weight"])
def test_ranks_and_norms(name: str, theirs: Rows, ours: Rows) -> None:
    """Of matrices: it pools the positions of a kernel here as well, ours lay it flat."""
    pairs = {
        "stable_rank": "stable_rank",
        "spectral_entropy": "entropy",  # it adds 1e-10 to every share
        "log_norm": "log_norm",
        "log_spectral_norm": "log_spectral_norm",
        "numerical_rank": "matrix_rank",
        "rank_loss": "rank_loss",
        "detx_count": "detX_num",
        "detx_value": "detX_val",
    }
    own = [ours[name][f"spectra/{key}"] for key in pairs]
    assert own == pytest.approx([theirs[name][key] for key in pairs.values()], rel=1e-6)


def test_shuffles_in_its_order(model: nn.Module, theirs: Rows) -> None:
    """Ours in the order that NumPy's global generator gives it, which it draws from matrix after matrix."""
    legacy = np.random.RandomState(SEED)
    for name, count in POSITIONS.items():
        weight = model.get_parameter(name).detach()
        rows, columns = weight.shape[:2]
        # it takes entries as they lie in a matrix, and in the matrices of a kernel laid upright; ours are laid flat
        turn = rows > columns or (rows < columns and count > 1)
        slices = [one.mT if turn else one for one in spectra.as_slices(weight)]

        def shuffle(slices: list[torch.Tensor] = slices) -> torch.Tensor:
            found = []
            for one in slices:
                entries = one.flatten().numpy().copy()
                legacy.shuffle(entries)
                found.append(spectra.eigenvalues(torch.from_numpy(entries).view(one.shape)))
            return torch.cat(found)

        # five are added up where there are fewer than 100 eigenvalues
        fitted = torch.cat([shuffle() for _ in range(5 if count * min(rows, columns) < 100 else 1)])
        compared, own, row = shuffle(), spectra.eigenvalues(weight), theirs[name]
        found = marchenko_pastur.fit(fitted, (rows, columns))
        assert found.sigma == pytest.approx(row["rand_sigma_mp"], rel=SIGMA_STEP)
        assert found.spikes == row["rand_num_spikes"]
        assert float(fitted.max()) / count == pytest.approx(row["max_rand_eval"], rel=1e-6)
        assert shuffles.spectrum_distance(own, compared) == pytest.approx(row["rand_distance"], rel=1e-6)
        assert float(compared.max() / own.max()) == pytest.approx(row["ww_softrank"], rel=1e-6)


@pytest.mark.parametrize("scale", [3e-4, 4e-4, 4.5e-4])
def test_a_kernel_cut_by_its_threshold(scale: float) -> None:
    kernel = nn.Conv2d(12, 16, 2, bias=False)
    kernel.weight.data = torch.from_numpy(np.random.default_rng(9).standard_t(2, (16, 12, 2, 2)) * scale).float()
    (row,) = watched(nn.Sequential(kernel)).values()
    law = fit(kernel.weight, mode="ww")
    assert (law.alpha, law.xmin) == pytest.approx((row["alpha"], 4 * row["xmin"]), rel=1e-6)
    assert law.tail_count == row["num_pl_spikes"]
    assert row["alpha"] != pytest.approx(fit(kernel.weight).alpha, rel=0.01)


def test_powerlaw() -> None:
    """The package that it wraps, version 1.5."""
    values = np.random.default_rng(8).pareto(1.7, 300) + 1
    found = pytest.importorskip("powerlaw").Fit(values, verbose=False)
    law = tails.power_law(torch.from_numpy(values))
    theirs = (found.alpha, found.xmin, found.D, found.sigma)
    assert (law.alpha, law.xmin, law.distance, law.sigma) == pytest.approx(theirs, rel=1e-9)


# -- where ours is different on purpose ------------------------------------------------------------


def test_a_kernel_has_the_scale_of_its_positions_alone(model: nn.Module, ours: Rows) -> None:
    """Times √(P/2): it does so where positions are not pooled, and √(1/2) where they are."""
    frame = ww.WeightWatcher(model=model).analyze(pool=False)
    for name in ("0.weight", "1.weight"):
        largest = frame[frame["longname"] == name.removesuffix(".weight")]["lambda_max"].max()
        assert ours[name]["htsr/xmax"] == pytest.approx(largest, rel=1e-6)


def test_a_kernel_of_even_size_with_more_inputs_than_outputs() -> None:
    """It takes its sides for one another, and fits a law of the wrong shape; the transposed kernel has ours."""
    kernel = torch.randn(14, 20, 2, 2, generator=torch.Generator().manual_seed(2))
    upright, flat = nn.Conv2d(14, 20, 2, bias=False), nn.Conv2d(20, 14, 2, bias=False)
    upright.weight.data, flat.weight.data = kernel.transpose(0, 1).contiguous(), kernel
    (wrong,), (right,) = (watched(nn.Sequential(one), mp_fit=True).values() for one in (flat, upright))
    own = measured(nn.Sequential(flat), "marchenko_pastur")["0.weight"]["marchenko_pastur/sigma"]
    assert (wrong["Q"], right["Q"]) == (14 / 20, 20 / 14)
    assert own == pytest.approx(right["sigma_mp"], rel=SIGMA_STEP)
    assert abs(own - wrong["sigma_mp"]) > 0.1


def test_a_small_weight() -> None:
    """Its threshold is absolute: there nothing is left to fit, and it warns of over-training. Our α is the same."""
    layer = matrix(40, 80, 4)
    before = fit(layer.weight).alpha
    layer.weight.data *= 1e-4
    (row,) = watched(nn.Sequential(layer)).values()
    assert (row["alpha"], row["status"], row["warning"]) == (-1, "failed", "over-trained")
    # the product is rounded to float32, 6e-8 of each entry
    assert fit(layer.weight).alpha == pytest.approx(before, rel=1e-5)
    with pytest.raises(UsageError, match="exceed 1e-05"):
        fit(layer.weight, mode="ww")


def test_traps_are_the_mean_over_shuffles() -> None:
    """It gives the sum over five where there are fewer than 100 eigenvalues."""
    layer = matrix(60, 90, 5)
    layer.weight.data[7, 11] = 40.0
    (row,) = watched(nn.Sequential(layer), randomize=True, mp_fit=True).values()
    found = measured(nn.Sequential(layer), "correlation_traps")["0.weight"]
    counts = [found[f"correlation_traps/{key}"] for key in ("traps_ww", "traps")]
    assert (row["rand_num_spikes"], counts) == (5, [1, 1])
