from __future__ import annotations

import subprocess
import sys
from types import MappingProxyType

import pytest

from grokscope.analysis.transitions import TransitionRule
from grokscope.claims import Claim, Criterion
from grokscope.errors import UsageError
from grokscope.paper import Experiment, Figure, Paper

RULE = TransitionRule(fit=("train/accuracy", 0.99), generalise=("test/accuracy", 0.9))


def experiment(name="main", **changes):
    given = {
        "name": name,
        "title": "Modular addition",
        "spec": {
            "task": {"name": "modular", "modulus": 113},
            "learner": {"name": "gradient", "steps": 40_000},
        },
        "scales": {"smoke": {"learner.steps": 20}, "cpu": {"task.modulus": 53, "record.observe.every": 10}},
        "transition": RULE,
        "record": {"measures": ("performance",), "observe": {"every": 100}},
        "roles": {"embedding": "embed.weight"},
        "minutes": {"smoke": 0.1, "cpu": 2},
    }
    return Experiment(**(given | changes))


def claim(id="C1", experiments=("main",)):
    return Claim(id, "It groks.", "Fig. 1", experiments, "m:f", criterion={"cpu": Criterion({"x": (0, 1)}, "sheet")})


def paper(**changes):
    given = {
        "id": "nanda2023",
        "title": "Progress measures",
        "bibtex": "@inproceedings{nanda2023}",
        "experiments": (experiment(), experiment("control")),
        "claims": (claim(), claim("C2", ("main", "control"))),
        "figures": (Figure("F1", "Losses", ("main",), "m:draw"),),
    }
    return Paper(**(given | changes))


def test_the_tree_has_the_scale_laid_over_the_papers_own_setting():
    tree = experiment().tree("cpu")
    assert tree == {
        "task": {"name": "modular", "modulus": 53},
        "learner": {"name": "gradient", "steps": 40_000},
        "experiment": "main",
        "scale": "cpu",
        "transition": RULE.model_dump(mode="json"),
        "record": {"measures": ["performance"], "observe": {"every": 10}},
        "roles": {"embedding": "embed.weight"},
    }
    assert experiment().tree("smoke")["learner"]["steps"] == 20
    assert experiment().tree("paper")["task"]["modulus"] == 113


def test_making_a_tree_changes_nothing_and_takes_any_mapping():
    frozen = MappingProxyType({"task": MappingProxyType({"name": "modular", "modulus": 113})})
    one = experiment(spec=frozen)
    one.tree("cpu")["task"]["modulus"] = 1
    assert one.tree("paper")["task"] == {"name": "modular", "modulus": 113}


def test_the_transition_comes_back_from_the_tree_and_may_be_absent():
    assert TransitionRule.model_validate(experiment().tree("cpu")["transition"]) == RULE
    assert experiment(transition=None).tree("cpu")["transition"] is None


def test_an_unknown_scale_offers_the_nearest():
    with pytest.raises(UsageError, match="unknown scale 'smok': did you mean 'smoke'"):
        experiment().tree("smok")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scales": {"smoke": {}}}, "no scale cpu"),
        ({"scales": {"smoke": {}, "cpu": {}, "paper": {"learner.steps": 9}}}, "put that into spec"),
        ({"spec": {"record": {}}}, "give it apart"),
        ({"minutes": {"gpu": 1}}, "unknown scale 'gpu'"),
    ],
)
def test_a_wrong_experiment_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        experiment(**changes)


def test_the_scales_in_order():
    assert experiment().scale_names == ("smoke", "cpu", "paper")
    assert experiment(scales={"tiny": {}, "cpu": {}, "smoke": {}}).scale_names == (
        "smoke",
        "cpu",
        "paper",
        "tiny",
    )


def test_a_paper_finds_its_parts_and_adds_its_name():
    one = paper()
    assert one.experiment("control").name == "control"
    assert one.claim("C2") is one.claim("nanda2023/C2") is one.claims[1]
    assert one.tree("main", "cpu") == {"paper": "nanda2023", **experiment().tree("cpu")}


def test_unknown_parts_offer_the_nearest():
    with pytest.raises(UsageError, match="experiment of nanda2023 'contrl': did you mean 'control'"):
        paper().experiment("contrl")
    with pytest.raises(UsageError, match="claim of nanda2023"):
        paper().claim("C99")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"experiments": (experiment(), experiment("control"), experiment())},
            "two experiments called 'main'",
        ),
        ({"claims": (claim(), claim())}, "two claims called 'C1'"),
        ({"figures": (Figure("F1", "", ("main",), "m:f"),) * 2}, "two figures called 'F1'"),
        ({"claims": (claim(experiments=("contrl",)),)}, "claim C1: unknown experiment 'contrl'.* 'control'"),
        ({"figures": (Figure("F1", "", ("other",), "m:f"),)}, "figure F1: unknown experiment 'other'"),
        (
            {"experiments": (experiment(), experiment("control", cell_of="mian"))},
            "nanda2023, cell_of of experiment control: unknown experiment 'mian': did you mean 'main'",
        ),
        (
            {"experiments": (experiment(), experiment("control", cell_of="main"), experiment("c", cell_of="control"))},
            "cell_of of experiment c: 'control' is itself a cell, of 'main'; name an experiment that is none",
        ),
        (
            {"experiments": (experiment(), experiment("control", cell_of="control"))},
            "cell_of of experiment control: 'control' is itself a cell, of 'control'",
        ),
    ],
)
def test_a_wrong_paper_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        paper(**changes)


def test_a_cell_is_an_experiment_like_any_other_at_every_scale():
    one = paper(experiments=(experiment(), experiment("control", cell_of="main")))
    assert one.experiment("control").cell_of == "main"
    assert one.tree("control", "smoke") == {"paper": "nanda2023", **experiment("control").tree("smoke")}


def test_a_figure_names_its_function():
    with pytest.raises(UsageError, match="module:function"):
        Figure("F1", "", ("main",), "draw")


def test_papers_and_claims_are_read_without_torch():
    code = "import sys, grokscope.paper, grokscope.claims, grokscope.analysis.phases\n"
    code += "print([name for name in ('torch', 'scipy', 'pandas') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
