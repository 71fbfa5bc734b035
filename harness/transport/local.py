"""The machine we run on as a host: for tests, and, behind nsenter(1), for the machine that holds the wire."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from harness.ports import Channel, Result, Right
from harness.transport.process import ProcessChannel, run_process


class LocalHost:
    """A Host on this machine. `prefix` stands before every command (`("nsenter", "--net=/run/netns/x")`).

    `env` is added to our own environment. A prefix program that is not there is code 127, like any other.
    """

    def __init__(
        self,
        name: str = "local",
        *,
        address: str = "",
        prefix: Sequence[str] = (),
        rights: frozenset[Right] = frozenset({"shell"}),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._name = name
        self._address = address
        self._prefix = tuple(prefix)
        self._rights = rights
        self._env = None if env is None else dict(env)

    @property
    def name(self) -> str:
        return self._name

    @property
    def address(self) -> str:
        return self._address

    @property
    def rights(self) -> frozenset[Right]:
        return self._rights

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        """Raises DeadlineExceeded; the command and what it started are killed then."""
        return run_process(
            (*self._prefix, *argv), timeout_s=timeout_s, stdin=stdin, where=self._name, env=self._environment()
        )

    def channel(self, argv: Sequence[str]) -> Channel:
        """Raises ChannelLost where `argv` cannot be started."""
        return ProcessChannel((*self._prefix, *argv), where=self._name, env=self._environment())

    def _environment(self) -> dict[str, str] | None:
        return None if self._env is None else {**os.environ, **self._env}
