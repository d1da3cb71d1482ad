"""Local complexity, ours against a loop over points and against batches of whole vertices, counts checked to be equal.

The setting is that of the paper on MNIST: a perceptron of three hidden layers of 200, 1000 points, 25 directions. The
loop sends the 50 vertices of a point through the module and keeps what hooks see; the batched way does that with 250
points at once, as the authors' code does. Both count from the signs of what was kept, in float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from grokscope.bench.alternation import Comparison, alternate, median_and_range
from grokscope.linalg.cross_polytope import orthonormal_frame
from grokscope.linalg.perceptron_complexity import Layer, perceptron_cuts

WIDTHS = (784, 200, 200, 200, 10)
POINTS = 1000
DIRECTIONS = 25
RADII = (0.005, 0.05, 0.5)
BATCH = 250


def perceptron(widths: Sequence[int], seed: int = 0) -> nn.Sequential:
    """Return a perceptron of rectifiers in float64, at PyTorch's initialisation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*layers[:-1]).double()


def hooked_counts(net: nn.Sequential, points: Tensor, frame: Tensor, radius: float, *, batch: int) -> Tensor:
    """Return cuts (n, hidden layers) by hooks that keep the pre-activations of all vertices of ``batch`` points.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).double()
        >>> net[0].load_state_dict({"weight": torch.ones(2, 1), "bias": torch.tensor([-0.1, 1.0])})
        <All keys matched successfully>
        >>> one = torch.ones(1, 1, dtype=torch.float64)
        >>> hooked_counts(net, 0 * one, one, 0.2, batch=1).tolist()
        [[1.0]]
    """
    kept: dict[int, Tensor] = {}
    hidden = [layer for layer in net if isinstance(layer, nn.Linear)][:-1]
    handles = [
        layer.register_forward_hook(lambda _, __, output, at=at: kept.update({at: output}))
        for at, layer in enumerate(hidden)
    ]
    found = []
    try:
        with torch.no_grad():
            for part in points.split(batch):
                offsets = radius * torch.cat([frame, -frame])
                net((part[:, None] + offsets).flatten(0, 1))
                signs = [kept[at].view(len(part), len(offsets), -1).sign() for at in range(len(hidden))]
                found.append(torch.stack([(sign.amin(1) != sign.amax(1)).sum(1) for sign in signs], 1))
    finally:
        for handle in handles:
            handle.remove()
    return torch.cat(found).double()


def our_counts(
    net: nn.Sequential, points: Tensor, frame: Tensor, radii: Sequence[float], arithmetic: torch.dtype = torch.float64
) -> list[Tensor]:
    """Return the same, for each radius."""
    linear = [layer for layer in net if isinstance(layer, nn.Linear)][:-1]
    layers = [Layer(layer.weight.detach(), layer.bias.detach()) for layer in linear]
    found = perceptron_cuts(layers, points, frame, radii, arithmetic=arithmetic)
    return [torch.stack([cuts.counts for cuts in one], 1) for one in found]


def benchmark(*, device: str = "cpu", threads: Sequence[int] = (1, 2), rounds: int = 5) -> list[Comparison]:
    """Return loops and batches against ours, in float64 and in float32, on one number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads[0])
    try:
        return _all(device, f"{device}, {threads[0]} thread{'s' if threads[0] > 1 else ''}", rounds)
    finally:
        torch.set_num_threads(before)


def _all(device: str, where: str, rounds: int) -> list[Comparison]:
    generator = torch.Generator().manual_seed(0)
    net = perceptron(WIDTHS).to(device)
    points = torch.rand(POINTS, WIDTHS[0], generator=generator, dtype=torch.float64).to(device)
    frame = orthonormal_frame(WIDTHS[0], DIRECTIONS, generator).to(device)
    single = torch.float32
    first = RADII[0]
    rows = [
        _compare(
            f"a loop over points, r = {first:g}",
            lambda: [hooked_counts(net, points, frame, first, batch=1)],
            {
                "float64": lambda: our_counts(net, points, frame, [first]),
                "float32": lambda: our_counts(net, points, frame, [first], single),
            },
            (where, device, rounds),
        )
    ]
    for radii in (*((radius,) for radius in RADII), RADII):
        name = f"r = {radii[0]:g}" if len(radii) == 1 else f"{len(radii)} radii at once"
        rows.append(
            _compare(
                f"batches of {BATCH} points, {name}",
                lambda radii=radii: [hooked_counts(net, points, frame, radius, batch=BATCH) for radius in radii],
                {
                    "float64": lambda radii=radii: our_counts(net, points, frame, radii),
                    "float32": lambda radii=radii: our_counts(net, points, frame, radii, single),
                },
                (where, device, rounds),
            )
        )
    return [row for pair in rows for row in pair]


def _compare(
    name: str,
    plain: Callable[[], list[Tensor]],
    ours: dict[str, Callable[[], list[Tensor]]],
    setting: tuple[str, str, int],
) -> list[Comparison]:
    where, device, rounds = setting
    expected = plain()
    differences = {
        key: sum(float((one - other).abs().sum()) for one, other in zip(way(), expected, strict=True))
        for key, way in ours.items()
    }
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    spent = alternate({"plain": plain, **ours}, rounds=rounds, wait=wait)
    baseline, baseline_range = median_and_range(spent["plain"], 1000)
    found = []
    for key in ours:
        median, spread = median_and_range(spent[key], 1000)
        details = {
            "baseline_range": baseline_range,
            "our_range": spread,
            "points": POINTS,
            "cuts_a_point": [round(float(counts.sum(1).mean()), 3) for counts in expected],
            "counts_that_differ": differences[key],
        }
        label = f"local complexity, {name}, ours in {key} ({where})"
        found.append(Comparison(label, baseline, median, "ms", details))
    return found
