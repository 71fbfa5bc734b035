"""Runs commands on hosts for a check, records them, and takes back what they changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from harness.model.errors import ChannelLost, DeadlineExceeded, EnvironmentBroken
from harness.model.history import NO_WIRE
from harness.ports import Cluster, Command, Host
from harness.runner._journal import CONTROLLER, Journal
from harness.runner._seams import Batch, Clock
from harness.transport.parallel import at_once

#: A row holds a command's whole output: what reads it must not read half a table.
MAX_OUTPUT = 1 << 20


@dataclass
class Commands:
    """The commands of one check."""

    cluster: Cluster
    journal: Journal
    clock: Clock
    _undo: list[Command] = field(default_factory=list)

    def run(self, commands: Sequence[Command], into: list[Batch] | None = None) -> None:
        """All at once. A command that fails is a row; rows go to `into` as well. Raises, when all have ended,
        ChannelLost for a host that is gone, and EnvironmentBroken for an output that is no row's size.
        """
        self._undo += [command for command in commands if command.undo]
        rows = at_once([partial(self._run, command) for command in commands])
        if into is not None:
            into += rows

    def undo(self) -> list[str]:
        """Take back what the commands changed, the last one first; what could not be, for people."""
        left = []
        while self._undo:
            command = self._undo.pop()
            host = self._host(command)
            left += [f"undo of {command.key}: {why}" for why in [_undone(host, command) if host else ""] if why]
        return left

    def _host(self, command: Command) -> Host | None:
        """None for the wire where we have no right to it."""
        if command.host:
            return self.cluster.hosts[command.host]
        return self.cluster.wire.host if self.cluster.wire else None

    def _run(self, command: Command) -> Batch:
        """A command that did not answer in time may have done its work: its row is `info`."""
        host, start_ns = self._host(command), self.clock.now_ns()
        if host is None:
            return self._record(command, start_ns, NO_WIRE, "info")
        try:
            result = host.run(command.argv, timeout_s=command.timeout_s)
        except DeadlineExceeded as error:
            return self._record(command, start_ns, error.message, "info")
        except ChannelLost as error:
            self._record(command, start_ns, error.message, "info")
            self.journal.lost(command.host or CONTROLLER, error.message)
            raise
        if len(result.output) > MAX_OUTPUT:
            raise EnvironmentBroken(f"{command.key}: {len(result.output)} bytes of output, at most {MAX_OUTPUT}")
        return self._record(command, start_ns, result.output, "ok" if result.ok else "fail", code=result.code)

    def _record(self, command: Command, start_ns: int, value: str, outcome: str, *, code: int = 0) -> Batch:
        about = {"host": command.host or CONTROLLER, "at": command.at, "f": command.f, "key": command.key}
        row = {**about, "value": value, "errno": code, "start_ns": start_ns, "outcome": outcome}
        self.journal.command(row)
        return {"n": 1, **row}


def _undone(host: Host, command: Command) -> str:
    """Why the command's undo did not work; empty where it did."""
    try:
        result = host.run(command.undo, timeout_s=command.timeout_s)
    except EnvironmentBroken as error:
        return error.message
    return "" if result.ok else result.output or f"code {result.code}"
