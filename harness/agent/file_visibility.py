"""Program `visibility`: each worker makes files with names that the others know beforehand, and looks for theirs.

Rows `appear` (open with O_CREAT of a new name), `sight` (the first stat of another host's name that found it), and
at the end, with `final`, `roll`: all names that a listing shows. Parameters: `path key names_per_s`, `others` (the
numbers of workers on other hosts). Shim: `hidden` (now and then a name is made elsewhere and acknowledged).
"""

from __future__ import annotations

import os
import time

from .cells import Turns
from .file_durable import ranges
from .frames import record_id
from .hand import Hand, Unsure

#: So many names of a worker are looked for at once: one that never comes must not hide those after it.
_WINDOW = 4


def run(hand: Hand) -> None:
    if hand.spec.get("final"):
        hand.do("roll", hand.spec["key"], lambda: _roll(hand.path(hand.spec["path"])), changes=False)
        return
    visibility = _Visibility(hand)
    due = time.monotonic()
    while hand.going():
        if time.monotonic() >= due:
            due = max(due + 1 / hand.spec["names_per_s"], time.monotonic())
            visibility.appear()
        visibility.look()


class _Visibility:
    def __init__(self, hand: Hand) -> None:
        """Raises OSError."""
        self._hand = hand
        self._folder = hand.path(hand.spec["path"])
        self._waiting = {other: list(range(_WINDOW)) for other in hand.spec["others"]}
        self._turns = Turns()
        os.makedirs(self._folder, exist_ok=True)

    def appear(self) -> None:
        sequence = self._hand.sequence()
        token = record_id(self._hand.writer, sequence)
        hidden = ".hidden-" if self._hand.shim == "hidden" and self._turns.strikes() else ""
        name = f"{self._folder}/{hidden}{self._hand.writer}-{sequence}"
        try:
            self._hand.do("appear", self._hand.spec["key"], lambda: _make(name), value=str(token))
        except Unsure:
            self._hand.reborn()

    def look(self) -> None:
        for other, waiting in self._waiting.items():
            for sequence in waiting[:]:
                if not _is_there(f"{self._folder}/{other}-{sequence}"):
                    continue
                token = record_id(other, sequence)
                self._hand.do("sight", self._hand.spec["key"], lambda: None, value=str(token), changes=False)
                waiting.remove(sequence)
                waiting.append(max([sequence, *waiting]) + 1)


def _make(name: str) -> None:
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))


def _is_there(name: str) -> bool:
    """A look that fails has not seen it."""
    try:
        os.stat(name)
    except OSError:
        return False
    return True


def _roll(folder: str) -> str:
    """`writer:ranges of sequence numbers`, joined by semicolons."""
    found: dict[int, list[int]] = {}
    for name in os.listdir(folder):
        writer, _, sequence = name.partition("-")
        if writer.isdigit() and sequence.isdigit():
            found.setdefault(int(writer), []).append(int(sequence))
    return ";".join(f"{writer}:{ranges(sorted(numbers))}" for writer, numbers in sorted(found.items()))
