"""Claims and figures on the reduced landscape of MNIST."""

from __future__ import annotations

from typing import Any

from grokscope.claims import by_scale, claims_by, ours, sheet
from grokscope.paper import Figure
from grokscope.papers.liu2023 import landscape_experiments as spheres
from grokscope.papers.liu2023.landscape_experiments import EXPERIMENTS, SIZES

__all__ = ["CLAIMS", "EXPERIMENTS", "FIGURES"]

HERE = "grokscope.papers.liu2023.landscape_statistics"
PICTURES = "grokscope.papers.liu2023.landscape_figures"
ALL = tuple(experiment.name for experiment in EXPERIMENTS)


claim = claims_by("Liu et al. 2023", HERE)


def sizes(*numbers: int) -> dict[str, Any]:
    """Return the landscapes of these sizes, smallest first counted, as what a claim is about."""
    names = {
        size: tuple(name for number in numbers for name in spheres.cells(counts[number], size))
        for size, counts in SIZES.items()
    }
    return by_scale(names)


def messy_experiments() -> dict[str, Any]:
    """Return the cells of each messiness, and those of the plain images at the same norms."""
    names = {
        size: (
            *spheres.MESSY_CELLS,
            *(spheres.named(spheres.MESSY_EXAMPLES[size], scale) for scale in spheres.MESSY_SCALES),
        )
        for size in SIZES
    }
    return by_scale(names)


CLAIMS = (
    claim(
        "C1",
        "Over the norm of the weights the training loss is an L and the test loss a U.",
        "landscape-loss",
        "shapes",
        cpu=sheet(calibrated=True, interior=(1, 1), train_share=(None, 0.01)),
        paper=sheet(interior=(1, 1), train_share=(None, 0.01)),
        source="Figs 2a and 3c",
        **sizes(0),
    ),
    claim(
        "C2",
        "The mismatch of train and test loss shrinks with more training images.",
        "landscape-loss",
        "shrinks",
        cpu=ours(
            "the specification's factor, of the two largest sizes at this scale; and 3 over all norms beyond the least "
            "test loss, fitted or not, for 2000 steps do not fit 5000 images at the largest",
            ratio=(5, None),
            parting_ratio=(3, None),
        ),
        paper=sheet(ratio=(5, None)),
        source="Fig. 3",
        **sizes(1, -1),
    ),
)


def figure(id: str, title: str, function: str, caption: str, *, count: int) -> Figure:
    """Return a figure of the landscape of one training size."""
    names = tuple(name for name in ALL if name.startswith(f"{spheres.LANDSCAPE}-{count}-"))
    keys = ("train/loss", "test/loss", "train/accuracy", "test/accuracy")
    return Figure(
        f"{id}-{count}", f"{title}, {count} images", names, f"{PICTURES}:{function}", keys, caption, together=True
    )


COUNTS = sorted({count for counts in SIZES.values() for count in counts})
FIGURES = (
    *(
        figure(
            "landscape-loss",
            "Loss over the norm of the weights",
            "losses",
            "Each point is a training on the sphere of that norm; dotted: the best over its evaluations, which the "
            "paper shows. Shaded: norms that fit and do not generalise. The line is the norm w_c of least test loss.",
            count=count,
        )
        for count in COUNTS
    ),
    *(
        figure(
            "landscape-accuracy",
            "Accuracy over the norm of the weights",
            "accuracies",
            "Each point is a training on the sphere of that norm; dotted: the best over its evaluations.",
            count=count,
        )
        for count in COUNTS
    ),
    Figure(
        "messiness",
        "Test loss by messiness of the representation",
        messy_experiments()["experiments"],
        f"{PICTURES}:messiness",
        ("train/loss", "test/loss"),
        "m is the share of the image in the input; the rest is a constant image that tells the class. Dotted: train.",
        together=True,
    ),
)
