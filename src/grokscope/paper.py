"""What a paper module gives: named experiments at several scales, claims and figures; free of torch.

Code is named as ``"module:function"`` and loaded when it is used, so that listing papers is instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grokscope.analysis.transitions import TransitionRule
from grokscope.claims.claim import Claim
from grokscope.errors import UsageError, unknown

SCALES = ("smoke", "cpu", "paper")
_OWN_SECTIONS = ("paper", "experiment", "scale", "transition", "record", "roles")


@dataclass(frozen=True)
class Experiment:
    """A run of a paper under a name; its base is the paper's own setting.

    ``spec`` has the sections of a spec (``task``, ``model``, ``learner``, ``optimizer`` …) as plain
    values, ``scales`` dotted overrides on all that :meth:`tree` returns, ``record`` what is written
    down and when, ``minutes`` the estimated minutes a run takes, by scale. A cell of a sweep names in
    ``cell_of`` the experiment whose smoke run stands for its own: at that size all cells run the same code.
    Experiments that name the same ``batch`` are trained as members of one ensemble, with all their seeds, as far as
    they can be. ``theory`` (``"module:function"``) is given a run and returns when it should generalise, in steps (or
    on the transition's axis), by the name of the forecast, None where there is none: lines of a phase diagram.

    Example:
        >>> experiment = Experiment(
        ...     name="demo", title="A demonstration", spec={"learner": {"name": "gradient", "steps": 9}},
        ...     scales={"smoke": {"learner.steps": 2}, "cpu": {}}, transition=None, record={},
        ... )
        >>> experiment.tree("smoke")["learner"]
        {'name': 'gradient', 'steps': 2}

    Raises:
        UsageError: smoke or cpu is missing, paper overrides its own base, or ``spec`` holds a section
            that has a field of its own here.
    """

    name: str
    title: str
    spec: Mapping[str, Any]
    scales: Mapping[str, Mapping[str, Any]]
    transition: TransitionRule | None
    record: Mapping[str, Any]
    roles: Mapping[str, str] = field(default_factory=dict)
    minutes: Mapping[str, float] = field(default_factory=dict)
    cell_of: str | None = None
    batch: str | None = None
    theory: str | None = None

    def __post_init__(self) -> None:
        if self.theory is not None and ":" not in self.theory:
            raise UsageError(f"experiment {self.name} has the theory {self.theory!r}: write module:function.")
        missing = [scale for scale in ("smoke", "cpu") if scale not in self.scales]
        if missing:
            raise UsageError(f"the experiment {self.name} has no scale {missing[0]}: give its overrides.")
        if self.scales.get("paper"):
            raise UsageError(f"the experiment {self.name} overrides the scale paper: put that into spec.")
        for section in _OWN_SECTIONS:
            if section in self.spec:
                raise UsageError(f"the spec of experiment {self.name} has {section!r}: give it apart.")
        for scale in self.minutes:
            self._check(scale)

    @property
    def scale_names(self) -> tuple[str, ...]:
        """The scales, smallest first; any of its own come last."""
        return (*SCALES, *(scale for scale in self.scales if scale not in SCALES))

    def tree(self, scale: str) -> dict[str, Any]:
        """Return the tree for :func:`grokscope.spec.resolve`, with the scale's overrides laid on.

        Raises:
            UsageError: there is no such scale.
        """
        from grokscope.spec import override  # a spec knows measures and optimizers: loaded when one is made

        self._check(scale)
        base = {
            **self.spec,
            "experiment": self.name,
            "scale": scale,
            "transition": None if self.transition is None else self.transition.model_dump(mode="json"),
            "record": self.record,
            "roles": self.roles,
        }
        return override(_plain(base), self.scales.get(scale, {}))

    def _check(self, scale: str) -> None:
        if scale not in self.scale_names:
            raise unknown("scale", scale, self.scale_names)


def _plain(value: Any) -> Any:
    """Return mappings of any kind as dictionaries, which is what JSON can copy."""
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Figure:
    """A picture of a paper: ``function`` (``"module:function"``) draws it from the runs of ``experiments``.

    It is called with the runs (seeds of one experiment) and their phases as dictionaries. ``keys`` are
    the scalars it shows, ``arrays`` the names of the arrays; a page has it where a run stored any of these.
    ``caption`` says what to see. With ``together`` it is drawn once, of all its experiments (the cells of a sweep,
    say): called with the runs of each by its name, those there are, in the order of ``experiments``, and shown on
    the page of the first of them.
    """

    id: str
    title: str
    experiments: tuple[str, ...]
    function: str
    keys: tuple[str, ...] = ()
    caption: str = ""
    arrays: tuple[str, ...] = ()
    together: bool = False

    def __post_init__(self) -> None:
        if ":" not in self.function:
            raise UsageError(f"figure {self.id} has the function {self.function!r}: write module:function.")


@dataclass(frozen=True)
class Paper:
    """A paper: ``id`` is author and year (``nanda2023``), ``bibtex`` one entry.

    Raises:
        UsageError: two experiments, claims or figures share a name, a claim, a figure or a cell names an
            experiment that is not there, or a cell names another cell.
    """

    id: str
    title: str
    bibtex: str
    experiments: tuple[Experiment, ...]
    claims: tuple[Claim, ...] = ()
    figures: tuple[Figure, ...] = ()

    def __post_init__(self) -> None:
        names = [experiment.name for experiment in self.experiments]
        _distinct(self.id, "experiments", names)
        _distinct(self.id, "claims", (claim.id for claim in self.claims))
        _distinct(self.id, "figures", (figure.id for figure in self.figures))
        for kind, parts in (("claim", self.claims), ("figure", self.figures)):
            for part in parts:
                for name in part.experiments:
                    if name not in names:
                        problem = unknown("experiment", name, names)
                        raise UsageError(f"{self.id}, {kind} {part.id}: {problem}")
        for cell in self.experiments:
            if cell.cell_of is not None:
                self._check_cell(cell.name, cell.cell_of, names)

    def experiment(self, name: str) -> Experiment:
        """Return the experiment of this name.

        Raises:
            UsageError: there is none; the nearest are offered.
        """
        found = {experiment.name: experiment for experiment in self.experiments}
        if name not in found:
            raise unknown(f"experiment of {self.id}", name, found)
        return found[name]

    def _check_cell(self, name: str, stand_in: str, names: list[str]) -> None:
        if stand_in not in names:
            problem = unknown("experiment", stand_in, names)
            raise UsageError(f"{self.id}, cell_of of experiment {name}: {problem}")
        if (further := self.experiment(stand_in).cell_of) is not None:
            raise UsageError(
                f"{self.id}, cell_of of experiment {name}: {stand_in!r} is itself a cell, of {further!r}; "
                "name an experiment that is none."
            )

    def claim(self, id: str) -> Claim:
        """Return the claim with this id, which may be written ``paper/id``.

        Raises:
            UsageError: there is none; the nearest are offered.
        """
        found = {claim.id: claim for claim in self.claims}
        short = id.removeprefix(f"{self.id}/")
        if short not in found:
            raise unknown(f"claim of {self.id}", id, found)
        return found[short]

    def tree(self, name: str, scale: str) -> dict[str, Any]:
        """Return the tree of an experiment at a scale, with the paper's id in it.

        Raises:
            UsageError: there is no such experiment or scale.
        """
        return {"paper": self.id, **self.experiment(name).tree(scale)}


def _distinct(paper: str, what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UsageError(f"{paper} has two {what} called {name!r}: rename one.")
        seen.add(name)
