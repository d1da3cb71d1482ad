"""Restricted and excluded loss: closed forms, and equality with projections on all p² pairs."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cubes import (
    MODULI,
    all_differences,
    all_sums,
    half_of_the_pairs,
    naive_losses,
    naive_projection,
    random_logits,
    single_wave,
)
from grokscope.errors import UsageError
from grokscope.linalg import circuit, fourier, progress


def test_the_documented_examples_hold():
    assert doctest.testmod(progress).failed == 0


@pytest.mark.parametrize(("scale", "loss"), [(1.0, 0.845781), (5.0, 0.0614863), (10.0, 0.00199389)])
def test_a_pure_circuit_modulo_five(scale: float, loss: float):
    logits = single_wave(5, scale)
    diagonal = progress.anti_diagonal_mean(logits)
    sums, chosen = all_sums(5).reshape(-1), half_of_the_pairs(5)
    rows = logits.reshape(25, 5)
    assert progress.cross_entropy(rows, sums).mean().item() == pytest.approx(loss, rel=2e-6)
    assert fourier.key_frequencies(fourier.frequency_norms(diagonal)) == (1,)
    for counts in (None, torch.bincount(sums[chosen], minlength=5)):
        assert progress.restricted_loss(diagonal, [1], counts).item() == pytest.approx(loss, rel=2e-6)
        assert progress.restricted_accuracy(diagonal, [1], counts).item() == 1
    excluded = progress.excluded_loss(rows[chosen], sums[chosen], diagonal, [1]).item()
    assert excluded == pytest.approx(math.log(5), rel=1e-12)
    assert excluded == pytest.approx(1.609438, abs=1e-6)
    coefficients = circuit.cosine_coefficients(diagonal)
    torch.testing.assert_close(coefficients[0].item(), scale * math.sqrt(125 / 2), rtol=1e-12, atol=0)
    assert abs(coefficients[1].item()) < 1e-12
    assert circuit.logit_variance_explained(logits, [1]).item() == pytest.approx(1, abs=1e-12)
    assert circuit.logit_variance_explained(logits, [2]).item() == pytest.approx(0, abs=1e-12)


def test_a_wave_of_the_difference_is_not_the_circuit():
    logits = single_wave(5, 1.0, sign=-1)
    diagonal = progress.anti_diagonal_mean(logits)
    sums, rows = all_sums(5).reshape(-1), logits.reshape(25, 5)
    assert progress.restricted_loss(diagonal, [1]).item() == pytest.approx(math.log(5), rel=1e-12)
    unchanged = progress.cross_entropy(rows, sums).mean().item()
    assert progress.excluded_loss(rows, sums, diagonal, [1]).item() == pytest.approx(unchanged, rel=1e-12)


@pytest.mark.parametrize(("p", "classes"), [(p, c) for p in MODULI for c in (1, p, p + 3)])
def test_restricted_logits_equal_the_projection_of_all_pairs(p: int, classes: int):
    logits = random_logits(p, classes) + 3
    diagonal = progress.anti_diagonal_mean(logits)
    for keys in ([], [p // 2], list(fourier.frequencies(p))):
        projected = naive_projection(logits, keys)
        component = progress.key_component(diagonal, keys)[all_sums(p)]
        torch.testing.assert_close(component, projected, rtol=1e-10, atol=1e-12)
        restricted = progress.restricted_logits(diagonal, keys)[all_sums(p)]
        torch.testing.assert_close(restricted, projected + logits.mean((0, 1)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("p", MODULI)
def test_losses_equal_their_definition_on_each_split(p: int):
    logits = random_logits(p, p)
    diagonal = progress.anti_diagonal_mean(logits)
    sums, rows = all_sums(p).reshape(-1), logits.reshape(p * p, p)
    train = half_of_the_pairs(p)
    test = torch.tensor(sorted(set(range(p * p)) - set(train.tolist())))
    keys = sorted({1, p // 2})
    projected = naive_projection(logits, keys)
    restricted = (projected + logits.mean((0, 1))).reshape(p * p, p)
    excluded = rows - projected.reshape(p * p, p)
    for split in (torch.arange(p * p), train, test):
        counts = torch.bincount(sums[split], minlength=p)
        expected = naive_losses(restricted, sums)[split].mean()
        torch.testing.assert_close(progress.restricted_loss(diagonal, keys, counts), expected, rtol=1e-10, atol=0)
        right = (restricted.argmax(1) == sums)[split].double().mean()
        torch.testing.assert_close(progress.restricted_accuracy(diagonal, keys, counts), right)
        expected = naive_losses(excluded, sums)[split].mean()
        found = progress.excluded_loss(rows[split], sums[split], diagonal, keys)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
        right = (excluded.argmax(1) == sums)[split].double().mean()
        torch.testing.assert_close(progress.excluded_accuracy(rows[split], sums[split], diagonal, keys), right)
    everything = naive_losses(restricted, sums).mean()
    torch.testing.assert_close(progress.restricted_loss(diagonal, keys), everything, rtol=1e-10, atol=0)


@pytest.mark.parametrize("p", MODULI)
@pytest.mark.parametrize("scale", [0.5, 5.0, 400.0])
def test_single_exclusions_equal_one_at_a_time(p: int, scale: float):
    """The scale of 400 exceeds the range of a product of exponentials and takes the direct path."""
    logits = random_logits(p, p, scale=scale)
    diagonal = progress.anti_diagonal_mean(logits)
    chosen = half_of_the_pairs(p)
    sums, rows = all_sums(p).reshape(-1)[chosen], logits.reshape(p * p, p)[chosen]
    expected = torch.stack([progress.excluded_loss(rows, sums, diagonal, [k]) for k in fourier.frequencies(p)])
    for chunk in (1, 2, 8):
        found = progress.excluded_losses(rows, sums, diagonal, chunk=chunk)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-15)


def test_single_exclusions_keep_the_digits_of_a_tiny_loss():
    logits = single_wave(5, 1.0) * 0 + 50 * torch.eye(5, dtype=torch.float64)[all_sums(5)]
    rows, sums = logits.reshape(25, 5), all_sums(5).reshape(-1)
    losses = progress.excluded_losses(rows, sums, torch.zeros(5, 5))
    torch.testing.assert_close(losses, torch.full_like(losses, 4 * math.exp(-50)), rtol=1e-12, atol=0)


def test_single_exclusions_of_a_diverged_run_are_nan():
    rows = torch.full((5, 5), math.nan)
    assert progress.excluded_losses(rows, torch.arange(5), rows).isnan().all()


@given(p=st.integers(2, 13), classes=st.integers(1, 4), seed=st.integers(0, 1000))
def test_a_function_of_the_sum_is_its_own_anti_diagonal_mean(p: int, classes: int, seed: int):
    table = random_logits(p, classes, seed)[0]
    found = progress.anti_diagonal_mean(table[all_sums(p)])
    torch.testing.assert_close(found, table, rtol=1e-13, atol=1e-13)


@given(p=st.integers(3, 13), data=st.data())
def test_a_unit_of_the_ring_relabels_the_keys(p: int, data: st.DataObject):
    unit = data.draw(st.sampled_from([u for u in range(1, p) if math.gcd(u, p) == 1]))
    keys = data.draw(st.sets(st.sampled_from(list(fourier.frequencies(p)))))
    diagonal = random_logits(p, p, data.draw(st.integers(0, 1000)))[0]
    counts = torch.randint(0, 5, (p,), generator=torch.Generator().manual_seed(p)) + 1
    moved = unit * torch.arange(p) % p
    images = {min(k * unit % p, -k * unit % p) for k in keys}
    relabelled = diagonal[moved][:, moved]
    torch.testing.assert_close(
        progress.restricted_logits(relabelled, images),
        progress.restricted_logits(diagonal, keys)[moved][:, moved],
        rtol=1e-10,
        atol=1e-12,
    )
    torch.testing.assert_close(
        progress.restricted_loss(relabelled, images, counts[moved]),
        progress.restricted_loss(diagonal, keys, counts),
        rtol=1e-10,
        atol=1e-12,
    )


@given(p=st.integers(3, 13), seed=st.integers(0, 1000), data=st.data())
def test_what_is_orthogonal_to_the_keys_leaves_the_projection(p: int, seed: int, data: st.DataObject):
    keys = data.draw(st.sets(st.sampled_from(list(fourier.frequencies(p)))))
    logits = random_logits(p, p, seed)
    noise = random_logits(p, p, seed + 1)
    noise = noise - naive_projection(noise, sorted(keys)) - noise.mean((0, 1))
    before, after = (progress.anti_diagonal_mean(table) for table in (logits, logits + noise))
    restricted = progress.restricted_logits(before, keys)
    torch.testing.assert_close(progress.restricted_logits(after, keys), restricted, rtol=1e-10, atol=1e-11)
    again = progress.key_component(restricted, keys)
    torch.testing.assert_close(again, progress.key_component(before, keys), rtol=1e-10, atol=1e-12)


@given(p=st.integers(3, 13), seed=st.integers(0, 1000))
def test_a_shift_of_all_logits_of_a_pair_moves_no_loss(p: int, seed: int):
    logits = random_logits(p, p, seed)
    shifted = logits + random_logits(p, 1, seed + 1)
    sums, keys = all_sums(p).reshape(-1), [1]
    before, after = (
        (
            progress.restricted_loss(progress.anti_diagonal_mean(table), keys),
            progress.excluded_loss(table.reshape(p * p, p), sums, progress.anti_diagonal_mean(table), keys),
        )
        for table in (logits, shifted)
    )
    torch.testing.assert_close(before, after, rtol=1e-10, atol=1e-12)


def test_keys_are_a_set():
    diagonal = random_logits(7, 7)[0]
    once = progress.key_component(diagonal, [2, 3])
    torch.testing.assert_close(progress.key_component(diagonal, [3, 2, 3]), once, rtol=0, atol=0)


def test_no_keys_leave_the_mean_alone():
    diagonal = random_logits(5, 5)[0]
    restricted = progress.restricted_logits(diagonal, [])
    torch.testing.assert_close(restricted, diagonal.mean(0).expand(5, 5))
    torch.testing.assert_close(progress.key_component(diagonal, ()), torch.zeros_like(diagonal))
    loss = progress.cross_entropy(diagonal, torch.arange(5)).mean()
    torch.testing.assert_close(progress.excluded_loss(diagonal, torch.arange(5), diagonal, []), loss)
    assert circuit.logit_variance_explained(random_logits(5, 5), []).item() == 0


@pytest.mark.parametrize("p", MODULI)
def test_differences_are_as_good_as_sums(p: int):
    logits, table = random_logits(p, p) + 1, all_differences(p)
    diagonal, keys = progress.anti_diagonal_mean(logits, table), [1, p // 2]
    for s in range(p):
        expected = logits[table == s].mean(0)
        torch.testing.assert_close(diagonal[s], expected, rtol=1e-12, atol=1e-14)
    projected = naive_projection(logits, sorted(set(keys)), table)
    torch.testing.assert_close(progress.key_component(diagonal, keys)[table], projected, rtol=1e-10, atol=1e-12)
    expected = naive_losses(logits - projected, table).mean()
    found = progress.excluded_loss(logits.reshape(p * p, p), table.flatten(), diagonal, keys)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    restricted = naive_losses(projected + logits.mean((0, 1)), table).mean()
    torch.testing.assert_close(progress.restricted_loss(diagonal, keys), restricted, rtol=1e-10, atol=0)
    mirrored = logits[:, -torch.arange(p)]  # b -> -b turns differences into sums
    torch.testing.assert_close(progress.anti_diagonal_mean(mirrored), diagonal, rtol=1e-12, atol=1e-14)


def test_answers_of_sums_by_hand():
    losses, hits = progress.answers_of_sums(torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]]))
    assert losses.tolist() == pytest.approx([math.log(4), math.log(4 / 3)], rel=1e-6)
    assert hits.tolist() == [0, 1]
    assert progress.mean_over_pairs(losses, torch.tensor([0, 2])).item() == losses[1].item()


ones = torch.ones
SQUARE = torch.ones(5, 5)
SUMS = torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: progress.anti_diagonal_mean(ones(3, 3, 3), ones(3, 3).long()), "each of 3 residues 3 times"),
        (lambda: progress.anti_diagonal_mean(ones(3, 3, 3), all_sums(4)), r"answers \[4, 4\] was given"),
        (lambda: progress.anti_diagonal_mean(ones(3, 3, 3), -all_sums(3)), "give that of a"),
        (lambda: progress.anti_diagonal_mean(ones(3, 3, 3), all_sums(3).float()), "give that of a"),
        (lambda: progress.answers_of_sums(ones(5, 6)), "drop classes such as"),
        (lambda: progress.mean_over_pairs(ones(5), ones(4)), "one per sum"),
        (lambda: progress.anti_diagonal_mean(ones(5, 4, 5)), r"\[5, 4, 5\] was given: give logits"),
        (lambda: progress.anti_diagonal_mean(SQUARE), "classes"),
        (lambda: progress.key_component(SQUARE, [3]), "no frequency 3 exists modulo 5: give keys of 1 to 2"),
        (lambda: progress.restricted_logits(SQUARE, [0]), "no frequency 0"),
        (lambda: progress.restricted_loss(ones(5, 6), [1]), "drop classes such as"),
        (lambda: progress.restricted_loss(SQUARE, [1], ones(4)), "one per sum"),
        (lambda: progress.restricted_loss(SQUARE, [1], torch.zeros(5)), "all zero"),
        (lambda: progress.restricted_accuracy(SQUARE, [1], -ones(5)), "negative"),
        (lambda: progress.cross_entropy(SQUARE, SUMS), "one target per row"),
        (lambda: progress.excluded_loss(ones(0, 5), SUMS[:0], SQUARE, [1]), "at least one pair"),
        (lambda: progress.excluded_loss(ones(3, 5), SUMS + 5, SQUARE, [1]), "not all residues"),
        (lambda: progress.excluded_accuracy(ones(3, 5), SUMS.float(), SQUARE, [1]), "not all residues"),
        (lambda: progress.excluded_losses(ones(3, 6), SUMS, SQUARE), "do not fit modulus 5"),
        (lambda: progress.excluded_losses(ones(3, 5), SUMS, SQUARE, chunk=0), "chunk is 0"),
    ],
)
def test_bad_input_is_told_in_a_sentence(call, message: str):
    with pytest.raises(UsageError, match=message):
        call()
