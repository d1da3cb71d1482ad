"""The circles on which an embedding places the residues modulo p, one for each key frequency.

Notation as in ``fourier``; M (p, d) is the embedding, a row a residue. In exact form, row a of M is a sum over
the keys of c_k cos w_k a + s_k sin w_k a with c_k ⊥ s_k of equal length: a circle in the plane of c_k and s_k.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.linalg.ablation import span
from grokscope.linalg.fourier import checked_keys, in_float64, key_rows, wave_pairs
from grokscope.linalg.progress import Scalar


def circle_points(embedding: Float[Tensor, "p d"], keys: Iterable[int]) -> Float[Tensor, "k p 2"]:
    """Return the embeddings of all residues in the plane of each key frequency, (K, p, 2).

    The plane of k is spanned by D = (F_{2k−1} M, F_{2k} M), the embedding's own cosine and sine directions. Its axes
    are the orthonormal pair nearest to them, (D Dᵀ)^{−1/2} D, so neither is preferred and they turn only as
    the embedding does. The mean over residues is removed and nothing is rescaled: the picture is an
    isometry, in the embedding's units, and a perfect circle of radius r comes out as r (cos w_k a, sin w_k a).
    A direction that is 0 (the sine at p/2) gives coordinates of 0. Raises UsageError where the embedding is
    not 2-D or a key is out of range.

    Example:
        >>> angle = 2 * torch.pi * torch.arange(5, dtype=torch.float64) / 5
        >>> circle = 3 * torch.stack([angle.cos(), angle.sin()], dim=1)
        >>> torch.allclose(circle_points(circle @ torch.tensor([[0.6, 0.8], [-0.8, 0.6]]).double(), [1])[0], circle)
        True
    """
    embedding = in_float64(embedding, "embedding", 2)
    chosen = checked_keys(keys, len(embedding))
    centred = embedding - embedding.mean(dim=0)
    directions = wave_pairs(len(embedding), chosen, embedding.device) @ centred
    left, values, right = torch.linalg.svd(directions, full_matrices=False)
    largest = values.amax(dim=1, keepdim=True)
    # The nearest orthonormal pair is the polar factor, U Vᵀ of the singular value decomposition.
    axes = (left * (values > 1e-12 * largest)[:, None, :]) @ right
    return centred @ axes.transpose(1, 2)


def plane_share(embedding: Float[Tensor, "p d"], keys: Iterable[int]) -> Scalar:
    """Return the share of the embedding's variance over residues that lies in the planes of the key frequencies.

    ‖M̃ Q‖²/‖M̃‖², M̃ the embedding without its mean and Q (d, ≤2K) an orthonormal basis of all key planes
    together. At least the share of its energy at the keys, at most 1, and 1 where 2K ≥ d. nan for a constant
    embedding, 0 without keys. Raises UsageError as ``circle_points`` does.

    Example:
        >>> round(plane_share(torch.eye(5), [1]).item(), 6)
        0.5
    """
    embedding = in_float64(embedding, "embedding", 2)
    centred = embedding - embedding.mean(dim=0)
    rows = key_rows(len(embedding), keys)
    waves = wave_pairs(len(embedding), range(1, len(embedding) // 2 + 1), embedding.device).flatten(0, 1)
    basis = span(waves[[row - 1 for row in rows]] @ centred)
    return (centred @ basis).square().sum() / centred.square().sum()
