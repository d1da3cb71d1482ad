"""The matrices, logits and neurons of a network that adds modulo p, in the shape its mathematics wants them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import circuit, fourier, progress

if TYPE_CHECKING:
    from grokscope.facts import GroupStructure
    from grokscope.snapshot import Snapshot

NEURONS = "at_neurons"
"""The submodule that puts out the neurons: (batch, context, n), or (batch, n) of a model without positions."""
ATTENTION = "at_attention"
"""The submodule that puts out the attention: (batch, heads, context, context)."""


def modulus(snapshot: Snapshot) -> int:
    """Return p of a task whose targets are sums (or differences) modulo p."""
    return _group(snapshot).order


def table(snapshot: Snapshot) -> Tensor:
    """Return the answer of each pair (a, b), (p, p)."""
    return snapshot.memo("table of answers", lambda: torch.tensor(_group(snapshot).table))


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
    return snapshot.memo(("component norms", role), lambda: _component_norms(snapshot, role))


def frequency_norms(snapshot: Snapshot, role: str) -> Tensor | None:
    """Return the norms of a role's matrix by frequency, (⌊p/2⌋,): cosine and sine of each together."""
    components = component_norms(snapshot, role)
    if components is None:
        return None
    if len(components) % 2:
        components = torch.cat([components, components.new_zeros(1)])
    return components.view(-1, 2).norm(dim=1)


def constant_norm(snapshot: Snapshot, role: str) -> Tensor:
    """Return the norm of the constant component of a role's matrix, which ``component_norms`` leaves out."""
    matrix = by_residue(snapshot, role)
    assert matrix is not None
    return matrix.double().sum(dim=0).norm() / len(matrix) ** 0.5


def keys(snapshot: Snapshot) -> tuple[int, ...]:
    """Return the key frequencies of this moment: those above a quarter of the largest in the neuron-to-logit map."""
    norms = frequency_norms(snapshot, "neuron_to_logit")
    assert norms is not None
    return snapshot.memo("key frequencies", lambda: fourier.key_frequencies(norms))


def logits_of_pairs(snapshot: Snapshot) -> Tensor:
    """Return the logits of all pairs, (p, p, p), in float64; classes such as "=" are left out.

    Raises:
        UsageError: the probe ``all`` is not that of the p² pairs.
    """
    return snapshot.memo("logits of pairs", lambda: _of_pairs(snapshot, snapshot.logits("all")[:, : modulus(snapshot)]))


def diagonal(snapshot: Snapshot) -> Tensor:
    """Return the mean of the logits over the pairs of each answer, (p, p), in float64."""
    return snapshot.memo("diagonal", lambda: progress.anti_diagonal_mean(logits_of_pairs(snapshot), table(snapshot)))


def neurons_of_pairs(snapshot: Snapshot) -> Tensor:
    """Return the neurons at the last position for all pairs, (p, p, n), in float64."""

    def compute() -> Tensor:
        found = snapshot.activations("all", NEURONS)
        return _of_pairs(snapshot, found[:, -1] if found.ndim == 3 else found)

    return snapshot.memo("neurons of pairs", compute)


def spectrum_of_neurons(snapshot: Snapshot) -> Tensor:
    """Return the 2-D Fourier coefficients of each neuron, (p, p, n), in float64."""
    return snapshot.memo("spectrum of neurons", lambda: fourier.spectrum_2d(neurons_of_pairs(snapshot)))


def shares_of_neurons(snapshot: Snapshot) -> Tensor:
    """Return the share of each neuron's variance that each frequency explains, (⌊p/2⌋, n)."""
    return snapshot.memo("shares of neurons", lambda: circuit.frequency_shares(spectrum_of_neurons(snapshot)))


def attention_of_pairs(snapshot: Snapshot) -> Tensor | None:
    """Return the attention from the last position to a and to b, (p, p, heads, 2), in float64; None without heads."""
    if not snapshot.has_site(ATTENTION):
        return None
    a, b = _group(snapshot).operands

    def compute() -> Tensor:
        last = snapshot.activations("all", ATTENTION)[:, :, -1]
        return _of_pairs(snapshot, torch.stack([last[..., a], last[..., b]], dim=-1))

    return snapshot.memo("attention of pairs", compute)


def _component_norms(snapshot: Snapshot, role: str) -> Tensor | None:
    matrix = by_residue(snapshot, role)
    return None if matrix is None else fourier.component_norms(matrix)


def _group(snapshot: Snapshot) -> GroupStructure:
    assert snapshot.facts is not None
    assert snapshot.facts.group is not None
    return snapshot.facts.group


def _of_pairs(snapshot: Snapshot, values: Tensor) -> Tensor:
    """Return values (p², ...) of the probe ``all`` as (p, p, ...), in float64: its pairs are in lexicographic order."""
    p = modulus(snapshot)
    if len(values) != p * p:
        raise UsageError(
            f"the probe 'all' has {len(values)} examples: give all {p}² = {p * p} pairs (a, b), a first, in order."
        )
    return values.double().unflatten(0, (p, p))
