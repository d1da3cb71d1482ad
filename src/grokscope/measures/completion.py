"""How far a completed matrix is from what theory says of it, early and late (Lyu et al. 2024, Sec. 3.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from grokscope.errors import GrokscopeError
from grokscope.linalg.spectra import effective_rank
from grokscope.measures.base import DoesNotApply, Key, Measure, Result
from grokscope.theory.completion import early_completion, minimum_nuclear_norm, regularised_completion

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

NAME = "completion"
GAP = 1e-8
"""Relative duality gap of the late completion."""


@dataclass(frozen=True)
class Oracles:
    """What does not change in a training.

    Attributes:
        blank: entries of which neither they nor their mirror images are observed, (d, d).
        early: the completion of the kernel regime, (d, d).
        late: the regularised or the minimal completion, (d, d); None where it cannot be computed.
        levels: numbers about them, by key.
    """

    blank: Tensor
    early: Tensor
    late: Tensor | None
    levels: dict[str, float]


def measure(snapshot: Snapshot, *, maps: bool = False) -> Result:
    """Return distances to both completions, unobserved entries, nuclear norm and rank; with ``maps`` W itself.

    Raises:
        DoesNotApply: the training data are no entries of a square matrix, or the matrix has values that are not finite.
    """
    matrix = snapshot.role("completed_matrix")
    assert matrix is not None
    matrix = matrix.double().cpu()
    known = snapshot.lasting((NAME, "oracles"), lambda: _oracles(snapshot, matrix))
    if not torch.isfinite(matrix).all():
        raise DoesNotApply(f"{NAME} needs a matrix of finite entries; this one has diverged.")
    values = torch.linalg.eigvalsh((matrix + matrix.T) / 2).abs().sort(descending=True).values
    nuclear = float(values.sum())
    squares = sum(float(tensor.double().square().sum()) for tensor in snapshot.parameters.values())
    result: dict[str, float | Tensor] = {
        "early_distance": _distance(matrix, known.early),
        "nuclear_norm": nuclear,
        "nuclear_consistency": squares / nuclear if nuclear > 0 else math.inf,
        "singular_values": values,
        **known.levels,
    }
    if known.blank.any():
        unobserved = matrix[known.blank].abs()
        result |= {"unobserved_mean": float(unobserved.mean()), "unobserved_max": float(unobserved.max())}
    if known.late is not None:
        result["late_distance"] = _distance(matrix, known.late)
    if nuclear > 0:
        result["effective_rank"] = float(effective_rank(values))
    if maps:
        result["matrix"] = matrix.float()
    return result


def _distance(matrix: Tensor, oracle: Tensor) -> float:
    size = float(oracle.norm())
    return float((matrix - oracle).norm()) / size if size > 0 else math.nan


def _oracles(snapshot: Snapshot, matrix: Tensor) -> Oracles:
    train = snapshot.probe("train")
    pairs, targets = train.inputs, train.targets
    size = len(matrix)
    if targets is None or not targets.is_floating_point() or pairs.is_floating_point() or pairs.shape[1:] != (2,):
        raise DoesNotApply(f"{NAME} needs training data that are entries of a matrix: index pairs and real values.")
    if matrix.shape != (size, size) or int(pairs.max()) >= size:
        raise DoesNotApply(f"{NAME} needs a square matrix with the observed entries; this one is {(*matrix.shape,)}.")
    rows, columns = pairs.cpu().long().unbind(1)
    mask, values = torch.zeros(size, size, dtype=torch.bool), torch.zeros(size, size, dtype=torch.float64)
    mask[rows, columns] = True
    values[rows, columns] = targets.cpu().double().flatten()
    early = early_completion(mask.numpy(), values.numpy())
    levels, late = {}, None
    found = {"early": torch.from_numpy(early.matrix)}
    decay = snapshot.descent.weight_decay if snapshot.descent is not None else 0.0
    try:
        solved = (
            regularised_completion(mask.numpy(), values.numpy(), decay, tolerance=GAP)
            if decay > 0
            else minimum_nuclear_norm(mask.numpy(), values.numpy(), tolerance=GAP)
        )
    except GrokscopeError:  # not solved in reasonable time: said by the keys that are left out
        pass
    else:
        late = torch.from_numpy(np.ascontiguousarray(solved.matrix))
        found["late"] = late
        levels |= {"late_nuclear_norm": solved.nuclear_norm, "late_gap": solved.certificate.gap}
    test = snapshot.probes.get("test")
    if test is not None and test.targets is not None and len(test):
        at, right = test.inputs.cpu().long(), test.targets.cpu().double().flatten()
        for name, one in found.items():
            levels[f"{name}_test_loss"] = float((one[at[:, 0], at[:, 1]] - right).square().mean())
    return Oracles(~(mask | mask.T), found["early"], late, levels)


COMPLETION = Measure(
    name=NAME,
    version=1,
    keys={
        "unobserved_mean": Key(
            "mean |W_ij| where neither (i, j) nor (j, i) is observed",
            "entries",
            low=0,
            direction="near 0 in the kernel regime, as (α e^{−λt})^{−4}; rises when the matrix is completed",
        ),
        "unobserved_max": Key("the largest of these", "entries", low=0),
        "early_distance": Key(
            "‖W − W_early‖ over ‖W_early‖, W_early being 0 but where observed",
            low=0,
            direction="falls to 0 in the kernel regime, rises when it ends",
        ),
        "late_distance": Key(
            "‖W − W_late‖ over ‖W_late‖, W_late of least loss plus (λ/2) nuclear norm, or of least nuclear norm",
            low=0,
            direction="near 1 in the kernel regime, falls to 0",
        ),
        "nuclear_norm": Key("Σ |eigenvalue| of W", "entries", low=0, direction="falls to that of the late completion"),
        "nuclear_consistency": Key(
            "‖θ‖² over the nuclear norm: 1 where no other factors of W are smaller",
            low=1,
            direction="far above 1 in the kernel regime, falls to 1",
        ),
        "effective_rank": Key("exp of the entropy of σ/Σσ", low=1, direction="falls when the matrix is completed"),
        "late_nuclear_norm": Key("nuclear norm of the late completion", "entries", low=0),
        "late_gap": Key("relative duality gap to which it is solved"),
        "early_test_loss": Key("mean squared error of the early completion on the test entries", low=0),
        "late_test_loss": Key("mean squared error of the late completion on the test entries", low=0),
    },
    reference="Lyu et al. 2024, Thm. 3.11 and 3.12, Eq. 44",
    cites=("lyu2024",),
    compute=measure,
    needs=("train", "labels", "role:completed_matrix"),
    cost="normal",
)
