"""``grokscope doctor``: is this installation sound, and what can it use?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from grokscope.cli.output import Json, Out, rows_document, table, write_json


def doctor(*, out: Out = None, json: Json = False) -> int:
    """Check versions, devices, threads, data and write access; exit with 1 if something needed is wrong."""
    rows = [*_versions(), *_torch(), _data(), _writable(out)]
    if json:
        write_json(rows_document("doctor", rows))
    else:
        table(("", "what", "found"), [("ok" if r["ok"] else "!!", r["what"], r["found"]) for r in rows])
    return 0 if all(row["ok"] for row in rows) else 1


def _versions() -> list[dict[str, Any]]:
    from grokscope.execution.place import environment

    found = environment()
    python = sys.version_info[:2] >= (3, 11)
    rows = [{"what": "python", "found": found["python"], "ok": python}]
    return rows + [{"what": n, "found": v, "ok": v != "not installed"} for n, v in found["versions"].items()]


def _torch() -> list[dict[str, Any]]:
    try:
        import torch
    except ImportError as error:
        return [{"what": "torch loads", "found": str(error), "ok": False}]
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    product = torch.full((64, 64), 1 / 64, dtype=torch.float64) @ torch.ones(64, 64, dtype=torch.float64)
    right = bool((product - 1).abs().max() < 1e-12)
    return [
        {
            "what": "torch computes",
            "found": "a product came out right" if right else "a product came out wrong",
            "ok": right,
        },
        {"what": "CUDA devices", "found": ", ".join(names) or "none (cpu is used)", "ok": True},
        {
            "what": "torch threads",
            "found": f"{torch.get_num_threads()} (a run uses numerics.threads, 1 by default)",
            "ok": True,
        },
    ]


def _data() -> dict[str, Any]:
    from grokscope.data import data_directory, inventory

    where = data_directory()
    if where is None:
        return {"what": "data", "found": "GROKSCOPE_DATA is not set (only image and text tasks need it)", "ok": True}
    rows = inventory(where)
    found = sum(row["status"] == "found" for row in rows)
    return {"what": "data", "found": f"{found} of {len(rows)} known files in {where}", "ok": where.is_dir()}


def _writable(out: str | None) -> dict[str, Any]:
    from grokscope.errors import StoreError
    from grokscope.store import check_writable, default_root

    root = Path(out) if out else default_root()
    try:
        check_writable(root)
    except StoreError as error:
        return {"what": "runs", "found": str(error), "ok": False}
    return {"what": "runs", "found": f"{root} can be written", "ok": True}
