"""Commands on hosts as a stage of a check: recorded, and taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from harness.model.errors import ChannelLost, DeadlineExceeded, EnvironmentBroken
from harness.model.history import NO_WIRE, Op
from harness.ports import Channel, Cluster, Command, Result, Right
from harness.runner._commands import MAX_OUTPUT, Commands
from harness.runner._journal import Journal
from tests.runner_fakes import FakeTime, MemoryRecorder, make_cluster

LINK = ("ip", "link", "add", "shim")
UNLINK = ("ip", "link", "del", "shim")


@dataclass
class Shell:
    """A host that answers as `answers` says, by the whole command."""

    name: str = "n1"
    address: str = "192.0.2.1"
    answers: dict[tuple[str, ...], Result | EnvironmentBroken] = field(default_factory=dict)
    calls: list[tuple[str, ...]] = field(default_factory=list)
    rights: frozenset[Right] = frozenset({"shell"})

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        self.calls.append(tuple(argv))
        answer = self.answers.get(tuple(argv), Result(0, "done\n", ""))
        if isinstance(answer, EnvironmentBroken):
            raise answer
        return answer

    def channel(self, argv: Sequence[str]) -> Channel:
        raise NotImplementedError


@dataclass
class Wire:
    host: Shell

    def port(self, node: str) -> str:
        return f"port-{node}"


class Bench:
    def __init__(self) -> None:
        self.shell = Shell()
        self.wire = Shell("wire")
        self.recorder = MemoryRecorder()
        clock = FakeTime().clock
        cluster: Cluster = replace(make_cluster(), hosts={"n1": self.shell}, wire=Wire(self.wire))
        self.cluster, self.clock = cluster, clock
        self.commands = Commands(cluster, Journal(self.recorder, "c", clock), clock)

    @property
    def rows(self) -> list[Op]:
        return list(self.recorder.history.only(f=["command", "lost"]).ops())


def link(host: str = "n1") -> Command:
    return Command(host, "shim", LINK, timeout_s=5, undo=UNLINK, at="web.1")


def test_a_command_is_a_row_with_its_output_and_code() -> None:
    bench = Bench()
    bench.shell.answers[LINK] = Result(2, "", "File exists")
    bench.commands.run([Command("n1", "date", ("date",), timeout_s=5), link()])
    rows = {row.key: row for row in bench.rows}
    assert (rows["date"].value, rows["date"].outcome, rows["date"].errno) == ("done", "ok", 0)
    shim = rows["shim"]
    assert (shim.value, shim.outcome, shim.errno, shim.at) == ("File exists", "fail", 2, "web.1")
    assert {row.host for row in bench.rows} == {"n1"}


def test_the_wire_is_the_host_without_a_name() -> None:
    bench = Bench()
    bench.commands.run([link(host="")])
    assert bench.wire.calls == [LINK]
    assert bench.rows[0].host == "controller"
    assert bench.commands.undo() == []
    assert bench.wire.calls == [LINK, UNLINK]


def test_without_the_right_to_the_wire_the_row_says_so_and_nothing_runs() -> None:
    bench = Bench()
    commands = Commands(replace(bench.cluster, wire=None), Journal(bench.recorder, "c", bench.clock), bench.clock)
    commands.run([link(host="")])
    assert [(row.value, row.outcome) for row in bench.rows] == [(NO_WIRE, "info")]
    assert commands.undo() == []


def test_what_was_done_is_undone_in_reverse_and_once() -> None:
    bench = Bench()
    bench.commands.run([link()])
    bench.commands.run([replace(link(), argv=("ip", "addr", "add"), undo=("ip", "addr", "del"))])
    assert bench.commands.undo() == []
    assert bench.shell.calls[2:] == [("ip", "addr", "del"), UNLINK]
    assert bench.commands.undo() == []
    assert len(bench.shell.calls) == 4


def test_a_command_that_failed_or_was_late_is_undone_too() -> None:
    bench = Bench()
    bench.shell.answers[LINK] = DeadlineExceeded("n1 did not answer")
    bench.commands.run([link()])
    assert [(row.value, row.outcome) for row in bench.rows] == [("n1 did not answer", "info")]
    bench.commands.undo()
    assert bench.shell.calls[-1] == UNLINK


def test_an_undo_that_fails_is_told_and_the_others_run() -> None:
    bench = Bench()
    bench.shell.answers[UNLINK] = Result(1, "", "busy")
    bench.commands.run([replace(link(), key="first", undo=("true",)), link()])
    assert bench.commands.undo() == ["undo of shim: busy"]
    assert bench.shell.calls[-1] == ("true",)


def test_a_host_that_is_gone_stands_in_the_history_and_ends_the_check() -> None:
    bench = Bench()
    bench.shell.answers[LINK] = ChannelLost("its process ended")
    with pytest.raises(ChannelLost):
        bench.commands.run([link()])
    assert [(row.f, row.key, row.value) for row in bench.rows] == [
        ("command", "shim", "its process ended"),
        ("lost", "n1", "its process ended"),
    ]


def test_an_output_without_end_is_refused_and_not_cut() -> None:
    bench = Bench()
    bench.shell.answers[LINK] = Result(0, "x" * (MAX_OUTPUT + 1), "")
    with pytest.raises(EnvironmentBroken, match="shim: 1048577 bytes of output"):
        bench.commands.run([link()])
    assert bench.rows == []
