"""Writes of which the kernel takes only a part: on a file whose size is bounded, and by a stub."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.agent.puts import put_at_once, put_whole

LIMIT = 10_000
PUTS = [put_whole, put_at_once]


@pytest.fixture
def bounded(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a file that gets no longer than LIMIT (RLIMIT_FSIZE of setrlimit(2): EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield fd
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)
    os.close(fd)


@pytest.mark.parametrize("put", PUTS)
def test_what_is_taken_whole_is_there(put: Callable[[int, bytes, int], None], bounded: int) -> None:
    put(bounded, b"x" * 4000, 2000)
    assert os.pread(bounded, LIMIT, 0) == bytes(2000) + b"x" * 4000


@pytest.mark.parametrize("put", PUTS)
def test_the_rest_of_a_short_write_tells_why(put: Callable[[int, bytes, int], None], bounded: int) -> None:
    with pytest.raises(OSError, match="File too large") as failed:
        put(bounded, b"x" * 4000, LIMIT - 1000)
    assert failed.value.errno == errno.EFBIG
    assert os.fstat(bounded).st_size == LIMIT


def test_a_write_in_two_parts_is_whole_and_not_at_once(bounded: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: whole(fd, data[:3], at))
    put_whole(bounded, b"abcdefgh", 0)
    with pytest.raises(OSError, match="in two parts") as failed:
        put_at_once(bounded, b"ijklmnop", 8)
    assert failed.value.errno == errno.EIO
    assert os.pread(bounded, 99, 0) == b"abcdefghijklmnop"
