"""Each intervention against results worked out by hand, on the tensors it acts on and in whole trainings."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import toys
from grokscope.errors import UsageError
from grokscope.execution.train import train
from grokscope.interventions.activation_clamp import ActivationClamp
from grokscope.interventions.gradient_filter import GradientFilter
from grokscope.interventions.parameter_mask import ParameterMask
from grokscope.interventions.weight_norm import WeightNormClamp
from grokscope.learners.gradient import GradientLearner
from grokscope.rng import generator
from grokscope.settings import Settings
from grokscope.spec import Spec
from grokscope.store import open_run

DOUBLE = {"numerics.dtype": "float64"}


def draw(*shape: int, name: str = "draw") -> Tensor:
    return torch.randn(*shape, generator=generator(0, name), dtype=torch.float64)


def spec(interventions: list[dict[str, Any]], **changes: Any) -> Spec:
    return toys.specs("gradient", {**DOUBLE, **changes, "interventions": interventions})[0]


def states(one: Spec, *steps: int) -> list[Any]:
    """Return copies of the state of a training at some steps."""
    import copy

    learner = GradientLearner()
    state = learner.start([one], [one.task.build(one.seed)])
    found = []
    for step in steps:
        state = learner.advance(state, step - state.step)
        found.append(copy.deepcopy((state.moving.parameters, state.moving.interventions)))
    return found


def norm(parameters: dict[str, Tensor], *names: str) -> float:
    chosen = names or tuple(parameters)
    return math.sqrt(sum(float(parameters[name].square().sum()) for name in chosen))


# -- weight norm ----------------------------------------------------------------------------------


def test_weight_norm_by_hand() -> None:
    clamp = WeightNormClamp(norm=10.0, parameters="w*")
    parameters = {"w1": torch.tensor([3.0]).double(), "w2": torch.tensor([4.0]).double(), "b": torch.ones(2).double()}
    held, state = clamp.apply(parameters, clamp.init(parameters), step=0)
    assert held["w1"].item() == pytest.approx(6.0, rel=1e-14)
    assert held["w2"].item() == pytest.approx(8.0, rel=1e-14)
    assert torch.equal(held["b"], parameters["b"])
    assert state["effect"].item() == pytest.approx(math.log(2), rel=1e-14)
    _, state = clamp.apply(held, state, step=1)
    assert state["effect"].item() == pytest.approx(math.log(2), rel=1e-12)


def test_weight_norm_without_a_norm_holds_the_first_it_sees() -> None:
    clamp = WeightNormClamp()
    first = {"w": torch.tensor([3.0, 4.0]).double()}
    held, state = clamp.apply(first, clamp.init(first), step=7)
    torch.testing.assert_close(held, first, rtol=1e-15, atol=0)
    held, state = clamp.apply({"w": torch.tensor([0.0, 1.0]).double()}, state, step=8)
    assert held["w"].tolist() == pytest.approx([0, 5.0], rel=1e-14)
    assert state["effect"].item() == pytest.approx(math.log(5))


def test_weight_norm_holds_the_initial_norm_of_each_member() -> None:
    clamp = WeightNormClamp(norm="initial")
    stacked = {"w": torch.tensor([[3.0, 4.0], [6.0, 8.0]]).double(), "b": torch.tensor([[0.0], [0.0]]).double()}
    state = torch.vmap(clamp.init)(stacked)
    moved = {"w": torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double(), "b": torch.tensor([[0.0], [1.0]]).double()}
    held, state = torch.vmap(lambda v, s: clamp.apply(v, s, step=0))(moved, state)
    assert held["w"][0].tolist() == pytest.approx([5, 0], rel=1e-14)
    assert [float(held[name][1].norm()) for name in ("w", "b")] == pytest.approx([10 / math.sqrt(2)] * 2, rel=1e-14)
    assert state["effect"].tolist() == pytest.approx([math.log(5), math.log(10 / math.sqrt(2))], rel=1e-14)


def test_weight_norm_is_initial_before_every_update() -> None:
    one = spec([{"name": "weight-norm", "norm": "initial"}])
    learner = GradientLearner()
    start = norm(learner.start([one], [one.task.build(one.seed)]).moving.parameters)
    for parameters, _ in states(one, 1, 5, 24):
        assert norm(parameters) == pytest.approx(start, rel=1e-12)


@pytest.mark.parametrize("given", [0.0, -1.0, "first"])
def test_weight_norm_is_a_positive_number_or_initial(given: Any) -> None:
    with pytest.raises(UsageError, match=r"interventions.0.*norm"):
        spec([{"name": "weight-norm", "norm": given}])


def test_weight_norm_is_held_through_training() -> None:
    for parameters, _ in states(spec([{"name": "weight-norm", "norm": 2.5}]), 1, 5, 24):
        assert norm(parameters) == pytest.approx(2.5, rel=1e-12)
    only = [{"name": "weight-norm", "norm": 1.5, "parameters": "*.weight"}]
    ((parameters, (state,)),) = states(spec(only), 24)
    assert norm(parameters, "layers.0.weight", "layers.1.weight") == pytest.approx(1.5, rel=1e-12)
    assert float(state["effect"]) > 0


def test_a_start_and_a_stop_bound_the_updates_acted_on() -> None:
    window = [{"name": "weight-norm", "norm": 9.0, "start": 3, "stop": 6}]
    before, first, last, after = states(spec(window), 3, 4, 6, 7)
    (free,) = states(spec([]), 3)
    assert all(torch.equal(before[0][name], free[0][name]) for name in free[0])  # updates 0, 1, 2
    assert norm(first[0]) == pytest.approx(9.0, rel=1e-12)  # update 3
    assert norm(last[0]) == pytest.approx(9.0, rel=1e-12)  # update 5
    assert norm(after[0]) != pytest.approx(9.0, rel=1e-6)  # update 6


# -- parameter mask -------------------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "count"), [(0.25, 15), (0.5, 30), (1.0, 60), (0.001, 1)])
def test_mask_keeps_exactly_the_share_of_the_largest(keep: float, count: int) -> None:
    mask = ParameterMask(keep=keep)
    values = {"w": draw(6, 10)}
    masked, state = mask.apply(values, mask.init(values), step=0)
    kept = masked["w"] != 0
    assert int(kept.sum()) == count
    assert torch.equal(masked["w"][kept], values["w"][kept])
    if count < 60:
        assert values["w"][kept].abs().min() > values["w"][~kept].abs().max()
    assert float(state["effect"]) == pytest.approx(1 - count / 60)


def test_mask_keeps_exactly_the_share_where_many_are_equal() -> None:
    mask = ParameterMask(keep=0.5)
    values = {"w": torch.ones(8, dtype=torch.float64)}
    masked, _ = mask.apply(values, mask.init(values), step=0)
    assert int((masked["w"] != 0).sum()) == 4


def test_mask_of_members_is_that_of_each() -> None:
    mask = ParameterMask(keep=0.5)
    stacked = {"w": draw(3, 4, 5)}
    state = torch.vmap(mask.init)(stacked)
    together, _ = torch.vmap(lambda v, s: mask.apply(v, s, step=0))(stacked, state)
    for index in range(3):
        one = {"w": stacked["w"][index]}
        assert torch.equal(together["w"][index], mask.apply(one, mask.init(one), step=0)[0]["w"])


def test_masked_parameters_stay_zero_through_training() -> None:
    part = [{"name": "parameter-mask", "keep": 0.3, "parameters": "layers.0.*", "start": 2}]
    first, *later = states(spec(part), 3, 4, 10, 24)
    masks = first[1][0]
    size = first[0]["layers.0.weight"].numel()
    assert int((first[0]["layers.0.weight"] != 0).sum()) == round(0.3 * size)
    for parameters, (state,) in later:
        for name in ("layers.0.weight", "layers.0.bias"):
            assert torch.equal(state[f"mask.{name}"], masks[f"mask.{name}"])
            assert torch.equal(parameters[name] != 0, masks[f"mask.{name}"] > 0)
        assert bool((parameters["layers.1.weight"] != 0).all())


# -- gradient filter ------------------------------------------------------------------------------


def test_filter_of_a_constant_gradient_has_a_closed_form() -> None:
    part = GradientFilter(decay=0.9, amplification=3.0)
    gradient = {"w": draw(3, 2), "b": draw(2, name="bias")}
    state = part.init(gradient)
    ratios = []
    for step in range(12):
        filtered, state = part.apply(gradient, state, step=step)
        share = 1 - 0.9 ** (step + 1)  # of the gradient that is in its mean
        for name, tensor in gradient.items():
            torch.testing.assert_close(filtered[name], (1 + 3 * share) * tensor, rtol=1e-12, atol=0)
        ratios.append(3 * share)
        assert float(state["effect"]) == pytest.approx(sum(ratios) / len(ratios), rel=1e-12)


def test_filter_without_amplification_changes_nothing() -> None:
    part = [{"name": "gradient-filter", "amplification": 0.0}]
    ((filtered, (state,)),), ((free, _),) = states(spec(part), 10), states(spec([]), 10)
    assert all(torch.equal(filtered[name], free[name]) for name in free)
    assert float(state["effect"]) == 0
    assert float(state["updates"]) == 10


def test_filter_starts_from_zero_means_at_its_start() -> None:
    part = [{"name": "gradient-filter", "decay": 0.5, "start": 4, "stop": 6}]
    (_, (before,)), (_, (after,)), (_, (later,)) = states(spec(part), 4, 6, 9)
    assert float(before["updates"]) == 0
    assert float(before["mean.layers.0.weight"].abs().max()) == 0
    assert float(after["updates"]) == float(later["updates"]) == 2
    assert torch.equal(after["mean.layers.0.weight"], later["mean.layers.0.weight"])


# -- activation clamp -----------------------------------------------------------------------------


def test_clamp_by_hand() -> None:
    value = torch.tensor([[1.0, 2.0, 3.0]])

    def clamped(**given: Any) -> list[float]:
        return ActivationClamp(site="s", **given).apply(value, {}, step=0)[0][0].tolist()

    assert clamped(value=5.0) == [5.0, 5.0, 5.0]
    assert clamped(value=0.0, units=(0, 2)) == [0.0, 2.0, 0.0]
    assert clamped(factor=2.0) == [2.0, 4.0, 6.0]
    assert clamped(factor=-1.0, units=(1,)) == [1.0, -2.0, 3.0]


def test_a_site_clamped_to_zero_leaves_the_last_bias() -> None:
    one = spec([{"name": "activation-clamp", "site": "at_hidden.0", "value": 0.0}])
    learner = GradientLearner()
    state = learner.advance(learner.start([one], [one.task.build(one.seed)]), 3)
    snapshot = learner.snapshot(state)
    outputs = snapshot.logits("all")
    bias = snapshot.parameters["layers.1.bias"]
    torch.testing.assert_close(outputs, bias.expand_as(outputs), rtol=0, atol=0)
    # nothing but the last bias has a gradient
    record = snapshot.trial_step()
    assert record is not None
    assert float(record.gradient["layers.0.weight"].abs().max()) == 0
    assert float(record.gradient["layers.1.bias"].abs().max()) > 0


def test_what_a_measure_sees_of_a_clamped_site_is_the_clamped_activation() -> None:
    clamp = {"name": "activation-clamp", "site": "at_hidden.0", "value": 7.0, "units": [2], "stop": 2}
    one = spec([clamp])
    learner = GradientLearner()
    state = learner.start([one], [one.task.build(one.seed)])
    during = learner.snapshot(state)
    seen = during.activations("all", "at_hidden.0")
    assert bool((seen[:, 2] == 7).all())
    assert not bool((seen[:, 1] == 7).any())
    torch.testing.assert_close(during.activations("all", "layers.1"), during.logits("all"), rtol=0, atol=0)
    after = learner.snapshot(learner.advance(state, 2))  # update 2 is no longer clamped
    assert not bool((after.activations("all", "at_hidden.0")[:, 2] == 7).any())


def test_two_clamps_at_one_site_act_in_their_order() -> None:
    clamps = [
        {"name": "activation-clamp", "site": "layers.1", "value": 3.0},
        {"name": "activation-clamp", "site": "layers.1", "factor": 2.0},
    ]
    one = spec(clamps)
    learner = GradientLearner()
    state = learner.start([one], [one.task.build(one.seed)])
    assert bool((learner.snapshot(state).logits("all") == 6).all())


def test_a_clamp_selects_the_plain_path() -> None:
    changes = {"model": {"name": "modular-transformer", "width": 4, "heads": 2, "hidden_width": 4}, "roles": {}}
    clamp = {"name": "activation-clamp", "site": "at_neurons", "factor": 0.5}
    assert spec([], **changes).numerics.path == "fast"
    assert spec([clamp], **changes).numerics.path == "plain"
    with pytest.raises(UsageError, match="use plain"):
        spec([clamp], **changes, **{"numerics.path": "fast"})


def test_an_unknown_site_is_answered_with_the_nearest(tmp_path: Path) -> None:
    one = spec([{"name": "activation-clamp", "site": "at_hiden.0", "factor": 0.5}])
    with pytest.raises(UsageError, match=r"unknown site 'at_hiden.0': did you mean 'at_hidden.0'"):
        train([one], root=tmp_path)


def test_a_site_that_does_not_fire_is_an_error(tmp_path: Path) -> None:
    # the list of layers is a submodule, but no forward pass calls it
    one = spec([{"name": "activation-clamp", "site": "layers", "factor": 0.5}])
    with pytest.raises(UsageError, match="the site 'layers' did not fire: the forward pass does not use"):
        train([one], root=tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"site": "s"}, "needs either value or factor"),
        ({"site": "s", "value": 1.0, "factor": 2.0}, "needs either value or factor"),
        ({"value": 1.0}, "interventions.0.site is missing"),
        ({"sites": "s", "value": 1.0}, "unknown key interventions.0.sites: did you mean interventions.0.site"),
    ],
)
def test_clamps_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec([{"name": "activation-clamp", **given}])


# -- in runs --------------------------------------------------------------------------------------


def test_starts_stops_and_effects_are_logged(tmp_path: Path) -> None:
    parts = [
        {"name": "weight-norm", "norm": 3.0, "start": 5, "stop": 11},
        {"name": "gradient-filter", "start": 2},
        {"name": "activation-clamp", "site": "at_hidden.0", "factor": 0.9},
    ]
    (directory,) = train([spec(parts, **{"record.observe": {"every": 1}})], root=tmp_path)
    stored = open_run(directory)
    events = [(event["name"], event["action"], event["step"]) for event in stored.events("intervention")]
    assert sorted(events, key=lambda event: event[2]) == [
        ("activation-clamp", "start", 0),
        ("gradient-filter", "start", 2),
        ("weight-norm", "start", 5),
        ("weight-norm", "stop", 11),
    ]
    steps, effects = stored.series("intervention/effect", "weight-norm")
    assert steps.tolist() == list(range(1, 25))
    assert effects[:5].tolist() == [0.0] * 5  # states after updates 0 … 4
    assert all(effects[5:11] > 0)
    assert all(effects[11:] == effects[10])
    assert stored.has("intervention/effect", "gradient-filter")
    assert not stored.has("intervention/effect", "activation-clamp")  # it has none to log


@pytest.mark.parametrize(
    ("name", "point"),
    [("weight-norm", "parameters"), ("gradient-filter", "gradient")],
)
def test_refused_by_a_learner_that_does_not_offer_the_point(tmp_path: Path, name: str, point: str) -> None:
    specs = toys.specs("kernel", {"interventions": [{"name": name}]})
    sentence = f"{name} acts on the {point}, which the learner toy-kernel-machine does not offer; it offers none"
    with pytest.raises(UsageError, match=sentence):
        train(specs, root=tmp_path)


@pytest.mark.parametrize("kind", [WeightNormClamp, ParameterMask, GradientFilter, ActivationClamp])
def test_settings_are_frozen_and_versioned(kind: type[Settings]) -> None:
    required: dict[str, Any] = {ParameterMask: {"keep": 0.5}, ActivationClamp: {"site": "s", "value": 0.0}}.get(
        kind, {}
    )  # type: ignore[call-overload]
    part = kind(**required)
    assert part.version >= 1  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="frozen"):
        part.start = 5  # type: ignore[attr-defined]
