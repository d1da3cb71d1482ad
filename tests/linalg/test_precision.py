"""float32 input is computed in float64, and results stay on the device of the input."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cubes import all_sums, random_logits
from grokscope.linalg import circuit, fourier, progress


def suite(logits: Tensor) -> list[Tensor]:
    p = len(logits)
    diagonal = progress.anti_diagonal_mean(logits).to(logits.dtype)
    rows, sums = logits.reshape(p * p, p), all_sums(p).reshape(-1).to(logits.device)
    counts = torch.bincount(sums[: p * p // 3], minlength=p)
    return [
        fourier.frequency_norms(diagonal),
        fourier.component_norms(diagonal),
        progress.anti_diagonal_mean(logits),
        progress.restricted_logits(diagonal, [1, 3]),
        progress.restricted_loss(diagonal, [1, 3], counts),
        progress.restricted_accuracy(diagonal, [1, 3]),
        progress.excluded_loss(rows, sums, diagonal, [1, 3]),
        progress.excluded_accuracy(rows, sums, diagonal, [1, 3]),
        progress.excluded_losses(rows, sums, diagonal),
        circuit.cosine_coefficients(diagonal),
        circuit.logit_variance_explained(logits, [1, 3]),
        fourier.spectrum_2d(logits),
    ]


def test_float32_input_is_computed_in_float64():
    logits = random_logits(7, 7)
    for single, double in zip(suite(logits.float()), suite(logits), strict=True):
        assert single.dtype == torch.float64
        torch.testing.assert_close(single, double, rtol=1e-5, atol=1e-5)
    rounded = suite(logits.float())[2]
    torch.testing.assert_close(rounded, progress.anti_diagonal_mean(logits.float().double()), rtol=1e-14, atol=1e-15)
    tiny = progress.cross_entropy(torch.tensor([30.0, 0.0]), torch.tensor(0)).item()
    assert tiny == pytest.approx(math.exp(-30), rel=1e-2)  # float32 would give 0; eps/e^-30 = 2e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_results_stay_on_the_device_of_the_input():
    logits = random_logits(7, 7)
    for there, here in zip(suite(logits.cuda()), suite(logits), strict=True):
        assert there.is_cuda
        torch.testing.assert_close(there.cpu(), here, rtol=1e-10, atol=1e-12)
