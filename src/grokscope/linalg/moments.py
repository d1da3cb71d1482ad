"""Means and scatter of samples, with classes or without, gathered chunk by chunk without cancellation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokscope.errors import UsageError


@dataclass(frozen=True)
class Moments:
    """What second-order statistics of samples in K classes need; without classes K is 1. All in float64.

    Attributes:
        counts: (K,), samples of each class.
        means: (K, d), the mean of each class; 0 for a class without samples.
        within: (d, d), Σ (z − mean of its class)(z − mean of its class)ᵀ over all samples.
    """

    counts: Tensor
    means: Tensor
    within: Tensor

    @property
    def samples(self) -> float:
        """The number of samples n."""
        return float(self.counts.sum())

    @property
    def mean(self) -> Float[Tensor, " d"]:
        """The mean of all samples, (d,)."""
        return self.counts @ self.means / self.counts.sum()

    @property
    def between(self) -> Float[Tensor, "d d"]:
        """Σ_k n_k (mean_k − mean)(mean_k − mean)ᵀ, (d, d)."""
        shifted = (self.means - self.mean) * self.counts.sqrt()[:, None]
        return shifted.T @ shifted

    @property
    def total(self) -> Float[Tensor, "d d"]:
        """Σ (z − mean)(z − mean)ᵀ over all samples, (d, d): within and between together."""
        return self.within + self.between

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        """The unbiased covariance, total / (n − 1), (d, d); NaN for one sample."""
        return self.total / (self.counts.sum() - 1)


def moments(
    samples: Float[Tensor, "n d"], classes: Int[Tensor, " n"] | None = None, *, number: int | None = None
) -> Moments:
    """Return the moments of samples, in float64 whatever their type.

    Args:
        samples: (n, d), real numbers.
        classes: (n,), the class of each sample, 0 … ``number`` − 1; all are of one class if None.
        number: how many classes there are; one more than the largest of ``classes`` if None.

    Raises:
        UsageError: the samples are not a matrix of real numbers with values, or the classes are not theirs.

    Example:
        >>> found = moments(torch.tensor([[0.0], [2.0], [5.0]]), torch.tensor([0, 0, 1]))
        >>> found.means.tolist(), found.within.tolist(), round(float(found.total), 12)
        ([[1.0], [5.0]], [[2.0]], 12.666666666667)
    """
    values = checked_samples(samples)
    if classes is None:
        mean = values.mean(0)
        centred = values - mean
        return Moments(values.new_tensor([float(len(values))]), mean[None], centred.T @ centred)
    if classes.shape != values.shape[:1] or classes.is_floating_point():
        raise UsageError(
            f"classes of shape {tuple(classes.shape)} and dtype {classes.dtype} were given for "
            f"{len(values)} samples: give one whole number a sample."
        )
    highest = int(classes.max())
    number = highest + 1 if number is None else number
    if int(classes.min()) < 0 or highest >= number:
        raise UsageError(f"a class {int(classes.min())} … {highest} was given: classes are 0 … {number - 1}.")
    counts = torch.bincount(classes, minlength=number).to(torch.float64)
    sums = values.new_zeros(number, values.shape[1]).index_add_(0, classes, values)
    means = sums / counts.clamp_min(1)[:, None]
    centred = values - means[classes]
    return Moments(counts, means, centred.T @ centred)


def merged(one: Moments, other: Moments) -> Moments:
    """Return the moments of two sets of samples together (Chan, Golub and LeVeque 1983).

    Means that are large beside the spread lose no digits, as they would in Σ z zᵀ − n mean meanᵀ.

    Raises:
        UsageError: they have different numbers of classes or units.

    Example:
        >>> both = merged(moments(torch.tensor([[0.0], [2.0]])), moments(torch.tensor([[5.0]])))
        >>> round(float(both.within), 12)
        12.666666666667
    """
    if one.means.shape != other.means.shape:
        raise UsageError(
            f"moments with means of shapes {tuple(one.means.shape)} and {tuple(other.means.shape)} were given: "
            "only those of the same classes and units go together."
        )
    counts = one.counts + other.counts
    safe = counts.clamp_min(1)
    difference = other.means - one.means
    means = one.means + difference * (other.counts / safe)[:, None]
    # a class that one of them has not seen adds nothing here: its weight is 0
    weighted = difference * (one.counts * other.counts / safe).sqrt()[:, None]
    return Moments(counts, means, one.within + other.within + weighted.T @ weighted)


def checked_samples(samples: Tensor) -> Tensor:
    """Return samples (n, d) in float64, detached.

    Raises:
        UsageError: they are not a matrix of finite real numbers with values, or there are none.
    """
    if not isinstance(samples, Tensor):
        raise UsageError(f"samples of type {type(samples).__name__} were given: give a torch.Tensor (samples, units).")
    shape = tuple(samples.shape)
    if samples.is_meta:
        raise UsageError(f"samples of shape {shape} on the meta device were given, without values: compute them first.")
    if not samples.is_floating_point():
        raise UsageError(f"samples of dtype {samples.dtype} were given: give real floating-point numbers.")
    if samples.ndim != 2 or samples.numel() == 0:
        raise UsageError(f"samples of shape {shape} were given: give (samples, units), at least one of each.")
    found = samples.detach().to(torch.float64)
    wrong = found.numel() - int(found.isfinite().sum())
    if wrong:
        raise UsageError(f"samples of shape {shape} hold {wrong} values that are NaN or infinite.")
    return found
