"""A grid trained as one ensemble against its cells trained one after the other, both by the library.

The grid is that of a phase diagram: initial scales by weight decays by seeds, the data being that of the seed. Both
are timed in turn by the cost of a step of all members, measuring left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from grokscope.bench.alternation import Comparison, alternate, median_and_range
from grokscope.execution.batches import as_members, batches
from grokscope.numerics import applied
from grokscope.spec import Spec, override, resolve

SEEDS = 3
AGREE_STEPS = 20


@dataclass(frozen=True)
class Setting:
    """What is trained: a spec's tree, the key of the initial scale with its values, and steps in one turn of each.

    ``alone`` members are trained one after the other in a turn, the first of the grid: each costs the same.
    """

    name: str
    tree: Mapping[str, Any]
    scale: str
    scales: tuple[float, ...]
    decays: tuple[float, ...]
    steps: int
    alone_steps: int
    alone: int = 2


def _modular(model: Mapping[str, Any], optimizer: Mapping[str, Any]) -> dict[str, Any]:
    task = {"name": "modular-addition", "modulus": 23, "train_fraction": 0.5}
    return {"task": task, "model": model, "learner": {"name": "gradient"}, "optimizer": optimizer}


SETTINGS = (
    Setting(
        "diagonal network, d = 200, n = 40, float64",
        {
            "task": {"name": "sparse-classification", "dimension": 200, "examples": 40, "test_examples": 100},
            "model": {"name": "diagonal-network"},
            "learner": {"name": "gradient"},
            "optimizer": {"name": "sgd", "learning_rate": 0.01},
            "numerics": {"dtype": "float64"},
        },
        "model.initial_norm",
        (8.0, 16.0, 32.0, 64.0),
        (1e-3, 3e-3, 1e-2, 3e-2),
        steps=200,
        alone_steps=200,
    ),
    Setting(
        "matrix completion, d = 30, 20 % observed, float64",
        {
            "task": {"name": "matrix-completion", "size": 30, "observed": 0.2},
            "model": {"name": "symmetric-factorisation"},
            "learner": {"name": "gradient"},
            "optimizer": {"name": "sgd", "learning_rate": 0.01},
            "numerics": {"dtype": "float64"},
        },
        "model.initial_scale",
        (3.0, 5.0, 7.0, 10.0),
        (3e-4, 1e-3, 3e-3, 1e-2),
        steps=60,
        alone_steps=200,
    ),
    Setting(
        "perceptron, p = 23, 64 hidden units, float32",
        _modular({"name": "mlp", "widths": [64]}, {"name": "sgd", "learning_rate": 0.1}),
        "model.initial_scale",
        (0.5, 1.0, 2.0, 4.0),
        (1e-4, 3e-4, 1e-3, 3e-3),
        steps=20,
        alone_steps=100,
    ),
    Setting(
        "transformer, p = 23, width 16, float32",
        _modular(
            {"name": "modular-transformer", "width": 16, "heads": 2, "hidden_width": 32},
            {"name": "adamw", "learning_rate": 1e-3},
        ),
        "model.initial_scale",
        (0.5, 1.0, 2.0, 4.0),
        (0.1, 0.3, 1.0, 3.0),
        steps=6,
        alone_steps=40,
    ),
)


def cells(setting: Setting, changes: Mapping[str, Any]) -> list[Spec]:
    """Return the grid as members of one ensemble, in the order in which it is trained."""
    specs = [
        resolve(
            override(setting.tree, {setting.scale: scale, "optimizer.weight_decay": decay, **changes}),
            seed=seed,
        )
        for scale, decay, seed in itertools.product(setting.scales, setting.decays, range(SEEDS))
    ]
    (group,) = batches(specs)
    return [specs[index] for index in group]


class Training:
    """Specs trained together, or one alone."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self.learner = specs[0].learner.build(ensemble=len(specs) > 1)
        self.state = self.learner.start(specs, [spec.task.build(spec.seed) for spec in specs])

    def advance(self, steps: int) -> None:
        """Take ``steps`` steps."""
        self.state = self.learner.advance(self.state, steps)

    def parameters(self, member: int = 0) -> Mapping[str, torch.Tensor]:
        """Return a member's parameters."""
        return self.learner.snapshot(self.state, member).parameters


def benchmark(*, device: str = "cpu", threads: Sequence[int] = (1, 2), rounds: int = 5) -> list[Comparison]:
    """Return, for each model and number of threads, what a step of all members costs, one by one and together."""
    found = []
    for count, setting in itertools.product(threads if device == "cpu" else threads[:1], SETTINGS):
        found.append(_compare(setting, {"numerics.threads": count, "numerics.device": device}, rounds))
    return found


def _compare(setting: Setting, changes: Mapping[str, Any], rounds: int) -> Comparison:
    specs = cells(setting, changes)
    numerics = specs[0].numerics
    wait = torch.cuda.synchronize if numerics.device.startswith("cuda") else (lambda: None)
    with applied(numerics):
        together = Training(as_members(specs))
        apart = [Training([spec]) for spec in specs[: setting.alone]]
        difference = _difference(together, apart)
        spent = alternate(
            {
                "apart": lambda: [one.advance(setting.alone_steps) for one in apart],
                "together": lambda: together.advance(setting.steps),
            },
            rounds=rounds,
            wait=wait,
        )
    one, one_range = median_and_range(spent["apart"], 1000 / setting.alone_steps / setting.alone)
    all_of_them, our_range = median_and_range(spent["together"], 1000 / setting.steps)
    where = f"{numerics.device}, {numerics.threads} thread{'s' if numerics.threads > 1 else ''}"
    return Comparison(
        f"ensemble, {setting.name}, a step of {len(specs)} members ({where})",
        len(specs) * one,
        all_of_them,
        "ms",
        {
            "members": len(specs),
            "members_per_second_apart": 1000 / one,
            "members_per_second": 1000 * len(specs) / all_of_them,
            "one_range": one_range,
            "our_range": our_range,
            "parameter_difference": difference,
            "rounds": rounds,
        },
    )


def _difference(together: Training, apart: Sequence[Training]) -> float:
    """Return how far parameters are apart after some steps: both must do the same."""
    together.advance(AGREE_STEPS)
    found = 0.0
    for number, one in enumerate(apart):
        one.advance(AGREE_STEPS)
        members = together.parameters(number)
        found = max(found, *(float((t - members[name]).abs().max()) for name, t in one.parameters().items()))
    return found
