"""Against scikit-learn: ridge probes, principal components, kernel densities, mutual information, centred kernels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import zoo
from grokscope.linalg import information, kernels
from grokscope.linalg.cka import linear_cka
from grokscope.linalg.feature_spectrum import feature_ranks, feature_variances
from grokscope.linalg.marchenko_pastur import kernel_density
from grokscope.linalg.moments import moments
from grokscope.linalg.ridge import ridge_probes
from grokscope.measures.base import named
from grokscope.snapshot import Snapshot

pytestmark = pytest.mark.referee
pytest.importorskip("sklearn", reason="scikit-learn is not installed: make referee installs it")

from sklearn.decomposition import PCA  # noqa: E402
from sklearn.kernel_ridge import KernelRidge  # noqa: E402
from sklearn.linear_model import Ridge, RidgeClassifier  # noqa: E402
from sklearn.metrics import mutual_info_score  # noqa: E402
from sklearn.metrics.pairwise import euclidean_distances  # noqa: E402
from sklearn.neighbors import KernelDensity  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import KBinsDiscretizer, KernelCenterer, StandardScaler  # noqa: E402


def blobs(count: int = 200, units: int = 7, classes: int = 4, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return clusters with units of different scales, far from 0: (count, units), and their classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    centres = torch.randn(classes, units, generator=generator, dtype=torch.float64)
    samples = centres[labels] + torch.randn(count, units, generator=generator, dtype=torch.float64)
    return samples * torch.logspace(-2, 2, units, dtype=torch.float64) + 30, labels


@pytest.mark.parametrize("penalty", [1e-3, 0.5])
def test_ridge(penalty: float) -> None:
    samples, labels = blobs()
    probe = ridge_probes(moments(samples, labels), [penalty])[0]
    hot = torch.nn.functional.one_hot(labels).double()
    # theirs is of sums over examples, ours of means
    theirs = make_pipeline(StandardScaler(), Ridge(alpha=penalty * len(samples)))
    expected = theirs.fit(samples.numpy(), hot.numpy()).predict(samples.numpy())
    scores = samples @ probe.weights + probe.bias
    torch.testing.assert_close(scores, torch.from_numpy(expected), rtol=0, atol=1e-10)


@pytest.mark.parametrize("animal", ["mlp", "cnn"])
def test_linear_probes_of_a_network(animal: str) -> None:
    found = zoo.animal(animal, train=120, test=60)
    measured = named("linear_probe").compute(Snapshot.of(found.model, train=found.train, test=found.test))  # type: ignore[misc]
    layer, whole = {"mlp": ("1", lambda out: out), "cnn": ("conv2", lambda out: out.mean((2, 3)))}[animal]
    seen: list[Tensor] = []
    found.model.eval().get_submodule(layer).register_forward_hook(lambda *args: seen.append(whole(args[2]).detach()))
    for inputs, _ in (found.train, found.test):
        found.model(inputs)
    train, test = (features.double().numpy() for features in seen)
    classifier = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1e-3 * len(train)))
    classifier.fit(train, found.train[1].numpy())
    assert measured["train"][layer] == classifier.score(train, found.train[1].numpy())
    assert measured["test"][layer] == classifier.score(test, found.test[1].numpy())


def test_principal_components() -> None:
    samples, _ = blobs(seed=1)
    variances = feature_variances(samples)
    theirs = PCA(svd_solver="full").fit(samples.numpy())
    # ours are eigenvalues of the covariance: known to ε of the largest, 1e-16 · 1e4, beside the smallest of 1e-4
    np.testing.assert_allclose(variances.numpy(), theirs.explained_variance_, rtol=1e-7)
    shares = np.sqrt(theirs.explained_variance_) / np.sqrt(theirs.explained_variance_).sum()
    effective = math.exp(-(shares * np.log(shares)).sum())
    assert feature_ranks(variances)["effective"] == pytest.approx(effective, rel=1e-9)
    for explained in (0.5, 0.9, 0.999):
        chosen = PCA(n_components=explained, svd_solver="full").fit(samples.numpy())
        assert feature_ranks(variances, explained=explained)["components"] == chosen.n_components_


def test_the_density_that_bulks_are_fitted_to() -> None:
    values = np.random.default_rng(2).chisquare(3, 150)
    points = np.linspace(0, values.max() + 0.5, 1000)
    theirs = np.exp(KernelDensity(kernel="linear", bandwidth=0.1).fit(values[:, None]).score_samples(points[:, None]))
    np.testing.assert_allclose(kernel_density(values, points, 0.1), theirs, atol=1e-12)


@pytest.mark.parametrize(("bound", "widening"), [("upper", 1.0), ("lower", 2.0)])
def test_kernel_information(bound: str, widening: float) -> None:
    """It is the entropy of a normal kernel density at its own samples, less that of the noise."""
    samples, labels = blobs(units=4, seed=3)
    distances = information.squared_distances(samples)
    np.testing.assert_allclose(
        distances.numpy(), euclidean_distances(samples.numpy() - samples.numpy().mean(0), squared=True), atol=1e-8
    )
    variance = 40.0

    def one(part: Tensor) -> float:
        width = widening * math.sqrt(variance)
        logs = KernelDensity(kernel="gaussian", bandwidth=width).fit(part.numpy()).score_samples(part.numpy())
        return float(-logs.mean() - part.shape[1] / 2 * math.log(2 * math.pi * width**2))

    inside = sum(float((labels == k).double().mean()) * one(samples[labels == k]) for k in range(4))
    found = information.kernel_information(distances, variance, labels, bound=bound)
    assert (found.input, found.label) == pytest.approx((one(samples), one(samples) - inside), rel=1e-9)


def test_binned_information() -> None:
    samples, labels = blobs(units=2, seed=4)
    binned = KBinsDiscretizer(6, encode="ordinal", strategy="uniform").fit_transform(samples.numpy())
    cells = (binned @ [6, 1]).astype(int)
    found = information.binned_information(samples, labels, bins=6)
    assert found.label == pytest.approx(mutual_info_score(cells, labels.numpy()), rel=1e-9)
    assert found.input == pytest.approx(mutual_info_score(cells, cells), rel=1e-9)


def test_centred_kernels() -> None:
    (x, labels), (y, _) = blobs(40, seed=5), blobs(40, 90, seed=6)
    one, other = (KernelCenterer().fit_transform((z @ z.T).numpy()) for z in (x, y))
    cosine = (one * other).sum() / (np.linalg.norm(one) * np.linalg.norm(other))
    assert linear_cka(x, y) == pytest.approx(cosine, rel=1e-9)
    hot = torch.nn.functional.one_hot(labels).double()
    label_kernel = KernelCenterer().fit_transform((hot @ hot.T).numpy())
    cosine = (one * label_kernel).sum() / (np.linalg.norm(one) * np.linalg.norm(label_kernel))
    assert float(kernels.alignment(x @ x.T, hot)) == pytest.approx(cosine, rel=1e-9)


def test_kernel_regression() -> None:
    (x, _), (z, _) = blobs(50, seed=7), blobs(9, seed=8)
    targets, kernel, cross = x[:, :2].sin(), torch.exp(-torch.cdist(x, x) / 50), torch.exp(-torch.cdist(z, x) / 50)
    theirs = KernelRidge(alpha=0.1 * float(kernel.trace()) / 50, kernel="precomputed")
    expected = theirs.fit(kernel.numpy(), targets.numpy()).predict(cross.numpy())
    found = kernels.regression(kernel, targets, cross, ridge=0.1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)
