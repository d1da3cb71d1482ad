"""Average gradient outer products at the input and at every layer, and their likeness to the weights' W^T W."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from grokscope.linalg.agop import Diagonal, agop, feature_alignment, matrix_power
from grokscope.linalg.kernels import spectrum
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.derivatives import differentiable
from grokscope.measures.layer_gradients import LayerGradients, layer_gradients
from grokscope.measures.sampled import DIRECTIONS, EXACT_OUTPUTS, outputs_of, sampled

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

VERSION = 1
CHUNK = 64
"""Examples that are differentiated at a time."""


def measure(
    snapshot: Snapshot,
    *,
    examples: int = 200,
    probe: str = "train",
    positions: str = "all",
    projections: int = 0,
    layers: bool = True,
    centred: bool = False,
    diagonal: str = "zeroed",
    widest: int = 4096,
    site: str = "",
) -> dict[str, Any]:
    """Return sizes and ranks of the average gradient outer products, and how like the feature matrices they are.

    Args:
        snapshot: a moment of any model.
        examples: rows of the probe at most.
        probe: which data.
        positions: ``all`` outputs of a sequence, or those of the ``last`` position.
        projections: random output directions; 0 is every output, if there are at most 256, else 64 directions.
        layers: whether to look at layers, besides the input.
        centred: at real inputs, the mean Jacobian is taken off.
        diagonal: in the alignments without diagonal it is ``zeroed``, or ``dropped``.
        widest: the most inputs of a layer, or of the model, of which the matrix is made.
        site: a submodule whose output is taken for the input, along its last axis; else the input is the data
            where it is real, and the output of the token embedding where it is not.
    """
    outputs = outputs_of(snapshot, positions)
    generator = snapshot.generator("agop", VERSION)
    double = snapshot.in_double()
    with differentiable("agop", "outputs"):
        rows = sampled(snapshot, probe, examples=examples, generator=generator, outputs=outputs, name="agop")
        if not _finite(double, rows.inputs):
            return {"input_trace": math.nan}
        with torch.no_grad():
            count = outputs({}, rows.inputs[:1]).numel()
        drawn = projections or (0 if count <= EXACT_OUTPUTS else DIRECTIONS)
        result: dict[str, Any] = {"examples": len(rows.inputs), "directions": drawn}
        real = rows.inputs.is_floating_point() and not site
        if real and rows.inputs[0].numel() <= widest:
            result |= _input(
                agop(
                    lambda points: outputs({}, points),
                    rows.inputs,
                    projections=drawn,
                    generator=generator,
                    centred=centred,
                    chunk=CHUNK,
                )
            )
        if snapshot.module is not None and (layers or not real):
            found = layer_gradients(
                double,
                rows.inputs,
                last=positions == "last",
                projections=drawn,
                generator=generator,
                chunk=CHUNK,
                widest=widest if layers else 0,
                site=site,
            )
            at_site = found.pop(f"{site} output", None)
            embedded = at_site if site else next((layer for layer in found.values() if layer.embedding), None)
            if embedded is not None and embedded.outputs_agop.shape[-1] <= widest:
                result |= _input(embedded.outputs_agop[0])
            if layers:
                result |= _layers(found, widest, diagonal)
    if len(result) == 2:
        raise DoesNotApply(
            f"agop differentiates at real inputs, an embedding or layers of at most {widest} numbers; this model has "
            "none: name a submodule with agop:site=NAME."
        )
    return result


def _finite(snapshot: Snapshot, inputs: Tensor) -> bool:
    tensors = [*snapshot.parameters.values(), inputs]
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor.is_floating_point())


def _input(matrix: Tensor) -> dict[str, float]:
    return {f"input_{key}": value for key, value in _sizes(matrix).items()}


def _sizes(matrix: Tensor) -> dict[str, float]:
    if not bool(torch.isfinite(matrix).all()):
        return dict.fromkeys(("trace", "effective_rank", "participation_ratio", "top_share"), math.nan)
    found = spectrum(matrix)
    return {
        "trace": found.trace,
        "effective_rank": found.effective_rank,
        "participation_ratio": found.participation_ratio,
        "top_share": found.top / found.trace if found.trace > 0 else math.nan,
    }


def _layers(found: dict[str, LayerGradients], widest: int, diagonal: str) -> dict[str, dict[str, float]]:
    result: dict[str, dict[str, float]] = {}
    for name, layer in found.items():
        if layer.weight.shape[-1] > widest:
            continue
        matrix, features = layer.agop, layer.feature_matrix
        values = _sizes(matrix)
        if bool(torch.isfinite(matrix).all()):
            values |= _alignments("nfa", features, matrix, diagonal)
            values |= _alignments("nfa_root", features, matrix_power(matrix), diagonal)
        for key, value in values.items():
            result.setdefault(key, {})[name] = value
    return result


def _alignments(prefix: str, features: Tensor, matrix: Tensor, diagonal: str) -> dict[str, float]:
    ways: dict[str, Diagonal] = {"": "kept", "_off_diagonal": diagonal}  # type: ignore[dict-item]
    return {
        f"{prefix}_{kind}{suffix}": float(feature_alignment(features, matrix, kind=kind, diagonal=way))  # type: ignore[arg-type]
        for kind in ("cosine", "pearson")
        for suffix, way in ways.items()
    }


_SIZES = {
    "trace": ("trace of the average gradient outer product", "outputs²/inputs²", 0),
    "effective_rank": ("exponential of the entropy of its eigenvalues", "", 1),
    "participation_ratio": ("(Σλ)²/Σλ² of its eigenvalues", "", 1),
    "top_share": ("largest eigenvalue over the trace", "", 0),
}
_KINDS = {"cosine": "cosine", "pearson": "Pearson correlation"}

AGOP = Measure(
    name="agop",
    version=VERSION,
    keys={
        **{
            f"input_{key}": Key(f"{text}, at the input", unit, low=low, high=1 if key == "top_share" else None)
            for key, (text, unit, low) in _SIZES.items()
        },
        **{
            key: Key(f"{text}, at what goes into a layer", unit, low=low, high=1 if key == "top_share" else None)
            for key, (text, unit, low) in _SIZES.items()
        },
        **{
            f"{prefix}_{kind}{suffix}": Key(
                f"{words} of a layer's WᵀW and {matrix}{without}",
                low=-1,
                high=1,
                direction="rises as features are learnt; high at the start too" if prefix == "nfa_root" else "",
            )
            for prefix, matrix in (("nfa", "G"), ("nfa_root", "√G"))
            for kind, words in _KINDS.items()
            for suffix, without in (("", ""), ("_off_diagonal", ", without diagonals"))
        },
        "examples": Key("rows that the mean is over", low=1),
        "directions": Key("random output directions for each example, 0 where it is exact", low=0),
    },
    reference="Radhakrishnan et al. 2024; Mallinar et al. 2024",
    cites=("radhakrishnan2024", "mallinar2024"),
    compute=measure,
    needs=("train",),
    cost="heavy",
)
