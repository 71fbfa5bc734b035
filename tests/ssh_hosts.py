"""Hosts that exist, for tests: containers with an engine and sshd, reached by SSH over the wire and nothing else.

They are nodes of provider `docker` without a Swarm, under other host names, so that `harness down --all` removes
them whatever becomes of the test. What the tests do to them as their owner goes by `docker exec`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import paramiko
import pytest
import yaml

from harness.model.places import state_name
from harness.model.plan import NodePlan, Plan
from harness.model.topology import Topology
from harness.ports import Host
from harness.providers import docker, images
from harness.providers.docker import DockerProvider
from harness.session.planning import new_run
from harness.transport.parallel import at_once
from tests.cluster_cli import HARNESS, Ended, Process

NAMES = ("alpha", "beta", "gamma")
NETNS = Path("/run/netns")
#: `admin` may do everything by sudo, `guest` nothing.
_SETUP = """
set -e
hostname "$1"
mkdir -p /run/sshd
ssh-keygen -A >/dev/null
for user in admin guest; do
  useradd --create-home --shell /bin/bash "$user"
  install -d -m 700 -o "$user" "/home/$user/.ssh"
  echo "$2" >"/home/$user/.ssh/authorized_keys"
  chown "$user" "/home/$user/.ssh/authorized_keys"
done
echo 'admin ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/admin
/usr/sbin/sshd
cat /etc/ssh/ssh_host_ed25519_key.pub
"""


@dataclass(frozen=True)
class Site:
    """Three hosts. `owners` are they as whoever they belong to sees them; `folder` holds a key and known_hosts."""

    owners: Mapping[str, Host]
    folder: Path
    prefix: tuple[str, ...]

    @property
    def addresses(self) -> list[str]:
        return [host.address for host in self.owners.values()]

    @property
    def key(self) -> Path:
        return self.folder / "key"

    def inventory(self, name: str = "hosts.yaml", **changes: object) -> Path:
        """An inventory of all hosts that works; `changes` replace its keys."""
        listed = [{"address": address} for address in self.addresses]
        whole = {
            "known_hosts": "known_hosts",
            "defaults": {"user": "admin", "key": "key", "sudo": True},
            "hosts": listed,
            **changes,
        }
        path = self.folder / name
        path.write_text(yaml.safe_dump(whole))
        return path

    def start(self, *arguments: str | Path) -> Process:
        """The command line, where only the wire can be reached."""
        return Process([*self.prefix, *HARNESS, *map(str, arguments)])

    def harness(self, *arguments: str | Path) -> Ended:
        return self.start(*arguments).end()

    def own(self, name: str, script: str) -> str:
        """What the owner of a host sees when they run a script there."""
        result = self.owners[name].run(["sh", "-c", script], timeout_s=60)
        assert result.ok, f"{script}: {result.output}"
        return result.stdout

    def state(self) -> dict[str, list[str]]:
        """All that an engine holds, on each host, and whether it is in a swarm."""
        ask = (
            "docker ps --all --format '{{.ID}} {{.State}}'; docker network ls --format '{{.ID}} {{.Name}}'; "
            "docker volume ls --quiet; docker image ls --quiet --no-trunc; "
            "docker info --format '{{.Swarm.LocalNodeState}}'; "
            "ls /var/lib/harness /harness 2>/dev/null; pgrep -a python3 || true"
        )
        return {name: sorted(self.own(name, ask).splitlines()) for name in self.owners}


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(folder / "key"))
    provider = DockerProvider()
    images.plain_archive("workload", print)  # no mirror can be reached from where the hosts are
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(docker, "node_role", lambda _plan: "node-ssh")
        cluster = provider.up(_plan(), print)
    try:
        owners = list(cluster.hosts.values())
        public = f"{key.get_name()} {key.get_base64()}"
        keys = at_once([partial(_open, host, name, public) for host, name in zip(owners, NAMES, strict=True)])
        lines = [f"{host.address} {' '.join(told.split()[:2])}" for host, told in zip(owners, keys, strict=True)]
        (folder / "known_hosts").write_text("\n".join(lines) + "\n")
        yield Site(dict(zip(NAMES, owners, strict=True)), folder, _prefix())
    finally:
        provider.down(cluster.name)


def _plan() -> Plan:
    topology = Topology(name="hosts")
    nodes = (NodePlan("n1", "manager"), NodePlan("n2", "worker"), NodePlan("n3", "worker"))
    return Plan(new_run(), topology, "docker", "swarm", 1, nodes)


def _open(host: Host, name: str, public: str) -> str:
    result = host.run(["sh", "-c", _SETUP, "sh", name, public], timeout_s=60)
    assert result.ok, result.output
    return result.stdout


def _prefix() -> tuple[str, ...]:
    """Into the own engine's network namespace, where there is one."""
    namespace = NETNS / f"{state_name()}-engine"
    return ("nsenter", f"--net={namespace}") if namespace.exists() else ()
