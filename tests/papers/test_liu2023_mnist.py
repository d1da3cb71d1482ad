"""What the claims on MNIST and its landscape read off runs whose moments and losses are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grokscope.errors import UsageError
from grokscope.execution.reproduce import reproduce
from grokscope.paper import Paper
from grokscope.papers.liu2023 import landscape, landscape_figures, mnist, mnist_figures
from grokscope.papers.liu2023 import landscape_experiments as spheres
from grokscope.papers.liu2023 import landscape_statistics as lands
from grokscope.papers.liu2023 import mnist_experiments as cells
from grokscope.papers.liu2023 import mnist_statistics as statistics
from grokscope.registry import PAPERS
from grokscope.spec import resolve

STEPS = np.array([0, 1, 10, 100, 1000, 10_000, 100_000])
PAPER = Paper(
    id="images-on-spheres",
    title="MNIST alone",
    bibtex="@misc{images}",
    experiments=(*mnist.EXPERIMENTS, *landscape.EXPERIMENTS),
    claims=(*mnist.CLAIMS, *landscape.CLAIMS),
    figures=(*mnist.FIGURES, *landscape.FIGURES),
)


class Curves:
    """A run of known scalars."""

    def __init__(self, spec: dict[str, Any], curves: dict[str, np.ndarray], seed: int = 0) -> None:
        self.spec = {"transition": cells.rule(0.95, 0.8).model_dump(), "seed": {"base": seed}, **spec}
        self.status = "finished"
        self.directory = Path()
        self.curves = curves
        self.last_step = 100_000

    def series(self, key: str, module: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        if key not in self.curves:
            raise UsageError(f"unknown key {key!r}")
        return STEPS[-len(self.curves[key]) :], self.curves[key]

    def has(self, key: str, module: str | None = None) -> bool:
        return key in self.curves


def from_step(step: float) -> np.ndarray:
    return (step <= STEPS).astype(float)


def trained(
    fit: float, generalise: float, *, decay: float = 0.1, norm: float = 10, examples: int = 1000, scale: float = 8
) -> Any:
    """Return a run whose accuracies jump at two steps (after a first one where they are interpolated)."""
    spec = {
        "optimizer": {"weight_decay": decay, "learning_rate": 1e-3},
        "task": {"train_examples": examples},
        "model": {"initial_scale": scale},
        "learner": {"loss": "mean-squared-error"},
    }
    curves = {
        "train/accuracy": np.where(from_step(fit) > 0, 0.95, 0.0),
        "test/accuracy": np.where(from_step(generalise) > 0, 0.8, 0.0),
        "weights/sum_of_squares": np.full(len(STEPS), float(norm) ** 2),
    }
    return Curves(spec, curves)


def on_sphere(norm: float, train: float, test: float, *, examples: int = 100, m: float = 1.0, best: float = 0) -> Any:
    """Return a run held at a norm, whose test loss was ``best`` (if given) before its end."""
    values = {"train/loss": train, "test/loss": test, "train/accuracy": 0.9, "test/accuracy": 1 - test}
    curves = {key: np.array([best or value, value]) for key, value in values.items()}
    curves["weights/sum_of_squares"] = np.full(2, norm**2)
    curves["stationarity/tangent_gradient"] = np.array([0.5 / norm])
    spec = {"task": {"train_examples": examples, "messiness": m}, "model": {"initial_scale": norm}}
    return Curves(spec, curves)


def of_scale(run: Any, scale: str) -> Any:
    run.spec["scale"] = scale
    return run


U = (1.0, 0.1, 0.4)
L = (1.0, 1e-4, 1e-4)


def cells_of(train: tuple[float, ...] = L, test: tuple[float, ...] = U, **more: Any) -> dict[str, Any]:
    names = (f"{more.get('examples', 100)}-{index}" for index in range(3))
    norms = (1.0, 10.0, 100.0)
    return {name: on_sphere(*one, **more) for name, *one in zip(names, norms, train, test, strict=True)}


# -- moments --------------------------------------------------------------------------------------


def test_grokking_by_hand() -> None:
    found = statistics.groks({cells.MNIST: trained(100, 10_000)})
    assert (found["fit_step"], found["generalise_step"], found["delay_ratio"]) == (100, 10_000, pytest.approx(100))
    assert (found["test_at_fit"], found["test_accuracy"]) == (0, 0.8)
    never = statistics.groks({cells.MNIST: trained(100, math.inf)})
    assert never["delay_ratio"] == math.inf
    assert statistics.groks({cells.MNIST: trained(math.inf, math.inf)})["delay_ratio"] is None


def decayed(*moments: tuple[float, float, float]) -> dict[str, Any]:
    return {
        name: trained(fit, generalise, decay=decay)
        for name, (decay, fit, generalise) in zip(cells.DECAY_CELLS, moments, strict=True)
    }


def test_the_law_of_weight_decay() -> None:
    runs = decayed((1e-4, 10, 100_000), (1e-3, 10, 10_000), (1e-2, 10, 1000), (1e-1, 10, 100))
    found = statistics.decay_law(runs)
    assert found["slope"] == pytest.approx(-1)
    assert found["smallest_slope"] == pytest.approx(-1)
    assert statistics.fit_law(runs)["spread"] == 0
    assert statistics.fit_law(runs)["slope"] == pytest.approx(0)
    censored = decayed((1e-4, 10, math.inf), (1e-3, 10, 10_000), (1e-2, 10, 1000), (1e-1, math.inf, 100))
    assert statistics.decay_law(censored)["slope"] is None
    assert statistics.fit_law(censored)["spread"] is None
    uneven = decayed((1e-4, 1000, 1000), (1e-3, 10, 1000), (1e-2, 10, 1000), (1e-1, 10, 1000))
    assert statistics.fit_law(uneven)["spread"] == pytest.approx(990 / 257.5)


@pytest.mark.parametrize(
    ("times", "least", "censored"),
    [
        ((10_000, 1000, 100), 10, 0),
        ((math.inf, 1000, 100), 10, 1),
        ((math.inf, math.inf, 100), math.inf, 2),
        ((1000, 10_000, 100), 0.1, 0),
        ((1000, math.inf, 100), 0, 0),
        ((math.inf, math.inf, math.inf), None, None),
    ],
)
def test_generalisation_by_training_size(times: tuple[float, ...], least: float | None, censored: int | None) -> None:
    runs = {str(n): trained(10, t, examples=n) for n, t in zip((200, 500, 1000), times, strict=True)}
    found = statistics.by_examples(dict(reversed(runs.items())))
    assert found["least_fall"] == (None if least is None else pytest.approx(least))
    assert found["censored"] == censored


def test_delays_by_start() -> None:
    runs = {name: trained(100, 100, scale=scale) for name, scale in zip(cells.SCALE_CELLS, cells.SCALES, strict=True)}
    found = statistics.by_scale({**runs, cells.MNIST: trained(10, 1000)})
    assert (found["smallest_scale"], found["rise"], found["delay_8"]) == (1, pytest.approx(100), pytest.approx(100))
    runs = {
        name: trained(10, 10 if scale < 100 else 1000, scale=scale)
        for name, scale in zip(cells.ENTROPY_CELLS, cells.ENTROPY_SCALES, strict=True)
    }
    found = statistics.by_entropy(runs)
    assert (found["largest_scale"], found["usual_scale"]) == (pytest.approx(100), 1)


def test_a_forecast_is_right_where_decay_alone_moves_the_norm() -> None:
    # the least of the parabola through ln 1, ln 0.1 and ln 0.4 at ln w = 0, ln 10, ln 100
    critical = lands.landscape_of(cells_of().values()).critical.norm
    run = trained(100, 1000, norm=critical * math.exp(0.9))
    # ln(w / w_c) / (ηγ) = 0.9 / 1e-4, up to the difference of −ln(1 − ηγ) and ηγ
    assert statistics.forecast(run, critical) == pytest.approx(100 + 9000, rel=1e-3)
    assert statistics.forecast(trained(math.inf, math.inf), critical) == math.inf
    runs = decayed(*[(decay, 100, 1000) for decay in (0.05, 0.1, 0.2, 0.4)])
    for one in runs.values():
        one.curves["weights/sum_of_squares"][:] = (critical * math.exp(0.09)) ** 2
    found = statistics.forecasts({**runs, **cells_of()})
    assert found["forecast_slope"] == pytest.approx(-0.86, abs=0.01)
    # 100 steps and 0.09 / (1e-3 · γ): 1900, 1000, 550, 325 of 1000 steps
    assert [found[f"ratio_{n}"] for n in range(1, 5)] == pytest.approx([1.9, 1.0, 0.55, 0.325], rel=1e-3)
    assert found["worst_factor"] == pytest.approx(1 / 0.325, rel=1e-3)
    # accuracy 0.8 is reached at two thirds of the way from 0.9 to 0.6, in ln w: 10 · 10^(1/3)
    found = statistics.level_forecasts({**runs, **cells_of()})
    assert found["norm"] == pytest.approx(10 ** (4 / 3))
    assert found["ratio_2"] == pytest.approx(0.1, rel=1e-3)  # the norm is below that already: at the fit


# -- landscapes -----------------------------------------------------------------------------------


def test_an_l_and_a_u() -> None:
    found = lands.shapes(dict(reversed(cells_of().items())))
    assert (found["interior"], found["train_share"]) == (1, pytest.approx(1e-4))
    assert (found["left_arm"], found["right_arm"]) == (pytest.approx(10), pytest.approx(4))
    assert found["tangent_gradient"] == pytest.approx(0.5)  # ‖θ‖ times the gradient along the sphere
    flat = lands.shapes(cells_of(test=(1.0, 0.4, 0.1)))
    assert flat["interior"] == 0
    assert flat["train_share"] is None


def test_the_best_over_evaluations_is_apart_from_the_final_value() -> None:
    runs = cells_of(best=0.05)
    assert lands.landscape_of(runs.values()).test.tolist() == list(U)
    assert lands.landscape_of(runs.values(), "best").test.tolist() == [0.05] * 3
    assert lands.landscape_of(runs.values(), "best").test_accuracy.tolist() == pytest.approx([0.05, 0.9, 0.6])


def test_the_mismatch_shrinks_with_more_images() -> None:
    little = cells_of(examples=500)
    found = lands.shrinks({**little, **cells_of(examples=60_000, test=(1.0, 0.1, 0.15))})
    assert found["ratio"] == math.inf
    assert found["mismatch_500"] == pytest.approx(lands.landscape_of(little.values()).mismatch)
    # from ln w = ln 10 to ln 100 the mean of ln(0.1 / 1e-4) and of ln(0.4 / 1e-4), or of ln(0.15 / 1e-4)
    assert found["parting_ratio"] == pytest.approx(math.log(1000 * 4000) / math.log(1000 * 1500))
    assert lands.shrinks({**little, **cells_of(examples=60_000)})["ratio"] == pytest.approx(1)
    never = cells_of(examples=100, train=(1.0, 0.5, 0.4))
    assert lands.shrinks({**never, **cells_of(examples=60_000)})["ratio"] is None


def test_messiness_by_hand() -> None:
    easy = {f"easy-{name}": run for name, run in cells_of(test=(1.0, 0.05, 0.1), m=0.2).items()}
    found = lands.messy({**cells_of(), **easy})
    assert (found["spread"], found["test_loss_0.2"], found["test_loss_1"]) == (pytest.approx(2), 0.05, 0.1)


# -- experiments and figures ----------------------------------------------------------------------


def test_the_paper_scale_is_the_papers() -> None:
    spec: Any = resolve({"seed": 0, **PAPER.tree("mnist", "paper")})
    assert (spec.task.subset, spec.task.train_examples, spec.task.test_examples) == ("first", 1000, 10_000)
    assert (spec.task.test_source, spec.task.batch_size, spec.task.pool) == ("test", 200, 1)
    assert (spec.model.widths, spec.model.initial_scale) == ((200, 200), 8)
    assert (spec.optimizer.name, spec.optimizer.learning_rate, spec.optimizer.weight_decay) == ("adamw", 1e-3, 0.01)
    assert (spec.learner.loss, spec.learner.steps) == ("mean-squared-error", 100_000)
    small: Any = resolve({"seed": 0, **PAPER.tree("mnist", "cpu")})
    assert (spec.numerics.dtype, small.numerics.dtype) == ("float64", "float32")
    sphere: Any = resolve({"seed": 0, **PAPER.tree("landscape-60000-scale-10", "paper")})
    assert (sphere.task.train_examples, sphere.task.batch_size, sphere.learner.steps) == (60_000, 100, 10_000)
    assert (sphere.model.initial_scale, sphere.optimizer.weight_decay) == (10, 0)
    assert sphere.interventions[0].norm == "initial"


@pytest.mark.parametrize("size", ["cpu", "paper"])
def test_a_landscape_has_its_cells_and_a_claim_its_experiments(size: str) -> None:
    for count in spheres.SIZES[size]:
        names = spheres.cells(count, size)
        found = [resolve({"seed": 0, **PAPER.tree(name, size)}) for name in names]
        assert {one.task.train_examples for one in found} == {count}  # type: ignore[attr-defined]
        assert [one.model.initial_scale for one in found] == list(spheres.SCALES[size])  # type: ignore[union-attr]
    for one in PAPER.claims:
        assert size in one.criterion
        assert len({one.batch for one in map(PAPER.experiment, one.at(size).experiments)}) <= 3


def test_figures_of_sweeps_and_landscapes() -> None:
    runs = {name: [one] for name, one in decayed(*[(d, 10, 100 / d) for d in (0.01, 0.1, 1, 10)]).items()}
    drawn_as = [spheres.named(1000, scale) for scale in spheres.SCALES["paper"]]
    spheres_of = {name: [one] for name, one in zip(drawn_as, cells_of().values(), strict=False)}
    names = [trace["name"] for trace in mnist_figures.decays({**runs, **spheres_of})["data"]]
    assert names[:4] == ["fitted", "generalised", "slope −1", "forecast by w_c"]
    assert [t["name"] for t in mnist_figures.decays(runs)["data"]] == names[:3]
    drawn = mnist_figures.forecasts({**runs, **spheres_of})
    assert "w_c of the landscape" in [trace["name"] for trace in drawn["data"]]
    drawn = landscape_figures.losses(spheres_of)
    assert [t["name"] for t in drawn["data"] if len(t["x"]) > 1] == [
        "train, final",
        "train, best",
        "test, final",
        "test, best",
    ]
    # the window is drawn from where test loss is twice its least
    assert any(shape.get("x0") == pytest.approx(10**1.5) for shape in drawn["layout"]["shapes"])
    assert landscape_figures.losses({name: spheres_of[name] for name in list(spheres_of)[:2]})["data"] == []
    easy = {f"easy-{name}": [one] for name, one in cells_of(m=0.2).items()}
    assert len(landscape_figures.messiness({**spheres_of, **easy})["data"]) == 4
    swept = {
        f"mnist-examples-{n}": [trained(10, t, examples=n)] for n, t in ((200, math.inf), (1000, 1000), (2000, 100))
    }
    assert max(mnist_figures.examples(swept)["data"][0]["x"]) > max(
        # at cpu scale 2000 images are no cell of the sweep
        mnist_figures.examples({name: [of_scale(some[0], "cpu")] for name, some in swept.items()})["data"][0]["x"]
    )


def test_at_smoke_scale_all_of_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAPERS._known, PAPER.id, PAPER)
    board = reproduce([PAPER.id], scale="smoke", seeds=(0,), root=tmp_path)
    assert len(board.verdicts) == len(PAPER.claims)
    assert [path.name for path in board.reports] == [
        f"{PAPER.id}-{name}-smoke.html" for name in ("mnist", "landscape-100-scale-1", "messiness-0.2-scale-1")
    ]
