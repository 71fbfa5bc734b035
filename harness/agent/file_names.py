"""Program `names`: workers race for names, round by round, and replace one file by rename while others read it.

A round begins at a multiple of 1 / `rate_per_s` of the wall clock, so that hosts begin it at about the same time.
Rows `claim` (open with O_EXCL, mkdir, or link of a file of one's own onto a name; whoever was told that it won
leaves its token there), `replace` (rename of a new file onto `current`), `peek` (read `current`), and at the end,
with `final`, `owner`: whose tokens a name holds. Parameters: `path key peeks final`. Shims: `two-winners` (who
finds that a name exists takes it over), `gap-rename` (the old file is unlinked first), `slow-rename` (the new
content is written over the old, in two halves).
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from functools import partial

from .frames import HEADER, builder, id_at, record_id
from .hand import Hand, Unsure

KINDS = ("create", "mkdir", "link")
TOKEN_BYTES = 64
NOTHING, NOT_WHOLE = 0, -1
#: Between the steps of what a shim takes apart.
_LINGER_S = 0.002
#: Of a file that is not whole.
_SHOWN_BYTES = 24
#: How a server says that somebody else has the name.
_LOST = (errno.EEXIST, errno.ENOTEMPTY)


def run(hand: Hand) -> None:
    names = _Names(hand)
    if hand.spec.get("final"):
        names.owners()
        return
    names.begin()
    while hand.going():
        number = names.next_round()
        try:
            for kind in KINDS:
                names.claim(kind, number)
            names.replace()
        except Unsure:
            hand.reborn()
        for _ in range(hand.spec["peeks"]):
            names.peek()
            names.wait_a_little()


class _Names:
    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._key = hand.spec["key"]
        self._folder = hand.path(hand.spec["path"])
        self._own = f"{self._folder}/own-{hand.writer}"
        self._current = f"{self._folder}/current"
        self._token = builder(hand.writer, TOKEN_BYTES)
        self._period = 1 / (hand.spec.get("rate_per_s") or 1000)

    def begin(self) -> None:
        """Raises OSError."""
        os.makedirs(self._folder, exist_ok=True)

    def next_round(self) -> int:
        """Wait until it begins; its number."""
        now = time.time()
        number = int(now / self._period) + 1
        self._hand.pause(number * self._period - now)
        return number

    def wait_a_little(self) -> None:
        """Some peeks follow at once; all take a part of a round together, to meet what others replace."""
        if self._hand.rng.random() < 0.5:
            self._hand.pause(self._hand.rng.uniform(0, self._period / 2 / self._hand.spec["peeks"]))

    def claim(self, kind: str, number: int) -> None:
        sequence = self._hand.sequence()
        ways: dict[str, Callable[[str, bytes, int], None]] = {
            "create": self._create,
            "mkdir": self._mkdir,
            "link": self._link,
        }
        name, token = f"{self._folder}/{kind}-{number}", record_id(self._hand.writer, sequence)
        data = self._token(sequence)
        self._hand.do(
            "claim",
            f"{self._key}|{kind}|{number}",
            lambda: self._won(lambda: ways[kind](name, data, token), kind, name, data, token),
            value=str(token),
            refusals=_LOST,
        )

    def _won(self, claim: Callable[[], None], kind: str, name: str, data: bytes, token: int) -> None:
        try:
            claim()
        except FileExistsError:
            if self._hand.shim != "two-winners":
                raise
            if kind == "mkdir":
                _write(f"{name}/{token}", b"", os.O_CREAT)
            else:
                _write(name, data, os.O_APPEND)

    def _create(self, name: str, data: bytes, _token: int) -> None:
        _write(name, data, os.O_CREAT | os.O_EXCL | os.O_APPEND)

    def _mkdir(self, name: str, _data: bytes, token: int) -> None:
        os.mkdir(name)
        _write(f"{name}/{token}", b"", os.O_CREAT)

    def _link(self, name: str, data: bytes, _token: int) -> None:
        _write(self._own, data, os.O_CREAT | os.O_TRUNC)
        try:
            os.link(self._own, name)
        finally:
            os.unlink(self._own)

    def replace(self) -> None:
        sequence = self._hand.sequence()
        token = record_id(self._hand.writer, sequence)
        self._hand.do("replace", self._key, lambda: self._replace(self._token(sequence)), value=str(token))

    def _replace(self, data: bytes) -> None:
        if self._hand.shim in ("slow-rename", "gap-rename"):
            time.sleep(self._hand.rng.uniform(0, 4 * _LINGER_S))  # while others are done, and read
        if self._hand.shim == "slow-rename":
            _write(self._current, data[: HEADER.size + 8], os.O_CREAT)
            time.sleep(_LINGER_S)
            _write(self._current, data, os.O_CREAT)
            return
        _write(self._own, data, os.O_CREAT | os.O_TRUNC)
        if self._hand.shim == "gap-rename":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._current)
            time.sleep(_LINGER_S)
        os.rename(self._own, self._current)

    def peek(self) -> None:
        self._hand.do("peek", self._key, self._peek, changes=False)

    def _peek(self) -> str:
        """The token in the file, NOTHING where there is no file, NOT_WHOLE where it is anything else, and then how
        long that is, and how it begins.
        """
        try:
            data = _read(self._current)
        except FileNotFoundError:
            return str(NOTHING)
        found = id_at(data, 0, TOKEN_BYTES) if len(data) == TOKEN_BYTES else None
        return f"{NOT_WHOLE} #{len(data)}:{data[:_SHOWN_BYTES].hex()}" if found is None else str(found)

    def owners(self) -> None:
        names = self._hand.do(
            "names", self._key, lambda: sorted(os.listdir(self._folder)), value="", changes=False
        )
        for name in names or ():
            kind, _, number = name.partition("-")
            if kind in KINDS:
                key = f"{self._key}|{kind}|{number}"
                self._hand.do("owner", key, partial(self._owner, kind, name), changes=False)

    def _owner(self, kind: str, name: str) -> str:
        path = f"{self._folder}/{name}"
        if kind == "mkdir":
            return ",".join(sorted(os.listdir(path)))
        data = _read(path)
        found = [id_at(data, at, TOKEN_BYTES) for at in range(0, len(data), TOKEN_BYTES)]
        return ",".join(str(NOT_WHOLE if token is None else token) for token in found)


def _write(path: str, data: bytes, flags: int) -> None:
    """One write(2), if the file system takes all of it. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o644)
    try:
        while data:
            data = data[os.write(fd, data) :]  # after a short one the rest tells why
    finally:
        os.close(fd)


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)
