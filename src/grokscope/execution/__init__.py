"""Turns specs into stored runs: chooses directories, trains, observes, seals, judges."""
