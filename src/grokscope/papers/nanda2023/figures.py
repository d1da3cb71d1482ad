"""The figures of the paper over training, from stored numbers: curves, spectra and weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from grokscope.papers.nanda2023.reference import REFERENCE, REFERENCE_STEPS
from grokscope.recipes.curves import chance_line, curve_of, modules_of, phase_bands, whose
from grokscope.report import theme
from grokscope.report.figures import Curve, Figure, lines, spectrum
from grokscope.report.runs import Run, array_over_steps

TRAIN, TEST, LEAK_FREE = "#0072B2", "#D55E00", "#E69F00"
RESTRICTED, EXCLUDED, TOTAL = "#009E73", "#CC79A7", "#000000"
PUBLISHED = {"task.modulus": 113, "task.train_fraction": 0.3, "optimizer.weight_decay": 1.0}
"""The settings of the run whose curves the authors released."""
SHOWN = 3e4
"""Tensors are drawn from this share of the largest sum of squares on."""

Phases = Sequence[dict[str, Any]]


def accuracy(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test accuracy over log-steps (Nanda et al. 2023, Fig. 2)."""
    curves = [
        *_with_published(runs, "train/accuracy", "train", TRAIN),
        *_with_published(runs, "test/accuracy", "test", TEST),
        *curve_of(runs, "leak_free/accuracy", "test, mirror image not trained on", colour=LEAK_FREE, dash="dash"),
        *_with_published(runs, "fourier/restricted_accuracy", "restricted to the circuit", RESTRICTED, dash="dashdot"),
        *_chance(runs),
    ]
    return lines("Accuracy", curves, y_title="accuracy", bands=phase_bands(phases), y_range=(-0.02, 1.03))


def loss(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test loss over log-steps (Nanda et al. 2023, Fig. 2)."""
    curves = [
        *_with_published(runs, "train/loss", "train", TRAIN),
        *_with_published(runs, "test/loss", "test", TEST),
    ]
    return lines("Loss", curves, y_title="cross-entropy (nats)", log_y=True, bands=phase_bands(phases))


def progress(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return restricted and excluded loss beside the test and train loss (Nanda et al. 2023, Fig. 7)."""
    curves = [
        *_with_published(runs, "test/loss", "test", TEST),
        *_with_published(runs, "fourier/restricted_loss", "restricted to the circuit (all pairs)", RESTRICTED),
        *_with_published(runs, "fourier/excluded_loss", "circuit excluded (train pairs)", EXCLUDED),
        *_with_published(runs, "train/loss", "train", TRAIN, dash="dash"),
    ]
    return lines("Progress measures", curves, y_title="cross-entropy (nats)", log_y=True, bands=phase_bands(phases))


def fourier_spectrum(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the Fourier norms of the neuron-to-logit map over training, the key frequencies marked."""
    run = runs[0]
    steps, norms = _vectors(run, "fourier", "spectrum_neuron_to_logit")
    return spectrum(
        "Fourier spectrum of the neuron-to-logit map",
        range(1, len(norms) + 1),
        steps,
        norms,
        key_frequencies=key_frequencies(run),
        colour_title="norm",
        note=whose(runs),
    )


def excluded_by_frequency(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the train loss without one frequency at a time over training (Nanda et al. 2023, App. B)."""
    run = runs[0]
    steps, losses = _vectors(run, "fourier.hindsight", "excluded_single")
    return spectrum(
        "Excluded loss of each frequency",
        range(1, len(losses) + 1),
        steps,
        losses,
        key_frequencies=key_frequencies(run),
        colour_title="cross-entropy (nats)",
        log_colour=True,
        note=whose(runs),
    )


def weights(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the sum of squared weights and the sparsity of the Fourier spectra (Nanda et al. 2023, Fig. 7)."""
    curves = [
        *_with_published(runs, "weights/sum_of_squares", "sum of squared weights", TOTAL),
        *_with_published(runs, "gini/embedding", "Gini, embedding (right axis)", TRAIN, axis="right"),
        *_with_published(
            runs, "gini/neuron_to_logit", "Gini, neuron-to-logit map (right axis)", RESTRICTED, axis="right"
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


def weights_by_tensor(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the sum of squares of each parameter tensor, the largest at the end first, and of all."""
    key = "weights/tensor_sum_of_squares"
    names = modules_of(runs, key)
    last = {name: curve.values[-1] for name in names for curve in curve_of(runs, key, name, module=name)}
    curves = [
        *_with_published(runs, "weights/sum_of_squares", "all", TOTAL),
        *(
            curve
            for number, name in enumerate(sorted(last, key=lambda name: -last[name]))
            for curve in _with_published(runs, key, name, module=name, **_colour_and_dash(number))
        ),
    ]
    # biases start at 0: drawn whole, they would leave no room for all else
    top = max((float(np.nanmax(curve.values)) for curve in curves), default=1.0)
    return lines(
        "Weights by tensor",
        curves,
        y_title="sum of squares",
        log_y=True,
        bands=phase_bands(phases),
        y_range=(top / SHOWN, 1.5 * top),
    )


def _colour_and_dash(number: int) -> dict[str, Any]:
    """Return the look of the ``number``-th tensor: the palette without the black that stands for all of them."""
    colours = [colour for name, colour in theme.COLOURS.items() if name != "black"]
    return {"colour": colours[number % len(colours)], "dash": theme.DASHES[number // len(colours) % len(theme.DASHES)]}


def key_frequencies(run: Run, measure: str = "fourier") -> list[int]:
    """Return the key frequencies of the final network that a measure used; empty where the run has none."""
    keys = run.reference(measure).get("key_frequencies", ()) if measure in run.references() else ()
    return [int(key) for key in keys]


def _with_published(
    runs: Sequence[Run], key: str, name: str, colour: str, *, module: str | None = None, **style: Any
) -> list[Curve]:
    """Return the curve of ``key``, and dotted the one that the authors released where these are its settings."""
    own, flat = (
        curve_of(runs, key, name, module=module, colour=colour, **style),
        key if module is None else f"{key}@{module}",
    )
    if not own or flat not in REFERENCE or runs[0].spec.get("scale") != "paper":
        return own
    for path, value in PUBLISHED.items():
        section, _, entry = path.partition(".")
        if (runs[0].spec.get(section) or {}).get(entry) != value:
            return own
    axis = style.get("axis", "left")
    label = f"{name.removesuffix(' (right axis)')}, authors' run"
    steps, values = np.asarray(REFERENCE_STEPS), np.asarray(REFERENCE[flat], float)
    # nothing was read between step 0 and the next one, where every curve bends: a gap, not a straight line
    steps, values = np.insert(steps, 1, steps[1] - 1), np.insert(values, 1, np.nan)
    return [*own, Curve(label, steps, values, colour, "dot", axis)]


def _chance(runs: Sequence[Run]) -> list[Curve]:
    modulus = runs[0].spec["task"]["modulus"]
    return [chance_line(runs, 1 / modulus, f"chance 1/{modulus}")]


def _vectors(run: Run, name: str, tensor: str) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and values of a stored vector; without it nothing, where the store would refuse."""
    if name not in run.arrays():
        return np.zeros(0, np.int64), np.zeros((0, 0))
    return array_over_steps(run, name, tensor)
