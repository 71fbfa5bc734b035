"""Sockets in another network namespace: the thread that opens one joins it, and ends."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from pathlib import Path

_CLONE_NEWNET = 0x40000000  # sched.h


def connect_in(netns: str, address: str, port: int, timeout_s: float) -> socket.socket:
    """A TCP connection out of the namespace that ip-netns(8) calls `netns`; empty: out of ours. Raises OSError."""
    if not netns:
        return socket.create_connection((address, port), timeout_s)
    opened: list[socket.socket] = []
    errors: list[OSError] = []

    def connect() -> None:
        try:
            _join(Path("/run/netns", netns))
            opened.append(socket.create_connection((address, port), timeout_s))
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=connect, name=f"connect-in-{netns}", daemon=True)
    thread.start()
    thread.join(timeout_s + 5.0)
    if opened:
        return opened[0]
    raise errors[0] if errors else TimeoutError(f"no connection to {address}:{port} within {timeout_s:g} s")


def _join(namespace: Path) -> None:
    """setns(2) moves the calling thread alone. Python has it since 3.12 only."""
    handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(namespace))
    finally:
        os.close(handle)
