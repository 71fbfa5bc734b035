"""What holds for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """What a script starts in its background ignores SIGINT, and so does all that it starts in turn (POSIX, Shell
    Command Language, 2.11): tests of Ctrl-C would wait for ever.
    """
    was = signal.getsignal(signal.SIGINT)
    if was is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, was)
