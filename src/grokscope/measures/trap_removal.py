"""What a network's predictions owe to each correlation trap, and what it says of inputs without a pattern."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import marchenko_pastur
from grokscope.linalg.traps import Trap, jensen_shannon, traps, without
from grokscope.measures.base import DoesNotApply, Key, Measure, Result
from grokscope.measures.by_matrix import some_matrices

if TYPE_CHECKING:
    from grokscope.batch import Batch
    from grokscope.matrices import WeightMatrix
    from grokscope.snapshot import Snapshot

VERSION = 1


def measure(
    snapshot: Snapshot,
    *,
    score: float = marchenko_pastur.TW_SCORE,
    most: int = 10,
    samples: int = 500,
    temperature: float = 1.0,
    noise: bool = True,
    examples: int = 2000,
) -> Result:
    """Return, trap by trap, how predictions change without it; and the class that inputs without a pattern get.

    Shuffles, probes and noise are the same at every step.

    Args:
        snapshot: a moment of a classifier.
        score: above which a singular value of the shuffled matrix is a trap, in Tracy–Widom units.
        most: traps of a matrix at most, the largest.
        samples: how many probes are drawn.
        temperature: of the softmax.
        noise: whether normal noise of a trap's mean and variance takes its place.
        examples: how many labelled ones the error is taken on, at most.

    Raises:
        DoesNotApply: there is no weight matrix, no data, or the outputs are not those of several classes.
        UsageError: an option is out of range.
    """
    if samples < 1 or most < 1 or examples < 1:
        raise UsageError(f"samples = {samples}, most = {most} and examples = {examples}: give at least 1 of each.")
    matrices = some_matrices(snapshot, "trap_removal")
    if "train" not in snapshot.probes:
        raise DoesNotApply("trap_removal draws probes like the training inputs: this model has no training data.")
    train = snapshot.probe("train").inputs
    probes = {"normal": _normal(snapshot, train, samples)}
    if train.is_floating_point():
        probes["shuffled"] = _shuffled(snapshot, train[:samples])
    whole = snapshot.predict(probes["normal"])
    if whole.ndim != 2 or whole.shape[1] < 2 or not bool(torch.isfinite(whole).all()):
        raise DoesNotApply("trap_removal compares class probabilities: these outputs are none, or are not finite.")
    labelled = _labelled(snapshot, examples)
    before = _error(snapshot, labelled, {})
    found: dict[str, Any] = {"count": {}, "jsd": {}, "error_change": {}, "score": {}}
    for matrix in matrices:
        name = matrix.name
        if name not in snapshot.parameters:
            continue  # a part of a fused tensor
        modes = _traps(snapshot, matrix, score, most)
        found["count"][name] = float(len(modes))
        for number, mode in enumerate(modes):
            place = f"{name}[{number}]"
            draw = snapshot.generator(f"trap_removal noise {place}", VERSION) if noise else None
            changed = {name: without(matrix.matrix, [mode], generator=draw).view(snapshot.parameters[name].shape)}
            divergence = jensen_shannon(
                whole, snapshot.predict_with(changed, probes["normal"]), temperature=temperature
            )
            found["jsd"][place] = float(divergence.mean())
            found["score"][place] = mode.score
            if labelled is not None:
                found["error_change"][place] = _error(snapshot, labelled, changed) - before
    for kind, inputs in probes.items():
        shares = _shares(snapshot.predict(inputs))
        found[f"{kind}_share"] = float(shares.max())
        found[f"{kind}_entropy"] = float(-torch.special.xlogy(shares, shares).sum())
    return {key: value for key, value in found.items() if not isinstance(value, dict) or value}


def _traps(snapshot: Snapshot, matrix: WeightMatrix, score: float, most: int) -> list[Trap]:
    if not bool(torch.isfinite(matrix.matrix).all()):
        return []
    draw = snapshot.generator(f"trap_removal {matrix.name}", VERSION)
    return traps(matrix.matrix, generator=draw, score=score, most=most)


def _normal(snapshot: Snapshot, train: Tensor, samples: int) -> Tensor:
    """Return inputs without a pattern: normal with the mean and deviation of all training entries.

    Of tokens each position has that of an example of its own, so that none is where it could not be.
    """
    draw = snapshot.generator("trap_removal normal", VERSION)
    shape = (samples, *train.shape[1:])
    if train.is_floating_point():
        drawn = torch.randn(shape, generator=draw, dtype=torch.float64)
        values = train.double()
        return (values.mean() + values.std(unbiased=False) * drawn.to(train.device)).to(train.dtype)
    rows = torch.randint(0, len(train), (samples, math.prod(shape[1:])), generator=draw).to(train.device)
    return train.flatten(1).gather(0, rows).view(shape)


def _shuffled(snapshot: Snapshot, inputs: Tensor) -> Tensor:
    """Return inputs whose entries are in random places, each in an order of its own."""
    draw = snapshot.generator("trap_removal shuffled", VERSION)
    flat = inputs.flatten(1)
    order = torch.rand(flat.shape, generator=draw).argsort(1).to(inputs.device)
    return flat.gather(1, order).view(inputs.shape)


def _labelled(snapshot: Snapshot, examples: int) -> Batch | None:
    """Return test data with classes, else training data, else None."""
    for name in ("test", "train"):
        if name in snapshot.probes:
            batch = snapshot.probe(name)
            if batch.targets is not None and batch.targets.ndim == 1 and not batch.targets.is_floating_point():
                return type(batch)(batch.inputs[:examples], batch.targets[:examples])
    return None


def _error(snapshot: Snapshot, labelled: Batch | None, changed: dict[str, Tensor]) -> float:
    if labelled is None:
        return math.nan
    assert labelled.targets is not None
    return float((snapshot.predict_with(changed, labelled.inputs).argmax(-1) != labelled.targets).double().mean())


def _shares(outputs: Tensor) -> Tensor:
    """Return how often each class is predicted."""
    return torch.bincount(outputs.argmax(-1), minlength=outputs.shape[-1]).double() / len(outputs)


TRAP_REMOVAL = Measure(
    name="trap_removal",
    version=VERSION,
    keys={
        "count": Key("traps of one shuffle of a matrix, at most as many as are looked at", "values", low=0),
        "jsd": Key("Jensen–Shannon divergence of predictions with and without a trap", "nats", low=0, high=0.69315),
        "error_change": Key("test error without a trap, less that with it", low=-1, high=1),
        "score": Key("how far a trap is beyond the edge", "Tracy–Widom units"),
        "normal_share": Key("share of the most frequent class on normal inputs", low=0, high=1, direction="→ 1"),
        "normal_entropy": Key("entropy of the classes predicted on normal inputs", "nats", low=0),
        "shuffled_share": Key("the same share on inputs with entries in random places", low=0, high=1),
        "shuffled_entropy": Key("the same entropy on inputs with entries in random places", "nats", low=0),
    },
    reference="Prakash and Martin 2026",
    needs=("train",),
    cites=("prakash2026", "prakash2025"),
    compute=measure,
    cost="normal",
)
