"""Snapshots: their lifetime, what they hold, and that they leave an outsider's module alone."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import toys
from grokscope import registry
from grokscope.batch import Batch
from grokscope.errors import GrokscopeError, UsageError
from grokscope.facts import Facts, InputGeometry
from grokscope.forward import module_forward
from grokscope.learners.gradient import GradientLearner
from grokscope.measures.base import evaluate
from grokscope.rng import generator
from grokscope.snapshot import Snapshot, Source, infer_roles


def draw(*shape: int, name: str = "draw") -> Tensor:
    return torch.randn(*shape, generator=generator(0, name))


class Outsider(nn.Module):
    """A net as people have them: dropout, running statistics, a hook, all in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.drop(torch.relu(self.norm(self.first(inputs)))))


def outsider() -> tuple[Outsider, tuple[Tensor, Tensor]]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Outsider()
    model.norm.running_mean = draw(6, name="mean")
    return model, (draw(10, 4), torch.arange(10) % 3)


def gradient_snapshot(steps: int = 3, changes: dict[str, Any] | None = None) -> Snapshot:
    (spec,) = toys.specs("gradient", changes)
    learner = GradientLearner()
    state = learner.start([spec], [spec.task.build(spec.seed)])
    return learner.snapshot(learner.advance(state, steps))


# -- somebody else's module -----------------------------------------------------------------------


def test_an_outsiders_module_is_left_as_it_was() -> None:
    model, train = outsider()
    calls: list[int] = []
    model.first.register_forward_hook(lambda *_: calls.append(1))
    hooks = [dict(module._forward_hooks) for module in model.modules()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    identities = [id(parameter) for parameter in model.parameters()]
    random_states = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())  # type: ignore[index]
    snapshot = Snapshot.of(model, train=train, test=(draw(5, 4, name="test"), torch.zeros(5).long()))
    for name in ("performance", "weights"):
        evaluate(registry.MEASURES.get(name), snapshot)
    snapshot.activations("train", "norm")
    snapshot.freeze()
    assert all(module.training for module in model.modules())
    assert [dict(module._forward_hooks) for module in model.modules()] == hooks
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [id(parameter) for parameter in model.parameters()] == identities
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], random_states[1])  # type: ignore[index]
    assert random.getstate() == random_states[2]


def test_predictions_are_those_of_evaluation_mode() -> None:
    model, train = outsider()
    snapshot = Snapshot.of(model, train=train)
    expected = model.eval()(train[0])
    torch.testing.assert_close(snapshot.logits("train"), expected, rtol=0, atol=0)


def test_a_snapshot_of_a_module_does_not_change_when_training_goes_on() -> None:
    model, train = outsider()
    snapshot = Snapshot.of(model, train=train, step=4)
    before = snapshot.parameters["last.weight"].clone()
    with torch.no_grad():
        model.last.weight.add_(1)
        model.norm.running_mean.add_(1)  # type: ignore[union-attr]
    assert snapshot.step == 4
    assert torch.equal(snapshot.parameters["last.weight"], before)
    assert torch.equal(snapshot.buffers["norm.running_mean"], draw(6, name="mean"))
    assert not torch.equal(snapshot.logits("train"), model.eval()(train[0]))
    assert not snapshot.logits("train").requires_grad


def test_a_snapshot_taken_within_a_training_step_keeps_its_graph() -> None:
    model, (inputs, targets) = outsider()
    loss = nn.functional.cross_entropy(model(inputs), targets)
    evaluate(registry.MEASURES.get("performance"), Snapshot.of(model, train=(inputs, targets)))
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


# -- lifetime -------------------------------------------------------------------------------------


def test_use_after_the_call_raises_and_says_what_to_do() -> None:
    snapshot = gradient_snapshot()
    snapshot.close()
    uses: list[Any] = [
        lambda: snapshot.parameters,
        lambda: snapshot.buffers,
        lambda: snapshot.probes,
        lambda: snapshot.initial,
        lambda: snapshot.logits("train"),
        lambda: snapshot.predict(torch.zeros(1, 3).long()),
        lambda: snapshot.role("embedding"),
        lambda: snapshot.trial_step(),
        lambda: snapshot.memo("key", lambda: 0),
        lambda: snapshot.freeze(),
    ]
    for use in uses:
        with pytest.raises(
            GrokscopeError, match=r"snapshot of step 3 was used after the call .*: keep snapshot\.freeze\(\)"
        ):
            use()


def test_a_frozen_snapshot_stays_valid_and_owns_its_tensors() -> None:
    snapshot = gradient_snapshot()
    frozen, logits = snapshot.freeze(), snapshot.logits("all").clone()
    snapshot.parameters["layers.0.weight"].zero_()
    snapshot.close()
    assert frozen.step == 3
    assert frozen.initial is not None
    torch.testing.assert_close(frozen.logits("all"), logits, rtol=0, atol=0)


def test_a_snapshot_cannot_be_written_to() -> None:
    snapshot = gradient_snapshot()
    with pytest.raises(TypeError):
        snapshot.parameters["layers.0.weight"] = torch.zeros(1)  # type: ignore[index]


# -- what it computes -----------------------------------------------------------------------------


def test_what_is_expensive_is_computed_once() -> None:
    calls: list[int] = []

    def forward(tensors: Any, inputs: Tensor) -> Tensor:
        calls.append(len(inputs))
        return inputs @ tensors["w"]

    probes = {
        "all": Batch(draw(6, 2)),
        "train": Batch(draw(6, 2)[:4], parent="all", rows=torch.arange(4)),
    }
    snapshot = Snapshot(Source(forward, probes), step=0, parameters={"w": draw(2, 3)})
    snapshot.logits("train")
    snapshot.logits("all")
    snapshot.logits("train")
    assert calls == [6]  # the part is looked up in the whole
    assert snapshot.memo("key", lambda: calls.append(0) or 5) == 5
    assert snapshot.memo("key", lambda: calls.append(0) or 6) == 5
    assert snapshot.singular_values("w") is snapshot.singular_values("w")
    assert calls == [6, 0]


def test_parts_of_a_probe_give_the_logits_of_their_own_inputs() -> None:
    snapshot = gradient_snapshot(changes={"numerics.dtype": "float64"})
    for name in ("train", "test", "leak_free"):
        batch = snapshot.probe(name)
        assert batch.parent == "all"
        with torch.no_grad():
            torch.testing.assert_close(snapshot.logits(name), snapshot.predict(batch.inputs), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("chunk", [1, 4, 9, 25, 100])
def test_chunks_give_the_same_predictions(chunk: int) -> None:
    double: dict[str, Any] = {"numerics.dtype": "float64"}
    whole, parts = gradient_snapshot(3, double), gradient_snapshot(3, {**double, "numerics.eval_chunk": chunk})
    torch.testing.assert_close(parts.logits("all"), whole.logits("all"), rtol=1e-12, atol=1e-14)
    same = parts.activations("all", "at_hidden.0"), whole.activations("all", "at_hidden.0")
    torch.testing.assert_close(*same, rtol=1e-12, atol=1e-14)


def test_predictions_are_differentiable_in_their_inputs() -> None:
    model = nn.Linear(2, 1, bias=False)
    inputs = draw(3, 2).requires_grad_()
    Snapshot.of(model).predict(inputs).sum().backward()
    torch.testing.assert_close(inputs.grad, model.weight.detach().expand(3, 2))


def test_singular_values_by_hand() -> None:
    model = nn.Linear(2, 3, bias=False)
    model.weight.data = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    found = Snapshot.of(model).singular_values("weight")
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([4.0, 3.0])


# -- activations and names ------------------------------------------------------------------------


def test_activations_are_what_submodules_put_out() -> None:
    model, train = outsider()
    snapshot = Snapshot.of(model, train=train)
    first = snapshot.activations("train", "first")
    torch.testing.assert_close(first, nn.functional.linear(train[0], model.first.weight, model.first.bias).detach())
    torch.testing.assert_close(snapshot.activations("train", "last"), snapshot.logits("train"), rtol=0, atol=0)
    assert not snapshot.activations("train", "norm").requires_grad


def test_unknown_names_are_answered_with_the_nearest() -> None:
    model, train = outsider()
    snapshot = Snapshot.of(model, train=train)
    with pytest.raises(UsageError, match="unknown site 'firts': did you mean 'first'"):
        snapshot.activations("train", "firts")
    with pytest.raises(UsageError, match="unknown probe 'trian': did you mean 'train'"):
        snapshot.logits("trian")
    (spec,) = toys.specs("kernel")
    learner = spec.learner.build()
    kernel = learner.snapshot(learner.start([spec], [spec.task.build(spec.seed)]))
    with pytest.raises(UsageError, match="no module whose activations"):
        kernel.activations("train", "first")


# -- roles ----------------------------------------------------------------------------------------


class Named(nn.Module):
    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            setattr(self, name, nn.Parameter(torch.zeros(2, 2)))


def test_roles_are_inferred_from_modules_and_from_names() -> None:
    words = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    assert infer_roles(words) == {"embedding": "0.weight", "readout": "4.weight"}
    assert infer_roles(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))) == {"readout": "1.weight"}
    assert infer_roles(Named("W_E", "W_K", "W_U")) == {"embedding": "W_E", "readout": "W_U"}
    assert infer_roles(Named("wte", "lm_head")) == {"embedding": "wte", "readout": "lm_head"}
    assert infer_roles(Named("W_K", "W_Q")) == {}
    assert infer_roles(nn.Sequential(nn.Conv2d(1, 2, 3))) == {}


def test_a_tied_readout_is_the_embedding_and_a_computed_one_is_none() -> None:
    tied = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    tied[1].weight = tied[0].weight
    assert infer_roles(tied) == {"embedding": "0.weight", "readout": "0.weight"}
    for snapshot in (Snapshot.of(tied), Snapshot.of(tied, roles={"readout": "1.weight"})):
        readout = snapshot.role("readout")
        assert readout is not None
        assert torch.equal(readout, tied[0].weight)  # type: ignore[arg-type]
    assert infer_roles(nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))) == {}


def test_roles_can_be_given_by_name_function_or_path() -> None:
    model, train = outsider()
    roles: dict[str, Any] = {
        "embedding": "first.weight",
        "product": lambda parameters: parameters["last.weight"] @ parameters["first.weight"],
        "logits": "grokscope.models.transformer:neuron_to_logit",
    }
    snapshot = Snapshot.of(model, train=train, roles=roles)
    assert torch.equal(snapshot.role("embedding"), model.first.weight.detach())  # type: ignore[arg-type]
    product = snapshot.role("product")
    assert product is not None
    assert product.shape == (3, 4)
    assert torch.equal(snapshot.role("readout"), model.last.weight.detach())  # type: ignore[arg-type]
    assert snapshot.role("hidden") is None
    assert snapshot.role("logits") is None  # the function is for a model that has W_U
    with pytest.raises(UsageError, match=r"role embedding 'first.wieght': did you mean 'first.weight'"):
        Snapshot.of(model, roles={"embedding": "first.wieght"}).role("embedding")


# -- randomness, facts, trial steps ---------------------------------------------------------------


def test_a_measures_draws_depend_on_its_name_and_version_only() -> None:
    draws = [
        torch.rand(4, generator=gradient_snapshot(steps=steps).generator(name, version)).tolist()
        for steps, name, version in ((0, "a", 1), (5, "a", 1), (5, "b", 1), (5, "a", 2))
    ]
    assert draws[0] == draws[1]
    assert len({tuple(one) for one in draws}) == 3
    other = gradient_snapshot(0, {"seed.measure": 9}).generator("a", 1)
    assert torch.rand(4, generator=other).tolist() != draws[0]


def test_a_trial_step_is_the_update_that_follows() -> None:
    (spec,) = toys.specs("gradient")
    learner = GradientLearner()
    state = learner.advance(learner.start([spec], [spec.task.build(spec.seed)]), 4)
    snapshot = learner.snapshot(state)
    record = snapshot.trial_step()
    assert record is not None
    assert record is snapshot.trial_step()
    after = learner.snapshot(learner.advance(state, 1)).parameters
    for name, tensor in after.items():
        assert torch.equal(record.after[name], tensor)
        assert torch.equal(record.before[name], snapshot.parameters[name])
        assert record.gradient[name].shape == tensor.shape
    assert record.loss == learner.scalars(state)["step/loss", None]


def test_facts_and_clocks_travel_with_a_snapshot() -> None:
    facts = Facts(outputs=3, geometry=InputGeometry((4,)))
    snapshot = Snapshot.of(outsider()[0], facts=facts)
    assert snapshot.facts is facts
    assert snapshot.initial is None
    assert snapshot.trial_step() is None
    assert dict(snapshot.clocks) == {}
    model = nn.Linear(1, 1)
    source = Source(module_forward(model), {})
    clocked = Snapshot(source, step=2, parameters=dict(model.named_parameters()), clocks={"time": math.pi})
    assert clocked.freeze().clocks == {"time": math.pi}
