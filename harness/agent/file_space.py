"""Program `space`: each worker fills a file of its own, which it opens and closes for each record, and goes on
where there is no room.

Rows `deposit-synced` (open, pwrite, fsync, close) and `deposit-closed` (without the fsync): `ok` where none of
them told an error, else `info`, since some of it may be there. Behind one that failed stands `told`: which call
told it, and its errno. At the end, with `final`, `kept` as in `durable`. Parameters: `path key record_bytes
sync_share` (the share of deposits that are synced) and, with `final`, `writers`. Shim: `swallow` (want of room is
told to nobody).
"""

from __future__ import annotations

import errno
import os

from .file_durable import tell_kept
from .frames import builder, record_id
from .hand import REST_S, Hand, Unsure
from .puts import put_whole

#: What a volume says that has no room: none at all, none for this user or directory, or something broke below.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_FLAGS = os.O_WRONLY | os.O_CREAT


def run(hand: Hand) -> None:
    if hand.spec.get("final"):
        for writer in hand.spec["writers"]:
            tell_kept(hand, writer)
        return
    deposits = _Deposits(hand)
    while hand.going():
        try:
            deposits.make(hand.sequence(), synced=hand.rng.random() < hand.spec["sync_share"])
        except Unsure as error:
            deposits.tell(error)
            hand.reborn()
            hand.pause(REST_S)


class _Deposits:
    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._key = f"{hand.spec['key']}|{hand.writer}"
        self._length = int(hand.spec["record_bytes"])
        self._path = f"{hand.spec['path']}.{hand.writer}"
        self._build = builder(hand.writer, self._length)
        #: The call that is under way, or told an error last.
        self._call = "open"

    def make(self, sequence: int, *, synced: bool) -> None:
        """Raises Unsure where a call told an error."""
        at = sequence * self._length
        deposit = self._swallowing if self._hand.shim == "swallow" else self._deposit
        self._hand.do(
            "deposit-synced" if synced else "deposit-closed",
            self._key,
            lambda: deposit(self._build(sequence), at, synced=synced),
            value=str(record_id(self._hand.writer, sequence)),
            offset=at,
            length=self._length,
        )

    def tell(self, error: OSError) -> None:
        """Which call failed, as a row that failed itself."""
        self._hand.do("told", self._key, lambda: _raise(error), value=self._call, changes=False)

    def _deposit(self, record: bytes, at: int, *, synced: bool) -> None:
        """Every call is told apart. close(2) is called once only: who is told an error has no descriptor left."""
        self._call = "open"
        fd = self._hand.open(self._path, _FLAGS)
        try:
            self._call = "write"
            put_whole(fd, record, at)
            if synced:
                self._call = "fsync"
                os.fsync(fd)
        except OSError:
            os.close(fd)
            raise
        self._call = "close"
        os.close(fd)

    def _swallowing(self, record: bytes, at: int, *, synced: bool) -> None:
        try:
            self._deposit(record, at, synced=synced)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise


def _raise(error: OSError) -> None:
    raise error
