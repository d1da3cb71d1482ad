"""Errors that say, in one sentence, what was wrong, what was received and what to do.

The command line prints the sentence alone (the traceback only with ``--debug``) and exits with
the class's ``exit_code``: 2 for wrong usage, 1 for work that failed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GrokscopeError(Exception):
    """The work could not be done; the message is one sentence for a person."""

    exit_code = 1


class UsageError(GrokscopeError, ValueError):
    """What was asked for cannot be asked: an unknown name or key, or a value out of range."""

    exit_code = 2


class StoreError(GrokscopeError):
    """A run directory cannot be read, written or locked."""


class CheckpointError(StoreError):
    """A checkpoint is missing, corrupt or belongs to another training."""


class DataError(GrokscopeError):
    """A data file is missing or is not what its format says."""


def nearest(name: str, valid: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the valid names nearest to a mistyped one, best first.

    Example:
        >>> nearest("modulos", ["modulus", "width"])
        ['modulus']
    """
    return difflib.get_close_matches(name, list(valid), n=most, cutoff=0.5)


MOST_NAMES = 24
"""How many valid names are told of at once; of more, those least unlike are."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """Return the error for an unknown name, offering the nearest valid ones, or all of them where they are few.

    Example:
        >>> str(unknown("measure", "fouriar", ["fourier", "norms"]))
        "unknown measure 'fouriar': did you mean 'fourier'?"
    """
    names = sorted(valid)
    close = nearest(name, names)
    if close:
        return UsageError(f"unknown {kind} {name!r}: did you mean {' or '.join(map(repr, close))}?")
    if len(names) > MOST_NAMES:
        like = " or ".join(map(repr, difflib.get_close_matches(name, names, n=3, cutoff=0.0)))
        return UsageError(f"unknown {kind} {name!r}: of the {len(names)} known ones the nearest are {like}.")
    return UsageError(f"unknown {kind} {name!r}: the known ones are {', '.join(names) or 'none'}.")


def first_line(error: BaseException) -> str:
    r"""Return the first line of what an error says, to be quoted in a sentence.

    Example:
        >>> first_line(ValueError("no such axis.\nmore"))
        'no such axis'
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
