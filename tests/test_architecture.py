"""Which part may know which: the imports of every module are read and held against the table below."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import grokscope

ROOT = Path(grokscope.__file__).parent
OURS = "grokscope"
TARGET = re.compile(r"grokscope(\.\w+)+:\w+(\.\w+)*")
HEAVY = ("plotly", "matplotlib", "pandas", "duckdb", "requests", "httpx", "urllib.request", "socket", "http")
OPTIONAL = ("tensorboard", "torch.utils.tensorboard", "trackio", "wandb", "mlflow", "lightning", "pytorch_lightning")
OPTIONAL += ("transformers", "accelerate")

FORBIDDEN: list[tuple[str, tuple[str, ...]]] = [
    ("measures", ("learners", "loop", "store", "tasks", "models", "papers")),
    ("facts", (OURS,)),
    ("tasks", ("models",)),
    ("models", ("tasks",)),
    ("loop", ("measures", "analysis", "report")),
    ("store", ("torch", "learners")),
    ("analysis", ("torch", "learners", "models")),
    ("report", ("torch", "learners", "scipy")),
    ("theory", ("learners", "measures", "snapshot", "tasks", "models", "loop", "store", "execution")),
    # it looks at trainings that are not ours
    ("monitor", ("learners", "loop.loop", "tasks", "models", "report", "claims")),
    ("sinks", ("monitor", "measures", "store", "execution")),
    ("callbacks", ("learners", "loop", "tasks", "models", "report", "claims", "store", "execution")),
    # what keeps listing and resolving instant
    ("claims", ("torch",)),
    ("settings", ("torch",)),
    ("spec", ("torch",)),
]
"""(from, to): ``from`` is a package or module of ours, ``to`` are ones of ours or other people's."""


def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def exempt(node: ast.AST) -> bool:
    """Tell whether a statement is only there for type checkers."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node: ast.AST, *, inside: bool = True) -> Iterator[ast.AST]:
    """Yield the nodes below ``node``, those of functions included where ``inside`` is true."""
    for child in ast.iter_child_nodes(node):
        if exempt(child) or (not inside and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            continue
        yield child
        yield from walk(child, inside=inside)


def imports(name: str, path: Path, *, inside: bool = True) -> set[str]:
    """Return what a module imports, and what it names as ``"module:attribute"`` to be loaded later."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in walk(ast.parse(path.read_text(encoding="utf-8")), inside=inside):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and TARGET.fullmatch(node.value):
            found.add(node.value.replace(":", "."))
    return found


IMPORTS = {name: imports(name, path) for name, path in MODULES.items()}


def within(module: str, part: str) -> bool:
    """Tell whether a dotted name is ``part`` or below it; ``part`` is one of ours or another package."""
    return any(module == whole or module.startswith(f"{whole}.") for whole in (part, f"{OURS}.{part}"))


def violations(start: str, targets: tuple[str, ...]) -> list[str]:
    return [
        f"{name} imports {imported}"
        for name, found in IMPORTS.items()
        if within(name, start)
        for imported in sorted(found)
        if any(within(imported, target) for target in targets)
    ]


@pytest.mark.parametrize(("start", "targets"), FORBIDDEN, ids=[start for start, _ in FORBIDDEN])
def test_forbidden_directions(start: str, targets: tuple[str, ...]) -> None:
    assert violations(start, targets) == []


def test_the_library_knows_no_paper() -> None:
    outside = [name for name in IMPORTS if not within(name, "papers")]
    assert [(name, i) for name in outside for i in IMPORTS[name] if within(i, "papers")] == []


def test_no_paper_knows_another() -> None:
    for name, found in IMPORTS.items():
        if within(name, "papers"):
            own = ".".join(name.split(".")[:3])
            assert [i for i in found if within(i, "papers") and not within(i, own.removeprefix(f"{OURS}."))] == []


def test_only_execution_knows_the_monitor() -> None:
    inside = ("monitor", "execution", "registry", "sinks", "callbacks")
    outside = [name for name in IMPORTS if name != OURS and not any(within(name, part) for part in inside)]
    assert [(name, i) for name in outside for i in IMPORTS[name] if within(i, "monitor")] == []


def test_nothing_knows_the_command_line() -> None:
    outside = [name for name in IMPORTS if not within(name, "cli") and name != f"{OURS}.__main__"]
    assert [(name, i) for name in outside for i in IMPORTS[name] if within(i, "cli")] == []


def test_no_adapter_is_known_to_the_library() -> None:
    """People name them; nothing of ours loads one by itself."""
    adapters = [
        name for name in IMPORTS if within(name, "callbacks") or (within(name, "sinks") and name[-5:] != ".base")
    ]
    outside = [name for name in IMPORTS if name not in adapters]
    known = [part for part in adapters if part not in (f"{OURS}.sinks", f"{OURS}.callbacks")]
    assert [(name, i) for name in outside for i in IMPORTS[name] if any(within(i, part) for part in known)] == []
    assert f"{OURS}.callbacks.lightning" in known


def test_nothing_heavy_is_imported_with_a_module() -> None:
    wrong = [
        (name, imported)
        for name, path in MODULES.items()
        for imported in imports(name, path, inside=False)
        if any(imported == word or imported.startswith(f"{word}.") for word in HEAVY + OPTIONAL)
    ]
    assert wrong == []


def test_the_reader_sees_what_it_should(tmp_path: Path) -> None:
    """The rules above would hold of a reader that finds nothing."""
    path = tmp_path / "module.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import grokscope.cli\n"
        "def f():\n    from grokscope.papers import nanda2023\n    import torch.nn\n"
        "from . import sibling\nfrom ..store import files as other\n"
        "TARGET = 'grokscope.tasks.modular:ModularAddition'\n"
    )
    found = imports("grokscope.measures.module", path)
    assert found == {
        "typing.TYPE_CHECKING",
        "grokscope.papers.nanda2023",
        "torch.nn",
        "grokscope.measures.sibling",
        "grokscope.store.files",
        "grokscope.tasks.modular.ModularAddition",
    }
    assert "torch.nn" not in imports("grokscope.measures.module", path, inside=False)
    assert within("grokscope.store.files", "store")
    assert not within("grokscope.storehouse", "store")
    assert {f"{OURS}.spec", f"{OURS}.store.writer", f"{OURS}.papers.nanda2023", f"{OURS}.cli.main"} <= set(MODULES)
    assert f"{OURS}.registry.load" in IMPORTS[f"{OURS}.snapshot"]


def loaded(code: str) -> dict[str, bool]:
    """Return which packages are loaded after ``code`` in a process of its own."""
    names = ("torch", "plotly", "pandas", "matplotlib", "duckdb", "scipy", "cyclopts")
    end = f"\nimport json, sys; print(json.dumps({{n: n in sys.modules for n in {names!r}}}))"
    done = subprocess.run([sys.executable, "-c", code + end], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_the_package_is_light() -> None:
    assert not any(loaded("import grokscope").values())


def test_reading_needs_no_torch() -> None:
    """Not even through what their imports import."""
    light = [n for n in MODULES if any(within(n, part) for part in ("store", "analysis", "report", "claims", "papers"))]
    light += [f"{OURS}.{name}" for name in ("spec", "facts", "paper", "running", "execution.plan", "execution.judge")]
    light += [f"{OURS}.execution.reporting", f"{OURS}.execution.place", f"{OURS}.sweep.table", f"{OURS}.data"]
    found = loaded("\n".join(f"import {name}" for name in light))
    assert not found["torch"]
    assert not found["plotly"]
    assert not found["pandas"]


EVERYTHING = """
import importlib, json, socket, sys
def refuse(*given, **named):
    raise AssertionError("the network was asked for while importing")
socket.socket.connect = socket.getaddrinfo = refuse
for name in sys.argv[1:]:
    importlib.import_module(name)
import torch
print(json.dumps([torch.cuda.is_initialized(), "plotly" in sys.modules, torch.are_deterministic_algorithms_enabled()]))
"""


def test_importing_everything_asks_no_network_no_gpu_and_draws_nothing() -> None:
    names = [name for name in MODULES if name != f"{OURS}.__main__"]
    done = subprocess.run([sys.executable, "-c", EVERYTHING, *names], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [False, False, False]
    assert done.stderr == ""
