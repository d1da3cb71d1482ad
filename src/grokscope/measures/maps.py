"""Pictures of the network as functions of the pair (a, b): logits in 2-D Fourier space, attention, neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.linalg import circuit, fourier
from grokscope.measures import residues
from grokscope.measures.base import Measure

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

SHOWN = 6
"""How many neurons are kept."""


def measure(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return arrays in float32: (p, p), (heads, p, p), (m, p, p), and which neurons these are."""
    spectrum = fourier.spectrum_2d(residues.logits_of_pairs(snapshot)).norm(dim=2)
    spectrum[0, 0] = 0.0  # the mean over pairs, which the softmax only sees as a bias, would outshine the rest
    frequency, _ = circuit.best_frequency(residues.shares_of_neurons(snapshot))
    neurons = residues.neurons_of_pairs(snapshot)
    chosen = representatives(neurons.flatten(0, 1).var(dim=0, correction=0), frequency)
    arrays = {
        "logit_spectrum": spectrum.float(),
        "neurons": neurons[..., chosen].permute(2, 0, 1).float(),
        "neuron_index": chosen,
        "neuron_best_frequency": frequency[chosen],
    }
    attention = residues.attention_of_pairs(snapshot)
    if attention is not None:
        arrays["attention"] = attention[..., 0].permute(2, 0, 1).float()
    return arrays


def representatives(variance: Tensor, frequency: Tensor, most: int = SHOWN) -> Tensor:
    """Return the indices of at most ``most`` neurons, (m,): the one of largest variance of each best frequency.

    By falling variance; where there are fewer frequencies than ``most``, the next neurons by variance follow.

    Example:
        >>> representatives(torch.tensor([1.0, 5.0, 4.0, 2.0]), torch.tensor([3, 7, 7, 3]), 3).tolist()
        [1, 3, 2]
    """
    ranked = variance.argsort(descending=True, stable=True).tolist()
    first: dict[int, int] = {}
    for neuron in ranked:
        first.setdefault(int(frequency[neuron]), neuron)
    distinct = list(first.values())
    others = [neuron for neuron in ranked if neuron not in distinct]
    return torch.tensor([*distinct, *others][:most], dtype=torch.int64)


MAPS = Measure(
    name="maps",
    version=1,
    keys={},
    reference="Nanda et al. 2023, Sec. 4",
    compute=measure,
    needs=("cyclic", "probe:all", f"site:{residues.NEURONS}"),
    cost="heavy",
    cites=("nanda2023",),
)
