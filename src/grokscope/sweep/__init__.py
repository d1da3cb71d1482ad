"""Grids of runs: the store is the queue, a process is the unit of work."""
