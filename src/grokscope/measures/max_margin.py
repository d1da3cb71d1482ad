"""A linear classifier against those of maximal margin on its own data: which of them it is, and how near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.theory.margin import max_l1_margin, max_l2_margin

if TYPE_CHECKING:
    from grokscope.batch import Batch
    from grokscope.snapshot import Snapshot

LARGEST_DIMENSION = 200_000
"""Up to how many features the linear programme is solved: 100 000 with 256 examples take seconds."""


@dataclass(frozen=True)
class Oracles:
    """The two classifiers of maximal margin on the training data; that of L1 only where it was asked for.

    Attributes:
        directions: w/‖w‖ by norm, "l2" and "l1", (d,).
        margins: their margins.
        accuracies: their accuracies on the test data, where there are any.
    """

    directions: dict[str, Tensor]
    margins: dict[str, float]
    accuracies: dict[str, float]


def measure(snapshot: Snapshot, *, largest_dimension: int = LARGEST_DIMENSION) -> dict[str, float]:
    """Return cosines to both classifiers of maximal margin, and the margins over both norms beside the largest.

    Args:
        snapshot: a moment of a binary linear classifier sign(w·x), whose w is the role ``linear_predictor``.
        largest_dimension: features above which the maximal L1 margin is left out.

    Raises:
        DoesNotApply: the data are not of two classes, do not fit w, or no linear classifier separates them.
    """
    w = snapshot.role("linear_predictor")
    assert w is not None
    w = w.detach().double().flatten().cpu()
    key, features = ("max_margin", len(w), largest_dimension), len(w)
    found = snapshot.lasting(key, lambda: _solved(snapshot, features, largest_dimension))
    if isinstance(found, str):
        raise DoesNotApply(found)
    oracles, rows = found
    result = {f"best_margin_{norm}": value for norm, value in oracles.margins.items()}
    result |= {
        {"l2": "early_accuracy", "l1": "late_accuracy"}[norm]: value for norm, value in oracles.accuracies.items()
    }
    if not bool(w.isfinite().all()) or not bool(w.any()):
        return result  # 0 has no direction
    w = w / w.abs().max()
    norms = {"l2": float(w.norm()), "l1": float(w.abs().sum())}
    least = float((rows @ w).min())
    result |= {f"margin_{norm}": least / size for norm, size in norms.items()}
    for norm, direction in oracles.directions.items():
        result[f"cosine_{norm}"] = float(direction @ w / (direction.norm() * norms["l2"]))
    result["l1_to_l2"] = norms["l1"] / norms["l2"]
    return result


def _solved(snapshot: Snapshot, features: int, largest: int) -> tuple[Oracles, Tensor] | str:
    """Return the classifiers and the rows y_i x_i, or why there are none: neither is looked for again."""
    try:
        x, y = _data(snapshot.probe("train"), features)
        solved = {"l2": max_l2_margin(x, y)}
        if features <= largest:
            solved["l1"] = max_l1_margin(x, y)
    except UsageError as error:
        return f"max_margin: {error}"
    directions = {norm: torch.from_numpy(one.direction) for norm, one in solved.items()}
    accuracies: dict[str, float] = {}
    test = snapshot.probes.get("test")
    if test is not None and test.targets is not None and len(test):
        inputs, signs = _data(test, features)
        accuracies = {norm: float(np.mean(signs * (inputs @ one.direction) > 0)) for norm, one in solved.items()}
    margins = {norm: one.margin for norm, one in solved.items()}
    return Oracles(directions, margins, accuracies), torch.from_numpy(x * y[:, None])


def _data(batch: Batch, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (n, d) and labels −1 and 1 of the examples that count."""
    inputs, targets = batch.inputs, batch.targets
    if targets is None or targets.is_floating_point() or targets.ndim != 1:
        raise UsageError("it needs one class of two for each example; these targets are of another kind.")
    inputs = inputs.flatten(1) if inputs.ndim > 1 else inputs[:, None]
    if inputs.shape[1] != features:
        raise UsageError(f"the linear predictor has {features} weights, the inputs {inputs.shape[1]} features.")
    if batch.weights is not None:
        inputs, targets = inputs[batch.weights != 0], targets[batch.weights != 0]
    if not bool(((targets == 0) | (targets == 1)).all()):
        raise UsageError(f"it needs the classes 0 and 1; these go up to {int(targets.max())}.")
    return inputs.double().cpu().numpy(), (2.0 * targets - 1).double().cpu().numpy()


MAX_MARGIN = Measure(
    name="max_margin",
    version=1,
    keys={
        "cosine_l2": Key(
            "cosine to the classifier of maximal L2 margin", low=-1, high=1, direction="1 early, then falls"
        ),
        "cosine_l1": Key(
            "cosine to a classifier of maximal L1 margin", low=-1, high=1, direction="rises late, towards 1"
        ),
        "margin_l2": Key("least margin over ‖w‖_2", "inputs", direction="near its largest value early, then falls"),
        "margin_l1": Key("least margin over ‖w‖_1", "inputs", direction="rises to its largest value late"),
        "best_margin_l2": Key("largest margin over ‖w‖_2 there is", "inputs", low=0),
        "best_margin_l1": Key("largest margin over ‖w‖_1 there is", "inputs", low=0),
        "l1_to_l2": Key("‖w‖_1 over ‖w‖_2: √k for k equal weights", low=1, direction="large early, then falls"),
        "early_accuracy": Key("test accuracy of the classifier of maximal L2 margin", low=0, high=1),
        "late_accuracy": Key("test accuracy of a classifier of maximal L1 margin", low=0, high=1),
    },
    reference="Lyu et al. 2024, corollaries 3.6 and 3.7",
    compute=measure,
    needs=("train", "classes", "role:linear_predictor"),
    cost="normal",
    cites=("lyu2024",),
)
