"""Evidence: bounded, without secrets, and never in the way of a verdict."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.evidence import capturing, collect, redact
from harness.evidence.collecting import COLLECTORS, WIRE_COLLECTORS
from harness.model.errors import ChannelLost
from harness.ports import Cluster, Host, Result
from tests.fakes import FakeHost, FakeWire

SECRET = "5up3rs3cret"


@pytest.mark.parametrize(
    "text",
    [
        f"docker swarm join --token SWMTKN-1-{SECRET}-{SECRET} 10.0.0.1:2377",
        f"SWMKEY-1-{SECRET}",
        "aead rfc4106(gcm(aes)) 0x5333c7e7 128",
        "auth-trunc hmac(sha256) 0x5333c7e7 96",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
        f"[client.admin]\n\tkey = {SECRET}==\n",
        f'"Password": "{SECRET}"',
        f"DB_PASSWORD={SECRET}",
        f"http://me:{SECRET}@example.org/",
    ],
)
def test_secrets_are_taken_out(text: str) -> None:
    shown = redact(text)
    assert SECRET not in shown
    assert "5333c7e7" not in shown
    assert "[redacted]" in shown
    assert redact(shown) == shown


def test_what_is_no_secret_stays() -> None:
    text = "02:42:0a:00:00:01 dev vxlan0 dst 10.213.0.11 self permanent\nnet.ipv4.tcp_keepalive_time = 7200\n"
    assert redact(text) == text


def cluster(**answers: Result | None) -> Cluster:
    def lost(_argv: Sequence[str], _stdin: bytes) -> Result:
        raise ChannelLost("n2 is gone")

    hosts: dict[str, Host] = {
        name: FakeHost(name, answers={("sh",): lost if result is None else result})
        for name, result in answers.items()
    }
    wire = FakeHost("wire", address="", answers={("sh",): Result(0, "on the wire", "")})
    return Cluster("harness-r1", "r1", "fake", hosts, FakeWire(wire))


def test_every_node_has_a_file_for_each_collector_and_one_that_is_gone_is_told(tmp_path: Path) -> None:
    made = cluster(n1=Result(0, f"token: {SECRET}", ""), n2=None)
    failed = collect(made, tmp_path, lambda _line: None, budget_s=30)
    assert {path.stem for path in (tmp_path / "n1").iterdir()} == set(COLLECTORS)
    assert {path.stem for path in (tmp_path / "wire").iterdir()} == set(WIRE_COLLECTORS)
    assert SECRET not in (tmp_path / "n1" / "engine.txt").read_text()
    assert len(failed) == len(COLLECTORS)
    assert failed[0] == "n2: engine: n2 is gone"


def test_nothing_is_started_once_the_time_is_over(tmp_path: Path) -> None:
    failed = collect(cluster(n1=Result(0, "x", "")), tmp_path, lambda _line: None, budget_s=0)
    assert len(failed) == len(COLLECTORS) + len(WIRE_COLLECTORS)
    assert all(line.endswith("no time was left") for line in failed)
    assert not list(tmp_path.iterdir())


class Ring:
    """A node whose capture can be begun once its network is there."""

    def __init__(self, *networks: str) -> None:
        self.networks = networks
        self.running: set[str] = set()

    def sh(self, argv: Sequence[str], _stdin: bytes) -> Result:
        text, words = argv[2], list(argv[4:])
        if "setsid" in text:
            if words[0] not in self.networks:
                return Result(4, "", f"Error: No such network: {words[0]}")
            self.running.add(words[1])
            return Result(0, "", "")
        if "tcpdump" in text:
            if words[0] not in self.running:
                return Result(4, "", "no capture runs")
            return Result(0, f"IP 10.0.0.1.9 > 10.0.0.2.9: UDP, length 64 token: {SECRET}\n", "")
        self.running.discard(words[0])
        return Result(0, base64.b64encode(b"packed").decode(), "")


def captured(**rings: Ring) -> Cluster:
    hosts: dict[str, Host] = {name: FakeHost(name, answers={("sh",): ring.sh}) for name, ring in rings.items()}
    return Cluster("harness-r1", "r1", "fake", hosts)


def test_a_capture_is_kept_packed_and_as_text_and_its_end_is_told_to_the_node(tmp_path: Path) -> None:
    ring, captures = Ring("harness-r1-app"), {"app": "harness-r1-app"}
    made = captured(n1=ring)
    assert capturing.start(made, captures) == []
    assert ring.running == {"/run/harness-pcap-harness-r1-app"}
    assert capturing.save(made, captures, tmp_path) == []
    assert (tmp_path / "n1" / "app.pcap.tar.gz").read_bytes() == b"packed"
    text = (tmp_path / "n1" / "app.packets.txt").read_text()
    assert text.startswith("IP 10.0.0.1.9 > 10.0.0.2.9: UDP, length 64")
    assert SECRET not in text
    assert not ring.running


def test_a_node_that_cannot_capture_is_told_and_the_others_are_kept(tmp_path: Path) -> None:
    made, captures = captured(n1=Ring("harness-r1-app"), n2=Ring()), {"app": "harness-r1-app"}
    assert capturing.start(made, captures) == ["n2: capture of app: Error: No such network: harness-r1-app"]
    assert capturing.save(made, captures, tmp_path) == ["n2: capture of app: no capture runs"]
    assert (tmp_path / "n1" / "app.packets.txt").exists()
    assert not (tmp_path / "n2").exists()
