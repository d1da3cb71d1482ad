"""SIGINT and SIGTERM as a wish to stop at the next step, with a checkpoint; a second one stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from grokscope.errors import GrokscopeError

CAUGHT = (signal.SIGINT, signal.SIGTERM)


class Interrupted(GrokscopeError):
    """A training was stopped by a signal, after a checkpoint; exit code 130 (SIGINT) or 143 (SIGTERM)."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + int(getattr(signal, name, signal.SIGINT))


@contextmanager
def caught() -> Iterator[Callable[[], str | None]]:
    """Within the context signals are noted; yields a function that returns the first one's name, or None."""
    seen: list[str] = []

    def note(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # Python delivers signals to the main thread only
        return
    before = {number: signal.signal(number, note) for number in CAUGHT}
    try:
        yield lambda: seen[0] if seen else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
