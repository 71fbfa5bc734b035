"""Provider `docker`: every node a privileged container with an engine of its own, one bridge as the wire.

Everything carries the label harness.run=<run>; list, find, logs and down work from labels alone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.model.errors import CommandFailed, EnvironmentBroken, HarnessError, UsageError
from harness.model.places import SHARED_DIR
from harness.model.plan import LABEL, PREFIX, Demand, Plan
from harness.model.topology import Topology
from harness.ports import Cluster, ClusterInfo, Progress
from harness.providers import engine as engines
from harness.providers import images, wire
from harness.providers.engine import Engine, docker_errors
from harness.providers.labels import (
    CALL_TIMEOUT_S,
    LABEL_ADDRESS,
    WIRE,
    cluster_of,
    infos,
    is_used,
    labels_of,
    nodes_of,
    remove,
)
from harness.providers.nodes import ContainerHost
from harness.providers.own_engine import OwnEngine
from harness.providers.releases import DEFAULT, Release, is_version, release_of
from harness.providers.rights import explicit_rights
from harness.transport.deadlines import answer_of
from harness.transport.parallel import at_once
from harness.transport.process import run_process

START_TIMEOUT_S = 60.0
ENGINE_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class _Maker:
    """What is needed to make the containers of one cluster."""

    engine: Engine
    plan: Plan
    network: str
    addresses: dict[str, str]
    image: str
    helper: str

    def node(self, name: str, rights: dict[str, Any]) -> None:
        cluster = self.plan.cluster
        with docker_errors(f"starting node {name}"):
            self.engine.client(START_TIMEOUT_S).container.run(
                self.image,
                ["tini", "--", "sh", f"{images.INSIDE}/entrypoint.sh"],
                name=f"{cluster}-{name}",
                hostname=name,
                detach=True,
                pull="never",
                cgroupns="private",
                networks=[self.network],
                ip=self.addresses[name],
                add_hosts=list(self.addresses.items()),
                tmpfs=["/run", "/tmp"],  # noqa: S108  # inside the node
                mounts=[
                    _mount(f"{cluster}-{name}", "/var/lib/docker", self.plan.run),
                    _mount(f"{cluster}-shared", SHARED_DIR, self.plan.run),
                ],
                envs={
                    "HARNESS_ADDRESS": self.addresses[name],
                    "HARNESS_REGISTRY": "no" if self.engine.own else "yes",
                },
                labels={**labels_of(self.plan, "node"), LABEL_ADDRESS: self.addresses[name]},
                # a name that nobody knows is refused by the node: the kernel else says so once a second (icmp(7)),
                # and to all who ask more often it looks like silence
                sysctl={"net.ipv4.icmp_ratelimit": "0"},
                **rights,
            )


def _mount(volume: str, target: str, run: str) -> list[str]:
    return ["type=volume", f"source={volume}", f"target={target}", f"volume-label={LABEL}={run}"]


class DockerProvider:
    """Implements ports.Provider."""

    name = "docker"

    def __init__(self, own: OwnEngine | None = None) -> None:
        self.own = own or OwnEngine(images.engine_root)

    def demands(self, _topology: Topology) -> list[Demand]:
        return [Demand("overlayfs", "provider docker")]

    # --- making

    def up(self, plan: Plan, progress: Progress) -> Cluster:
        release = node_release(plan)
        engine, image, helper = self._engine_and_images(node_role(plan), release, progress)
        try:
            # in a thread of its own: an interrupt waits for its end; an engine goes on with what a client that was
            # cut short has asked for, and that would come to be after the cleaning-up
            at_once([partial(self._make, engine, plan, image, helper, progress)])
            return self.find(plan.cluster)
        except BaseException:
            progress(f"{plan.cluster} did not come up: removing what was made")
            with contextlib.suppress(HarnessError):
                self.down(plan.cluster)
            raise

    def _engine_and_images(
        self, role: images.Role, release: Release, progress: Progress
    ) -> tuple[Engine, str, str]:
        """The engine, and on it the images of nodes and of what works on the wire, which is the default's always.

        When it is cut short, an engine that it started is gone again.
        """
        was_there = self.own.left
        try:
            engine = engines.choose(lambda: self.own.start(progress))
            image = images.ensure_image(engine, role, progress, release)
            return engine, image, image if release == DEFAULT else images.ensure_image(engine, "node", progress)
        except BaseException:
            if not was_there:
                self.own.stop_if_unused(is_used)
            raise

    def _make(self, engine: Engine, plan: Plan, image: str, helper: str, progress: Progress) -> None:
        subnet = wire.make_network(engine, plan, {LABEL: plan.run})
        addresses = {node.name: str(subnet[10 + number]) for number, node in enumerate(plan.nodes)}
        self._make_nodes(_Maker(engine, plan, plan.cluster, addresses, image, helper), progress)

    def _make_nodes(self, maker: _Maker, progress: Progress) -> None:
        names = [node.name for node in maker.plan.nodes]
        whose = "the harness's own engine" if maker.engine.own else "the engine"
        progress(f"starting {len(names)} nodes on {whose} {maker.engine.version}")
        rights = _first_rights(maker, names[0])
        helper = partial(
            wire.start_helper, maker.engine, maker.plan, maker.helper, labels_of(maker.plan, WIRE), rights
        )
        at_once([helper, *(partial(maker.node, name, rights) for name in names[1:])])
        hosts = [ContainerHost(n, maker.addresses[n], maker.engine, f"{maker.plan.cluster}-{n}") for n in names]
        at_once([partial(_await_engine, host) for host in hosts])
        _require_version(hosts[0], maker.plan)
        progress(f"the engines of {', '.join(names)} answer")

    def supply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        """Our own workload image is built, one of the outer engine handed on, any other left to a registry."""
        hosts = [host for host in cluster.hosts.values() if isinstance(host, ContainerHost)]
        for image in plan.images:
            if image == images.tag("workload"):
                archive = images.image_archive(hosts[0].engine, "workload", progress)
                at_once([partial(_load, host, ["cat", str(archive)]) for host in hosts])
            elif images.is_there(hosts[0].engine, image):
                progress(f"handing {image} to the nodes")
                at_once([partial(_load, host, host.engine.argv("save", image)) for host in hosts])

    # --- finding

    def find(self, name: str) -> Cluster:
        run = name.removeprefix(PREFIX)
        for engine in self._engines():
            nodes = nodes_of(engine, run)
            if nodes:
                return cluster_of(engine, run, nodes)
        known = ", ".join(info.name for info in self.clusters()) or "none"
        raise UsageError(f"there is no cluster {name!r}", hint=f"clusters that are there: {known}")

    def clusters(self) -> list[ClusterInfo]:
        return [info for engine in self._engines() for info in infos(engine)]

    def _engines(self) -> list[Engine]:
        return engines.answering(self.own.running())

    def logs(self, name: str, into: Path) -> None:
        run = name.removeprefix(PREFIX)
        for engine in self._engines():
            for container in nodes_of(engine, run):
                folder = into / container.node
                folder.mkdir(parents=True, exist_ok=True)
                argv = engine.argv("logs", "--timestamps", "--tail", "5000", container.name)
                _write_output(argv, folder / "engine.log")

    # --- removing

    def down(self, name: str) -> list[str]:
        run = name.removeprefix(PREFIX)
        self.own.wake()
        try:
            return [line for engine in self._engines() for line in remove(engine, run)]
        finally:
            self.own.stop_if_unused(is_used)

    def tidy(self) -> list[str]:
        """Stop an engine of ours that no cluster needs, also one that was killed. Returns what was removed."""
        return self.own.tidy(is_used)


# --- parts of making


def node_role(plan: Plan) -> images.Role:
    """Nodes that have stores need their servers and clients."""
    return "node-stores" if plan.stores else "node"


def node_release(plan: Plan) -> Release:
    """What the topology asks for by `cluster.engine`; the loader has refused what is not offered."""
    return release_of(plan.topology.cluster.engine) or DEFAULT


def _require_version(host: ContainerHost, plan: Plan) -> None:
    """A suite goes on: nodes with another engine than was asked for would answer for it."""
    wanted = plan.topology.cluster.engine
    if wanted is None:
        return
    ask = ["docker", "version", "--format", "{{.Server.Version}}"]
    found = host.run(ask, timeout_s=ENGINE_TIMEOUT_S).stdout.strip()
    if not is_version(found, wanted):
        suite = node_release(plan).suite
        raise EnvironmentBroken(
            f"nodes of Debian {suite} have engine {found or 'of no version'}, not {wanted}",
            hint=f"{suite} has gone on; say `cluster.engine` as it is there now, or leave it out",
        )


def _first_rights(maker: _Maker, name: str) -> dict[str, Any]:
    """Starts the first node and returns the rights with which that worked.

    runc before 1.1.12 refuses --privileged where the machine's bounding set lacks a capability; then the same is
    asked for by name, less what the machine lacks.
    """
    privileged: dict[str, Any] = {"privileged": True}
    try:
        maker.node(name, privileged)
    except CommandFailed as error:
        if "unable to apply caps" not in error.output:
            raise
        with docker_errors(f"removing the half-made node {name}"):
            client = maker.engine.client(CALL_TIMEOUT_S)
            client.container.remove(f"{maker.plan.cluster}-{name}", force=True)
        explicit = explicit_rights()
        maker.node(name, explicit)
        return explicit
    return privileged


def _await_engine(host: ContainerHost) -> None:
    """Wait until the node's own engine answers, and refuse a storage driver that would copy every layer."""
    deadline = time.monotonic() + ENGINE_TIMEOUT_S
    ask = ["docker", "info", "--format", "{{.Driver}}"]
    while True:
        answer = answer_of(host, ask, timeout_s=10)
        if answer.ok and answer.stdout.strip():
            break
        if time.monotonic() > deadline or "is not running" in answer.output:
            raise EnvironmentBroken(f"the engine of {host.name} did not start:\n{_last_log(host)}")
        time.sleep(0.1)
    if answer.stdout.strip() != "overlay2":
        raise EnvironmentBroken(
            f"the engine of {host.name} uses the storage driver {answer.stdout.strip()}, not overlay2"
        )


def _last_log(host: ContainerHost) -> str:
    argv = host.engine.argv("logs", "--tail", "15", host.container)
    return run_process(argv, timeout_s=CALL_TIMEOUT_S, stdin=b"", where=host.name).output


def _load(host: ContainerHost, source: Sequence[str]) -> None:
    sink = host.engine.argv("exec", "-i", host.container, "docker", "load", "--quiet")
    images.piped(source, sink, host.name)


def _write_output(argv: Sequence[str], path: Path) -> None:
    try:
        path.write_text(run_process(argv, timeout_s=CALL_TIMEOUT_S, stdin=b"", where="the engine").output + "\n")
    except HarnessError as error:
        path.write_text(f"could not be had: {error}\n")
