"""Provider `existing`: hosts of an inventory, reached by SSH. They were there before us, and stay.

A host that we use has a marker: an empty volume of its engine, whose labels say the run, the node's name, and what
of the host's own state is ours to take back. It is made before anything else and removed last.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.model.errors import CommandFailed, EnvironmentBroken, HarnessError, Incomplete, UsageError
from harness.model.inventory import Inventory, Jump, ListedHost
from harness.model.plan import PREFIX, Demand, Plan, cluster_key, cluster_name
from harness.model.topology import Topology
from harness.ports import Cluster, ClusterInfo, Progress, Survey
from harness.providers import images, inspection, markers
from harness.providers.markers import Marker
from harness.transport.parallel import at_once
from harness.transport.ssh import Login, Patience, SshHost

LOAD_TIMEOUT_S = 300.0
CALL_TIMEOUT_S = 30.0
LOG_LINES = 5000
_SECRET = re.compile(r"SWMTKN-\S+")


class ExistingProvider:
    """Implements ports.Provider. Without an inventory it knows of no hosts."""

    name = "existing"

    def __init__(self, inventory: Inventory | None = None) -> None:
        self._inventory = inventory
        self._hosts = hosts_of(inventory) if inventory else {}

    @property
    def mtu(self) -> int:
        """Bytes of the largest packet between the hosts."""
        return self._required().mtu

    def demands(self, _topology: Topology) -> list[Demand]:
        return []

    # --- making

    def up(self, plan: Plan, progress: Progress) -> Cluster:
        """Look at every host first; nothing is changed where something stands in the way."""
        inventory = self._required()
        if len(self._hosts) < len(plan.nodes):
            raise UsageError(
                f"the topology wants {len(plan.nodes)} nodes, and the inventory has {len(self._hosts)} hosts",
                hint=f"--set cluster.nodes.worker={len(self._hosts) - 1}",
            )
        hosts = {node.name: self._hosts[node.name] for node in plan.nodes}
        inspection.refuse(inspection.inspect(hosts, inventory, plan, progress))
        try:
            marker = partial(_mark, plan, inventory)
            at_once([partial(marker, host) for host in hosts.values()])
            progress(f"{', '.join(hosts)} are marked: each has an empty volume {plan.cluster}")
            return self.find(plan.cluster)
        except BaseException:
            with contextlib.suppress(HarnessError):
                self.down(plan.cluster)
            raise

    def inspect(self, plan: Plan | None, progress: Progress) -> list[inspection.Complaint]:
        """What stands in the way on the inventory's hosts, or is worth a note. Changes nothing."""
        names = [node.name for node in plan.nodes] if plan else list(self._hosts)
        hosts = {name: host for name, host in self._hosts.items() if name in names}
        return inspection.inspect(hosts, self._required(), plan, progress)

    def supply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        """Our own workload image goes to hosts that lack it; any other is left to a registry."""
        ours = images.tag("workload")
        if ours not in plan.images:
            return
        hosts = [host for host in cluster.hosts.values() if isinstance(host, SshHost)]
        lacking = [host for host in hosts if markers.lacks_image(host, ours)]
        if lacking:
            archive = images.plain_archive("workload", progress)
            progress(f"handing {ours} to {', '.join(host.name for host in lacking)}")
            at_once([partial(_load, host, archive) for host in lacking])

    # --- finding

    def find(self, name: str) -> Cluster:
        run = name.removeprefix(PREFIX)
        seen = self._seen()
        cluster = self._cluster(run, seen)
        if seen.silent:
            raise Incomplete(seen.silent)
        if cluster is None:
            known = ", ".join(info.name for info in seen.clusters()) or "none"
            raise UsageError(f"there is no cluster {name!r}", hint=f"clusters that are there: {known}")
        return cluster

    def remains(self, name: str) -> Cluster | None:
        """The cluster without those of its hosts that do not answer; None where no host has its marker."""
        return self._cluster(name.removeprefix(PREFIX), self._seen())

    def _cluster(self, run: str, seen: _Seen) -> Cluster | None:
        found = {marker.node: host for host, marker in seen.marked if marker.run == run}
        if not found:
            return None
        ordered = {node: found[node] for node in sorted(found, key=lambda node: (len(node), node))}
        for host in ordered.values():
            host.environment = {markers.VARIABLE: run}
        return Cluster(cluster_name(run), run, self.name, ordered, shared_clock=False)

    def clusters(self) -> list[ClusterInfo]:
        """Raises Incomplete, naming every host that does not answer: it may have something of ours."""
        seen = self._seen()
        if seen.silent:
            raise Incomplete(seen.silent)
        return seen.clusters()

    def survey(self) -> Survey:
        """The clusters of those hosts that answer, and why the others did not."""
        seen = self._seen()
        return Survey(tuple(seen.clusters()), tuple(seen.silent))

    def _seen(self) -> _Seen:
        """All hosts at once: one that does not answer takes its time."""
        hosts = list(self._hosts.values())
        looked = at_once([partial(_markers_on, host) for host in hosts])
        pairs = list(zip(hosts, looked, strict=True))
        return _Seen(
            [(host, marker) for host, some in pairs if isinstance(some, list) for marker in some],
            [error for error in looked if isinstance(error, EnvironmentBroken)],
        )

    def logs(self, name: str, into: Path) -> None:
        run = name.removeprefix(PREFIX)
        for host, marker in self._seen().marked:
            if marker.run == run:
                folder = into / marker.node
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "engine.log").write_text(_log(host))

    # --- removing

    def down(self, name: str) -> list[str]:
        """What is reached is cleaned even where another host is not; Incomplete then says what is left."""
        run = name.removeprefix(PREFIX)
        seen = self._seen()
        errors = list(seen.silent)
        removed = markers.remove([(host, marker) for host, marker in seen.marked if marker.run == run], errors)
        if errors:
            raise Incomplete(errors, removed)
        return removed

    def tidy(self) -> list[str]:
        return []

    def _required(self) -> Inventory:
        if self._inventory is None:
            raise UsageError(
                "provider existing needs an inventory of hosts",
                hint="--inventory hosts.yaml, or cluster.inventory in the topology",
            )
        return self._inventory


@dataclass(frozen=True)
class _Seen:
    """Every marker that was found, and one error for each host that did not answer."""

    marked: list[tuple[SshHost, Marker]]
    silent: list[EnvironmentBroken]

    def clusters(self) -> list[ClusterInfo]:
        by_run: dict[str, list[Marker]] = {}
        for _, marker in self.marked:
            by_run.setdefault(marker.run, []).append(marker)
        return [_info(run, found) for run, found in by_run.items()]


def _info(run: str, found: list[Marker]) -> ClusterInfo:
    return ClusterInfo(
        name=cluster_name(run),
        run=run,
        provider=ExistingProvider.name,
        nodes=len(found),
        since=min(marker.since for marker in found),
        topology=found[0].topology,
        key=found[0].key,
    )


def _markers_on(host: SshHost) -> list[Marker] | EnvironmentBroken:
    try:
        return markers.markers_on(host)
    except EnvironmentBroken as error:
        return error


# --- hosts


def hosts_of(inventory: Inventory) -> dict[str, SshHost]:
    """n1, n2, ... by their place in the inventory, the manager first. None is connected yet."""
    return {
        f"n{number}": _host(f"n{number}", inventory, listed) for number, listed in enumerate(inventory.ordered, 1)
    }


def _host(name: str, inventory: Inventory, listed: ListedHost) -> SshHost:
    slowness = listed.slowness or inventory.defaults.slowness or 1.0
    patience = _slow(slowness) if slowness > 1 else Patience()
    login = login_of(inventory, listed)
    return SshHost(name, login, address=listed.wire_address, patience=patience, slowness=slowness)


def _slow(slowness: float) -> Patience:
    """Connecting takes a slow machine longer as well, and it may be silent for longer without being lost."""
    usual, times = Patience(), min(slowness, 6.0)
    return Patience(usual.connect_s * times, usual.greet_s * times, usual.lost_after_s * times)


def login_of(inventory: Inventory, listed: ListedHost) -> Login:
    defaults = inventory.defaults
    user, port = listed.user or defaults.user or "root", listed.port or defaults.port or 22
    key = listed.key or defaults.key
    whole = partial(_login, inventory, user, key)
    jump = listed.jump or defaults.jump
    return whole(
        listed.address,
        port=port,
        sudo=defaults.sudo if listed.sudo is None else listed.sudo,
        jump=_jump(jump, whole) if jump else None,
    )


def _login(
    inventory: Inventory,
    user: str,
    key: str | None,
    address: str,
    *,
    port: int = 22,
    sudo: bool | None = False,
    jump: Login | None = None,
) -> Login:
    return Login(
        address,
        user,
        port,
        inventory.path(key) if key else None,
        known_hosts=inventory.path(inventory.known_hosts),
        accept_new=inventory.host_keys == "accept-new",
        jump=jump,
        sudo=bool(sudo),
    )


def _jump(jump: str | Jump, whole: partial[Login]) -> Login:
    """Reached as the host behind it is, where it does not say otherwise."""
    if isinstance(jump, str):
        return whole(jump)
    inventory, user, key = whole.args
    return _login(inventory, jump.user or user, jump.key or key, jump.address, port=jump.port or 22)


def _mark(plan: Plan, inventory: Inventory, host: SshHost) -> None:
    role = next(node.role for node in plan.nodes if node.name == host.name)
    ours = [image for image in plan.images if image == images.tag("workload")]
    markers.mark(
        host,
        markers.Intent(
            run=plan.run,
            node=host.name,
            role=role,
            topology=plan.topology.name,
            key=cluster_key(plan.topology),
            images=tuple(image for image in ours if markers.lacks_image(host, image)),
            adopts=inventory.swarm == "join",
        ),
    )


# --- images


def _load(host: SshHost, archive: Path) -> None:
    argv = ["docker", "load", "--quiet"]
    result = host.feed(argv, archive, timeout_s=LOAD_TIMEOUT_S)
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name)


def _log(host: SshHost) -> str:
    argv = ["journalctl", "--unit", "docker", "--lines", str(LOG_LINES), "--no-pager"]
    try:
        result = host.run(argv, timeout_s=CALL_TIMEOUT_S)
    except EnvironmentBroken as error:
        return f"could not be had: {error.message}\n"
    if not result.ok:
        return f"could not be had: {result.output}\n"
    return _SECRET.sub("SWMTKN-***", result.stdout)
