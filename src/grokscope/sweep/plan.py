"""A grid of settings and seeds as cells, each one run; imports no torch."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokscope.errors import UsageError
from grokscope.execution.place import Place, find_place
from grokscope.execution.plan import document, experiment_spec
from grokscope.spec import Spec, parse_value
from grokscope.store import atomic_write


@dataclass(frozen=True)
class Cell:
    """One run of a sweep: the grid values it stands for, its seed and its spec."""

    values: Mapping[str, Any]
    seed: int
    spec: Spec

    def place(self, root: Path) -> Place:
        """Return where its run is or goes."""
        return find_place([self.spec], root)


@dataclass(frozen=True)
class Sweep:
    """The cells of a sweep, and the directory that holds their spec files."""

    name: str
    grid: Mapping[str, Sequence[Any]]
    cells: tuple[Cell, ...]

    @property
    def identity(self) -> str:
        """Eight hexadecimal digits that the same grid, seeds and experiment always give."""
        text = json.dumps([document(cell.spec) for cell in self.cells], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def directory(self, root: Path) -> Path:
        """Return ``<root>/sweeps/<experiment>-<identity>``."""
        return root / "sweeps" / f"{self.name.replace('/', '-')}-{self.identity}"

    def write_cells(self, root: Path) -> list[Path]:
        """Write one spec file a cell, to be run by ``grokscope run FILE``, and return their paths."""
        folder = self.directory(root)
        paths = []
        for index, cell in enumerate(self.cells):
            path = folder / f"cell-{index:04d}.json"
            atomic_write(path, json.dumps(document(cell.spec), indent=1).encode())
            paths.append(path)
        return paths


def parse_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Return the grid that ``KEY=V1,V2`` arguments write.

    Raises:
        UsageError: an argument is not of that form, has no values, or repeats a key or a value.

    Example:
        >>> parse_grid(["optimizer.weight_decay=0,0.5,1"])
        {'optimizer.weight_decay': [0, 0.5, 1]}
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        words = [word for word in values.split(",") if word]
        if not equals or not key or not words:
            raise UsageError(f"{text!r} is no line of a grid: write KEY=V1,V2, as in optimizer.weight_decay=0,0.5,1.")
        if key in grid:
            raise UsageError(f"the grid names {key} twice: give all its values at once.")
        grid[key] = [parse_value(word) for word in words]
        if len(set(map(repr, grid[key]))) < len(words):
            raise UsageError(f"the grid gives {key} a value twice ({values}): give each once.")
    return grid


def plan(
    name: str,
    grid: Mapping[str, Sequence[Any]],
    *,
    scale: str = "cpu",
    seeds: Sequence[int] = (0,),
    changes: Mapping[str, Any] | None = None,
) -> Sweep:
    """Return the sweep of an experiment: every combination of the grid's values, for every seed.

    Every spec is resolved here, so that a wrong key or value is told before anything is trained.
    """
    cells = []
    for combination in itertools.product(*grid.values()):
        values = dict(zip(grid, combination, strict=True))
        for seed in seeds:
            spec = experiment_spec(name, scale=scale, seed=seed, changes={**(changes or {}), **values})
            cells.append(Cell(values, seed, spec))
    return Sweep(name, dict(grid), tuple(cells))
