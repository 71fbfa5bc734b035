"""Sequence numbers as rows tell them in short: `0-12,14`."""

from __future__ import annotations


def numbers(text: str) -> set[int]:
    """Raises ValueError where it is no such text."""
    found: set[int] = set()
    for span in filter(None, text.split(",")):
        first, _, last = span.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def rolls(text: str) -> set[int]:
    """Tokens (writer << 32 | sequence) of `writer:ranges;writer:ranges`. Raises ValueError."""
    found: set[int] = set()
    for entry in filter(None, text.split(";")):
        writer, _, ranges = entry.partition(":")
        found.update(int(writer) << 32 | number for number in numbers(ranges))
    return found
