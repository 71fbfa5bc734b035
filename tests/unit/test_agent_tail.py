"""A reader that follows an append log: whole records as they come, waiting where something else stands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness.agent import file_tail
from harness.agent.frames import builder


class FakeHand:
    """Looks `looks` times; before each it does what `between` says."""

    def __init__(self, path: Path, between: list[Any]) -> None:
        self.spec = {"path": str(path), "key": "data", "record_bytes": 32, "every_s": 0.1}
        self.found: list[tuple[int, int]] = []
        self._between = between

    def going(self) -> bool:
        if not self._between:
            return False
        self._between.pop(0)()
        return True

    def open(self, path: str, flags: int) -> int:
        return os.open(path, flags)

    def saw(self, f: str, key: str, found: list[tuple[int, int]], length: int, start_ns: int) -> None:
        assert (f, key, length) == ("glimpse", "data", 32)
        self.found += found

    def pause(self, seconds: float) -> None:
        assert seconds == 0.1


def test_it_reads_on_where_it_stopped_and_waits_at_what_is_no_record(tmp_path: Path) -> None:
    path, build = tmp_path / "log", builder(3, 32)

    def put(data: bytes, at: int) -> None:
        with path.open("r+b" if path.exists() else "wb") as file:
            file.seek(at)
            file.write(data)

    hand = FakeHand(path, [
        lambda: None,  # it is not there yet
        lambda: put(build(0) + build(1) + build(2)[:20], 0),
        lambda: put(build(3), 96),  # a hole before it
        lambda: put(build(2), 64),
    ])  # fmt: skip
    file_tail.run(hand)  # type: ignore[arg-type]
    assert hand.found == [(3 << 32 | sequence, sequence * 32) for sequence in range(4)]
