"""Which parameters an intervention acts on."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from grokscope.errors import UsageError


def chosen(names: Iterable[str], pattern: str, intervention: str) -> list[str]:
    """Return the parameter names that a shell pattern matches, in their order.

    Raises:
        UsageError: it matches none, so that the intervention would silently do nothing.

    Example:
        >>> chosen(["W_in", "W_out", "b_in"], "W_*", "weight-norm")
        ['W_in', 'W_out']
    """
    every = list(names)
    found = [name for name in every if fnmatchcase(name, pattern)]
    if not found:
        raise UsageError(f"{intervention}: no parameter matches {pattern!r}; there are {', '.join(every)}.")
    return found
