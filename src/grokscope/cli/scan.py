"""``grokscope scan``: the measures of weights on any file of weights."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from grokscope.cli.output import Json, table, visible, words, write, write_json
from grokscope.errors import UsageError, unknown

if TYPE_CHECKING:
    from grokscope.execution.scan import Tell
    from grokscope.execution.scan_result import Scan

SECONDS = 10.0
"""Between two lines of progress where stderr is no terminal."""


def scan(
    file: str,
    *,
    measures: Annotated[
        list[str] | None,
        Parameter(negative="", help="as in htsr,norms (default: all that need nothing but weights)"),
    ] = None,
    traps: Annotated[
        bool | None, Parameter(help="count correlation traps, which takes three further spectra (default: yes)")
    ] = None,
    layers: Annotated[
        str | None, Parameter(help="these only: a part of the name, or a pattern as in '*.mlp.*'")
    ] = None,
    sort: Annotated[str | None, Parameter(help="largest first by a key, as in alpha or norms/l2")] = None,
    html: Annotated[str | None, Parameter(help="also write a page with every spectrum to this file")] = None,
    max_size: Annotated[
        int | None, Parameter(help="entries of the largest matrix that is measured (default: 268435456)")
    ] = None,
    equal_once: Annotated[bool, Parameter(negative="", help="measure tensors with equal bytes once")] = False,
    device: Annotated[str, Parameter(help="where to compute, as in cuda")] = "cpu",
    json: Json = False,
) -> None:
    """Measure every weight matrix in a file, with the memory of one: no model code is needed, and nothing is unpickled.

    Spectra, their power-law tails, random bulks and spikes, norms, ranks, entropies, correlation traps. Fused
    projections are split, tied weights come once, and what cannot be measured is listed with the reason.

    Args:
        file: a .safetensors file, a file of torch.save (a state dict, or a checkpoint with one in it), an index
            of shards, a directory with one of them, .npz, or a run.
    """
    from grokscope.execution.scan import LARGEST, MEASURES, TRAPS
    from grokscope.execution.scan import scan as scanned
    from grokscope.report.scan import scan_page
    from grokscope.store import atomic_write, check_writable

    if html is not None and Path(html).is_dir():
        raise UsageError(f"{html} is a directory: name a file in it, as in {html.rstrip('/')}/scan.html.")
    if max_size is not None and max_size < 1:
        raise UsageError(f"--max-size {max_size}: give the number of entries of the largest matrix to measure.")
    names: list[str] = list(MEASURES) if measures is None else words(measures)
    if traps or (traps is None and measures is None):
        names.append(TRAPS)
    key = None if sort is None else _key(names, sort)
    if html is not None:
        check_writable(Path(html).parent)  # what takes an hour does not end in this
    with _progress() as tell:
        found = scanned(
            file,
            names,
            layers=layers,
            largest=LARGEST if max_size is None else max_size,
            equal_once=equal_once,
            device=device,
            spectra=html is not None,
            tell=tell,
        )
    document = found.as_dict()
    if html is not None:
        page = scan_page(document, [layer.spectrum for layer in found.layers], chosen=measures is not None)
        atomic_write(Path(html), page.encode())
        document["html"] = html
    if key is not None:
        document["layers"] = sorted(document["layers"], key=lambda layer: _descending(layer.get(key)))
    if json:
        write_json(document)
    else:
        _write_text(found, document, chosen=measures is not None)


def _write_text(found: Scan, document: dict[str, Any], *, chosen: bool) -> None:
    from grokscope.report.scan import cell, columns, notes, sentences, shape_text

    layers = document["layers"]
    shown = columns(list(found.measures), layers, chosen=chosen)
    rows = [
        (layer["name"], shape_text(layer["shape"]), layer["dtype"], *(cell(layer.get(key)) for _, key in shown))
        for layer in layers
    ]
    table(("matrix", "shape", "type", *(heading for heading, _ in shown)), rows)
    write()
    for text in (*found.notes, *notes(layers), *sentences(document["summary"])):
        write(visible(text))
    if "html" in document:
        write(f"page: {document['html']}")


def _key(measures: Sequence[str], name: str) -> str:
    """Return the stored key of one of the measures that ``--sort`` means: a whole one, or the last part of one."""
    from grokscope.execution.scan import weight_measures

    known = [measure.key(key) for measure in weight_measures(measures) for key in measure.keys]
    if name in known:
        return name
    fitting = [key for key in known if key.rpartition("/")[2] == name]
    if len(fitting) > 1:
        raise UsageError(f"--sort {name} could mean {' or '.join(fitting)}: write it whole.")
    if not fitting:
        raise unknown("key to sort by", name, [*known, *(key.rpartition("/")[2] for key in known)])
    return fitting[0]


def _descending(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else -value


@contextmanager
def _progress() -> Iterator[Tell]:
    """Within the context, a function that shows how far a scan is: a bar on a terminal, a line now and then else."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        parts = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=None)

            def live(done: int, total: int, name: str) -> None:
                bar.update(task, completed=done, total=total, description=name)

            yield live
        return
    last = time.monotonic()

    def plain(done: int, total: int, name: str) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS and name:
            last = time.monotonic()
            sys.stderr.write(f"scan: {done} of {total} tensors done, now {name}\n")

    yield plain
