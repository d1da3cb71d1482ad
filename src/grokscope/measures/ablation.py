"""The loss on all pairs when only some waves, or directions of the neurons, are kept (Nanda et al. 2023, Sec. 4.4).

By the key frequencies of this same moment. All losses are over the p residues, in float64, on all p² pairs. The
neurons reach the logits by the neuron-to-logit map; what bypasses them (the residual stream, biases) is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from grokscope.linalg import ablation, circuit, fourier, progress
from grokscope.measures import residues
from grokscope.measures.base import Key, Measure

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def measure(snapshot: Snapshot) -> dict[str, Any]:
    """Return the loss of the network and of each ablated one."""
    p, keys, table = residues.modulus(snapshot), residues.keys(snapshot), residues.table(snapshot)
    logits, diagonal = residues.logits_of_pairs(snapshot), residues.diagonal(snapshot)
    table = table.to(logits.device)
    spectrum = fourier.spectrum_2d(logits)
    coefficients = circuit.cosine_coefficients(diagonal)

    def loss(changed: Tensor) -> Tensor:
        return progress.cross_entropy(changed, table).mean()

    def without(removed: tuple[int, ...]) -> Tensor:
        return loss(logits - progress.key_component(diagonal, removed)[table])

    return {
        "base": loss(logits),
        "restricted": progress.restricted_loss(diagonal, keys),
        "keep_3x3": loss(ablation.keep_products(spectrum, keys)),
        "block": loss(ablation.keep_block(spectrum, keys)),
        "cosines": progress.answers_of_sums(circuit.cosine_component(coefficients, keys, p))[0].mean(),
        "frequency_removed": {str(key): without((key,)) for key in keys},
        "without_keys": without(keys),
        **{name: loss(changed) for name, changed in _neurons(snapshot, logits, keys, table)},
    }


def _neurons(snapshot: Snapshot, logits: Tensor, keys: tuple[int, ...], table: Tensor) -> list[tuple[str, Tensor]]:
    """Return the logits for each way to change the neurons alone."""
    neurons = residues.neurons_of_pairs(snapshot)
    matrix = residues.by_residue(snapshot, "neuron_to_logit")
    assert matrix is not None
    matrix = matrix.double()
    contribution = neurons @ matrix.T
    frequency, explained = circuit.best_frequency(residues.shares_of_neurons(snapshot))
    single = explained > circuit.SINGLE_FREQUENCY
    fit = ablation.single_frequency_fit(residues.spectrum_of_neurons(snapshot)[..., single], frequency[single])
    rows = fourier.key_rows(len(matrix), keys)
    basis = ablation.span(fourier.fourier_basis(len(matrix), device=matrix.device)[rows] @ matrix)
    along = (neurons @ basis) @ (matrix @ basis).T
    waves = progress.restricted_logits(progress.anti_diagonal_mean(contribution, table), keys)[table]
    return [
        ("neurons_polynomial", logits + (fit - neurons[..., single]) @ matrix[:, single].T),
        ("neurons_waves", logits - contribution + waves),
        ("neurons_directions", logits - contribution + along),
        ("neurons_complement", logits - along),
    ]


def _key(description: str) -> Key:
    return Key(description, "nats", low=0)


ABLATION = Measure(
    name="ablation",
    version=1,
    keys={
        "base": _key("loss of the network itself"),
        "restricted": _key("logits: only the mean and cos, sin of w_k(a+b)"),
        "keep_3x3": _key("logits: only the constant and the 8 components {1, cos, sin} x {1, cos, sin} of each key"),
        "block": _key("logits: only the constant and the 4 components {cos, sin} x {cos, sin} of each key"),
        "cosines": _key("logits: only the sum of α_k cos w_k(a+b-c)"),
        "frequency_removed": _key("logits: without cos, sin of w_k(a+b) of one key, by key"),
        "without_keys": _key("logits: without those of all keys"),
        "neurons_polynomial": _key("neurons that one frequency explains to 85 %: only their 8 components of it"),
        "neurons_waves": _key("all neurons: only their mean and cos, sin of w_k(a+b)"),
        "neurons_directions": _key("neurons: only the directions that the map's key waves read"),
        "neurons_complement": _key("neurons: all but those directions"),
    },
    reference="Nanda et al. 2023, Sec. 4.4",
    compute=measure,
    needs=("cyclic", "probe:all", "role:neuron_to_logit", f"site:{residues.NEURONS}"),
    cost="heavy",
    cites=("nanda2023",),
)
