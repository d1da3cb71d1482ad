"""The figures of the paper, from stored numbers: accuracy, loss, progress measures, spectrum, weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grokscope.recipes.curves import chance_line, curve_of, phase_bands
from grokscope.report.figures import Figure, lines, spectrum
from grokscope.report.runs import Run, array_over_steps

TRAIN, TEST, LEAK_FREE = "#0072B2", "#D55E00", "#E69F00"
RESTRICTED, EXCLUDED, TOTAL = "#009E73", "#CC79A7", "#000000"
Phases = Sequence[dict[str, Any]]


def accuracy(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test accuracy over log-steps (Nanda et al. 2023, Fig. 2)."""
    modulus = runs[0].spec["task"]["modulus"]
    curves = [
        *curve_of(runs, "train/accuracy", "train", colour=TRAIN),
        *curve_of(runs, "test/accuracy", "test", colour=TEST),
        *curve_of(runs, "leak_free/accuracy", "test, mirror image not trained on", colour=LEAK_FREE, dash="dash"),
        *curve_of(runs, "fourier/restricted_accuracy", "restricted to the circuit", colour=RESTRICTED, dash="dot"),
        chance_line(runs, 1 / modulus, f"chance 1/{modulus}"),
    ]
    return lines("Accuracy", curves, y_title="accuracy", bands=phase_bands(phases))


def loss(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test loss over log-steps (Nanda et al. 2023, Fig. 2)."""
    curves = [
        *curve_of(runs, "train/loss", "train", colour=TRAIN),
        *curve_of(runs, "test/loss", "test", colour=TEST),
    ]
    return lines("Loss", curves, y_title="cross-entropy (nats)", log_y=True, bands=phase_bands(phases))


def progress(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return restricted and excluded loss beside the test loss (Nanda et al. 2023, Fig. 7)."""
    curves = [
        *curve_of(runs, "test/loss", "test", colour=TEST),
        *curve_of(runs, "fourier/restricted_loss", "restricted to the circuit (all pairs)", colour=RESTRICTED),
        *curve_of(runs, "fourier/excluded_loss", "circuit excluded (train pairs)", colour=EXCLUDED),
        *curve_of(runs, "train/loss", "train", colour=TRAIN, dash="dot"),
    ]
    return lines("Progress measures", curves, y_title="cross-entropy (nats)", log_y=True, bands=phase_bands(phases))


def fourier_spectrum(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the Fourier norms of the neuron-to-logit map over training, the key frequencies marked."""
    run = runs[0]
    steps, norms = array_over_steps(run, "fourier", "spectrum_neuron_to_logit")
    keys = run.reference("fourier")["key_frequencies"] if "fourier" in run.references() else ()
    return spectrum(
        "Fourier spectrum of the neuron-to-logit map",
        range(1, len(norms) + 1),
        steps,
        norms,
        key_frequencies=[int(key) for key in keys],
        colour_title="norm" if len(runs) == 1 else f"norm, seed {run.spec['seed']['base']}",
    )


def weights(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the sum of squared weights and the sparsity of the Fourier spectra (Nanda et al. 2023, Fig. 7)."""
    curves = [
        *curve_of(runs, "weights/sum_of_squares", "sum of squared weights", colour=TOTAL),
        *curve_of(runs, "gini/embedding", "Gini, embedding (right axis)", colour=TRAIN, axis="right"),
        *curve_of(
            runs, "gini/neuron_to_logit", "Gini, neuron-to-logit map (right axis)", colour=RESTRICTED, axis="right"
        ),
    ]
    return lines(
        "Weights",
        curves,
        y_title="sum of squared weights",
        right_title="Gini coefficient",
        log_y=True,
        bands=phase_bands(phases),
    )
