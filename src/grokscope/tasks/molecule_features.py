"""Molecules as arrays: what is known of each atom, and the kinds of the bonds between them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from grokscope.data.smiles import AROMATIC, Molecule
from grokscope.errors import DataError
from grokscope.facts import GraphLayout

ELEMENTS = ("H", "C", "N", "O", "F")
NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}
OUTER = {"H": 1, "C": 4, "N": 5, "O": 6, "F": 7}
"""Electrons of the outer shell."""
ORDERS = (1.0, 2.0, 3.0, AROMATIC)
FEATURES, KINDS = 11, len(ORDERS)


@lru_cache(maxsize=4096)
def atom_features(molecule: Molecule) -> np.ndarray:
    """Return what is known of each atom, float32 (atoms, 11).

    In the order of PyTorch Geometric's QM9: one-hot of H, C, N, O, F; atomic number; whether aromatic, sp, sp2, sp3;
    number of hydrogens bound to it.

    Example:
        >>> from grokscope.data.smiles import read_smiles
        >>> atom_features(read_smiles("C#N"))[1].tolist()
        [0.0, 0.0, 1.0, 0.0, 0.0, 7.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    """
    found = np.zeros((len(molecule.atoms), FEATURES), np.float32)
    hydrogens = np.array(molecule.hydrogens)
    for i, j, _ in molecule.bonds:
        hydrogens[i] += molecule.atoms[j] == "H"
        hydrogens[j] += molecule.atoms[i] == "H"
    for index, (atom, orbitals) in enumerate(zip(molecule.atoms, hybridisation(molecule), strict=True)):
        found[index, ELEMENTS.index(atom)] = 1
        found[index, 5] = NUMBERS[atom]
        found[index, 6] = molecule.aromatic[index]
        if orbitals:
            found[index, 6 + orbitals] = 1
        found[index, 10] = hydrogens[index]
    return found


def hybridisation(molecule: Molecule) -> list[int]:
    """Return 1, 2 or 3 for each atom that is sp, sp2 or sp3, and 0 for hydrogen.

    Neighbours and lone pairs are counted: two are sp, three sp2, four sp3. A lone pair beside a multiple or aromatic
    bond is in conjugation with it, and the atom sp2.

    Example:
        >>> from grokscope.data.smiles import read_smiles
        >>> hybridisation(read_smiles("NC=O"))
        [2, 2, 2]
    """
    orders: list[list[float]] = [[1.0] * count for count in molecule.hydrogens]
    neighbours: list[list[int]] = [[] for _ in molecule.atoms]
    for i, j, order in molecule.bonds:
        for one, other in ((i, j), (j, i)):
            orders[one].append(order)
            neighbours[one].append(other)
    unsaturated = [any(order > 1 for order in mine) for mine in orders]
    found = []
    for index, atom in enumerate(molecule.atoms):
        if atom == "H":
            found.append(0)
            continue
        degree = len(orders[index])
        around = degree + _lone_pairs(molecule, index, orders[index])
        conjugated = unsaturated[index] or any(unsaturated[other] for other in neighbours[index])
        if around >= 4 and degree < 4 and conjugated:
            around = 3
        found.append(min(max(around - 1, 1), 3))
    return found


def _lone_pairs(molecule: Molecule, index: int, orders: Sequence[float]) -> int:
    atom, charge = molecule.atoms[index], molecule.charges[index]
    used = int(sum(1.0 if order == AROMATIC else order for order in orders))
    if molecule.aromatic[index]:
        # an aromatic atom whose valence is not spent shares one more electron in a double bond
        usual = 4 - abs(charge) if atom == "C" else 8 - OUTER[atom] + charge
        used += used < usual
    return max(OUTER[atom] - charge - used, 0) // 2


Edge = tuple[int, int, int]


def pack(features: Sequence[np.ndarray], edges: Sequence[Sequence[Edge]], layout: GraphLayout) -> np.ndarray:
    """Return graphs padded to one size, float32 (graphs, *layout.shape).

    Args:
        features: of the nodes of each graph, (nodes, features).
        edges: (i, j, kind) of each graph, without a direction.
        layout: how many nodes a graph is padded to, and how rows are laid out.

    Example:
        >>> pack([np.ones((2, 1))], [[(0, 1, 0)]], GraphLayout(nodes=2, features=1, kinds=1))[0].tolist()
        [[1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0]]
    """
    packed = np.zeros((len(features), *layout.shape), np.float32)
    for graph, nodes, bonds in zip(packed, features, edges, strict=True):
        count = len(nodes)
        graph[:count, : layout.features] = nodes
        graph[:count, layout.features] = 1
        for i, j, kind in bonds:
            first = layout.features + 1 + kind * layout.nodes
            graph[i, first + j] = graph[j, first + i] = 1
    return packed


def molecules_as_graphs(molecules: Sequence[Molecule], nodes: int) -> np.ndarray:
    """Return molecules padded to ``nodes`` atoms, float32 (molecules, nodes, 12 + 4 nodes).

    Raises:
        DataError: a molecule has more atoms.

    Example:
        >>> from grokscope.data.smiles import read_smiles
        >>> molecules_as_graphs([read_smiles("CO")], 3).shape
        (1, 3, 24)
    """
    largest = max(molecules, key=lambda one: len(one.atoms))
    if len(largest.atoms) > nodes:
        raise DataError(
            f"a molecule has {len(largest.atoms)} atoms, more than task.nodes = {nodes}: set task.nodes to "
            f"{len(largest.atoms)} at least."
        )
    layout = GraphLayout(nodes, FEATURES, KINDS)
    edges = [[(i, j, ORDERS.index(order)) for i, j, order in one.bonds] for one in molecules]
    return pack([atom_features(one) for one in molecules], edges, layout)
