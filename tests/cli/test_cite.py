"""``grokscope cite``: whom a run, an experiment or a measure builds on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from commands import NAME, PLAIN, TINY, ask, only_run, refused
from grokscope import registry
from grokscope.citations import ENTRIES, METHODS, distinct, entry, label
from grokscope.citations import MEASURES as LIGHT
from grokscope.execution.cite import PARTS, citations_of_name
from grokscope.measures.base import Key, Measure
from grokscope.registry import MEASURES
from grokscope.store import StoredRun

OF_A_RUN = {
    "nanda2023progress": ["paper nanda2023", "model modular-transformer", "measure weights"],
    "power2022grokking": ["task modular-addition", "measure performance"],
    "vaswani2017attention": ["model modular-transformer"],
    "kingma2015adam": ["optimizer adamw"],
    "loshchilov2019decoupled": ["optimizer adamw"],
    "truong2020selective": ["change points"],
}


def cited(*arguments: object) -> dict[str, list[str]]:
    answer = ask("cite", *arguments, "--json")
    assert answer.code == 0, answer.stderr
    assert answer.document["kind"] == "citations"
    return {row["label"]: row["for"] for row in answer.document["rows"]}


def test_a_run(one: StoredRun) -> None:
    assert cited(one.directory) == OF_A_RUN


def test_a_back_filled_measure_is_cited_too(one: StoredRun) -> None:
    assert ask("measure", one.directory, "--measures", "gini").code == 0
    found = cited(one.directory)
    assert found["hurley2009comparing"] == ["measure gini"]
    assert "measure gini" in found["nanda2023progress"]


def test_interventions_are_cited(tmp_path: Path) -> None:
    held = ["--intervene", "weight-norm:norm=3", "--intervene", "gradient-filter:decay=0.5"]
    assert ask("run", NAME, *TINY, *PLAIN, *held, "--out", tmp_path).code == 0
    found = cited(only_run(tmp_path).directory)
    assert found["liu2023omnigrok"] == ["intervention weight-norm"]
    assert found["lee2024grokfast"] == ["intervention gradient-filter"]


@pytest.mark.parametrize("name", ["nanda2023", NAME])
def test_a_paper_and_an_experiment(name: str) -> None:
    found = cited(name)
    assert found.keys() >= {*OF_A_RUN, "hurley2009comparing"}
    assert found["nanda2023progress"][0] == "paper nanda2023"


def test_a_measure_and_other_parts() -> None:
    assert cited("gini") == {"nanda2023progress": ["measure gini"], "hurley2009comparing": ["measure gini"]}
    assert cited("adamw") == {"kingma2015adam": ["optimizer adamw"], "loshchilov2019decoupled": ["optimizer adamw"]}
    assert cited("activation-clamp") == {"singh2024what": ["intervention activation-clamp"]}
    assert cited("truong2020") == {"truong2020selective": ["truong2020"]}
    assert cited("sgd") == {}
    assert ask("cite", "sgd").stdout == "% sgd names no paper that it comes from\n"


def test_what_a_person_gets_is_bibtex(one: StoredRun) -> None:
    answer = ask("cite", one.directory)
    assert (answer.code, answer.stderr) == (0, "")
    assert re.findall(r"^@\w+\{(\w+),$", answer.stdout, re.MULTILINE) == list(OF_A_RUN)
    assert "% optimizer adamw\n@inproceedings{kingma2015adam,\n" in answer.stdout


def test_the_report_cites_the_same(one: StoredRun, tmp_path: Path) -> None:
    assert ask("report", one.directory, "--to", tmp_path / "page.html").code == 0
    html = (tmp_path / "page.html").read_text()
    assert all(name in html for name in OF_A_RUN)


def test_a_run_of_parts_that_are_not_known_here(one: StoredRun) -> None:
    path = one.directory / "spec.json"
    tree = json.loads(path.read_text())
    tree["paper"], tree["optimizer"]["name"] = "theirs2030", "theirs"
    tree["record"]["measures"] = ["performance", "theirs"]
    path.write_text(json.dumps(tree))
    assert set(cited(one.directory)) == set(OF_A_RUN) - {"kingma2015adam", "loshchilov2019decoupled"}


def test_a_part_may_bring_its_own_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    own = "@misc{mine2031, title = {Mine}}"
    measure = Measure("mine", 1, {"x": Key("x")}, "mine", compute=lambda _: {"x": 0.0}, cites=(own, "nanda2023"))
    monkeypatch.setitem(MEASURES._known, "mine", measure)
    assert [(one.label, one.bibtex) for one in citations_of_name("mine")] == [
        ("mine2031", own),
        ("nanda2023progress", ENTRIES["nanda2023"]),
    ]


def test_wrong_names_are_told(tmp_path: Path) -> None:
    assert refused(2, "cite", "ginni").startswith("unknown run or name 'ginni': did you mean 'gini'")
    assert refused(2, "cite", "nanda2023/modular-adition").startswith("unknown experiment of nanda2023")
    assert refused(2, "cite", "zzz") == (
        "'zzz' is neither a run directory nor the name of a paper, an experiment, a measure or another part: "
        "grokscope list shows them."
    )
    assert refused(1, "cite", tmp_path).endswith("give the directory of a run.")
    assert refused(2, "cite").startswith('Command "cite" parameter --name requires an argument.')


# -- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_is_whole(key: str) -> None:
    bibtex = ENTRIES[key]
    assert label(bibtex).startswith(key)
    assert bibtex.count("{") == bibtex.count("}")
    year = re.search(r"\d{4}", key)
    assert year is not None
    assert f"year = {{{year[0]}}}" in bibtex
    for name in ("title", "author"):
        assert f"  {name} = {{" in bibtex


def test_entries_have_labels_of_their_own() -> None:
    assert len({label(bibtex) for bibtex in ENTRIES.values()}) == len(ENTRIES)


def test_every_part_cites_what_is_there() -> None:
    for kind, known in PARTS.items():
        for name in known:
            for cite in getattr(known.get(name), "cites", ()):
                assert entry(cite), (kind, name)
    assert all(entry(cite) for cites in METHODS.values() for cite in cites)
    assert all(label(registry.PAPERS.get(name).bibtex) for name in registry.PAPERS)


def test_our_measures_are_cited_without_loading_them() -> None:
    assert {name: MEASURES.get(name).cites for name in LIGHT} == dict(LIGHT)


def test_an_unknown_key_offers_the_nearest() -> None:
    with pytest.raises(ValueError, match=re.escape("unknown citation 'nanda2032': did you mean 'nanda2023'")):
        entry("nanda2032")


def test_each_label_once() -> None:
    assert distinct(["@misc{a, x}", "@misc{b, y}", "@misc{a, z}"]) == ["@misc{a, x}", "@misc{b, y}"]
