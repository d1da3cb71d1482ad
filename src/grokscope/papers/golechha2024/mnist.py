"""Claims and figures on MNIST inside and outside of a range of norms."""

from __future__ import annotations

from typing import Any

from grokscope.claims import Claim, Criterion, claims_by, ours, sheet
from grokscope.paper import Figure
from grokscope.papers.golechha2024.mnist_experiments import (
    CROSS_ENTROPY,
    CURVE,
    DROPOUT,
    EXPERIMENTS,
    GRID,
    GRID_AT_CPU,
    INCREASING,
    MNIST,
    WITHOUT_DECAY,
)

__all__ = ["CLAIMS", "EXPERIMENTS", "FIGURES"]

HERE = "grokscope.papers.golechha2024.mnist_statistics"
PICTURES = "grokscope.papers.golechha2024.mnist_figures"
EVERY = tuple(experiment.name for experiment in EXPERIMENTS)
MAIN_FIRST = (MNIST, *(name for name in GRID if name != MNIST))
GRID_BY_SCALE = {"smoke": GRID_AT_CPU, "cpu": GRID_AT_CPU, "paper": GRID}


claim = claims_by("Golechha 2024", HERE, experiments=(MNIST, INCREASING))


def grid_claim(id: str, statement: str, source: str, criterion: Criterion) -> Claim:
    """Return a claim on correlations over the cells and seeds of the grid."""
    more: dict[str, Any] = {"experiments_by_scale": GRID_BY_SCALE, "kind": "pooled"}
    return claim(id, statement, "correlations", "better_than_norm", source, criterion, experiments=GRID, **more)


CLAIMS = (
    claim(
        "C1",
        "From a start of eight times PyTorch's a perceptron fits a thousand images and generalises later, as its norm "
        "falls.",
        "progress",
        "groks",
        "Fig. 1",
        sheet(calibrated=True, delay_ratio=(5, None), norm_fall=(0.4, None)),
        experiments=(MNIST,),
    ),
    claim(
        "C2",
        "It also generalises later while the norm grows, with a reward for a large one.",
        "norm-split",
        "generalises_while_growing",
        "Fig. 2",
        sheet(calibrated=True, test_accuracy=(0.8, None), norm_ratio=(2, None)),
        experiments=(INCREASING,),
    ),
    claim(
        "C2b",
        "What grows is weights that no training image sees, at the rate that the optimizer alone gives them; the norm "
        "of the others falls.",
        "norm-split",
        "growth_is_unseen",
        "Fig. 2, split; a prediction of ours",
        ours(
            "a fall is a ratio below 1; the prediction has no free number, and ten per cent are left for what it "
            "neglects: the delay of the first moment, and which sizes were drawn",
            seen_ratio=(None, 1),
            prediction_error=(None, 0.1),
        ),
    ),
    claim(
        "C2c",
        "Neither decay nor reward is needed: with small batches it generalises later, and its norm has not fallen.",
        "norm-split",
        "generalises_without_decay",
        "Fig. 2; an arm of ours",
        ours(
            "the accuracy of C2, later than the fit by a factor that no one would call at once, and a norm that has "
            "not fallen since the fit: 1.07 of that on seed 100, and 0.4 with weight decay",
            test_accuracy=(0.8, None),
            delay_ratio=(2, None),
            norm_ratio=(1, None),
        ),
        experiments=(WITHOUT_DECAY,),
    ),
    claim(
        "C3",
        "Weight entropy falls as the network generalises, whether the norm falls or grows.",
        "progress",
        "entropy_falls",
        "Figs 1 and 2",
        sheet(calibrated=True, worst=(None, -0.8)),
    ),
    claim(
        "C4",
        "Circuit complexity falls as the network generalises, whether the norm falls or grows.",
        "progress",
        "complexity_falls",
        "Figs 1 and 2",
        sheet(calibrated=True, worst=(None, -0.8)),
    ),
    claim(
        "C5",
        "Activation sparsity is on a plateau between the fit and the rise of the test accuracy.",
        "progress",
        "sparsity_waits",
        "Figs 1 and 2",
        sheet(calibrated=True, worst=(None, 0.2)),
    ),
    claim(
        "C6",
        "Dropout of 0.3 removes the delay.",
        "dropout",
        "dropout_removes_delay",
        "Fig. 3",
        sheet(calibrated=True, delay_ratio=(None, 2)),
        experiments=(MNIST, DROPOUT),
    ),
    claim(
        "C6b",
        "With dropout it generalises sooner; it does not only fit later.",
        "dropout",
        "dropout_removes_delay",
        "Fig. 3; a question of ours",
        ours(
            "a delay also vanishes where the fit waits for generalisation: a fifth sooner would be a gain",
            generalise_ratio=(None, 0.8),
        ),
        experiments=(MNIST, DROPOUT),
    ),
    grid_claim(
        "C7a",
        "Over starts, decays and rewards the three measures correlate with test accuracy more strongly than the norm.",
        "abstract",
        ours("stronger is a positive difference; the paper has no number", weakest_gain=(0, None)),
    ),
    grid_claim(
        "C7b",
        "Given the norm, entropy and circuit complexity are still the lower the higher test accuracy is.",
        "abstract; the specification asks for partial correlations",
        ours(
            "the sign of a partial correlation over seeds is the least that the claim needs",
            partial_entropy=(0, None),
            partial_complexity=(0, None),
        ),
    ),
    grid_claim(
        "C7c",
        "Given the norm, activation sparsity is still the higher the higher test accuracy is.",
        "abstract; the specification asks for partial correlations",
        ours("the sign, as for the other two", partial_sparsity=(0, None)),
    ),
    claim(
        "C8",
        "At a uniform start the entropy of the first matrix is mn (a/4 − (a/2) ln a).",
        "progress",
        "closed_form",
        "App. B",
        ours(
            "one per cent, as at the paper's size, where it is 39 261.89; of 196 x 128 weights it is six standard "
            "deviations",
            calibrated=False,
            error=(None, 0.01),
        ),
        paper=sheet(error=(None, 0.01)),
        experiments=(MNIST,),
    ),
)

FIGURES = (
    Figure(
        "progress",
        "Three measures, the norm and the accuracy",
        EVERY,
        f"{PICTURES}:progress",
        ("test/accuracy", "weight_entropy/sum", "circuit_complexity/complexity", "sparsity/mean"),
        "Accuracies as they are; norm, entropy, complexity and sparsity each between its least and largest value in "
        "the run, which the legend gives. Vertical lines: when the seeds fitted and generalised, medians and ranges.",
    ),
    Figure(
        "norm-split",
        "Which weights the norm is of",
        EVERY,
        f"{PICTURES}:norm_split",
        ("dead_weights/with_gradient_norm",),
        "The norm of all parameters, of those that some output depends on for some training image, and of those that "
        "none does. Dashed: the weights of pixels that are 0 in all training images, as the optimizer alone moves "
        "them; no number in it is fitted.",
    ),
    Figure(
        "scale-free",
        "The same measures without the scale",
        EVERY,
        f"{PICTURES}:scale_free",
        ("weight_entropy/normalised", "circuit_complexity/output_change"),
        "exp of the entropy of |w|/Σ|w| of the first matrix over its size, how far the outputs move with a tenth of "
        "the weights at 0, sparsity at a threshold relative to the activations, and the shares of units that are never "
        "and always on.",
    ),
    Figure(
        "by-loss",
        "Loss",
        (MNIST, CROSS_ENTROPY),
        f"{PICTURES}:loss",
        ("train/loss", "test/loss"),
        "Train and test loss.",
    ),
    Figure(
        "pruning",
        "Circuit complexity by the share of the weights",
        EVERY,
        f"{PICTURES}:pruning",
        tuple(f"{name}/output_change" for name in CURVE),
        "How far the outputs move, ‖z − z′‖/‖z‖, with each share of the weights at 0.",
    ),
    Figure(
        "dropout",
        "With dropout and without",
        (MNIST, DROPOUT),
        f"{PICTURES}:dropout",
        ("train/accuracy", "test/accuracy"),
        "Train accuracy dashed, test accuracy solid; both of the whole network, without dropout.",
        together=True,
    ),
    Figure(
        "correlations",
        "How the measures go with test accuracy after the fit",
        MAIN_FIRST,
        f"{PICTURES}:correlations",
        ("weight_entropy/sum",),
        "Spearman's rank correlation with test accuracy over the observations after the fit. Blue: within a run, a dot "
        "for each cell and seed that fits. Orange: over all cells of a seed together, with the norm taken out, a dot a "
        "seed. Bars are 95 % bootstrap intervals of the median, or the range of fewer than six. Entropy and complexity "
        "are said to fall (left), sparsity to rise (right).",
        together=True,
    ),
    Figure(
        "grid",
        "Fit and generalisation over start and weight decay",
        MAIN_FIRST,
        f"{PICTURES}:grid",
        ("train/accuracy", "test/accuracy"),
        "How much later than the fit test accuracy reaches 0.8, in the cells without a reward.",
        together=True,
    ),
)
