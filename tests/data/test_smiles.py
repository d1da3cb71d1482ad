"""SMILES against molecules worked out by hand, the weights of a real table, and what is told of texts that are none."""

from __future__ import annotations

import os

import numpy as np
import pytest

from grokscope.data.rows import read_columns
from grokscope.data.smiles import AROMATIC, WEIGHTS, Molecule, read_smiles
from grokscope.errors import DataError


def formula(molecule: Molecule) -> dict[str, int]:
    counts = {atom: molecule.atoms.count(atom) for atom in set(molecule.atoms)}
    counts["H"] = counts.get("H", 0) + sum(molecule.hydrogens)
    return {atom: count for atom, count in counts.items() if count}


def test_benzene() -> None:
    ring = read_smiles("c1ccccc1")
    assert ring.atoms == ("C",) * 6
    assert ring.hydrogens == (1,) * 6
    assert ring.aromatic == (True,) * 6
    assert sorted(ring.bonds) == sorted([*((i, i + 1, AROMATIC) for i in range(5)), (0, 5, AROMATIC)])
    assert ring.weight == pytest.approx(6 * 12.011 + 6 * 1.008)


def test_carbon_dioxide() -> None:
    assert read_smiles("O=C=O") == Molecule(
        ("O", "C", "O"), (0, 0, 0), (0, 0, 0), (False,) * 3, ((0, 1, 2.0), (1, 2, 2.0))
    )


@pytest.mark.parametrize(
    ("text", "hydrogens"),
    [
        ("C", [4]),
        ("N#C", [0, 1]),
        ("CN(=O)=O", [3, 0, 0, 0]),  # nitrogen of five bonds
        ("C[N+](=O)[O-]", [3, 0, 0, 0]),
        ("c1cc[nH]c1", [1, 1, 1, 1, 1]),  # pyrrole: only nitrogen says so
        ("c1ccncc1", [1, 1, 1, 0, 1, 1]),  # pyridine
        ("c1ccoc1", [1, 1, 1, 0, 1]),  # furan
        ("Cn1cccc1", [3, 0, 1, 1, 1, 1]),
        ("O=c1cc[nH]cc1", [0, 0, 1, 1, 1, 1, 1]),  # carbon with a double bond out of the ring
        ("Cc1ccccc1", [3, 0, 1, 1, 1, 1, 1]),
        ("[NH4+]", [4]),
        ("[OH-]", [1]),
        ("FC(F)(F)[H]", [0, 0, 0, 0, 0]),
    ],
)
def test_hydrogens(text: str, hydrogens: list[int]) -> None:
    assert list(read_smiles(text).hydrogens) == hydrogens


def test_branches_lead_back() -> None:
    # isobutane with a hydroxyl: the branches (C) and (C) are both bound to the second atom
    assert sorted(read_smiles("CC(C)(C)O").bonds) == [(0, 1, 1.0), (1, 2, 1.0), (1, 3, 1.0), (1, 4, 1.0)]
    assert sorted(read_smiles("C(CC=O)#N").bonds) == [(0, 1, 1.0), (0, 4, 3.0), (1, 2, 1.0), (2, 3, 2.0)]


def test_rings_close_and_their_numbers_are_used_again() -> None:
    naphthalene = read_smiles("c1ccc2ccccc2c1")
    assert formula(naphthalene) == {"C": 10, "H": 8}
    assert len(naphthalene.bonds) == 11
    assert naphthalene == read_smiles("c%11ccc%12ccccc%12c%11")
    assert formula(read_smiles("C1CC1C1CC1")) == {"C": 6, "H": 10}
    # the order of the closing bond may stand at either end
    assert read_smiles("C=1CCC1").bonds == read_smiles("C1CCC=1").bonds == read_smiles("C=1CCC=1").bonds
    assert (0, 3, 2.0) in read_smiles("C=1CCC1").bonds
    # two aromatic rings joined by a bond that is not aromatic
    assert [order for i, j, order in read_smiles("c1ccccc1-c1ccccc1").bonds if (i, j) == (5, 6)] == [1.0]


@pytest.mark.parametrize(
    ("text", "charges"),
    [("[O-]", [-1]), ("[NH3+]CC(=O)[O-]", [1, 0, 0, 0, -1]), ("[N--]", [-2]), ("[C+2]", [2]), ("[NH2+:3]C", [1, 0])],
)
def test_charges(text: str, charges: list[int]) -> None:
    assert list(read_smiles(text).charges) == charges


def test_marks_of_stereochemistry_are_dropped() -> None:
    assert read_smiles("F/C=C\\F").bonds == read_smiles("FC=CF").bonds
    assert read_smiles("N[C@@H](C)O").hydrogens == read_smiles("NC(C)O").hydrogens


def test_hydrogens_as_atoms_and_back() -> None:
    water = read_smiles("[H]O[H]")
    assert water.without_hydrogens() == read_smiles("O")
    assert formula(water) == {"O": 1, "H": 2}
    ethanol = read_smiles("CCO")
    explicit = ethanol.with_hydrogens()
    assert len(explicit.atoms) == 9
    assert explicit.weight == pytest.approx(ethanol.weight)
    assert explicit.without_hydrogens() == ethanol
    assert read_smiles("[H][H]").without_hydrogens().atoms == ("H", "H")
    assert read_smiles("[H]C([H])([H])[H]").without_hydrogens() == read_smiles("C")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the SMILES '' holds no atom: write atoms C N O F c n o or in brackets"),
        ("CCS", r"the SMILES 'CCS' has 'S', at position 2: write atoms"),
        ("C.C", "has '.', at position 1"),
        ("C[13CH3]", r"has '\[13CH3\]', which is no bracket atom of H, C, N, O or F, at position 1"),
        ("C[NH", r"has '\[NH', which is no bracket atom"),
        ("=C", "has a bond '=' that follows no atom, at position 0"),
        ("C=#C", "has a bond '#' that follows no atom, at position 2"),
        ("CC=", "has a bond that leads to no atom, at position 2"),
        ("(C)C", "opens a branch that follows no atom, at position 0"),
        ("C(C", "opens a branch that is never closed, at position 1"),
        ("CC)C", "closes a branch that is not open or ends in a bond, at position 2"),
        ("C1CC", "opens ring 1, which is never closed, at position 1"),
        ("1CC1", "has a ring closure that follows no atom, at position 0"),
        ("C11", "binds an atom to itself or twice to another, at position 2"),
        ("C1C1", "binds an atom to itself or twice to another, at position 3"),
        ("C=1CC#1", "closes ring 1 by another bond than it opened it, at position 6"),
        ("C%1CC", "has '%', at position 1"),
        ("FC(F)(F)(F)F", "has C of 5 bonds, more than its 4, at position 1"),
        ("C=F", "has F of 2 bonds, more than its 1, at position 2"),
        ("cC", "has an aromatic atom in no aromatic ring, at position 0"),
        ("C1:C:C1", "has an aromatic bond at an atom that is not, at position 0"),
        ("c1ccc(=O)(C)c1", "has an aromatic C of 5 bonds, more than 4, at position 4"),
    ],
)
def test_what_is_wrong_is_told_with_its_position(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_smiles(text)


def test_weights_of_a_real_table() -> None:
    root = os.environ.get("GROKSCOPE_DATA")
    path = os.path.join(root, "qm9", "qm9_gap_31k.csv.xz") if root else ""
    if not os.path.isfile(path):
        pytest.skip("the table of QM9 is not here: set GROKSCOPE_DATA")
    rows = read_columns(path, ("SMILES", "mol_weight"))
    assert len(rows) == 30_937
    rows = rows[:200] + rows[200::8]
    molecules = [read_smiles(smiles) for _, (smiles, _) in rows]
    found = np.array([molecule.weight for molecule in molecules])
    assert np.abs(found - [float(weight) for _, (_, weight) in rows]).max() < 1e-9
    assert max(len(molecule.atoms) for molecule in molecules) == 9
    assert {atom for molecule in molecules for atom in molecule.atoms} <= set(WEIGHTS)
    assert all(one.with_hydrogens().without_hydrogens() == one for one in molecules[::50])
