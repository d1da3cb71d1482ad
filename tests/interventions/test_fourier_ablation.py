"""Fourier ablation: what is removed, what is left, and that a member of an ensemble is treated as a run alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import Tensor

import toys
from driving import Training
from grokscope.errors import UsageError
from grokscope.execution.plan import parse_intervention
from grokscope.interventions.fourier_ablation import FourierAblation
from grokscope.linalg.fourier import component_norms, fourier_basis, frequency_norms
from grokscope.rng import generator
from grokscope.spec import override, resolve

TRANSFORMER: dict[str, Any] = {
    "task": {"name": "modular-addition", "modulus": 7, "train_fraction": 0.6},
    "model": {"name": "modular-transformer", "width": 8, "heads": 2, "hidden_width": 8},
    "learner": {"name": "gradient", "steps": 8},
    "optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.5},
    "numerics": {"dtype": "float64"},
}
ABLATION = {"name": "fourier-ablation", "frequencies": [2], "start": 3}


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(0, "matrix"), dtype=torch.float64)


def ablated(matrix: Tensor, *frequencies: int, modulus: int, **more: Any) -> tuple[Tensor, float]:
    part = FourierAblation(frequencies=frequencies, modulus=modulus, parameters="W", **more)
    changed, state = part.apply({"W": matrix}, part.init({"W": matrix}), step=0)
    return changed["W"], float(state["effect"])


@given(p=some.integers(3, 14), rows=some.integers(0, 1), data=some.data())
def test_chosen_frequencies_go_and_all_others_stay(p: int, rows: int, data: some.DataObject) -> None:
    every = list(range(1, p // 2 + 1))
    chosen = data.draw(some.lists(some.sampled_from(every), min_size=1, unique=True))
    matrix = draw(p + rows, 5)
    left, _ = ablated(matrix, *chosen, modulus=p)
    before, after = frequency_norms(matrix[:p]), frequency_norms(left[:p])
    for frequency in every:
        wanted = 0.0 if frequency in chosen else float(before[frequency - 1])
        assert float(after[frequency - 1]) == pytest.approx(wanted, abs=1e-12)
    torch.testing.assert_close(left[:p].mean(0), matrix[:p].mean(0), rtol=0, atol=1e-12)
    assert torch.equal(left[p:], matrix[p:])  # the token "="


def test_every_other_component_is_left_as_it_is() -> None:
    matrix = draw(11, 6)
    left, _ = ablated(matrix, 2, 5, modulus=11)
    before, after = component_norms(matrix), component_norms(left)
    gone = [2, 3, 8, 9]  # cosine and sine of 2 and of 5, the constant not counted
    assert after[gone].max() < 1e-14
    kept = [index for index in range(10) if index not in gone]
    torch.testing.assert_close(after[kept], before[kept], rtol=0, atol=1e-12)


def test_effect_is_the_share_of_the_squared_norm() -> None:
    basis = fourier_basis(7)
    matrix = 3 * basis[3:4].T + 4 * basis[5:6].T + 0 * draw(7, 1)  # frequencies 2 and 3
    left, effect = ablated(matrix, 2, modulus=7)
    assert effect == pytest.approx(9 / 25, rel=1e-12)
    torch.testing.assert_close(left, 4 * basis[5:6].T, rtol=0, atol=1e-14)


def test_once_more_removes_nothing() -> None:
    part = FourierAblation(frequencies=(1, 3), modulus=9, parameters="W")
    once, state = part.apply({"W": draw(10, 4)}, part.init({"W": draw(10, 4)}), step=0)
    twice, after = part.apply(once, state, step=1)
    torch.testing.assert_close(twice["W"], once["W"], rtol=0, atol=1e-15)
    assert float(after["effect"]) == pytest.approx(float(state["effect"]), abs=1e-15)


def test_zero_weights_are_left_zero() -> None:
    left, effect = ablated(torch.zeros(5, 2), 1, modulus=5)
    assert not left.any()
    assert effect == 0


def test_the_axis_that_counts_residues_is_a_setting() -> None:
    matrix = draw(8, 4)
    turned, effect = ablated(matrix.T.contiguous(), 2, modulus=7, axis=1)
    left, same = ablated(matrix, 2, modulus=7)
    torch.testing.assert_close(turned.T, left, rtol=0, atol=1e-14)
    assert effect == pytest.approx(same)


def test_float32_is_projected_in_float64() -> None:
    single, _ = ablated(draw(113, 32).float(), 17, modulus=113)
    assert single.dtype == torch.float32
    double, _ = ablated(draw(113, 32).float().double(), 17, modulus=113)
    assert torch.equal(single, double.float())


def test_without_stop_it_acts_once_and_with_stop_it_is_held() -> None:
    once, held = FourierAblation(frequencies=(1,), start=4), FourierAblation(frequencies=(1,), start=4, stop=6)
    assert [step for step in range(9) if once.active(step)] == [4]
    assert [step for step in range(9) if held.active(step)] == [4, 5]


def test_in_a_training_of_the_transformer() -> None:
    (spec, plain) = (resolve(override(TRANSFORMER, {"interventions": parts})) for parts in ([ABLATION], []))
    training, free = Training([spec]).advance(3), Training([plain]).advance(3)
    assert all(torch.equal(training.parameters()[name], free.parameters()[name]) for name in free.parameters())
    changed, ordinary = training.advance(1).parameters(), free.advance(1).parameters()
    share = []
    for name in ordinary:
        if name not in ("W_E", "W_U"):
            assert torch.equal(changed[name], ordinary[name])
            continue
        assert frequency_norms(changed[name][:7])[1] < 1e-14
        assert frequency_norms(ordinary[name][:7])[1] > 0.1
        assert torch.equal(changed[name][7], ordinary[name][7])
        share.append((ordinary[name].square().sum() - changed[name].square().sum(), ordinary[name][:7].square().sum()))
    (effect,) = [value for (key, _), value in training.learner.scalars(training.state).items() if "effect" in key]
    assert effect == pytest.approx(float(sum(a for a, _ in share) / sum(b for _, b in share)), rel=1e-12)
    assert frequency_norms(training.advance(1).parameters()["W_E"][:7])[1] > 1e-6  # it is free to come back


def test_members_of_an_ensemble_equal_runs_alone() -> None:
    tree = override(TRANSFORMER, {"interventions": [{**ABLATION, "stop": 6}]})
    specs = toys.members(tree, [{"seed.base": 0}, {"seed.base": 1}])
    together = Training(specs).advance(8)
    for index, spec in enumerate(specs):
        alone = Training([toys.alone(spec)]).advance(8)
        for name, tensor in alone.parameters().items():
            torch.testing.assert_close(together.parameters(index)[name], tensor, rtol=0, atol=1e-10)
        effects = [t.learner.scalars(t.state, i) for t, i in ((together, index), (alone, 0))]
        key = ("intervention/effect", "fourier-ablation")
        assert effects[0][key] == pytest.approx(effects[1][key], rel=1e-10)
        assert effects[1][key] > 0


# -- what it is told, and what it refuses ----------------------------------------------------------


def test_the_modulus_is_that_of_the_task() -> None:
    spec = resolve(override(TRANSFORMER, {"interventions": [parse_intervention("fourier-ablation:frequencies=2")]}))
    (part,) = spec.interventions
    assert isinstance(part, FourierAblation)
    assert (part.modulus, part.frequencies) == (7, (2,))
    assert resolve(spec.tree()) == spec


def test_commas_in_brackets_part_no_settings() -> None:
    assert parse_intervention("fourier-ablation:frequencies=[1,3],start=5,parameters=W_E") == {
        "name": "fourier-ablation",
        "frequencies": [1, 3],
        "start": 5,
        "parameters": "W_E",
    }


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"frequencies": [4]}, "interventions.0: fourier-ablation cannot take out frequency 4: give ones from 1 to 3."),
        ({"frequencies": [0]}, "interventions.0: fourier-ablation cannot take out frequency 0: give ones from 1 to"),
        ({"frequencies": [2, 2]}, "fourier-ablation names a frequency twice in [2, 2]: give each once."),
        ({"frequencies": []}, "interventions.0.frequencies = []: "),
        ({}, "interventions.0.frequencies is missing: give it, as in --intervene fourier-ablation:frequencies=VALUE."),
    ],
)
def test_frequencies_that_are_none(settings: dict[str, Any], sentence: str) -> None:
    tree = override(TRANSFORMER, {"interventions": [{"name": "fourier-ablation", **settings}]})
    with pytest.raises(UsageError) as caught:
        resolve(tree)
    assert sentence in str(caught.value)


def test_a_task_without_a_modulus() -> None:
    tree = {**toys.REGRESSION, "interventions": [{"name": "fourier-ablation", "frequencies": [1]}]}
    with pytest.raises(UsageError, match="needs a modulus, which the task toy-teacher has not: give modulus=p"):
        resolve(tree)
    with pytest.raises(UsageError, match="fourier-ablation has no modulus: give modulus=p, or make the spec"):
        FourierAblation(frequencies=(1,)).init({"W_E": draw(5, 2)})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"parameters": "W_pos"}, r"axis 0 of W_pos, of shape \(3, 8\), does not count the 7 residues: choose tensors"),
        ({"axis": 2}, r"axis 2 of W_"),
        ({"parameters": "X*"}, r"fourier-ablation: no parameter matches 'X\*'; there are W_"),
    ],
)
def test_tensors_that_count_no_residues(settings: dict[str, Any], sentence: str) -> None:
    spec = resolve(override(TRANSFORMER, {"interventions": [{**ABLATION, **settings}]}))
    with pytest.raises(UsageError, match=sentence):
        Training([spec])
