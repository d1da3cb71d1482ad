"""Every test draws the same examples everywhere, and none fails for being slow."""

from hypothesis import settings

settings.register_profile("grokscope", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("grokscope")
