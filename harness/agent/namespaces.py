"""Working inside a container without entering it: its network by setns(2), its files by /proc/PID/root."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

_CLONE_NEWNET = 0x40000000

T = TypeVar("T")


def proc_of(pid: int) -> str:
    """Where the kernel shows a container's first process, see proc(5); the agent itself for pid 0."""
    return f"/proc/{pid or 'self'}"


def inside(pid: int, path: str) -> str:
    """`path`, absolute in the container, as the agent can open it."""
    return f"{proc_of(pid)}/root/{path.lstrip('/')}"


def in_network(pid: int, work: Callable[[], T]) -> T:
    """Run `work` in the network namespace of `pid`, in a thread that ends with it: a thread that stayed would
    keep the namespace, and with it the addresses of a removed container, alive. Sockets opened there go on
    working from any thread. Raises what `work` raises, and OSError where the process is gone.
    """
    if pid == 0:
        return work()
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            _enter_network(pid)
            results.append(work())
        except BaseException as error:  # noqa: BLE001 (raised again below, in the thread that asked)
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def by_pid(items: Iterable[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    groups: dict[int, list[dict[str, Any]]] = {}
    for item in items:
        groups.setdefault(item["pid"], []).append(item)
    return groups


def each_network(
    groups: dict[int, list[Any]], work: Callable[[int, list[Any]], None], gone: Callable[[list[Any]], None]
) -> None:
    """`work(pid, items)` in every network at once; `gone(items)` where the process is gone.

    Raises the first error after all have ended.
    """
    errors: list[BaseException] = []

    def body(pid: int, items: list[Any]) -> None:
        try:
            in_network(pid, lambda: work(pid, items))
        except (FileNotFoundError, ProcessLookupError):
            gone(items)
        except BaseException as error:  # noqa: BLE001 (raised again below)
            errors.append(error)

    threads = [threading.Thread(target=body, args=group) for group in groups.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _enter_network(pid: int) -> None:
    fd = os.open(f"{proc_of(pid)}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(fd)
    finally:
        os.close(fd)


def _setns(fd: int) -> None:
    """os.setns came with Python 3.12."""
    native = getattr(os, "setns", None)
    if native is not None:
        native(fd, _CLONE_NEWNET)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
