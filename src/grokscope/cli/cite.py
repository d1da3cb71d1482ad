"""``grokscope cite``: the BibTeX of all that was used."""

from __future__ import annotations

from pathlib import Path

from grokscope.cli.output import Json, rows_document, write, write_json


def cite(name: str, *, json: Json = False) -> None:
    """Write the BibTeX of every paper whose task, model, optimizer, intervention, measure or method was used.

    Args:
        name: a run directory; or a paper, PAPER/EXPERIMENT, or the name of a measure or another part.
    """
    from grokscope.execution.cite import citations_of, citations_of_name
    from grokscope.registry import PAPERS
    from grokscope.store import open_run, resolve_run

    # a folder that happens to be called like a paper does not hide it
    is_run = (Path(name) / "spec.json").is_file() or (Path(name).is_dir() and name.split("/")[0] not in PAPERS)
    found = citations_of([open_run(resolve_run(name))]) if is_run else citations_of_name(name)
    if json:
        write_json(rows_document("citations", [one.as_dict() for one in found]))
        return
    for one in found:
        write(f"% {', '.join(one.reasons)}")
        write(one.bibtex)
        write()
    if not found:
        write(f"% {name} names no paper that it comes from")
