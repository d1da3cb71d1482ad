"""Gradients written out equal those of autograd; ensembles that use them, or share data, equal their members alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import toys
from driving import Training
from grokscope.batch import Batch, shared, stack
from grokscope.facts import Facts, InputGeometry, SequenceLayout
from grokscope.learners.closed import SLOPES, Closed
from grokscope.learners.losses import loss_function
from grokscope.learners.output_scale import scale_buffers, scaled
from grokscope.learners.update import gradient
from grokscope.models.settings import MLPSettings
from grokscope.registry import MODELS
from grokscope.rng import generator
from grokscope.spec import Spec, override, resolve

REAL = Facts(outputs=3, classes=3, geometry=InputGeometry(shape=(5,)))
PAIRS = Facts(outputs=4, classes=4, sequence=SequenceLayout(length=2, vocabulary=4))


def model(name: str, facts: Facts, **given: Any) -> Any:
    return lambda seed: MODELS.get(name)(**given).build(facts, generator(seed, "init"))


def mlp(facts: Facts = REAL, **given: Any) -> Any:
    return lambda seed: MLPSettings(**given).build(facts, generator(seed, "init"))


def reals(number: int, outputs: int | None = None) -> Batch:
    inputs = torch.randn(7, 5, generator=generator(number, "inputs"), dtype=torch.float64)
    drawn = torch.randn(7, outputs or 1, generator=generator(number, "targets"), dtype=torch.float64)
    return Batch(inputs, drawn if outputs else torch.randint(3, (7,), generator=generator(number, "classes")))


def pairs(number: int) -> Batch:
    tokens = torch.randint(4, (9, 2), generator=generator(number, "tokens"))
    return Batch(tokens, torch.randn(9, 1, generator=generator(number, "t"), dtype=torch.float64))


def classes(number: int, count: int) -> Batch:
    batch = pairs(number)
    return Batch(batch.inputs, batch.inputs.sum(1) % count, torch.rand(9, generator=generator(number, "w")).double())


TWO = Facts(outputs=2, classes=2, geometry=InputGeometry(shape=(5,)))
ONE = Facts(outputs=1, geometry=InputGeometry(shape=(5,)))
ENTRIES = Facts(outputs=1, sequence=SequenceLayout(length=2, vocabulary=4))
CASES: dict[str, tuple[Any, Any, str]] = {
    "diagonal, classes": (
        model("diagonal-network", TWO, initial_norm=2.0),
        lambda number: Batch(reals(number).inputs, reals(number).targets % 2),  # type: ignore[operator]
        "cross-entropy",
    ),
    "diagonal, regression": (
        model("diagonal-network", ONE, initial_norm=2.0), lambda number: reals(number, 1), "mean-squared-error"
    ),
    "factorisation": (
        model("symmetric-factorisation", ENTRIES, initial_scale=0.5, perturbation=0.3), pairs, "mean-squared-error"
    ),
    "relu, classes": (mlp(widths=(6,)), reals, "cross-entropy"),
    "tanh, three layers": (mlp(widths=(6, 4), activation="tanh"), reals, "cross-entropy"),
    "gelu, one-hot targets": (mlp(widths=(6,), activation="gelu", bias=False), reals, "mean-squared-error"),
    "leaky relu": (mlp(widths=(6, 4), activation="leaky-relu"), reals, "cross-entropy"),
    "two layers of tokens": (
        model("two-layer-perceptron", PAIRS, hidden_width=6), lambda number: classes(number, 4), "cross-entropy"
    ),
    "scaled, quadratic": (
        model("scaled-perceptron", ONE, widths=(6, 4)), lambda number: reals(number, 1), "mean-squared-error"
    ),
    "tokens, weights": (mlp(PAIRS, widths=(6,)), lambda number: classes(number, 4), "cross-entropy"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("alpha", [1.0, 3.0])
def test_gradients_are_those_of_autograd(case: str, alpha: float) -> None:
    """Two groups of three members, each group on data of its own; with a scale also centred."""
    build, data, loss = CASES[case]
    modules = [build(seed).double() for seed in range(6)]
    # away from where they start, so that v is not u and what is centred is not 0
    start = [dict(scale_buffers(module, alpha, centred=alpha != 1)) for module in modules]
    for number, module in enumerate(modules):
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator(number, "noise"), dtype=torch.float64)
            parameter.data += 0.3 * noise
    batches = [data(number // 3) for number in range(6)]
    distinct, each = shared(batches)
    assert (len(distinct), each) == (2, 3)

    names = [name for name, _ in modules[0].named_parameters()]
    parameters = {name: torch.stack([dict(m.named_parameters())[name].detach() for m in modules]) for name in names}
    buffers = {name: torch.stack([own[name] for own in start]) for name in start[0]}
    losses, slopes = Closed(modules[0], loss, torch.float64)(parameters, buffers, stack(distinct))
    for number, module in enumerate(modules):
        leaves = {name: parameters[name][number].clone().requires_grad_() for name in names}
        outputs = scaled(module)({**leaves, **start[number]}, batches[number].inputs)
        expected = loss_function(loss, torch.float64)(outputs, batches[number])
        by_autograd = torch.autograd.grad(expected, list(leaves.values()))
        torch.testing.assert_close(losses[number], expected.detach(), rtol=1e-12, atol=1e-14)
        for name, one in zip(names, by_autograd, strict=True):
            torch.testing.assert_close(slopes[name][number], one, rtol=1e-10, atol=1e-12)


def test_two_classes_do_not_saturate() -> None:
    outputs = torch.tensor([[[[0.0, 40.0]]], [[[0.0, -40.0]]]], dtype=torch.float64)
    losses, slopes = SLOPES["cross-entropy"](outputs, torch.ones(2, 1, dtype=torch.long), torch.ones(1, 1, 1))
    assert losses.flatten().tolist() == pytest.approx([torch.tensor(-40.0).double().exp().item(), 40.0], rel=1e-12)
    assert slopes.flatten().tolist() == pytest.approx([4.248354255291589e-18, -4.248354255291589e-18, 1.0, -1.0])


def test_equal_batches_next_to_each_other_are_one() -> None:
    a, b, c = reals(0), reals(1), Batch(reals(0).inputs, reals(0).targets, torch.ones(7))
    same = Batch(a.inputs.clone(), a.targets.clone())  # type: ignore[union-attr]
    for given, count, each in (
        ([a, same, b, b], 2, 2),
        ([a, b, a, b], 4, 1),
        ([a, a, a, a, b, b], 3, 2),
        ([a, c], 2, 1),
        ([a], 1, 1),
        ([a, same, a], 1, 3),
    ):
        found, times = shared(given)
        assert (len(found), times) == (count, each)
        for index, one in enumerate(given):
            assert torch.equal(found[index // each].inputs, one.inputs)
            assert (found[index // each].weights is None) == (one.weights is None)


# -- whole trainings ------------------------------------------------------------------------------

TREES: dict[str, dict[str, Any]] = {
    "diagonal-network": {
        "task": {"name": "sparse-classification", "dimension": 12, "examples": 9, "test_examples": 4},
        "model": {"name": "diagonal-network", "initial_norm": 3.0},
    },
    "symmetric-factorisation": {
        "task": {"name": "matrix-completion", "size": 5, "observed": 0.6},
        "model": {"name": "symmetric-factorisation", "initial_scale": 0.7},
    },
    "mlp": {
        "task": {"name": "modular-addition", "modulus": 5, "train_fraction": 0.6},
        "model": {"name": "mlp", "widths": [8]},
    },
    "modular-transformer": {
        "task": {"name": "modular-addition", "modulus": 5, "train_fraction": 0.6},
        "model": {"name": "modular-transformer", "width": 8, "heads": 2, "hidden_width": 8},
    },
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd", "learning_rate": 0.05},
    "momentum": {"name": "sgd", "learning_rate": 0.02, "momentum": 0.9},
    "adam": {"name": "adam", "learning_rate": 0.01, "warmup_steps": 4},
    "adamw": {"name": "adamw", "learning_rate": 0.01},
}
SCALE = {"diagonal-network": "model.initial_norm"}


def grid(name: str, optimizer: str) -> list[Spec]:
    """Return a grid of rate, decay, initial and output scale on two seeds' data, and two cells of another size."""
    base = {**TREES[name], "paper": "toys", "learner": {"name": "gradient", "steps": 30}}
    tree = override(base, {"optimizer": OPTIMIZERS[optimizer], "numerics.dtype": "float64"})
    size = {"task.train_fraction": 0.4} if "modular" in tree["task"]["name"] else {}
    size = size or ({"task.observed": 0.3} if "completion" in tree["task"]["name"] else {"task.examples": 5})
    scale = SCALE.get(name, "model.initial_scale")
    changes: list[dict[str, Any]] = [
        {"seed.base": seed, **one}
        for seed in (0, 1)
        for one in (
            {},
            {"optimizer.learning_rate": 0.004},
            {"optimizer.weight_decay": 0.3, scale: 1.4},
            {"learner.output_scale": 2.5},
        )
    ]
    return toys.members(tree, [*changes, *({"seed.base": 2, **size}, {"seed.base": 2, **size, scale: 0.8})])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", TREES)
def test_a_grid_equals_its_cells_trained_alone(name: str, optimizer: str) -> None:
    specs = grid(name, optimizer)
    together = Training(specs)
    kernel = together.state.kernel
    assert kernel.sharing == 2  # what four, four and two members on the same data have in common
    assert (kernel.closed is not None) == (name != "modular-transformer")
    apart = [Training([toys.alone(spec)]) for spec in specs]
    for step in (1, 5, 20):
        done = together.learner.step(together.state)
        together.advance(step - done)
        for index, one in enumerate(apart):
            one.advance(step - done)
            mine, members = one.parameters(), together.parameters(index)
            for key in mine:
                assert float((mine[key] - members[key]).abs().max()) <= 1e-10 * step
            same = one.learner.scalars(one.state), together.learner.scalars(together.state, index)
            assert same[0] == pytest.approx(same[1], rel=1e-9, abs=1e-12)
            # what a measure of the coming update sees
            views = one.learner.snapshot(one.state), together.learner.snapshot(together.state, index)
            alone, member = (view.trial_step() for view in views)
            assert alone is not None
            assert member is not None
            for key, tensor in alone.gradient.items():
                torch.testing.assert_close(tensor, member.gradient[key], rtol=1e-6, atol=1e-9)


def test_members_that_share_data_have_the_same_gradients_under_vmap() -> None:
    specs = grid("mlp", "sgd")
    together = Training(specs)
    state: Any = together.state
    losses, closed = gradient(state.kernel, state.moving, state.feed.at(0), 0)
    kernel = replace(state.kernel, closed=None)
    by_autograd = gradient(kernel, state.moving, state.feed.at(0), 0)
    torch.testing.assert_close(losses, by_autograd[0])
    for name, tensor in by_autograd[1].items():
        torch.testing.assert_close(closed[name], tensor, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    "changes",
    [
        {"learner.objective": "log-loss"},
        {"interventions": [{"name": "dropout", "site": "at_hidden.0", "rate": 0.25}]},
        {"interventions": [{"name": "activation-clamp", "site": "at_hidden.0", "factor": 0.5, "units": [1]}]},
    ],
    ids=["log-loss", "dropout", "clamp"],
)
def test_what_acts_on_the_way_takes_the_long_one(changes: dict[str, Any]) -> None:
    tree = override({**TREES["mlp"], "learner": {"name": "gradient"}, "optimizer": OPTIMIZERS["sgd"]}, changes)
    specs = [resolve({**tree, "numerics": {"dtype": "float64"}}, seed=seed) for seed in (0, 0, 1, 1)]
    specs = [
        spec.model_copy(update={"optimizer": spec.optimizer.model_copy(update={"learning_rate": 0.1 / (1 + index)})})  # type: ignore[union-attr]
        for index, spec in enumerate(specs)
    ]
    together = Training([spec.with_group(specs) for spec in specs])
    assert together.state.kernel.closed is None
    assert together.state.kernel.sharing == 2
    together.advance(10)
    for index, spec in enumerate(specs):
        for key, tensor in Training([spec]).advance(10).parameters().items():
            torch.testing.assert_close(together.parameters(index)[key], tensor, rtol=0, atol=1e-9)
