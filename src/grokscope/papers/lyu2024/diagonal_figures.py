"""The figures of diagonal networks, over the time of the flow, from stored numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grokscope.papers.lyu2024.diagonal_statistics import ONSET, RATIO, decay_of
from grokscope.papers.lyu2024.diagonal_statistics import onset as measured_onset
from grokscope.recipes.curves import curve_of, level, stored_level
from grokscope.recipes.flow import EARLY, LATE, TEST, TIME, TRAIN, over_time, swept, train_and_test
from grokscope.report.figures import Figure, lines
from grokscope.report.runs import Run

Phases = Sequence[dict[str, Any]]


def accuracy(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test accuracy with the accuracies of both oracles (Lyu et al. 2024, Fig. 1)."""
    curves = [
        *train_and_test(runs, "accuracy"),
        *stored_level(
            runs, "max_margin/early_accuracy", "maximal L2 margin, test", clock=TIME, colour=EARLY, dash="dashdot"
        ),
        *stored_level(
            runs, "max_margin/late_accuracy", "maximal L1 margin, test", clock=TIME, colour=LATE, dash="dash"
        ),
        level(runs, 0.5, "chance", clock=TIME),
    ]
    return over_time("Accuracy", curves, runs, phases, y_title="accuracy", y_range=(0.4, 1.03))


def loss(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test loss."""
    curves = train_and_test(runs, "loss")
    return over_time("Loss", curves, runs, phases, y_title="logistic loss (nats)", log_y=True)


def cosines(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the cosines to the classifiers of maximal L2 and L1 margin."""
    curves = [
        *curve_of(runs, "max_margin/cosine_l2", "maximal L2 margin (early)", clock=TIME, colour=EARLY),
        *curve_of(runs, "max_margin/cosine_l1", "maximal L1 margin (late)", clock=TIME, colour=LATE),
    ]
    y = "cosine to the network's weights"
    return over_time("Which classifier it is", curves, runs, phases, y_title=y, y_range=(-0.03, 1.03))


def norm(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the norm of the parameters over that of pure decay."""
    curves = [
        *curve_of(runs, RATIO, "‖θ(t)‖ over ‖θ(0)‖ e^{−λt}", clock=TIME, colour=TEST),
        level(runs, ONSET, "1.05", clock=TIME),
    ]
    y = "norm over that of pure decay"
    return over_time("Norm against pure decay", curves, runs, phases, y_title=y, log_y=True, y_range=(0.9, 30))


def margins(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return both margins, each with the largest one possible."""
    curves = [
        *curve_of(runs, "max_margin/margin_l2", "over the L2 norm", clock=TIME, colour=EARLY),
        *stored_level(
            runs, "max_margin/best_margin_l2", "largest over the L2 norm", clock=TIME, colour=EARLY, dash="dash"
        ),
        *curve_of(runs, "max_margin/margin_l1", "over the L1 norm", clock=TIME, colour=LATE),
        *stored_level(
            runs, "max_margin/best_margin_l1", "largest over the L1 norm", clock=TIME, colour=LATE, dash="dash"
        ),
    ]
    y = "least margin on the training data"
    return over_time("Margins", curves, runs, phases, y_title=y, log_y=True)


def onset(by_experiment: Mapping[str, Sequence[Run]]) -> Figure:
    """Return λ times the onset over the initial norm (weight decay 1e-3) and over 1/λ (norm 128), with forecasts."""
    cells = [runs for runs in by_experiment.values() if runs]
    by_norm = [runs for runs in cells if decay_of(runs[0]) == 1e-3]
    by_decay = [runs for runs in cells if runs[0].spec["model"]["initial_norm"] == 128]
    x, y = "initial norm ‖θ(0)‖", "1/λ, at norm 128"
    curves = [
        *swept(by_norm, lambda run: run.spec["model"]["initial_norm"], scaled, _names(x), TEST),
        *swept(by_decay, lambda run: 1 / decay_of(run), scaled, _names(y), TRAIN),
    ]
    title = "Onset against the initial scale and against weight decay"
    return lines(title, curves, x_title="initial norm, or inverse weight decay", y_title="λ times the onset")


def scaled(run: Run) -> float:
    """Return λ times the measured onset."""
    return decay_of(run) * measured_onset(run)


def _names(name: str) -> tuple[str, str]:
    return f"measured, over {name}", f"forecast, over {name}"
