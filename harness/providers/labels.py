"""What labels alone tell, and what is removed by them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from typing import Any

from python_on_whales import Container as EngineContainer
from python_on_whales import DockerClient

from harness.model.plan import LABEL, cluster_name
from harness.ports import Cluster, ClusterInfo
from harness.providers.engine import Engine, docker_errors
from harness.providers.nodes import ContainerHost, ContainerLifecycle, ContainerWire

LABEL_ROLE = "harness.role"
LABEL_TOPOLOGY = "harness.topology"
LABEL_KEY = "harness.key"
WIRE = "wire"
CALL_TIMEOUT_S = 30.0
REMOVE_TIMEOUT_S = 120.0


def _label(run: str) -> dict[str, str]:
    return {"label": f"{LABEL}={run}"}


def _containers(engine: Engine, filters: dict[str, str]) -> list[EngineContainer]:
    with docker_errors("listing containers"):
        return engine.client(CALL_TIMEOUT_S).container.list(all=True, filters=filters)


def nodes_of(engine: Engine, run: str) -> list[EngineContainer]:
    found = [c for c in _containers(engine, _label(run)) if (c.config.labels or {}).get(LABEL_ROLE) == "node"]
    return sorted(found, key=lambda container: _number(node_name(container, run)))


def _number(node: str) -> int:
    return int(node.lstrip("n"))


def node_name(container: EngineContainer, run: str) -> str:
    return container.name.removeprefix(f"{cluster_name(run)}-")


def cluster_of(engine: Engine, run: str, nodes: list[EngineContainer]) -> Cluster:
    name = cluster_name(run)
    containers = {node_name(container, run): container.name for container in nodes}
    hosts = {
        node_name(container, run): ContainerHost(
            node_name(container, run), _address(container), engine, container.name
        )
        for container in nodes
    }
    helper = ContainerHost(WIRE, "", engine, f"{name}-{WIRE}")
    return Cluster(
        name,
        run,
        "docker",
        hosts,
        wire=ContainerWire(helper, containers),
        lifecycle=ContainerLifecycle(helper, containers),
    )


def _address(container: EngineContainer) -> str:
    """What the node was told to be; it holds while the node is off as well."""
    environment = dict(entry.split("=", 1) for entry in container.config.env or [] if "=" in entry)
    return environment["HARNESS_ADDRESS"]


def infos(engine: Engine) -> list[ClusterInfo]:
    by_run: dict[str, list[EngineContainer]] = {}
    for container in _containers(engine, {"label": LABEL}):
        by_run.setdefault((container.config.labels or {})[LABEL], []).append(container)
    return [_info(run, containers) for run, containers in sorted(by_run.items())]


def _info(run: str, containers: list[EngineContainer]) -> ClusterInfo:
    labels = containers[0].config.labels or {}
    nodes = [c for c in containers if (c.config.labels or {}).get(LABEL_ROLE) == "node"]
    since = min(container.created for container in containers).astimezone(datetime.UTC)
    return ClusterInfo(
        name=cluster_name(run),
        run=run,
        provider="docker",
        nodes=len(nodes),
        since=since.strftime("%Y-%m-%dT%H:%M:%SZ"),
        topology=labels.get(LABEL_TOPOLOGY, ""),
        key=labels.get(LABEL_KEY, ""),
    )


def is_used(engine: Engine) -> bool:
    return bool(_containers(engine, {"label": LABEL}))


def remove(engine: Engine, run: str) -> list[str]:
    client = engine.client(REMOVE_TIMEOUT_S)
    removed = _remove_tables(engine, run)
    containers = _containers(engine, _label(run))
    if containers:
        with docker_errors(f"removing the nodes of {cluster_name(run)}"):
            client.container.remove([container.name for container in containers], force=True, volumes=True)
    removed += [f"container {container.name}" for container in containers]
    removed += _remove_volumes(client, run)
    return removed + _remove_networks(client, run)


def _remove_volumes(client: DockerClient, run: str) -> list[str]:
    with docker_errors(f"removing the volumes of {cluster_name(run)}"):
        names = [volume.name for volume in client.volume.list(filters=_label(run))]
        if names:
            client.volume.remove([*names])
    return [f"volume {name}" for name in names]


def _remove_networks(client: DockerClient, run: str) -> list[str]:
    with docker_errors(f"removing the networks of {cluster_name(run)}"):
        names = [network.name for network in client.network.list(filters=_label(run))]
        if names:
            client.network.remove([*names])
    return [f"network {name}" for name in names]


def _remove_tables(engine: Engine, run: str) -> list[str]:
    """Nft tables on the wire that carry the run's name: those of faults that were never healed."""
    helpers = [c for c in _containers(engine, _label(run)) if (c.config.labels or {}).get(LABEL_ROLE) == WIRE]
    if not helpers or not helpers[0].state.running:
        return []
    helper = ContainerHost(WIRE, "", engine, helpers[0].name)
    listed = helper.run(["nft", "-j", "list", "tables"], timeout_s=CALL_TIMEOUT_S)
    rows: Iterable[dict[str, Any]] = json.loads(listed.stdout)["nftables"] if listed.ok else []
    tables = [row["table"] for row in rows if "table" in row]
    ours = [(table["family"], table["name"]) for table in tables if table["name"].startswith(cluster_name(run))]
    for family, name in ours:
        helper.run(["nft", "delete", "table", family, name], timeout_s=CALL_TIMEOUT_S)
    return [f"nft table {family} {name}" for family, name in ours]
