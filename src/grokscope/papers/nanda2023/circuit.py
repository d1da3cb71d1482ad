"""The figures of the network itself: embedding circles, logits in 2-D Fourier space, attention, neurons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grokscope.papers.nanda2023.figures import Phases, key_frequencies
from grokscope.recipes.curves import moment_labels, whose
from grokscope.report import theme
from grokscope.report.circles import circles
from grokscope.report.figures import Curve, Figure, lines
from grokscope.report.maps import fourier_planes, moments_within, pair_maps
from grokscope.report.neurons import neuron_frequencies
from grokscope.report.runs import Run, arrays_at
from grokscope.report.slider import MOMENTS

PLANES = 4
NEURONS = 8
SINGULAR_VALUES = 30
EXPLAINED = 0.85
"""The share above which the paper calls a neuron explained by one frequency."""


def embedding_circles(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the token embedding on the circles of its key frequencies, with a slider (Nanda et al. 2023, Fig. 3)."""
    keys = key_frequencies(runs[0], "circles")
    found = arrays_at(runs[0], "circles.hindsight", "points", MOMENTS)
    kept = {step: points for step, points in found.items() if len(points) == len(keys)}
    points = np.stack(list(kept.values())) if kept else np.zeros((0, len(keys), 0, 2))
    return circles(
        "Embedding on its key frequencies", keys, points, moment_labels(list(kept), phases), note=whose(runs)
    )


def logit_planes(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the logits in 2-D Fourier space at up to four moments (Nanda et al. 2023, Fig. 5)."""
    run = runs[0]
    found = arrays_at(run, "maps", "logit_spectrum", PLANES, trained=True)
    return fourier_planes(
        "Logits in 2-D Fourier space",
        [f"step {label}" for label in moment_labels(list(found), phases)],
        np.stack(list(found.values())) if found else np.zeros((0, 0, 0)),
        key_frequencies(run),
        colour_title="norm over the outputs (logits)",
        note=whose(runs),
    )


def attention(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the attention of each head as a function of a and b, with a slider (Nanda et al. 2023, Fig. 6)."""
    found = _maps(runs[0], "attention")
    heads = next(iter(found.values())).shape[0] if found else 0
    return pair_maps(
        "Attention to the first number",
        [f"head {head}" for head in range(heads)],
        np.stack(list(found.values())) if found else np.zeros((0, 0, 0, 0)),
        moment_labels(list(found), phases),
        colour_title="attention from = to a",
        colour_range=(0.0, 1.0),
        note=whose(runs),
    )


def neurons(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return activations of some neurons as functions of a and b, with a slider (Nanda et al. 2023, Fig. 6)."""
    found = {step: values[:NEURONS] for step, values in _maps(runs[0], "neurons", NEURONS).items()}
    count = min((len(values) for values in found.values()), default=0)
    values = [values[:count] for values in found.values()]
    return pair_maps(
        "Neurons as functions of a and b",
        [_neuron_names(runs[0], step)[:count] for step in found],
        np.stack(values) if values else np.zeros((0, 0, 0, 0)),
        moment_labels(list(found), phases),
        colour_title="activation",
        columns=3 if count in (5, 6) else 4,
        note=whose(runs),
    )


def _neuron_names(run: Run, step: int) -> list[str]:
    stored = run.array("maps", step)
    names = []
    for neuron, frequency in zip(stored["neuron_index"], stored["neuron_best_frequency"], strict=True):
        # the measure gives 0 to a neuron that does not vary
        names.append(f"neuron {int(neuron)}" + (f", k = {int(frequency)}" if frequency > 0 else ""))
    return names


def neurons_by_frequency(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return how many neurons the best frequency explains how well, and how many each frequency has."""
    run = runs[0]
    best = arrays_at(run, "circuit", "neuron_frequency", 1)
    shares = arrays_at(run, "circuit", "neuron_variance", 1)
    step = max(best.keys() & shares.keys(), default=None)
    words = [] if step is None else [f"at step {moment_labels([step], phases)[0]}"]
    return neuron_frequencies(
        "Neurons by frequency",
        np.zeros(0, int) if step is None else best[step],
        np.zeros(0) if step is None else shares[step],
        largest=run.spec["task"]["modulus"] // 2,
        key_frequencies=key_frequencies(run),
        mark=EXPLAINED,
        note=" · ".join([*words, *filter(None, [whose(runs)])]),
    )


def rank(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the largest singular values of the neuron-to-logit map at up to five moments."""
    found = arrays_at(runs[0], "circuit", "neuron_to_logit_singular_values", 5)
    curves = [
        Curve(f"step {label}", np.arange(1, len(values) + 1), values)
        for label, values in zip(
            moment_labels(list(found), phases), (values[:SINGULAR_VALUES] for values in found.values()), strict=True
        )
    ]
    figure = lines(
        "Singular values of the neuron-to-logit map",
        curves,
        x_title="number of the singular value",
        y_title="singular value",
        log_x=False,
        log_y=True,
    )
    notes = [theme.note(whose(runs))] if whose(runs) else []
    return {**figure, "layout": {**figure["layout"], "annotations": notes}}


def _maps(run: Run, tensor: str, most: int | None = None) -> dict[int, np.ndarray]:
    """Return as many moments of some maps as a page has room for."""
    last = arrays_at(run, "maps", tensor, 1)
    cells = max((values[:most].size for values in last.values()), default=0)
    return arrays_at(run, "maps", tensor, moments_within(cells))
