"""Claims and figures on the student of a random network (Liu et al. 2023, Fig. 2)."""

from __future__ import annotations

from grokscope.claims import claims_by, ours, sheet
from grokscope.paper import Figure
from grokscope.papers.liu2023 import teacher_student_experiments as cells
from grokscope.papers.liu2023.teacher_student_experiments import EXPERIMENTS

__all__ = ["CLAIMS", "EXPERIMENTS", "FIGURES"]

HERE = "grokscope.papers.liu2023.teacher_student_statistics"
PICTURES = "grokscope.papers.liu2023.teacher_student_figures"
LANDSCAPE = tuple(cells.held(scale) for scale in cells.NORMS)
SWEEP = tuple(cells.named(cells.SWEEP_SCALE, decay) for decay in cells.SWEEP)
FREE = tuple(cells.named(*cell) for cell in cells.CELLS)
STARTS = tuple(cells.named(scale, decay) for scale in cells.SCALES for decay in cells.DECAYS)


claim = claims_by("Liu et al. 2023", HERE)


SMALL_START = ours(
    "the specification's yes in numbers: without a delay, up to a factor of 2, as of the transformer whose norm "
    "is held; as the error of so small a start is soon below 0.01, test data must also be within 0.001 at most half as "
    "late as from the large start of the same weight decay (seeds 100-102: ratios 1.0 to 1.3, gains 2.9 to 10)",
    largest_ratio=(None, 2),
    least_gain=(2, None),
)

FORECAST = ours("within a factor of two at every weight decay, as on MNIST", worst_factor=(None, 2))

CLAIMS = (
    claim(
        "C1b",
        "Of a student and its teacher too the reduced training loss over the norm is an L, the reduced test loss a U.",
        "student-landscape",
        "landscape_shape",
        "Fig. 2a",
        experiments=LANDSCAPE,
        cpu=sheet(calibrated=True, train_share=(None, 0.01), interior=(1, 1)),
        paper=sheet(train_share=(None, 0.01), interior=(1, 1)),
    ),
    claim(
        "C4b",
        "From a large start the student generalises at a time inverse to weight decay.",
        "student-by-decay",
        "decay_slope",
        "Fig. 2c",
        experiments=SWEEP,
        cpu=sheet(calibrated=True, slope=(-1.2, -0.8)),
        paper=sheet(slope=(-1.2, -0.8)),
    ),
    claim(
        "C4c",
        "The same at the stricter threshold of the released code, 0.001.",
        "student-by-decay",
        "decay_slope",
        "Fig. 2c",
        experiments=SWEEP,
        cpu=sheet(strict_slope_all=(-1.2, -0.8)),
        paper=sheet(strict_slope_all=(-1.2, -0.8)),
    ),
    claim(
        "C5b",
        "From a large start the student fits at a time that does not depend on weight decay.",
        "student-by-decay",
        "fit_spread",
        "Fig. 2c",
        experiments=SWEEP,
        cpu=sheet(calibrated=True, spread=(None, 0.2)),
        paper=sheet(spread=(None, 0.2)),
    ),
    claim(
        "C7",
        "From a small start the student generalises as it fits, whatever the weight decay.",
        "student-accuracy",
        "small_start",
        "Fig. 2b",
        experiments=tuple(name for name in FREE if name in STARTS),
        cpu=SMALL_START,
        paper=SMALL_START,
    ),
    claim(
        "B3b",
        "The landscape forecasts when each weight decay generalises: when decay alone has brought the norm to the "
        "largest at which it does.",
        "student-by-decay",
        "landscape_forecast",
        "Sec. 2; a forecast of ours",
        experiments=(*SWEEP, *LANDSCAPE),
        cpu=FORECAST,
        paper=FORECAST,
    ),
)

FIGURES = (
    Figure(
        "student-accuracy",
        "Accuracy by threshold",
        FREE,
        f"{PICTURES}:accuracy",
        ("threshold_accuracy/train", "threshold_accuracy/test"),
        "Share of the examples whose squared error, averaged over outputs, is below a threshold: 0.01, that of the "
        "paper's text, and dotted 0.001, that of its code.",
    ),
    Figure(
        "student-norm",
        "Losses and the norm of the weights",
        (*FREE, *LANDSCAPE),
        f"{PICTURES}:norm",
        ("train/loss", "test/loss"),
        "Both losses, and on the right axis the sum of squared weights, which weight decay shrinks unless it is held.",
    ),
    Figure(
        "student-by-decay",
        "Fit and generalisation by weight decay",
        (*SWEEP, *LANDSCAPE),
        f"{PICTURES}:by_decay",
        ("weights/sum_of_squares",),
        "When 95 % of the examples are within the threshold 0.01. Dashed: when weight decay alone would have taken the "
        "norm from that at the fit to the largest at which a run of the landscape has 95 % within it.",
        together=True,
    ),
    Figure(
        "student-by-start",
        "Delay by start and weight decay",
        STARTS,
        f"{PICTURES}:by_start",
        ("weights/sum_of_squares",),
        "The delay at the threshold 0.01 by the scale α of the start and weight decay.",
        together=True,
    ),
    Figure(
        "student-landscape",
        "Reduced losses",
        LANDSCAPE,
        f"{PICTURES}:reduced_losses",
        ("weights/sum_of_squares",),
        "Losses after training at a held norm, and dotted their least during it. In the shaded grokking window the "
        "training data are fitted and test loss is more than twice its least; the line is w_c.",
        together=True,
    ),
    Figure(
        "student-sensitivity",
        "Sensitivity by norm",
        LANDSCAPE,
        f"{PICTURES}:sensitivity",
        ("input_jacobian/square",),
        "After training at a held norm: the squared Jacobian of the outputs by the inputs, a mean over examples, and "
        "that by the parameters, the trace of the tangent kernel.",
        together=True,
    ),
)
