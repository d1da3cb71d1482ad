"""The claims of Lyu et al. 2024 as statistics of known curves, and the paper's module as a whole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from grokscope.errors import UsageError
from grokscope.papers.lyu2024 import PAPER, diagonal, modular
from grokscope.papers.lyu2024 import diagonal_figures as pictures
from grokscope.papers.lyu2024 import modular_figures as modular_pictures
from grokscope.papers.lyu2024.diagonal_statistics import (
    early_is_max_l2_margin,
    grokking_times,
    late_is_max_l1_margin,
    misgrokking_times,
    norm_decays,
    onset_by_decay,
    onset_by_scale,
    resolved,
    roles_swapped,
)
from grokscope.papers.lyu2024.modular_statistics import (
    collapses,
    groks,
    later_and_sharper,
    not_sharp,
    reaches,
    sooner_with_decay,
)
from grokscope.recipes.flow import stationarity

STEPS = np.unique(np.round(np.geomspace(1, 2_000_000, 2000))).astype(int)


class Curves:
    """What a claim or figure reads of a run: scalars by key, and its spec."""

    def __init__(self, spec: dict[str, Any], steps: np.ndarray = STEPS, **curves: np.ndarray | float) -> None:
        self.spec, self.steps, self.last_step = {"seed": {"base": 0}, **spec}, steps, int(steps[-1])
        self.curves = {
            key.replace("__", "/"): np.broadcast_to(np.asarray(value, float), steps.shape)
            for key, value in curves.items()
        }

    def has(self, key: str, module: str | None = None) -> bool:
        return key in self.curves

    def series(self, key: str, module: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        if key not in self.curves:
            raise UsageError(f"unknown key {key!r}")
        return self.steps, self.curves[key]


def sigmoid(at: float, width: float = 0.05) -> np.ndarray:
    """Return a rise at a step, of a width in the logarithm of the step."""
    return 1 / (1 + np.exp(-np.log(STEPS / at) / width))


def flow(norm: float = 128.0, decay: float = 1e-3, **curves: Any) -> Curves:
    """Return a diagonal network's run that leaves pure decay at λt = log(norm) − 1."""
    time = 0.01 * STEPS
    ratio = 1 + 0.05 * np.exp(np.minimum(5 * (decay * time - math.log(norm) + 1), 20))
    spec = {"learner": {"weight_decay": decay}, "model": {"initial_norm": norm}}
    return Curves(spec, clock__time=time, transition_forecast__norm_ratio=ratio, **curves)


def test_grokking_and_misgrokking_times() -> None:
    run = flow(
        train__accuracy=1.0, test__accuracy=0.5 + 0.5 * sigmoid(2.6e5), train__loss=0.0015,
        weights__sum_of_squares=4.32**2,
    )  # fmt: skip
    found = grokking_times({diagonal.SPARSE: run})
    assert found["accuracy_74_step"] == pytest.approx(2.6e5 * (0.48 / 0.52) ** 0.05, rel=1e-2)
    assert found["fit_step"] == 1
    assert found["final_norm"] == pytest.approx(4.32)
    down = flow(
        test__accuracy=1 - 0.5 * sigmoid(5e5),
        weights__sum_of_squares=9.0,
        max_margin__early_accuracy=0.999,
        max_margin__late_accuracy=0.51,
        max_margin__cosine_l2=0.995,
    )
    found = misgrokking_times({diagonal.GAUSSIAN: down})
    assert found["accuracy_75_step"] == pytest.approx(5e5, rel=1e-2)
    assert found["accuracy_60_step"] is not None
    assert found["accuracy_60_step"] > 5e5
    assert found["early_accuracy"] == pytest.approx(1, abs=1e-3)
    never = misgrokking_times({diagonal.GAUSSIAN: flow(test__accuracy=1.0, weights__sum_of_squares=9.0)})
    assert never["accuracy_90_step"] == math.inf
    swapped = roles_swapped({diagonal.GAUSSIAN: down})
    assert swapped["oracle_accuracy"] == 0.999
    assert swapped["final_accuracy"] == pytest.approx(0.5, abs=1e-3)
    assert swapped["late_gap"] == pytest.approx(0.01, abs=1e-3)
    assert swapped["early_cosine"] == pytest.approx(0.995)


def test_which_classifier_and_when() -> None:
    time = 0.01 * STEPS
    run = flow(
        max_margin__cosine_l2=np.interp(time, [0, 1000, 1e4], [1, 0.9995, 0]),
        max_margin__cosine_l1=np.interp(time, [0, 1e4], [0.2, 1]), stationarity__residual=0.05,
    )  # fmt: skip
    assert early_is_max_l2_margin({diagonal.SPARSE: run})["cosine_l2"] == pytest.approx(0.9995, abs=3e-4)
    late = late_is_max_l1_margin({diagonal.SPARSE: run})
    assert late["cosine_l1"] == pytest.approx(1)
    assert late["residual"] == pytest.approx(0.05)
    found = norm_decays({diagonal.SPARSE: run})
    assert found["onset_time"] == pytest.approx(1000 * (math.log(128) - 1), rel=1e-3)
    assert found["deviation"] == pytest.approx(0, abs=1e-5)


def test_slopes_of_the_onset() -> None:
    cells = {diagonal.norm_cell(norm): flow(norm) for norm in diagonal.NORMS}
    found = onset_by_scale(cells)
    assert found["slope"] == pytest.approx(1, abs=2e-3)
    assert found["at_128"] == pytest.approx(math.log(128) - 1, rel=1e-3)
    never = {**cells, diagonal.norm_cell(32): Curves(cells[diagonal.norm_cell(32)].spec, clock__time=0.01 * STEPS,
             transition_forecast__norm_ratio=1.0)}  # fmt: skip
    assert onset_by_scale(never)["slope"] is None
    decays = {diagonal.decay_cell(decay): flow(128 * decay**0.1, decay) for decay in (1e-2, 1e-3)}
    decays |= {diagonal.decay_cell(decay): flow(128, 1e-2) for decay in (1e-4, 1e-5)}
    found = onset_by_decay(decays)
    assert found["largest_change"] is not None
    assert found["largest_change"] > 0
    assert resolved({diagonal.norm_cell(128): flow(), "half-tolerance": flow()})["moved"] == 0


def table(alpha: float, decay: float, half: float, width: float, **more: Any) -> Curves:
    spec = {
        "optimizer": {"weight_decay": decay}, "model": {"initial_scale": alpha}, "task": {"modulus": 23},
    }  # fmt: skip
    return Curves(
        spec, clock__time=STEPS.astype(float), test__accuracy=sigmoid(half, width), train__accuracy=sigmoid(100, 0.02),
        **more,
    )  # fmt: skip


def test_modular_addition() -> None:
    found = groks({modular.MAIN: table(1, 1e-4, 1e4, 0.1)})
    assert found["half_over_fit"] is not None
    assert 40 < found["half_over_fit"] < 101
    assert found["accuracy_at_fit"] == pytest.approx(0, abs=1e-3)
    cells = {name: table(a, 1e-4, half, width) for name, a, half, width in zip(
        modular.SCALES, (1, 2, 4), (1e4, 2e4, 4e4), (0.3, 0.2, 0.1), strict=True)}  # fmt: skip
    found = later_and_sharper(cells)
    assert (found["later"], found["sharper"]) == (1, 1)
    backwards = dict(zip(modular.SCALES, reversed(cells.values()), strict=True))
    assert later_and_sharper(backwards)["later"] == 0
    faster = {"modular-scale-1": table(1, 2e-4, 1e4, 0.1), "modular-decay-3e-4": table(1, 4e-4, 5e3, 0.1)}
    collapsed = Curves({}, test__accuracy=0.01, train__accuracy=0.02)
    found = sooner_with_decay(faster)
    assert found["ratio"] == pytest.approx(2, rel=1e-2)
    found = collapses({modular.COLLAPSED: collapsed})
    assert found == {"train_accuracy": 0.02, "test_accuracy": 0.01, "best_train_accuracy": 0.02}


def test_without_decay_the_axis_is_the_exponent_of_time() -> None:
    """Accuracy rises in log10 t: one half at 10^100."""
    exponent = np.linspace(0, 1000, 2001)[1:]
    run = Curves(
        {}, np.arange(1, 2001), clock__log_time=exponent * math.log(10),
        test__accuracy=exponent / (exponent + 100), train__accuracy=(exponent > 2.5).astype(float),
        margin__train__normalised=np.where(exponent < 500, exponent, 450.0),
    )  # fmt: skip
    found = not_sharp({modular.WITHOUT: run})
    assert found["half"] == pytest.approx(100, rel=1e-2)
    assert found["first"] == pytest.approx(100 / 19, rel=0.1)
    assert found["fit"] == pytest.approx(2.5, rel=0.3)
    assert found["margin_fell"] == pytest.approx(0.1, abs=1e-2)


def test_what_is_answered_by_chance_before_the_fit_does_not_count() -> None:
    run = table(1, 1e-4, 1e4, 0.1)
    lucky = np.where(STEPS < 10, 0.06, run.curves["test/accuracy"])
    run.curves["test/accuracy"] = lucky
    assert reaches(run, 0.05) == pytest.approx(1e4 * (0.05 / 0.95) ** 0.1, rel=1e-2)


def test_every_figure_of_flows_is_drawn() -> None:
    more = {
        key: 0.5 for key in (
            "test__accuracy", "train__accuracy", "train__loss", "test__loss", "max_margin__cosine_l2",
            "max_margin__cosine_l1", "max_margin__margin_l2", "max_margin__margin_l1", "max_margin__early_accuracy",
            "max_margin__late_accuracy", "max_margin__best_margin_l2", "max_margin__best_margin_l1",
            "stationarity__residual",
        )
    }  # fmt: skip
    run: Any = flow(**more, transition_forecast__onset_time=2350.0, transition_forecast__onset_scaled=2.35)
    for draw in (pictures.accuracy, pictures.loss, pictures.cosines, pictures.norm, pictures.margins,
                 stationarity):  # fmt: skip
        figure = draw([run, run], [])
        assert figure["data"], draw
        assert any(shape["type"] == "line" for shape in figure["layout"]["shapes"]), draw
    cells: Any = {name: [flow(norm)] for norm in diagonal.NORMS for name in [diagonal.norm_cell(norm)]}
    assert len(pictures.onset(cells)["data"]) >= 2
    by_scale: Any = {name: [table(a, 1e-4, 1e4, 0.1)] for name, a in zip(modular.SCALES, (1, 2, 4), strict=True)}
    assert len(modular_pictures.scales(by_scale)["data"]) == 3


def test_every_row_of_the_specification_has_a_claim() -> None:
    ids = {claim.id for claim in PAPER.claims}
    rows = {f"C{number}" for number in range(1, 17)}
    assert rows <= {id.rstrip("abc") for id in ids}
    for claim in PAPER.claims:
        assert {"cpu", "paper"} <= set(claim.criterion) | set(claim.untestable)
