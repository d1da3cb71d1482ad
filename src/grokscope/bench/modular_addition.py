"""One update of modular addition at the paper's size, ours against the loop of the paper's notebook.

The plain loop evaluates every position of every pair: each step it takes the train loss and, with its graph,
the test loss, reads both back, and updates with ``torch.optim.AdamW``. Ours evaluates the last position of
the train pairs, and looks at everything else when something is recorded.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from grokscope.bench.alternation import Comparison, alternate, median_and_range
from grokscope.execution.plan import experiment_spec
from grokscope.measures.base import evaluate, why_not
from grokscope.numerics import applied
from grokscope.registry import MEASURES

if TYPE_CHECKING:
    from grokscope.batch import Batch
    from grokscope.learners.base import Learner
    from grokscope.spec import Spec

EXPERIMENT = "nanda2023/modular-addition"
GENERALISED = 7018
"""Where the stored paper-scale run of seed 0 passes test accuracy 0.9; a step costs the same all along."""
BASELINE_STEPS, OUR_STEPS = 2, 6
"""Steps in one turn of each; about a second on one core."""
AGREE_STEPS = 3


class PlainLoop:
    """Modular addition trained as the paper's notebook trains it; a call of ``advance`` takes n steps."""

    def __init__(self, spec: Spec, train: Batch, test: Batch, module: torch.nn.Module) -> None:
        settings: Any = spec.optimizer
        self.module, self.train, self.test = module, train, test
        self.optimizer = torch.optim.AdamW(
            module.parameters(),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min(step / settings.warmup_steps, 1.0) if settings.warmup_steps else 1.0
        )
        self.losses: list[tuple[float, float]] = []

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean cross-entropy at the last position, of logits taken at all of them."""
        module: Any = self.module
        everywhere = module.residual(module.W_E[batch.inputs] + module.W_pos) @ module.W_U.T
        assert batch.targets is not None
        return functional.cross_entropy(everywhere[:, -1].double(), batch.targets)

    def advance(self, steps: int) -> None:
        """Take ``steps`` steps."""
        for _ in range(steps):
            train, test = self.loss(self.train), self.loss(self.test)
            train.backward()
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
            self.losses.append((train.item(), test.item()))


class OurLoop:
    """The same training by the library; ``observe`` takes the default measures once."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        task = spec.task.build(spec.seed)
        self.learner: Learner = spec.learner.build()
        self.state = self.learner.start([spec], [task])

    def advance(self, steps: int) -> None:
        """Take ``steps`` steps."""
        self.state = self.learner.advance(self.state, steps)

    def observe(self) -> None:
        """Take what a run records at each observation."""
        snapshot = self.learner.snapshot(self.state)
        self.learner.scalars(self.state)
        for name in self.spec.record.measures:
            measure = MEASURES.get(name)
            if why_not(measure, snapshot) is None:
                evaluate(measure, snapshot)
        snapshot.close()


def observations(spec: Spec, steps: int) -> int:
    """Return how often a run of ``spec`` is observed in its first ``steps`` steps."""
    return sum(step <= steps for step in spec.record.observe.steps_until(spec.learner.steps))


def benchmark(*, device: str = "cpu", threads: Sequence[int] = (1, 2), rounds: int = 5) -> list[Comparison]:
    """Return, for each number of threads, the cost of a step with its evaluation and that of a run.

    A step of ours costs the update and its share of the observations that a run of the paper's size makes. The
    cost of a run is that of :data:`GENERALISED` steps and the observations in them.
    """
    found: list[Comparison] = []
    for count in threads if device == "cpu" else threads[:1]:
        changes = {"numerics.threads": count, "numerics.device": device}
        spec = experiment_spec(EXPERIMENT, scale="paper", seed=0, changes=changes)
        found += _compare(spec, rounds)
    return found


def _compare(spec: Spec, rounds: int) -> list[Comparison]:
    from grokscope.rng import generator

    numerics = spec.numerics
    wait = torch.cuda.synchronize if numerics.device.startswith("cuda") else (lambda: None)
    begun = time.perf_counter()
    with applied(numerics):
        ours = OurLoop(spec)
        task = spec.task.build(spec.seed)
        assert spec.model is not None
        module = spec.model.build(task.facts, generator(spec.seed.init, "init")).to(numerics.device)
        train, test = (task.probes[name].to(numerics.device) for name in ("train", "test"))
        plain = PlainLoop(spec, train, test, module)
        difference = _difference(plain, ours)
        spent = alternate(
            {
                "plain": lambda: plain.advance(BASELINE_STEPS),
                "ours": lambda: ours.advance(OUR_STEPS),
                "observe": ours.observe,
            },
            rounds=rounds,
            wait=wait,
        )
    step, step_range = median_and_range(spent["plain"], 1000 / BASELINE_STEPS)
    update, update_range = median_and_range(spent["ours"], 1000 / OUR_STEPS)
    observe, _ = median_and_range(spent["observe"], 1000)
    times = observations(spec, GENERALISED)
    evaluated = update + observe * times / GENERALISED
    where = f"{numerics.device}, {numerics.threads} thread{'s' if numerics.threads > 1 else ''}"
    details = {
        "device": numerics.device,
        "threads": numerics.threads,
        "update_ms": update,
        "observation_ms": observe,
        "observations": times,
        "observe_share": observe * times / GENERALISED / evaluated,
        "train_loss_difference": difference,
    }
    return [
        Comparison(
            f"modular-addition, a step with its evaluation ({where})",
            step,
            evaluated,
            "ms",
            {**details, "baseline_range": step_range, "update_range": update_range, "rounds": rounds},
        ),
        Comparison(
            f"modular-addition, {GENERALISED} steps to generalisation ({where})",
            step * GENERALISED / 1000,
            evaluated * GENERALISED / 1000,
            "s",
            {**details, "steps": GENERALISED, "measured_in": round(time.perf_counter() - begun, 1)},
        ),
    ]


def _difference(plain: PlainLoop, ours: OurLoop) -> float:
    """Return how far the train losses of the first steps are apart: both loops must do the same."""
    apart = 0.0
    for _ in range(AGREE_STEPS):
        plain.advance(1)
        ours.advance(1)
        loss = ours.learner.scalars(ours.state)["step/loss", None]
        apart = max(apart, abs(plain.losses[-1][0] - loss))
    return apart
