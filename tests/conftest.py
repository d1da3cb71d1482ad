"""Every test draws the same examples everywhere, on one thread, and none fails for being slow."""

import os

# before NumPy and torch are loaded: two workers with two threads each are tens of times slower on two cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("grokscope", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("grokscope")
