"""``grokscope list``: what there is."""

from __future__ import annotations

from typing import Any, Literal

from grokscope.cli.output import Json, rows_document, table, write_json
from grokscope.errors import unknown
from grokscope.registry import MEASURES, MODELS, PAPERS, TASKS, Registry

Kind = Literal["experiments", "measures", "claims", "tasks", "models"]
KINDS = ("experiments", "measures", "claims", "tasks", "models")


def list_(kind: str = "experiments", paper: str | None = None, *, json: Json = False) -> None:
    """List experiments, measures, claims, tasks or models.

    Args:
        kind: experiments, measures, claims, tasks or models.
        paper: only those of this paper (experiments, claims, or the measures it records).
    """
    if kind not in KINDS and kind in PAPERS and paper is None:
        kind, paper = "experiments", kind
    if kind not in KINDS:
        raise unknown("kind of thing", kind, [*KINDS, *PAPERS.names()])
    papers = [PAPERS.get(paper)] if paper else [PAPERS.get(name) for name in PAPERS.names()]
    rows: list[dict[str, Any]]
    if kind == "experiments":
        rows = [
            {
                "name": f"{p.id}/{e.name}",
                "title": e.title,
                "scales": [*e.scales, "paper"] if "paper" not in e.scales else list(e.scales),
                "minutes": dict(e.minutes),
                "cell_of": e.cell_of,
            }
            for p in papers
            for e in p.experiments
        ]
        shown = [
            (r["name"], ", ".join(f"{s} {r['minutes'].get(s, '?')} min" for s in r["scales"]), r["title"]) for r in rows
        ]
        columns = ("experiment", "scales and estimated time", "what it shows")
    elif kind == "claims":
        rows = [
            {
                "id": f"{p.id}/{c.id}",
                "statement": c.statement,
                "figure": c.figure,
                "experiments": list(c.experiments),
                "criterion": {scale: criterion.text() for scale, criterion in c.criterion.items()},
            }
            for p in papers
            for c in p.claims
        ]
        shown = [(r["id"], r["statement"], r["criterion"].get("cpu", "-")) for r in rows]
        columns = ("claim", "statement", "criterion at cpu scale")
    elif kind == "measures":
        plans = [e.record for p in papers for e in p.experiments]
        recorded = {m for record in plans for part in (record, *record.get("extra", ())) for m in part["measures"]}
        names = [name for name in MEASURES if paper is None or name in recorded]
        rows = [_measure_row(name) for name in names]
        shown = [(r["name"], r["kind"], r["cost"], ", ".join(r["keys"]), r["reference"]) for r in rows]
        columns = ("measure", "kind", "cost", "keys", "reference")
    else:
        rows = [
            _settings_row(TASKS if kind == "tasks" else MODELS, name) for name in (TASKS if kind == "tasks" else MODELS)
        ]
        shown = [(r["name"], ", ".join(f"{k}={v}" for k, v in r["settings"].items()), r["about"]) for r in rows]
        columns = (kind.removesuffix("s"), "settings and defaults", "what it is")
    if json:
        write_json(rows_document(kind, rows))
    else:
        table(columns, shown)


def _measure_row(name: str) -> dict[str, Any]:
    measure = MEASURES.get(name)
    return {
        "name": name,
        "version": measure.version,
        "kind": measure.kind,
        "cost": measure.cost,
        "keys": {measure.key(key): about.description for key, about in measure.keys.items()},
        "needs": list(measure.needs),
        "reference": measure.reference,
    }


def _settings_row(registry: Registry[Any], name: str) -> dict[str, Any]:
    settings = registry.get(name)
    fields = {
        key: "(required)" if field.is_required() else field.get_default(call_default_factory=True)
        for key, field in settings.model_fields.items()
        if key != "name"
    }
    return {"name": name, "about": (settings.__doc__ or "").strip().splitlines()[0], "settings": fields}
