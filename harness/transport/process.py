"""Programs of this machine, each with a deadline: what every host that is reached by a program stands on."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from harness.model.errors import ChannelLost, command_line
from harness.ports import Result
from harness.transport.deadlines import late
from harness.transport.lines import Lines

#: What a shell answers for a program that cannot be executed, or that is not there (POSIX, XCU 2.8.2).
NOT_EXECUTABLE, NOT_FOUND = 126, 127
#: How long a peer may leave our line unread in a full pipe before the channel counts as lost.
SEND_TIMEOUT_S = 30.0
#: How long a process may take to end by itself once its standard input is closed.
CLOSE_GRACE_S = 2.0
_KILL_GRACE_S = 2.0
_LAST_WORDS_S = 1.0
_DEAF = "it does not take input any more"
_STDERR_TAIL_LINES = 40


def run_process(
    argv: Sequence[str],
    *,
    timeout_s: float,
    stdin: bytes,
    where: str,
    env: Mapping[str, str] | None = None,
) -> Result:
    """Run `argv` once, in a process group of its own, with `stdin` as its whole standard input.

    A program that is not there is code 127, one that may not be executed 126, as in a shell. `where` names the
    host in messages; `env` None inherits ours. When the deadline is over, or the caller is interrupted, the whole
    group is killed. Raises DeadlineExceeded.
    """
    try:
        process = _start(argv, env)
    except OSError as error:
        return _not_started(argv, error)
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout_s)
    except subprocess.TimeoutExpired as expired:
        _abandon(process)
        raise late(argv, timeout_s, where, (expired.stderr or b"").decode(errors="replace")) from None
    except BaseException:
        _abandon(process)
        raise
    return Result(process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


class ProcessChannel:
    """A Channel over the standard input and output of a program of this machine.

    Its standard error is drained all the time; the last lines stand in ChannelLost's message. Raises ChannelLost
    when the program cannot be started.
    """

    def __init__(self, argv: Sequence[str], *, where: str, env: Mapping[str, str] | None = None) -> None:
        self._argv = tuple(argv)
        self._where = where
        try:
            self._process = _start(argv, env)
        except OSError as error:
            raise ChannelLost(f"on {where}: `{command_line(argv)}` cannot be started: {error.strerror}") from error
        self._lines = Lines(self._lost)
        self._complaints: deque[bytes] = deque(maxlen=_STDERR_TAIL_LINES)
        self._sending = threading.Lock()
        self._closing = threading.Lock()
        self._broken = False
        self._threads = [self._thread(self._read_stdout), self._thread(self._read_stderr)]
        os.set_blocking(self._stdin, False)

    @property
    def pid(self) -> int:
        """Of the program on this machine, which leads its process group."""
        return self._process.pid

    def send(self, line: bytes) -> None:
        """Write `line` whole. Raises ChannelLost, also when the peer has not read for SEND_TIMEOUT_S."""
        with self._sending:
            if self._lines.closed.is_set() or self._broken:
                raise self._lost("the channel was closed" if self._lines.closed.is_set() else _DEAF)
            try:
                self._write(memoryview(line), time.monotonic() + SEND_TIMEOUT_S)
            except (OSError, ValueError) as error:
                self._broken = True  # a line may stand there half written: nothing can follow it
                self._threads[0].join(_LAST_WORDS_S)  # one that has ended may not have been heard to the end yet
                raise self._lost(_DEAF) from error

    def receive(self, timeout_s: float) -> bytes | None:
        """The next line with its newline; None when none came in time. Raises ChannelLost at the end."""
        return self._lines.receive(timeout_s)

    def close(self) -> None:
        """End the program: first by the end of its input, then by a signal to its group. Idempotent."""
        with self._closing:
            if self._lines.closed.is_set():
                return
            self._lines.closed.set()
            with self._sending, contextlib.suppress(OSError):
                _pipe(self._process.stdin).close()
            self._end()

    def _end(self) -> None:
        for grace_s in (CLOSE_GRACE_S, _KILL_GRACE_S):
            self._lines.make_room()
            self._threads[0].join(grace_s)
            _kill_group(self._process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_GRACE_S)
        self._threads[1].join(_KILL_GRACE_S)

    @property
    def _stdin(self) -> int:
        return _pipe(self._process.stdin).fileno()

    def _write(self, rest: memoryview, deadline: float) -> None:
        while rest:
            try:
                rest = rest[os.write(self._stdin, rest) :]
            except BlockingIOError:
                self._await_room(deadline)

    def _await_room(self, deadline: float) -> None:
        """Wait until the pipe takes bytes again, or is broken. Raises TimeoutError."""
        poller = select.poll()
        poller.register(self._stdin, select.POLLOUT)
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError("nobody reads")

    def _thread(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"channel-{self._where}", daemon=True)
        thread.start()
        return thread

    def _read_stdout(self) -> None:
        """Whole lines into the queue; a line that the end cut short is no line."""
        with contextlib.suppress(OSError, ValueError), _pipe(self._process.stdout) as stream:
            for line in stream:
                if self._lines.closed.is_set() or not line.endswith(b"\n"):
                    break
                self._lines.put(line)
        self._lines.end()

    def _read_stderr(self) -> None:
        with contextlib.suppress(OSError, ValueError), _pipe(self._process.stderr) as stream:
            for line in stream:
                self._complaints.append(line[:2000])

    def _lost(self, why: str) -> ChannelLost:
        code = self._exit_code()
        ended = "" if code is None else f" with {code}"
        said = b"".join(list(self._complaints)).decode(errors="replace").strip()
        return ChannelLost(f"lost {self._where}: {why}{ended}\n{said}".rstrip())

    def _exit_code(self) -> int | None:
        """None while it runs. One that has just closed its output gets a moment to end and to say why."""
        if not self._threads[0].is_alive():
            self._threads[1].join(_LAST_WORDS_S)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LAST_WORDS_S)
        return self._process.returncode


def _start(argv: Sequence[str], env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=1 << 16,
        start_new_session=True,
        env=None if env is None else dict(env),
    )


def _not_started(argv: Sequence[str], error: OSError) -> Result:
    code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    return Result(code, "", f"{argv[0]}: {error.strerror}")


def _abandon(process: subprocess.Popen[bytes]) -> None:
    """Kill the group and let go of its pipes, whoever else still holds them."""
    _kill_group(process)
    with contextlib.suppress(subprocess.TimeoutExpired, ValueError, OSError):
        process.wait(_KILL_GRACE_S)
    for stream in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(OSError):
            _pipe(stream).close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Unless its leader was reaped: only until then is its id certainly not a stranger's (fork(2))."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
