"""Molecules from a table and random graphs: what an atom is, which are trained on, what is told of bad input."""

from __future__ import annotations

import lzma
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grokscope.data.smiles import read_smiles
from grokscope.errors import DataError, UsageError
from grokscope.facts import GraphLayout
from grokscope.spec import Seeds, resolve
from grokscope.tasks.molecule_features import atom_features, hybridisation, molecules_as_graphs
from grokscope.tasks.molecules import Molecules
from grokscope.tasks.molecules_synthetic import synthetic, teacher

TABLE = [("C", 13.7), ("N", 9.2), ("O", 9.8), ("C#C", 9.1), ("C", 99.0), ("C#N", 9.9), ("C=O", 5.9), ("CC", 12.0)]


def table(root: Path, rows: list[tuple[str, float]] = TABLE, column: str = "gap") -> Path:
    (root / "qm9").mkdir(exist_ok=True)
    lines = [f"SMILES,{column},mol_weight", *(f"{smiles},{value},1.0" for smiles, value in rows)]
    (root / "qm9" / "qm9_gap_31k.csv.xz").write_bytes(lzma.compress("\n".join(lines).encode()))
    return root


def small(root: Path, **changes: Any) -> Molecules:
    return Molecules(**{"directory": str(root), "train_examples": 4, "test_examples": 3, "nodes": 3, **changes})


def test_features_of_a_molecule_by_hand() -> None:
    # formamide: nitrogen's lone pair is beside a double bond
    nitrogen, carbon, oxygen = atom_features(read_smiles("NC=O")).tolist()
    assert nitrogen == [0, 0, 1, 0, 0, 7, 0, 0, 1, 0, 2]
    assert carbon == [0, 1, 0, 0, 0, 6, 0, 0, 1, 0, 1]
    assert oxygen == [0, 0, 0, 1, 0, 8, 0, 0, 1, 0, 0]
    # hydrogens that are atoms are counted at their neighbour all the same
    explicit = atom_features(read_smiles("NC=O").with_hydrogens())
    assert explicit[:3].tolist() == [nitrogen, carbon, oxygen]
    assert explicit[3].tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("smiles", "orbitals"),
    [
        ("C", [3]),
        ("C#N", [1, 1]),
        ("O=C=O", [2, 1, 2]),
        ("CO", [3, 3]),
        ("C=CO", [2, 2, 2]),
        ("c1cc[nH]c1", [2] * 5),
        ("c1ccncc1", [2] * 6),
        ("c1ccoc1", [2] * 5),
        ("CC=C", [3, 2, 2]),  # four neighbours are sp3, whatever stands beside them
        ("[NH3+]C=C", [3, 2, 2]),
        ("[CH3+]", [2]),
        ("[H][H]", [0, 0]),
        ("CF", [3, 3]),
    ],
)
def test_hybridisation(smiles: str, orbitals: list[int]) -> None:
    assert hybridisation(read_smiles(smiles)) == orbitals


def test_a_molecule_as_an_array() -> None:
    (graph,) = molecules_as_graphs([read_smiles("C=O")], 3)
    assert graph.shape == GraphLayout(3, 11, 4).shape == (3, 24)
    assert graph[:, 11].tolist() == [1, 1, 0]
    edges = graph[:, 12:].reshape(3, 4, 3)
    assert edges[:, 1].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]  # the double bond
    assert edges.sum() == 2
    assert not graph[2].any()


def test_the_first_molecules_each_once_and_a_split_by_the_seed(tmp_path: Path) -> None:
    root = table(tmp_path)
    settings = small(root, standardised=False)
    assert settings.absent() is None
    task = settings.build(Seeds.derive(1))
    train, test = task.probes["train"], task.probes["test"]
    assert train.targets is not None
    assert test.targets is not None
    assert train.inputs.shape == (4, 3, 24)
    found = [round(value, 1) for value in [*train.targets[:, 0].tolist(), *test.targets[:, 0].tolist()]]
    assert sorted(found) == sorted(value for _, value in TABLE if value != 99.0)
    assert found != [value for _, value in TABLE if value != 99.0]
    other = settings.build(Seeds.derive(2)).probes["train"].targets
    assert other is not None
    assert not torch.equal(other, train.targets)
    # of six, the last of the table is none
    fewer = small(root, standardised=False, train_examples=3).build(Seeds.derive(1)).probes
    assert all(12.0 not in [round(v, 1) for v in one.targets[:, 0].tolist()] for one in fewer.values())  # type: ignore[index]
    assert task.facts.graph == GraphLayout(3, 11, 4)
    assert task.facts.geometry is not None
    assert task.facts.geometry.shape == (3, 24)
    assert task.facts.chance.loss == pytest.approx(float(test.targets.double().var(correction=0)), rel=1e-6)


def test_targets_are_standardised_by_those_trained_on(tmp_path: Path) -> None:
    raw, scaled = (small(table(tmp_path), standardised=on).build(Seeds.derive(1)).probes for on in (False, True))
    before, after = (one["train"].targets for one in (raw, scaled))
    assert before is not None
    assert after is not None
    assert after.mean().abs() < 1e-6
    assert float(after.var(correction=0)) == pytest.approx(1)
    mean, deviation = before.mean(), before.std(correction=0)
    assert torch.allclose((raw["test"].targets - mean) / deviation, scaled["test"].targets, atol=1e-5)  # type: ignore[arg-type, operator]


def test_hydrogens_another_column_and_a_random_subset(tmp_path: Path) -> None:
    root = table(tmp_path, column="isotropic_polarizability")
    settings = small(
        root, target="isotropic_polarizability", hydrogens=True, nodes=8, subset="random", standardised=False
    )
    task = settings.build(Seeds.derive(0))
    inputs, targets = task.probes["train"].inputs, task.probes["train"].targets
    assert targets is not None
    atoms = {"C": 5, "N": 4, "O": 3, "C#C": 4, "C#N": 3, "C=O": 4, "CC": 8}
    known = {round(value, 1): atoms[smiles] for smiles, value in TABLE if value != 99.0}
    for graph, target in zip(inputs, targets[:, 0].tolist(), strict=True):
        assert int(graph[:, 11].sum()) == known[round(target, 1)]


def test_batches_are_those_of_the_order_stream(tmp_path: Path) -> None:
    task = small(table(tmp_path), batch_size=3).build(Seeds.derive(0))
    assert [len(task.batch(step)) for step in range(4)] == [3, 1, 3, 1]
    assert len(torch.unique(torch.cat([task.batch(step).inputs for step in (0, 1)]), dim=0)) == 4


def test_synthetic_graphs_and_their_teacher() -> None:
    graphs, targets = synthetic(40, 6, 3)
    sizes = graphs[..., 11].sum(1)
    assert sizes.min() >= 4
    assert sizes.max() == 6
    edges = graphs[..., 12:].reshape(40, 6, 4, 6)
    assert (edges == edges.transpose(0, 3, 2, 1)).all()
    assert edges.sum(2).max() == 1
    # a tree at least: every node has an edge
    assert (edges.sum((2, 3)) >= graphs[..., 11]).all()
    assert len(np.unique(targets)) > 35
    again = synthetic(40, 6, 3)
    assert np.array_equal(graphs, again[0])
    assert np.array_equal(targets, again[1])
    # the teacher does not see in which order nodes stand
    order = np.random.default_rng(0).permutation(6)
    moved = graphs[:, order].copy()
    moved[..., 12:] = edges[:, order][..., order].reshape(40, 6, 24)
    assert teacher(moved, 3) == pytest.approx(targets)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "zinc"}, "zinc"),
        ({"batch_size": 60}, "batch_size = 60 of 50 train_examples: make it smaller, or leave it out"),
        ({"train_examples": 20_000}, "of synthetic molecules at most 20000 are drawn: ask for fewer"),
        ({"hydrogens": True}, r"synthetic graphs have no hydrogens and one target: leave task\.hydrogens"),
        ({"nodes": 1}, "nodes = 1 leaves synthetic graphs no edge: set it to 2 at least"),
    ],
)
def test_what_is_wrong_is_told(changes: dict[str, Any], message: str) -> None:
    tree = {
        "task": {"name": "molecules", "dataset": "synthetic", **changes},
        "model": {"name": "graph-network"},
        "learner": {"name": "gradient"},
        "optimizer": {"name": "adamw"},
    }
    with pytest.raises(UsageError, match=message):
        resolve(tree)


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (TABLE, {"train_examples": 9}, "holds 7 different molecules, fewer than the 12 asked for: ask for fewer"),
        (TABLE, {"nodes": 1}, r"a molecule has 2 atoms, more than task\.nodes = 1: set task\.nodes to 2 at least"),
        (TABLE, {"target": "dipole"}, "lacks the column 'dipole'"),
        (
            [(s, 1.0) for s, _ in TABLE],
            {},
            r"all 4 targets trained on are 1, and cannot be standardised: train on more",
        ),
        ([("CX", 1.0), *TABLE[:6]], {"test_examples": 2}, "the SMILES 'CX' has 'X', at position 1"),
        ([*TABLE[:6], ("CC", float("nan"))], {}, "where a finite number"),
    ],
)
def test_what_is_wrong_with_the_table_is_told(
    tmp_path: Path, rows: list[tuple[str, float]], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        small(table(tmp_path, rows), **changes).build(Seeds.derive(0))


def test_a_missing_table_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GROKSCOPE_DATA", raising=False)
    assert "set GROKSCOPE_DATA" in (Molecules().absent() or "")
    assert "was not found in" in (Molecules(directory=str(tmp_path)).absent() or "")
    assert Molecules(dataset="synthetic").absent() is None


def test_the_real_table() -> None:
    root = os.environ.get("GROKSCOPE_DATA")
    if not root or not os.path.isfile(os.path.join(root, "qm9", "qm9_gap_31k.csv.xz")):
        pytest.skip("the table of QM9 is not here: set GROKSCOPE_DATA")
    task = Molecules(directory=root, hydrogens=True, nodes=17, standardised=False).build(Seeds.derive(0))
    inputs, targets = (task.probes["train"].inputs, task.probes["train"].targets)
    assert targets is not None
    assert inputs.shape == (50, 17, 12 + 4 * 17)
    assert float(targets.min()) > 3
    assert float(targets.max()) < 17
    # hydrogens have one bond each, all others as many as their valence allows at most
    bonds = inputs[..., 12:].unflatten(-1, (4, 17)).sum(-1)
    hydrogen = inputs[..., 0] == 1
    assert (bonds.sum(-1)[hydrogen] == 1).all()
    assert (bonds.sum(-1) <= 4).all()
