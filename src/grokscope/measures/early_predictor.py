"""How near a network is to what theory says it is in the kernel regime, on test data (Lyu et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.linalg import kernels
from grokscope.measures.base import Key, Measure
from grokscope.measures.derivatives import differentiable, trained
from grokscope.measures.early_solution import EarlySolution, early_solution
from grokscope.measures.performance import hits
from grokscope.measures.sampled import Sampled, outputs_of, sampled

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

NAME, VERSION = "early_predictor", 1


@dataclass(frozen=True)
class Early:
    """What the early solution says of test data: its predictions, and what is constant over training."""

    predictions: Tensor
    constant: dict[str, float]


def measure(
    snapshot: Snapshot, *, examples: int = 512, constraints: int = 1024, test_examples: int = 2000
) -> dict[str, float]:
    """Return how near the outputs on test data are to the early solution, and how good that is.

    Args:
        snapshot: a moment of a training whose start is known.
        examples: training examples up to which the early solution is solved.
        constraints: the same of equations or inequalities, where several outputs have kernels of their own.
        test_examples: how many examples of the test data are compared at most.

    Raises:
        DoesNotApply: there are more, or no classifier on the tangent features is right on all.
    """
    solution = early_solution(snapshot, NAME, examples=examples, constraints=constraints)
    outputs = outputs_of(snapshot, "all")
    generator = snapshot.generator(NAME, VERSION)
    rows = sampled(snapshot, "test", examples=test_examples, generator=generator, outputs=outputs, name=NAME)
    classes = snapshot.facts.classes if snapshot.facts is not None else None
    key = (NAME, examples, constraints, test_examples)
    early = snapshot.lasting(key, lambda: _early(solution, rows, classes))
    with torch.no_grad():
        found = outputs({}, rows.inputs).reshape(len(rows.inputs), -1)
    result = dict(early.constant)
    if solution.kind != "values" or (rows.classes is not None and found.shape[1] > 1):
        answers = early.predictions[:, :classes].argmax(1)
        result["agreement"] = float(hits(found, answers, classes=classes).mean())
    if solution.kind == "values":
        result["distance"] = float(kernels.movement(found, early.predictions))
        expected = early.predictions
    else:
        # a number added to all logits of an example changes no probability
        found, expected = found - found.mean(1, keepdim=True), early.predictions
        expected = expected - expected.mean(1, keepdim=True)
    _add_cosine(result, "cosine", found, expected)
    moved, direction = _movement(snapshot, solution)
    _add_cosine(result, "direction_cosine", moved, direction)
    return result


def _early(solution: EarlySolution, rows: Sampled, classes: int | None) -> Early:
    with differentiable(NAME, "outputs"):
        predictions = solution.predict(rows.inputs)
    values = solution.kind == "values"
    size, error = ("norm", "misfit") if values else ("margin", "gap")
    constant = {size: solution.size, error: solution.error}
    if values and rows.targets is not None:
        constant["loss"] = float((predictions - rows.targets).square().mean())
    if rows.classes is not None and predictions.shape[1] > 1:
        constant["accuracy"] = float(hits(predictions, rows.classes, classes=classes).mean())
    return Early(predictions, constant)


def _movement(snapshot: Snapshot, solution: EarlySolution) -> tuple[Tensor, Tensor]:
    """Return the part of θ that is orthogonal to θ_0, and that of h*, flattened: decay alone moves along θ_0."""
    start = solution.point.parameters
    now = trained(snapshot)
    first, point, direction = (
        torch.cat([some[name].flatten() for name in start]) for some in (start, now, solution.direction)
    )
    square = first.square().sum()
    if float(square) == 0:
        return point, direction
    return point - (point @ first) / square * first, direction - (direction @ first) / square * first


def _add_cosine(result: dict[str, float], name: str, one: Tensor, other: Tensor) -> None:
    """Add the cosine of two tensors, where neither is 0."""
    if bool(torch.isfinite(one).all()) and float(one.norm()) > 0 and float(other.norm()) > 0:
        result[name] = float(kernels.cosine(one, other))


EARLY_PREDICTOR = Measure(
    name=NAME,
    version=VERSION,
    keys={
        "cosine": Key(
            "cosine of the outputs on test data with those of the early solution",
            low=-1,
            high=1,
            direction="near 1 in the kernel regime, falls when it is left",
        ),
        "agreement": Key("share of test examples that both give the same class", low=0, high=1, direction="as cosine"),
        "distance": Key("for values: distance of the two over the size of the early one", low=0, direction="near 0"),
        "direction_cosine": Key(
            "cosine of the part of θ orthogonal to θ_0 with that of h*", low=-1, high=1, direction="as cosine"
        ),
        "accuracy": Key("accuracy of the early solution on test data: that of the plateau", low=0, high=1),
        "loss": Key("for values: its squared error on test data", "squared units", low=0),
        "margin": Key("for classes: largest margin of the tangent features at θ_0", "outputs/parameters", low=0),
        "gap": Key("for classes: relative duality gap of that margin's programme"),
        "norm": Key("for values: ‖h*‖, of the least change of θ_0 that fits to first order", "parameters", low=0),
        "misfit": Key("for values: largest error of that fit on training data over the largest target", low=0),
    },
    reference="Lyu et al. 2024, Thm. 3.4 and 3.9",
    cites=("lyu2024", "jacot2018"),
    compute=measure,
    needs=("initial", "train", "test"),
    cost="heavy",
)
