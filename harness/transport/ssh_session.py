"""Commands over one SSH connection: run to their end within a deadline, or kept as a channel of lines."""

from __future__ import annotations

import contextlib
import select
import shlex
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

import paramiko

from harness.model.errors import ChannelLost, DeadlineExceeded
from harness.transport.deadlines import OUTER_GRACE_S, bounded, late, was_ended
from harness.transport.lines import Lines
from harness.transport.process import CLOSE_GRACE_S, SEND_TIMEOUT_S
from harness.transport.ssh_connection import Connection

_PIECE_BYTES = 1 << 16
_TAIL_BYTES = 4000
_LOOK_S = 1.0
#: Says the process group first, so that what does not end by itself can be ended.
_KEPT = 'read -r _ _ _ _ group _ </proc/$$/stat; echo "$group"; exec "$@"'
#: A shell turns an end by a signal into a code, which SSH would not carry.
_ONCE = '"$@"; exit $?'

NOTHING_SENT = "nothing was asked of it"
INDETERMINATE = "whether the command ran is not known"


def command(argv: Sequence[str], *, timeout_s: float | None, sudo: bool) -> str:
    """What the host's shell is given. The deadline stands on the host too."""
    inside = bounded(argv, timeout_s) if timeout_s is not None else argv
    words = ["sh", "-c", _ONCE if timeout_s is not None else _KEPT, "sh", *inside]
    return shlex.join(["sudo", "-n", "--", *words] if sudo else words)


def begin(connection: Connection, text: str, timeout_s: float) -> paramiko.Channel:
    """A session in which `text` was asked for; the caller gives its place back by `end`.

    Raises DeadlineExceeded where all sessions are taken all the time, ChannelLost.
    """
    if not connection.sessions.acquire(timeout=timeout_s):
        raise DeadlineExceeded(f"on {connection.name}: no session was free within {timeout_s:g} s; {NOTHING_SENT}")
    try:
        try:
            channel = connection.open_session(timeout_s)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise _lost(connection, f"{error or type(error).__name__}; {NOTHING_SENT}") from error
        try:
            channel.exec_command(text)
        except (paramiko.SSHException, OSError, EOFError) as error:
            channel.close()
            raise _lost(connection, f"{error or type(error).__name__}; {INDETERMINATE}") from error
    except BaseException:
        connection.sessions.release()
        raise
    return channel


def end(connection: Connection, channel: paramiko.Channel) -> None:
    with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
        channel.close()
    connection.sessions.release()


def _lost(connection: Connection, why: str) -> ChannelLost:
    return ChannelLost(
        f"lost {connection.name}: {connection.lost or why}" + (f" ({why})" if connection.lost else "")
    )


# --- once


@dataclass
class Ended:
    """How a command ended; `stderr` is whole."""

    code: int
    stderr: bytearray = field(default_factory=bytearray)


def carry_out(
    connection: Connection,
    argv: Sequence[str],
    *,
    timeout_s: float,
    sudo: bool,
    source: IO[bytes],
    take: Callable[[bytes], object],
) -> Ended:
    """Run `argv` once with all of `source` as its standard input; its output goes to `take`, piece by piece.

    Raises DeadlineExceeded, and ChannelLost where the connection ends before the command does.
    """
    started_s = time.monotonic()
    channel = begin(connection, command(argv, timeout_s=timeout_s, sudo=sudo), timeout_s)
    try:
        threading.Thread(target=_feed, args=(channel, source), name="ssh-stdin", daemon=True).start()
        ended = _drain(channel, take, started_s + timeout_s + OUTER_GRACE_S)
    finally:
        end(connection, channel)
    if ended is None or was_ended(ended.code, started_s, timeout_s):
        said = "" if ended is None else bytes(ended.stderr[-_TAIL_BYTES:]).decode(errors="replace")
        raise late(argv, timeout_s, connection.name, said)
    if ended.code < 0:
        raise _lost(connection, f"the connection ended under `{argv[0]}`; {INDETERMINATE}")
    return ended


def _feed(channel: paramiko.Channel, source: IO[bytes]) -> None:
    """In a thread of its own: a command may answer before it has read everything, or never read at all."""
    with contextlib.suppress(OSError, paramiko.SSHException, EOFError):
        while piece := source.read(_PIECE_BYTES):
            channel.sendall(piece)
    with contextlib.suppress(OSError, paramiko.SSHException, EOFError):
        channel.shutdown_write()


def _drain(channel: paramiko.Channel, take: Callable[[bytes], object], deadline_s: float) -> Ended | None:
    """Both outputs to their ends; None when the deadline came first. A code of -1: the connection ended."""
    ended = Ended(-1)
    poller = select.poll()
    poller.register(channel.fileno(), select.POLLIN)
    while not _is_over(channel) or channel.recv_ready() or channel.recv_stderr_ready():
        if time.monotonic() > deadline_s:
            return None
        if channel.recv_ready():
            take(channel.recv(_PIECE_BYTES))
        elif channel.recv_stderr_ready():
            ended.stderr += channel.recv_stderr(_PIECE_BYTES)
        elif channel.eof_received:
            channel.status_event.wait(_LOOK_S)
        else:
            poller.poll(_LOOK_S * 1000)
    ended.code = channel.exit_status
    return ended


def _is_over(channel: paramiko.Channel) -> bool:
    """Nothing more can come; what has come may still be unread."""
    return channel.closed or bool(channel.eof_received and channel.exit_status_ready())


# --- kept


class SshChannel:
    """A Channel over the standard input and output of a program on a host. `kill` ends a process group there."""

    def __init__(
        self,
        connection: Connection,
        argv: Sequence[str],
        *,
        timeout_s: float,
        sudo: bool,
        kill: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._kill = kill
        self._channel = begin(connection, command(argv, timeout_s=None, sudo=sudo), timeout_s)
        self._channel.settimeout(SEND_TIMEOUT_S)
        self._lines = Lines(self._gone)
        self._complaints: deque[bytes] = deque(maxlen=8)
        self._group = 0
        self._sending = threading.Lock()
        self._closing = threading.Lock()
        self._broken = False
        self._readers = [self._thread(self._read_stdout), self._thread(self._read_stderr)]

    def send(self, line: bytes) -> None:
        """Write `line` whole. Raises ChannelLost, also when the peer has not read for SEND_TIMEOUT_S."""
        with self._sending:
            if self._lines.closed.is_set() or self._broken:
                raise self._gone(
                    "the channel was closed" if self._lines.closed.is_set() else "it takes no input any more"
                )
            try:
                self._channel.sendall(line)
            except (OSError, paramiko.SSHException, EOFError) as error:
                self._broken = True  # a line may stand there half written: nothing can follow it
                raise self._gone("it takes no input any more") from error

    def receive(self, timeout_s: float) -> bytes | None:
        """The next line with its newline; None when none came in time. Raises ChannelLost at the end."""
        return self._lines.receive(timeout_s)

    def close(self) -> None:
        """End the program: first by the end of its input, then by a signal to its group. Idempotent."""
        with self._closing:
            if self._lines.closed.is_set():
                return
            self._lines.closed.set()
            with contextlib.suppress(OSError, paramiko.SSHException, EOFError):
                self._channel.shutdown_write()
            self._lines.make_room()
            self._readers[0].join(CLOSE_GRACE_S)
            if self._readers[0].is_alive() and self._group and self._connection.alive:
                self._kill(self._group)
            end(self._connection, self._channel)

    def _thread(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"ssh-{self._connection.name}", daemon=True)
        thread.start()
        return thread

    def _read_stdout(self) -> None:
        """Whole lines into the queue, after the one that says the process group."""
        for line in self._split(self._channel.recv):
            if self._lines.closed.is_set():
                continue  # to the end, so that `close` knows of it
            if not self._group:
                self._group = int(line) if line.strip().isdigit() else -1
            else:
                self._lines.put(line)
        self._lines.end()

    def _read_stderr(self) -> None:
        for line in self._split(self._channel.recv_stderr):
            self._complaints.append(line[:2000])

    def _split(self, receive: Callable[[int], bytes]) -> Iterator[bytes]:
        """Whole lines to the end; one that the end cut short is no line."""
        rest = bytearray()
        while True:
            try:
                piece = receive(_PIECE_BYTES)
            except TimeoutError:
                continue
            except (OSError, paramiko.SSHException, EOFError):
                return
            if not piece:
                return
            *lines, last = piece.split(b"\n")
            for line in lines:
                yield bytes(rest + line + b"\n")
                rest.clear()
            rest += last

    def _gone(self, why: str) -> ChannelLost:
        if not self._readers[0].is_alive():
            self._readers[1].join(_LOOK_S)
            self._channel.status_event.wait(_LOOK_S)
        code = self._channel.exit_status
        ended = "" if code < 0 else f" with {code}"
        said = b"".join(list(self._complaints)).decode(errors="replace").strip()
        why = self._connection.lost or why + ended
        return ChannelLost(f"lost {self._connection.name}: {why}\n{said}".rstrip())
