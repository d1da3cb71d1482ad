"""Linear probes: how well a linear classifier reads the class off each layer, solved exactly (Alain, Bengio 2016)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from grokscope.errors import unknown
from grokscope.linalg.ridge import Probe, ridge_probes
from grokscope.linalg.trained_probe import trained_probe
from grokscope.measures.activations import (
    CHUNK,
    COLUMNS,
    EXAMPLES,
    MEMORY,
    WHERE,
    Layer,
    chosen_columns,
    chosen_rows,
    gather,
    stream,
)
from grokscope.measures.base import DoesNotApply, Key, Measure, Result
from grokscope.measures.features import (
    class_samples,
    class_targets,
    example_axes,
    features,
    known_classes,
    numbered,
)
from grokscope.visits import Visit

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def fitted(
    snapshot: Snapshot,
    *,
    where: str,
    positions: str,
    penalty: float,
    examples: int,
    columns: int,
    chunk: int,
    memory: int,
) -> tuple[dict[str, Probe | None], Tensor]:
    """Return the probe of each layer, None where it is not finite, and the classes they tell apart.

    Raises:
        DoesNotApply: there are no two classes, or no layer is laid out by examples.
    """
    rows = chosen_rows(snapshot, "train", examples)
    targets, known = known_classes("linear_probe", snapshot, "train", rows)
    inputs = snapshot.probe("train").inputs[rows]

    def finish(layer: Layer) -> Probe | None:
        return None if layer.moments is None else ridge_probes(layer.moments, [penalty])[0]

    axes = example_axes(snapshot, inputs)
    for place in (where, *(set(WHERE) - {where})):

        def sample(visit: Visit, part: slice, place: str = place) -> tuple[Tensor, Tensor] | None:
            if visit.kind not in WHERE[place]:
                return None
            count, batch = part.stop - part.start, axes.get(visit.name)
            found = class_samples(visit.output, count, batch, targets[part], positions, axis=visit.axis)
            return None if found is None else (found[0], numbered(found[1], known))

        found = gather(
            snapshot, inputs, sample, finish, classes=len(known), chunk=chunk, columns=columns, memory=memory
        )
        if found:
            return found, known
    raise DoesNotApply("no layer or nonlinearity of this model has an output that is laid out as the labels are.")


FITS = ("exact", "adam")


def trained(
    snapshot: Snapshot, *, where: str, positions: str, penalty: float, examples: int, columns: int, chunk: int
) -> tuple[dict[str, Probe | None], Tensor]:
    """Return a probe of each layer that Adam has trained, None where features are not finite, and the classes.

    Raises:
        DoesNotApply: there are no two classes, or a class for each position.
    """
    rows = chosen_rows(snapshot, "train", examples)
    targets, known = known_classes("linear_probe", snapshot, "train", rows)
    if targets.ndim > 1 or bool((numbered(targets, known) < 0).any()):
        raise DoesNotApply("linear_probe:fit=adam needs one class for each example: take fit=exact.")
    inputs = snapshot.probe("train").inputs[rows]
    found: dict[str, Probe | None] = {}
    seen = features(snapshot, inputs, where=where, positions=positions, columns=columns, chunk=chunk)
    for name, layer in seen.items():
        if not bool(layer.isfinite().all()):
            found[name] = None
            continue
        generator = snapshot.generator(f"linear_probe/{name}", 1)
        found[name] = trained_probe(layer, numbered(targets, known), len(known), penalty, generator)
    return found, known


def accuracies(
    snapshot: Snapshot,
    probe: str,
    probes: Mapping[str, Probe | None],
    known: Tensor,
    *,
    positions: str,
    examples: int,
    columns: int,
    chunk: int,
) -> dict[str, float]:
    """Return the share of right answers of each layer's probe on labelled data; NaN where there is no probe."""
    rows = chosen_rows(snapshot, probe, examples)
    targets = class_targets(snapshot, probe, rows)
    assert targets is not None
    inputs = snapshot.probe(probe).inputs[rows]
    axes = example_axes(snapshot, inputs)
    right = dict.fromkeys(probes, 0)
    counted = dict.fromkeys(probes, 0)

    def see(visit: Visit, part: slice) -> None:
        classifier = probes.get(visit.name)
        if classifier is None:
            return
        count, batch = part.stop - part.start, axes.get(visit.name)
        found = class_samples(visit.output, count, batch, targets[part], positions, axis=visit.axis)
        if found is None:
            return
        samples, classes = found
        index = chosen_columns(snapshot, visit.name, samples.shape[1], columns)
        samples = samples if index is None else samples[:, index.to(samples.device)]
        right[visit.name] += int((classifier.classes(samples) == numbered(classes, known)).sum())
        counted[visit.name] += len(classes)

    stream(snapshot, inputs, see, chunk=chunk)
    return {name: right[name] / counted[name] if counted[name] else math.nan for name in probes}


def measure(
    snapshot: Snapshot,
    *,
    where: str = "layers",
    positions: str = "auto",
    penalty: float = 1e-3,
    examples: int = EXAMPLES,
    columns: int = COLUMNS,
    chunk: int = CHUNK,
    memory: int = MEMORY,
    fit: str = "exact",
) -> Result:
    """Return the accuracy of a probe of each layer, fitted on training data, there and on held-out data."""
    if where not in WHERE:
        raise unknown("where", where, WHERE)
    if fit not in FITS:
        raise unknown("fit", fit, FITS)
    options: dict[str, Any] = {
        "where": where,
        "positions": positions,
        "penalty": penalty,
        "examples": examples,
        "columns": columns,
        "chunk": chunk,
    }
    found = trained(snapshot, **options) if fit == "adam" else fitted(snapshot, memory=memory, **options)
    probes, known = found
    result: dict[str, dict[str, float]] = {}
    for name in ("train", "test"):
        batch = snapshot.probes.get(name)
        if batch is None or not len(batch) or batch.targets is None or batch.targets.is_floating_point():
            continue
        result[name] = accuracies(
            snapshot, name, probes, known, positions=positions, examples=examples, columns=columns, chunk=chunk
        )
    return result


_RISES = "rises in all layers as the network generalises"

LINEAR_PROBE = Measure(
    name="linear_probe",
    version=1,
    keys={
        "train": Key("accuracy on the data it is fitted to", low=0, high=1, direction="rises early"),
        "test": Key("accuracy on held-out data", low=0, high=1, direction=_RISES),
    },
    reference="Fan, Pascanu and Jaggi 2024, Sec. 3; Alain and Bengio 2016",
    compute=measure,
    needs=("module", "train", "classes"),
    cost="normal",
    cites=("alain2017", "fan2024"),
)
