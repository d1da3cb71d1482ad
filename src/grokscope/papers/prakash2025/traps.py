"""What the traps of a collapsed network do to its predictions (Prakash & Martin 2026, arXiv 2605.12394)."""

from __future__ import annotations

from grokscope.claims import Claim, both, ours
from grokscope.paper import Experiment, Figure
from grokscope.papers.prakash2025.mnist_experiments import MNIST

__all__ = ["CLAIMS", "EXPERIMENTS", "FIGURES"]

HERE = "grokscope.papers.prakash2025.traps_statistics"
PICTURES = "grokscope.papers.prakash2025.traps_figures"

EXPERIMENTS: tuple[Experiment, ...] = ()
"""None of their own: the traps are those of the run without weight decay."""

CLAIMS = (
    Claim(
        id="C9a",
        statement="The more a trap moves the predictions on inputs without a pattern, the more its removal costs.",
        figure="trap-removal",
        experiments=(MNIST,),
        statistic=f"{HERE}:harm",
        criterion=both(
            ours(
                "the specification asks for a positive rank correlation within a model at full size and for nothing "
                "at the cpu scale: asked here of the traps of all layers at the end",
                calibrated=False,
                rank_correlation=(0, None),
            )
        ),
        source="Prakash & Martin 2026, trap removal",
    ),
    Claim(
        id="C9b",
        statement="On inputs without a pattern the collapsed network predicts one class only.",
        figure="prototype",
        experiments=(MNIST,),
        statistic=f"{HERE}:prototype",
        criterion=both(
            ours(
                "the paper says almost only; nine tenths, at the end, on normal inputs and on images with their "
                "pixels in random places",
                calibrated=False,
                normal=(0.9, None),
                shuffled=(0.9, None),
            )
        ),
        source="Prakash & Martin 2026, norm prototypes",
    ),
)

FIGURES = (
    Figure(
        "trap-removal",
        "What each trap does",
        (MNIST,),
        f"{PICTURES}:removal",
        ("trap_removal/jsd",),
        "Each trap of each seed at the last observation that has some: change of the predictions on normal inputs when "
        "it is taken out, against the change of the test error. The claim is on the traps of one network.",
    ),
    Figure(
        "prototype",
        "The class of inputs without a pattern",
        (MNIST,),
        f"{PICTURES}:prototype",
        ("trap_removal/normal_share",),
        "Share of the class that is predicted most often, of normal inputs with the mean and deviation of the training "
        "images, and of training images with their pixels in random places; 0.1 is chance, 1 one answer to everything.",
    ),
)
