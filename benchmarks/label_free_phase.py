"""How often the phase told without test data is the one that test data tells.

Trains small networks whose test accuracy is known throughout, takes the measures of the rule at log-spaced steps, and
counts phases told against phases that happened. Two systems, six seeds each:

* images: MNIST averaged to 8 x 8 pixels, 200 training images, a perceptron 64-64-64-10 with all parameters x 8 at the
  start, mean squared error, AdamW, batch 50, 100 000 steps: with weight decay it generalises late, without it then
  loses it again, and with random labels it never does;
* addition: a + b mod 31, 80 % of the table, embedding and three layers, cross-entropy, AdamW 1e-3, full batch, 14 000
  steps: with weight decay it generalises late, without, or with random labels, never.

    GROKSCOPE_DATA=DIR python benchmarks/label_free_phase.py

Takes 12 minutes on one core. The thresholds were chosen on seeds 100 to 102 (and a look at one run each of seeds 0 and
1); seeds 0 to 2 judge them.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import grokscope as gs
from grokscope.analysis.label_free import MEASURES, history
from grokscope.data.mnist import load_mnist

SEEDS = (100, 101, 102, 0, 1, 2)
PER_DECADE = 8


@dataclass(frozen=True)
class Setting:
    """One way to train: its name, and whether it can ever generalise."""

    name: str
    learning_rate: float
    weight_decay: float
    random_labels: bool
    generalises: bool


IMAGES = (
    Setting("rate 0.02", 2e-2, 0.0, random_labels=False, generalises=True),
    Setting("rate 0.01", 1e-2, 0.0, random_labels=False, generalises=True),
    Setting("rate 0.01, decay 0.1", 1e-2, 0.1, random_labels=False, generalises=True),
    Setting("rate 0.01, random labels", 1e-2, 0.0, random_labels=True, generalises=False),
)
ADDITION = (
    Setting("decay 0.2", 1e-3, 0.2, random_labels=False, generalises=True),
    Setting("no decay", 1e-3, 0.0, random_labels=False, generalises=False),
    Setting("decay 0.2, random labels", 1e-3, 0.2, random_labels=True, generalises=False),
)


class Adder(nn.Module):
    """Two residues, one shared embedding, three layers."""

    def __init__(self, modulus: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(modulus, 32)
        self.layers = nn.ModuleList([nn.Linear(64, 100), nn.Linear(100, 100), nn.Linear(100, modulus)])

    def forward(self, pairs: Tensor) -> Tensor:
        hidden = self.embedding(pairs).flatten(1)
        for layer in list(self.layers)[:-1]:
            hidden = functional.silu(layer(hidden))
        return self.layers[-1](hidden)


def perceptron() -> nn.Module:
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(8)
    return net


Data = tuple[Tensor, Tensor, Tensor, Tensor]
"""Inputs and targets to train on, inputs and targets held out."""


def images(setting: Setting, seed: int, pictures: Tensor, labels: Tensor) -> Data:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(pictures), generator=generator)
    x, y = pictures[order], labels[order]
    chosen = torch.cat([(y == label).nonzero()[:20, 0] for label in range(10)])
    rest = torch.ones(len(y), dtype=torch.bool)
    rest[chosen] = False
    targets = torch.randint(0, 10, (200,), generator=generator) if setting.random_labels else y[chosen]
    return x[chosen], targets, x[rest][:1000], y[rest][:1000]


def addition(setting: Setting, seed: int, modulus: int = 31) -> Data:
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.cartesian_prod(torch.arange(modulus), torch.arange(modulus))
    order = torch.randperm(len(pairs), generator=generator)
    sums = pairs.sum(1) % modulus
    if setting.random_labels:
        sums = torch.randint(0, modulus, sums.shape, generator=generator)
    cut = round(0.8 * len(pairs))
    return pairs[order[:cut]], sums[order[:cut]], pairs[order[cut:]], sums[order[cut:]]


def trained(
    models: list[nn.Module], data: list[Data], settings: list[Setting], steps: int, batch: int | None, loss: str
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Train all models as one batched computation; yield (step, stacked parameters) at log-spaced steps."""
    parameters, _ = torch.func.stack_module_state(models)  # type: ignore[arg-type]
    x, y = torch.stack([d[0] for d in data]), torch.stack([d[1] for d in data])
    rate = torch.tensor([s.learning_rate for s in settings])
    decay = torch.tensor([s.weight_decay for s in settings])
    first = {name: torch.zeros_like(p) for name, p in parameters.items()}
    second = {name: torch.zeros_like(p) for name, p in parameters.items()}
    generator = torch.Generator().manual_seed(7)
    rounds = 1 if batch is None else x.shape[1] // batch
    rows = torch.arange(x.shape[1]).expand(len(models), -1)

    def one(p: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        outputs = torch.func.functional_call(models[0], p, (inputs,))
        if loss == "cross-entropy":
            return functional.cross_entropy(outputs, targets)
        return (outputs - torch.eye(outputs.shape[-1])[targets]).square().mean()

    gradient = torch.func.vmap(torch.func.grad(one))
    observed = {0, steps, *(round(10 ** (i / PER_DECADE)) for i in range(PER_DECADE * 5 + 1))}
    order = rows
    for step in range(steps + 1):
        if step in observed:
            yield step, {name: p.detach().clone() for name, p in parameters.items()}
        turn = step % rounds
        if batch is not None and turn == 0:
            order = torch.rand(rows.shape, generator=generator).argsort(1)
        now = order if batch is None else order[:, turn * batch : (turn + 1) * batch]
        members = torch.arange(len(models))[:, None]
        gradients = gradient({n: p.detach() for n, p in parameters.items()}, x[members, now], y[members, now])
        with torch.no_grad():
            for name, p in parameters.items():
                shape = (-1, *[1] * (p.ndim - 1))
                g, m, v = gradients[name], first[name], second[name]
                m.mul_(0.9).add_(g, alpha=0.1)
                v.mul_(0.999).addcmul_(g, g, value=0.001)
                p.mul_(1 - (rate * decay).view(shape))
                corrected = (m / (1 - 0.9 ** (step + 1))) / ((v / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
                p.sub_(rate.view(shape) * corrected)


def truth(step: int, fitted: float | None, accuracy: tuple[np.ndarray, np.ndarray], *, generalises: bool) -> str | None:
    """Return the phase that the test accuracy tells, or None between two phases and before the fit."""
    if fitted is None or step < fitted:
        return None
    if not generalises:
        return "memorising"
    steps, values = accuracy
    start, top = float(values[steps >= fitted][0]), float(values.max())
    now, best = float(values[steps == step][0]), float(values[steps <= step].max())
    if top - start < 0.1:
        return "generalising"  # it was there with the fit
    if best >= start + 0.3 * (top - start) and now <= best - 0.04:
        return "collapsing"
    if now >= start + 0.3 * (top - start):
        return "generalising"
    return "memorising" if now <= start + 0.1 * (top - start) else None


def judged(scalars: dict[str, tuple[np.ndarray, np.ndarray]], *, generalises: bool) -> Counter[tuple[str, str]]:
    """Count (what happened, what was told) over the observations of one training."""
    steps, accuracy = scalars["train/accuracy"]
    fitted = float(steps[np.argmax(accuracy >= 0.95)]) if (accuracy >= 0.95).any() else None
    found: Counter[tuple[str, str]] = Counter()
    for told in history(scalars):
        happened = truth(int(told.step or 0), fitted, scalars["test/accuracy"], generalises=generalises)
        if happened is not None:
            found[happened, told.phase] += 1
    return found


def system(name: str, images_steps: int, addition_steps: int) -> dict[str, Counter[tuple[str, str]]]:
    """Return the counts of a system on the seeds of choice and on those of judgement."""
    settings = IMAGES if name == "images" else ADDITION
    members = [(setting, seed) for setting in settings for seed in SEEDS]
    loss, batch, steps = "cross-entropy", None, addition_steps
    if name == "images":
        loss, batch, steps = "mean-squared-error", 50, images_steps
        whole = load_mnist("test")
        digits, labels = torch.from_numpy(whole.inputs).float() / 255, torch.from_numpy(whole.targets)
        pictures = functional.avg_pool2d(digits[:, None, 2:26, 2:26], 3).flatten(1)
        data = [images(setting, seed, pictures, labels) for setting, seed in members]
    else:
        data = [addition(setting, seed) for setting, seed in members]
    models: list[nn.Module] = []
    for _, seed in members:
        torch.manual_seed(seed)
        models.append(perceptron() if name == "images" else Adder(31))
    logs = [defaultdict(list) for _ in members]
    for step, stacked in trained(models, data, [setting for setting, _ in members], steps, batch, loss):
        for index, (log, model, (x, y, held, answers)) in enumerate(zip(logs, models, data, strict=True)):
            state = {key: value[index] for key, value in stacked.items()}
            model.load_state_dict(state)
            snapshot = gs.Snapshot.of(model, step=step, train=(x, y), test=(held, answers), loss=loss)
            for measure in MEASURES:
                for key, module, value in gs.evaluate(measure, snapshot).rows:
                    log[key if module is None else f"{key}@{module}"].append((step, value))
    counts = {"chosen on": Counter(), "judged on": Counter()}
    for (setting, seed), log in zip(members, logs, strict=True):
        scalars = {key: (np.array([s for s, _ in rows]), np.array([v for _, v in rows])) for key, rows in log.items()}
        counts["chosen on" if seed >= 100 else "judged on"] += judged(scalars, generalises=setting.generalises)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images-steps", type=int, default=100_000)
    parser.add_argument("--addition-steps", type=int, default=14_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    for name in ("images", "addition"):
        for seeds, counts in system(name, given.images_steps, given.addition_steps).items():
            table = {f"{happened} told {told}": count for (happened, told), count in sorted(counts.items())}
            print(json.dumps({"system": name, "seeds": seeds, **table}), flush=True)


if __name__ == "__main__":
    main()
