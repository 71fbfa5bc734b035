"""Nodes as a tester speaks of them: verbs that say themselves aloud, and testinfra for state.

The module is not called `nodes`: importing it would put it over the fixture of that name in its package.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import Any

import testinfra.host
from testinfra.backend import base

from harness.model.errors import DeadlineExceeded
from harness.ports import Host, Result

TIMEOUT_S = 60.0
Command = str | Sequence[str]


class Node:
    """One node of a cluster. A command is argv, or text for `sh -c`."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.name = host.name
        self.address = host.address

    def execute(self, command: Command, *, timeout_s: float = TIMEOUT_S) -> Result:
        """Run it once; any code is fine."""
        return self.host.run(_argv(command), timeout_s=timeout_s)

    def succeed(self, command: Command, *, timeout_s: float = TIMEOUT_S) -> str:
        """Its standard output. Raises AssertionError, with its output, where it ends with another code than 0."""
        self._say("must succeed", command)
        result = self.execute(command, timeout_s=timeout_s)
        assert result.ok, f"{self.name}: `{_text(command)}` ended with {result.code}\n{result.output}"
        return result.stdout

    def fail(self, command: Command, *, timeout_s: float = TIMEOUT_S) -> str:
        """Its output. Raises AssertionError where it ends with 0."""
        self._say("must fail", command)
        result = self.execute(command, timeout_s=timeout_s)
        assert not result.ok, f"{self.name}: `{_text(command)}` should fail, and did not\n{result.output}"
        return result.output

    def wait_until_succeeds(self, command: Command, *, timeout_s: float = TIMEOUT_S) -> str:
        """Its standard output, once it succeeds. Raises DeadlineExceeded with the last output."""
        self._say("wait until it succeeds", command)
        deadline = time.monotonic() + timeout_s
        while True:
            result = self.execute(command, timeout_s=max(1.0, deadline - time.monotonic()))
            if result.ok:
                return result.stdout
            if time.monotonic() > deadline:
                raise DeadlineExceeded(
                    f"{self.name}: `{_text(command)}` did not succeed within {timeout_s:g} s\n{result.output}"
                )
            time.sleep(0.2)

    def wait_for_open_port(self, port: int, *, address: str = "127.0.0.1", timeout_s: float = TIMEOUT_S) -> None:
        script = f"import socket; socket.create_connection(({address!r}, {port}), 1).close()"
        self.wait_until_succeeds(["python3", "-c", script], timeout_s=timeout_s)

    @property
    def infra(self) -> Any:
        """A testinfra host: `infra.file("/etc/hosts").contains("n2")`. For state only: each call has TIMEOUT_S."""
        return testinfra.host.Host(_Backend(self.host))

    def _say(self, verb: str, command: Command) -> None:
        print(f"{self.name}: {verb}: {_text(command)}")


def _argv(command: Command) -> list[str]:
    return ["sh", "-c", command] if isinstance(command, str) else list(command)


def _text(command: Command) -> str:
    return command if isinstance(command, str) else shlex.join(command)


class _Backend(base.BaseBackend):  # type: ignore[misc]  # testinfra is not typed
    """testinfra over the harness's own transport: no second way to a node, and a deadline on every command."""

    NAME = "harness"

    def __init__(self, host: Host) -> None:
        super().__init__(host.name)
        self._node = host

    def run(self, command: str, *args: str, **_kwargs: Any) -> Any:
        text = self.get_command(command, *args)
        result = self._node.run(["sh", "-c", text], timeout_s=TIMEOUT_S)
        return self.result(result.code, self.encode(text), result.stdout.encode(), result.stderr.encode())
