"""How concentrated a non-negative vector is: the Gini coefficient and the inverse participation ratio."""

from __future__ import annotations

import torch
from jaxtyping import Float, Num
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.fourier import wave_coefficients


def gini(values: Num[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    """Return the Gini coefficient of non-negative values: 0 where all are equal, 1 − 1/n for one alone.

    G = 2 Σ_i i x_(i) / (n Σ x) − (n+1)/n over the ascending values x_(1) ≤ … ≤ x_(n); (…, n) to (…),
    without units, in float64. Independent half-normal values have 0.414 in the limit, not 0. nan where
    all values are zero (0/0: no share to divide) or one is nan. Raises UsageError for a negative value
    or an empty last axis. Reference: Hurley and Rickard 2009; Nanda et al. 2023, section 5.

    Example:
        >>> gini(torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 1.0, 0.0]])).tolist()
        [0.25, 0.75]
    """
    if values.ndim == 0 or values.shape[-1] == 0:
        raise UsageError(f"values of shape {tuple(values.shape)} were given: give at least one on the last axis.")
    if bool((values < 0).any()):
        raise UsageError(
            f"a value of {values.min().item():g} was given: the Gini coefficient needs non-negative values, "
            "such as norms."
        )
    ordered = values.to(torch.float64).sort(dim=-1).values
    count = ordered.shape[-1]
    # The formula above with its last term under the sum: no difference of two numbers near 1.
    weights = 2 * torch.arange(1, count + 1, dtype=torch.float64, device=values.device) - (count + 1)
    return (ordered * weights).sum(dim=-1) / (count * ordered.sum(dim=-1))


def inverse_participation_ratio(rows: Num[Tensor, "n p"]) -> Float[Tensor, " n"]:
    """Return, for each row, Σ_k P_k² of its Fourier power P on Z/p: 1 for one frequency alone.

    P_k, k = 0, …, ⌊p/2⌋, is the share of the row's squared norm in the constant (k = 0) or in
    cos w_k and sin w_k together, so Σ_k P_k = 1 and a real wave of any phase has 1.0 (its two complex
    amplitudes apart would give 0.5). (n, p) to (n,), without units, in float64. A Gaussian row has about
    4/p. nan for a zero row. Raises UsageError where the rows are not 2-D or p < 2. Reference: Gromov
    2023, with the two amplitudes of a frequency combined.

    Example:
        >>> wave = torch.cos(2 * torch.pi * torch.arange(7, dtype=torch.float64) * 3 / 7 + 0.3)
        >>> round(inverse_participation_ratio(wave[None])[0].item(), 6)
        1.0
    """
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise UsageError(f"rows of shape {tuple(rows.shape)} were given: give (rows, p) with p of at least 2.")
    columns = rows.to(torch.float64).T
    waves = wave_coefficients(columns).square().sum(dim=1)
    constant = columns.sum(dim=0).square() / len(columns)
    total = constant + waves.sum(dim=0)
    return (constant.square() + waves.square().sum(dim=0)) / total.square()
