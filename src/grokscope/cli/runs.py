"""``grokscope runs``: the store."""

from __future__ import annotations

from grokscope.cli.output import Json, Out, rows_document, table, write_json


def runs(filter_: str | None = None, *, out: Out = None, json: Json = False) -> None:
    """List stored runs.

    Args:
        filter_: part of a name, or a shell pattern over PAPER/EXPERIMENT/SCALE, such as 'nanda2023/*'.
    """
    from grokscope.store import default_root, runs_table

    rows = runs_table(out or default_root(), filter_)
    if json:
        write_json(rows_document("runs", rows))
        return
    shown = [
        (
            f"{r['paper']}/{r['experiment']}",
            r["scale"],
            r["seed"],
            r["status"],
            r["steps"],
            r["wall_seconds"],
            r["run_dir"],
        )
        for r in rows
    ]
    columns = ("experiment", "scale", "seed", "status", "steps", "seconds", "run")
    table(columns, shown, empty=f"no runs in {out or default_root()}: try grokscope run nanda2023/modular-addition")
