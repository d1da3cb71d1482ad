"""The measure ntk: its numbers on a model with a closed form, options, what it leaves out and what it says."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import zoo
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.linalg import kernels
from grokscope.linalg.jacobians import jacobian
from grokscope.linalg.quadratic_student import student, tangent_kernel
from grokscope.measures.base import DoesNotApply, battery, evaluate, named
from grokscope.measures.ntk import NTK, measure
from grokscope.measures.sampled import real_targets
from grokscope.snapshot import Snapshot


class Toy(nn.Module):
    """The quadratic network of Kumar et al. 2024."""

    def __init__(self, weights: Tensor, epsilon: float = 0.5) -> None:
        super().__init__()
        self.w = nn.Parameter(weights)
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        hidden = x @ self.w.T
        return (hidden + self.epsilon / 2 * hidden**2).mean(1, keepdim=True)


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def toys() -> tuple[Snapshot, Tensor, Tensor]:
    x, held = draws(12, 3), draws(9, 3, seed=1)
    data = {"train": (x, x[:, :1] ** 2), "test": (held, held[:, :1] ** 2)}
    initial = Snapshot.of(Toy(draws(20, 3, seed=2)), **data)
    return Snapshot.of(Toy(draws(20, 3, seed=3)), initial=initial, **data), x, held


def test_the_numbers_of_a_model_with_a_closed_form() -> None:
    snapshot, x, held = toys()
    now, then = (student(draws(20, 3, seed=seed), alpha=1, epsilon=0.5) for seed in (3, 2))
    kernel, start, y = tangent_kernel(now, x, x), tangent_kernel(then, x, x), x[:, 0] ** 2
    found = measure(snapshot)
    spectrum = kernels.spectrum(kernel)
    predicted = kernels.regression(kernel, y, tangent_kernel(now, held, x))[:, 0]
    error = (predicted - held[:, 0] ** 2).square().mean()
    expected = {
        "alignment": kernels.alignment(kernel, y),
        "alignment_one_sided": kernels.alignment(kernel, y, centring="one-sided"),
        "alignment_raw": kernels.alignment(kernel, y, centring="none"),
        "distance": kernels.distance(kernel, start),
        "movement": kernels.movement(kernel, start),
        "parameter_movement": (draws(20, 3, seed=3) - draws(20, 3, seed=2)).norm() / draws(20, 3, seed=2).norm(),
        "trace": kernel.trace(),
        "top_eigenvalue": spectrum.top,
        "frobenius": kernel.norm(),
        "effective_rank": spectrum.effective_rank,
        "participation_ratio": spectrum.participation_ratio,
        "rank": spectrum.rank,
        "condition": spectrum.condition,
        "difficulty": y @ torch.linalg.pinv(kernel, rtol=1e-12, hermitian=True) @ y,
        "laziness": (y @ torch.linalg.pinv(kernel, rtol=1e-12, hermitian=True) @ y).sqrt()
        / draws(20, 3, seed=3).norm(),
        "regression_error": error,
        "regression_error_relative": error / (held[:, 0] ** 4).mean(),
        "examples": 12,
        "directions": 0,
    }
    assert set(found) == set(expected)
    # 9 of 12 eigenvalues count; the smallest of them loses some digits
    assert {k: float(v) for k, v in found.items()} == pytest.approx(
        {k: float(v) for k, v in expected.items()}, rel=1e-6
    )
    assert {f"ntk/{key}" for key in found} == {row[0] for row in evaluate("ntk", snapshot).rows}
    assert set(found) | {"regression_accuracy"} == set(NTK.keys)


def test_at_the_start_nothing_has_moved() -> None:
    _, x, _ = toys()
    start = Snapshot.of(Toy(draws(20, 3, seed=2)), train=(x, None))  # type: ignore[arg-type]
    found = measure(Snapshot.of(Toy(draws(20, 3, seed=2)), train=(x, None), initial=start))  # type: ignore[arg-type]
    assert [float(found[key]) for key in ("movement", "parameter_movement")] == [0, 0]
    assert float(found["distance"]) == pytest.approx(0, abs=1e-12)
    assert "alignment" not in found
    tripled = Snapshot.of(Toy(3 * draws(20, 3, seed=2), epsilon=0.0), train=(x, None))  # type: ignore[arg-type]
    linear = Snapshot.of(Toy(draws(20, 3, seed=2), epsilon=0.0), train=(x, None), initial=tripled)  # type: ignore[arg-type]
    assert float(measure(linear)["movement"]) == pytest.approx(0, abs=1e-12)  # linear in w: its kernel stands still
    assert float(measure(linear)["parameter_movement"]) == pytest.approx(2 / 3)


def test_the_regression_from_the_initial_function() -> None:
    snapshot, x, held = toys()
    kernel = tangent_kernel(student(draws(20, 3, seed=3), alpha=1, epsilon=0.5), x, x)
    cross = tangent_kernel(student(draws(20, 3, seed=3), alpha=1, epsilon=0.5), held, x)
    net = Toy(draws(20, 3, seed=3))
    with torch.no_grad():
        predicted = net(held) + kernels.regression(kernel, x[:, :1] ** 2 - net(x), cross, ridge=1e-3)
    found = measure(snapshot, centred=False, ridge=1e-3)
    assert float(found["regression_error"]) == pytest.approx(float((predicted - held[:, :1] ** 2).square().mean()))


def test_classes_sequences_and_options_on_the_zoo() -> None:
    mlp = zoo.animal("mlp")
    snapshot = Snapshot.of(mlp.model, train=mlp.train, test=mlp.test)
    found = measure(snapshot, per_output=True)
    assert found["output_alignment"].shape == (3,)
    each = jacobian(*_whole(snapshot))
    hot = nn.functional.one_hot(mlp.train[1], 3).double()
    assert float(found["alignment"]) == pytest.approx(
        float(kernels.alignment(torch.einsum("icp,jcp->ij", each, each), hot))
    )
    assert float(found["output_alignment"][1]) == pytest.approx(
        float(kernels.alignment(each[:, 1] @ each[:, 1].T, hot[:, 1]))
    )
    assert 0 <= float(found["regression_accuracy"]) <= 1
    few = measure(snapshot, examples=5, megabytes=1)
    assert few["examples"] == 5
    estimated = measure(snapshot, projections=500)
    assert estimated["directions"] == 500
    assert float(estimated["trace"]) == pytest.approx(float(found["trace"]), rel=0.2)
    gpt = zoo.animal("gpt")
    sequences = Snapshot.of(gpt.model, train=gpt.train)
    last = measure(sequences, positions="last")
    assert float(last["trace"]) < float(measure(sequences)["trace"])
    assert 0 <= float(last["alignment"]) <= 1
    assert next(key for key, *_ in evaluate(named("ntk:examples=4,positions=last"), sequences).rows) == (
        "ntk:examples=4,positions=last/trace"
    )


def _whole(snapshot: Snapshot):
    double = snapshot.in_double()
    return double.predict_with, dict(double.parameters), double.probe("train").inputs


def test_frozen_parameters_and_masked_examples_do_not_count() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    x, y = draws(6, 2).float(), torch.tensor([0, 1, 0, 1, 0, 1])
    weights = torch.tensor([1.0, 1, 0, 1, 1, 0])
    found = measure(Snapshot.of(model, train=Batch(x, y, weights)))
    with torch.no_grad():
        hidden = torch.tanh(model[0](x[weights > 0])).double()
    assert found["examples"] == 4
    # K = C (h·h' + 1) for the last layer alone
    assert float(found["trace"]) == pytest.approx(2 * float(hidden.square().sum() + 4), rel=1e-6)


def test_targets_as_real_numbers() -> None:
    hot = real_targets(torch.tensor([[1, -100], [0, 1]]), torch.Size([2, 2]))
    assert hot is not None
    assert hot.tolist() == [[0, 1, 0, 0], [1, 0, 0, 1]]
    assert real_targets(torch.tensor([3]), torch.Size([2])) is None
    assert real_targets(torch.tensor([-1]), torch.Size([2])) is None
    assert real_targets(torch.tensor([1, 0]), torch.Size([1])).tolist() == [[1], [0]]  # type: ignore[union-attr]
    assert real_targets(torch.ones(2, 3), torch.Size([4])) is None


def test_what_it_says_where_it_does_not_apply() -> None:
    x = torch.ones(3, 2)
    broken = nn.Linear(2, 2)
    with torch.no_grad():
        broken.weight[0, 0] = torch.nan
    assert math.isnan(measure(Snapshot.of(broken, train=(x, x)))["trace"])
    with pytest.raises(DoesNotApply, match="none that are real"):
        measure(Snapshot.of(nn.Flatten(), train=(x, x)))
    with pytest.raises(DoesNotApply, match="none that count"):
        measure(Snapshot.of(nn.Linear(2, 2), train=Batch(x, x, torch.zeros(3))))
    with pytest.raises(DoesNotApply, match="this snapshot has none"):
        measure(Snapshot.of(nn.Linear(2, 2), train=(x, x)), probe="other")
    with pytest.raises(UsageError, match="examples = 0"):
        measure(Snapshot.of(nn.Linear(2, 2), train=(x, x)), examples=0)
    with pytest.raises(UsageError, match="positions = 'first'"):
        measure(Snapshot.of(nn.Linear(2, 2), train=(x, x)), positions="first")
    assert "needs train data" in str(battery(Snapshot.of(nn.Linear(2, 2)), ["ntk"])["ntk"])


class Single(nn.Module):
    """Insists on float32."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.float())


def test_a_model_that_insists_on_float32_is_told() -> None:
    with pytest.raises(
        DoesNotApply, match="ntk differentiates the outputs in float64, which this model does not allow"
    ):
        measure(Snapshot.of(Single(), train=(torch.ones(3, 2), torch.ones(3, 2))))
