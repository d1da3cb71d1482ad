"""Dropout: its mask worked out by hand, its mean, and that it acts in training alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import toys
from driving import Training, log, run
from grokscope.errors import UsageError
from grokscope.forward import module_forward
from grokscope.interventions.dropout import Dropout
from grokscope.rng import derive, words
from grokscope.spec import Spec

SITE = "at_hidden.0"
DROPPING = {"name": "dropout", "site": SITE, "rate": 0.3}
DOUBLE = {"numerics.dtype": "float64"}


def spec(*parts: dict[str, Any], **changes: Any) -> Spec:
    return toys.specs("gradient", {**DOUBLE, **changes, "interventions": list(parts)})[0]


def seeded(seed: int = 7) -> dict[str, Tensor]:
    return {"seed": torch.tensor(derive(seed, "noise"))}


def mask(rate: float, *shape: int, seed: int = 7, step: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return what dropout makes of ones."""
    return Dropout(site=SITE, rate=rate).apply(torch.ones(shape, dtype=dtype), seeded(seed), step=step)[0]


# -- the mask -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_units_are_dropped_by_their_word_and_the_others_scaled(rate: float) -> None:
    value = torch.randn(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    dropped, state = Dropout(site=SITE, rate=rate).apply(value, seeded(), step=4)
    assert state == seeded()
    drawn = (words(seeded()["seed"], 200, 4, SITE).double() + 2**31) / 2**32  # uniform in [0, 1)
    wanted = torch.where(drawn.view(40, 5) < rate, 0.0, value / (1 - rate))
    torch.testing.assert_close(dropped, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.99])
def test_the_share_and_the_mean_are_right(rate: float) -> None:
    count = 1 << 16
    kept = mask(rate, 256, 256)
    deviation = (rate * (1 - rate) / count) ** 0.5
    assert float((kept == 0).double().mean()) == pytest.approx(rate, abs=4 * deviation)
    assert float(kept.mean()) == pytest.approx(1, abs=4 * deviation / (1 - rate))


def test_each_unit_keeps_its_mean_over_steps() -> None:
    steps = 2000
    mean = torch.stack([mask(0.5, 8, step=step) for step in range(steps)]).mean(0)
    assert float((mean - 1).abs().max()) < 4 / steps**0.5


def test_a_rate_near_1_drops_all_but_never_overflows() -> None:
    assert float(mask(1 - 1e-12, 1000).max()) == 0


def test_the_mask_does_not_depend_on_precision_or_on_how_many_examples_there_are() -> None:
    one = mask(0.3, 50, 6)
    assert torch.equal(one != 0, mask(0.3, 50, 6, dtype=torch.float32) != 0)
    assert torch.equal(one, mask(0.3, 80, 6)[:50])


def test_the_mask_of_members_is_that_of_each() -> None:
    part = Dropout(site=SITE, rate=0.4)
    value = torch.randn(3, 9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    states = {"seed": torch.stack([seeded(seed)["seed"] for seed in range(3)])}
    together, _ = torch.vmap(lambda v, s: part.apply(v, s, step=2))(value, states)
    for index in range(3):
        assert torch.equal(together[index], part.apply(value[index], seeded(index), step=2)[0])


def test_a_gradient_passes_where_a_unit_is_kept() -> None:
    value = torch.ones(30, dtype=torch.float64, requires_grad=True)
    dropped, _ = Dropout(site=SITE, rate=0.5).apply(value, seeded(), step=0)
    (gradient,) = torch.autograd.grad(dropped.sum(), value)
    assert torch.equal(gradient, mask(0.5, 30))
    assert 0 < int((gradient == 0).sum()) < 30


# -- in training ----------------------------------------------------------------------------------


def test_an_update_follows_the_loss_with_the_mask() -> None:
    one = spec(DROPPING)
    training = Training([one]).advance(3)
    before = {name: tensor.clone().requires_grad_() for name, tensor in training.parameters().items()}
    train = training.tasks[0].probes["train"]
    tokens = functional.one_hot(train.inputs, 6).flatten(1).double()
    hidden = torch.relu(tokens @ before["layers.0.weight"].T + before["layers.0.bias"])
    seed = torch.tensor(derive(one.seed.noise, "intervention", "dropout"))
    drawn = words(seed, hidden.numel(), 3, SITE).double().view(hidden.shape)
    hidden = torch.where((drawn + 2**31) / 2**32 < 0.3, 0.0, hidden / 0.7)
    outputs = hidden @ before["layers.1.weight"].T + before["layers.1.bias"]
    loss = functional.cross_entropy(outputs, train.targets)  # type: ignore[arg-type]
    gradients = dict(zip(before, torch.autograd.grad(loss, list(before.values())), strict=True))
    record = training.learner.snapshot(training.state).trial_step()
    assert record is not None
    for name, gradient in gradients.items():
        torch.testing.assert_close(record.gradient[name], gradient, rtol=1e-10, atol=1e-14)
    training.advance(1)
    assert training.learner.scalars(training.state)["step/loss", None] == pytest.approx(float(loss.detach()), rel=1e-12)
    for name, after in training.parameters().items():
        assert torch.equal(after, record.after[name])  # what step measures saw is what happened


def test_measures_never_see_it() -> None:
    training = Training([spec(DROPPING)]).advance(5)
    snapshot = training.learner.snapshot(training.state)
    whole = snapshot.probe("all")
    model = training.specs[0].model.build(training.tasks[0].facts, torch.Generator())  # type: ignore[union-attr]
    outputs = module_forward(model.double())(snapshot.parameters, whole.inputs)
    assert torch.equal(snapshot.logits("all"), outputs)
    assert torch.equal(training.learner.predict(training.state, whole.inputs), outputs)
    assert torch.equal(snapshot.activations("all", "layers.1"), outputs)
    clamp = {"name": "activation-clamp", "site": SITE, "factor": 2.0}
    both = Training([spec(clamp, DROPPING)])
    alone = Training([spec(clamp)])
    seen, wanted = (one.learner.snapshot(one.state).logits("all") for one in (both, alone))
    assert torch.equal(seen, wanted)  # the clamp beside it is seen all the same


def test_the_loss_of_an_update_has_it_and_the_loss_measured_has_not(tmp_path: Path) -> None:
    changes = {"interventions": [DROPPING], "record__observe": {"every": 1}, "learner__steps": 6}
    (directory,) = run(tmp_path, "gradient", numerics__dtype="float64", **changes)
    rows = {(row["step"], row["key"]): row["value"] for row in log(directory)}
    for step in range(6):  # row t + 1 has the loss that update t followed, at the parameters measured in row t
        assert abs(rows[step, "train/loss"] - rows[step + 1, "step/loss"]) > 1e-4


def test_rate_0_is_no_intervention() -> None:
    training = Training([spec({**DROPPING, "rate": 0.0})]).advance(24)
    free = Training([spec()]).advance(24)
    # without an intervention gradients are written out, with one they are differentiated: equal up to rounding
    for name, tensor in free.parameters().items():
        torch.testing.assert_close(training.parameters()[name], tensor, rtol=1e-11, atol=1e-13)
    both = [one.learner.scalars(one.state) for one in (training, free)]
    assert both[0] == pytest.approx(both[1], rel=1e-11)


def test_it_acts_between_start_and_stop() -> None:
    window = Training([spec({**DROPPING, "start": 4, "stop": 6})])
    free = Training([spec()])
    for name, tensor in free.advance(4).parameters().items():
        mine = window.advance(4 - window.state.step).parameters()[name]
        torch.testing.assert_close(mine, tensor, rtol=1e-11, atol=1e-13)  # another way to the same gradients
    record = window.advance(2).learner.snapshot(window.state).trial_step()
    assert record is not None
    assert record.loss == pytest.approx(_loss(window), rel=1e-12)  # update 6 is without it


def _loss(training: Training) -> float:
    snapshot = training.learner.snapshot(training.state)
    return float(functional.cross_entropy(snapshot.logits("train"), snapshot.probe("train").targets))  # type: ignore[arg-type]


def test_only_the_noise_stream_decides_the_masks() -> None:
    def trained(**changes: Any) -> bytes:
        return Training([spec(DROPPING, **changes)]).advance(8).stored()

    assert trained(**{"seed.noise": 5}) == trained(**{"seed.noise": 5, "seed.order": 9, "seed.measure": 9})
    assert trained(**{"seed.noise": 5}) != trained(**{"seed.noise": 6})


def test_two_at_one_site_and_at_two_sites_draw_apart() -> None:
    one = spec(DROPPING, DROPPING, {**DROPPING, "site": "layers.1"})
    states = Training([one]).state.moving.interventions
    assert [sorted(state) for state in states] == [["seed"]] * 3
    first, second, third = (
        part.apply(torch.ones(400), state, step=0)[0] != 0  # type: ignore[attr-defined]
        for part, state in zip(one.interventions, states, strict=True)
    )
    for a, b in ((first, second), (first, third), (second, third)):
        assert 0.4 < float((a & b).double().mean()) < 0.58  # 0.49 if independent, 0.7 if the same


def test_members_equal_single_runs() -> None:
    parts = [DROPPING, {**DROPPING, "site": "layers.0", "rate": 0.2, "start": 3}]
    tree = {**toys.MODULAR, "numerics": {"dtype": "float64"}, "interventions": parts}
    specs = toys.members(tree, toys.MEMBERS)  # train sets of three lengths, two of them padded
    together = Training(specs)
    apart = [Training([toys.alone(one)]) for one in specs]
    for step in (1, 2, 5, 20):
        together.advance(step - together.state.step)
        for index, one in enumerate(apart):
            one.advance(step - one.state.step)
            for name, tensor in one.parameters().items():
                assert float((tensor - together.parameters(index)[name]).abs().max()) <= 1e-10 * step
    seeds = together.state.moving.interventions[0]["seed"].tolist()
    assert seeds == [derive(one.seed.noise, "intervention", "dropout.0") for one in specs]


@pytest.mark.parametrize("cut", [1, 7])
def test_a_resumed_training_draws_what_it_would_have_drawn(cut: int) -> None:
    specs = [spec(DROPPING, **{"numerics.dtype": "float32"})]
    begun = Training(specs).advance(cut).stored()
    straight = Training(specs).advance(24).stored()
    assert Training(specs).restore(begun).advance(*[1] * (24 - cut)).stored() == straight


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"rate": 1.0}, r"interventions.0.rate = 1.0: it must be less than 1"),
        ({"rate": -0.1}, r"interventions.0.rate = -0.1: it must be greater than or equal to 0"),
        ({"rate": float("nan")}, r"interventions.0.rate = nan"),
        ({"site": None}, r"interventions.0.site"),
        ({"start": 5, "stop": 5}, "never acts: stop must be later"),
    ],
)
def test_settings_that_make_no_sense_are_refused(part: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec({**DROPPING, **part})


def test_a_site_that_is_not_there_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown site 'at_hiden.0': did you mean 'at_hidden.0'"):
        Training([spec({**DROPPING, "site": "at_hiden.0"})])


def test_it_selects_the_plain_path() -> None:
    model = {"name": "modular-transformer", "width": 4, "heads": 2, "hidden_width": 4}
    one = spec({**DROPPING, "site": "at_neurons"}, model=model, roles={})
    assert one.numerics.path == "plain"
