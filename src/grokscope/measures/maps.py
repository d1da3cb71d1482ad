"""Pictures of the network as functions of the pair (a, b): logits in 2-D Fourier space, attention, neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.linalg import circuit, fourier
from grokscope.measures import residues
from grokscope.measures.base import Key, Measure

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

SHOWN = 6
"""How many neurons are kept."""


def measure(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return pictures in float32, (p, p), (heads, p, p) and (m, p, p), and one share: see the page of this measure."""
    spectrum = fourier.spectrum_2d(residues.logits_of_pairs(snapshot)).norm(dim=2)
    spectrum[0, 0] = 0.0  # the mean over pairs, which the softmax only sees as a bias, would outshine the rest
    energy = fourier.frequency_energy(spectrum[..., None])[..., 0]
    frequency, _ = circuit.best_frequency(residues.shares_of_neurons(snapshot))
    neurons = residues.neurons_of_pairs(snapshot)
    chosen = representatives(neurons.flatten(0, 1).var(dim=0, correction=0), frequency)
    result = {
        "diagonal_share": energy.diagonal().sum() / energy.sum(),
        "logit_spectrum": spectrum.float(),
        "neurons": neurons[..., chosen].permute(2, 0, 1).float(),
        "neuron_index": chosen,
        "neuron_best_frequency": frequency[chosen],
    }
    attention = residues.attention_of_pairs(snapshot)
    if attention is not None:
        result["attention"] = attention[..., 0].permute(2, 0, 1).float()
    return result


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
    keys={
        "diagonal_share": Key(
            "share of the logits' variance over pairs where a and b have the same frequency, whichever it is",
            low=0,
            high=1,
            direction="rises in circuit formation and in cleanup",
        )
    },
    reference="Nanda et al. 2023, Sec. 4",
    compute=measure,
    needs=("cyclic", "probe:all", f"site:{residues.NEURONS}"),
    cost="heavy",
    cites=("nanda2023",),
)
