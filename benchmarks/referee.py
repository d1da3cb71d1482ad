"""Ours against whole calls of WeightWatcher and curvlinops, in alternation in one process on one thread.

Run: .venv-referee/bin/python benchmarks/referee.py [ROUNDS]
The environment is that of ``make referee``. 5 rounds take about three minutes.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import sys
import warnings
from collections.abc import Callable

import torch
from curvlinops import HessianLinearOperator
from scipy.sparse.linalg import eigsh
from threadpoolctl import threadpool_limits
from torch import nn
from torch.func import functional_call

from grokscope.bench.alternation import alternate, median_and_range
from grokscope.measures.base import evaluate
from grokscope.measures.curvature import top_eigenvalues
from grokscope.snapshot import Snapshot

with contextlib.redirect_stdout(io.StringIO()):
    import weightwatcher

SIZES = (64, 128, 256, 512, 1024)
WEIGHTS = ("htsr", "spectra", "norms")
"""What ``analyze()`` tells of a layer: the tail, norms, ranks, entropy, the determinant tail."""
SHUFFLED = (*WEIGHTS, "correlation_traps")
"""What ``analyze(randomize=True)`` adds: fits of shuffles, 2 or (below 100 eigenvalues) 6 there, 3 here."""


def mlp(*widths: int) -> nn.Sequential:
    torch.manual_seed(sum(widths))
    layers = [layer for pair in itertools.pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def compare(name: str, ways: dict[str, Callable[[], float]], rounds: int) -> None:
    theirs, ours = (way() for way in ways.values())
    spent = alternate(ways, rounds=rounds)
    (their_time, their_range), (our_time, our_range) = (median_and_range(spent[way], 1000) for way in ways)
    spread = " ".join(f"[{low:.1f}, {high:.1f}]" for low, high in (their_range, our_range))
    agree = abs(theirs - ours) / abs(theirs)
    print(f"{name}: {their_time:.1f} ms, ours {our_time:.1f} ms, {their_time / our_time:.1f} times {spread}", end=" ")
    print(f"(the numbers differ by {agree:.0e})", flush=True)


def analysed(model: nn.Module, *, randomize: bool) -> dict[str, Callable[[], float]]:
    """Return both ways to the mean α of a model."""

    def theirs() -> float:
        return float(weightwatcher.WeightWatcher(model=model).analyze(randomize=randomize)["alpha"].mean())

    def ours() -> float:
        snapshot = Snapshot.of(model)
        readings = [evaluate(measure, snapshot) for measure in (SHUFFLED if randomize else WEIGHTS)]
        return next(value for key, _, value in readings[0].rows if key == "htsr/mean_alpha")

    return {"theirs": theirs, "ours": ours}


def sharpest(model: nn.Module, rows: int) -> dict[str, Callable[[], float]]:
    """Return both ways to the largest eigenvalue of the Hessian, in float64, to a residual of 1e-6."""
    model = model.double()
    inputs = torch.randn(rows, model[0].in_features, dtype=torch.float64)  # type: ignore[arg-type]
    targets, loss = torch.arange(rows) % 10, nn.CrossEntropyLoss()
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def theirs() -> float:
        operator = HessianLinearOperator(
            model, loss, list(model.parameters()), [(inputs, targets)], check_deterministic=False
        )
        return float(eigsh(operator.to_scipy(), k=1, which="LA", tol=1e-6, return_eigenvectors=False)[0])

    def ours() -> float:
        return float(top_eigenvalues(lambda p: loss(functional_call(model, p, (inputs,)), targets), parameters, 1)[0])

    return {"theirs": theirs, "ours": ours}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    logging.getLogger("weightwatcher").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with threadpool_limits(1):
        models = {"MLP 784-200-200-10": mlp(784, 200, 200, 10)}
        models |= {f"matrix {size} x {size}": mlp(size, size) for size in SIZES}
        for randomize in (False, True):
            for name, model in models.items():
                compare(f"analyze(randomize={randomize}), {name}", analysed(model, randomize=randomize), rounds)
        for widths, rows in (((64, 64, 64, 10), 200), ((784, 200, 200, 10), 256)):
            name = f"top eigenvalue, MLP {'-'.join(map(str, widths))}, {rows} rows"
            compare(name, sharpest(mlp(*widths), rows), rounds)


if __name__ == "__main__":
    main()
