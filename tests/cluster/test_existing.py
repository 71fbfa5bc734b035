"""Clusters that exist: hosts of somebody else's, by SSH only, with things of theirs that nobody may touch."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest
import yaml

from tests.cluster_cli import Ended, only_run
from tests.ssh_hosts import Site, site

TOPOLOGY = Path(__file__).parent / "topologies" / "hosts.yaml"
QUICK = ("--only", "connectivity", "--only", "mtu")
#: Somebody's image (nothing), container (which runs), network and volume.
_THEIRS = """
set -e
tar --create --files-from /dev/null | docker import - theirs:1 >/dev/null
docker run --detach --name theirs -v /usr:/usr:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro theirs:1 \
  /usr/bin/sleep infinity >/dev/null
docker network create theirs >/dev/null
docker volume create theirs >/dev/null
"""


@pytest.fixture(scope="module")
def hosts(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("hosts")) as made:
        made.own("beta", _THEIRS)
        yield made


@pytest.fixture
def untouched(hosts: Site) -> Iterator[Site]:
    """Whatever the test does, the hosts are afterwards as they were."""
    before = hosts.state()
    yield hosts
    assert hosts.state() == before


def run(hosts: Site, runs: Path, inventory: Path, *arguments: str) -> Ended:
    return hosts.harness("run", TOPOLOGY, "--inventory", inventory, "--runs-dir", runs, *arguments)


def results(runs: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((only_run(runs) / "results.json").read_text())
    return found


def test_an_overlay_on_hosts_by_ssh_passes_and_no_secret_is_written_down(untouched: Site, tmp_path: Path) -> None:
    ended = run(untouched, tmp_path, untouched.inventory(), *QUICK, "--only", "dns", "--only", "concurrent-append")

    assert ended.code == 0, ended.told
    written = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
    written += ended.told.encode()
    for secret in (b"SWMTKN-", b"PRIVATE KEY", untouched.key.read_bytes().splitlines()[1]):
        assert secret not in written
    assert untouched.addresses[2].encode() in written  # what is looked for is what is written


def test_doctor_says_that_they_can_be_used_and_leaves_no_trace(untouched: Site) -> None:
    ended = untouched.harness("doctor", TOPOLOGY, "--inventory", untouched.inventory())

    assert ended.code == 0, ended.told
    assert "the hosts can be used" in ended.stdout
    for name in ("n1", "n2", "n3"):
        assert f"{name}: Docker " in ended.stderr


# --- hosts that cannot be used: named, and nothing was changed


def refused(there: Site, runs: Path, *texts: str, **changes: object) -> None:
    ended = run(there, runs, there.inventory("changed.yaml", **changes), *QUICK)
    told = " ".join(ended.stderr.split())
    assert ended.code == 70, ended.told
    for text in texts:
        assert text in told, ended.told


def test_a_wrong_key(untouched: Site, tmp_path: Path) -> None:
    other = untouched.folder / "other"
    paramiko.ECDSAKey.generate().write_private_key_file(str(other))
    defaults = {"user": "admin", "key": "other", "sudo": True}
    refused(untouched, tmp_path, "n1 does not let us in", f"it refuses the key {other}", defaults=defaults)


def test_an_unknown_host_key(untouched: Site, tmp_path: Path) -> None:
    (untouched.folder / "empty").write_text("")
    address = untouched.addresses[0]
    refused(untouched, tmp_path, f"the host key of {address} is not known", "SHA256:", known_hosts="empty")


def test_a_user_who_may_do_nothing_and_one_who_was_not_told_to(untouched: Site, tmp_path: Path) -> None:
    listed = [{"address": address} for address in untouched.addresses]
    listed[1] |= {"user": "guest"}
    listed[2] |= {"sudo": False}  # type: ignore[dict-item]
    refused(
        untouched,
        tmp_path,
        "n2: sudo does not let guest do without a password",
        "NOPASSWD",
        "n3: admin is not root there",
        hosts=listed,
    )


@contextmanager
def rule(hosts: Site, name: str, words: str) -> Iterator[None]:
    """A rule of the owner's own firewall."""
    hosts.own(name, f"iptables -I INPUT {words}")
    try:
        yield
    finally:
        hosts.own(name, f"iptables -D INPUT {words}")


def test_a_port_that_is_closed_between_two_hosts_is_named_with_both_ends(untouched: Site, tmp_path: Path) -> None:
    _, beta, gamma = untouched.addresses
    with rule(untouched, "gamma", f"-s {beta} -p udp --dport 4789 -j DROP"):
        refused(untouched, tmp_path, f"n2 ({beta}) to n3 ({gamma}): 4789/udp is closed", "nothing was changed")


# --- what happens in the middle


def test_a_connection_that_is_cut_in_the_middle_is_named_and_never_a_pass(untouched: Site, tmp_path: Path) -> None:
    inventory = untouched.inventory()
    process = untouched.start("run", TOPOLOGY, "--inventory", inventory, "--runs-dir", tmp_path, "--only", "long")
    process.wait_for("long: 7 endpoints, 6 writers")
    with rule(untouched, "gamma", "-p tcp --dport 22 -j DROP"):
        ended = process.end()

    assert ended.code in (1, 2, 70), ended.told
    assert "n3" in ended.told
    verdicts = {check["id"]: check["verdict"] for check in results(tmp_path)["checks"]}  # type: ignore[attr-defined]
    assert verdicts["long"] != "pass"
    cluster = f"harness-{only_run(tmp_path).name}"
    removed = untouched.harness("down", cluster, "--inventory", inventory)
    assert removed.code == 0, removed.told


def test_kill_nine_leaves_what_down_removes_host_by_host(untouched: Site, tmp_path: Path) -> None:
    inventory = untouched.inventory()
    process = untouched.start("run", TOPOLOGY, "--inventory", inventory, "--runs-dir", tmp_path, *QUICK)
    process.wait_for("all 3 nodes are Ready")
    process.send(signal.SIGKILL)
    process.end()
    listed = json.loads(untouched.harness("list", "--json", "--inventory", inventory).stdout)["clusters"]
    ours = [cluster["name"] for cluster in listed if cluster["provider"] == "existing"]
    assert ours == [f"harness-{only_run(tmp_path).name}"]

    with rule(untouched, "gamma", "-p tcp --dport 22 -j DROP"):
        seen = untouched.harness("list", "--inventory", inventory)
        part = untouched.harness("down", ours[0], "--inventory", inventory)
    rest = untouched.harness("down", ours[0], "--inventory", inventory)

    for ended in (seen, part):
        assert ended.code == 70, ended.told
        assert "n3 cannot be reached" in ended.stderr
    assert ours[0] in seen.stdout
    assert {"n1", "n2"} == left_swarm(part)
    assert rest.code == 0, rest.told
    assert left_swarm(rest) == {"n3"}


def left_swarm(ended: Ended) -> set[str]:
    told = "removed its place in a swarm on "
    return {line.removeprefix(told) for line in ended.stdout.splitlines() if line.startswith(told)}


def test_mistakes_in_an_inventory_are_told_all_at_once_with_their_places(hosts: Site, tmp_path: Path) -> None:
    path = tmp_path / "hosts.yaml"
    wrong = {"host_keys": "off", "hosts": [{"address": "10.0.0.5", "password": "hidden"}, {"adress": "10.0.0.6"}]}
    path.write_text(yaml.safe_dump(wrong))

    ended = run(hosts, tmp_path / "runs", path)

    assert ended.code == 64
    for text in (
        "host_keys: must be known or accept-new",
        "password does not belong here",
        "did you mean 'address'",
    ):
        assert text in " ".join(ended.stderr.split()), ended.told
    assert "hidden" not in ended.told


# --- last: an engine that leaves a swarm that stays may keep a port of it (docs/decisions/012-ssh.md)


def test_a_swarm_that_exists_is_refused_and_used_on_request(untouched: Site, tmp_path: Path) -> None:
    alpha, beta, _ = untouched.addresses
    token = untouched.own(
        "alpha", f"docker swarm init --advertise-addr {alpha} >/dev/null; docker swarm join-token -q worker"
    )
    untouched.own("beta", f"docker swarm join --advertise-addr {beta} --token {token.strip()} {alpha}:2377")
    untouched.own(
        "alpha",
        "docker service create --quiet --no-resolve-image --detach --replicas 0 --name theirs theirs:1 >/dev/null",
    )
    for name in ("alpha", "beta"):  # the swarm's own network comes a moment after the join
        untouched.own(name, "until docker network inspect ingress >/dev/null 2>&1; do sleep 0.2; done")
    try:
        before = untouched.state()
        refused(untouched, tmp_path / "refused", "n1: is in a swarm already", "`swarm: join`")

        joined = run(untouched, tmp_path / "joined", untouched.inventory("join.yaml", swarm="join"), *QUICK)

        assert joined.code == 0, joined.told
        assert untouched.state() == before
        assert untouched.own("alpha", "docker service ls --format '{{.Name}}'").split() == ["theirs"]
        assert len(untouched.own("alpha", "docker node ls --quiet").split()) == 2
        assert "harness" not in untouched.own("alpha", "docker node inspect $(docker node ls --quiet)")
    finally:
        for name in ("alpha", "beta"):
            untouched.own(name, "docker swarm leave --force; docker network rm docker_gwbridge")
