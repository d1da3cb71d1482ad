"""The matrices of a network that adds modulo p, a row a residue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

from grokscope.errors import UsageError
from grokscope.linalg import fourier

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def modulus(snapshot: Snapshot) -> int:
    """Return p of a task whose targets are sums modulo p."""
    assert snapshot.facts is not None
    assert snapshot.facts.group is not None
    return snapshot.facts.group.order


def by_residue(snapshot: Snapshot, role: str) -> Tensor | None:
    """Return the matrix of a role, (p, n), row r that of residue r; None where the role is not filled.

    One further row, of the token "=", is left out.

    Raises:
        UsageError: the first axis is not that of the residues.
    """
    matrix, order = snapshot.role(role), modulus(snapshot)
    if matrix is None:
        return None
    if len(matrix) not in (order, order + 1):
        raise UsageError(
            f"the {role} has the shape {tuple(matrix.shape)}: its rows must be the {order} residues, and at most one "
            f"other token; give a function that transposes it as roles={{{role!r}: ...}}."
        )
    return matrix[:order]


def component_norms(snapshot: Snapshot, role: str) -> Tensor | None:
    """Return the norms of the Fourier components of a role's matrix, (p-1,), computed once a snapshot."""
    matrix = by_residue(snapshot, role)
    if matrix is None:
        return None
    return snapshot.memo(("component norms", role), lambda: fourier.component_norms(matrix))


def frequency_norms(snapshot: Snapshot, role: str) -> Tensor | None:
    """Return the norms of a role's matrix by frequency, (⌊p/2⌋,): cosine and sine of each together."""
    components = component_norms(snapshot, role)
    if components is None:
        return None
    return functional.pad(components, (0, len(components) % 2)).view(-1, 2).norm(dim=1)
