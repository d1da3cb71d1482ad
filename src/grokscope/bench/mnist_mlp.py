"""A step of the 784-200-200-10 perceptron on batches of 200 of 1000 images: ours, the usual loop, the bare products.

The usual loop is a ``DataLoader``, autograd, an AdamW that goes over the parameters one by one and operation by
operation, and a loss read back each step. It draws the same batches, so that both take the same steps. The bare
products are the eight matrix products of a step (three forward, three by weights, two by activations) and the fused
optimizer: nothing that trains this network by dense products is faster. The images are drawn; their values do not
matter here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

from grokscope.bench.alternation import Comparison, alternate, median_and_range
from grokscope.bench.ensemble import Training
from grokscope.execution.batches import as_members
from grokscope.minibatches import Minibatches
from grokscope.numerics import applied
from grokscope.spec import Spec, override, resolve

TREE: dict[str, Any] = {
    "task": {
        "name": "images",
        "dataset": "synthetic",
        "train_examples": 1000,
        "test_examples": 10,
        "batch_size": 200,
        "batch_order": "shuffled",
    },
    "model": {"name": "mlp", "widths": [200, 200], "initial_scale": 8.0},
    "learner": {"name": "gradient", "loss": "mean-squared-error"},
    "optimizer": {"name": "adamw", "learning_rate": 5e-4, "weight_decay": 0.01},
}
SEEDS = 3
STEPS = 100
"""In one turn of each."""
AGREE_STEPS = 20


class Order(Sampler[int]):
    """The rows of one pass after the other, as the task orders them."""

    def __init__(self, stream: Minibatches) -> None:
        super().__init__()
        self.stream, self.passes = stream, 0

    def __len__(self) -> int:
        return len(self.stream.train)

    def __iter__(self) -> Iterator[int]:
        first = self.passes * self.stream.updates
        self.passes += 1
        yield from itertools.chain(*(self.stream.rows(first + place).tolist() for place in range(self.stream.updates)))


class OneByOne(Dataset[tuple[Tensor, Tensor]]):
    """Images as bytes, each turned into numbers when it is asked for, as a transform does."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.images, self.targets = (inputs * 255).round().to(torch.uint8), targets

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index].float().div(255), self.targets[index]


class UsualLoop:
    """The same training with torch's own parts; a call of ``advance`` takes n steps."""

    def __init__(self, spec: Spec, *, one_by_one: bool = False) -> None:
        self.stream: Any = spec.task.build(spec.seed).stream
        settings: Any = spec.optimizer
        start = Training([spec]).parameters()
        inputs, targets = self.stream.train.inputs.flatten(1), self.stream.train.targets
        sizes = _shapes(spec)
        layers = [nn.Linear(fan_in, fan_out) for fan_out, fan_in in sizes]
        for number, layer in enumerate(layers):
            for name, parameter in layer.named_parameters():
                parameter.data.copy_(start[f"layers.{number}.{name}"])
        parts = [part for layer in layers for part in (layer, nn.ReLU())]
        self.module, self.device = nn.Sequential(*parts[:-1]).to(spec.numerics.device), spec.numerics.device
        dataset = OneByOne(inputs, targets) if one_by_one else TensorDataset(inputs, targets)
        self.loader: DataLoader[Any] = DataLoader(dataset, self.stream.size, sampler=Order(self.stream))
        self.optimizer = torch.optim.AdamW(
            self.module.parameters(),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
            foreach=False,
            fused=False,
        )
        self.one_hot = torch.eye(sizes[-1][0], device=self.device)
        self.criterion = nn.MSELoss()
        self.losses: list[float] = []

    def advance(self, steps: int) -> None:
        """Take ``steps`` steps, whole passes."""
        for _ in range(steps // self.stream.updates):
            for inputs, targets in self.loader:
                self.optimizer.zero_grad()
                loss = self.criterion(self.module(inputs.to(self.device)), self.one_hot[targets.to(self.device)])
                loss.backward()
                self.optimizer.step()
                self.losses.append(loss.item())


def bare(spec: Spec, members: int) -> Callable[[int], None]:
    """Return a function that makes n times the products of a step of all members, and updates the parameters."""
    layers, device = _shapes(spec), spec.numerics.device
    size: int = spec.task.batch_size  # type: ignore[attr-defined]
    draw = torch.Generator().manual_seed(0)

    def some(*shape: int) -> Tensor:
        return torch.randn(members, *shape, generator=draw).to(device)

    weights = [some(fan_out, fan_in) / fan_in**0.5 for fan_out, fan_in in layers]
    before = [some(size, fan_in).mT for _, fan_in in layers]
    slopes = [some(size, fan_out).mT for fan_out, _ in layers]
    parameters = [*weights, *(some(fan_out) for fan_out, _ in layers)]
    gradients = [1e-3 * torch.ones_like(one) for one in parameters]
    moments = [[torch.zeros_like(one) for one in parameters] for _ in range(2)]
    counts = [torch.tensor(1.0, device=device)] * len(parameters)
    rates: dict[str, Any] = {"lr": 1e-4, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.01, "eps": 1e-8}
    update: Any = getattr(torch, "_fused_adamw_")  # noqa: B009 -- the name is not exported, and this says so

    def advance(steps: int) -> None:
        for _ in range(steps):
            for number, weight in enumerate(weights):
                torch.bmm(weight, before[number])
                torch.bmm(slopes[number], before[number].mT)
                if number:
                    torch.bmm(weight.mT, slopes[number])
            update(parameters, gradients, *moments, [], counts, **rates, amsgrad=False, maximize=False)

    return advance


def benchmark(*, device: str = "cpu", threads: Sequence[int] = (1, 2), rounds: int = 5) -> list[Comparison]:
    """Return, for each number of threads and 1 and :data:`SEEDS` members, what a step of one member costs."""
    found: list[Comparison] = []
    for count in threads if device == "cpu" else threads[:1]:
        path = "graph" if device.startswith("cuda") else "auto"
        changes = {"numerics.threads": count, "numerics.device": device, "numerics.path": path}
        specs = [resolve(override(TREE, changes), seed=seed) for seed in range(SEEDS)]
        with applied(specs[0].numerics):
            found += _compare(specs, rounds)
    return found


def _compare(specs: Sequence[Spec], rounds: int) -> list[Comparison]:
    numerics = specs[0].numerics
    usual, notebook = UsualLoop(specs[0]), UsualLoop(specs[0], one_by_one=True)
    alone, together = Training(specs[:1]), Training(as_members(specs))
    difference = _difference(usual, alone, together)
    bare_alone, bare_together = bare(specs[0], 1), bare(specs[0], len(specs))
    spent = alternate(
        {
            "usual": lambda: usual.advance(STEPS),
            "notebook": lambda: notebook.advance(STEPS),
            "alone": lambda: alone.advance(STEPS),
            "together": lambda: together.advance(STEPS),
            "bare alone": lambda: bare_alone(STEPS),
            "bare together": lambda: bare_together(STEPS),
        },
        rounds=rounds,
        wait=torch.cuda.synchronize if numerics.device.startswith("cuda") else (lambda: None),
    )
    where = f"{numerics.device}, {numerics.threads} thread{'s' if numerics.threads > 1 else ''}"
    found: list[Comparison] = []
    for name, members in (("alone", 1), ("together", len(specs))):
        ours, our_range = median_and_range(spent[name], 1000 / STEPS / members)
        for baseline, what, shared in (
            ("usual", "the usual loop", 1),
            ("notebook", "images read one by one", 1),
            (f"bare {name}", "the bare products", members),
        ):
            theirs, their_range = median_and_range(spent[baseline], 1000 / STEPS / shared)
            found.append(
                Comparison(
                    f"MNIST perceptron, a step of one member of {members}, against {what} ({where})",
                    theirs,
                    ours,
                    "ms",
                    {
                        "steps_per_second": 1000 / ours,
                        "hours_for_1e7_steps": ours * 1e7 / 3.6e6,
                        "baseline_range": their_range,
                        "our_range": our_range,
                        "parameter_difference": difference,
                        "rounds": rounds,
                    },
                )
            )
    return found


def _difference(usual: UsualLoop, alone: Training, together: Training) -> float:
    """Return how far parameters are apart after some steps, relative to the largest: all must do the same."""
    for way in (usual, alone, together):
        way.advance(AGREE_STEPS)
    linear = [layer for layer in usual.module if isinstance(layer, nn.Linear)]
    theirs = {
        f"layers.{number}.{name}": parameter.detach()
        for number, layer in enumerate(linear)
        for name, parameter in layer.named_parameters()
    }
    scale = max(float(one.abs().max()) for one in theirs.values())
    return max(
        float((one - mine[name]).abs().max()) / scale
        for mine in (alone.parameters(), together.parameters())
        for name, one in theirs.items()
    )


def _shapes(spec: Spec) -> list[tuple[int, int]]:
    """Return (fan-out, fan-in) of each layer."""
    start = Training([spec]).parameters()
    return [(one.shape[0], one.shape[1]) for name, one in start.items() if name.endswith("weight")]
