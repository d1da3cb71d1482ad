"""Measures of the circuit: on the exact circuit, against slow evaluations, and subtracting as well as adding."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from cubes import all_differences, explained, least_squares, naive_losses, naive_projection, product_columns, wave
from grokscope.errors import UsageError
from grokscope.linalg import fourier
from grokscope.measures.ablation import ABLATION
from grokscope.measures.base import Measure, Reading, evaluate, why_not
from grokscope.measures.circles import CIRCLES
from grokscope.measures.circuit import CIRCUIT
from grokscope.measures.fourier import FOURIER
from grokscope.measures.maps import MAPS
from grokscope.measures.participation import PARTICIPATION
from grokscope.registry import MEASURES
from grokscope.snapshot import Snapshot
from rings import SINE, circuit_network, mirrored, random_network, snapshot_of

ALL = [FOURIER, CIRCUIT, ABLATION, CIRCLES, MAPS, PARTICIPATION]
P, KEYS = 11, (2, 5)


def numbers(measure: Measure, snapshot: Snapshot) -> dict[str, float]:
    """Return scalars by key, without the measure's name and ``_online``; those of modules as ``key@module``."""
    rows = evaluate(measure, snapshot).rows
    short = {key.split("/")[1].removesuffix("_online"): key for key, _, _ in rows}
    assert set(short) <= set(measure.keys)
    return {
        name if module is None else f"{name}@{module}": value
        for name, key in short.items()
        for found, module, value in rows
        if found == key
    }


def arrays(measure: Measure, snapshot: Snapshot) -> dict[str, Tensor]:
    return {name.removesuffix("_online"): tensor for name, tensor in evaluate(measure, snapshot).arrays.items()}


def loss_of_waves(p: int, alpha: float, keys: tuple[int, ...]) -> float:
    logits = [alpha * sum(math.cos(2 * math.pi * k * c / p) for k in keys) for c in range(p)]
    return math.log(sum(math.exp(x - logits[0]) for x in logits))


@pytest.mark.parametrize("subtract", [False, True])
def test_the_exact_circuit_is_explained_in_every_part(subtract: bool) -> None:
    table = all_differences(P) if subtract else None
    snapshot = snapshot_of(circuit_network(P, KEYS, 3.0, table), table)
    found, stored = numbers(CIRCUIT, snapshot), arrays(CIRCUIT, snapshot)
    for key in ("direction_variance_explained", "direction_variance_explained_mean", "logit_variance_explained"):
        assert found[key] == pytest.approx(1, abs=1e-12), key
    assert found["neuron_variance_explained"] == pytest.approx(1, abs=1e-12)
    assert found["neurons_single_frequency"] == 1
    assert found["head_variance_explained@head.0"] == pytest.approx(1, abs=1e-12)
    assert found["neuron_to_logit_residual"] < 1e-12
    assert found["rank_gap"] == 0  # 4 neurons, 4 waves: no fifth singular value
    assert stored["keys"].tolist() == stored["keys_neurons"].tolist() == stored["keys_embedding"].tolist() == [2, 5]
    assert 5 not in stored["keys_released"].tolist()  # (p-1)/2: their loop ends before it
    assert found["key_frequencies"] == found["key_frequencies_neurons"] == found["key_frequencies_embedding"] == 2
    assert stored["neuron_frequency"].tolist() == [2, 2, 5, 5]
    assert stored["head_frequency"].tolist() == [2]
    assert stored["neuron_to_logit_singular_values"].tolist() == pytest.approx([3 * math.sqrt(P / 2)] * 4)


@pytest.mark.parametrize("subtract", [False, True])
def test_ablations_of_the_exact_circuit(subtract: bool) -> None:
    table = all_differences(P) if subtract else None
    found = numbers(ABLATION, snapshot_of(circuit_network(P, KEYS, 3.0, table), table))
    whole = loss_of_waves(P, 3.0, KEYS)
    kept = ("base", "restricted", "keep_3x3", "block", "cosines", "neurons_polynomial", "neurons_waves")
    for key in (*kept, "neurons_directions"):
        assert found[key] == pytest.approx(whole, rel=1e-10), key
    for key in ("without_keys", "neurons_complement"):
        assert found[key] == pytest.approx(math.log(P), rel=1e-12), key
    assert found["frequency_removed@2"] == pytest.approx(loss_of_waves(P, 3.0, (5,)), rel=1e-10)
    assert found["frequency_removed@5"] == pytest.approx(loss_of_waves(P, 3.0, (2,)), rel=1e-10)


@pytest.mark.parametrize("subtract", [False, True])
def test_progress_measures_of_the_exact_circuit(subtract: bool) -> None:
    table = all_differences(P) if subtract else None
    snapshot = snapshot_of(circuit_network(P, KEYS, 3.0, table), table)
    found, stored = numbers(FOURIER, snapshot), arrays(FOURIER, snapshot)
    whole = loss_of_waves(P, 3.0, KEYS)
    for key in ("restricted_loss", "restricted_loss_train", "restricted_loss_test"):
        assert found[key] == pytest.approx(whole, rel=1e-10), key
    for key in ("excluded_loss", "excluded_loss_direction"):
        assert found[key] == pytest.approx(math.log(P), rel=1e-10), key
    alone = max(loss_of_waves(P, 3.0, (k,)) for k in KEYS)
    assert found["excluded_loss_largest"] == pytest.approx(alone, rel=1e-10)
    assert found["cosine_similarity"] == pytest.approx(1, abs=1e-12)
    assert found["logit_variance_explained"] == pytest.approx(1, abs=1e-12)
    assert found["neuron_to_logit_residual"] < 1e-12
    # the network's own loss knows the twelfth class, "=": e^-9 and what its row of W sends there
    assert found["test_loss_ratio"] == pytest.approx(1, abs=1e-3)
    expected = torch.zeros(P // 2, dtype=torch.float64)
    expected[[k - 1 for k in KEYS]] = 3 * math.sqrt(P**3 / 2)
    torch.testing.assert_close(stored["cosine_coefficients"], expected, rtol=1e-10, atol=1e-10)
    assert stored["excluded_single"].argsort()[-2:].sort().values.tolist() == [1, 4]


@pytest.mark.parametrize("p", [5, 7])
def test_progress_measures_equal_a_slow_evaluation(p: int) -> None:
    snapshot = snapshot_of(random_network(p))
    found, (key,) = numbers(FOURIER, snapshot), arrays(CIRCUIT, snapshot)["keys"].tolist()
    logits = snapshot.logits("all")[:, :p].reshape(p, p, p)
    answers, train = snapshot.probe("all").targets, snapshot.probe("train").rows
    test = snapshot.probe("test").rows
    assert answers is not None
    projected = naive_projection(logits, [key])
    restricted = naive_losses(projected + logits.mean((0, 1)), answers)
    excluded = naive_losses(logits - projected, answers)
    cube = [wave(p, key)[(answers.view(p, p)[:, :, None] - torch.arange(p)) % p].flatten()]
    direction = cube[0] / cube[0].norm()
    coefficient = direction @ logits.flatten()
    without = naive_losses(logits - (coefficient * direction).view(p, p, p), answers)
    each = torch.stack([naive_losses(logits - naive_projection(logits, [k]), answers)[train].mean() for k in (1, 2)])
    matrix = snapshot.parameters["matrix"][:p]
    rows = fourier.fourier_basis(p)[[2 * key - 1, 2 * key]]
    expected = {
        "restricted_loss": restricted.mean(),
        "restricted_loss_train": restricted[train].mean(),
        "restricted_loss_test": restricted[test].mean(),
        "excluded_loss": excluded[train].mean(),
        "excluded_loss_direction": without[train].mean(),
        "logit_variance_explained": explained(logits.reshape(-1, 1), cube)[0],
        "cosine_similarity": coefficient.abs() / logits.norm(),
        "neuron_to_logit_residual": (matrix - rows.T @ (rows @ matrix)).norm() / matrix.norm(),
        "test_loss_ratio": naive_losses(snapshot.logits("all"), answers)[test].mean() / restricted.mean(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value.item(), rel=1e-10, abs=1e-12), name
    torch.testing.assert_close(arrays(FOURIER, snapshot)["excluded_single"][:2], each, rtol=1e-10, atol=0)


@pytest.mark.parametrize("p", [5, 7])
def test_ablations_equal_a_slow_evaluation(p: int) -> None:
    network = random_network(p)
    snapshot = snapshot_of(network)
    found, (key,) = numbers(ABLATION, snapshot), arrays(CIRCUIT, snapshot)["keys"].tolist()
    logits, answers = snapshot.logits("all")[:, :p], snapshot.probe("all").targets
    assert answers is not None
    neurons, matrix = network.neurons.detach().flatten(0, 1), network.matrix.detach()[:p]
    bypass = logits - neurons @ matrix.T
    waves = [wave(p, key)[answers], wave(p, key, SINE)[answers]]
    directions = torch.linalg.qr(torch.stack([wave(p, key) @ matrix, wave(p, key, SINE) @ matrix], dim=1)).Q
    along = neurons @ directions @ directions.T
    polynomial = neurons.clone()
    for n in range(neurons.shape[1]):
        fits = {k: product_columns(p, k) for k in range(1, p // 2 + 1)}
        shares = {k: explained(neurons[:, n : n + 1], columns).item() for k, columns in fits.items()}
        best = max(shares, key=shares.__getitem__)
        if shares[best] > 0.85:
            polynomial[:, n : n + 1] = least_squares(neurons[:, n : n + 1], fits[best])
    assert not torch.equal(polynomial, neurons)
    expected = {
        "base": logits,
        "restricted": least_squares(logits, waves),
        "keep_3x3": least_squares(logits, product_columns(p, key)),
        "block": least_squares(logits, product_columns(p, key, single=False)),
        "without_keys": logits - least_squares(logits, waves) + logits.mean(0),
        f"frequency_removed@{key}": logits - least_squares(logits, waves) + logits.mean(0),
        "neurons_waves": bypass + least_squares(neurons, waves) @ matrix.T,
        "neurons_polynomial": bypass + polynomial @ matrix.T,
        "neurons_directions": bypass + along @ matrix.T,
        "neurons_complement": bypass + (neurons - along) @ matrix.T,
    }
    cube = wave(p, key)[(answers[:, None] - torch.arange(p)) % p]
    expected["cosines"] = cube * (cube * logits).sum() / cube.square().sum()
    assert set(found) == set(expected)
    for name, changed in expected.items():
        assert found[name] == pytest.approx(naive_losses(changed, answers).mean().item(), rel=1e-10), name


@pytest.mark.parametrize("p", [6, 7])
@pytest.mark.parametrize("measure", [FOURIER, CIRCUIT, ABLATION, CIRCLES, PARTICIPATION])
def test_subtracting_is_measured_as_adding_is(p: int, measure: Measure) -> None:
    network = random_network(p)
    added, subtracted = snapshot_of(network), snapshot_of(mirrored(network), all_differences(p))
    # the same pairs on both sides of the split: (a, -b) where that was (a, b)
    rows = subtracted.probes["train"].rows
    assert rows is not None
    there = (rows // p) * p + (-(rows % p)) % p
    skipped = {"excluded_loss", "excluded_accuracy", "excluded_loss_direction", "excluded_loss_largest"}
    skipped |= {"restricted_loss_train", "restricted_loss_test", "test_loss_ratio"}
    before, after = numbers(measure, added), numbers(measure, subtracted)
    compared = set(before) - (set() if torch.equal(there.sort().values, rows) else skipped)
    assert compared
    for name in compared:
        assert after[name] == pytest.approx(before[name], rel=1e-9, abs=1e-12, nan_ok=True), name


def test_no_key_frequencies_leave_the_mean_and_name_nothing() -> None:
    network = random_network(7)
    with torch.no_grad():
        network.matrix.copy_(torch.eye(8, 5))
    snapshot = snapshot_of(network)
    circuit, ablation = numbers(CIRCUIT, snapshot), numbers(ABLATION, snapshot)
    assert circuit["key_frequencies"] == 0
    for key in ("direction_variance_explained", "direction_variance_explained_mean", "logit_variance_explained"):
        assert circuit[key] == 0, key
    assert circuit["neuron_to_logit_residual"] == circuit["rank_gap"] == 1
    assert not any(name.startswith("frequency_removed") for name in ablation)
    assert ablation["without_keys"] == ablation["base"] == pytest.approx(ablation["neurons_complement"], rel=1e-12)
    assert ablation["cosines"] == pytest.approx(math.log(7), rel=1e-12)
    assert arrays(CIRCLES, snapshot)["points"].shape == (0, 7, 2)
    assert numbers(CIRCLES, snapshot) == {"circularity": 0, "frequency_share": 0}


def test_without_test_data_nothing_is_said_of_it() -> None:
    snapshot = snapshot_of(circuit_network(P, KEYS, 3.0))
    probes = {name: batch for name, batch in snapshot.probes.items() if name != "test"}
    module = snapshot._source.module
    assert module is not None
    roles = {"neuron_to_logit": "matrix", "embedding": "embedding"}
    found = numbers(FOURIER, Snapshot.of(module, probes=probes, facts=snapshot.facts, roles=roles))
    assert set(FOURIER.keys) - set(found) == {"restricted_loss_test", "test_loss_ratio"}


def test_a_network_trained_on_squares_has_its_test_cross_entropy_in_the_ratio() -> None:
    from dataclasses import replace

    given = snapshot_of(random_network(7))
    snapshot = Snapshot(replace(given._source, loss="mean-squared-error"), step=0, parameters=given.parameters)
    assert numbers(FOURIER, snapshot) == pytest.approx(numbers(FOURIER, given), rel=1e-12)


def test_embedding_on_its_circles() -> None:
    snapshot = snapshot_of(circuit_network(P, KEYS, 3.0))
    assert numbers(CIRCLES, snapshot) == pytest.approx({"circularity": 1, "frequency_share": 1}, abs=1e-12)
    points = arrays(CIRCLES, snapshot)["points"]
    for index, k in enumerate(KEYS):
        expected = 3 * torch.stack([wave(P, k), wave(P, k, SINE)], dim=1)
        torch.testing.assert_close(points[index], expected, rtol=1e-9, atol=1e-9)
    assert CIRCLES.hindsight is not None
    collected = CIRCLES.hindsight.collect(snapshot)
    assert not collected.kept
    assert {name: tuple(t.shape) for name, t in collected.transient.items()} == {"embedding": (P, 4)}


def test_maps_are_functions_of_the_pair() -> None:
    network = random_network(7)
    snapshot = snapshot_of(network)
    found = arrays(MAPS, snapshot)
    assert {name: tuple(t.shape) for name, t in found.items()} == {
        "logit_spectrum": (7, 7), "attention": (2, 7, 7), "neurons": (5, 7, 7),
        "neuron_index": (5,), "neuron_best_frequency": (5,),
    }  # fmt: skip
    assert {found[name].dtype for name in ("logit_spectrum", "attention", "neurons")} == {torch.float32}
    torch.testing.assert_close(found["attention"][1], network.attention.detach()[..., 1, 0].float())
    first = int(found["neuron_index"][0])
    torch.testing.assert_close(found["neurons"][0], network.neurons.detach()[..., first].float())
    logits = snapshot.logits("all")[:, :7].reshape(7, 7, 7)
    centred = (logits - logits.mean((0, 1))).square().sum().sqrt()
    assert found["logit_spectrum"][0, 0] == 0
    assert found["logit_spectrum"].norm().item() == pytest.approx(centred.item(), rel=1e-6)
    basis, total, same = fourier.fourier_basis(7), 0.0, 0.0
    for i in range(7):
        for j in range(7):
            coefficient = torch.einsum("a,b,abc->c", basis[i], basis[j], logits).square().sum().item()
            total += coefficient if (i, j) != (0, 0) else 0
            same += coefficient if i and j and (i + 1) // 2 == (j + 1) // 2 else 0
    assert numbers(MAPS, snapshot) == pytest.approx({"diagonal_share": same / total}, rel=1e-10)
    assert numbers(MAPS, snapshot_of(circuit_network(P, KEYS, 3.0)))["diagonal_share"] == pytest.approx(1)
    exact = arrays(MAPS, snapshot_of(circuit_network(P, KEYS, 3.0)))
    assert exact["neuron_best_frequency"].tolist() in ([2, 5, 2, 5], [5, 2, 2, 5], [2, 5, 5, 2], [5, 2, 5, 2])
    power = exact["logit_spectrum"].square()
    inside = sum(power[2 * k - 1 : 2 * k + 1, 2 * k - 1 : 2 * k + 1].sum() for k in KEYS)
    assert float(inside) == pytest.approx(float(power.sum()), rel=1e-6)


def test_participation_of_one_frequency_a_column_is_one() -> None:
    network = circuit_network(P, KEYS, 3.0)
    with torch.no_grad():
        network.matrix[:, 3] = 0  # a dead neuron has no say
    found = numbers(PARTICIPATION, snapshot_of(network))
    assert found["neuron_to_logit"] == pytest.approx(1, abs=1e-12)
    assert found["embedding"] < 1  # its columns mix the two frequencies


@pytest.mark.parametrize("measure", ALL)
def test_float32_agrees_with_float64_and_the_registry_knows_it(measure: Measure) -> None:
    assert MEASURES.get(measure.name) is measure
    assert measure.cites
    given = snapshot_of(random_network(7))
    single = Snapshot(
        given._source, step=0, parameters={name: tensor.float() for name, tensor in given.parameters.items()}
    )
    before, after = numbers(measure, given), numbers(measure, single)
    assert after == pytest.approx(before, rel=1e-4, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize("measure", [CIRCUIT, ABLATION, MAPS])
def test_a_model_without_the_site_is_told(measure: Measure) -> None:
    facts = snapshot_of(random_network(7)).facts
    model = nn.Linear(3, 8)
    probes = {"all": snapshot_of(random_network(7)).probes["all"]}
    snapshot = Snapshot.of(model, probes=probes, facts=facts, roles={"neuron_to_logit": "weight"})
    sentence = f"{measure.name} looks at the submodule 'at_neurons'; this model has none of that name."
    assert why_not(measure, snapshot) == sentence


def test_a_probe_that_is_not_all_pairs_is_refused() -> None:
    given = snapshot_of(random_network(7))
    whole = given.probes["all"]
    assert whole.targets is not None
    part = type(whole)(whole.inputs[:40], whole.targets[:40])
    module = given._source.module
    assert module is not None
    roles = {"neuron_to_logit": "matrix", "embedding": "embedding"}
    snapshot = Snapshot.of(module, probes={"all": part, "train": part}, facts=given.facts, roles=roles)
    with pytest.raises(UsageError, match=r"the probe 'all' has 40 examples: give all 7² = 49 pairs"):
        evaluate(FOURIER, snapshot)


def test_looking_changes_nothing() -> None:
    given = snapshot_of(random_network(7))
    before = {name: tensor.clone() for name, tensor in given.parameters.items()}
    readings: list[Reading] = [evaluate(measure, given) for measure in ALL]
    for measure, reading in zip(reversed(ALL), reversed(readings), strict=True):
        again = evaluate(measure, snapshot_of(random_network(7)))
        assert str(again.rows) == str(reading.rows)
    assert all(torch.equal(given.parameters[name], tensor) for name, tensor in before.items())
