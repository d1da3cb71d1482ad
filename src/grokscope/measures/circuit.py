"""How far the network is the Fourier circuit, part by part: map, neurons, heads, logits (Nanda et al. 2023, Sec. 4).

Everything is by the key frequencies of this same moment; recorded at the last step, they are the final ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from grokscope.linalg import circuit, fourier
from grokscope.measures import residues
from grokscope.measures.base import Key, Measure

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.snapshot import Snapshot


def measure(snapshot: Snapshot) -> dict[str, Any]:
    """Return the key frequencies by four rules, and how well they describe each part of the network.

    Without key frequencies they explain nothing: shares are 0, the residual and the rank gap 1.
    """
    p, keys, table = residues.modulus(snapshot), residues.keys(snapshot), residues.table(snapshot)
    matrix = residues.by_residue(snapshot, "neuron_to_logit")
    norms = residues.frequency_norms(snapshot, "neuron_to_logit")
    assert matrix is not None
    assert norms is not None
    values = torch.linalg.svdvals(matrix.double())
    directions = circuit.direction_variance_explained(residues.neurons_of_pairs(snapshot), matrix, keys, table)
    result: dict[str, Any] = {
        "rank_gap": circuit.rank_gap(values, keys, p),
        "neuron_to_logit_residual": circuit.residual_outside(
            norms, residues.constant_norm(snapshot, "neuron_to_logit"), keys
        ),
        "direction_variance_explained": directions.min() if keys else 0.0,
        "direction_variance_explained_mean": directions.mean() if keys else 0.0,
        "logit_variance_explained": circuit.logit_variance_explained(residues.logits_of_pairs(snapshot), keys, table),
        "neuron_to_logit_singular_values": values,
        "keys": _tensor(keys),
        "key_frequencies": float(len(keys)),
    }
    return {**result, **_neurons(snapshot, p), **_embedding(snapshot), **_heads(snapshot)}


def _neurons(snapshot: Snapshot, p: int) -> dict[str, Any]:
    shares = residues.shares_of_neurons(snapshot)
    frequency, explained = circuit.best_frequency(shares)
    varying = frequency > 0
    by_neurons = circuit.neuron_key_frequencies(shares)
    released = circuit.released_key_frequencies(shares, p)
    return {
        "neurons_single_frequency": (explained > circuit.SINGLE_FREQUENCY).double().mean(),
        "neuron_variance_explained": explained[varying].mean(),
        "neuron_frequency": frequency,
        "neuron_variance": explained,
        "key_frequencies_neurons": float(len(by_neurons)),
        "keys_neurons": _tensor(by_neurons),
        "key_frequencies_released": float(len(released)),
        "keys_released": _tensor(released),
    }


def _embedding(snapshot: Snapshot) -> dict[str, Any]:
    norms = residues.component_norms(snapshot, "embedding")
    if norms is None:
        return {}
    keys = fourier.component_key_frequencies(norms)
    return {"key_frequencies_embedding": float(len(keys)), "keys_embedding": _tensor(keys)}


def _heads(snapshot: Snapshot) -> dict[str, Any]:
    attention = residues.attention_of_pairs(snapshot)
    if attention is None:
        return {}
    shares = circuit.operand_shares(fourier.spectrum_2d(attention[..., 0] - attention[..., 1]))
    frequency, explained = circuit.best_frequency(shares)
    return {
        "head_variance_explained": {f"head.{head}": share for head, share in enumerate(explained.tolist())},
        "head_frequency": frequency,
    }


def _tensor(keys: tuple[int, ...]) -> Tensor:
    return torch.tensor(keys, dtype=torch.int64)


CIRCUIT = Measure(
    name="circuit",
    version=1,
    keys={
        "key_frequencies": Key("how many the neuron-to-logit map has: norms above a quarter of the largest", low=0),
        "key_frequencies_neurons": Key("how many explain 85 % of at least 2 % of the neurons", low=0),
        "key_frequencies_embedding": Key("how many have a component above a quarter of the embedding's largest", low=0),
        "key_frequencies_released": Key("how many the released code finds: the best of any neuron", low=0),
        "rank_gap": Key("σ_{2K+1}/σ_{2K} of the neuron-to-logit map, K its key frequencies", low=0, high=1),
        "neuron_to_logit_residual": Key("share of the map's norm outside the key frequencies", low=0, high=1),
        "direction_variance_explained": Key(
            "least share, over the key waves of the map, of what the neurons send there that is a wave of a+b",
            low=0,
            high=1,
        ),
        "direction_variance_explained_mean": Key("mean of the same", low=0, high=1),
        "logit_variance_explained": Key(
            "share of the variance of all logits that cos w_k(a+b-c) explain", low=0, high=1
        ),
        "neurons_single_frequency": Key(
            "share of neurons of whose variance one frequency explains more than 85 %", low=0, high=1
        ),
        "neuron_variance_explained": Key(
            "mean over neurons that vary of the share their best frequency explains", low=0, high=1
        ),
        "head_variance_explained": Key(
            "share of the variance of a head's attention to a minus b that its best frequency explains", low=0, high=1
        ),
    },
    reference="Nanda et al. 2023, Sec. 4",
    compute=measure,
    needs=("cyclic", "probe:all", "role:neuron_to_logit", f"site:{residues.NEURONS}"),
    cost="heavy",
    cites=("nanda2023",),
)
