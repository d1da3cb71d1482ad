"""The numbers WeightWatcher 0.7.5.5 gives for nine matrices."""

from __future__ import annotations

import pytest
import torch

from golden_spectra import GOLDEN, MATRICES
from grokscope.linalg import marchenko_pastur, spectra, tails
from grokscope.measures import htsr

NAMES = list(GOLDEN)


def weight(name: str) -> torch.Tensor:
    return torch.from_numpy(MATRICES[name])


@pytest.mark.parametrize("name", NAMES)
def test_the_matrices_are_those_of_the_record(name: str) -> None:
    assert float((MATRICES[name].astype("float64") ** 2).sum()) == pytest.approx(GOLDEN[name].sum_of_squares, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_tail(name: str) -> None:
    law = htsr.fit(weight(name), mode="ww")
    alpha, distance, xmin, sigma, count, largest = GOLDEN[name].tail
    assert (law.alpha, law.xmin, law.sigma) == pytest.approx((alpha, xmin, sigma), rel=1e-6)
    assert law.distance == pytest.approx(distance, rel=1e-6)
    assert law.tail_count == count
    assert law.xmax == pytest.approx(largest, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_default_differs_by_rounding_to_float32_only(name: str) -> None:
    alpha, distance, xmin, *_ = GOLDEN[name].tail
    law = htsr.fit(weight(name))
    assert (law.alpha, law.xmin) == pytest.approx((alpha, xmin), rel=1e-6)
    assert law.distance == pytest.approx(distance, rel=1e-5)
    assert htsr.alpha(weight(name)) == law.alpha


@pytest.mark.parametrize("name", NAMES)
def test_the_bulk_and_the_determinant(name: str) -> None:
    values = spectra.eigenvalues(weight(name).float())
    found = marchenko_pastur.fit(values, MATRICES[name].shape)
    sigma, spikes, softrank, upper = GOLDEN[name].bulk
    assert (found.sigma, found.softrank, found.upper) == pytest.approx((sigma, softrank, upper), rel=1e-4)
    assert found.spikes == spikes
    count, value = spectra.determinant_tail(values.sqrt())
    assert count == GOLDEN[name].determinant[0]
    assert value == pytest.approx(GOLDEN[name].determinant[1], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "stable", "entropy", "log_alpha_norm", "alpha_hat"),
    [
        ("G1", 89.70029336, 0.975922, 23.06902962, 21.95919544),
        ("P2", 1.22139481, 0.20236541, 12.46912889, 12.46143019),
    ],
)
def test_norms_weighted_with_the_exponent(
    name: str, stable: float, entropy: float, log_alpha_norm: float, alpha_hat: float
) -> None:
    found, _ = htsr.spectral_summary(weight(name), mode="ww")
    assert found["stable_rank"] == pytest.approx(stable, rel=1e-6)
    assert found["spectral_entropy"] == pytest.approx(entropy, rel=1e-6)
    assert found["log_alpha_norm"] == pytest.approx(log_alpha_norm, rel=1e-6)
    assert found["alpha_hat"] == pytest.approx(alpha_hat, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "alpha", "distance", "xmin", "count", "fingers"),
    [
        ("P1", 3.33870648, 0.06623781, 1185.12735841, 23, 0),
        ("P2", 1.64851882, 0.03461098, 4955.23404943, 89, 0),
        ("S1", 3.68384979, 0.14793445, 355.00656864, 54, 3),
        ("T1", 2.85330235, 0.15655237, 967.51992449, 86, 5),
    ],
)
def test_fingers(name: str, alpha: float, distance: float, xmin: float, count: int, fingers: int) -> None:
    values = spectra.eigenvalues(weight(name).float())
    law, found = tails.without_fingers(values, threshold=tails.WW_THRESHOLD)
    assert found == fingers
    assert (law.alpha, law.distance, law.xmin) == pytest.approx((alpha, distance, xmin), rel=1e-6)
    assert int((values >= law.xmin).sum()) == count  # WeightWatcher counts those it dropped too
