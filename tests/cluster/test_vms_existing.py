"""Machines that somebody made with the Vagrantfile by hand, reached as plain hosts by an inventory.

`vagrant up` asks the libvirt that the harness starts here; the harness itself sees addresses and a key.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.model.places import data_dir, vms_dir
from harness.providers import box as boxes
from harness.providers import kvm
from harness.providers.libvirt import Libvirt, OwnLibvirt, within
from harness.transport.process import run_process
from tests.cluster_cli import HARNESS, Ended, Process
from tests.cluster_guests import NEED_GUESTS_AND_TIME, RUN_TIMEOUT_S

#: Emulated, on a busy machine, most of it is the guests' boot.
UP_TIMEOUT_S = 1500.0
DOWN_TIMEOUT_S = 300.0
NODES = ("n1", "n2")
TOPOLOGY = {
    "name": "plain",
    "cluster": {"provider": "existing", "nodes": {"manager": 1, "worker": 1}, "heartbeat_s": 30},
    "networks": {
        "app": {"driver": "overlay", "attachable": True, "ipam": {"config": [{"subnet": "10.60.0.0/16"}]}}
    },
    "services": {
        "web": {
            "deploy": {"replicas": 2, "endpoint_mode": "vip"},
            "networks": ["app"],
            "ports": [{"target": 5000, "published": 8000, "mode": "ingress"}],
        }
    },
    "checks": [{"connectivity": {"timeout_s": 5}}],
}
pytestmark = NEED_GUESTS_AND_TIME


@dataclass(frozen=True)
class Machines:
    """Two of them, up; nothing of the harness's is on them but what their box holds."""

    libvirt: Libvirt
    folder: Path
    emulated: bool
    environment: Mapping[str, str]

    def vagrant(self, *arguments: str, timeout_s: float) -> str:
        argv = within(self.libvirt, ["vagrant", *arguments])
        result = run_process(argv, timeout_s=timeout_s, stdin=b"", where="vagrant", env=dict(self.environment))
        assert result.ok, result.output
        return result.stdout

    def harness(self, *arguments: str | Path) -> Ended:
        """The command line where the machines can be reached, and nothing else."""
        enter = ["nsenter", f"--net=/run/netns/{self.libvirt.netns}"] if self.libvirt.netns else []
        return Process([*enter, *HARNESS, *map(str, arguments)]).end(RUN_TIMEOUT_S)


@pytest.fixture(scope="module")
def machines(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    own = OwnLibvirt()
    box = boxes.ensure(print)
    (box.folder / "harness.box").touch()  # the Vagrantfile takes the newest
    folder = tmp_path_factory.mktemp("by-hand")
    emulated = bool(kvm.refusal(box))
    made = Machines(own.start(print), folder, emulated, _environment(folder, emulated=emulated))
    try:
        made.vagrant("up", "--no-tty", "--no-color", timeout_s=UP_TIMEOUT_S)
        _write_inventory(made, box)
        yield made
    finally:
        made.vagrant("destroy", "--force", timeout_s=DOWN_TIMEOUT_S)
        _forget(made.libvirt)
        own.stop_if_unused(lambda _libvirt: False)


def _environment(folder: Path, *, emulated: bool) -> dict[str, str]:
    return {
        **os.environ,
        "NODES": str(len(NODES)),
        "DRIVER": "qemu" if emulated else "kvm",
        "CPUS": "1" if emulated else "2",
        "VAGRANT_HOME": str(vms_dir() / "vagrant"),
        "VAGRANT_CWD": str(data_dir("vagrant")),
        "VAGRANT_DOTFILE_PATH": str(folder / "vagrant"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
    }


def _write_inventory(made: Machines, box: boxes.Box) -> None:
    """As `vagrant ssh-config` has it; the wire is that of the Vagrantfile."""
    hosts = []
    for number, node in enumerate(NODES):
        told = dict(
            line.split(maxsplit=1) for line in made.vagrant("ssh-config", node, timeout_s=120).splitlines() if line
        )
        hosts.append({"address": told["HostName"], "wire": f"10.213.77.{10 + number}"})
    known = "".join(f"{host['address']} {box.host_key}\n" for host in hosts)
    (made.folder / "known_hosts").write_text(known)
    defaults = {
        "user": "vagrant",
        "sudo": True,
        "key": str(box.key),
        **({"slowness": 12} if made.emulated else {}),
    }
    inventory = {"known_hosts": "known_hosts", "defaults": defaults, "hosts": hosts}
    (made.folder / "hosts.yaml").write_text(yaml.safe_dump(inventory))
    (made.folder / "plain.yaml").write_text(yaml.safe_dump(TOPOLOGY))


def _forget(libvirt: Libvirt) -> None:
    """Networks, which `vagrant destroy` leaves."""
    for name in ("by-hand-wire", "by-hand-control"):
        libvirt.ask("net-destroy", name)
        libvirt.ask("net-undefine", name)


def on(made: Machines, address: str, *argv: str) -> str:
    """What their owner sees there."""
    box_key = yaml.safe_load((made.folder / "hosts.yaml").read_text())["defaults"]["key"]
    options = ["-i", box_key, "-o", f"UserKnownHostsFile={made.folder / 'known_hosts'}", "-o", "BatchMode=yes"]
    ended = run_process(
        within(made.libvirt, ["ssh", *options, f"root@{address}", *argv]), timeout_s=120, stdin=b"", where=address
    )
    assert ended.ok, ended.output
    return ended.stdout


def state(made: Machines) -> list[str]:
    """What is on each engine, and whether it is in a swarm."""
    hosts: Sequence[Mapping[str, str]] = yaml.safe_load((made.folder / "hosts.yaml").read_text())["hosts"]
    ask = "docker ps -aq; docker volume ls -q; docker image ls -q; docker info -f {{.Swarm.LocalNodeState}}"
    return [on(made, host["address"], ask) for host in hosts]


def test_a_run_on_plain_hosts_passes_and_leaves_them_as_they_were(machines: Machines, tmp_path: Path) -> None:
    before = state(machines)
    files = machines.folder
    ended = machines.harness(
        "run", files / "plain.yaml", "--inventory", files / "hosts.yaml", "--runs-dir", tmp_path
    )
    assert ended.code == 0, ended.told
    results: dict[str, Any] = json.loads((tmp_path / "latest" / "results.json").read_text())
    assert (results["provider"], results["verdict"], results["skipped"]) == ("existing", "pass", [])
    [check] = results["checks"]
    assert check["correct"] > 0
    clocks = json.loads((tmp_path / "latest" / "env.json").read_text())
    assert set(NODES) <= set(str(clocks).replace("'", " ").split())
    assert state(machines) == before


def test_a_port_closed_between_two_of_them_is_named_with_both_ends(machines: Machines, tmp_path: Path) -> None:
    files = machines.folder
    address = yaml.safe_load((files / "hosts.yaml").read_text())["hosts"][1]["address"]
    on(
        machines,
        address,
        "nft 'table inet shut { chain c { type filter hook input priority 0; tcp dport 7946 drop; }; }'",
    )
    try:
        ended = machines.harness(
            "run", files / "plain.yaml", "--inventory", files / "hosts.yaml", "--runs-dir", tmp_path
        )
    finally:
        on(machines, address, "nft delete table inet shut")
    assert ended.code == 70, ended.told
    assert "7946" in ended.stderr
    assert "nothing was changed on them" in ended.stderr
