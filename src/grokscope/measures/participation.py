"""On how few frequencies the weights are: the inverse participation ratio of their Fourier power (Gromov 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from grokscope.linalg.concentration import inverse_participation_ratio
from grokscope.measures.base import Key, Measure
from grokscope.measures.residues import by_residue

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

ROLES = ("embedding", "neuron_to_logit")


def measure(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return, for each matrix whose role is filled, the mean over its columns that are not zero."""
    found = {role: by_residue(snapshot, role) for role in ROLES}
    return {
        role: inverse_participation_ratio(matrix.T).nanmean() for role, matrix in found.items() if matrix is not None
    }


_DIRECTION = "rises from the start, fastest when the network generalises"

PARTICIPATION = Measure(
    name="participation",
    version=1,
    keys={
        "embedding": Key("of the columns of the token embedding", low=0, high=1, direction=_DIRECTION),
        "neuron_to_logit": Key("of the columns of the neuron-to-logit map", low=0, high=1, direction=_DIRECTION),
    },
    reference="Gromov 2023",
    compute=measure,
    needs=("cyclic", "role:embedding"),
    cites=("gromov2023",),
)
