"""Restricted and excluded loss: what the Fourier circuit alone achieves, and what is left without it.

Nanda et al. 2023, Sec. 5.1. The circuit is the span of cos w_k(a+b) and sin w_k(a+b) over the key
frequencies k of the *final* network, so this is a hindsight measure; the ``_online`` variant takes the
key frequencies of each moment, which are arbitrary before the circuit has formed. What does not depend
on the keys is computed once, where it is collected.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.batch import weighted_mean
from grokscope.linalg import circuit, progress
from grokscope.measures import residues
from grokscope.measures.base import Collected, Hindsight, Key, Measure
from grokscope.measures.performance import examples

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def collect(snapshot: Snapshot) -> Collected:
    """Return the anti-diagonal means of the logits, the spectra, and what the losses need of the splits."""
    p = residues.modulus(snapshot)
    diagonal = residues.diagonal(snapshot)
    kept = {"antidiagonal": diagonal}
    for role in ("embedding", "neuron_to_logit"):
        norms = residues.frequency_norms(snapshot, role)
        if norms is not None:
            kept[f"spectrum_{role}"] = norms
    sums = snapshot.probe("train").targets
    assert sums is not None
    logits = snapshot.logits("train")[:, :p]
    squares, variation = circuit.squares_of_logits(residues.logits_of_pairs(snapshot))
    transient = {
        "train_logits": logits,
        "train_sums": sums,
        "excluded_single": progress.excluded_losses(logits, sums, diagonal, chunk=16),
        "cosine_coefficients": circuit.cosine_coefficients(diagonal),
        "squares_of_logits": torch.stack([squares, variation]),
        "constant_neuron_to_logit": residues.constant_norm(snapshot, "neuron_to_logit"),
    }
    test = snapshot.probes.get("test")
    if test is not None and test.targets is not None:
        transient["test_counts"] = torch.bincount(test.targets, minlength=p)
        transient["test_loss"] = weighted_mean(_cross_entropies(snapshot, "test"), test.weights)
    return Collected(kept, transient)


def reference(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return the key frequencies by the neuron-to-logit map: those above a quarter of the largest norm."""
    norms = residues.frequency_norms(snapshot, "neuron_to_logit")
    assert norms is not None
    return {"key_frequencies": torch.tensor(residues.keys(snapshot), dtype=torch.int64), "spectrum": norms}


def compare(reference: dict[str, Tensor], collected: dict[str, Tensor]) -> dict[str, Tensor | float]:
    """Return restricted and excluded loss and the shares explained, for the key frequencies of the reference.

    Without test data the keys that speak of it are left out.
    """
    keys = tuple(reference["key_frequencies"].tolist())
    diagonal, sums = collected["antidiagonal"], collected["train_sums"]
    p, count = len(diagonal), len(sums)
    losses, hits = progress.answers_of_sums(progress.restricted_logits(diagonal, keys))
    restricted = progress.mean_over_pairs(losses)
    excluded = progress.excluded_logits(collected["train_logits"], sums, diagonal, keys)
    coefficients = collected["cosine_coefficients"]
    directions = circuit.cosine_component(coefficients, keys, p)[sums]
    squares, variation = collected["squares_of_logits"]
    along = coefficients[[key - 1 for key in keys]].square().sum()
    result: dict[str, Tensor | float] = {
        "key_frequencies": float(len(keys)),
        "restricted_loss": restricted,
        "restricted_accuracy": progress.mean_over_pairs(hits),
        "restricted_loss_train": progress.mean_over_pairs(losses, torch.bincount(sums, minlength=p)),
        "excluded_loss": progress.cross_entropy(excluded, sums).mean(),
        "excluded_accuracy": (excluded.argmax(-1) == sums).sum().double() / count,
        "excluded_loss_largest": collected["excluded_single"].max(),
        "excluded_loss_direction": progress.cross_entropy(collected["train_logits"] - directions, sums).mean(),
        "logit_variance_explained": torch.where(variation > 0, along / variation, math.nan),
        "cosine_similarity": (along / squares).sqrt(),
        "neuron_to_logit_residual": circuit.residual_outside(
            collected["spectrum_neuron_to_logit"], collected["constant_neuron_to_logit"], keys
        ),
        "excluded_single": collected["excluded_single"],
        "cosine_coefficients": coefficients,
    }
    if "test_counts" in collected:
        result["restricted_loss_test"] = progress.mean_over_pairs(losses, collected["test_counts"])
        result["test_loss_ratio"] = collected["test_loss"] / restricted
    return result


def _cross_entropies(snapshot: Snapshot, probe: str) -> Tensor:
    """Return the cross-entropy of each example: that of ``test/loss`` where the network is trained on it."""
    if snapshot.loss in (None, "cross-entropy"):
        return examples(snapshot, probe)[0]
    targets = snapshot.probe(probe).targets
    assert targets is not None
    return progress.cross_entropy(snapshot.logits(probe), targets)


FOURIER = Measure(
    name="fourier",
    version=2,
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
        "restricted_loss_train": Key("restricted loss on train pairs", "nats", low=0),
        "restricted_loss_test": Key("restricted loss on test pairs", "nats", low=0),
        "excluded_loss": Key(
            "cross-entropy on train pairs without the key frequencies",
            "nats",
            low=0,
            direction="falls in memorisation, rises in circuit formation",
        ),
        "excluded_accuracy": Key("accuracy of the same", low=0, high=1),
        "excluded_loss_largest": Key(
            "the largest excluded loss of a single frequency, of all there are: needs no key frequencies",
            "nats",
            low=0,
            direction="falls in memorisation, rises in circuit formation",
        ),
        "excluded_loss_direction": Key(
            "excluded loss with only the directions cos w_k(a+b-c) removed", "nats", low=0, direction="as excluded_loss"
        ),
        "test_loss_ratio": Key(
            "test loss over restricted loss", low=0, direction="rises until just before the test loss falls"
        ),
        "logit_variance_explained": Key(
            "share of the variance of all logits that cos w_k(a+b-c) explain",
            low=0,
            high=1,
            direction="rises in circuit formation and in cleanup",
        ),
        "cosine_similarity": Key("norm of the coefficients on cos w_k(a+b-c) over that of the logits", low=0, high=1),
        "neuron_to_logit_residual": Key(
            "share of the neuron-to-logit map's norm outside the key frequencies",
            low=0,
            high=1,
            direction="falls, mostly in cleanup",
        ),
    },
    reference="Nanda et al. 2023, Sec. 5.1",
    hindsight=Hindsight(collect, reference, compare),
    needs=("cyclic", "train", "probe:all", "role:neuron_to_logit"),
    cost="normal",
    cites=("nanda2023",),
)
