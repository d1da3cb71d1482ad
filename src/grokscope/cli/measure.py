"""``grokscope measure``: measures on stored checkpoints, after the fact."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from grokscope.cli.output import Json, rows_document, table, words, write, write_json
from grokscope.errors import UsageError

if TYPE_CHECKING:
    from grokscope.execution.measure import Filled


def measure(
    target: str,
    *,
    measures: Annotated[
        list[str], Parameter(negative="", help="names, as in gini,fourier (see: grokscope list measures)")
    ],
    steps: Annotated[str | None, Parameter(help="these checkpoints only, as in 0,1000 (default: all)")] = None,
    model: Annotated[
        str | None, Parameter(help="of a run of gs.Monitor: FILE.py:function that returns the model, as a module")
    ] = None,
    json: Json = False,
) -> int:
    """Back-fill measures on the checkpoints of a stored run; of a single checkpoint, only show them.

    Values equal those that measuring while training would have given at these steps. They are added to
    the run; of a checkpoint file they are printed and nothing is written.

    Args:
        target: a run directory (or one that holds exactly one run), or a file RUN/checkpoints/STEP.safetensors.
    """
    names = measure_names(measures)
    if Path(target).suffix == ".safetensors" and not Path(target).exists():
        raise UsageError(f"there is no checkpoint {target}: grokscope verify RUN tells which a run has.")
    if Path(target).is_file():
        if steps is not None:
            raise UsageError(f"{target} is one checkpoint: --steps is for a run directory.")
        return _show(Path(target), names, model=model, json=json)
    from grokscope.execution.measure import backfill
    from grokscope.store import open_run, resolve_run

    run = open_run(resolve_run(target))
    chosen = None if steps is None else parse_steps(steps)
    done = backfill(run, names, steps=chosen, model=model, tell=_tell)
    rows = [filled.as_dict() for filled in done]
    if json:
        write_json({**rows_document("measure", rows), "run_dir": str(run.directory)})
    else:
        columns = ("measure", "version", "checkpoints", "rows", "arrays")
        shown = [(r["measure"], r["version"], len(r["steps"]), r["rows"], ", ".join(r["arrays"]) or "–") for r in rows]
        table(columns, shown)
    return _judge(done)


def measure_names(given: Sequence[str]) -> list[str]:
    """Return the measures in ``A,B`` texts; a part that is KEY=VALUE is a further option of the measure before it.

    Example:
        >>> measure_names(["sparsity:threshold=0.1,mode=absolute,fourier", "gini"])
        ['sparsity:threshold=0.1,mode=absolute', 'fourier', 'gini']
    """
    names: list[str] = []
    for text in given:
        found: list[str] = []
        for part in words([text]):
            if "=" not in part or ":" in part.partition("=")[0]:
                found.append(part)
            elif found and ":" in found[-1]:
                found[-1] += f",{part}"
            else:
                raise UsageError(f"{part!r} names no measure: write its options as NAME:key=value,key=value.")
        names += found
    return names


def parse_steps(text: str) -> list[int]:
    """Return the steps that ``0,100,2000`` writes.

    Example:
        >>> parse_steps("0,100")
        [0, 100]
    """
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--steps {text!r} is no list of steps: write for example 0,1000,2000.")
    return [int(part) for part in parts]


def _show(path: Path, names: list[str], *, model: str | None, json: bool) -> int:
    from grokscope.execution.measure import read_checkpoints, run_of_checkpoint
    from grokscope.store import flat_key

    runs, step = run_of_checkpoint(path)
    rows: list[dict[str, Any]] = []
    arrays: list[dict[str, Any]] = []
    everything: list[Filled] = []
    for run in runs:
        done = read_checkpoints(run, names, steps=[step], model=model)
        everything += done
        for filled in done:
            for reading in filled.readings:
                rows += [
                    {"run_dir": str(run.directory), "key": key, "module": module, "value": value, "version": version}
                    for key, module, value, version in reading.rows
                ]
                arrays += [
                    {"run_dir": str(run.directory), "array": name, "tensor": tensor, "shape": list(values.shape)}
                    for name, tensors in reading.arrays.items()
                    for tensor, values in tensors.items()
                    if name in filled.arrays
                ]
    if json:
        write_json({**rows_document("values", rows), "checkpoint": str(path), "step": step, "arrays": arrays})
    elif rows or arrays:
        several = len(runs) > 1
        lines = [([r["run_dir"]] * several + [flat_key(r["key"], r["module"]), r["value"]]) for r in rows]
        lines += [
            ([a["run_dir"]] * several + [f"{a['array']}:{a['tensor']}", f"tensor {tuple(a['shape'])}"]) for a in arrays
        ]
        table((*(["run"] * several), "key", "value"), lines)
        write(f"(step {step}; nothing was written)")
    return _judge(everything)


def _judge(done: list[Filled]) -> int:
    """Say on stderr what could not be given; return 1 if nothing was."""
    for filled in done:
        texts: list[str] = [*([filled.reason] if filled.reason else []), *filled.problems]
        for text in dict.fromkeys(texts):
            sys.stderr.write(f"{text}\n" if text.startswith(f"{filled.measure} ") else f"{filled.measure}: {text}\n")
    return 0 if any(filled.readings for filled in done) else 1


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{text}\n")
