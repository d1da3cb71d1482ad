"""The two loops that are timed do the same: the same losses, step by step."""

from __future__ import annotations

import pytest
import torch

from grokscope.bench.modular_addition import OurLoop, PlainLoop, observations
from grokscope.execution.plan import experiment_spec
from grokscope.numerics import applied
from grokscope.rng import generator
from grokscope.spec import Spec


def small(**changes: object) -> Spec:
    return experiment_spec("nanda2023/modular-addition", scale="smoke", seed=0, changes=changes)


def test_the_plain_loop_and_ours_train_the_same() -> None:
    spec = small()
    with applied(spec.numerics):
        task = spec.task.build(spec.seed)
        assert spec.model is not None
        module = spec.model.build(task.facts, generator(spec.seed.init, "init"))
        plain = PlainLoop(spec, task.probes["train"], task.probes["test"], module)
        ours = OurLoop(spec)
        for _ in range(25):  # past the warm-up of 10
            plain.advance(1)
            ours.advance(1)
            loss = ours.learner.scalars(ours.state)["step/loss", None]
            assert plain.losses[-1][0] == pytest.approx(loss, rel=1e-4)
        ours.observe()
        snapshot = ours.learner.snapshot(ours.state)
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(parameter.detach(), snapshot.parameters[name], rtol=1e-3, atol=1e-5)


def test_the_test_loss_of_the_plain_loop_is_that_of_the_test_pairs() -> None:
    spec = small()
    task = spec.task.build(spec.seed)
    assert spec.model is not None
    module = spec.model.build(task.facts, generator(spec.seed.init, "init"))
    plain = PlainLoop(spec, task.probes["train"], task.probes["test"], module)
    plain.advance(1)
    test = task.probes["test"]
    # the first update has a learning rate of 0
    expected = torch.nn.functional.cross_entropy(module(test.inputs).double(), test.targets)
    assert plain.losses[0][1] == pytest.approx(float(expected.detach()), rel=1e-6)


def test_observations_of_a_cadence_are_counted() -> None:
    spec = small(**{"record.observe": {"every": 20}, "learner.steps": 60})
    assert observations(spec, 60) == 4
    assert observations(spec, 39) == 2
