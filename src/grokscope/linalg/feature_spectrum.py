"""The ranks of features: how many directions the outputs of a layer use.

Everything is read off the variances: the eigenvalues of the unbiased covariance of (samples, units), descending.
Ranks of singular values in general are in :mod:`grokscope.linalg.spectra`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.moments import Moments, moments
from grokscope.linalg.spectra import effective_rank, numerical_rank, participation_ratio, stable_rank

LEVELS = {"above_0.1": 1e-1, "above_0.01": 1e-2, "above_0.001": 1e-3, "above_1e-6": 1e-6}
"""Standard deviations, relative to the largest, above which a direction is counted."""


def feature_variances(features: Float[Tensor, "n d"] | Moments) -> Float[Tensor, " d"]:
    """Return the variances of features along their principal directions, descending, in float64, units².

    The eigenvalues λ of the covariance total/(n − 1). Those up to λ₁ d ε, ε = 2.2e-16, are rounding and returned as
    0: standard deviations are known down to √(d ε) of the largest, 3e-7 for d = 400.

    Args:
        features: (n, d) with n of at least 2, or their moments.

    Raises:
        UsageError: they are not a matrix of finite real numbers, or there is one sample only.

    Example:
        >>> feature_variances(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).tolist()
        [2.0, 0.0]
    """
    found = features if isinstance(features, Moments) else moments(features)
    if found.samples < 2:
        raise UsageError("features of one sample were given: a covariance needs two.")
    ascending = torch.linalg.eigvalsh(found.covariance)
    rounding = ascending[-1] * len(ascending) * torch.finfo(torch.float64).eps
    return torch.where(ascending > rounding, ascending, 0.0).flip(0)


def feature_ranks(variances: Float[Tensor, " d"], *, explained: float = 0.99) -> dict[str, float]:
    """Return the ranks of features from their variances λ₁ ≥ … ≥ λ_d; σ = √λ.

    ``numerical``: #{λ > λ₁ d ε}, ε = 2.2e-16, as ``torch.linalg.matrix_rank`` of the covariance counts (Masarczyk
    et al. 2023; Fan, Pascanu and Jaggi 2024). ``above_t``: #{σ > t σ₁}, see :data:`LEVELS`. ``effective``:
    exp(−Σ p ln p), p = σ/Σσ (Roy and Vetterli 2007). ``stable``: Σλ/λ₁. ``participation``: (Σλ)²/Σλ². ``components``:
    the fewest directions that hold the share ``explained`` of Σλ. Features that are all equal have numerical rank
    and components 0, the ``above_t`` are 0 and the others NaN.

    Raises:
        UsageError: there are no variances, or the share is not in (0, 1].

    Example:
        >>> found = feature_ranks(torch.tensor([9.0, 9.0, 9.0, 0.0]))
        >>> found["numerical"], round(found["effective"], 9), found["stable"], found["components"]
        (3.0, 3.0, 3.0, 3.0)
    """
    if not 0 < explained <= 1:
        raise UsageError(f"explained = {explained:g} was given: it is a share of the variance, in (0, 1].")
    squares = variances.to(torch.float64)
    spread = squares.sqrt()
    width = squares.shape[-1] if squares.ndim else 0
    return {
        "numerical": float(numerical_rank(squares, tolerance=width * torch.finfo(torch.float64).eps)),
        **{key: float(numerical_rank(spread, tolerance=level)) for key, level in LEVELS.items()},
        "effective": float(effective_rank(spread)),
        "stable": float(stable_rank(spread)),
        "participation": float(participation_ratio(spread)),
        "components": float(components(squares, explained)),
    }


def components(variances: Float[Tensor, " d"], explained: float) -> int:
    """Return how many of the largest variances hold the share ``explained`` of their sum; 0 where all are 0.

    Example:
        >>> components(torch.tensor([6.0, 3.0, 1.0]), 0.9)
        2
    """
    ordered = variances.to(torch.float64).sort(descending=True).values
    total = ordered.cumsum(0)
    if float(total[-1]) == 0:
        return 0
    # shares that are equal in exact arithmetic may differ in the last bits
    return int((total < explained * total[-1] * (1 - 1e-12)).sum()) + 1


def tunnel_length(ranks: Sequence[float], widths: Sequence[float], *, fraction: float = 0.75) -> int:
    """Return how many layers have a rank below ``fraction`` × their width (Masarczyk et al. 2023).

    Fan, Pascanu and Jaggi 2024 count ranks below 300 in networks of width 400, the readout included: ``fraction``
    0.75 and every width 400.

    Raises:
        UsageError: there are not as many widths as ranks.

    Example:
        >>> tunnel_length([400, 310, 180, 10], [400, 400, 400, 400])
        2
    """
    if len(ranks) != len(widths):
        raise UsageError(f"{len(ranks)} ranks and {len(widths)} widths were given: give one width a layer.")
    return sum(rank < fraction * width for rank, width in zip(ranks, widths, strict=True))
