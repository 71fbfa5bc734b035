"""Start and end of the agent."""

from __future__ import annotations

import os
import platform
import resource
import signal
import socket
import time
from typing import Any

from .appends import append
from .files import mount, nonce
from .listeners import Listeners
from .logs import read_log
from .nursery import Nursery
from .probes import bulk, lookup, probe
from .protocol import Call, Session
from .streams import beat, rtt, stream
from .works import work


def main() -> None:
    """Serve the stream on standard input and output until the input ends. Does not return."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the controller's to handle
    read_fd, write_fd = _take_streams()
    nursery = Nursery.start((read_fd, write_fd))
    _raise_open_files()
    listeners = Listeners()
    handlers = {
        "hello": hello, "ping": ping, "listen": listeners.listen, "unlisten": listeners.unlisten,
        "probe": probe, "lookup": lookup, "bulk": bulk, "stream": stream, "rtt": rtt, "beat": beat,
        "append": append(nursery), "work": work(nursery), "read_log": read_log, "mount": mount, "nonce": nonce,
    }  # fmt: skip
    try:
        Session(read_fd, write_fd, handlers).serve()
    finally:
        os._exit(0)


def hello(call: Call) -> dict[str, Any]:
    return {
        "nonce": call.params["nonce"],
        "python": platform.python_version(),
        "kernel": platform.release(),
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "monotonic_ns": time.monotonic_ns(),
    }


def ping(_call: Call) -> dict[str, Any]:
    return {"monotonic_ns": time.monotonic_ns()}


def _take_streams() -> tuple[int, int]:
    """Our own descriptors for the stream. Whoever prints now prints to standard error."""
    read_fd, write_fd = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return read_fd, write_fd


def _raise_open_files() -> None:
    """As far as we may: a probe is a socket."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
