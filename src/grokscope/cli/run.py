"""``grokscope run``: one experiment, from nothing to its report."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from grokscope.cli.output import Json, Out, Strict


def run(
    name: str,
    *,
    scale: str = "cpu",
    seed: int | None = None,
    set_: Annotated[
        list[str] | None, Parameter(name="--set", negative="", help="KEY=VALUE, as in optimizer.weight_decay=0.5")
    ] = None,
    intervene: Annotated[
        list[str] | None, Parameter(negative="", help="NAME:key=value,... as in weight-norm:norm=30,start=100")
    ] = None,
    device: Annotated[str | None, Parameter(help="cpu, cuda or cuda:N")] = None,
    out: Out = None,
    fresh: Annotated[bool, Parameter(negative="", help="train even if this run is stored and finished")] = False,
    json: Json = False,
    strict: Strict = False,
) -> int:
    """Run one experiment and write its report; a stored and finished run is shown, not repeated.

    Args:
        name: PAPER/EXPERIMENT (see: grokscope list), or a TOML or JSON spec file.
        scale: smoke, cpu or paper.
        seed: the base seed, from which every random stream is derived (default: 0, or the file's).
    """
    from grokscope.cli.live import progress
    from grokscope.cli.show import write_summary
    from grokscope.running import run as run_experiment
    from grokscope.spec import parse_assignment

    changes = dict(parse_assignment(text) for text in set_ or ())
    if device is not None:
        changes["numerics.device"] = device
    done = run_experiment(
        name,
        scale=scale,
        seed=seed,
        set=changes,
        interventions=intervene or (),
        out=out,
        fresh=fresh,
        progress=progress(),
    )
    return write_summary(done, report=done.report(), json=json, strict=strict)
