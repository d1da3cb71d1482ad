"""The circles of the key frequencies on which the embedding places the residues (Nanda et al. 2023, Sec. 4.1).

By the key frequencies of the *final* network, so this is a hindsight measure: the planes are those of each moment,
so that one sees the circles form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.linalg import circles, fourier
from grokscope.measures import residues
from grokscope.measures.base import Collected, Hindsight, Key, Measure

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def collect(snapshot: Snapshot) -> Collected:
    """Return the embedding of the residues, (p, d), until the run is sealed."""
    embedding = residues.by_residue(snapshot, "embedding")
    assert embedding is not None
    return Collected(transient={"embedding": embedding})


def reference(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return the key frequencies by the neuron-to-logit map, as the measure ``fourier`` does."""
    return {"key_frequencies": torch.tensor(residues.keys(snapshot), dtype=torch.int64)}


def compare(reference: dict[str, Tensor], collected: dict[str, Tensor]) -> dict[str, Tensor | float]:
    """Return the points (K, p, 2) of all residues in the plane of each key, and the shares that lie there."""
    embedding, keys = collected["embedding"], reference["key_frequencies"].tolist()
    squares = fourier.frequency_norms(embedding).square()
    return {
        "circularity": circles.plane_share(embedding, keys),
        "frequency_share": squares[[key - 1 for key in keys]].sum() / squares.sum(),
        "points": circles.circle_points(embedding, keys),
    }


CIRCLES = Measure(
    name="circles",
    version=1,
    kind="hindsight",
    keys={
        "circularity": Key(
            "share of the embedding's variance over residues that lies in the planes of the key frequencies",
            low=0,
            high=1,
            direction="rises, fastest in cleanup",
        ),
        "frequency_share": Key(
            "share of the same variance at the key frequencies", low=0, high=1, direction="rises, fastest in cleanup"
        ),
    },
    reference="Nanda et al. 2023, Sec. 4.1",
    hindsight=Hindsight(collect, reference, compare),
    needs=("cyclic", "role:embedding", "role:neuron_to_logit"),
    cites=("nanda2023",),
)
