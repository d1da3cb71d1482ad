from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from grokscope.errors import UsageError
from grokscope.report import Band, Curve, lines, page, plotly_javascript
from grokscope.report.sections import happened

NASTY = "</script><b>&\"'"
VERDICTS = ("reproduced", "not reproduced", "inconclusive", "not testable here")
VOID = {"meta", "link", "br", "img", "input"}


class Reader(HTMLParser):
    """Collects elements, text by element and script bodies, and fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def shown(self) -> str:
        return " ".join(" ".join(self.text).split())

    def with_class(self, name):
        return [tag for tag in self.elements if name in tag[1].get("class", "").split()]


def a_figure(name: str = "loss"):
    return lines("own title", [Curve(name, np.array([0, 1, 10]), np.array([1 / 3, np.nan, 2.0]))], y_title="y")


def a_run(**more):
    spec = {"paper": "p", "task": {"name": "modular", "modulus": 53}, "optimizer": {"betas": [0.9, 0.98]}}
    run = {"run_dir": "runs/p/e/cpu-s0-12345678", "status": "finished", "seed": 0, "steps": 5000, "spec": spec}
    return run | {"wall_seconds": 83.2, "events": [], "command": "grokscope run runs/spec.json"} | more


def a_claim(status, **more):
    claim = {"id": "p/c1", "statement": "Loss falls.", "figure": "loss", "status": status, "value": 0.41}
    claim |= {"interval": [0.38, 0.47], "criterion": "< 0.8", "criterion_source": "sheet", "met": True}
    return claim | {"reason": None, "runs": ["runs/p/e/cpu-s0-12345678"]} | more


def made(**more):
    return page(**({"title": "Title", "subtitle": "Subtitle", "javascript": "plotly.min.js"} | more))


def test_a_page_with_nothing_on_it_is_fine_and_needs_no_javascript():
    text = page(title="Title", subtitle="")
    read = Reader(text)
    assert "Title" in read.shown
    assert read.scripts == []
    assert len(text) < 20_000


def test_figures_are_embedded_with_short_numbers_and_their_title_once():
    read = Reader(made(figures=[("loss", "The loss", "It falls.", a_figure())]))
    embedded = json.loads(read.scripts[0])
    assert embedded["data"][0]["y"] == [0.333333, None, 2]
    assert "title" not in embedded["layout"]
    assert read.shown.count("The loss") == 1
    assert "It falls." in read.shown
    assert ("script", {"src": "plotly.min.js"}) in read.elements


def test_the_inline_page_holds_plotly_and_loads_nothing():
    text = page(title="T", subtitle="", figures=[("loss", "Loss", "", a_figure())], claims=[a_claim("reproduced")])
    assert plotly_javascript() in text
    assert "</script" not in plotly_javascript().lower()
    read = Reader(text)
    loads = [
        value
        for _, attributes in read.elements
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "poster", "srcset")
    ]
    assert all(value.startswith("#") or value == "data:," for value in loads), loads


def test_no_page_reaches_for_a_network():
    figures, runs = [("loss", "Loss", "", a_figure())], [a_run()]
    text = made(figures=figures, claims=[a_claim("reproduced")], runs=runs, citations=["@misc{a}"])
    assert not re.search(r"(src|href|url|import)\s*[=(]?\s*[\"']?\s*(https?:)?//", text)
    assert "https://" not in text
    assert "http://" not in text
    policy = next(a["content"] for _, a in Reader(text).elements if a.get("http-equiv"))
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("javascript", ["https://cdn.example/plotly.js", "//cdn/plotly.js", "/plotly.js", ""])
def test_javascript_from_elsewhere_is_refused(javascript):
    with pytest.raises(UsageError, match="relative to the page"):
        made(javascript=javascript)


def test_text_from_runs_is_shown_as_text():
    figure = lines(NASTY, [Curve(NASTY, np.array([1]), np.array([1.0]))], y_title=NASTY, bands=[Band(NASTY, 0, None)])
    event = {"kind": "measure_failed", "measure": NASTY, "step": 3, "reason": NASTY}
    run = a_run(run_dir=NASTY, status=NASTY, spec={NASTY: {NASTY: NASTY}}, events=[event], command=NASTY)
    claim = a_claim(NASTY, id=NASTY, statement=NASTY, figure=NASTY, value=NASTY, criterion=NASTY, runs=[NASTY])
    claim |= {"reason": NASTY, "criterion_source": NASTY, "interval": [NASTY, NASTY]}
    text = made(
        title=NASTY, subtitle=NASTY, facts=[(NASTY, NASTY)], figures=[(NASTY, NASTY, NASTY, figure)], claims=[claim],
        phases=[{"name": NASTY, "start": 0, "end": None}], runs=[run, run | {"spec": {NASTY: 2}}], citations=[NASTY],
    )  # fmt: skip
    read = Reader(text)  # tags match: nothing broke out
    assert "b" not in {tag for tag, _ in read.elements}
    assert read.shown.count("</script><b>&\"'") >= 20
    name = json.loads(read.scripts[0])["data"][0]["name"]
    assert "<" not in name
    assert len(read.scripts) == 2


@pytest.mark.parametrize("status", VERDICTS)
def test_every_verdict_has_a_chip_with_a_sign_a_word_and_a_colour(status):
    text = made(claims=[a_claim(status)])
    chips = Reader(text).with_class("chip")
    assert len(chips) == 1
    assert re.search(rf'class="chip (good|bad|open|none)"><svg [^>]*><path d="[^"]+"/></svg>{status}<', text)


def test_verdicts_differ_in_sign_and_colour():
    signs = {re.search(r'<path d="([^"]+)"', made(claims=[a_claim(status)])).group(1) for status in VERDICTS}
    tones = {re.search(r'"chip (\w+)"', made(claims=[a_claim(status)])).group(1) for status in VERDICTS}
    assert len(signs) == len(tones) == len(VERDICTS)


def test_a_claim_shows_value_interval_criterion_and_who_fixed_it():
    shown = Reader(made(claims=[a_claim("reproduced"), a_claim("inconclusive", criterion_source="ours")])).shown
    assert "0.41 [0.38, 0.47]" in shown
    assert "< 0.8" in shown
    assert "the specification's" in shown
    assert "fixed by us" in shown
    assert shown.count("criterion met so far") == 1
    assert "1 reproduced, 1 inconclusive." in shown


def test_a_claim_links_to_its_figure_where_that_is_on_the_page():
    links = [("a", {"href": "#figure-loss"})]
    with_it = Reader(made(claims=[a_claim("reproduced")], figures=[("loss", "Loss", "", a_figure())]))
    assert [one for one in with_it.elements if one in links] == links
    assert not [one for one in Reader(made(claims=[a_claim("reproduced")])).elements if one in links]


def test_a_claim_of_which_little_is_known_is_shown():
    shown = Reader(made(claims=[{"id": "p/c9"}, a_claim("reproduced", value="nan", interval=None)])).shown
    assert "not judged" in shown
    assert "not a number" in shown


@pytest.mark.parametrize(
    ("transition", "words"),
    [
        ((200.2, 2500, 2299.8, 12.49), ("step 200 and generalised at step 2,500", "2,300 steps", "12.5")),
        ((200, None, None, None), ("had not generalised by step 5,000",)),
        ((None, None, None, None), ("Neither",)),
        ((None, 300, None, None), ("Generalised at step 300", "never")),
        ((0, 300, 300, None), ("step 0 and generalised at step 300", "300 steps.")),
        ((300, 200, -100, 0.67), ("100 steps before",)),
        ((300, 300, 0, 1.0), ("generalised at step 300.",)),
    ],
)
def test_what_happened_is_said_in_one_sentence(transition, words):
    names = ("fit_step", "generalise_step", "delay_steps", "delay_ratio")
    sentence = happened(dict(zip(names, transition, strict=True)), 5000)
    assert all(word in sentence for word in words), sentence
    assert sentence.endswith(".")
    assert "None" not in sentence


def test_a_run_that_did_not_end_well_says_so_first():
    assert "The run is diverged." in Reader(made(runs=[a_run(status="diverged")])).shown
    assert "1 of 2 runs" in Reader(made(runs=[a_run(status="failed"), a_run()])).shown


def test_the_whole_spec_can_be_read():
    shown = Reader(made(runs=[a_run()])).shown
    assert "modulus 53" in shown
    assert "betas [0.9, 0.98]" in shown
    assert "grokscope run runs/spec.json" in shown


def test_several_runs_are_set_side_by_side_with_what_differs():
    other = a_run(run_dir="runs/p/e/cpu-s1-87654321", seed=1, spec=a_run()["spec"] | {"task": {"modulus": 97}})
    shown = Reader(made(runs=[a_run(), other])).shown
    assert "task.modulus 53 97" in shown
    assert "task.name modular –" in shown
    assert "optimizer.betas 0.9" not in shown
    assert "All runs have the same settings." in Reader(made(runs=[a_run(), a_run()])).shown


def test_many_events_are_cut_and_counted():
    events = [{"kind": "resumed", "step": step} for step in range(100)]
    shown = Reader(made(runs=[a_run(events=events)])).shown
    assert shown.count("Training went on") == 40
    assert "60 more are in events.jsonl" in shown
    assert "None: no measure failed" in Reader(made(runs=[a_run()])).shown


def test_a_figure_without_data_says_so():
    read = Reader(made(figures=[("empty", "Empty", "", {"data": [], "layout": {}})]))
    assert "No data were stored for this figure." in read.shown
    assert not read.with_class("plot")


def test_two_figures_with_one_id_are_refused():
    with pytest.raises(UsageError, match="'a'"):
        made(figures=[("a", "A", "", a_figure()), ("a", "B", "", a_figure())])


def test_citations_are_listed_once():
    assert Reader(made(citations=["@misc{a}", "@misc{b}", "@misc{a}"])).shown.count("@misc{a}") == 1


def test_the_page_can_be_read_without_eyes_or_mouse():
    read = Reader(made(figures=[("loss", "Loss", "Falls.", a_figure())], claims=[a_claim("reproduced")]))
    assert ("html", {"lang": "en"}) in read.elements
    plot = read.with_class("plot")[0][1]
    identifiers = {attributes.get("id") for _, attributes in read.elements}
    assert {plot["aria-labelledby"], plot["aria-describedby"]} <= identifiers
    targets = {a["href"][1:] for tag, a in read.elements if tag == "a"}
    assert targets <= identifiers
    assert all(attributes.get("scope") for tag, attributes in read.elements if tag == "th")
    assert all(attributes.get("tabindex") == "0" for _, attributes in read.with_class("scroll"))
