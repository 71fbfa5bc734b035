"""Several calls at once: order, errors, and an interrupt that waits for all."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from harness.transport.parallel import at_once


def test_results_come_in_the_order_of_the_calls() -> None:
    assert at_once([partial(int, text) for text in ("3", "1", "2")]) == [3, 1, 2]
    assert at_once([]) == []


def test_an_error_is_raised_after_all_have_ended() -> None:
    ended = threading.Event()

    def late() -> None:
        time.sleep(0.05)
        ended.set()

    def fails() -> None:
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        at_once([fails, late])
    assert ended.is_set()


@pytest.fixture
def interrupts_count() -> Iterator[None]:
    """A process that a shell started in the background ignores them, and Python leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts_count")
def test_an_interrupt_is_raised_after_all_have_ended() -> None:
    ended = threading.Event()

    def interrupts() -> None:
        time.sleep(0.1)  # by then the caller waits for us
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        at_once([interrupts])
    assert ended.is_set()
