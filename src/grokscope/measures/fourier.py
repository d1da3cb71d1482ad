"""Restricted and excluded loss: what the Fourier circuit alone achieves, and what is left without it.

Nanda et al. 2023, Sec. 5.1. The circuit is the span of cos w_k(a+b) and sin w_k(a+b) over the key
frequencies k of the *final* network, so this is a hindsight measure; the ``_online`` variant takes the
key frequencies of each moment, which are arbitrary before the circuit has formed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.linalg import fourier
from grokscope.measures.base import Collected, Hindsight, Key, Measure
from grokscope.measures.residues import frequency_norms, modulus

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def collect(snapshot: Snapshot) -> Collected:
    """Return the anti-diagonal means of the logits, the spectra, and the logits and sums of the train pairs."""
    p = modulus(snapshot)
    logits = snapshot.logits("all")[:, :p]
    kept = {"antidiagonal": fourier.anti_diagonal_mean(logits.reshape(p, p, p))}
    for role in ("embedding", "neuron_to_logit"):
        norms = frequency_norms(snapshot, role)
        if norms is not None:
            kept[f"spectrum_{role}"] = norms
    targets = snapshot.probe("train").targets
    assert targets is not None
    return Collected(kept, {"train_logits": snapshot.logits("train")[:, :p], "train_sums": targets})


def reference(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return the key frequencies by the neuron-to-logit map: those above a quarter of the largest norm."""
    norms = frequency_norms(snapshot, "neuron_to_logit")
    assert norms is not None
    keys = fourier.key_frequencies(norms)
    return {"key_frequencies": torch.tensor(keys, dtype=torch.int64), "spectrum": norms}


def compare(reference: dict[str, Tensor], collected: dict[str, Tensor]) -> dict[str, Tensor | float]:
    """Return restricted loss and accuracy on all pairs and excluded loss and accuracy on train pairs."""
    keys = tuple(reference["key_frequencies"].tolist())
    diagonal, sums = collected["antidiagonal"], collected["train_sums"]
    excluded = fourier.excluded_logits(collected["train_logits"], sums, diagonal, keys)
    return {
        "key_frequencies": float(len(keys)),
        "restricted_loss": fourier.restricted_loss(diagonal, keys, None),
        "restricted_accuracy": fourier.restricted_accuracy(diagonal, keys, None),
        "excluded_loss": fourier.cross_entropy(excluded, sums).mean(),
        "excluded_accuracy": (excluded.argmax(-1) == sums).double().mean(),
    }


FOURIER = Measure(
    name="fourier",
    version=1,
    kind="hindsight",
    keys={
        "key_frequencies": Key("how many frequencies the circuit uses", low=0),
        "restricted_loss": Key(
            "cross-entropy of the mean and the key frequencies alone, on all pairs",
            "nats",
            low=0,
            direction="falls through circuit formation, long before the test loss",
        ),
        "restricted_accuracy": Key("accuracy of the same", low=0, high=1),
        "excluded_loss": Key(
            "cross-entropy on train pairs without the key frequencies",
            "nats",
            low=0,
            direction="falls in memorisation, rises in circuit formation",
        ),
        "excluded_accuracy": Key("accuracy of the same", low=0, high=1),
    },
    reference="Nanda et al. 2023, Sec. 5.1",
    hindsight=Hindsight(collect, reference, compare),
    needs=("cyclic", "train", "probe:all", "role:neuron_to_logit"),
    cost="normal",
)
