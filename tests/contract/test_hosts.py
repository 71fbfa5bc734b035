"""What every Host keeps to, whatever it is behind. A new one joins by an entry in HOSTS."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from harness.model.errors import ChannelLost, DeadlineExceeded
from harness.ports import Channel, Host, Result
from harness.providers.engine import Engine
from harness.providers.nodes import ContainerHost
from harness.transport.kubectl import KubectlHost, Place, PodHost
from harness.transport.local import LocalHost
from harness.transport.ssh import Login, SshHost
from tests.fakes import FakeHost
from tests.providers_engine import script
from tests.ssh_server import host_key_text, ssh_server, write_key

ENDLESS = ("sleep", "600")
OWN_124 = ("sh", "-c", "exit 124")
MISSING = ("a-program-that-is-nowhere", "--flag")


def _never(_argv: Sequence[str], _stdin: bytes) -> Result:
    raise TimeoutError


def _fake() -> Host:
    return FakeHost(
        answers={
            ("sh", "-c", "echo out; echo err >&2; exit 3"): Result(3, "out\n", "err\n"),
            ("printf", "\\377"): Result(0, "\N{REPLACEMENT CHARACTER}", ""),
            ("cat",): lambda _argv, stdin: Result(0, stdin.decode(), ""),
            ENDLESS: _never,
            OWN_124: Result(124, "", ""),
        },
        programs={("cat",): lambda line: [line], ("echo", "once"): lambda _line: [], ENDLESS: lambda _line: []},
    )


@contextlib.contextmanager
def _by_ssh() -> Iterator[Host]:
    with ssh_server() as server, tempfile.TemporaryDirectory() as folder:
        key = write_key(Path(folder))
        host = SshHost("n1", Login("127.0.0.1", port=server.port, key=key, host_key=host_key_text()))
        yield host
        host.close()


@contextlib.contextmanager
def _in_a_container() -> Iterator[Host]:
    """`docker exec` into a container that is this machine."""
    with tempfile.TemporaryDirectory() as folder:
        client = script(Path(folder) / "docker", 'shift 4; [ "$1" = box ] || exit 64; shift; exec "$@"')
        yield ContainerHost("n1", "192.0.2.1", Engine("unix:///x.sock", (str(client),), own=True), "box")


@contextlib.contextmanager
def _in_a_pod() -> Iterator[Host]:
    """`kubectl exec` into a pod that is this machine."""
    with tempfile.TemporaryDirectory() as folder:
        client = script(Path(folder) / "kubectl", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
        api = KubectlHost(str(client))
        yield PodHost("n1", "192.0.2.1", api, ("kubectl",), Place("ns", "pod"), rights=frozenset({"shell"}))


HOSTS: dict[str, Callable[[], contextlib.AbstractContextManager[Host]]] = {
    "fake": lambda: contextlib.nullcontext(_fake()),
    "local": lambda: contextlib.nullcontext(LocalHost()),
    "local-prefixed": lambda: contextlib.nullcontext(LocalHost("prefixed", prefix=("env",))),
    "ssh": _by_ssh,
    "container": _in_a_container,
    "pod": _in_a_pod,
}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with HOSTS[request.param]() as made:
        yield made


@contextlib.contextmanager
def opened(host: Host, argv: Sequence[str]) -> Iterator[Channel]:
    channel = host.channel(argv)
    try:
        yield channel
    finally:
        channel.close()


def test_it_has_a_name_an_address_and_rights(host: Host) -> None:
    assert host.name
    assert isinstance(host.address, str)
    assert "shell" in host.rights


def test_a_code_is_a_result_and_both_outputs_are_kept_apart(host: Host) -> None:
    result = host.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=30)

    assert (result.code, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert not result.ok


def test_a_missing_program_is_code_127(host: Host) -> None:
    result = host.run(MISSING, timeout_s=30)

    assert result.code == 127
    assert MISSING[0] in result.stderr


def test_stdin_arrives_whole_and_output_is_not_truncated(host: Host) -> None:
    text = b"0123456789abcdef" * 50_000

    assert host.run(["cat"], timeout_s=30, stdin=text).stdout == text.decode()


def test_without_stdin_a_command_reads_an_end(host: Host) -> None:
    assert host.run(["cat"], timeout_s=30) == Result(0, "", "")


def test_bytes_that_are_no_text_become_replacement_characters(host: Host) -> None:
    assert host.run(["printf", "\\377"], timeout_s=30).stdout == "\N{REPLACEMENT CHARACTER}"


def test_a_deadline_ends_the_command(host: Host) -> None:
    with pytest.raises(DeadlineExceeded, match="sleep"):
        host.run(ENDLESS, timeout_s=0.1)


def test_a_code_of_124_before_the_time_is_over_is_the_commands_own(host: Host) -> None:
    assert host.run(OWN_124, timeout_s=30).code == 124


def test_a_channel_carries_lines_both_ways(host: Host) -> None:
    with opened(host, ["cat"]) as channel:
        channel.send(b"first\n")
        channel.send(b"second\n")

        assert [channel.receive(30), channel.receive(30)] == [b"first\n", b"second\n"]


def test_a_silent_channel_answers_none_in_time(host: Host) -> None:
    with opened(host, ["cat"]) as channel:
        assert channel.receive(0.01) is None
        channel.send(b"still there\n")
        assert channel.receive(30) == b"still there\n"


def test_a_closed_channel_is_lost_and_closing_again_is_nothing(host: Host) -> None:
    with opened(host, ["cat"]) as channel:
        channel.close()
        channel.close()

        with pytest.raises(ChannelLost):
            channel.send(b"anyone?\n")
        with pytest.raises(ChannelLost):
            channel.receive(1)


def test_a_channel_to_a_missing_program_is_lost(host: Host) -> None:
    with pytest.raises(ChannelLost), opened(host, MISSING) as channel:
        _read_to_the_end(channel)


def _read_to_the_end(channel: Channel) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        channel.receive(1)
