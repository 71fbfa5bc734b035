"""Processes and channels of this machine: deadlines reach the whole group, long lines come whole."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.model.errors import ChannelLost, DeadlineExceeded
from harness.transport import process
from harness.transport.local import LocalHost
from harness.transport.process import ProcessChannel, run_process


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_a_deadline_kills_what_the_command_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {note}; echo so far >&2; wait"

    with pytest.raises(DeadlineExceeded, match="so far"):
        run_process(["sh", "-c", script], timeout_s=0.5, stdin=b"", where="here")

    wait_until(lambda: is_gone(int(note.read_text())))


def test_a_program_that_may_not_be_executed_is_code_126(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")

    assert run_process([str(script)], timeout_s=30, stdin=b"", where="here").code == 126


def test_the_environment_is_added_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    host = LocalHost(env={"HARNESS_RUN": "r1"})

    assert host.run(["sh", "-c", "echo $OURS $HARNESS_RUN"], timeout_s=30).stdout == "1 r1\n"


def test_lines_of_many_mebibytes_come_whole() -> None:
    channel = ProcessChannel(["cat"], where="here")
    line = os.urandom(1 << 20).hex().encode() * 4 + b"\n"

    def send_three() -> None:
        for _ in range(3):
            channel.send(line)

    sender = threading.Thread(target=send_three)
    sender.start()
    try:
        assert [channel.receive(30) == line for _ in range(3)] == [True] * 3
    finally:
        sender.join()
        channel.close()


def test_the_end_tells_the_code_and_the_last_words_and_drops_half_a_line() -> None:
    channel = ProcessChannel(["sh", "-c", "echo whole; printf half; echo why >&2; exit 4"], where="n1")
    try:
        assert channel.receive(30) == b"whole\n"
        for _again in range(2):
            with pytest.raises(ChannelLost, match=r"(?s)n1.*with 4.*why"):
                channel.receive(30)
    finally:
        channel.close()


def test_a_line_that_is_not_taken_any_more_tells_last_words_that_nobody_has_read_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = threading.Event()
    read = ProcessChannel._read_stdout
    write = ProcessChannel._write

    def read_late(channel: ProcessChannel) -> None:
        refused.wait(30)
        read(channel)

    def write_first(channel: ProcessChannel, line: memoryview, deadline: float) -> None:
        try:
            write(channel, line, deadline)
        finally:
            refused.set()

    monkeypatch.setattr(process, "_LAST_WORDS_S", 30.0)
    monkeypatch.setattr(ProcessChannel, "_read_stdout", read_late)
    monkeypatch.setattr(ProcessChannel, "_write", write_first)
    channel = ProcessChannel(["sh", "-c", "echo why >&2; exit 4"], where="n1")
    try:
        wait_until(lambda: is_gone(channel.pid))
        with pytest.raises(ChannelLost, match=r"(?s)n1: it does not take input any more with 4.*why"):
            channel.send(b"line\n")
    finally:
        refused.set()
        channel.close()


def test_closing_ends_a_program_that_does_not_heed_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CLOSE_GRACE_S", 0.05)
    channel = ProcessChannel(["sleep", "600"], where="here")

    channel.close()

    assert is_gone(channel.pid)


def test_closing_wakes_who_waits() -> None:
    channel = ProcessChannel(["cat"], where="here")
    lost = threading.Event()

    def wait() -> None:
        try:
            channel.receive(60)
        except ChannelLost:
            lost.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    channel.close()

    assert lost.wait(30)
    waiter.join()


def test_closing_works_with_a_full_queue_that_nobody_reads() -> None:
    channel = ProcessChannel(["yes"], where="here")
    wait_until(lambda: channel._lines.full)

    channel.close()

    assert is_gone(channel.pid)


def test_a_peer_that_does_not_read_is_lost_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SEND_TIMEOUT_S", 0.1)
    monkeypatch.setattr(process, "CLOSE_GRACE_S", 0.05)
    channel = ProcessChannel(["sleep", "600"], where="here")
    try:
        with pytest.raises(ChannelLost, match="input"):
            channel.send(bytes(1 << 20) + b"\n")
    finally:
        channel.close()
