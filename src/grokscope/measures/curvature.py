"""Curvature of the training loss: extreme eigenvalues and trace of its Hessian, and two kinds of sharpness."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from grokscope.errors import UsageError, unknown
from grokscope.linalg.hessian import Function, Layout, gauss_newton_product, hessian_product, value_and_gradient
from grokscope.linalg.lanczos import eigenpairs
from grokscope.linalg.products import MatVec, NoMatrix
from grokscope.linalg.trace import Trace, hutchinson, xtrace
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.derivatives import differentiable
from grokscope.measures.objective import objective

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

MATRICES = ("hessian", "gauss-newton")
ESTIMATORS = ("xtrace", "hutchinson")


@dataclass(frozen=True)
class Spectrum:
    """The ends of a spectrum.

    Attributes:
        largest: (count,), descending.
        smallest: the most negative eigenvalue, or the least positive one.
        residual: the largest ‖A v − λ v‖ of these, as a share of the largest |λ| among them; 0 for a zero matrix.
        products: products with the matrix that were taken.
    """

    largest: Tensor
    smallest: float
    residual: float
    products: int


def top_eigenvalues(
    loss: Function | Sequence[Function],
    parameters: Mapping[str, Tensor],
    count: int = 3,
    *,
    products: int = 300,
    tolerance: float = 1e-6,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the ``count`` largest eigenvalues of the Hessian of a loss, descending, (count,), in loss/parameters².

    Args:
        loss: {name: tensor} -> a tensor without axes; or several such functions, whose sum is meant and of which one
            at a time is held in memory. Deterministic, and in float64 for all digits to be right.
        parameters: {name: tensor}, the point.
        count: how many; all there are if there are fewer.
        products: Hessian-vector products to take at most.
        tolerance: of the residuals, as a share of the largest |λ|.
        generator: of the start, seed 0 if None.

    Raises:
        UsageError: a loss that is not one finite number or not deterministic, or parameters without real numbers.

    Example:
        >>> point = {"w": torch.tensor([1.0, 2.0], dtype=torch.float64)}
        >>> top_eigenvalues(lambda p: (p["w"] ** 3).sum(), point, 2).round(decimals=9).tolist()  # diag(6 w)
        [12.0, 6.0]
    """
    layout = Layout.of(parameters)
    found = eigenpairs(
        hessian_product(loss, parameters),
        layout.dimension,
        largest=count,
        products=products,
        tolerance=tolerance,
        generator=generator,
        device=layout.device,
    )
    return found.values


def extremes(
    matvec: MatVec,
    dimension: int,
    *,
    count: int = 3,
    products: int = 300,
    held: int = 80,
    tolerance: float = 1e-6,
    generator: torch.Generator | None = None,
    device: str | torch.device = "cpu",
) -> Spectrum:
    """Return the largest eigenvalues and the smallest one of a matrix that is known by its products.

    Raises:
        UsageError: as :func:`grokscope.linalg.lanczos.eigenpairs`.

    Example:
        >>> extremes(lambda v: torch.tensor([2.0, 0.0, -1.0]) * v, 3, count=1).smallest
        -1.0
    """
    found = eigenpairs(
        matvec,
        dimension,
        largest=count,
        smallest=1,
        products=products,
        held=held,
        tolerance=tolerance,
        generator=generator,
        device=device,
    )
    scale = found.values.abs().max().item()
    residual = found.residuals.max().item() / scale if scale else 0.0
    return Spectrum(found.values[:count], found.values[-1].item(), residual, found.products)


def sam_sharpness(
    loss: Function | Sequence[Function], parameters: Mapping[str, Tensor], *, radius: float = 0.05
) -> float:
    """Return L(w + ρ g/‖g‖) − L(w) with the gradient g: the rise of the loss within ρ, to first order.

    The inner step of sharpness-aware minimisation, in units of the loss. nan where the gradient is zero: there it
    names no direction. Reference: Foret et al. 2021, eq. 2.

    Raises:
        UsageError: a radius that is not positive, or as :func:`top_eigenvalues`.

    Example:
        >>> sam_sharpness(lambda p: 2 * p["w"].sum(), {"w": torch.zeros(1, dtype=torch.float64)}, radius=0.5)
        1.0
    """
    if not 0 < radius < math.inf:
        raise UsageError(f"radius = {radius} was given: give a positive length in parameter space.")
    layout = Layout.of(parameters)
    value, gradient = value_and_gradient(loss, parameters)
    length = gradient.norm()
    if not length > 0:
        return math.nan
    moved = layout.named(layout.flat(parameters).detach() + radius * gradient / length)
    with torch.no_grad():
        parts = [loss] if callable(loss) else loss
        return (torch.stack([part(moved) for part in parts]).sum() - value).item()


def measure(
    snapshot: Snapshot,
    *,
    count: int = 3,
    examples: int = 256,
    chunk: int = 256,
    products: int = 300,
    held: int = 80,
    tolerance: float = 1e-6,
    trace: Literal["xtrace", "hutchinson"] = "xtrace",
    trace_products: int = 40,
    radius: float = 0.05,
    matrix: Literal["hessian", "gauss-newton"] = "hessian",
) -> dict[str, Any]:
    """Return the curvature of the training loss in the parameters that are trained, in float64.

    All is nan where loss or gradient are not finite.
    """
    if trace not in ESTIMATORS:
        raise unknown("trace estimator", trace, ESTIMATORS)
    if matrix not in MATRICES:
        raise unknown("matrix", matrix, MATRICES)
    generator = snapshot.generator("curvature", 1)
    goal = objective(snapshot, examples=examples, chunk=chunk, generator=generator)
    parts, parameters = goal.parts, goal.parameters
    layout = Layout.of(parameters)
    with differentiable("curvature", "loss"):
        loss, gradient = value_and_gradient(parts, parameters)
        result: dict[str, Any] = {"loss": loss, "gradient_norm": gradient.norm()}
        if not loss.isfinite() or not gradient.isfinite().all():
            undefined = [key for key in CURVATURE.keys if key not in (*result, *PER_PARAMETER)]
            return {**result, **dict.fromkeys(undefined, math.nan), "eigenvalues": torch.full((count,), torch.nan)}
        try:
            product = (hessian_product if matrix == "hessian" else gauss_newton_product)(parts, parameters)
            found = extremes(
                product,
                layout.dimension,
                count=count,
                products=products,
                held=held,
                tolerance=tolerance,
                generator=generator,
                device=layout.device,
            )
            traced = _trace(product, layout, trace, trace_products, generator)
        except NoMatrix as error:
            raise DoesNotApply(f"the curvature cannot be measured: {error}") from error
        result["sam_sharpness"] = sam_sharpness(parts, parameters, radius=radius)
    result |= {
        "sharpness": found.largest[0],
        "smallest_eigenvalue": found.smallest,
        "residual": found.residual,
        "products": found.products,
        "eigenvalues": found.largest,
        "trace": traced.value,
        "trace_error": traced.error,
    }
    if traced.blocks is not None and traced.block_errors is not None:
        for key, values in zip(PER_PARAMETER, (traced.blocks, traced.block_errors), strict=True):
            result[key] = dict(zip(layout.shapes, values.tolist(), strict=True))
    return result


def _trace(product: MatVec, layout: Layout, estimator: str, products: int, generator: torch.Generator) -> Trace:
    if estimator == "xtrace":
        return xtrace(product, layout.dimension, products=products, generator=generator, device=layout.device)
    sizes = list(layout.sizes.values())
    return hutchinson(
        product, layout.dimension, probes=products, generator=generator, blocks=sizes, device=layout.device
    )


PER_PARAMETER = ("parameter_trace", "parameter_trace_error")

CURVATURE = Measure(
    name="curvature",
    version=1,
    keys={
        "sharpness": Key(
            "largest eigenvalue of the Hessian of the training loss",
            "loss/parameter²",
        ),
        "smallest_eigenvalue": Key("most negative eigenvalue", "loss/parameter²", direction="towards 0 at a minimum"),
        "residual": Key("largest ‖Hv − λv‖ of these as a share of the largest |λ|", low=0),
        "products": Key("Hessian-vector products that the eigenvalues took", low=0),
        "trace": Key("sum of all eigenvalues", "loss/parameter²"),
        "trace_error": Key("standard error of the trace", "loss/parameter²", low=0),
        "sam_sharpness": Key("rise of the loss a distance `radius` along its gradient", "loss"),
        "loss": Key("loss on the rows used", "nats, or squared units", low=0),
        "gradient_norm": Key("norm of its gradient: 0 at a minimum", "loss/parameter", low=0),
        "parameter_trace": Key("trace of the block of a parameter, with trace=hutchinson", "loss/parameter²"),
        "parameter_trace_error": Key("its standard error", "loss/parameter²", low=0),
    },
    reference="Ghorbani, Krishnan and Xiao 2019",
    compute=measure,
    needs=("labels", "train"),
    cost="heavy",
    cites=("ghorbani2019", "epperly2024", "foret2021"),
)
