"""The figures of matrix completion, over the time of the flow, from stored numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.papers.lyu2024.completion_statistics import decay_of, half, scale_of
from grokscope.recipes.curves import curve_of, moment_labels, stored_level, whose
from grokscope.recipes.flow import EARLY, LATE, TEST, TIME, TRAIN, over_time, swept, train_and_test
from grokscope.recipes.readings import over, value_at
from grokscope.report import theme
from grokscope.report.figures import Curve, Figure, lines
from grokscope.report.maps import moments_within, pair_maps
from grokscope.report.runs import Run, arrays_at

Phases = Sequence[dict[str, Any]]


def loss(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test loss with the test losses of both completions (Lyu et al. 2024, Fig. 3)."""
    curves = [
        *train_and_test(runs, "loss"),
        *stored_level(
            runs, "completion/early_test_loss", "kernel regime, test", clock=TIME, colour=EARLY, dash="dashdot"
        ),
        *stored_level(
            runs, "completion/late_test_loss", "least nuclear norm, test", clock=TIME, colour=LATE, dash="dash"
        ),
    ]
    return over_time("Loss", curves, runs, phases, y_title="mean squared error", log_y=True)


def unobserved(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return unobserved entries with the power that theory gives them, of the first run."""
    key = "completion/unobserved_mean"
    curves = [
        *curve_of(runs, key, "mean size", clock=TIME, colour=TEST),
        *curve_of(runs, "completion/unobserved_max", "largest", clock=TIME, colour=EARLY),
    ]
    run, shift = runs[0], decay_of(runs[0])
    times, values = over(run, key, TIME)
    here = value_at(run, key, 1 / shift, clock=TIME)
    if math.isfinite(here):
        # from where it is above the rounding of α² to where it would be as large as the matrix
        power = here * np.exp(4 * np.minimum(shift * times - 1, 100))
        seen = power < values.max()
        curves.append(Curve("(α e^{−λt})^{−4}", times[seen], power[seen], LATE, "dash"))
    return over_time("Unobserved entries", curves, runs, phases, y_title="size of the entries", log_y=True)


def distance(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the distances to both completions."""
    curves = [
        *curve_of(runs, "completion/early_distance", "kernel regime", clock=TIME, colour=EARLY),
        *curve_of(runs, "completion/late_distance", "least loss and nuclear norm", clock=TIME, colour=LATE),
    ]
    return over_time("Which completion it is", curves, runs, phases, y_title="relative distance of W", log_y=True)


def norms(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the squared norm of the factors, that of pure decay, and the nuclear norm."""
    key = "weights/sum_of_squares"
    times, values = over(runs[0], key, TIME)
    pure = values[0] * np.exp(-2 * decay_of(runs[0]) * (times - times[0]))
    seen = pure > 0.1 * values.min()
    curves = [
        *curve_of(runs, key, "‖U‖² + ‖V‖²", clock=TIME, colour=TEST),
        Curve("pure decay", times[seen], pure[seen], "#888888", "dot"),
        *curve_of(runs, "completion/nuclear_norm", "nuclear norm of W", clock=TIME, colour=LATE),
    ]
    return over_time("Squared norm of the factors and nuclear norm", curves, runs, phases, y_title="norm", log_y=True)


def spectrum(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the singular values of W at up to six moments."""
    found = arrays_at(runs[0], "completion", "singular_values", 6, trained=True)
    curves = [
        Curve(f"step {label}", np.arange(1, len(values) + 1), values)
        for label, values in zip(moment_labels(list(found), phases), found.values(), strict=True)
    ]
    figure = lines(
        "Singular values of W", curves, x_title="number of the singular value", y_title="singular value", log_y=True
    )
    notes = [theme.note(whose(runs))] if whose(runs) else []
    return {**figure, "layout": {**figure["layout"], "annotations": notes}}


def matrices(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return W as a map, with a slider over the moments at which it was kept."""
    name = "completion:maps=True"
    cells = max((one.size for one in arrays_at(runs[0], name, "matrix", 1).values()), default=0)
    found = arrays_at(runs[0], name, "matrix", moments_within(cells))
    size = runs[0].spec["task"]["size"]
    values = np.stack(list(found.values()))[:, None] if found else np.zeros((0, 1, size, size))
    labels = moment_labels(list(found), phases)
    return pair_maps("The matrix W", ["W"], values, labels, colour_title="entry", columns=1, note=whose(runs))


def transition(by_experiment: Mapping[str, Sequence[Run]]) -> Figure:
    """Return λ times the transition over the initial scale (weight decay 1e-3) and over 1/λ (scale 10)."""
    cells = [runs for runs in by_experiment.values() if runs]
    by_scale = [runs for runs in cells if decay_of(runs[0]) == 1e-3]
    by_decay = [runs for runs in cells if scale_of(runs[0]) == 10]
    curves = [
        *swept(by_scale, scale_of, scaled, _names("α"), TEST),
        *swept(by_decay, lambda run: 1 / decay_of(run), scaled, _names("1/λ, at α = 10"), TRAIN),
    ]
    title = "Transition against the initial scale and against weight decay"
    return lines(title, curves, x_title="initial scale α, or inverse weight decay", y_title="λ times the transition")


def scaled(run: Run) -> float:
    """Return λ times the time at which test loss is half of its early level."""
    return decay_of(run) * half(run)


def _names(name: str) -> tuple[str, str]:
    return f"half of the early test loss, over {name}", f"onset, forecast, over {name}"
