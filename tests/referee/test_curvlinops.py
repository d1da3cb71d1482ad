"""Against curvlinops: products with the Hessian and the Gauss-Newton matrix, their ends and their trace, in float64."""

from __future__ import annotations

import pytest
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn

import zoo
from grokscope.linalg.hessian import Composed, Layout, gauss_newton_product, hessian_product
from grokscope.linalg.trace import hutchinson
from grokscope.measures.base import evaluate
from grokscope.measures.curvature import top_eigenvalues
from grokscope.snapshot import Snapshot

pytestmark = pytest.mark.referee
curvlinops = pytest.importorskip("curvlinops", reason="curvlinops is not installed: make referee installs it")

PRODUCTS = {
    "hessian": (hessian_product, curvlinops.HessianLinearOperator),
    "gauss-newton": (gauss_newton_product, curvlinops.GGNLinearOperator),
}


class Case:
    """A model of the zoo with its training loss, theirs over two batches and ours in two parts."""

    def __init__(self, name: str) -> None:
        self.animal = zoo.animal(name)
        self.model = self.animal.model.double().eval()
        inputs, targets = self.animal.train
        self.batches = list(zip(inputs.double().split(16), targets.split(16), strict=True))
        self.parameters = {name: p.detach() for name, p in self.model.named_parameters()}
        self.dimension = Layout.of(self.parameters).dimension
        self.parts = [self._part(x, y, len(y) / len(targets)) for x, y in self.batches]

    def _part(self, x: Tensor, y: Tensor, share: float) -> Composed:
        return Composed(
            lambda tensors: torch.func.functional_call(self.model, tensors, (x,)),
            lambda outputs: share * nn.functional.cross_entropy(outputs, y),
        )

    def theirs(self, kind: str = "hessian"):
        return PRODUCTS[kind][1](self.model, nn.CrossEntropyLoss(), list(self.model.parameters()), self.batches)


@pytest.fixture(scope="module", params=["mlp", "cnn"])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


@pytest.mark.parametrize("kind", PRODUCTS)
def test_products(case: Case, kind: str) -> None:
    ours, theirs = PRODUCTS[kind][0](case.parts, case.parameters), case.theirs(kind)
    vectors = torch.randn(3, case.dimension, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for vector in vectors:
        expected = theirs @ vector
        # sums of about a thousand products of which some cancel: rounding relative to the largest
        torch.testing.assert_close(ours(vector), expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


def test_the_ends_of_the_spectrum(case: Case) -> None:
    largest = eigsh(case.theirs().to_scipy(), k=3, which="LA", return_eigenvectors=False)
    found = top_eigenvalues(case.parts, case.parameters, 3, tolerance=1e-9)
    torch.testing.assert_close(found, torch.from_numpy(largest).sort(descending=True).values, rtol=1e-8, atol=0.0)


def test_the_measure(case: Case) -> None:
    values = torch.linalg.eigvalsh(case.theirs() @ torch.eye(case.dimension, dtype=torch.float64))
    name = "curvature:tolerance=1e-09,trace=hutchinson,trace_products=200"
    reading = evaluate(name, Snapshot.of(case.animal.model, train=case.animal.train))
    found = {key.rpartition("/")[2]: value for key, path, value in reading.rows if path is None}
    assert found["sharpness"] == pytest.approx(float(values[-1]), rel=1e-8)
    assert found["smallest_eigenvalue"] == pytest.approx(float(values[0]), rel=1e-8)
    # an estimate: five of its own standard errors
    assert abs(found["trace"] - float(values.sum())) < 5 * found["trace_error"]


def test_hutchinson_with_the_same_signs(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    one, same = (torch.Generator().manual_seed(2) for _ in range(2))
    ours = hutchinson(hessian_product(case.parts, case.parameters), case.dimension, probes=6, generator=one)
    monkeypatch.setattr(
        "curvlinops.trace.hutchinson.random_vector",
        lambda dimension, *_: torch.randint(2, (dimension,), generator=same).mul(2).sub(1).double(),
    )
    assert ours.value == pytest.approx(float(curvlinops.hutchinson_trace(case.theirs(), 6)), rel=1e-10)
