"""``grokscope verify``: is a run directory whole?"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from grokscope.cli.output import Json, table, write, write_json


def verify(
    run: str,
    *,
    replay: Annotated[
        bool, Parameter(negative="", help="also measure the last checkpoint again and compare with the log")
    ] = False,
    json: Json = False,
) -> int:
    """Check every file of a run directory; exit with 1 if something is damaged or missing. Nothing is changed.

    Args:
        run: a run directory, or a directory that holds exactly one run.
    """
    from grokscope.execution.verify import find
    from grokscope.execution.verify import verify as look

    directory = find(run)
    findings = look(directory, replay=replay)
    sound = all(one.status == "ok" for one in findings)
    if json:
        rows = [one.as_dict() for one in findings]
        write_json({"schema": 1, "kind": "verify", "run_dir": str(directory), "sound": sound, "rows": rows})
    else:
        table(("", "what", "found"), [(one.status, one.what, one.detail) for one in findings])
        bad = sum(one.status != "ok" for one in findings)
        write(f"{directory}: {'sound' if sound else f'{bad} of {len(findings)} findings are not ok'}")
    return 0 if sound else 1
