"""Linear classifiers in closed form: ridge regression on classes, from the moments of the features alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.moments import Moments

_CONSTANT = 1e-10
"""A unit whose standard deviation is below this × |mean| is constant up to rounding."""


@dataclass(frozen=True)
class Probe:
    """A linear classifier: the class of z is the largest of zᵀ ``weights`` + ``bias``; (d, K) and (K,)."""

    weights: Tensor
    bias: Tensor

    def classes(self, features: Float[Tensor, "n d"]) -> Int[Tensor, " n"]:
        """Return the class of each row of features, (n,); of equal scores the first."""
        return (features.to(torch.float64) @ self.weights + self.bias).argmax(1)


def ridge_probes(moments: Moments, penalties: Sequence[float]) -> list[Probe]:
    """Return the ridge classifiers of features for several penalties, by one eigendecomposition.

    Minimises (1/n) Σ_i ‖Wᵀ z̃_i + b − y_i‖² + λ‖W‖², y one-hot, over features z̃ of mean 0 and standard deviation 1 in
    every unit, exactly: W = (C + λ)⁻¹ E with C and E the covariances of z̃ with itself and with y. The classifiers
    returned take the features as they are. Units that are constant have no weight. With λ = 0 directions without
    variance have none either (the solution of least norm).

    Args:
        moments: of the features, with their classes; one without samples is never predicted.
        penalties: λ, none negative.

    Raises:
        UsageError: a penalty is negative.

    Example:
        >>> from grokscope.linalg.moments import moments
        >>> z, y = torch.tensor([[0.0], [1.0], [4.0], [5.0]]), torch.tensor([0, 0, 1, 1])
        >>> ridge_probes(moments(z, y), [1e-3])[0].classes(torch.tensor([[-1.0], [2.0], [3.0]])).tolist()
        [0, 0, 1]
    """
    for penalty in penalties:
        if not penalty >= 0:
            raise UsageError(f"a penalty of {penalty:g} was given: it cannot be negative.")
    count = moments.counts.sum()
    mean = moments.mean
    covariance = moments.total / count
    spread = covariance.diag().sqrt()
    scale = torch.where(spread > _CONSTANT * mean.abs(), 1 / spread, 0.0)
    shares = moments.counts / count
    targets = (shares[:, None] * (moments.means - mean)).T * scale[:, None]  # (d, K)
    values, vectors = torch.linalg.eigh(covariance * scale * scale[:, None])
    floor = values.amax().clamp_min(0) * len(values) * torch.finfo(torch.float64).eps
    turned = vectors.T @ targets
    found = []
    for penalty in penalties:
        inverse = torch.where(values > floor, 1 / (values + penalty), 0.0)
        weights = (vectors @ (inverse[:, None] * turned)) * scale[:, None]
        bias = torch.where(moments.counts > 0, shares - mean @ weights, -torch.inf)
        found.append(Probe(weights, bias))
    return found
