"""``python -m grokscope`` is the command line."""

from grokscope.cli.main import main

main()
