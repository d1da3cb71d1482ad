"""Kernel classifiers of several classes with maximal margin: by hand, by certificates, by an independent solver."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

import grokscope as gs
from grokscope.errors import UsageError
from grokscope.theory import margin, projected_newton
from grokscope.theory.arrays import Array
from grokscope.theory.margin import Inseparable, MulticlassMargin, kernel_margin, multiclass_margin

SEEDS = st.integers(0, 10_000)


def separable(seed: int, count: int = 12, features: int = 4, classes: int = 3) -> tuple[Array, NDArray[np.intp]]:
    """Return Gaussian features (count, features) and their classes by a random linear classifier, none empty."""
    generator = np.random.default_rng(seed)
    while True:
        x = generator.standard_normal((count, features))
        labels = (x @ generator.standard_normal((features, classes))).argmax(1)
        if len(np.unique(labels)) == classes:
            return x, labels


def leads(found: MulticlassMargin, gram: Array, labels: NDArray[np.intp]) -> Array:
    """Return by how much the right score is ahead of each wrong one, (n, classes - 1)."""
    scores = found.predict(gram)
    rows = np.arange(len(labels))
    wrong = np.arange(scores.shape[1]) != labels[:, None]
    return (scores[rows, labels][:, None] - scores)[wrong].reshape(len(labels), -1)


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(projected_newton).failed == 0


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_orthogonal_examples_one_a_class(classes: int) -> None:
    """Every constraint is active: w_c = e_c − 1/C, ‖W‖² = C − 1."""
    found = gs.theory.multiclass_margin(np.eye(classes), np.arange(classes))
    np.testing.assert_allclose(found.coefficients, np.eye(classes) - 1 / classes, atol=1e-12)
    assert found.norm == pytest.approx(np.sqrt(classes - 1), rel=1e-12)
    assert found.margin == pytest.approx(1 / np.sqrt(classes - 1), rel=1e-12)
    np.testing.assert_allclose(found.dual, (1 - np.eye(classes)) / classes, atol=1e-12)


def test_two_classes_are_the_kernel_classifier() -> None:
    """(w_1 − w_0) = h splits evenly, so that ‖W‖² = ‖h‖²/2."""
    x, labels = separable(1, 20, 4, 2)
    gram = x @ x.T
    found, binary = multiclass_margin(gram, labels), kernel_margin(gram, 2 * labels - 1)
    assert found.norm == pytest.approx(binary.norm / np.sqrt(2), rel=1e-9)
    scores = found.predict(gram)
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], binary.predict(gram), rtol=1e-6)


@pytest.mark.parametrize(("count", "features", "classes"), [(12, 4, 3), (30, 60, 5), (60, 8, 4), (80, 40, 10)], ids=str)
def test_gap_and_optimality_conditions(count: int, features: int, classes: int) -> None:
    x, labels = separable(3, count, features, classes)
    gram = x @ x.T
    found = multiclass_margin(gram, labels, classes)
    assert -1e-12 < found.certificate.gap < 1e-9
    assert found.norm**2 / 2 == pytest.approx(found.certificate.primal, rel=1e-12)
    ahead = leads(found, gram, labels)
    assert ahead.min() == pytest.approx(1, rel=1e-9)
    wrong = np.arange(classes) != labels[:, None]
    assert found.dual.min() >= 0
    assert (found.dual[~wrong] == 0).all()
    assert (found.dual[wrong].reshape(count, -1) * (ahead - 1)).max() < 1e-7 * found.dual.sum()
    np.testing.assert_allclose(found.coefficients.sum(1), 0, atol=1e-9 * np.abs(found.coefficients).max())


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_an_independent_solver(seed: int) -> None:
    x, labels = separable(seed, 8, 3, 3)
    found = multiclass_margin(x @ x.T, labels)
    differences = np.array(
        [
            np.outer(np.eye(3)[right] - np.eye(3)[c], row).ravel()
            for row, right in zip(x, labels, strict=True)
            for c in range(3)
            if c != right
        ]
    )
    theirs = minimize(
        lambda w: w @ w / 2,
        1.1 * (found.coefficients.T @ x).ravel(),
        jac=lambda w: w,
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda w: differences @ w - 1, "jac": lambda _: differences},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert theirs.success
    assert found.certificate.primal == pytest.approx(theirs.fun, rel=1e-6)


@given(SEEDS, st.floats(-6, 6))
@settings(max_examples=8, deadline=None)
def test_invariances(seed: int, exponent: float) -> None:
    x, labels = separable(seed)
    gram = x @ x.T
    plain = multiclass_margin(gram, labels)
    factor = 10.0**exponent
    assert multiclass_margin(factor**2 * gram, labels).margin == pytest.approx(factor * plain.margin, rel=1e-7)
    order = np.random.default_rng(seed).permutation(len(labels))
    permuted = multiclass_margin(gram[np.ix_(order, order)], labels[order])
    assert permuted.margin == pytest.approx(plain.margin, rel=1e-9)
    names = np.random.default_rng(seed).permutation(3)
    renamed = multiclass_margin(gram, names[labels])
    np.testing.assert_allclose(renamed.predict(gram)[:, names], plain.predict(gram), atol=1e-5)
    doubled = multiclass_margin(np.tile(gram, (2, 2)), np.tile(labels, 2))
    assert doubled.margin == pytest.approx(plain.margin, rel=1e-7)


@pytest.mark.parametrize("features", [5, 200])
def test_conjugate_gradients_agree_with_the_factored_matrix(features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = separable(8, 50, features, 5)
    gram = x @ x.T
    dense = multiclass_margin(gram, labels)
    monkeypatch.setattr(margin, "DENSE", 0)
    products = multiclass_margin(gram, labels)
    assert products.certificate.gap < 1e-9
    assert products.margin == pytest.approx(dense.margin, rel=1e-9)
    np.testing.assert_allclose(products.predict(gram), dense.predict(gram), atol=1e-4)
    with pytest.raises(Inseparable):
        multiclass_margin(gram[:3, :3] * 0 + 1, [0, 1, 2])


def test_a_class_without_examples_and_single_precision() -> None:
    x, labels = separable(6, 20, 30)
    gram = x @ x.T
    more = multiclass_margin(gram, labels, 5)
    assert more.coefficients.shape == (20, 5)
    assert leads(more, gram, labels).min() == pytest.approx(1, rel=1e-9)
    assert more.norm > multiclass_margin(gram, labels).norm
    single = multiclass_margin(gram.astype(np.float32), labels.astype(np.int64))
    assert single.margin == pytest.approx(multiclass_margin(gram, labels).margin, rel=1e-5)


def test_inseparable() -> None:
    with pytest.raises(
        Inseparable, match=r"^no classifier on these features is right on all examples, for all that can"
    ):
        multiclass_margin(np.ones((2, 2)), [0, 1])
    generator = np.random.default_rng(0)
    x = generator.standard_normal((40, 3))
    with pytest.raises(Inseparable):
        multiclass_margin(x @ x.T, generator.integers(0, 4, 40))
    with pytest.raises(Inseparable):
        multiclass_margin(np.zeros((2, 2)), [0, 1])


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([1, 1], None, "all labels are 1: with one class there is nothing to tell apart."),
        ([0, 3], 3, "labels has 3: labels are whole numbers of 0 to 2."),
        ([0, -1], 3, "labels has -1: labels are whole numbers of 0 to 2."),
        ([0, 0.5], 2, "labels has 0.5: labels are whole numbers of 0 to 1."),
        ([0, 1, 1], 2, "3 labels were given for 2 examples: give one label an example."),
        ([0, np.nan], 2, "labels has 1 entries that are NaN or infinite: all must be finite."),
    ],
)
def test_bad_labels(labels: Any, classes: int | None, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        multiclass_margin(np.eye(2), labels, classes)
    assert str(caught.value) == message
