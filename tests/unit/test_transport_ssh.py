"""Hosts by SSH, over a real connection to a server in this process (tests/ssh_server.py)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from harness.model.errors import ChannelLost, CommandFailed, DeadlineExceeded, Unreachable
from harness.transport.agent import Agent
from harness.transport.ssh import Login, Patience, SshHost
from harness.transport.ssh_connection import MAX_SESSIONS
from tests.ssh_server import HOST_KEY, Relay, SshServer, host_key_text, relay, ssh_server, write_key

HASTY = Patience(connect_s=10, greet_s=30, lost_after_s=3)


@pytest.fixture
def server() -> Iterator[SshServer]:
    with ssh_server() as made:
        yield made


def login_to(port: int, folder: Path, **others: object) -> Login:
    words = {"user": "admin", "port": port, "key": write_key(folder), "host_key": host_key_text(), **others}
    return Login("127.0.0.1", **words)  # type: ignore[arg-type]


@pytest.fixture
def host(server: SshServer, tmp_path: Path) -> Iterator[SshHost]:
    made = SshHost("n1", login_to(server.port, tmp_path), patience=HASTY)
    yield made
    made.close()


def test_all_commands_go_over_one_connection(host: SshHost, server: SshServer) -> None:
    outputs = [host.run(["echo", str(n)], timeout_s=30).stdout for n in range(5)]

    assert outputs == [f"{n}\n" for n in range(5)]
    assert server.connections == 1


def test_many_at_once_share_the_sessions_that_sshd_allows(host: SshHost, server: SshServer) -> None:
    codes: list[int] = []

    def run(n: int) -> None:
        codes.append(host.run(["sh", "-c", f"exit {n}"], timeout_s=60).code)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(2 * MAX_SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(codes) == list(range(2 * MAX_SESSIONS))
    assert server.connections == 1


def test_words_arrive_as_they_are(host: SshHost) -> None:
    words = ["a b", "$HOME", "'", '"', "", "*", "\\n", "né"]

    assert host.run(["printf", "%s|", *words], timeout_s=30).stdout == "".join(f"{word}|" for word in words)


def test_an_end_by_a_signal_is_a_code(host: SshHost) -> None:
    assert host.run(["sh", "-c", "kill -KILL $$"], timeout_s=30).code == 137


def test_the_deadline_stands_on_the_host_too(host: SshHost, tmp_path: Path) -> None:
    script = f"sleep 1.5; echo late >{tmp_path}/late"

    with pytest.raises(DeadlineExceeded, match="n1"):
        host.run(["sh", "-c", script], timeout_s=0.2)
    host.run(["sleep", "2"], timeout_s=30)

    assert not (tmp_path / "late").exists()


def test_a_slow_host_is_given_longer(server: SshServer, tmp_path: Path) -> None:
    slow = SshHost("n1", login_to(server.port, tmp_path), patience=HASTY, slowness=50)
    assert slow.run(["sleep", "0.5"], timeout_s=0.2).ok
    slow.close()


def test_files_go_and_come_back_whole(host: SshHost, tmp_path: Path) -> None:
    mine, there, back = tmp_path / "mine", tmp_path / "there", tmp_path / "back"
    mine.write_bytes(bytes(range(256)) * 5000)

    host.put(mine, str(there), timeout_s=60)
    host.get(str(there), back, timeout_s=60)

    assert back.read_bytes() == there.read_bytes() == mine.read_bytes()
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_a_file_that_is_not_there_leaves_nothing_here(host: SshHost, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="nowhere"):
        host.get(str(tmp_path / "nowhere"), tmp_path / "back", timeout_s=30)
    assert not (tmp_path / "back").exists()


def test_an_agent_runs_over_a_channel(host: SshHost) -> None:
    agent = Agent.start(host, timeout_s=60)
    try:
        assert agent.alive(30)
        assert agent.call("ping", {}, timeout_s=30)["monotonic_ns"] > 0
    finally:
        agent.close()


def test_closing_a_channel_ends_what_does_not_end_by_itself(host: SshHost) -> None:
    channel = host.channel(["sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.1; done"])
    line = channel.receive(30)
    assert line is not None
    channel.close()

    assert _has_ended(int(line))


def _has_ended(pid: int) -> bool:
    """Gone, or waiting for a parent that does not ask."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] in "ZX"
    except OSError:
        return True


# --- what is lost


def cut_once_under_way(server: SshServer, between: Relay) -> None:
    """Cut the connection when its command `sleep` runs."""
    end = time.monotonic() + 60
    while not any("sleep" in text for text in server.commands) and time.monotonic() < end:
        time.sleep(0.02)
    between.cut()


def test_a_command_under_way_on_a_connection_that_is_cut_is_lost_and_not_sent_again(
    server: SshServer, tmp_path: Path
) -> None:
    with relay(server.port) as between:
        host = SshHost("n1", login_to(between.port, tmp_path), patience=HASTY)
        host.run(["true"], timeout_s=30)
        threading.Thread(target=cut_once_under_way, args=(server, between), daemon=True).start()
        with pytest.raises(ChannelLost, match=r"lost n1.*not known"):
            host.run(["sleep", "20"], timeout_s=60)
        host.close()

    assert sum("sleep" in text for text in server.commands) == 1


def test_silence_is_noticed_by_command_and_channel_and_told(server: SshServer, tmp_path: Path) -> None:
    with relay(server.port) as between:
        host = SshHost("n1", login_to(between.port, tmp_path), patience=HASTY)
        channel = host.channel(["cat"])
        between.hold()
        with pytest.raises(ChannelLost, match="nothing was heard of it for 3 s"):
            host.run(["true"], timeout_s=60)
        with pytest.raises(ChannelLost, match="nothing was heard of it for 3 s"):
            _receive_to_the_end(channel.receive)
        channel.close()
        host.close()


def _receive_to_the_end(receive: object) -> None:
    assert callable(receive)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        receive(1)


def test_the_next_command_after_a_loss_connects_anew(server: SshServer, tmp_path: Path) -> None:
    with relay(server.port) as between:
        host = SshHost("n1", login_to(between.port, tmp_path), patience=HASTY)
        threading.Thread(target=cut_once_under_way, args=(server, between), daemon=True).start()
        with pytest.raises(ChannelLost):
            host.run(["sleep", "20"], timeout_s=60)

        assert host.run(["echo", "again"], timeout_s=30).stdout == "again\n"
        assert server.connections == 2
        host.close()


# --- who is who


def test_nobody_there_is_said_with_the_address(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable, match=f"n1 cannot be reached .admin@127.0.0.1:{port}.: Connection refused"):
        SshHost("n1", login_to(port, tmp_path)).run(["true"], timeout_s=5)


def test_a_wrong_key_is_named(server: SshServer, tmp_path: Path) -> None:
    other = write_key(tmp_path, paramiko.ECDSAKey.generate())
    host = SshHost("n1", login_to(server.port, tmp_path, key=other))

    with pytest.raises(Unreachable, match=f"n1 does not let us in .*it refuses the key {other}"):
        host.run(["true"], timeout_s=5)


@pytest.mark.parametrize("text", ["", "no key at all\n", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
def test_a_file_that_is_no_key_is_named(server: SshServer, tmp_path: Path, text: str) -> None:
    path = tmp_path / "not-a-key"
    path.write_text(text)
    with pytest.raises(Unreachable, match="not-a-key is not a private key"):
        SshHost("n1", login_to(server.port, tmp_path, key=path)).run(["true"], timeout_s=5)


def test_a_key_that_is_not_there_and_one_that_is_locked_are_told_apart(server: SshServer, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="nowhere cannot be read: No such file"):
        SshHost("n1", login_to(server.port, tmp_path, key=tmp_path / "nowhere")).run(["true"], timeout_s=5)
    locked = tmp_path / "locked"
    paramiko.ECDSAKey.generate().write_private_key_file(str(locked), password="a secret word")
    with pytest.raises(Unreachable, match="locked by a passphrase") as caught:
        SshHost("n1", login_to(server.port, tmp_path, key=locked)).run(["true"], timeout_s=5)
    assert "ssh-add" in str(caught.value.hint)


def test_an_unknown_host_key_is_refused_with_its_fingerprint_and_nothing_is_asked(
    server: SshServer, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("")
    host = SshHost("n1", login_to(server.port, tmp_path, host_key="", known_hosts=known))

    with pytest.raises(Unreachable, match=r"host key of \[127.0.0.1\]:\d+ is not known") as caught:
        host.run(["true"], timeout_s=5)
    assert HOST_KEY.fingerprint in caught.value.message
    assert server.commands == []


def test_a_new_host_key_is_accepted_on_request_and_known_from_then_on(server: SshServer, tmp_path: Path) -> None:
    known = tmp_path / "ssh" / "known_hosts"
    asking = login_to(server.port, tmp_path, host_key="", known_hosts=known, accept_new=True)
    strict = login_to(server.port, tmp_path, host_key="", known_hosts=known)

    for login in (asking, asking, strict):
        host = SshHost("n1", login)
        assert host.run(["true"], timeout_s=30).ok
        host.close()
    assert len(known.read_text().splitlines()) == 1


@pytest.mark.parametrize("accept_new", [False, True])
def test_a_changed_host_key_is_refused_whatever_was_asked(
    server: SshServer, tmp_path: Path, accept_new: bool
) -> None:
    known = tmp_path / "known_hosts"
    other = paramiko.ECDSAKey.generate()
    known.write_text(f"[127.0.0.1]:{server.port} {host_key_text(other)}\n")
    login = login_to(server.port, tmp_path, host_key="", known_hosts=known, accept_new=accept_new)

    with pytest.raises(Unreachable, match="another host key") as caught:
        SshHost("n1", login).run(["true"], timeout_s=5)
    assert other.fingerprint in caught.value.message
    assert server.commands == []


def test_a_given_host_key_that_is_none_is_said(server: SshServer, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="host key that was given"):
        SshHost("n1", login_to(server.port, tmp_path, host_key="ssh-ed25519 nonsense")).run(["true"], timeout_s=5)


def test_a_host_behind_another_is_reached_through_it(server: SshServer, tmp_path: Path) -> None:
    with ssh_server() as jump:
        login = login_to(server.port, tmp_path, jump=login_to(jump.port, tmp_path))
        host = SshHost("n1", login, patience=HASTY)

        assert host.run(["echo", "inside"], timeout_s=30).stdout == "inside\n"
        assert jump.asked_through == [("127.0.0.1", server.port)]
        assert jump.commands == []
        host.close()


def test_a_jump_host_that_refuses_is_the_one_that_is_named(server: SshServer, tmp_path: Path) -> None:
    with ssh_server() as jump:
        wrong = login_to(jump.port, tmp_path, key=write_key(tmp_path, paramiko.ECDSAKey.generate()))
        with pytest.raises(Unreachable, match="n1's jump host does not let us in"):
            SshHost("n1", login_to(server.port, tmp_path, jump=wrong)).run(["true"], timeout_s=5)


# --- terminals and addresses


def test_the_address_on_the_wire_may_be_another() -> None:
    assert SshHost("n1", Login("10.0.0.5")).address == "10.0.0.5"
    assert SshHost("n1", Login("10.0.0.5"), address="192.168.7.5").address == "192.168.7.5"


def test_a_terminal_is_plain_ssh_under_the_same_rules() -> None:
    jump = Login("gate", "hop", known_hosts=Path("/k"))
    login = Login("10.0.0.5", "admin", 2222, Path("/key"), host_key="ssh-ed25519 AAAA", sudo=True, jump=jump)
    argv = SshHost("n1", login, through=("nsenter", "--net=/run/netns/x")).terminal(["bash"])

    assert argv[:4] == ["nsenter", "--net=/run/netns/x", "ssh", "-t"]
    assert "StrictHostKeyChecking=yes" in argv
    assert "KnownHostsCommand=/bin/echo [10.0.0.5]:2222 ssh-ed25519 AAAA" in argv
    assert any(word.startswith("ProxyCommand=ssh -p 22") and word.endswith("-W %h:%p hop@gate") for word in argv)
    assert argv[-2:] == ["admin@10.0.0.5", "sudo -n -- bash"]


def test_with_sudo_every_command_goes_by_it(server: SshServer, tmp_path: Path) -> None:
    host = SshHost("n1", login_to(server.port, tmp_path, sudo=True))
    host.run(["true"], timeout_s=30)
    host.close()

    assert server.commands[0].startswith("sudo -n -- ")
