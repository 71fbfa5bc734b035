"""A host that is reached by SSH and nothing else: one kept connection, over which every command is a session."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.ports import Channel, Result, Right
from harness.transport.ssh_connection import Connection, Dial
from harness.transport.ssh_login import Login, Patience, terminal_argv
from harness.transport.ssh_session import Ended, SshChannel, carry_out

__all__ = ["Dial", "Login", "Patience", "SshHost"]

HOST_RIGHTS: frozenset[Right] = frozenset({"shell", "networks"})
DEFAULT_PATIENCE = Patience()
_KILL_TIMEOUT_S = 10.0
#: Written beside its place first, so that it is there whole or not at all.
_PUT = 'cat >"$1.part" && mv -- "$1.part" "$1"'


class SshHost:
    """Implements ports.Host.

    It connects when it is first used, and again when it is used after its connection was lost: nothing has been
    asked of the new one then. A command under way on a connection that is lost ends with ChannelLost, and is never
    sent again. Connecting raises Unreachable, within `patience` and not within the command's own deadline.

    `address` is the one on the wire; empty: that of SSH. `dial` opens the TCP connection, where it takes more than
    that (a network namespace); `through` then stands before ssh(1) for terminals. `slowness` stretches deadlines
    of commands: an emulated machine takes about ten times as long for everything. Thread-safe.
    """

    def __init__(
        self,
        name: str,
        login: Login,
        *,
        address: str = "",
        rights: frozenset[Right] = HOST_RIGHTS,
        patience: Patience = DEFAULT_PATIENCE,
        dial: Dial | None = None,
        through: Sequence[str] = (),
        slowness: float = 1.0,
    ) -> None:
        self.name = name
        self.login = login
        self.address = address or login.address
        self.rights = rights
        self._patience = patience
        self._dial = dial
        self._through = tuple(through)
        self.slowness = slowness
        #: Of processes that are kept: whoever finds one later knows whose it is.
        self.environment: dict[str, str] = {}
        self._connecting = threading.Lock()
        self._connection: Connection | None = None

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        """An end by a signal is code 128 + its number, as in a shell.

        Raises DeadlineExceeded, ChannelLost, Unreachable.
        """
        return self._run(argv, io.BytesIO(stdin), timeout_s)

    def feed(self, argv: Sequence[str], file: Path, *, timeout_s: float) -> Result:
        """`run` with a file of this machine as standard input, which is never whole in memory."""
        with file.open("rb") as source:
            return self._run(argv, source, timeout_s)

    def channel(self, argv: Sequence[str]) -> Channel:
        """Raises ChannelLost, Unreachable."""
        words = ["env", *(f"{name}={value}" for name, value in self.environment.items()), *argv]
        return SshChannel(
            self._connected(), words, timeout_s=self._patience.connect_s, sudo=self.login.sudo, kill=self._kill
        )

    def put(self, file: Path, path: str, *, timeout_s: float) -> None:
        """Copy a file of this machine to `path` on the host. Raises CommandFailed, and as `run`."""
        argv = ["sh", "-c", _PUT, "sh", path]
        result = self.feed(argv, file, timeout_s=timeout_s)
        if not result.ok:
            raise CommandFailed(argv, result.code, result.output, where=self.name)

    def get(self, path: str, into: Path, *, timeout_s: float) -> None:
        """Copy a file of the host to this machine; `into` is there whole or not at all. Raises as `put`."""
        part = into.with_name(f"{into.name}.part")
        argv = ["cat", "--", path]
        try:
            with part.open("wb") as sink:
                ended = self._carry_out(argv, io.BytesIO(), timeout_s, sink.write)
            if ended.code:
                raise CommandFailed(argv, ended.code, ended.stderr.decode(errors="replace"), where=self.name)
            part.replace(into)
        finally:
            part.unlink(missing_ok=True)

    def terminal(self, argv: Sequence[str]) -> list[str]:
        """What to execute on this machine to run `argv` on the host with the caller's terminal."""
        return [*self._through, *terminal_argv(self.login, argv)]

    def close(self) -> None:
        """End the connection, and with it what runs over it. A later call connects anew. Idempotent."""
        with self._connecting:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _run(self, argv: Sequence[str], source: IO[bytes], timeout_s: float) -> Result:
        stdout = bytearray()
        ended = self._carry_out(argv, source, timeout_s, stdout.extend)
        return Result(ended.code, stdout.decode(errors="replace"), ended.stderr.decode(errors="replace"))

    def _carry_out(
        self, argv: Sequence[str], source: IO[bytes], timeout_s: float, take: Callable[[bytes], object]
    ) -> Ended:
        connection, limit_s = self._connected(), timeout_s * self.slowness
        return carry_out(connection, argv, timeout_s=limit_s, sudo=self.login.sudo, source=source, take=take)

    def _connected(self) -> Connection:
        with self._connecting:
            if self._connection is None or not self._connection.alive:
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                self._connection = Connection(self.name, self.login, self._patience, self._dial)
            return self._connection

    def _kill(self, group: int) -> None:
        """End a process group on the host; one that is gone already is nothing."""
        try:
            self.run(["sh", "-c", 'kill -s KILL -- "-$1"', "sh", str(group)], timeout_s=_KILL_TIMEOUT_S)
        except EnvironmentBroken:
            return  # the host ends what runs over a connection that is gone
