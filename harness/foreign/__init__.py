"""Histories that others recorded, and our own, as calls that a general search can judge.

An importer decides what each line of its format means, refuses what it does not understand with the place, and
guesses nothing: a file that cannot be read gives a UsageError, never a verdict.
"""

from harness.foreign.reading import FORMATS, read_calls

__all__ = ["FORMATS", "read_calls"]
