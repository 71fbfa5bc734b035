"""What runs: pods as the API tells them, and the processes of their containers as each node's containerd does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from harness.model.errors import ChannelLost, DeadlineExceeded
from harness.model.plan import LABEL, Plan, Target
from harness.model.policies import Pod
from harness.orchestrators.hosts import must
from harness.orchestrators.kubernetes import names
from harness.orchestrators.kubernetes.pods import host_ports
from harness.ports import Address, Cluster, Container, HasSeats, Host, PublishedAddress, Sight
from harness.transport.parallel import at_once

LOOK_TIMEOUT_S = 10.0
#: Of a cluster that exists: it may be far away, and no fault of ours stops its API.
API_TIMEOUT_S = 30.0
#: A line a container: ID PID STATUS.
_TASKS = ("ctr", "--namespace", "k8s.io", "tasks", "ls")
#: A pod's link leads to its node only, whatever the CNI calls it.
PREFIX = 32

Row = Mapping[str, Any]
#: Node to the processes of its containers, by the containers' ids. A node that does not answer is missing.
Pids = Mapping[str, Mapping[str, int]]


def containers(cluster: Cluster, plan: Plan, service: str | None = None) -> list[Container]:
    """Running containers of the plan, sorted by name. Hosts that do not answer contribute none."""
    pods, pids = _ask(cluster, plan)
    return [found for found in _containers(plan, pods, pids) if service in (None, found.service)]


def sight(cluster: Cluster, plan: Plan) -> Sight:
    """Containers as above; host-mode ports on the nodes that run a service, ingress ports on every node."""
    pods, pids = _ask(cluster, plan)
    seen = _containers(plan, pods, pids)
    ids = {container.id for container in seen}
    published = [(_service_of(pod), port) for pod in pods if _id(pod) in ids for port in _host_ports(cluster, pod)]
    if any(port["mode"] == "ingress" for target in plan.targets for port in target.ports):
        published += _node_ports(cluster, plan)
    return Sight(tuple(seen), tuple(sorted(published, key=_published_order)))


def pods_of(cluster: Cluster, plan: Plan) -> list[Row]:
    """All pods of the plan that are not on their way out. Raises CommandFailed, DeadlineExceeded, ChannelLost."""
    argv = names.everywhere(plan, "get", "pods", "-l", f"{LABEL}={plan.run}", "-o", "json")
    timeout_s = LOOK_TIMEOUT_S if cluster.api is None else API_TIMEOUT_S
    rows = json.loads(must(names.manager(cluster, plan), argv, timeout_s=timeout_s))["items"]
    return names.home_again(cluster, (row for row in rows if not row["metadata"].get("deletionTimestamp")))


def _ask(cluster: Cluster, plan: Plan) -> tuple[list[Row], Pids]:
    """The API and every node at once. An API that a fault of ours may have stopped knows of no pods; another one
    must answer.
    """
    hosts = list(cluster.hosts.values())
    if cluster.api is not None:
        pods = pods_of(cluster, plan)
        return pods, {host.name: _seats(host, pods) for host in hosts}
    pods, *found = at_once([partial(_pods, cluster, plan), *(partial(_pids, host) for host in hosts)])
    return pods, {host.name: pids for host, pids in zip(hosts, found, strict=True)}


def _seats(host: Host, pods: list[Row]) -> Mapping[str, int]:
    """Numbers by which the agent of a host without a shell finds pods of that node."""
    assert isinstance(host, HasSeats)
    here = [pod for pod in pods if _node(pod) == host.name and _id(pod)]
    return {_id(pod): host.seat(_id(pod), pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in here}


def _pods(cluster: Cluster, plan: Plan) -> Any:
    try:
        return pods_of(cluster, plan)
    except (ChannelLost, DeadlineExceeded):
        return []


def _pids(host: Host) -> Any:
    try:
        result = host.run(_TASKS, timeout_s=LOOK_TIMEOUT_S)
    except (ChannelLost, DeadlineExceeded):
        return {}
    words = [line.split() for line in result.stdout.splitlines()[1:]]
    return {line[0]: int(line[1]) for line in words if line[2:3] == ["RUNNING"]}


def _containers(plan: Plan, pods: list[Row], pids: Pids) -> list[Container]:
    """In order of age: `web.1` is the oldest pod of web that the API knows, running or not."""
    found = []
    for target in plan.targets:
        own = sorted((pod for pod in pods if _service_of(pod) == target.service), key=_age)
        numbered = ((_ordinal(pod), pod) for pod in own) if target.stable else enumerate(own, 1)
        for number, pod in numbered:
            pid = pids.get(_node(pod), {}).get(_id(pod))
            if pid is not None and pod["status"].get("podIP") and not unattached(plan, target, pod):
                found.append(_container(plan, target, number, pod, pid))
    return sorted(found, key=lambda container: (container.service, len(container.name), container.name))


def _ordinal(pod: Row) -> int:
    """Pods of a StatefulSet count from 0, tasks from 1."""
    return 1 + int(pod["metadata"]["name"].rpartition("-")[2])


def _age(pod: Row) -> tuple[str, str]:
    return pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]


def _service_of(pod: Row) -> str:
    return str(pod["metadata"]["labels"].get(names.SERVICE_LABEL, ""))


def _node(pod: Row) -> str:
    return str(pod["spec"].get("nodeName", ""))


def _id(pod: Row) -> str:
    """Of the container that runs now; empty where none does."""
    for status in pod["status"].get("containerStatuses", ()):
        if status["name"] == names.CONTAINER and "running" in status.get("state", {}):
            return str(status["containerID"].partition("://")[2])
    return ""


def _container(plan: Plan, target: Target, number: int, pod: Row, pid: int) -> Container:
    suffix = {"plain": "", "global": f".{_node(pod)}"}.get(target.kind, f".{number}")
    return Container(
        name=f"{target.service}{suffix}",
        service=target.service,
        node=_node(pod),
        id=_id(pod),
        pid=pid,
        networks={} if target.host else _addresses(plan, target, pod),
        aliases=_own_names(target, pod),
        host=target.host,
        hostname=_node(pod) if target.host else pod["metadata"]["name"],
        pod=None if target.host else _as_policies_see(plan, pod),
    )


def unattached(plan: Plan, target: Target, pod: Row) -> list[str]:
    """The further networks of a pod of which nobody has told an address."""
    return [name for name in target.networks if _is_attached(plan, name) and not _attachment(plan, pod, name)]


def _addresses(plan: Plan, target: Target, pod: Row) -> dict[str, Address]:
    """Its own on the cluster's network, which is all networks but the further ones."""
    own = Address(pod["status"]["podIP"], PREFIX)
    return {name: _attached(plan, pod, name) if _is_attached(plan, name) else own for name in target.networks}


def _is_attached(plan: Plan, network: str) -> bool:
    return names.is_attached(plan.topology, plan.network(network).base)


def _attachment(plan: Plan, pod: Row, network: str) -> Row:
    """What the status annotation tells of a network; empty where it tells nothing."""
    annotations = pod["metadata"].get("annotations") or {}
    called = f"{names.namespace(plan)}/{plan.engine_name(network)}"
    told = json.loads(annotations.get(names.STATUS_ANNOTATION) or "[]")
    return next((each for each in told if each.get("name") == called and each.get("ips")), {})


def _attached(plan: Plan, pod: Row, network: str) -> Address:
    told = _attachment(plan, pod, network)
    by_family = {family: next((ip for ip in told["ips"] if (":" in ip) == (family == 6)), "") for family in (4, 6)}
    [subnet] = [each for each in plan.network(network).subnets if ":" not in each]
    prefix = int(subnet.partition("/")[2])
    return Address(by_family[4], prefix, mac=told.get("mac", ""), ip6=by_family[6])


def _own_names(target: Target, pod: Row) -> dict[str, tuple[str, ...]]:
    """Of a StatefulSet's pod, on the Service that governs it: `web-0.web` ("Stable Network ID")."""
    if not target.stable:
        return {}
    return dict.fromkeys(target.networks, (f"{pod['metadata']['name']}.{target.service}",))


def _as_policies_see(plan: Plan, pod: Row) -> Pod:
    space = pod["metadata"]["namespace"]
    called = {name: topologys for topologys, name in names.namespaces(plan).items()}
    return Pod(
        namespace=space,
        address=pod["status"]["podIP"],
        labels=pod["metadata"]["labels"],
        namespace_labels=names.namespace_labels(plan, called[space]),
        ports=tuple(
            (port["name"], str(port.get("protocol", "TCP")).lower(), port["containerPort"])
            for container in pod["spec"]["containers"]
            for port in container.get("ports", ())
            if port.get("name")
        ),
    )


def _host_ports(cluster: Cluster, pod: Row) -> Iterator[PublishedAddress]:
    host = cluster.hosts[_node(pod)]
    for port, inside, protocol in host_ports(pod):
        yield PublishedAddress(host.name, host.address, port, inside, protocol, "host")


def _node_ports(cluster: Cluster, plan: Plan) -> list[tuple[str, PublishedAddress]]:
    argv = names.everywhere(plan, "get", "services", "-l", f"{LABEL}={plan.run}", "-o", "json")
    rows = json.loads(must(names.manager(cluster, plan), argv, timeout_s=LOOK_TIMEOUT_S))["items"]
    return [
        (
            row["spec"]["selector"][names.SERVICE_LABEL],
            PublishedAddress(
                host.name, host.address, port["nodePort"], port["port"], port["protocol"].lower(), "ingress"
            ),
        )
        for row in rows
        if row["spec"]["type"] == "NodePort"
        for port in row["spec"]["ports"]
        for host in cluster.hosts.values()
    ]


def _published_order(entry: tuple[str, PublishedAddress]) -> tuple[str, str, int, str]:
    service, published = entry
    return service, published.node, published.port, published.protocol
