"""Claims and figures on MNIST: grokking, the law of weight decay, training sizes, starts and the cross-entropy."""

from __future__ import annotations

from grokscope.claims import by_scale, claims_by, ours, sheet
from grokscope.paper import Figure
from grokscope.papers.liu2023 import landscape_experiments as spheres
from grokscope.papers.liu2023 import mnist_experiments as cells
from grokscope.papers.liu2023.mnist_experiments import EXPERIMENTS, MNIST

__all__ = ["CLAIMS", "EXPERIMENTS", "FIGURES"]

HERE = "grokscope.papers.liu2023.mnist_statistics"
PICTURES = "grokscope.papers.liu2023.mnist_figures"
RATE = (-1.2, -0.8)
"""The specification's −1 ± 0.2."""
FORECAST_SIZE = {"paper": 1000, "cpu": 500}
"""The landscape a forecast is made from: of as many images as the runs it is about."""


claim = claims_by("Liu et al. 2023", HERE)


USUAL = cells.USUAL
SIZES = by_scale(cells.EXAMPLE_CELLS)
STARTS = by_scale({size: (*cells.SCALE_CELLS, usual) for size, usual in USUAL.items()})
FORECASTS = by_scale({size: (*cells.DECAY_CELLS, *spheres.cells(count, size)) for size, count in FORECAST_SIZE.items()})
WORTH = ours("a forecast that is worth having is right within a factor of 2", worst_factor=(None, 2))
NOT_ENOUGH = ours("the smallest of the sizes does not reach the level within the budget", censored=(1, None))
STARTING = ours(
    "a factor of 2 parts a delay from none, and the larger start waits 3 times as long as the usual one",
    smallest_scale=(None, 2),
    delay_8=(2, None),
    rise=(3, None),
)
ENTROPIC = ours(
    "the specification's order (a delay at 100) with a factor of 5 for a delay and 2 for none",
    largest_scale=(5, None),
    usual_scale=(None, 2),
)

CLAIMS = (
    claim(
        "C3",
        "A perceptron that starts at eight times its usual size fits a thousand images long before it generalises.",
        "accuracy",
        "groks",
        "Fig. 3d",
        ours(
            "the specification asks for 10 over 10^5 steps; 11 000 steps at three times the rate leave room for less",
            delay_ratio=(4, None),
            test_at_fit=(None, 0.5),
            test_accuracy=(0.8, None),
        ),
        sheet(delay_ratio=(10, None)),
        experiments=(MNIST,),
    ),
    claim(
        "C4",
        "Generalisation comes later by the factor by which weight decay is smaller.",
        "decays",
        "decay_law",
        "Fig. 10",
        sheet(calibrated=True, slope=RATE),
        sheet(slope=RATE),
        experiments=cells.DECAY_CELLS,
    ),
    claim(
        "C5",
        "When the training images are fitted does not depend on weight decay.",
        "decays",
        "fit_law",
        "Fig. 2c, there of a student and its teacher",
        sheet(calibrated=True, spread=(None, 0.2)),
        sheet(spread=(None, 0.2)),
        experiments=cells.DECAY_CELLS,
    ),
    claim(
        "C8a",
        "More training images generalise earlier.",
        "examples",
        "by_examples",
        "Fig. 3e",
        sheet(calibrated=True, least_fall=(1, None)),
        sheet(least_fall=(1, None)),
        **SIZES,
    ),
    claim(
        "C8b",
        "Below a critical number of training images it never generalises.",
        "examples",
        "by_examples",
        "Fig. 3e",
        NOT_ENOUGH,
        NOT_ENOUGH,
        **SIZES,
    ),
    claim(
        "C7b",
        "On MNIST a start of the usual size generalises as soon as it fits, and a larger one delays.",
        "scales",
        "by_scale",
        "Figs 2b and 3",
        STARTING,
        STARTING,
        **STARTS,
    ),
    claim(
        "C9",
        "The cross-entropy needs a larger start: it delays at a hundred times the usual one, not at eight times.",
        "entropy-scales",
        "by_entropy",
        "Appendix E",
        ENTROPIC,
        ENTROPIC,
        experiments=cells.ENTROPY_CELLS,
    ),
    claim(
        "B3a",
        "The critical norm forecasts when each weight decay generalises: t_fit + ln(w_fit / w_c) / (ηγ).",
        "decays",
        "forecasts",
        "Sec. 2; a test of ours",
        WORTH,
        WORTH,
        **FORECASTS,
    ),
    claim(
        "B3c",
        "The same with the largest norm at which the landscape reaches the accuracy that counts as generalised.",
        "decays",
        "level_forecasts",
        "Sec. 2; a test of ours",
        WORTH,
        WORTH,
        **FORECASTS,
    ),
)

RUNS = tuple(experiment.name for experiment in EXPERIMENTS)
FIGURES = (
    Figure(
        "accuracy",
        "Accuracy and norm",
        RUNS,
        f"{PICTURES}:accuracy",
        ("train/accuracy", "test/accuracy"),
        "Accuracies, and the norm on the right axis: from a large start test accuracy waits for the norm to fall.",
    ),
    Figure("loss", "Loss", RUNS, f"{PICTURES}:loss", ("train/loss", "test/loss"), "Train and test loss."),
    Figure(
        "decays",
        "Fit and generalisation by weight decay",
        FORECASTS["experiments"],
        f"{PICTURES}:decays",
        ("train/accuracy", "test/accuracy"),
        "Both axes are logarithmic: a time inverse to the weight decay has the slope of the grey line. The forecast is "
        "t_fit + ln(w_fit / w) / (ηγ), with w the norm w_c of least test loss in the landscape of as many images, or "
        "the largest norm there that reaches the accuracy asked for. Runs that never got there are left out.",
        together=True,
    ),
    Figure(
        "forecasts",
        "Norms over training and the landscape's critical norm",
        FORECASTS["experiments"],
        f"{PICTURES}:forecasts",
        ("weights/sum_of_squares",),
        "The norm of each weight decay; levels are two norms of the landscape: that of least test loss, w_c, and the "
        "largest that reaches the accuracy asked for. Vertical lines are forecasts of generalisation: where the norm "
        "of the fit, shrunk by weight decay alone, meets the latter.",
        together=True,
    ),
    Figure(
        "examples",
        "Fit and generalisation by training images",
        SIZES["experiments"],
        f"{PICTURES}:examples",
        ("train/accuracy", "test/accuracy"),
        "Generalisation is earlier with more images; a mark stands where runs ended that never generalised.",
        together=True,
    ),
    Figure(
        "scales",
        "Fit and generalisation by the size of the start",
        STARTS["experiments"],
        f"{PICTURES}:scales",
        ("train/accuracy", "test/accuracy"),
        "A larger start fits later and generalises much later.",
        together=True,
    ),
    Figure(
        "entropy-scales",
        "Test accuracy with the cross-entropy, by the size of the start",
        cells.ENTROPY_CELLS,
        f"{PICTURES}:entropy",
        ("train/accuracy", "test/accuracy"),
        "Dotted: train accuracy. Only a start much larger than the one that delays squared errors has a plateau.",
        together=True,
    ),
)
