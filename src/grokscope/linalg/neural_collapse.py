"""Neural collapse: how near the last features are to one point a class, at the corners of a simplex.

Papyan, Han and Donoho 2020, whose four properties are named NC1 to NC4. Class means are taken relative to the mean of
the class means, which is the mean of all samples where classes are equally large. Everything is in float64.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.moments import checked_samples


def whitening(means: Float[Tensor, "classes d"]) -> Float[Tensor, "d r"]:
    """Return V/s of the centred class means M = U diag(s) Vᵀ: r ≤ K − 1 columns, none for equal means.

    tr(Σ_W Σ_B⁺)/K, with the scatter Σ_B = MᵀM/K of the K means, is the mean over samples of ‖(z − mean of its class)ᵀ
    V/s‖²: no matrix of the size of the features is needed.

    Raises:
        UsageError: the means are not a matrix of finite real numbers, or of one class only.
    """
    centred = _centred(means)
    _, values, rows = torch.linalg.svd(centred, full_matrices=False)
    tolerance = max(centred.shape) * torch.finfo(torch.float64).eps * float(checked_samples(means).abs().max())
    # centring takes one direction away, whatever rounding says
    kept = (values > tolerance) & (torch.arange(len(values), device=values.device) < len(means) - 1)
    return rows[kept].T / values[kept]


def simplex_distances(means: Float[Tensor, "classes d"], *, centre: bool = True) -> dict[str, float]:
    """Return NC2 of vectors: how far from equal norms, equal angles, and the widest angle −1/(K − 1).

    ``equinorm``: standard deviation over mean of the norms. ``equiangular``: standard deviation of the cosines of all
    pairs. ``widest``: mean |cos + 1/(K − 1)| over pairs. All 0 for a simplex, NaN where a vector is 0.

    Args:
        means: (K, d), the class means, or the rows of the classifier.
        centre: subtract their mean, as for class means.

    Raises:
        UsageError: they are not a matrix of finite real numbers, or of one class only.

    Example:
        >>> simplex_distances(torch.eye(3, dtype=torch.float64), centre=False)["widest"]  # right angles, not 120°
        0.5
    """
    vectors = _centred(means) if centre else _several(checked_samples(means))
    norms = torch.linalg.vector_norm(vectors, dim=1)
    if not bool((norms > 0).all()):
        return dict.fromkeys(("equinorm", "equiangular", "widest"), math.nan)
    unit = vectors / norms[:, None]
    count = len(vectors)
    pairs = torch.ones(count, count, dtype=torch.bool, device=unit.device).triu(1)
    cosines = (unit @ unit.T)[pairs]
    return {
        "equinorm": float(norms.std(correction=0) / norms.mean()),
        "equiangular": float(cosines.std(correction=0)),
        "widest": float((cosines + 1 / (count - 1)).abs().mean()),
    }


def self_duality(means: Float[Tensor, "classes d"], weights: Float[Tensor, "classes d"]) -> float:
    """Return NC3, ‖W/‖W‖ − M/‖M‖‖² in Frobenius norms, in [0, 4]: 0 where classifier and centred means are parallel.

    Raises:
        UsageError: they are not matrices of finite real numbers of one shape, or of one class only.

    Example:
        >>> self_duality(torch.eye(2), torch.tensor([[3.0, -3.0], [-3.0, 3.0]]))
        0.0
    """
    rows = checked_samples(weights)
    if rows.shape != means.shape:
        raise UsageError(
            f"means of shape {tuple(means.shape)} and weights of {tuple(rows.shape)} were given: equal shapes."
        )
    centred = _centred(means)
    sizes = float(torch.linalg.vector_norm(centred)), float(torch.linalg.vector_norm(rows))
    if not min(sizes) > 0:
        return math.nan
    return float((rows / sizes[1] - centred / sizes[0]).square().sum())


def nearest_mean(features: Float[Tensor, "n d"], means: Float[Tensor, "classes d"]) -> Int[Tensor, " n"]:
    """Return the index of the class mean nearest to each row of features, (n,): the decision of NC4.

    Example:
        >>> nearest_mean(torch.tensor([[0.0], [9.0]]), torch.tensor([[1.0], [8.0]])).tolist()
        [0, 1]
    """
    values, centres = checked_samples(features), checked_samples(means)
    origin = centres.mean(0)
    values, centres = values - origin, centres - origin
    return (centres.square().sum(1) - 2 * values @ centres.T).argmin(1)


def neural_collapse(
    features: Float[Tensor, "n d"], classes: Int[Tensor, " n"], weights: Float[Tensor, "classes d"] | None = None
) -> dict[str, float]:
    """Return NC1 to NC3 of features and, where it is given, the classifier; all 0 at complete collapse.

    ``within``: NC1, tr(Σ_W Σ_B⁺)/K. ``means_…``: NC2 of the class means; ``weights_…`` of the classifier's rows; see
    :func:`simplex_distances`. ``self_duality``: NC3.

    Args:
        features: (n, d), the input of the readout.
        classes: (n,), 0 … K − 1, each with at least one sample.
        weights: (K, d), the readout's weight.

    Raises:
        UsageError: what is given is not finite, does not belong together, or is of one class only.

    Example:
        >>> corners = torch.eye(3).repeat(2, 1)
        >>> neural_collapse(corners, torch.tensor([0, 1, 2, 0, 1, 2]))["within"]
        0.0
    """
    values = checked_samples(features)
    if classes.shape != values.shape[:1] or classes.is_floating_point():
        raise UsageError(
            f"classes of shape {tuple(classes.shape)} were given for {len(values)} samples: one whole number each."
        )
    counts = torch.bincount(classes)
    if not bool((counts > 0).all()):
        raise UsageError("a class without samples was given: number the classes 0 … K − 1.")
    sums = values.new_zeros(len(counts), values.shape[1]).index_add_(0, classes, values)
    means = sums / counts[:, None]
    directions = whitening(means)
    spread = ((values - means[classes]) @ directions).square().sum(1).mean() if directions.shape[1] else math.nan
    return {"within": float(spread), **geometry(means, weights)}


def geometry(means: Float[Tensor, "classes d"], weights: Float[Tensor, "classes d"] | None) -> dict[str, float]:
    """Return NC2 and NC3 of class means and, where it is given, the classifier; see :func:`neural_collapse`."""
    found = {f"means_{key}": value for key, value in simplex_distances(means).items()}
    if weights is not None:
        found |= {f"weights_{key}": value for key, value in simplex_distances(weights, centre=False).items()}
        found["self_duality"] = self_duality(means, weights)
    return found


def _several(means: Tensor) -> Tensor:
    if len(means) < 2:
        raise UsageError("vectors of one class were given: neural collapse needs two.")
    return means


def _centred(means: Tensor) -> Tensor:
    values = _several(checked_samples(means))
    centred = values - values.mean(0)
    # means that are equal are equal up to the rounding of their mean
    return torch.where(centred.abs() > 1e-14 * values.abs().max(), centred, 0.0)
