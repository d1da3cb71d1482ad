"""Our paths against the plain baseline, in alternation in one process: what ``grokscope bench`` runs."""

from __future__ import annotations

BENCHMARKS: dict[str, tuple[str, str]] = {
    "modular-addition": (
        "grokscope.bench.modular_addition:benchmark",
        "training of nanda2023/modular-addition (p = 113) against the loop that evaluates all positions and pairs",
    ),
    "ensemble": (
        "grokscope.bench.ensemble:benchmark",
        "a grid of initial scales, weight decays and seeds as one computation against its cells one by one",
    ),
    "mnist-mlp": (
        "grokscope.bench.mnist_mlp:benchmark",
        "minibatch training of a perceptron on images against a DataLoader loop, and against its bare products",
    ),
    "local-complexity": (
        "grokscope.bench.local_complexity:benchmark",
        "local complexity of a perceptron against a loop over points, and against batches of all their vertices",
    ),
    "spectra": (
        "grokscope.bench.spectra:benchmark",
        "power-law fits against a loop over xmin, whole layers against their bare SVD, Fourier losses against a loop",
    ),
}
"""Name -> (its function, what it compares). A function takes (devices, rounds) and returns rows; see ``Comparison``."""
