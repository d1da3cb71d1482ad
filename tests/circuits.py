"""A run with a circuit of closed form: circles that grow out of noise, cosines of sums, and curves to match."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

KEYS = (3, 7, 8)
STEPS = [0, 1, 2, 5, 10, 20, 50, *range(100, 5001, 100)]
MAPS = [0, 200, 1000, 2000, 5000]


def growth(step: float) -> float:
    """From 0 to 1, half at step 1500."""
    return 1 / (1 + np.exp(-(step - 1500) / 300))


class CircuitRun:
    """What the figures read of a run: modulus p, K key frequencies, ``heads`` heads and 8 neurons."""

    status = "finished"
    last_step = STEPS[-1]
    wall_seconds = 12.0

    def __init__(
        self, seed: int = 0, modulus: int = 53, keys: tuple[int, ...] = KEYS, heads: int = 4, **spec: Any
    ) -> None:
        self.directory = Path(f"runs/nanda2023/modular-addition/cpu-s{seed}-1a2b3c4d")
        self.modulus, self.keys, self.heads = modulus, keys, heads
        self.noise = np.random.default_rng(seed)
        self.seed = seed
        self.spec = {
            "paper": "nanda2023", "experiment": "modular-addition", "scale": "cpu", "seed": {"base": seed},
            "task": {"name": "modular-addition", "modulus": modulus, "train_fraction": 0.3},
            "optimizer": {"weight_decay": 1.0}, **spec,
        }  # fmt: skip

    def _curves(self) -> dict[tuple[str, str | None], np.ndarray]:
        steps = np.array(STEPS, float)
        late, mid = np.array([growth(step) for step in steps]), 1 / (1 + np.exp(-(steps - 600 - 200 * self.seed) / 150))
        curves: dict[tuple[str, str | None], np.ndarray] = {
            ("train/accuracy", None): 1 - np.exp(-steps / 60),
            ("test/accuracy", None): 0.02 + 0.97 * late,
            ("leak_free/accuracy", None): 0.02 + 0.96 * late**1.2,
            ("fourier/restricted_accuracy", None): 0.02 + 0.98 * mid,
            ("fourier/key_frequencies", None): np.full(len(steps), float(len(self.keys))),
            ("train/loss", None): 4 * np.exp(-steps / 60) + 1e-7,
            ("test/loss", None): (4 + 3 * (1 - np.exp(-steps / 100))) * (1 - late) + 0.02,
            ("fourier/restricted_loss", None): 4 * (1 - mid) + 1e-5,
            ("fourier/excluded_loss", None): 3 * np.exp(-steps / 80) + 1 + 8 * mid,
            ("weights/sum_of_squares", None): 900 + 600 * (1 - np.exp(-steps / 100)) - 900 * late,
            ("gini/embedding", None): 0.05 + 0.1 * mid + 0.4 * late,
            ("gini/neuron_to_logit", None): 0.05 + 0.2 * mid + 0.6 * late,
        }
        names = ("W_E", "W_pos", "W_K", "W_Q", "W_V", "W_O", "W_in", "b_in", "W_out", "b_out", "W_U")
        for number, name in enumerate(names):
            curves["weights/tensor_sum_of_squares", name] = curves["weights/sum_of_squares", None] / (number + 2) ** 2
        return curves

    def series(self, key, module=None):
        return np.array(STEPS), self._curves()[key, module]

    def has(self, key, module=None):
        return (key, module) in self._curves()

    def modules(self, key):
        return [module for name, module in self._curves() if name == key]

    def events(self, kind=None):
        return []

    def arrays(self):
        return ["circles.hindsight", "circuit", "fourier", "fourier.hindsight", "maps"]

    def array_steps(self, name):
        return MAPS if name in ("maps", "circuit") else STEPS

    def whole(self):
        return self

    def references(self):
        return ["circles", "fourier"]

    def reference(self, name):
        return {"key_frequencies": np.array(self.keys)}

    def array(self, name, step):
        return getattr(self, f"_{name.replace('.', '_')}")(growth(step), np.random.default_rng([self.seed, step]))

    def _angles(self) -> np.ndarray:
        return 2 * np.pi * np.outer(self.keys, np.arange(self.modulus)) / self.modulus

    def _circles_hindsight(self, share, noise):
        circle = np.stack([np.cos(self._angles()), np.sin(self._angles())], -1)
        return {"points": share * circle + (1 - share) * 0.3 * noise.standard_normal(circle.shape)}

    def _fourier(self, share, noise):
        norms = noise.uniform(0.5, 1, self.modulus // 2)
        norms[np.array(self.keys) - 1] += 12 * share
        return {"spectrum_neuron_to_logit": norms}

    def _fourier_hindsight(self, share, noise):
        losses = 1e-7 + 4 * (1 - share) ** 8 * noise.uniform(0.9, 1, self.modulus // 2)
        losses[np.array(self.keys) - 1] += share
        return {"excluded_single": losses}

    def _circuit(self, share, noise):
        count = 256
        shares = np.clip(0.1 + 0.85 * share + 0.05 * noise.standard_normal(count), 0, 1)
        found = np.where(noise.random(count) < share, noise.choice(self.keys, count), noise.integers(1, 27, count))
        values = np.sort(noise.uniform(0.2, 3, self.modulus))[::-1]
        values[: 2 * len(self.keys)] += 12 * share
        return {
            "neuron_frequency": found, "neuron_variance": shares, "neuron_to_logit_singular_values": values,
        }  # fmt: skip

    def _maps(self, share, noise):
        p = self.modulus
        spectrum = noise.uniform(0.01, 1, (p, p))
        for key in self.keys:
            spectrum[2 * key - 1 : 2 * key + 1, 2 * key - 1 : 2 * key + 1] += 300 * share
        angles = self._angles()
        a, b = angles[:, :, None], angles[:, None, :]
        pick = np.arange(self.heads) % len(self.keys)
        attention = 0.5 + 0.45 * share * np.sin(a - b)[pick] * 0.9
        pick = np.arange(8) % len(self.keys)
        neurons = np.maximum(
            0, share * (np.cos(a) + np.cos(b) + 0.5 * np.cos(a + b))[pick] + noise.uniform(0, 0.1, (8, p, p))
        )
        return {
            "logit_spectrum": spectrum, "attention": attention, "neurons": neurons,
            "neuron_index": np.arange(8) * 17, "neuron_best_frequency": np.array(self.keys)[pick],
        }  # fmt: skip
