"""What is timed does the same, both ways."""

from __future__ import annotations

import pytest
import torch

from grokscope.bench import spectra


def test_excluded_losses_are_the_same_both_ways() -> None:
    generator = torch.Generator().manual_seed(0)
    for modulus in (6, 7):
        logits = torch.randn(modulus, modulus, modulus, generator=generator, dtype=torch.float64)
        train = torch.rand(modulus, modulus, generator=generator) < 0.6
        plain = spectra.plain_excluded_losses(logits, train)
        assert spectra.our_excluded_losses(logits, train) == pytest.approx(plain, rel=1e-12)


def test_rows_tell_the_ratio_and_how_far_the_two_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectra, "FITS", (12,))
    monkeypatch.setattr(spectra, "LAYERS", ((12, 16),))
    monkeypatch.setattr(spectra, "MODULUS", 5)
    before = torch.get_num_threads()
    fit, layer, fourier = spectra.benchmark(threads=(1,), rounds=1)
    assert torch.get_num_threads() == before
    assert fit.ratio == fit.baseline / fit.ours
    assert fit.details["same_xmin"]
    assert fit.details["alpha_difference"] < 1e-12
    assert layer.details["times_the_svd"] == pytest.approx(1 / layer.ratio)
    assert fourier.details["difference"] < 1e-12
