"""Where workers are born: a process that was forked before the agent had threads, and forks for it.

A fork of a process with threads may hang on a lock that one of them held; this one has none.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import traceback
from collections.abc import Iterable

from .hand import Hand
from .programs import PROGRAMS
from .worker import Spec, Worker
from .writer import Writer

_MAX_SPEC_BYTES = 1 << 16


class Nursery:
    """`start` before the first thread. It ends with the agent."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._asking = threading.Lock()

    @classmethod
    def start(cls, foreign_fds: Iterable[int]) -> Nursery:
        """`foreign_fds` are the agent's streams, which must end with the agent and not with a worker."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            try:
                ours.close()
                for fd in foreign_fds:
                    os.close(fd)
                _serve(theirs)
            finally:
                os._exit(0)
        theirs.close()
        return cls(ours)

    def worker(self, spec: Spec) -> socket.socket:
        """Start a worker; the agent's end of its control socket. Raises OSError where the nursery is gone."""
        ours, theirs = socket.socketpair()
        with theirs, self._asking:
            socket.send_fds(self._sock, [json.dumps(spec).encode()], [theirs.fileno()])
        return ours


def _serve(sock: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps, wait(2)
    while True:
        data, fds, _flags, _address = socket.recv_fds(sock, _MAX_SPEC_BYTES, 1)
        if not data:
            return
        if os.fork() == 0:
            _become_worker(sock, data, fds[0])
        os.close(fds[0])


def _become_worker(sock: socket.socket, data: bytes, fd: int) -> None:
    """Does not return: what a worker raises is for standard error, and must not run on as a second nursery."""
    try:
        sock.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _worker(json.loads(data), socket.socket(fileno=fd)).run()
    except BaseException:  # noqa: BLE001 (said, and then the process ends)
        traceback.print_exc()
    finally:
        os._exit(1)


def _worker(spec: Spec, control: socket.socket) -> Worker:
    """One that runs a program, where its spec names one; else a writer of the append log."""
    name = spec.get("program")
    return Hand(spec, control, PROGRAMS[name]) if name else Writer(spec, control)
