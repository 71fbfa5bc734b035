"""What labels alone tell, and what is removed by them. Loop devices have no labels: their files' names tell."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.model.errors import CommandFailed
from harness.model.plan import LABEL, Plan, cluster_key, cluster_name
from harness.ports import Cluster, ClusterInfo, Host
from harness.providers.engine import Engine, docker_errors
from harness.providers.nodes import ContainerHost, ContainerLifecycle, ContainerWire
from harness.transport.process import run_process

LABEL_ROLE = "harness.role"
LABEL_ADDRESS = "harness.address"
LABEL_TOPOLOGY = "harness.topology"
LABEL_KEY = "harness.key"
#: Missing on what provider `docker` makes.
LABEL_PROVIDER = "harness.provider"
WIRE = "wire"
DOCKER = "docker"
CALL_TIMEOUT_S = 30.0
REMOVE_TIMEOUT_S = 120.0

_FIELDS = (
    ".Names",
    ".State",
    ".CreatedAt",
    *(f'.Label "{label}"' for label in (LABEL, LABEL_ROLE, LABEL_ADDRESS)),
)
_LONG_FIELDS = tuple(f'.Label "{label}"' for label in (LABEL_PROVIDER, LABEL_TOPOLOGY, LABEL_KEY))
_FORMAT = "\t".join(f"{{{{{field}}}}}" for field in (*_FIELDS, *_LONG_FIELDS))


def labels_of(plan: Plan, role: str) -> dict[str, str]:
    """What a container of `plan` is told by."""
    return {
        LABEL: plan.run,
        LABEL_ROLE: role,
        LABEL_TOPOLOGY: plan.topology.name,
        LABEL_KEY: cluster_key(plan.topology),
    }


@dataclass(frozen=True)
class Labelled:
    """A container of ours, from one listing: nothing is asked again of one that may be gone by then."""

    name: str
    state: str
    created: str
    run: str
    role: str
    address: str
    provider: str
    topology: str
    key: str

    @property
    def node(self) -> str:
        return self.name.removeprefix(f"{cluster_name(self.run)}-")


def labelled(engine: Engine, run: str | None = None, provider: str = DOCKER) -> list[Labelled]:
    """A provider's containers of one run, or of all, also those that do not run. Nodes are in their order."""
    label = LABEL if run is None else f"{LABEL}={run}"
    argv = engine.argv("ps", "--all", "--no-trunc", "--filter", f"label={label}", "--format", _FORMAT)
    listed = run_process(argv, timeout_s=CALL_TIMEOUT_S, stdin=b"", where="the engine")
    if not listed.ok:
        raise CommandFailed(argv, listed.code, listed.output, where="the engine")
    every = [Labelled(*line.split("\t")) for line in listed.stdout.splitlines()]
    found = [container for container in every if (container.provider or DOCKER) == provider]
    return sorted(found, key=lambda container: (container.run, len(container.node), container.node))


def nodes_of(engine: Engine, run: str) -> list[Labelled]:
    return [container for container in labelled(engine, run) if container.role == "node"]


def cluster_of(engine: Engine, run: str, nodes: Iterable[Labelled]) -> Cluster:
    name = cluster_name(run)
    containers = {found.node: found.name for found in nodes}
    hosts = {found.node: ContainerHost(found.node, found.address, engine, found.name) for found in nodes}
    helper = ContainerHost(WIRE, "", engine, f"{name}-{WIRE}")
    return Cluster(
        name,
        run,
        "docker",
        hosts,
        wire=ContainerWire(helper, containers),
        lifecycle=ContainerLifecycle(helper, containers),
    )


def infos(engine: Engine) -> list[ClusterInfo]:
    """Every run of which anything is there: a killed one may have got no further than its network."""
    by_run: dict[str, list[Labelled]] = {}
    for container in labelled(engine):
        by_run.setdefault(container.run, []).append(container)
    for run in runs_of_kind(engine, "network") + runs_of_kind(engine, "volume"):
        by_run.setdefault(run, [])
    return [_info(run, containers) for run, containers in by_run.items()]


def runs_of_kind(engine: Engine, kind: str, provider: str = DOCKER) -> list[str]:
    """Runs that have a network, or a volume, of the provider's."""
    template = f'{{{{.Label "{LABEL}"}}}}\t{{{{.Label "{LABEL_PROVIDER}"}}}}'
    listed = _checked(engine.argv(kind, "ls", "--filter", f"label={LABEL}", "--format", template))
    pairs = [line.split("\t") for line in listed.splitlines()]
    return [run for run, whose in pairs if (whose or DOCKER) == provider]


def _info(run: str, containers: list[Labelled]) -> ClusterInfo:
    return ClusterInfo(
        name=cluster_name(run),
        run=run,
        provider="docker",
        nodes=sum(container.role == "node" for container in containers),
        since=min((utc(container.created) for container in containers), default=""),
        topology=containers[0].topology if containers else "",
        key=containers[0].key if containers else "",
    )


def utc(created: str) -> str:
    """From the client's form, `2026-11-24 23:43:01 +0100 CET`."""
    moment = datetime.datetime.strptime(" ".join(created.split()[:3]), "%Y-%m-%d %H:%M:%S %z")
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_used(engine: Engine) -> bool:
    """Whether anything of any provider's is there: each makes a network before all else, and removes it last."""
    argv = engine.argv("network", "ls", "--filter", f"label={LABEL}", "--format", "{{.Name}}")
    return bool(infos(engine) or _checked(argv).split())


def remove(engine: Engine, run: str) -> list[str]:
    """Remove what carries the run: faults on the wire, containers, loop devices, volumes, networks. Returns what
    was removed. What another provider made is left to it.
    """
    containers = labelled(engine, run)
    removed = remove_tables(engine, run, containers)
    nodes = [container.name for container in containers if container.role != WIRE]
    others = [container.name for container in containers if container.role == WIRE]
    if nodes:
        remove_containers(engine, run, nodes)
    removed += _free_loops(engine, run, containers)  # the helper still runs: nodes' mounts have ended
    if others:
        remove_containers(engine, run, others)
    removed += [f"container {container.name}" for container in containers]
    return removed + remove_kind(engine, run, "volume") + remove_kind(engine, run, "network")


def remove_containers(engine: Engine, run: str, names: list[str]) -> None:
    """Another process may remove them at the same time: what counts is that none is left."""
    try:
        with docker_errors(f"removing the nodes of {cluster_name(run)}"):
            engine.client(REMOVE_TIMEOUT_S).container.remove(names, force=True, volumes=True)
    except CommandFailed:
        if set(_checked(engine.argv("ps", "--all", "--format", "{{.Names}}")).split()) & set(names):
            raise


#: Prints the devices that it frees. A device whose mount has just ended frees itself, and may be gone by then.
_FREE_LOOPS = """
for file in /sys/block/loop*/loop/backing_file; do
  [ -e "$file" ] || continue
  case "$(cat "$file" 2>/dev/null)" in */"$1"-*) ;; *) continue ;; esac
  device=${file#/sys/block/}; device=${device%%/*}
  [ -e "/dev/$device" ] || mknod "/dev/$device" b 7 "${device#loop}"
  ! losetup --detach "/dev/$device" 2>/dev/null || echo "$device"
done
"""


def _free_loops(engine: Engine, run: str, containers: Iterable[Labelled]) -> list[str]:
    """Detach loop devices whose files bear the run's name: they belong to the kernel, and outlive their nodes.

    Asked of the helper on the wire; of this machine where there is none and the engine is ours, on this kernel.
    """
    argv = ["sh", "-c", _FREE_LOOPS, "sh", cluster_name(run)]
    if any(container.role == WIRE and container.state == "running" for container in containers):
        helper = ContainerHost(WIRE, "", engine, f"{cluster_name(run)}-{WIRE}")
        freed = helper.run(argv, timeout_s=CALL_TIMEOUT_S)
    elif engine.own:
        freed = run_process(argv, timeout_s=CALL_TIMEOUT_S, stdin=b"", where="this machine")
    else:
        return []
    return [f"loop device {name}" for name in freed.stdout.split()]


def remove_kind(engine: Engine, run: str, kind: str, provider: str = DOCKER) -> list[str]:
    """Likewise of volumes and networks."""
    names = _names_of_kind(engine, run, kind, provider)
    if names:
        try:
            _checked(engine.argv(kind, "rm", *names))
        except CommandFailed:
            if _names_of_kind(engine, run, kind, provider):
                raise
    return [f"{kind} {name}" for name in names]


def _names_of_kind(engine: Engine, run: str, kind: str, provider: str) -> list[str]:
    template = f'{{{{.Name}}}}\t{{{{.Label "{LABEL_PROVIDER}"}}}}'
    listed = _checked(engine.argv(kind, "ls", "--filter", f"label={LABEL}={run}", "--format", template))
    pairs = [line.split("\t") for line in listed.splitlines()]
    return [name for name, whose in pairs if (whose or DOCKER) == provider]


def _checked(argv: list[str]) -> str:
    result = run_process(argv, timeout_s=REMOVE_TIMEOUT_S, stdin=b"", where="the engine")
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where="the engine")
    return result.stdout


def remove_tables(engine: Engine, run: str, containers: Iterable[Labelled]) -> list[str]:
    """Nft tables on the wire that carry the run's name: those of faults that were never healed."""
    if not any(container.role == WIRE and container.state == "running" for container in containers):
        return []
    return remove_tables_on(ContainerHost(WIRE, "", engine, f"{cluster_name(run)}-{WIRE}"), run)


def remove_tables_on(wire: Host, run: str) -> list[str]:
    """Those that `wire` sees, as whoever stands on it. Returns what was removed."""
    listed = wire.run(["nft", "-j", "list", "tables"], timeout_s=CALL_TIMEOUT_S)
    rows: list[dict[str, Any]] = json.loads(listed.stdout)["nftables"] if listed.ok else []
    tables = [row["table"] for row in rows if "table" in row]
    ours = [(table["family"], table["name"]) for table in tables if table["name"].startswith(cluster_name(run))]
    for family, name in ours:
        wire.run(["nft", "delete", "table", family, name], timeout_s=CALL_TIMEOUT_S)
    return [f"nft table {family} {name}" for family, name in ours]
