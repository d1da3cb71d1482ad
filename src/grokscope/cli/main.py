"""The program ``grokscope``: finds the command, runs it, turns errors into one sentence and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from grokscope.errors import GrokscopeError, UsageError, nearest

COMMANDS = {
    "list": ("listing:list_", "what there is: experiments, measures, claims, tasks, models"),
    "run": ("run:run", "run one experiment and write its report"),
    "resume": ("resume:resume", "go on with an interrupted run"),
    "fork": ("fork:fork", "branch a stored run, beside a matched control"),
    "reproduce": ("reproduce:reproduce", "train what a paper's claims need, and judge them"),
    "sweep": ("sweep:sweep", "run a grid of settings and seeds"),
    "claims": ("claims:claims", "judge claims from stored runs"),
    "runs": ("runs:runs", "list stored runs, or delete some"),
    "show": ("show:show", "show one stored run"),
    "report": ("report:report", "write the page of one run or several"),
    "compare": ("compare:compare", "show several runs side by side"),
    "verify": ("verify:verify", "check the integrity of a run directory"),
    "measure": ("measure:measure", "back-fill measures on stored checkpoints"),
    "scan": ("scan:scan", "measure the weights in any checkpoint file"),
    "export": ("export:export", "write stored numbers as CSV or Parquet"),
    "cite": ("cite:cite", "the BibTeX of all that a run or a name builds on"),
    "bench": ("bench:bench", "time our paths against the plain baseline"),
    "data": ("data:data", "data files: found, missing, how to get them"),
    "doctor": ("doctor:doctor", "check this installation"),
}
"""Command -> (module below grokscope.cli and its function, what it does)."""

HELP = """The instrument for delayed generalization: trains, measures, judges claims, shows.

Begin with: grokscope run nanda2023/modular-addition

Exit codes: 0 done (verdicts and divergence are results), 1 the work failed, 2 wrong usage, 130 and 143 stopped by \
a signal after a checkpoint. An error is one sentence; --debug shows where it came from.
"""


def build() -> App:
    """Return the application; its commands are loaded when they are called or listed."""
    app = App(
        name="grokscope",
        help=HELP,
        version=_version,
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,  # call() says that it was interrupted; cyclopts would end silently
    )
    for position, (name, (target, about)) in enumerate(COMMANDS.items()):
        # the one-line help is given here so that listing the commands loads none of them
        app.command(f"grokscope.cli.{target}", name=name, help=about, sort_key=position)
    return app


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("grokscope")
    except PackageNotFoundError:
        return "unknown"


def call(arguments: Sequence[str]) -> int:
    """Run the program with ``arguments`` and return its exit code."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
            close = nearest(arguments[0], COMMANDS)
            hint = f"did you mean {' or '.join(close)}?" if close else f"the commands are {', '.join(COMMANDS)}."
            raise UsageError(f"unknown command {arguments[0]!r}: {hint}")
        result = build()(arguments, exit_on_error=False, print_error=False)
        return result if isinstance(result, int) else 0
    except CycloptsError as error:
        code, sentence = 2, " ".join(str(error).split())
        sentence = f"{sentence} Try: grokscope {' '.join(arguments[:1])} --help"
        trouble: BaseException = error
    except GrokscopeError as error:
        code, sentence, trouble = error.exit_code, str(error), error
    except BrokenPipeError:
        # the reader of a pipe (head, less) has gone; there is nobody left to tell
        sys.stderr.close()
        return 0
    except KeyboardInterrupt as error:
        code, sentence, trouble = 130, "interrupted.", error
    except Exception as error:
        code, trouble = 1, error
        sentence = f"{type(error).__name__}: {error} (this is a defect of grokscope; --debug shows where)."
    if debug:
        raise trouble
    sys.stderr.write(f"grokscope: {sentence}\n")
    return code


def main() -> None:
    """Run the program with the arguments it was started with."""
    sys.exit(call(sys.argv[1:]))
