"""The paper's claims as statistics of known curves, and its module as a whole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from grokscope.errors import UsageError
from grokscope.papers.nanda2023 import PAPER
from grokscope.papers.nanda2023.claims import (
    MAIN,
    WITHOUT,
    delayed_generalisation,
    excluded_rises,
    never_without_decay,
    restricted_leads,
)
from grokscope.spec import resolve

STEPS = np.arange(0, 5001, 50)


def rising(at: float, width: float = 20.0) -> np.ndarray:
    return 1 / (1 + np.exp(-(STEPS - at) / width))


class Curves:
    """What a claim reads of a run: scalars by key."""

    def __init__(self, **curves: np.ndarray) -> None:
        self.curves = {key.replace("__", "/"): value for key, value in curves.items()}

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        if key not in self.curves:
            raise UsageError(f"unknown key {key!r}")
        return STEPS[: len(self.curves[key])], self.curves[key]


def grokking(**more: np.ndarray) -> dict[str, Any]:
    excluded = np.interp(STEPS, [0, 300, 2000, 5000], [4.0, 1.0, 9.0, 6.0])
    return {
        MAIN: Curves(
            train__accuracy=rising(150),
            test__accuracy=rising(2000),
            fourier__restricted_accuracy=rising(900),
            fourier__excluded_loss=excluded,
        ),
        **more,
    }


def test_delay_of_known_curves() -> None:
    found = delayed_generalisation(grokking())
    assert found["test_90_step"] == pytest.approx(2000 + 20 * math.log(9), abs=10)
    assert found["train_step"] == pytest.approx(150 + 20 * math.log(999), abs=50)
    flat = {MAIN: Curves(train__accuracy=rising(150), test__accuracy=rising(9000))}
    assert delayed_generalisation(flat)["test_90_step"] == math.inf


def test_lead_of_the_circuit() -> None:
    found = restricted_leads(grokking())
    assert found["lead_90"] == pytest.approx(1100, abs=20)
    assert found["lead_50"] == pytest.approx(1100, abs=20)
    never = {MAIN: Curves(test__accuracy=rising(9000), fourier__restricted_accuracy=rising(900))}
    assert restricted_leads(never) == {"lead_90": None, "lead_50": None}


def test_rise_of_excluded_loss_is_sought_after_the_fit() -> None:
    found = excluded_rises(grokking())
    assert found["minimum_step"] == 300
    # smoothed over 3 observations the least value is that beside the kink, (1 + 8 * 50 / 1700)
    assert found["rise"] == pytest.approx(9.0 / (1 + 8 * 50 / 1700), rel=0.01)


def test_without_decay_nothing_but_commutativity_is_learned() -> None:
    without = Curves(
        train__accuracy=rising(150),
        test__accuracy=0.45 * rising(300),
        leak_free__accuracy=0.03 * rising(300),
        fourier__excluded_loss=np.full(len(STEPS), 0.01),
    )
    found = never_without_decay(grokking(**{WITHOUT: without}))
    assert found["leak_free_accuracy"] == pytest.approx(0.03, rel=1e-6)
    assert found["budget"] == pytest.approx(5000 / (2000 + 20 * math.log(9)), rel=0.01)
    assert found["excluded_loss"] == pytest.approx(0.01)


@pytest.mark.parametrize("experiment", [e.name for e in PAPER.experiments])
@pytest.mark.parametrize("scale", ["smoke", "cpu", "paper"])
def test_every_experiment_resolves_at_every_scale(experiment: str, scale: str) -> None:
    spec = resolve({"paper": PAPER.id, **PAPER.experiment(experiment).tree(scale)}, seed=3)
    assert spec.scale == scale
    assert spec.numerics.path == "fast"
    assert resolve(spec.tree()).training_id == spec.training_id


def test_paper_scale_is_the_papers_setting() -> None:
    tree = PAPER.experiment(MAIN).tree("paper")
    assert tree["task"] == {"name": "modular-addition", "modulus": 113, "train_fraction": 0.3}
    optimizer = tree["optimizer"]
    assert (optimizer["learning_rate"], optimizer["weight_decay"], optimizer["beta2"]) == (1e-3, 1.0, 0.98)
    assert tree["learner"]["steps"] == 40_000
    assert resolve({"paper": "x", **tree}).task.build(resolve({"paper": "x", **tree}).seed).train is not None


def test_the_two_experiments_differ_in_weight_decay_alone_at_paper_scale() -> None:
    main, without = (PAPER.experiment(name).tree("paper") for name in (MAIN, WITHOUT))
    without["optimizer"]["weight_decay"] = 1.0
    without["experiment"] = MAIN
    assert main == without
