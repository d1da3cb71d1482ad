"""A model as α (f − f_0): its outputs, its parameters' names, and what does not depend on α."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

import grokscope as gs
import toys
from driving import Training
from grokscope.snapshot import Descent
from grokscope.spec import override, resolve

TREE = {**toys.REGRESSION, "optimizer": {"name": "sgd", "learning_rate": 0.05}, "numerics": {"dtype": "float64"}}


def trained(steps: int, **changes: Any) -> tuple[gs.Snapshot, gs.Snapshot]:
    """Return the snapshots at the start and after some steps."""
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    training = Training([resolve(override(TREE, dotted), seed=0)])
    first = training.learner.snapshot(training.state).freeze()
    training.advance(steps)
    return first, training.learner.snapshot(training.state)


def test_outputs_are_scaled_and_parameters_keep_their_names() -> None:
    plain, _ = trained(0)
    scaled, _ = trained(0, learner__output_scale=3.0)
    centred, later = trained(3, learner__output_scale=3.0, learner__centred=True)
    assert set(plain.parameters) == set(scaled.parameters) == set(centred.parameters)
    torch.testing.assert_close(scaled.logits("train"), 3 * plain.logits("train"))
    assert float(centred.logits("train").abs().max()) == 0
    assert later.initial is not None
    assert float(later.initial.logits("train").abs().max()) == 0
    inputs = later.probes["train"].inputs
    own = plain.predict_with(later.parameters, inputs)
    torch.testing.assert_close(later.logits("train"), 3 * (own - plain.logits("train")))
    torch.testing.assert_close(later.predict_plainly(inputs), later.logits("train"))


def _predict(snapshot: gs.Snapshot, inputs: torch.Tensor, parameters: dict[str, torch.Tensor]) -> torch.Tensor:
    return snapshot.predict_with(parameters, inputs)


def test_first_linearised_change_does_not_depend_on_the_scale() -> None:
    """With the rate over α², J·dθ of the first step is that of α = 1 (Kumar et al. 2024)."""
    changes = []
    for alpha in (0.5, 1.0, 8.0):
        start, after = trained(
            1, learner__output_scale=alpha, learner__centred=True, optimizer__learning_rate=0.05 / alpha**2
        )
        step = {name: after.parameters[name] - start.parameters[name] for name in start.parameters}
        inputs = start.probes["train"].inputs
        change = torch.func.jvp(partial(_predict, start, inputs), (dict(start.parameters),), (step,))[1]
        changes.append(change)
    torch.testing.assert_close(changes[0], changes[1], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(changes[2], changes[1], rtol=1e-12, atol=1e-14)


def test_watching_a_centred_model_does_not_meet_its_start() -> None:
    _, plain = trained(2)
    _, centred = trained(2, learner__centred=True)
    names: dict[str, list[str]] = {}
    for which, snapshot in (("plain", plain), ("centred", centred)):
        seen = names.setdefault(which, [])
        snapshot.watch(snapshot.probes["train"].inputs, lambda visit, seen=seen: seen.append(visit.name))
    assert names["plain"] == names["centred"]


def test_input_derivatives_see_the_start() -> None:
    """The derivative by the input of f − f_0 is 0 at the start."""
    start, _ = trained(0, learner__centred=True)
    inputs = start.probes["train"].inputs.clone().requires_grad_()
    start.predict(inputs).sum().backward()
    assert inputs.grad is not None
    assert float(inputs.grad.abs().max()) == 0


def test_oracles_are_computed_once_a_training() -> None:
    training = Training([resolve(TREE, seed=0)])
    calls: list[int] = []
    for _ in range(3):
        snapshot = training.learner.snapshot(training.state)
        assert snapshot.lasting("oracle", lambda: calls.append(1) or len(calls)) == 1
        assert snapshot.in_double().lasting("oracle", lambda: 7) == 7  # float64 has its own
        training.advance(2)
    assert calls == [1]


def test_descent_says_what_theory_needs() -> None:
    start, _ = trained(0, optimizer__weight_decay=0.1)
    assert start.descent == Descent(learning_rate=0.05, weight_decay=0.1)
    adamw, _ = trained(0, optimizer__name="adamw")
    assert adamw.descent is None
    warm, _ = trained(0, optimizer__warmup_steps=3)
    assert warm.descent is not None
    assert not warm.descent.constant
    penalised, _ = trained(0, optimizer__weight_decay=0.1, learner__l2=0.2)
    assert penalised.descent == Descent(learning_rate=0.05, weight_decay=0.5)
    rewarded, _ = trained(0, optimizer__weight_decay=0.1, learner__l2=-0.2)
    assert rewarded.descent is None


@pytest.mark.parametrize("centred", [False, True])
def test_scaled_runs_are_the_same_for_every_partition_and_after_a_restart(centred: bool) -> None:
    tree = override(TREE, {"learner.output_scale": 2.0, "learner.centred": centred})
    straight = Training([resolve(tree, seed=0)]).advance(7)
    parts = Training([resolve(tree, seed=0)]).advance(3)
    stored = parts.learner.state_dict(parts.state)
    parts.state = parts.learner.restore(parts.specs, parts.tasks, stored)
    parts.advance(4)
    for name, tensor in straight.parameters().items():
        assert torch.equal(parts.parameters()[name], tensor)
