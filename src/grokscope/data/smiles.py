"""SMILES of small organic molecules of H, C, N, O and F, as graphs of atoms and bonds (Weininger 1988)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from grokscope.errors import DataError

WEIGHTS = {"H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998}
"""Standard atomic weights, in g/mol."""
VALENCES = {"H": (1,), "C": (4,), "N": (3, 5), "O": (2,), "F": (1,)}
"""Bonds of a neutral atom, the usual number first."""
AROMATIC = 1.5
"""The order of an aromatic bond."""

_ORDERS = {"-": 1.0, "/": 1.0, "\\": 1.0, "=": 2.0, "#": 3.0, ":": AROMATIC}
_BARE = {"C": "C", "N": "N", "O": "O", "F": "F", "c": "C", "n": "N", "o": "O"}
"""Atoms that stand without brackets, lower case where they are aromatic."""
_BRACKET = re.compile(r"\[(?P<symbol>[HCNOFcno])@{0,2}(?:H(?P<hydrogens>\d?))?(?P<charge>\++\d?|-+\d?)?(?::\d+)?\]")
_RING = re.compile(r"%(\d\d)|(\d)")
_READ = "atoms C N O F c n o or in brackets, bonds - = # :, branches and ring closures"

Bond = tuple[int, int, float]


@dataclass(frozen=True)
class Molecule:
    """Atoms and the bonds between them.

    Attributes:
        atoms: element symbols, (atoms,).
        charges: formal charge of each atom.
        hydrogens: how many hydrogens each atom has that are no atoms of their own here.
        aromatic: whether each atom is part of an aromatic ring.
        bonds: (i, j, order) with i < j, each pair once; the order is 1, 2, 3 or 1.5 for an aromatic bond.
    """

    atoms: tuple[str, ...]
    charges: tuple[int, ...]
    hydrogens: tuple[int, ...]
    aromatic: tuple[bool, ...]
    bonds: tuple[Bond, ...]

    @property
    def weight(self) -> float:
        """The molecular weight in g/mol, hydrogens included.

        Example:
            >>> round(read_smiles("CCO").weight, 3)
            46.069
        """
        return sum(WEIGHTS[atom] for atom in self.atoms) + WEIGHTS["H"] * sum(self.hydrogens)

    def with_hydrogens(self) -> Molecule:
        """Return the molecule with each hydrogen as an atom of its own, after the others.

        Example:
            >>> read_smiles("C").with_hydrogens().atoms
            ('C', 'H', 'H', 'H', 'H')
        """
        owners = [index for index, count in enumerate(self.hydrogens) for _ in range(count)]
        number = len(self.atoms)
        return Molecule(
            self.atoms + ("H",) * len(owners),
            self.charges + (0,) * len(owners),
            (0,) * (number + len(owners)),
            self.aromatic + (False,) * len(owners),
            self.bonds + tuple((owner, number + at, 1.0) for at, owner in enumerate(owners)),
        )

    def without_hydrogens(self) -> Molecule:
        """Return the molecule whose hydrogen atoms are counted at the atoms they are bound to.

        A hydrogen stays an atom where it is charged, bound to another hydrogen, or to none or several atoms.

        Example:
            >>> read_smiles("[H]O[H]").without_hydrogens().hydrogens
            (2,)
        """
        partners: dict[int, list[int]] = {index: [] for index in range(len(self.atoms))}
        for i, j, _ in self.bonds:
            partners[i].append(j)
            partners[j].append(i)
        counts = list(self.hydrogens)
        kept = []
        for index, atom in enumerate(self.atoms):
            bound = partners[index]
            if atom == "H" and not self.charges[index] and len(bound) == 1 and self.atoms[bound[0]] != "H":
                counts[bound[0]] += 1
            else:
                kept.append(index)
        place = {index: at for at, index in enumerate(kept)}
        return Molecule(
            tuple(self.atoms[index] for index in kept),
            tuple(self.charges[index] for index in kept),
            tuple(counts[index] for index in kept),
            tuple(self.aromatic[index] for index in kept),
            tuple((place[i], place[j], order) for i, j, order in self.bonds if i in place and j in place),
        )


def read_smiles(text: str) -> Molecule:
    """Return the molecule that a SMILES describes.

    Atoms without brackets have as many implicit hydrogens as their usual valence asks for: 4 bonds of C, 3 (or 5) of N,
    2 of O, 1 of F; an aromatic atom spends one on the ring's π electrons. A bond that is not written is aromatic
    between aromatic atoms, else single. Marks of stereochemistry are read and dropped. Whether an aromatic ring
    has a Kekulé structure is not looked at.

    Args:
        text: one molecule of H, C, N, O and F, in one part and without isotopes; H as an atom stands in brackets.

    Raises:
        DataError: the text is no such SMILES; the message names the position, counted from 0.

    Reference:
        Weininger, J. Chem. Inf. Comput. Sci. 28, 31 (1988); the OpenSMILES specification.

    Example:
        >>> read_smiles("c1cc[nH]c1").hydrogens, read_smiles("O=C=O").bonds
        ((1, 1, 1, 1, 1), ((0, 1, 2.0), (1, 2, 2.0)))
    """
    return _Reader(text).molecule()


@dataclass(frozen=True)
class _Atom:
    symbol: str
    aromatic: bool
    position: int
    charge: int = 0
    hydrogens: int | None = None
    """None where the usual valence decides."""


class _Reader:
    """Reads a SMILES from left to right: the last atom, the branches that are open, the rings that are."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.atoms: list[_Atom] = []
        self.bonds: dict[tuple[int, int], float] = {}
        self.branches: list[tuple[int, int]] = []  # last atom, position
        self.rings: dict[int, tuple[int, float | None, int]] = {}  # atom, order, position
        self.last: int | None = None
        self.order: float | None = None
        self.ordered_at = 0

    def molecule(self) -> Molecule:
        position = 0
        while position < len(self.text):
            position = self._token(position)
        if not self.atoms:
            raise DataError(f"the SMILES {self.text!r} holds no atom: write {_READ}.")
        if self.order is not None:
            raise self._error("has a bond that leads to no atom", self.ordered_at)
        if self.branches:
            raise self._error("opens a branch that is never closed", self.branches[-1][1])
        if self.rings:
            number, (_, _, opened) = next(iter(self.rings.items()))
            raise self._error(f"opens ring {number}, which is never closed", opened)
        return Molecule(
            tuple(atom.symbol for atom in self.atoms),
            tuple(atom.charge for atom in self.atoms),
            tuple(self._hydrogens(index) for index in range(len(self.atoms))),
            tuple(atom.aromatic for atom in self.atoms),
            tuple((i, j, order) for (i, j), order in self.bonds.items()),
        )

    def _error(self, what: str, position: int) -> DataError:
        return DataError(f"the SMILES {self.text!r} {what}, at position {position}: write {_READ}.")

    def _token(self, position: int) -> int:
        """Read what stands at ``position`` and return where the next token begins."""
        sign = self.text[position]
        if sign in _BARE:
            self._add(_Atom(_BARE[sign], sign.islower(), position))
        elif sign == "[":
            return self._bracket(position)
        elif sign in _ORDERS:
            if self.order is not None or self.last is None:
                raise self._error(f"has a bond {sign!r} that follows no atom", position)
            self.order, self.ordered_at = _ORDERS[sign], position
        elif sign == "(":
            if self.last is None or self.order is not None:
                raise self._error("opens a branch that follows no atom", position)
            self.branches.append((self.last, position))
        elif sign == ")":
            if not self.branches or self.order is not None:
                raise self._error("closes a branch that is not open or ends in a bond", position)
            self.last = self.branches.pop()[0]
        elif ring := _RING.match(self.text, position):
            self._ring(int(ring[1] or ring[2]), position)
            return ring.end()
        else:
            raise self._error(f"has {sign!r}", position)
        return position + 1

    def _bracket(self, position: int) -> int:
        found = _BRACKET.match(self.text, position)
        if found is None:
            end = self.text.find("]", position)
            shown = self.text[position:] if end < 0 else self.text[position : end + 1]
            raise self._error(f"has {shown!r}, which is no bracket atom of H, C, N, O or F", position)
        written = found["symbol"]
        count = found["hydrogens"]
        self._add(
            _Atom(
                written.upper(),
                written.islower(),
                position,
                _charge(found["charge"] or ""),
                0 if count is None else int(count or 1),
            )
        )
        return found.end()

    def _add(self, atom: _Atom) -> None:
        self.atoms.append(atom)
        index = len(self.atoms) - 1
        if self.last is not None:
            self._bind(self.last, index, self.order, atom.position)
        elif index:
            raise self._error("has an atom that is bound to no other", atom.position)
        self.last, self.order = index, None

    def _bind(self, i: int, j: int, order: float | None, position: int) -> None:
        pair = (min(i, j), max(i, j))
        if i == j or pair in self.bonds:
            raise self._error("binds an atom to itself or twice to another", position)
        if order is None:
            order = AROMATIC if self.atoms[i].aromatic and self.atoms[j].aromatic else 1.0
        self.bonds[pair] = order

    def _ring(self, number: int, position: int) -> None:
        if self.last is None:
            raise self._error("has a ring closure that follows no atom", position)
        if number not in self.rings:
            self.rings[number] = (self.last, self.order, position)
        else:
            other, order, _ = self.rings.pop(number)
            if order is not None and self.order is not None and order != self.order:
                raise self._error(f"closes ring {number} by another bond than it opened it", position)
            self._bind(other, self.last, self.order if order is None else order, position)
        self.order = None

    def _hydrogens(self, index: int) -> int:
        """Return how many hydrogens an atom has, after a look at its valence."""
        atom = self.atoms[index]
        orders = [order for pair, order in self.bonds.items() if index in pair]
        if atom.aromatic and orders.count(AROMATIC) < 2:
            raise self._error("has an aromatic atom in no aromatic ring", atom.position)
        if not atom.aromatic and AROMATIC in orders:
            raise self._error("has an aromatic bond at an atom that is not", atom.position)
        if atom.hydrogens is not None:
            return atom.hydrogens
        used = int(sum(1.0 if order == AROMATIC else order for order in orders))
        if atom.aromatic:
            usual = VALENCES[atom.symbol][0]
            if used > usual:
                raise self._error(f"has an aromatic {atom.symbol} of {used} bonds, more than {usual}", atom.position)
            return max(usual - used - 1, 0)
        fitting = [valence for valence in VALENCES[atom.symbol] if valence >= used]
        if not fitting:
            most = VALENCES[atom.symbol][-1]
            raise self._error(f"has {atom.symbol} of {used} bonds, more than its {most}", atom.position)
        return fitting[0] - used


def _charge(written: str) -> int:
    """Return the charge of what a bracket says of it: ``+``, ``--``, ``+2``."""
    if not written:
        return 0
    sign = 1 if written[0] == "+" else -1
    digits = written.lstrip("+-")
    return sign * (int(digits) if digits else len(written))
