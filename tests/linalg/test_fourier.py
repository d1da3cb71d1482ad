"""Closed forms of circuits modulo p, and equality with projections on all p² pairs."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import fourier

MODULI = [2, 3, 4, 5, 8, 11, 12, 13]
quick = settings(derandomize=True, deadline=None, max_examples=30)


def single_wave(p: int, scale: float, *, sign: int = 1, frequency: int = 1) -> Tensor:
    a, b, c = torch.meshgrid(*[torch.arange(p, dtype=torch.float64)] * 3, indexing="ij")
    return scale * torch.cos(2 * math.pi * frequency * (a + sign * b - c) / p)


def random_logits(p: int, classes: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * p + classes + seed)
    return scale * torch.randn(p, p, classes, generator=generator, dtype=torch.float64)


def all_sums(p: int) -> Tensor:
    return (torch.arange(p)[:, None] + torch.arange(p)) % p


def half_of_the_pairs(p: int, seed: int = 0) -> Tensor:
    order = torch.randperm(p * p, generator=torch.Generator().manual_seed(seed))
    return order[: max(1, p * p // 2)]


def naive_projection(logits: Tensor, keys: list[int]) -> Tensor:
    """Project on unit vectors in the space of all p² pairs, one direction at a time."""
    p, classes = logits.shape[0], logits.shape[2]
    flat = logits.reshape(p * p, classes)
    sums = all_sums(p).reshape(-1).double()
    out = torch.zeros_like(flat)
    for k in keys:
        for wave in (torch.cos, torch.sin):
            direction = wave(2 * math.pi * k * sums / p)
            if direction.norm() > 1e-6:  # the sine vanishes at p/2
                unit = direction / direction.norm()
                out += torch.outer(unit, unit @ flat)
    return out.reshape(logits.shape)


def naive_losses(logits: Tensor, sums: Tensor) -> Tensor:
    rows = logits.reshape(-1, logits.shape[-1])
    return rows.exp().sum(1).log() - rows[torch.arange(len(rows)), sums.reshape(-1)]


def test_the_documented_examples_hold():
    assert doctest.testmod(fourier).failed == 0


@pytest.mark.parametrize("p", MODULI)
def test_basis_is_orthonormal_and_ordered(p: int):
    basis = fourier.fourier_basis(p)
    torch.testing.assert_close(basis @ basis.T, torch.eye(p, dtype=torch.float64), rtol=0, atol=1e-13)
    a = torch.arange(p, dtype=torch.float64)
    torch.testing.assert_close(basis[0], torch.full((p,), p**-0.5, dtype=torch.float64))
    for k in range(1, (p - 1) // 2 + 1):
        torch.testing.assert_close(basis[2 * k - 1], (2 * math.pi * k * a / p).cos() / math.sqrt(p / 2))
        torch.testing.assert_close(basis[2 * k], (2 * math.pi * k * a / p).sin() / math.sqrt(p / 2))
    if p % 2 == 0:
        torch.testing.assert_close(basis[-1], (1 - 2 * (a % 2)) / math.sqrt(p))
    assert fourier.fourier_basis(p, dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("p", MODULI)
def test_norms_equal_the_basis_definition(p: int):
    matrix = random_logits(p, 6)[0]
    coefficients = fourier.fourier_basis(p) @ matrix
    components = coefficients[1:].norm(dim=1)
    torch.testing.assert_close(fourier.component_norms(matrix), components, rtol=1e-10, atol=1e-12)
    padded = torch.cat([components, components.new_zeros(1 - p % 2)])
    combined = padded.reshape(-1, 2).square().sum(1).sqrt()
    assert len(combined) == len(fourier.frequencies(p))
    torch.testing.assert_close(fourier.frequency_norms(matrix), combined, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("p", [5, 12, 13])
def test_the_last_frequency_is_reachable(p: int):
    last = p // 2
    wave = torch.cos(2 * math.pi * last * torch.arange(p, dtype=torch.float64) / p)[:, None]
    assert fourier.frequencies(p)[-1] == last
    assert fourier.key_frequencies(fourier.frequency_norms(wave)) == (last,)
    torch.testing.assert_close(fourier.key_component(wave, [last]), wave)


def test_spectrum_of_a_product_of_cosines_is_one_coefficient():
    a = torch.arange(7, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * 3 * a / 7)
    spectrum = fourier.spectrum_2d((torch.outer(wave, wave) + 0.7)[..., None])[..., 0]
    expected = torch.zeros(7, 7, dtype=torch.float64)
    expected[5, 5], expected[0, 0] = 3.5, 4.9  # the waves' norms, √(7/2)²; 0.7·7
    torch.testing.assert_close(spectrum, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("p", [4, 7])
def test_spectrum_is_the_basis_on_both_axes_and_keeps_energy(p: int):
    activations = random_logits(p, 3)
    basis = fourier.fourier_basis(p)
    spectrum = fourier.spectrum_2d(activations)
    torch.testing.assert_close(spectrum, torch.einsum("ia,jb,abn->ijn", basis, basis, activations))
    torch.testing.assert_close(spectrum.square().sum((0, 1)), activations.square().sum((0, 1)))


def test_keys_are_those_above_a_quarter_of_the_largest():
    norms = torch.tensor([0.1, 4.0, 0.9, 1.1, 0.1, 0.2, 0.1, 1.0])
    assert fourier.key_frequencies(norms) == (2, 4)
    assert fourier.key_frequencies(norms, threshold=0.2) == (2, 3, 4, 8)


@pytest.mark.parametrize("norms", [[1.0, 2.9, 1.0, 1.1], [0.0, 0.0], [1.0], [1.0, math.nan], [1.0, math.inf, 1.0]])
def test_a_run_without_a_circuit_has_no_keys(norms: list[float]):
    assert fourier.key_frequencies(torch.tensor(norms)) == ()


def test_silence_is_measured_against_the_median():
    assert fourier.key_frequencies(torch.tensor([1.0, 3.0, 1.0])) == (1, 2, 3)
    assert fourier.key_frequencies(torch.tensor([1.0, 3.0, 1.0]), silence=3.01) == ()


@pytest.mark.parametrize(("scale", "loss"), [(1.0, 0.845781), (5.0, 0.0614863), (10.0, 0.00199389)])
def test_a_pure_circuit_modulo_five(scale: float, loss: float):
    logits = single_wave(5, scale)
    diagonal = fourier.anti_diagonal_mean(logits)
    sums, chosen = all_sums(5).reshape(-1), half_of_the_pairs(5)
    rows = logits.reshape(25, 5)
    assert fourier.cross_entropy(rows, sums).mean().item() == pytest.approx(loss, rel=2e-6)
    assert fourier.key_frequencies(fourier.frequency_norms(diagonal)) == (1,)
    for counts in (None, torch.bincount(sums[chosen], minlength=5)):
        assert fourier.restricted_loss(diagonal, [1], counts).item() == pytest.approx(loss, rel=2e-6)
        assert fourier.restricted_accuracy(diagonal, [1], counts).item() == 1
    excluded = fourier.excluded_loss(rows[chosen], sums[chosen], diagonal, [1]).item()
    assert excluded == pytest.approx(math.log(5), rel=1e-12)
    assert excluded == pytest.approx(1.609438, abs=1e-6)
    coefficients = fourier.cosine_coefficients(diagonal)
    torch.testing.assert_close(coefficients[0].item(), scale * math.sqrt(125 / 2), rtol=1e-12, atol=0)
    assert abs(coefficients[1].item()) < 1e-12
    assert fourier.logit_variance_explained(logits, [1]).item() == pytest.approx(1, abs=1e-12)
    assert fourier.logit_variance_explained(logits, [2]).item() == pytest.approx(0, abs=1e-12)


def test_a_wave_of_the_difference_is_not_the_circuit():
    logits = single_wave(5, 1.0, sign=-1)
    diagonal = fourier.anti_diagonal_mean(logits)
    sums, rows = all_sums(5).reshape(-1), logits.reshape(25, 5)
    assert fourier.restricted_loss(diagonal, [1]).item() == pytest.approx(math.log(5), rel=1e-12)
    unchanged = fourier.cross_entropy(rows, sums).mean().item()
    assert fourier.excluded_loss(rows, sums, diagonal, [1]).item() == pytest.approx(unchanged, rel=1e-12)


@pytest.mark.parametrize(("p", "classes"), [(p, c) for p in MODULI for c in (1, p, p + 3)])
def test_restricted_logits_equal_the_projection_of_all_pairs(p: int, classes: int):
    logits = random_logits(p, classes) + 3
    diagonal = fourier.anti_diagonal_mean(logits)
    for keys in ([], [p // 2], list(fourier.frequencies(p))):
        projected = naive_projection(logits, keys)
        component = fourier.key_component(diagonal, keys)[all_sums(p)]
        torch.testing.assert_close(component, projected, rtol=1e-10, atol=1e-12)
        restricted = fourier.restricted_logits(diagonal, keys)[all_sums(p)]
        torch.testing.assert_close(restricted, projected + logits.mean((0, 1)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("p", MODULI)
def test_losses_equal_their_definition_on_each_split(p: int):
    logits = random_logits(p, p)
    diagonal = fourier.anti_diagonal_mean(logits)
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
        torch.testing.assert_close(fourier.restricted_loss(diagonal, keys, counts), expected, rtol=1e-10, atol=0)
        right = (restricted.argmax(1) == sums)[split].double().mean()
        torch.testing.assert_close(fourier.restricted_accuracy(diagonal, keys, counts), right)
        expected = naive_losses(excluded, sums)[split].mean()
        found = fourier.excluded_loss(rows[split], sums[split], diagonal, keys)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
        right = (excluded.argmax(1) == sums)[split].double().mean()
        torch.testing.assert_close(fourier.excluded_accuracy(rows[split], sums[split], diagonal, keys), right)
    everything = naive_losses(restricted, sums).mean()
    torch.testing.assert_close(fourier.restricted_loss(diagonal, keys), everything, rtol=1e-10, atol=0)


@pytest.mark.parametrize("p", MODULI)
@pytest.mark.parametrize("scale", [0.5, 5.0, 400.0])
def test_single_exclusions_equal_one_at_a_time(p: int, scale: float):
    """The scale of 400 exceeds the range of a product of exponentials and takes the direct path."""
    logits = random_logits(p, p, scale=scale)
    diagonal = fourier.anti_diagonal_mean(logits)
    chosen = half_of_the_pairs(p)
    sums, rows = all_sums(p).reshape(-1)[chosen], logits.reshape(p * p, p)[chosen]
    expected = torch.stack([fourier.excluded_loss(rows, sums, diagonal, [k]) for k in fourier.frequencies(p)])
    for chunk in (1, 2, 8):
        found = fourier.excluded_losses(rows, sums, diagonal, chunk=chunk)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-15)


def test_single_exclusions_keep_the_digits_of_a_tiny_loss():
    logits = single_wave(5, 1.0) * 0 + 50 * torch.eye(5, dtype=torch.float64)[all_sums(5)]
    rows, sums = logits.reshape(25, 5), all_sums(5).reshape(-1)
    losses = fourier.excluded_losses(rows, sums, torch.zeros(5, 5))
    torch.testing.assert_close(losses, torch.full_like(losses, 4 * math.exp(-50)), rtol=1e-12, atol=0)


def test_single_exclusions_of_a_diverged_run_are_nan():
    rows = torch.full((5, 5), math.nan)
    assert fourier.excluded_losses(rows, torch.arange(5), rows).isnan().all()


@pytest.mark.parametrize("p", MODULI)
def test_cosine_coefficients_equal_the_inner_product_on_the_cube(p: int):
    logits = random_logits(p, p) + 1
    flat = logits - logits.mean()
    residual = flat.clone()
    found = fourier.cosine_coefficients(fourier.anti_diagonal_mean(logits))
    for index, k in enumerate(fourier.frequencies(p)):
        wave = single_wave(p, 1.0, frequency=k)
        unit = wave / wave.norm()
        torch.testing.assert_close(found[index], (logits * unit).sum(), rtol=1e-10, atol=1e-11)
        residual -= (flat * unit).sum() * unit
        if 2 * k < p:
            assert wave.norm().item() == pytest.approx(math.sqrt(p**3 / 2))
    explained = fourier.logit_variance_explained(logits, fourier.frequencies(p))
    torch.testing.assert_close(explained, 1 - residual.square().sum() / flat.square().sum())


@quick
@given(p=st.integers(2, 13), classes=st.integers(1, 4), seed=st.integers(0, 1000))
def test_a_function_of_the_sum_is_its_own_anti_diagonal_mean(p: int, classes: int, seed: int):
    table = random_logits(p, classes, seed)[0]
    found = fourier.anti_diagonal_mean(table[all_sums(p)])
    torch.testing.assert_close(found, table, rtol=1e-13, atol=1e-13)


@quick
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
        fourier.restricted_logits(relabelled, images),
        fourier.restricted_logits(diagonal, keys)[moved][:, moved],
        rtol=1e-10,
        atol=1e-12,
    )
    torch.testing.assert_close(
        fourier.restricted_loss(relabelled, images, counts[moved]),
        fourier.restricted_loss(diagonal, keys, counts),
        rtol=1e-10,
        atol=1e-12,
    )


@quick
@given(p=st.integers(3, 13), seed=st.integers(0, 1000), data=st.data())
def test_what_is_orthogonal_to_the_keys_leaves_the_projection(p: int, seed: int, data: st.DataObject):
    keys = data.draw(st.sets(st.sampled_from(list(fourier.frequencies(p)))))
    logits = random_logits(p, p, seed)
    noise = random_logits(p, p, seed + 1)
    noise = noise - naive_projection(noise, sorted(keys)) - noise.mean((0, 1))
    before, after = (fourier.anti_diagonal_mean(table) for table in (logits, logits + noise))
    restricted = fourier.restricted_logits(before, keys)
    torch.testing.assert_close(fourier.restricted_logits(after, keys), restricted, rtol=1e-10, atol=1e-11)
    again = fourier.key_component(restricted, keys)
    torch.testing.assert_close(again, fourier.key_component(before, keys), rtol=1e-10, atol=1e-12)


@quick
@given(p=st.integers(3, 13), seed=st.integers(0, 1000))
def test_a_shift_of_all_logits_of_a_pair_moves_no_loss(p: int, seed: int):
    logits = random_logits(p, p, seed)
    shifted = logits + random_logits(p, 1, seed + 1)
    sums, keys = all_sums(p).reshape(-1), [1]
    before, after = (
        (
            fourier.restricted_loss(fourier.anti_diagonal_mean(table), keys),
            fourier.excluded_loss(table.reshape(p * p, p), sums, fourier.anti_diagonal_mean(table), keys),
        )
        for table in (logits, shifted)
    )
    torch.testing.assert_close(before, after, rtol=1e-10, atol=1e-12)


def test_keys_are_a_set():
    diagonal = random_logits(7, 7)[0]
    once = fourier.key_component(diagonal, [2, 3])
    torch.testing.assert_close(fourier.key_component(diagonal, [3, 2, 3]), once, rtol=0, atol=0)


def suite(logits: Tensor) -> list[Tensor]:
    p = len(logits)
    diagonal = fourier.anti_diagonal_mean(logits).to(logits.dtype)
    rows, sums = logits.reshape(p * p, p), all_sums(p).reshape(-1).to(logits.device)
    counts = torch.bincount(sums[: p * p // 3], minlength=p)
    return [
        fourier.frequency_norms(diagonal),
        fourier.component_norms(diagonal),
        fourier.anti_diagonal_mean(logits),
        fourier.restricted_logits(diagonal, [1, 3]),
        fourier.restricted_loss(diagonal, [1, 3], counts),
        fourier.restricted_accuracy(diagonal, [1, 3]),
        fourier.excluded_loss(rows, sums, diagonal, [1, 3]),
        fourier.excluded_accuracy(rows, sums, diagonal, [1, 3]),
        fourier.excluded_losses(rows, sums, diagonal),
        fourier.cosine_coefficients(diagonal),
        fourier.logit_variance_explained(logits, [1, 3]),
        fourier.spectrum_2d(logits),
    ]


def test_float32_input_is_computed_in_float64():
    logits = random_logits(7, 7)
    for single, double in zip(suite(logits.float()), suite(logits), strict=True):
        assert single.dtype == torch.float64
        torch.testing.assert_close(single, double, rtol=1e-5, atol=1e-5)
    rounded = suite(logits.float())[2]
    torch.testing.assert_close(rounded, fourier.anti_diagonal_mean(logits.float().double()), rtol=1e-14, atol=1e-15)
    tiny = fourier.cross_entropy(torch.tensor([30.0, 0.0]), torch.tensor(0)).item()
    assert tiny == pytest.approx(math.exp(-30), rel=1e-2)  # float32 would give 0; eps/e^-30 = 2e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_results_stay_on_the_device_of_the_input():
    logits = random_logits(7, 7)
    for there, here in zip(suite(logits.cuda()), suite(logits), strict=True):
        assert there.is_cuda
        torch.testing.assert_close(there.cpu(), here, rtol=1e-10, atol=1e-12)


def test_no_keys_leave_the_mean_alone():
    diagonal = random_logits(5, 5)[0]
    restricted = fourier.restricted_logits(diagonal, [])
    torch.testing.assert_close(restricted, diagonal.mean(0).expand(5, 5))
    torch.testing.assert_close(fourier.key_component(diagonal, ()), torch.zeros_like(diagonal))
    loss = fourier.cross_entropy(diagonal, torch.arange(5)).mean()
    torch.testing.assert_close(fourier.excluded_loss(diagonal, torch.arange(5), diagonal, []), loss)
    assert fourier.logit_variance_explained(random_logits(5, 5), []).item() == 0


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 1e9])
def test_constant_logits_have_no_variance_to_explain(value: float):
    for p in (3, 5, 13):
        assert fourier.logit_variance_explained(torch.full((p, p, p), value), [1]).isnan()
    tiny = fourier.logit_variance_explained(single_wave(5, 1e-9) + 1, [1])
    assert tiny.item() == pytest.approx(1, abs=1e-6)


ones = torch.ones
SQUARE = torch.ones(5, 5)
SUMS = torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.fourier_basis(1), "the modulus is 1"),
        (lambda f: f.frequencies(0), "at least 2"),
        (lambda f: f.frequency_norms(ones(5)), r"matrix has shape \[5\]: give 2 axes"),
        (lambda f: f.component_norms(ones(1, 5)), r"matrix has shape \[1, 5\]"),
        (lambda f: f.key_frequencies(ones(2, 2)), "give one a frequency"),
        (lambda f: f.key_frequencies(torch.tensor([1.0, -1.0])), "non-negative"),
        (lambda f: f.key_frequencies(ones(0)), "give one a frequency"),
        (lambda f: f.key_frequencies(ones(3), threshold=1.0), "threshold is 1.0"),
        (lambda f: f.key_frequencies(ones(3), silence=-1.0), "silence -1.0"),
        (lambda f: f.anti_diagonal_mean(ones(5, 4, 5)), r"\[5, 4, 5\] was given: give logits"),
        (lambda f: f.anti_diagonal_mean(SQUARE), "classes"),
        (lambda f: f.spectrum_2d(ones(5, 4, 5)), "give activations"),
        (lambda f: f.key_component(SQUARE, [3]), "no frequency 3 exists modulo 5: give keys of 1 to 2"),
        (lambda f: f.restricted_logits(SQUARE, [0]), "no frequency 0"),
        (lambda f: f.logit_variance_explained(ones(5, 5, 5), [9]), "no frequency 9"),
        (lambda f: f.logit_variance_explained(ones(5, 5, 6), [1]), "drop classes such as"),
        (lambda f: f.restricted_loss(ones(5, 6), [1]), "drop classes such as"),
        (lambda f: f.restricted_loss(SQUARE, [1], ones(4)), "one per sum"),
        (lambda f: f.restricted_loss(SQUARE, [1], torch.zeros(5)), "all zero"),
        (lambda f: f.restricted_accuracy(SQUARE, [1], -ones(5)), "negative"),
        (lambda f: f.cross_entropy(SQUARE, SUMS), "one target per row"),
        (lambda f: f.cosine_coefficients(ones(5, 6)), r"\[5, 6\]"),
        (lambda f: f.excluded_loss(ones(0, 5), SUMS[:0], SQUARE, [1]), "at least one pair"),
        (lambda f: f.excluded_loss(ones(3, 5), SUMS + 5, SQUARE, [1]), "not all residues"),
        (lambda f: f.excluded_accuracy(ones(3, 5), SUMS.float(), SQUARE, [1]), "not all residues"),
        (lambda f: f.excluded_losses(ones(3, 6), SUMS, SQUARE), "do not fit modulus 5"),
        (lambda f: f.excluded_losses(ones(3, 5), SUMS, SQUARE, chunk=0), "chunk is 0"),
    ],
)
def test_bad_input_is_told_in_a_sentence(call, message: str):
    with pytest.raises(UsageError, match=message):
        call(fourier)
