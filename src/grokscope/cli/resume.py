"""``grokscope resume``: go on with an interrupted run."""

from __future__ import annotations

from grokscope.cli.output import Json, Strict


def resume(run: str, *, json: Json = False, strict: Strict = False) -> int:
    """Go on with an interrupted run from its last checkpoint; an ensemble's member takes its group along.

    Args:
        run: a run directory, or a directory that holds exactly one run. A finished run is left as it is.
    """
    from grokscope.cli.live import progress
    from grokscope.cli.show import write_summary
    from grokscope.execution.train import resume as resume_training
    from grokscope.running import Run

    stored = Run.open(run)
    resume_training(stored.directory, progress=progress())
    done = Run(stored.directory)
    return write_summary(done, report=done.report(), json=json, strict=strict)
