"""Sparsity of weights in the Fourier basis (Nanda et al. 2023, Sec. 5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from grokscope.linalg.concentration import gini
from grokscope.measures.base import Key, Measure
from grokscope.measures.residues import component_norms

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

ROLES = ("embedding", "neuron_to_logit")


def measure(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return the Gini coefficient of the norms of the Fourier components of each matrix whose role is filled.

    The constant component is left out.
    """
    norms = {role: component_norms(snapshot, role) for role in ROLES}
    return {role: gini(found) for role, found in norms.items() if found is not None}


GINI = Measure(
    name="gini",
    version=1,
    keys={
        "embedding": Key("of the token embedding", low=0, high=1, direction="flat, then up in cleanup"),
        "neuron_to_logit": Key("of the neuron-to-logit map", low=0, high=1, direction="flat, then up in cleanup"),
    },
    reference="Nanda et al. 2023, Sec. 5.1",
    compute=measure,
    needs=("cyclic", "role:embedding"),
    cites=("nanda2023", "hurley2009"),
)
