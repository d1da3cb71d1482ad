"""Label noise on diagonal networks: against autograd, against the weight decay it amounts to, and against itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from driving import Training
from grokscope.errors import CheckpointError, UsageError
from grokscope.learners import label_noise
from grokscope.learners.base import StateDict
from grokscope.rng import generator
from grokscope.spec import Spec, override, resolve

TREE: dict[str, Any] = {
    "task": {"name": "sparse-regression", "dimension": 12, "examples": 7, "test_examples": 20},
    "model": {"name": "diagonal-network", "initial_norm": 3.0},
    "learner": {"name": "label-noise", "learning_rate": 0.01, "noise": 0.5},
    "numerics": {"dtype": "float64"},
}


def spec(seed: int = 100, **changes: Any) -> Spec:
    return resolve(override(TREE, {key.replace("__", "."): value for key, value in changes.items()}), seed=seed)


def by_autograd(one: Spec, steps: int) -> dict[str, torch.Tensor]:
    """Make the steps directly: the model's own forward, torch's gradient, the draws by their names."""
    task = one.task.build(one.seed)
    assert one.model is not None
    model = one.model.build(task.facts, generator(one.seed.init, "init")).double()
    settings: Any = one.learner
    assert task.train is not None
    inputs, targets = task.train.inputs, task.train.targets
    assert targets is not None
    for step in range(steps):
        block, place = divmod(step, label_noise.BLOCK)
        shape = (label_noise.BLOCK,)
        row = torch.randint(len(targets), shape, generator=generator(one.seed.order, "example", block))[place]
        drawn = torch.randn(*shape, generator=generator(one.seed.noise, "label", block), dtype=torch.float64)[place]
        loss = (model(inputs[row][None])[0, 0] - targets[row, 0] - settings.noise * drawn).square()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= settings.learning_rate * gradient
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def test_equals_the_update_by_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_noise, "BLOCK", 16)
    monkeypatch.setattr(label_noise, "LARGEST_GATHER", 5 * 24)  # five steps are laid out at a time
    found = Training([spec()]).advance(40).parameters()
    expected = by_autograd(spec(), 40)
    for name in ("u", "v"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-12, atol=1e-14)
    assert not torch.equal(found["u"], found["v"])


def test_an_ensemble_equals_its_members_alone_and_they_may_differ() -> None:
    members = [
        spec(),
        spec(101, learner__learning_rate=0.005, task__examples=5),
        spec(102, learner__noise=0.0, model__initial_norm=2.0),
    ]
    together = Training(members).advance(1500)
    for index, one in enumerate(members):
        alone = Training([one]).advance(1500)
        for name, tensor in alone.parameters().items():
            torch.testing.assert_close(together.parameters(index)[name], tensor, rtol=1e-10, atol=1e-12)


def test_every_partition_and_every_restart_gives_the_same_bits() -> None:
    straight = Training([spec(), spec(101)]).advance(3000)
    parts = Training([spec(), spec(101)]).advance(1, 7, 1016, 300)
    parts.restore(parts.stored())
    parts.advance(1, 1675)
    assert parts.stored() == straight.stored()


def test_single_precision_is_close_to_double() -> None:
    double = Training([spec()]).advance(300).parameters()
    single = Training([spec(numerics__dtype="float32")]).advance(300).parameters()
    assert single["u"].dtype == torch.float32
    torch.testing.assert_close(single["u"].double(), double["u"], rtol=1e-3, atol=1e-4)


def test_snapshot_knows_the_update_that_leaves_it_and_the_decay_it_amounts_to() -> None:
    training = Training([spec()]).advance(1023)
    snapshot = training.learner.snapshot(training.state)
    record = snapshot.trial_step()
    assert record is not None
    assert snapshot.clocks == {"time": pytest.approx(10.23)}
    after = training.advance(1).parameters()
    for name in ("u", "v"):
        torch.testing.assert_close(record.after[name], after[name], rtol=1e-12, atol=0)
        moved = record.before[name] - 0.01 * record.gradient[name]
        torch.testing.assert_close(moved, record.after[name], rtol=1e-12, atol=0)
    inputs = snapshot.probe("train").inputs
    assert snapshot.descent is not None
    assert snapshot.descent.weight_decay == pytest.approx(8 * 0.01 * 0.25 * float(inputs.square().mean()))
    assert not snapshot.descent.full_batch
    logged = training.learner.scalars(training.state)["step/loss", None]
    later = training.learner.snapshot(training.state)
    targets = later.probe("train").targets
    assert targets is not None
    assert logged == pytest.approx(float((later.logits("train") - targets).square().mean()))


def test_without_noise_nothing_decays() -> None:
    """Then an interpolating network is a fixed point: u² + v² stops, as at no other noise it does."""
    quiet = Training([spec(learner__noise=0.0)]).advance(20_000)
    before = quiet.parameters()["u"]
    torch.testing.assert_close(quiet.advance(2000).parameters()["u"], before, rtol=1e-9, atol=0)
    assert quiet.learner.scalars(quiet.state)["step/loss", None] < 1e-20


def test_norm_decays_as_by_weight_decay_of_eight_times_rate_and_variance() -> None:
    """In the kernel regime ‖θ‖ is √(2a² Σ_j e^{−2λ_j t}), λ_j = 8ησ² m_j, within two parts in a hundred."""
    sizes = {"task__dimension": 50, "task__examples": 30, "model__initial_norm": 7.0}
    members = [spec(seed, **sizes, learner__learning_rate=1e-3, learner__noise=1.0) for seed in range(100, 108)]
    training = Training(members).advance(40_000)
    ratios = []
    for index in range(len(members)):
        inputs = training.learner.snapshot(training.state, index).probe("train").inputs
        decay = 8 * 1e-3 * inputs.square().mean(0)
        norm = torch.cat(list(training.parameters(index).values())).norm()
        ratios.append(float(norm / (0.98 * torch.exp(-2 * decay * 40)).sum().sqrt()))
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)
    assert math.exp(-8e-3 * 40) < 0.75  # which is far from no decay


def test_divergence_is_a_loss_that_is_not_finite() -> None:
    training = Training([spec(learner__learning_rate=1.0)]).advance(200)
    assert not math.isfinite(training.learner.scalars(training.state)["step/loss", None])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "mlp"}}, "trains a diagonal network"),
        ({"optimizer": {"name": "sgd", "learning_rate": 0.1}}, "has no optimizer"),
        ({"task": {"name": "toy-stream"}}, "a finite set of labelled examples"),
        ({"task": {"name": "toy-teacher", "emphasis": 1.0}}, "that count alike"),
        ({"task": {"name": "sparse-classification", "dimension": 5}}, "choose a regression task"),
    ],
)
def test_wrong_use_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Training([resolve({**TREE, **changes}, seed=0)])


def test_wrong_members_numbers_and_checkpoints_are_told() -> None:
    with pytest.raises(UsageError, match="inputs of one dimension"):
        Training([spec(), spec(task__dimension=13)])
    with pytest.raises(UsageError, match="learning_rate"):
        spec(learner__learning_rate=0.0)
    with pytest.raises(UsageError, match="noise"):
        spec(learner__noise=-1.0)
    training = Training([spec()])
    with pytest.raises(CheckpointError, match="another training"):
        training.learner.restore(training.specs, training.tasks, StateDict({}, {"step": 3}))
