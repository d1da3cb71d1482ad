"""Cases a referee thought of: what may be judged, what a file's seed means, where a training really ends."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import grokscope as gs
from grokscope.cadence import Cadence
from grokscope.claims import Claim, Criterion, judge
from grokscope.errors import UsageError
from grokscope.execution.judge import speaks
from grokscope.execution.plan import experiment_spec
from grokscope.execution.train import train
from grokscope.learners.gradient import _check_draws
from grokscope.loop.loop import Plan
from grokscope.measures.base import Collected, Hindsight, Key, Measure
from grokscope.registry import MEASURES
from grokscope.snapshot import infer_roles
from grokscope.store import StoredRun, open_run

NAME = "nanda2023/modular-addition"
TINY: dict[str, Any] = {"task.modulus": 5, "learner.steps": 6, "record.observe.every": 2}


def ran(root: Path, changes: dict[str, Any] | None = None) -> StoredRun:
    (path,) = train([experiment_spec(NAME, scale="smoke", changes=changes or {})], root=root)
    return open_run(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"stop.key": "train/accuracy", "stop.level": 0.0},
        {"roles.neuron_to_logit": "W_U"},
        {"record.observe.every": 60},
        {"record.measures": ["performance"]},
        {"learner.steps": 59},
        {"optimizer.weight_decay": 2.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_run_with_settings_of_its_own_does_not_speak(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert not speaks(ran(tmp_path, changes))


def test_the_experiment_itself_speaks_and_may_record_more(tmp_path: Path) -> None:
    assert speaks(ran(tmp_path))
    own = experiment_spec("nanda2023/modular-addition", scale="smoke").record.measures
    assert speaks(ran(tmp_path, {"record.measures": [*own, "gradient"]}))


class Scored:
    """A finished run with one score."""

    def __init__(self, score: float) -> None:
        self.score, self.status, self.spec, self.directory = score, "finished", {}, Path("run")


def test_seeds_a_criterion_was_fixed_on_are_no_evidence() -> None:
    criterion = Criterion({"score": (1, None)}, "ours", "fixed on 100-102", calibration=(100, 101, 102))
    claim = Claim(
        id="C", statement="s", figure="f", experiments=("e",), criterion={"cpu": criterion},
        statistic=lambda runs: {"score": runs["e"].score},
    )  # fmt: skip
    runs: dict[int, Any] = {seed: {"e": Scored(0.0)} for seed in (0, 1, 2)}
    good: dict[int, Any] = {seed: {"e": Scored(2.0)} for seed in (100, 101, 102)}
    both = judge(claim, "p", "cpu", {**runs, **good})
    assert (both.status, both.seeds) == ("not reproduced", [0, 1, 2])
    assert "Left out, as the criterion was fixed on them: seeds 100, 101, 102." in both.reason
    alone = judge(claim, "p", "cpu", good)
    assert (alone.status, alone.met, alone.value) == ("inconclusive", True, 2.0)
    assert alone.reason.startswith("The criterion was fixed on these seeds.")


def test_a_seed_asked_for_stands_before_that_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(experiment_spec(NAME, scale="smoke", seed=3).tree()))
    same, other = experiment_spec(str(path)), experiment_spec(str(path), seed=7)
    assert same.seed == experiment_spec(NAME, scale="smoke", seed=3).seed
    assert other.seed == experiment_spec(NAME, scale="smoke", seed=7).seed
    assert experiment_spec(str(path), changes={"seed.base": 7}).seed == other.seed
    assert experiment_spec(str(path), changes={"seed": 7}).seed == other.seed
    mixed = experiment_spec(str(path), seed=7, changes={"seed.split": 0}).seed
    assert (mixed.split, mixed.init) == (0, other.seed.init)


def test_no_break_lies_beyond_the_end() -> None:
    never_last = Cadence(every=20, last=False)
    plan = Plan(limit=100, observe=[never_last], checkpoint=never_last, breaks=[150])
    assert plan.next_after(90) == 100


def test_members_that_differ_in_steps_or_record_are_refused(tmp_path: Path) -> None:
    for change in ({"learner.steps": 4}, {"record.observe.every": 3}):
        specs = [
            experiment_spec(NAME, scale="smoke", seed=0, changes=TINY),
            experiment_spec(NAME, scale="smoke", seed=1, changes={**TINY, **change}),
        ]
        with pytest.raises(UsageError, match="the members of an ensemble must agree in"):
            train([spec.with_group(specs) for spec in specs], root=tmp_path)


def test_what_a_measure_does_to_its_data_does_not_reach_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vandalise(snapshot: gs.Snapshot) -> dict[str, float]:
        for batch in snapshot.probes.values():
            assert batch.targets is not None
            batch.targets.zero_()
        assert snapshot.initial is not None
        for tensor in [*snapshot.parameters.values(), *snapshot.initial.parameters.values()]:
            tensor.zero_()
        return {"done": 1.0}

    vandal = Measure("vandal", 1, {"done": Key("")}, "a test", compute=vandalise)
    monkeypatch.setitem(MEASURES._known, "vandal", vandal)
    clean = ran(tmp_path / "clean", TINY)
    dirty = ran(tmp_path / "dirty", {**TINY, "record.measures": ["vandal"]})
    last = clean.last_step or 0
    assert clean.checkpoints.load(last) == dirty.checkpoints.load(last)


def test_another_model_under_the_papers_roles_runs_to_its_end(tmp_path: Path) -> None:
    tree = {"model.name": "mlp", "model.widths": [8], **TINY}
    run = ran(tmp_path, tree)
    assert run.status == "finished"
    assert {event["measure"] for event in run.events("measure_does_not_apply")} >= {"fourier"}


def test_a_hindsight_measure_may_keep_everything_and_give_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hindsight = Hindsight(
        collect=lambda snapshot: Collected(kept={"w": snapshot.parameters["W_U"]}),
        reference=lambda snapshot: {"w": snapshot.parameters["W_U"]},
        compare=lambda end, then: {"distance": (end["w"] - then["w"]).norm(), "change": end["w"] - then["w"]},
    )
    measure = Measure("kept", 1, {"distance": Key(""), "change": Key("")}, "a test", hindsight=hindsight)
    monkeypatch.setitem(MEASURES._known, "kept", measure)
    run = ran(tmp_path, {**TINY, "record.measures": ["performance", "kept"]})
    steps, distances = run.series("kept/distance")
    assert steps.tolist() == run.series("train/loss")[0].tolist()
    assert distances[-1] == 0
    assert distances[0] > 0
    assert run.array("kept.hindsight", 0)["change"].shape == (6, 16)


def test_the_loss_logged_is_the_loss_trained_on(tmp_path: Path) -> None:
    changes = {**TINY, "learner.loss": "mean-squared-error", "record.observe": {"every": 1}}
    run = ran(tmp_path, changes)
    steps, trained = run.series("step/loss")
    _, logged = run.series("train/loss")
    assert steps.tolist() == list(range(1, 7))
    assert trained == pytest.approx(logged[:-1], rel=1e-5)


def test_a_model_that_draws_from_the_global_generator_is_refused() -> None:
    spec = experiment_spec(NAME, scale="smoke", changes=TINY)
    task = spec.task.build(spec.seed)

    class Dropping(nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(tokens.float(), 0.5)

    before = torch.random.get_rng_state()
    with pytest.raises(UsageError, match="the model draws random numbers in its forward pass"):
        _check_draws(Dropping(), task, torch.float32)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_default_dtype_of_the_process_changes_no_draw(tmp_path: Path) -> None:
    plain = ran(tmp_path / "a", TINY)
    torch.set_default_dtype(torch.float64)
    try:
        other = ran(tmp_path / "b", TINY)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert plain.checkpoints.load(0) == other.checkpoints.load(0)


def test_a_run_is_found_from_inside_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from grokscope.execution.train import resume

    run = ran(tmp_path, TINY)
    monkeypatch.chdir(run.directory)
    assert [os.path.realpath(path) for path in resume(Path("."))] == [os.path.realpath(run.directory)]


def test_the_exact_name_of_an_embedding_stands_before_similar_ones() -> None:
    class Embedding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(5, 3)
            self.embed_positions = nn.Embedding(4, 3)
            self.out = nn.Linear(3, 5)

    assert infer_roles(Embedding()) == {"embedding": "embed.weight", "readout": "out.weight"}


def test_a_matrix_whose_rows_are_no_residues_is_refused() -> None:
    from grokscope.measures.residues import by_residue

    spec = experiment_spec(NAME, scale="smoke", changes=TINY)
    facts = spec.task.build(spec.seed).facts
    snapshot = gs.Snapshot.of(nn.Linear(7, 16), facts=facts, roles={"embedding": "weight"})
    with pytest.raises(UsageError, match=r"the embedding has the shape \(16, 7\): its rows must be the 5 residues"):
        by_residue(snapshot, "embedding")


def test_a_stop_rule_on_a_key_that_is_not_measured_is_told(tmp_path: Path) -> None:
    run = ran(tmp_path, {**TINY, "stop.key": "test/acuracy", "stop.level": 0.5})
    assert run.status == "finished"
    (event,) = run.events("stop_rule_waits")
    assert event["reason"].startswith(
        "the stop rule waits for test/acuracy, which is not measured: did you mean test/ac"
    )


def test_a_run_that_stops_early_is_measured_as_at_its_last_step(tmp_path: Path) -> None:
    changes = {
        **TINY,
        "stop.key": "train/accuracy",
        "stop.level": 0.0,
        "stop.sustain": 2,
        "record.extra": [{"measures": ["circuit"], "cadence": {"first": False}}],
    }
    run = ran(tmp_path, changes)
    assert (run.status, run.last_step) == ("stopped", 1)
    assert run.series("circuit/rank_gap")[0].tolist() == [1]
    assert run.array_steps("circuit") == [1]
    # what is measured at every observation is not measured twice
    assert run.series("train/loss")[0].tolist() == [0, 1]
    assert len(run.rows("train/loss")["step"]) == 2
