"""The documents keep their word: examples run, command lines parse, links resolve, no path of a machine.

A fenced python block runs if the line before it is ``<!-- runnable -->``; after ``<!-- file: NAME -->`` a block
of any language is written to that file instead. The blocks of a page run in order, in one fresh directory.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from grokscope.cli.main import COMMANDS, build
from grokscope.registry import PAPERS, load

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/grokscope/papers/*/README.md"))
    if not path.name.startswith(".")
)
each_page = pytest.mark.parametrize("page", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"<!-- (?:(runnable)|file: (\S+)) -->\n\Z")
CODE_SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MACHINE = re.compile(r"(?<![\w.~:/-])/(?:home|root|Users|tmp|var|opt|mnt|work|srv|usr)/|\b[A-Z]:\\")

THEORY = ("margin", "interpolation", "lazy", "completion", "transition_time", "label_noise")
RUN = ("docs/start.md", "docs/extend.md", "docs/monitor.md", *(f"docs/theory/{name}.md" for name in THEORY))
DRIVER = """
import json
namespaces = {}
for page, line, source in json.load(open("blocks.json")):
    # empty lines before it, so that a traceback names the line of the page
    exec(compile("\\n" * line + source, page, "exec"), namespaces.setdefault(page, {"__name__": page}))
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: the page's line it starts after, its language, and what its marker says of it."""

    line: int
    language: str
    text: str
    runnable: bool
    file: str | None


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        marker = MARKER.search(text[: match.start()])
        found.append(
            Block(
                line=text[: match.start(2)].count("\n"),
                language=match[1],
                text=match[2],
                runnable=marker is not None and marker[1] is not None,
                file=marker[2] if marker is not None else None,
            )
        )
    return found


def python(directory: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


# -- examples -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the examples of the pages in ``RUN`` have been run, in one process."""
    directory = tmp_path_factory.mktemp("examples")
    sources = []
    for name in RUN:
        for block in blocks(ROOT / name):
            if block.file is not None:
                (directory / block.file).write_text(block.text, encoding="utf-8")
            elif block.runnable:
                assert block.language == "python", f"{name}:{block.line} is runnable but not python"
                sources.append((name, block.line, block.text))
    (directory / "blocks.json").write_text(json.dumps(sources))
    (directory / "driver.py").write_text(DRIVER)
    python(directory, "driver.py")
    return directory


def test_examples_run(place: Path) -> None:
    sources = json.loads((place / "blocks.json").read_text())
    assert {name for name, _, _ in sources} == set(RUN)


def test_example_paper_is_run_to_its_end_and_reported(place: Path) -> None:
    (spec,) = place.glob("runs/mylab2026/sparse-parity/smoke-s0-*/spec.json")
    report = (spec.parent / "report.html").read_text(encoding="utf-8")
    assert "sparse parity" in report
    events = [json.loads(line) for line in (spec.parent / "events.jsonl").read_text().splitlines()]
    assert [event["status"] for event in events if event["kind"] == "status"][-1] == "finished"
    assert not [event for event in events if event["kind"] in ("measure_failed", "measure_does_not_apply")]
    rows = [json.loads(line) for line in (spec.parent / "scalars.jsonl").read_text().splitlines()]
    assert {row["module"] for row in rows if row["key"] == "stable_rank/matrix"} == {
        "layers.0.weight",
        "layers.1.weight",
    }


def test_example_entry_points_are_found(place: Path) -> None:
    text = (place / "pyproject.toml").read_text()
    groups = tomllib.loads(text)["project"]["entry-points"]
    installed = place / "mylab-0.1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 0.1\n")
    lines = [line for group, points in groups.items() for line in (f"[{group}]", *map(" = ".join, points.items()))]
    (installed / "entry_points.txt").write_text("\n".join(lines) + "\n")
    found = json.loads(python(place, "-m", "grokscope", "list", "claims", "mylab2026", "--json"))
    assert [row["id"] for row in found["rows"]] == ["mylab2026/P1"]
    names = {
        kind: {row["name"] for row in json.loads(python(place, "-m", "grokscope", "list", kind, "--json"))["rows"]}
        for kind in ("tasks", "measures")
    }
    assert "sparse-parity" in names["tasks"]
    assert "stable_rank" in names["measures"]


# -- command lines --------------------------------------------------------------------------------


def command_lines(page: Path) -> list[str]:
    """Return every ``grokscope …`` of a page: lines of fenced blocks, and code spans of the prose."""
    text = page.read_text(encoding="utf-8")
    shown = [
        line.strip().removeprefix("$ ")
        for match in FENCE.finditer(text)
        if match[1] in ("", "console", "sh", "bash", "text")
        for line in match[2].replace("\\\n", " ").splitlines()
    ]
    shown += CODE_SPAN.findall(FENCE.sub("", text))
    shown = [re.sub(r"^(?:\w+=\S* )+", "", line) for line in shown]
    return [line for line in shown if re.match(r"grokscope( |$)", line)]


def arguments_of(line: str) -> list[str]:
    """Return the arguments of a command line; pipes, redirections, comments and ellipses are left out."""
    words = shlex.split(line, comments=True)
    end = next((index for index, word in enumerate(words) if word in ("|", ">", "2>", "&&", ";", "&")), len(words))
    return [word for word in words[1:end] if word not in ("…", "...", "--debug")]


def test_pages_show_every_command() -> None:
    shown = {arguments_of(line)[0] for page in PAGES for line in command_lines(page) if arguments_of(line)}
    assert set(COMMANDS) <= shown


@each_page
def test_command_lines_parse(page: Path) -> None:
    application = build()
    for line in command_lines(page):
        arguments = arguments_of(line)
        if not arguments or arguments[0].startswith("--"):
            assert set(arguments) <= {"--help", "--version"}, line
            continue
        assert arguments[0] in COMMANDS, f"{line!r}: there is no such command"
        if len(arguments) == 1:
            continue  # the name of a command, not a call
        try:
            application.parse_args(arguments, exit_on_error=False, print_error=False)
        except CycloptsError as error:
            pytest.fail(f"{line!r} does not parse: {error}")


@each_page
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    shown = [line.strip().removeprefix("$ ") for match in FENCE.finditer(text) for line in match[2].splitlines()]
    shown += CODE_SPAN.findall(FENCE.sub("", text))
    named = {match[1] for line in shown if (match := re.match(r"make ([a-z]+)", line))}
    assert named <= targets


# -- links and paths ------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the common renderers make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@each_page
def test_relative_links_resolve(page: Path) -> None:
    text = CODE_SPAN.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name} links to {target}, which is not there"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name} links to {target}: no such heading"


@each_page
def test_files_named_exist(page: Path) -> None:
    for span in CODE_SPAN.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.fullmatch(r"(?:src|tests|docs|benchmarks)/[\w/.-]+", span):
            assert (ROOT / span).exists(), f"{page.name} names {span}, which is not there"


@each_page
def test_no_path_of_a_machine(page: Path) -> None:
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        assert MACHINE.search(line) is None, f"{page.name}:{number} holds a path of a machine: {line}"


# -- papers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [path.parent.name for path in PAGES if path.parent.parent.name == "papers"])
def test_readme_of_a_paper_names_its_experiments_and_claims(name: str) -> None:
    paper = PAPERS.get(name) if name in PAPERS else load(f"grokscope.papers.{name}:PAPER")
    text = (ROOT / "src/grokscope/papers" / name / "README.md").read_text(encoding="utf-8")
    for experiment in paper.experiments:
        assert f"`{experiment.name}`" in text
    for claim in paper.claims:
        assert f"`{claim.id}`" in text
        for scale, criterion in claim.criterion.items():
            assert f"`{criterion.text()}`" in text, f"criterion of {claim.id} at scale {scale}"
