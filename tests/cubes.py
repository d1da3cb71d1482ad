"""Logits of closed form, random ones, and projections on all p² pairs, one direction at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MODULI = [2, 3, 4, 5, 8, 11, 12, 13]


def single_wave(p: int, scale: float, *, sign: int = 1, frequency: int = 1) -> Tensor:
    a, b, c = torch.meshgrid(*[torch.arange(p, dtype=torch.float64)] * 3, indexing="ij")
    return scale * torch.cos(2 * math.pi * frequency * (a + sign * b - c) / p)


def random_logits(p: int, classes: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * p + classes + seed)
    return scale * torch.randn(p, p, classes, generator=generator, dtype=torch.float64)


def all_sums(p: int) -> Tensor:
    return (torch.arange(p)[:, None] + torch.arange(p)) % p


def all_differences(p: int) -> Tensor:
    return (torch.arange(p)[:, None] - torch.arange(p)) % p


def half_of_the_pairs(p: int, seed: int = 0) -> Tensor:
    order = torch.randperm(p * p, generator=torch.Generator().manual_seed(seed))
    return order[: max(1, p * p // 2)]


def naive_projection(logits: Tensor, keys: list[int], table: Tensor | None = None) -> Tensor:
    """Project on unit vectors in the space of all p² pairs, one direction at a time."""
    p, classes = logits.shape[0], logits.shape[2]
    flat = logits.reshape(p * p, classes)
    sums = (all_sums(p) if table is None else table).reshape(-1).double()
    out = torch.zeros_like(flat)
    for k in keys:
        for wave in (torch.cos, torch.sin):
            direction = wave(2 * math.pi * k * sums / p)
            if direction.norm() > 1e-6:  # the sine vanishes at p/2
                unit = direction / direction.norm()
                out += torch.outer(unit, unit @ flat)
    return out.reshape(logits.shape)


def naive_losses(logits: Tensor, sums: Tensor) -> Tensor:
    rows = logits.reshape(-1, logits.shape[-1])
    return rows.exp().sum(1).log() - rows[torch.arange(len(rows)), sums.reshape(-1)]


def wave(p: int, k: int, phase: float = 0.0) -> Tensor:
    """Return cos(w_k a − phase) over the residues."""
    return torch.cos(2 * math.pi * k * torch.arange(p, dtype=torch.float64) / p - phase)


def least_squares(values: Tensor, columns: list[Tensor]) -> Tensor:
    """Return the fit of values (examples, n) on columns (examples,) and a constant, by a general solver."""
    design = torch.stack([torch.ones(len(values), dtype=torch.float64), *columns], dim=1)
    # an SVD, as columns may vanish (the sine at p/2) or coincide
    return design @ torch.linalg.lstsq(design, values, driver="gelsd").solution


def explained(values: Tensor, columns: list[Tensor]) -> Tensor:
    """Return 1 − RSS/TSS of the same fit, by column of values."""
    residual = values - least_squares(values, columns)
    return 1 - residual.square().sum(0) / (values - values.mean(0)).square().sum(0)


def product_columns(p: int, k: int, *, single: bool = True, product: bool = True) -> list[Tensor]:
    """Return the components of frequency k as functions of the p² pairs, by loops over the pairs."""
    columns = []
    for first in (0, 1, 2):
        for second in (0, 1, 2):
            if (first, second) == (0, 0) or (not single and 0 in (first, second)) or (not product and first and second):
                continue
            column = torch.zeros(p * p, dtype=torch.float64)
            for a in range(p):
                for b in range(p):
                    parts = [
                        (1.0, math.cos(2 * math.pi * k * r / p), math.sin(2 * math.pi * k * r / p)) for r in (a, b)
                    ]
                    column[a * p + b] = parts[0][first] * parts[1][second]
            columns.append(column)
    return columns
