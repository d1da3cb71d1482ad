"""What the claims on MNIST read off curves whose answers are known, and the experiments as specs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

import grokscope as gs
from grokscope.errors import UsageError
from grokscope.execution.batches import batches
from grokscope.execution.train import train
from grokscope.linalg.entropies import uniform_entropy
from grokscope.measures.base import named
from grokscope.papers.golechha2024 import PAPER, mnist, mnist_figures
from grokscope.papers.golechha2024 import mnist_experiments as cells
from grokscope.papers.golechha2024 import mnist_statistics as statistics
from grokscope.rng import generator
from grokscope.spec import resolve
from grokscope.store import open_run

STEPS = np.array([0, 1, 10, 100, 1000, 10_000, 100_000])
LATE = np.array([0.0, 0.0, 0.1, 0.2, 0.3, 0.85, 0.9])


class Curves:
    """A run of known scalars."""

    def __init__(self, steps: np.ndarray = STEPS, **curves: np.ndarray) -> None:
        self.spec: dict[str, Any] = {"learner": {"l2": 0.0}, "seed": {"base": 0}}
        self.status = "finished"
        self.directory = Path()
        self.steps = steps
        self.curves = {key.replace("__", "/"): np.asarray(value, float) for key, value in curves.items()}

    def series(self, key: str, module: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        found = f"{key}@{module}" if module else key
        if found not in self.curves:
            raise UsageError(f"unknown key {found!r}")
        return self.steps, self.curves[found]

    def has(self, key: str, module: str | None = None) -> bool:
        return (f"{key}@{module}" if module else key) in self.curves

    @property
    def last_step(self) -> int:
        return int(self.steps[-1])


def run(**more: Any) -> Any:
    """Return a run that fits at step 100 and passes 0.8 test accuracy near 10,000; its measures follow the norm."""
    squares = np.array([100.0, 100, 100, 100, 81, 49, 36])
    given = {
        "train__accuracy": np.array([0.1, 0.1, 0.5, 1, 1, 1, 1]),
        "test__accuracy": LATE,
        "weights__sum_of_squares": squares,
        "weight_entropy__sum": -LATE,
        "circuit_complexity__complexity": 1 / (1 + LATE),
        "circuit_complexity__output_change": 1 / (1 + LATE),
        "sparsity__mean": np.array([0.2, 0.3, 0.5, 0.6, 0.61, 0.61, 0.7]),
        "dead_weights__with_gradient_norm": np.sqrt(squares),
        "dead_weights__without_gradient_norm": np.full(7, 2.0),
        "dead_weights__without_gradient_share": np.full(7, 0.1),
        "weight_entropy__normalised@layers.0.weight": 5 - LATE,
    }
    return Curves(**{**given, **more})


def test_a_run_that_groks_as_its_norm_falls() -> None:
    found = statistics.groks({cells.MNIST: run()})
    generalise = 1000 * 10 ** ((0.8 - 0.3) / (0.85 - 0.3))
    # train accuracy is 0.5 at step 10 and 1 at step 100
    fit = 10 ** (1 + 0.9)
    assert found["fit_step"] == pytest.approx(fit)
    assert found["delay_ratio"] == pytest.approx(generalise / fit)
    assert found["norm_fall"] == pytest.approx(1 - 6 / 10)
    assert found["test_accuracy"] == 0.9
    never = statistics.groks({cells.MNIST: run(test__accuracy=np.zeros(7))})
    assert never["delay_ratio"] == math.inf
    assert statistics.groks({cells.MNIST: run(train__accuracy=np.zeros(7))})["delay_ratio"] is None


def test_a_norm_that_grows_is_told_by_what_sees_data() -> None:
    grown = run(
        weights__sum_of_squares=np.array([100.0, 100, 100, 100, 400, 900, 1600]),
        dead_weights__with_gradient_norm=np.array([9.0, 9, 9, 9, 8, 7, 6]),
        dead_weights__without_gradient_norm=np.array([4.0, 4, 4, 4, 18, 29, 39.5]),
    )
    found = statistics.generalises_while_growing({cells.INCREASING: grown})
    assert found["norm_ratio"] == pytest.approx(4)
    assert found["seen_ratio"] == pytest.approx(6 / 9)
    assert found["unseen_ratio"] == pytest.approx(39.5 / 4)
    assert found["test_accuracy"] == 0.9
    assert found["norm_ratio_then"] == pytest.approx(
        statistics.norm_at(grown, 1000 * 10 ** (0.5 / 0.55)) / statistics.norm_at(grown, 10**1.9)
    )
    assert statistics.generalises_without_decay({cells.WITHOUT_DECAY: grown})["norm_ratio"] == pytest.approx(4)


def test_what_cannot_be_correlated_has_no_value() -> None:
    rising = np.arange(5.0)
    assert statistics.rank_correlation(rising, rising**3) == 1
    assert statistics.rank_correlation(rising, np.ones(5)) is None
    assert statistics.rank_correlation(rising[:3], rising[:3]) is None
    assert statistics.partial_correlation(rising, rising[::-1], rising) is None  # a function of the norm


def test_measures_that_fall_as_accuracy_rises() -> None:
    runs = {cells.MNIST: run(), cells.INCREASING: run(circuit_complexity__complexity=np.arange(7.0))}
    found = statistics.entropy_falls(runs)
    assert found["worst"] == pytest.approx(-1)
    assert found["baseline_companion"] == pytest.approx(-1)
    assert statistics.complexity_falls(runs)["worst"] == pytest.approx(1)
    assert statistics.complexity_falls(runs)["baseline"] == pytest.approx(-1)
    runs[cells.INCREASING] = run(train__accuracy=np.zeros(7))
    assert statistics.entropy_falls(runs)["worst"] is None


def test_sparsity_between_the_fit_and_the_rise() -> None:
    one = run()
    # the fit is at 10^1.9, where sparsity is 0.59; accuracy is to rise by 0.1 (0.9 - 0.19): at step 1000; slopes before
    # the fit between observed steps: 0.2 a decade
    slope = (0.61 - 0.59) / (math.log(1000) - 1.9 * math.log(10))
    linear = statistics.value_at(one, statistics.SPARSITY, 10**1.9)
    slope = (0.61 - linear) / math.log(1000 / 10**1.9)
    assert statistics.plateau(one) == pytest.approx(slope / (0.2 / math.log(10)), rel=1e-6)
    assert statistics.plateau(run(train__accuracy=np.zeros(7))) is None
    assert statistics.plateau(run(test__accuracy=np.zeros(7))) == pytest.approx(statistics.plateau(one), abs=1)
    found = statistics.sparsity_waits({cells.MNIST: one, cells.INCREASING: run(train__accuracy=np.zeros(7))})
    assert found["worst"] is None


def test_dropout_is_held_against_the_run_without() -> None:
    found = statistics.dropout_removes_delay(
        {cells.MNIST: run(), cells.DROPOUT: run(test__accuracy=np.array([0, 0, 0.1, 0.9, 0.9, 0.9, 0.9]))}
    )
    assert found["delay_ratio"] == pytest.approx(10 ** (1 + 0.7 / 0.8) / 10**1.9)
    assert found["without"] is not None
    assert found["without"] > 50
    assert found["fit_ratio"] == pytest.approx(1)
    assert found["generalise_ratio"] == pytest.approx(10 ** (1 + 0.7 / 0.8) / (1000 * 10 ** (0.5 / 0.55)))


def test_correlations_over_cells_are_of_all_observations_together() -> None:
    wiggly = np.array([100.0, 100, 100, 100, 81, 90, 36])
    some = [run(weights__sum_of_squares=wiggly, sparsity__mean=LATE) for _ in range(2)]
    found = statistics.better_than_norm({cells.MNIST: some, cells.INCREASING: some[:1]})
    assert found["runs"] == 3
    assert found["within_norm"] == pytest.approx(-0.8)
    assert found["norm"] == pytest.approx(-0.8)
    assert found["gain_entropy"] == pytest.approx(0.2)
    assert found["weakest_gain"] == pytest.approx(0.2)
    # of test accuracy nothing is left but itself: −1 for what is said to fall, 1 for what is said to rise
    assert [found[f"partial_{name}"] for name in statistics.MEASURES] == pytest.approx([1, 1, 1])
    falls = statistics.better_than_norm({cells.MNIST: [run(weights__sum_of_squares=wiggly, sparsity__mean=-LATE)]})
    assert falls["partial_sparsity"] == pytest.approx(-1)
    none = statistics.better_than_norm({cells.MNIST: [run(train__accuracy=np.zeros(7))]})
    assert none["weakest_gain"] is None
    # within each run norm and accuracy go together; over both they do not
    high = run(weights__sum_of_squares=np.array([900.0, 900, 900, 900, 800, 700, 600]))
    low = run(test__accuracy=LATE - 0.19)
    both = statistics.better_than_norm({cells.MNIST: [low], cells.INCREASING: [high]})
    assert both["within_norm"] == pytest.approx(-1)
    ranks = spearmanr([100, 81, 49, 36, 900, 800, 700, 600], [0.01, 0.11, 0.66, 0.71, 0.2, 0.3, 0.85, 0.9])[0]
    assert both["norm"] == pytest.approx(ranks)


def test_dead_weights_grow_exponentially_and_then_in_a_line() -> None:
    at = np.array([0.0, 500.0, 10_000.0])
    given = {"bound": 0.285, "start": 30.0, "rate": 1e-3, "decay": 0.01, "epsilon": 1e-8}
    slow = statistics.dead_norm(at, reward=2e-12, **given)
    assert slow / 30 == pytest.approx(np.exp(1e-3 * (2 * 2e-12 / 1e-8 - 0.01) * at), rel=1e-4)
    paper = statistics.dead_norm(np.array([0.0, 1e4]), reward=2e-10, **given)
    assert paper[1] / 30 == pytest.approx(math.exp(3e-5 * 1e4), rel=0.01)  # as the specification has it
    # far above ε every weight moves by the learning rate, whatever δ: at first by as much, later by somewhat more
    fast = [statistics.dead_norm(at, reward=reward, **{**given, "decay": 0.0}) for reward in (1e-5, 1e-4)]
    assert fast[0][-1] == pytest.approx(fast[1][-1], rel=1e-3)
    sizes = 0.285 * (np.arange(64) + 0.5) / 64
    scale = 30 / math.sqrt(np.mean(sizes**2))
    assert fast[1][1] > scale * math.sqrt(np.mean((sizes + 0.5) ** 2))
    short = statistics.dead_norm(np.array([0.0, 20.0]), reward=1e-4, **{**given, "decay": 0.0})
    assert short[1] == pytest.approx(scale * math.sqrt(np.mean((sizes + 0.02) ** 2)), rel=5e-3)


@pytest.mark.parametrize("reward", [0.0, 1e-9, 1e-7])
def test_adamw_written_out_moves_dead_weights_as_predicted(reward: float) -> None:
    bound, rate, decay = 8 / 14, 3e-3, 0.1
    weights = np.random.default_rng(0).uniform(-bound, bound, 5000)
    first, second, now = 0 * weights, 0 * weights, weights
    for step in range(1, 1501):
        gradient = -2 * reward * now
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        moved = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        now = now * (1 - rate * decay) - rate * moved
    given = {"bound": bound, "start": float(np.linalg.norm(weights)), "rate": rate, "decay": decay, "epsilon": 1e-8}
    found = statistics.dead_norm(np.array([0.0, 1500.0]), reward=reward, **given)
    assert found[1] == pytest.approx(float(np.linalg.norm(now)), rel=0.02)


def test_a_training_moves_dead_weights_as_predicted(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    tree = PAPER.tree(cells.INCREASING, "smoke")
    # pixels in the corners of the 8 x 8 digits are 0 in all of them
    tree["task"] |= {"dataset": "digits", "train_examples": 60, "test_examples": 20, "pool": 1}
    tree["learner"] |= {"steps": 300, "l2": -2e-8}
    tree["optimizer"] |= {"learning_rate": 3e-3, "weight_decay": 0.1}
    tree["record"] |= {"measures": ["dead_weights"], "extra": []}
    (directory,) = train([resolve(tree, seed=0)], root=tmp_path)
    done = open_run(directory)
    at, measured = done.series(statistics.FIRST_DEAD)
    assert measured[-1] > 1.3 * measured[0]
    assert statistics.predicted_dead_norm(done, at) == pytest.approx(measured, rel=0.03)


def test_a_start_of_the_published_size_has_the_entropy_of_the_specification() -> None:
    tree = PAPER.tree(cells.MNIST, "paper")
    tree["task"] |= {"dataset": "synthetic", "train_examples": 20, "test_examples": 20, "test_source": "train"}
    spec = resolve(tree, seed=0)
    facts = spec.task.build(spec.seed).facts
    assert spec.model is not None
    model = spec.model.build(facts, generator(spec.seed.init, "init"))
    rows = {
        key: value for key, module, value in gs.evaluate("weight_entropy", gs.Snapshot.of(model)).rows if not module
    }
    assert rows["weight_entropy/first"] == pytest.approx(39261.89, rel=0.01)
    assert rows["weight_entropy/sum"] == pytest.approx(39261.89 + 12102.47 + 605.12, rel=0.01)
    norm = math.sqrt(sum(float(one.detach().double().square().sum()) for one in model.parameters()))
    # of U(−a, a) the mean square is a²/3, a² = 64/fan-in: weights and biases of each layer
    expected = 64 / 3 * (200 * (1 + 1 / 784) + 200 * (1 + 1 / 200) + 10 * (1 + 1 / 200))
    assert norm == pytest.approx(math.sqrt(expected), rel=0.01)


def test_the_closed_form_of_the_start_is_that_of_the_specification() -> None:
    sizes = ((784, 200, 39261.89), (200, 200, 12102.47), (200, 10, 605.12))
    assert [round(uniform_entropy(a * b, 8 / a**0.5), 2) for a, b, _ in sizes] == [want for *_, want in sizes]
    one = run(weight_entropy__first=np.full(7, 39300.0))
    one.spec = {"model": {"initial_scale": 8.0, "widths": [200, 200]}, "task": {"dataset": "mnist", "pool": 1}}
    found = statistics.closed_form({cells.MNIST: one})
    assert found["expected"] == pytest.approx(39261.89, abs=0.005)
    assert found["error"] == pytest.approx((39300 - 39261.89) / 39261.89, rel=1e-3)


# -- experiments, claims and figures --------------------------------------------------------------


@pytest.mark.parametrize("scale", ["smoke", "cpu", "paper"])
@pytest.mark.parametrize("name", [one.name for one in mnist.EXPERIMENTS])
def test_each_experiment_is_a_spec(name: str, scale: str) -> None:
    spec = resolve(PAPER.tree(name, scale), seed=0)
    assert spec.learner.loss == ("cross-entropy" if name == cells.CROSS_ENTROPY else "mean-squared-error")  # type: ignore[attr-defined]


def test_the_paper_scale_is_the_published_setting() -> None:
    spec = resolve(PAPER.tree(cells.INCREASING, "paper"), seed=0).model_dump()
    assert spec["task"]["train_examples"] == spec["task"]["test_examples"] == 1000
    assert spec["task"]["batch_size"] is None
    assert spec["model"]["widths"] == (200, 200)
    assert spec["model"]["initial_scale"] == 8
    assert spec["learner"]["l2"] == -2e-10
    assert spec["learner"]["steps"] == 100_000
    assert spec["optimizer"]["learning_rate"] == 1e-3
    assert spec["optimizer"]["weight_decay"] == 0.01
    assert len(cells.GRID) == 27
    assert set(cells.GRID_AT_CPU) < set(cells.GRID)


def test_cells_of_one_reward_are_one_ensemble() -> None:
    specs = [resolve(PAPER.tree(name, "smoke"), seed=seed) for name in cells.GRID_AT_CPU for seed in (0, 1)]
    rewards = {str(spec.learner.l2) for spec in specs}  # type: ignore[attr-defined]
    assert len(batches(specs)) == len(rewards) == 2


def test_figures_are_drawn_of_what_there_is() -> None:
    runs = [run(), run()]
    for function in (mnist_figures.progress, mnist_figures.norm_split, mnist_figures.scale_free):
        drawn = function(runs, [])
        assert drawn["data"]
    legend = [trace["name"] for trace in mnist_figures.progress([run()], [])["data"]]
    assert "norm, 6 to 10" in legend
    # of several seeds no phases are drawn, but when they fitted and generalised
    assert {"fitted", "generalised"} <= {trace["name"] for trace in mnist_figures.progress(runs, [])["data"]}
    assert mnist_figures.loss([run()], [])["data"] == []
    forest = mnist_figures.correlations({cells.MNIST: runs})
    labels = forest["layout"]["yaxis"]["ticktext"]
    assert labels[:2] == ["norm", "weight entropy"]
    assert len(forest["data"]) == 3 * len(labels)
    bare: Any = Curves()
    assert mnist_figures.correlations({cells.MNIST: [bare]})["data"] == []
    both = mnist_figures.dropout({cells.MNIST: [run()], cells.DROPOUT: [run()]})
    assert [trace["name"] for trace in both["data"]][:4] == [
        "without, train", "without, test", "with dropout, train", "with dropout, test"
    ]  # fmt: skip


def test_measures_with_options_are_named_as_they_are_stored() -> None:
    for name in (*cells.CURVE, cells.EXACT):
        assert named(name).name == name
