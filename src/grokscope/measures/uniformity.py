"""How uniformly the residues are embedded: mean embedding difference in all its readings, with its norm beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import uniformity
from grokscope.measures.base import DoesNotApply, Key, Measure

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def measure(
    snapshot: Snapshot,
    *,
    order: int = 0,
    offset: int = 0,
    variant: str = "base",
    generators_only: bool = True,
    temperature: float = 2.0,
    tokens: int = 2048,
) -> dict[str, Tensor | float]:
    """Return the mean norm and the uniformity on the sphere of any embedding, and MED where it is one of residues.

    Args:
        snapshot: a moment of any model whose embedding is known.
        order: how many residues there are; 0 asks the facts of the task.
        offset: how many rows further the second operand's embeddings begin; 0 where the operands share theirs.
        variant: which of the released scripts ``code`` is: base, rectangle or strip.
        generators_only: whether walks must visit every residue.
        temperature: of the Gaussian potential on the sphere.
        tokens: of how many rows the potential is taken at most, drawn once.

    Raises:
        DoesNotApply: the embedding is not a finite matrix of two rows or more.
        UsageError: an option does not fit the embedding.
    """
    matrix = snapshot.role("embedding")
    assert matrix is not None
    if matrix.ndim != 2 or len(matrix) < 2 or not bool(torch.isfinite(matrix).all()):
        raise DoesNotApply("uniformity compares rows of the embedding: it must be a finite matrix of two rows or more.")
    if variant not in ("base", "rectangle", "strip"):
        raise UsageError(f"variant = {variant!r} was given: the known ones are base, rectangle, strip.")
    if tokens < 2:
        raise UsageError(f"tokens = {tokens} was given: give 2 or more.")
    rows = matrix.detach().double()
    drawn = torch.randperm(len(rows), generator=snapshot.generator("uniformity", 1))[:tokens].sort().values
    found: dict[str, Tensor | float] = {
        "mean_norm": rows.norm(dim=1).mean(),
        "sphere": uniformity.sphere_uniformity(rows[drawn.to(rows.device)], temperature=temperature),
    }
    residues = order or _order(snapshot, len(rows))
    if not residues:
        return found
    if not (order or offset or len(rows) - residues in (0, 1)):
        raise DoesNotApply(
            f"uniformity needs one row for each of the {residues} residues, and at most one other: the embedding has "
            f"{len(rows)}; give the order, and the offset of the second operand's rows, as options."
        )
    if residues < 3 or offset < 0 or offset + residues > len(rows):
        raise UsageError(
            f"order = {residues} and offset = {offset} were given for {len(rows)} embeddings: give an order of 3 or "
            "more, and offset + order of at most their number."
        )
    first, second = rows[:residues], rows[offset : offset + residues]
    walk, step = uniformity.orbit_difference(first, generators_only=generators_only)
    found |= {
        "mean_norm": first.norm(dim=1).mean(),
        "wrap": uniformity.mean_difference(first),
        "code": uniformity.mean_difference_of_code(rows, residues, offset=offset, variant=variant),  # type: ignore[arg-type]
        "scale_free": uniformity.scale_free_difference(first),
        "generator": walk,
        "generator_step": float(step) if step else float("nan"),
    }
    if uniformity.is_odd_prime(residues):
        powers = uniformity.by_discrete_logarithm(first)
        found["multiplicative"] = uniformity.orbit_difference(powers, generators_only=generators_only)[0]
    if offset:
        found["between"] = uniformity.distance_between(first, second)
    group = snapshot.facts.group if snapshot.facts is not None else None
    if group is not None and group.order == residues:
        table = torch.tensor(group.table)
        found["class_sum_spread"] = uniformity.class_sum_spread(first, table, second if offset else None)
    return found


def _order(snapshot: Snapshot, rows: int) -> int:
    """Return how many residues the embedding has by the facts of the task; 0 where they do not say."""
    facts = snapshot.facts
    order = 0
    if facts is not None and facts.group is not None:
        order = facts.group.order
    elif facts is not None and facts.classes is not None and rows - facts.classes in (0, 1):
        # a binary operation that is no group: residues, and at most the token "="
        order = facts.classes if facts.sequence is not None and facts.sequence.length <= 3 else 0
    return order if order > 2 else 0


_RANDOM = "√2 for a random embedding"

UNIFORMITY = Measure(
    name="uniformity",
    version=1,
    keys={
        "mean_norm": Key("mean norm of an embedding", low=0, direction="rises while the data are fitted, then falls"),
        "sphere": Key("log of the mean Gaussian potential over pairs of directions", "nats", high=0),
        "wrap": Key("mean distance of neighbouring residues (MED)", low=0, direction="follows the mean norm"),
        "code": Key("MED as the released code computes it", low=0, direction="follows the mean norm"),
        "scale_free": Key("MED over the spread of the embeddings", low=0, high=2, direction=_RANDOM),
        "generator": Key("least scale-free MED over equal steps", low=0, high=2, direction="falls as a circle forms"),
        "generator_step": Key("the step of that walk", low=1),
        "multiplicative": Key("the same over powers of a primitive root", low=0, high=2, direction=_RANDOM),
        "between": Key("Frobenius distance of the operands' embeddings", low=0),
        "class_sum_spread": Key("spread of sums with one answer over that of all", low=0),
    },
    reference="Gu et al. 2025, definition 4.2; Wang and Isola 2020, eq. 2",
    compute=measure,
    needs=("role:embedding",),
    cites=("gu2025", "wang2020"),
)
