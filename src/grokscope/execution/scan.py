"""``scan``: the measures of weights on a file of weights, matrix by matrix, with one of them in memory at a time."""

from __future__ import annotations

import fnmatch
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import DataError, GrokscopeError, UsageError, nearest
from grokscope.execution.scan_result import Layer, Scan, number_of

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.matrices import WeightMatrix
    from grokscope.measures.base import Measure
    from grokscope.snapshot import Snapshot
    from grokscope.weight_files import WeightFile

MEASURES = ("htsr", "spectra", "marchenko_pastur", "norms", "weight_entropy")
TRAPS = "correlation_traps"
"""Measures taken unless others are named; the last needs further spectra, of shuffled weights."""

LARGEST = 2**28
"""Entries of the largest matrix that is measured unless a scan says otherwise: 2.1 GB in float64."""

LEAST = 10
"""Eigenvalues that the fits of tail and bulk need at least, as the measures have it."""

SQUARABLE = (1e-150, 1e150)
"""Between these the largest entry of a matrix has to lie for its eigenvalues to be numbers of float64."""

OF_ALL = frozenset({"norms/share"})
"""Keys that compare a matrix with all parameters, which are never in memory together."""


Tell = Callable[[int, int, str], None]
"""Told before each tensor: how many are done, how many there are, its name."""


def scan(
    path: Path | str,
    measures: Sequence[str] | None = None,
    *,
    layers: str | None = None,
    largest: int = LARGEST,
    equal_once: bool = False,
    device: str = "cpu",
    spectra: bool = False,
    tell: Tell | None = None,
) -> Scan:
    """Return what measures of weights give for every weight matrix in a file.

    Tensors are read one at a time, so that a file of any size needs memory for its largest matrix. What a
    training of ours logged at a checkpoint is what a scan of the checkpoint gives.

    Args:
        path: a file of weights, an index of shards, a directory with one of them, or a run (its last checkpoint).
        measures: names of measures that need nothing but weights, with options or without; :data:`MEASURES` and
            :data:`TRAPS` if None.
        layers: of these names only: a pattern (``*.mlp.*``), or a part of the name.
        largest: matrices with more entries are listed and not measured.
        equal_once: measure tensors with equal bytes once, as if they were tied.
        device: where the numbers are computed.
        spectra: also keep what a page draws of each spectrum.
        tell: told of each tensor in turn.

    Raises:
        UsageError: there is nothing at the path, no such measure, one that needs more than weights, or no such layer.
        DataError: the file cannot be read, or holds no weight matrix.
    """
    chosen = weight_measures((*MEASURES, TRAPS) if measures is None else measures)
    _check_device(device)
    file, seed = opened(Path(path))
    reader = _Reader(file, chosen, seed=seed, largest=largest, device=device, spectra=spectra)
    names, vectors = reader.names(layers)
    found: list[Layer] = []
    first: dict[bytes, int] = {}
    for done, name in enumerate(names):
        if tell is not None:
            tell(done, len(names), name)
        here = len(found)
        tensor, problem = reader.read(name)
        if tensor is not None and equal_once and (same := first.setdefault(_digest(tensor), here)) != here:
            for place in range(same, same + reader.parts[same]):
                found[place] = _tied(found[place], name)
            continue
        found += [problem] if tensor is None else reader.layers(name, tensor)
        reader.parts[here] = len(found) - here
    if tell is not None:
        tell(len(names), len(names), "")
    if not found:
        raise DataError(f"{file.path} holds no weight matrix: all it has are vectors and biases ({vectors}).")
    notes = [*file.notes]
    if layers is None and vectors:
        notes.append(f"Vectors and biases that were passed over: {vectors}.")
    return Scan(file.path, file.format, {measure.name: measure.version for measure in chosen}, found, notes)


def weight_measures(names: Sequence[str]) -> list[Measure]:
    """Return the measures of these names.

    Raises:
        UsageError: none is named, one is unknown, or one needs more than weights.
    """
    from grokscope.measures.base import named

    if not names:
        raise UsageError(f"name at least one measure, as in {','.join(MEASURES)}.")
    chosen = [named(name) for name in dict.fromkeys(names)]
    for measure in chosen:
        if measure.needs or measure.compute is None or measure.kind != "point":
            raise UsageError(
                f"{measure.name} needs more than weights: a scan takes {', '.join((*MEASURES, TRAPS))} and the like."
            )
    return chosen


def opened(path: Path) -> tuple[WeightFile, int]:
    """Return the file that a path means, and the seed that its run's measures draw from (0 of files from elsewhere)."""
    from grokscope.execution.posthoc import checkpoints_of, usable_steps
    from grokscope.store import StoredRun
    from grokscope.store.layout import SPEC
    from grokscope.weight_files import open_weights
    from grokscope.weight_files.safetensors_file import SafetensorsFile

    if (path / SPEC).is_file():
        from grokscope.execution.place import place_of

        run = StoredRun(path)
        steps = usable_steps(run)
        if not steps:
            raise DataError(f"{path} is a run without a checkpoint: resume it, or give a file of weights.")
        entries = {entry.step: entry.path for entry in checkpoints_of(run).entries()}
        members = [member.resolve() for member in place_of(run)[1].members]
        return SafetensorsFile(entries[steps[-1]], members.index(path.resolve())), _seed(run)
    home = path.parent.parent
    if path.parent.name == "checkpoints" and (home / SPEC).is_file():
        return open_weights(path), _seed(StoredRun(home))
    return open_weights(path), 0


def _seed(run: Any) -> int:
    return int((run.spec.get("seed") or {}).get("measure", 0))


class _Reader:
    """Reads and measures the tensors of a file one by one."""

    def __init__(
        self, file: WeightFile, measures: Sequence[Measure], *, seed: int, largest: int, device: str, spectra: bool
    ) -> None:
        from grokscope.weight_files.quantised import quantised

        self._file, self._measures, self._seed = file, measures, seed
        self._largest, self._device, self._spectra = largest, device, spectra
        self._quantised, self._scales, self._beside = quantised(file.entries)
        self.parts: dict[int, int] = {}
        """Place of a tensor's first layer -> how many it has."""

    def names(self, pattern: str | None) -> tuple[list[str], int]:
        """Return the tensors to look at, and how many were passed over: vectors and biases."""
        from grokscope.matrices import is_bias

        everything = [name for name in self._file.entries if name not in self._beside]
        names = [name for name in everything if len(self._file.entries[name].shape) > 1 and not is_bias(name)]
        chosen = names if pattern is None else [name for name in names if _fits(name, pattern)]
        if names and not chosen:
            close = nearest(str(pattern), names) or names[:3]
            raise UsageError(f"no weight's name fits --layers {pattern!r}: there are {', '.join(close)} and others.")
        return chosen, len(everything) - len(names)

    def read(self, name: str) -> tuple[Tensor | None, Layer]:
        """Return a tensor; if it is no weight or cannot be read, None and what is told of it."""
        from grokscope.matrices import why_no_matrix

        entry = self._file.entries[name]
        note, tensor = self._quantised.get(name), None
        if note is None and math.prod(entry.shape) > self._largest:
            note = f"has {math.prod(entry.shape):,} entries, more than --max-size {self._largest:,}: not measured."
        if note is None:
            try:
                tensor = self._file.load(name)
                note = why_no_matrix(tensor)
            except DataError as error:
                note = str(error)
        told = Layer(name, None, entry.shape, entry.dtype, entry.tied, note=note)
        return (tensor if note is None else None), told

    def layers(self, name: str, tensor: Tensor) -> list[Layer]:
        """Return the layers of a tensor: one, or the parts of a fused one."""
        import torch

        from grokscope.matrices import split, state_width

        entry = self._file.entries[name]
        if entry.dtype.startswith("float8"):
            tensor = tensor.float()  # PyTorch computes nothing in it
            if name in self._scales:
                tensor = tensor * self._file.load(self._scales[name]).float().reshape(())
        # shapes tell the width of a recurrent state; the weights beside this one are not read for it
        beside = {n: torch.empty(e.shape, device="meta") for n, e in self._file.entries.items() if "weight_h" in n}
        return [
            self._measured(replace(part, tensor=part.tensor.to(self._device), tied=entry.tied), entry.dtype)
            for part in split(name, tensor, state=state_width(name, beside))
        ]

    def _measured(self, part: WeightMatrix, dtype: str) -> Layer:
        from grokscope.measures.base import DoesNotApply, evaluate

        shape = tuple(part.tensor.shape)
        note = _not_finite(part.tensor)
        if note is not None:
            return Layer(part.name, part.kind, shape, dtype, part.tied, note=note)
        snapshot = one_matrix(part, self._seed)
        values: dict[str, float] = {}
        problems: list[str] = []
        for measure in self._measures:
            try:
                reading = evaluate(measure, snapshot)
            except DoesNotApply:
                continue  # a spectrum of few values, which the note tells
            except GrokscopeError as error:
                problems.append(str(error))
                continue
            values |= {key: value for key, module, value in reading.rows if module == part.name and key not in OF_ALL}
        drawn = None
        if self._spectra and min(part.matrix.shape) > 1 and bool(part.tensor.any()):
            from grokscope.execution.spectrum_data import drawn_spectrum

            drawn = drawn_spectrum(snapshot, part, values)
        note = " ".join([*filter(None, [_remarkable(part, values)]), *dict.fromkeys(problems)]) or None
        return Layer(part.name, part.kind, shape, dtype, part.tied, values, note, drawn)


def one_matrix(part: WeightMatrix, seed: int) -> Snapshot:
    """Return a snapshot whose only parameter is one weight matrix: what measures of weights look at."""
    from grokscope.snapshot import Snapshot, Source

    def forward(_tensors: Any, _inputs: Any) -> Any:
        raise UsageError("a file of weights has no forward pass.")

    source = Source(forward=forward, probes={}, measure_seed=seed)
    snapshot = Snapshot(source, step=0, parameters={part.name: part.tensor})
    snapshot.memo("matrices", lambda: [part])  # what it is was found with its name whole
    return snapshot


def _not_finite(tensor: Tensor) -> str | None:
    counts = ((int(tensor.isnan().sum()), "NaN"), (int(tensor.isinf().sum()), "infinite"))
    told = " and ".join(f"{count:,} {what}" for count, what in counts if count)
    return f"holds {told} among {tensor.numel():,} entries: it has no spectrum." if told else None


def _remarkable(part: WeightMatrix, values: Mapping[str, float]) -> str | None:
    """Return in a sentence why a matrix has no spectrum worth the name."""
    rows, columns = part.matrix.shape
    if not bool(part.tensor.any()):
        return "is zero everywhere: its spectrum is empty."
    if min(rows, columns) == 1:
        return f"is a single {'row' if rows == 1 else 'column'} of {max(rows, columns):,}: its spectrum is one value."
    if number_of(values, "spectra", "numerical_rank") == 1:
        return "has rank one: its spectrum is one value, and no power law is fitted."
    size = float(part.tensor.abs().max())
    if not SQUARABLE[0] < size < SQUARABLE[1]:
        return f"has entries up to {size:.1g}, whose squares float64 cannot hold: scale it first."
    if any(key.startswith("htsr") for key in values) and math.isnan(number_of(values, "htsr", "alpha")):
        return "has no power law in its spectrum: its eigenvalues are all equal, or but one are zero."
    count = len(part.slices) * min(part.slices.shape[1:])
    if count < LEAST:
        return f"has {count} eigenvalues: too few for a fit."
    return None


def _fits(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) if any(c in pattern for c in "*?[") else pattern in name


def _digest(tensor: Tensor) -> bytes:
    import torch

    raw = tensor.detach().contiguous().flatten().view(torch.uint8).numpy()
    return hashlib.sha256(raw.data).digest() + f"{tuple(tensor.shape)} {tensor.dtype}".encode()


def _tied(layer: Layer, name: str) -> Layer:
    return replace(layer, tied=(*layer.tied, name))


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"the device {device!r} is not there: give cpu, or cuda where there is a GPU.") from error
