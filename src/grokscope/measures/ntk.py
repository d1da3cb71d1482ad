"""The empirical tangent kernel: alignment with the labels, spectrum, distance from the start (Kumar et al. 2024)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from grokscope.linalg import kernels
from grokscope.linalg.jacobians import output_count
from grokscope.linalg.ntk import empirical_ntk, signs
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.derivatives import differentiable, trained
from grokscope.measures.sampled import DIRECTIONS, EXACT_OUTPUTS, Outputs, Sampled, outputs_of, sampled

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

VERSION = 1
UNDEFINED = ("trace", "top_eigenvalue", "frobenius", "effective_rank")
"""What is NaN for a model or data that are not finite; the rest is left out."""


def measure(
    snapshot: Snapshot,
    *,
    examples: int = 200,
    probe: str = "train",
    positions: str = "all",
    projections: int = 0,
    ridge: float = 0.0,
    centred: bool = True,
    per_output: bool = False,
    megabytes: int = 512,
) -> dict[str, Any]:
    """Return what the tangent kernel on some rows of a probe says; with labels and a start also of those.

    Args:
        snapshot: a moment of any model.
        examples: rows of the probe at most.
        probe: which data.
        positions: ``all`` outputs of a sequence, or those of the ``last`` position.
        projections: random output directions; 0 is every output, if there are at most 256, else 64 directions.
        ridge: of the kernel regression, in units of the mean eigenvalue; 0 is the pseudo-inverse.
        centred: the regression is of the labels, as for a predictor f − f_0; else of what f leaves of them.
        per_output: also the alignment of each output's own kernel with its own target, as an array.
        megabytes: memory for blocks of the Jacobian.
    """
    parameters = trained(snapshot)
    if not parameters:
        raise DoesNotApply("ntk differentiates with respect to the parameters; this model has none that are real.")
    outputs = outputs_of(snapshot, positions)
    generator = snapshot.generator("ntk", VERSION)
    options = {"probe": probe, "examples": examples, "positions": positions, "projections": projections}
    with differentiable("ntk", "outputs"):
        rows = sampled(snapshot, probe, examples=examples, generator=generator, outputs=outputs, name="ntk")
        if not all(bool(torch.isfinite(tensor).all()) for tensor in parameters.values()):
            return dict.fromkeys(UNDEFINED, math.nan)
        count = output_count(outputs, parameters, rows.inputs)
        directions = _directions(count, projections, generator)
        memory = {"directions": directions, "memory": megabytes * 2**20}
        kernel = empirical_ntk(outputs, parameters, rows.inputs, **memory)
        if not bool(torch.isfinite(kernel).all()):
            return dict.fromkeys(UNDEFINED, math.nan)
        scale = kernels.spectrum(kernel)
        result: dict[str, Any] = {
            "trace": scale.trace,
            "top_eigenvalue": scale.top,
            "frobenius": scale.frobenius,
            "effective_rank": scale.effective_rank,
            "participation_ratio": scale.participation_ratio,
            "rank": scale.rank,
            "condition": scale.condition,
            "examples": len(rows.inputs),
            "directions": 0 if directions is None else len(directions),
        }
        result |= _moved(snapshot, parameters, kernel, rows, options, memory)
        if rows.targets is None:
            return result
        result |= _aligned(kernel, rows.targets)
        if per_output and directions is None:
            each = empirical_ntk(outputs, parameters, rows.inputs, outputs="each", **memory)
            result["output_alignment"] = torch.stack(
                [kernels.alignment(one, target) for one, target in zip(each, rows.targets.T, strict=True)]
            )
        # the mean over outputs is the kernel that each of them is fitted with
        mean = kernel / count
        result["difficulty"] = kernels.difficulty(mean, rows.targets, ridge=ridge)
        norm = torch.stack([tensor.norm() for tensor in parameters.values()]).norm()
        result["laziness"] = result["difficulty"].sqrt() / norm
        if "test" in snapshot.probes and probe != "test" and len(snapshot.probe("test")):
            held = sampled(snapshot, "test", examples=examples, generator=generator, outputs=outputs, name="ntk")
            if held.targets is not None and held.inputs.shape[1:] == rows.inputs.shape[1:]:
                cross = empirical_ntk(outputs, parameters, held.inputs, rows.inputs, **memory) / count
                result |= _regressed(mean, cross, rows, held, outputs, ridge, centred)
    return result


def _directions(count: int, projections: int, generator: torch.Generator) -> Tensor | None:
    wanted = projections or (0 if count <= EXACT_OUTPUTS else DIRECTIONS)
    return signs(wanted, count, generator) if wanted > 0 else None


def _aligned(kernel: Tensor, targets: Tensor) -> dict[str, Tensor]:
    return {
        "alignment": kernels.alignment(kernel, targets),
        "alignment_one_sided": kernels.alignment(kernel, targets, centring="one-sided"),
        "alignment_raw": kernels.alignment(kernel, targets, centring="none"),
    }


def _moved(
    snapshot: Snapshot,
    parameters: dict[str, Tensor],
    kernel: Tensor,
    rows: Sampled,
    options: dict[str, Any],
    memory: dict[str, Any],
) -> dict[str, Tensor]:
    """Return how far kernel and parameters are from the initial ones; nothing where those are not known."""
    initial = snapshot.initial
    if initial is None:
        return {}
    before = {n: t for n, t in initial.in_double().parameters.items() if n in parameters}
    if {n: t.shape for n, t in before.items()} != {n: t.shape for n, t in parameters.items()}:
        return {}

    def compute() -> Tensor:
        return empirical_ntk(outputs_of(initial, options["positions"]), before, rows.inputs, **memory)

    # the same rows and directions at every step: the start is looked at once
    start = initial.memo(("ntk", *options.values()), compute)
    names = list(parameters)
    now, then = (torch.cat([some[name].flatten() for name in names]) for some in (parameters, before))
    return {
        "distance": kernels.distance(kernel, start),
        "movement": kernels.movement(kernel, start),
        "parameter_movement": kernels.movement(now, then),
    }


def _regressed(
    kernel: Tensor, cross: Tensor, rows: Sampled, held: Sampled, outputs: Outputs, ridge: float, centred: bool
) -> dict[str, Tensor]:
    """Return the error on held-out rows of the regression with the kernel: what a lazy fit would reach."""
    assert rows.targets is not None
    assert held.targets is not None
    fitted, offset = rows.targets, torch.zeros_like(held.targets)
    if not centred:
        with torch.no_grad():
            fitted = fitted - outputs({}, rows.inputs).reshape(fitted.shape)
            offset = outputs({}, held.inputs).reshape(offset.shape)
    predicted = offset + kernels.regression(kernel, fitted, cross, ridge=ridge)
    error = (predicted - held.targets).square().mean()
    result = {"regression_error": error, "regression_error_relative": error / held.targets.square().mean()}
    if held.classes is not None and predicted.shape[1] > 1:
        result["regression_accuracy"] = (predicted.argmax(1) == held.classes).double().mean()
    return result


NTK = Measure(
    name="ntk",
    version=VERSION,
    keys={
        "alignment": Key(
            "kernel-target alignment, kernel centred on both sides", low=0, high=1, direction="rises in generalisation"
        ),
        "alignment_one_sided": Key("the same, the mean of each column taken off the kernel", low=0, high=1),
        "alignment_raw": Key("the same, kernel not centred", low=0, high=1),
        "distance": Key(
            "1 − cosine of the kernel with the initial one",
            low=0,
            high=1,
            direction="flat while lazy, rises as features are learnt",
        ),
        "movement": Key("‖K − K_0‖/‖K_0‖ of the kernel", low=0, direction="flat while lazy"),
        "parameter_movement": Key("‖θ − θ_0‖/‖θ_0‖ of the trained parameters", low=0),
        "trace": Key("sum of the kernel's eigenvalues", "outputs²/parameters²", low=0),
        "top_eigenvalue": Key("largest eigenvalue of the kernel: its spectral norm", "outputs²/parameters²", low=0),
        "frobenius": Key("Frobenius norm of the kernel", "outputs²/parameters²", low=0),
        "effective_rank": Key("exponential of the entropy of its eigenvalues", low=1),
        "participation_ratio": Key("(Σλ)²/Σλ² of its eigenvalues", low=1),
        "rank": Key("eigenvalues above 1e-12 of the largest", low=0),
        "condition": Key("largest eigenvalue over the smallest that counts by the rank", low=1),
        "difficulty": Key("tr Y^T K⁻¹ Y: squared displacement of a lazy fit", "parameters²", low=0),
        "laziness": Key("root of the difficulty over ‖θ‖: far above 1 a lazy fit must break", low=0),
        "regression_error": Key(
            "squared error on test data of regression with the kernel",
            "squared units",
            low=0,
            direction="falls where features are learnt",
        ),
        "regression_error_relative": Key("the same over that of predicting 0", low=0),
        "regression_accuracy": Key("accuracy on test data of regression with the kernel", low=0, high=1),
        "examples": Key("rows that the kernel is of", low=1),
        "directions": Key("random output directions it was estimated with, 0 where it is exact", low=0),
    },
    reference="Jacot et al. 2018; Kumar et al. 2024",
    cites=("jacot2018", "kumar2024", "cortes2012", "fort2020"),
    compute=measure,
    needs=("train",),
    cost="heavy",
)
