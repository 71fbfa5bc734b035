"""What runs, as the engines see it: one round trip a host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from harness.model.errors import ChannelLost, DeadlineExceeded
from harness.model.plan import LABEL, Plan, Target
from harness.orchestrators.hosts import each, must, script
from harness.orchestrators.swarm import names
from harness.ports import Address, Cluster, Container, Host, PublishedAddress, Sight

LOOK_TIMEOUT_S = 10.0
TASK_NAME = "com.docker.swarm.task.name"
#: A container that ends between the two commands is an error of inspect, which still prints the others.
_INSPECT = 'ids=$(docker ps -q --filter "label=$1") || exit 1; [ -z "$ids" ] || docker inspect $ids || true'


def containers(cluster: Cluster, plan: Plan, service: str | None = None) -> list[Container]:
    """Running containers of the plan, sorted by name. Hosts that do not answer contribute none."""
    found = [
        _container(plan, host, row)
        for host, row in _rows(cluster, plan)
        if service in (None, _service_of(row)) and _is_planned(plan, row)
    ]
    return sorted(found, key=_place)


def sight(cluster: Cluster, plan: Plan) -> Sight:
    """Containers as above; host-mode ports on the nodes that run a service, ingress ports on every node."""
    rows = [(host, row) for host, row in _rows(cluster, plan) if _is_planned(plan, row)]
    containers = [_container(plan, host, row) for host, row in rows]
    published = [(_service_of(row), port) for host, row in rows for port in _host_ports(host, row)]
    for target in plan.targets:
        if any(port["mode"] == "ingress" for port in target.ports):
            published += [(target.service, port) for port in _ingress_ports(cluster, plan, target)]
    return Sight(tuple(sorted(containers, key=_place)), tuple(sorted(published, key=_published_order)))


def _place(container: Container) -> tuple[str, tuple[int, str]]:
    return container.service, _order(container.name)


def _published_order(entry: tuple[str, PublishedAddress]) -> tuple[str, str, int, str]:
    service, published = entry
    return service, published.node, published.port, published.protocol


def _rows(cluster: Cluster, plan: Plan) -> Iterator[tuple[Host, dict[str, Any]]]:
    found = each(cluster.hosts.values(), lambda host: _inspect(host, plan))
    for name, rows in found.items():
        yield from ((cluster.hosts[name], row) for row in rows)


def _inspect(host: Host, plan: Plan) -> list[dict[str, Any]]:
    try:
        result = host.run(script(_INSPECT, f"{LABEL}={plan.run}"), timeout_s=LOOK_TIMEOUT_S)
    except (ChannelLost, DeadlineExceeded):
        return []
    rows: list[dict[str, Any]] = json.loads(result.stdout) if result.ok and result.stdout.strip() else []
    return [row for row in rows if row["State"]["Running"]]


def _service_of(row: Mapping[str, Any]) -> str:
    return str(row["Config"]["Labels"].get(names.SERVICE_LABEL, ""))


def _is_planned(plan: Plan, row: Mapping[str, Any]) -> bool:
    return any(target.service == _service_of(row) for target in plan.targets)


def _container(plan: Plan, host: Host, row: Mapping[str, Any]) -> Container:
    attached = dict(_attached(plan, host, row))
    return Container(
        name=_name(plan.target(_service_of(row)), host, row),
        service=_service_of(row),
        node=host.name,
        id=row["Id"],
        pid=row["State"]["Pid"],
        networks={name: _address(settings) for name, settings in attached.items()},
        aliases={name: _own_names(row, settings) for name, settings in attached.items()},
        host="host" in row["NetworkSettings"]["Networks"],
        hostname=row["Config"]["Hostname"],
    )


def _name(target: Target, host: Host, row: Mapping[str, Any]) -> str:
    """`web.1`: Swarm calls a task STACK_SERVICE.SLOT.ID, and of a global service STACK_SERVICE.NODE.ID."""
    if target.kind == "plain":
        return target.service
    if target.kind == "global":
        return f"{target.service}.{host.name}"
    slot = row["Config"]["Labels"][TASK_NAME].split(".")[1]
    return f"{target.service}.{slot}"


def _order(name: str) -> tuple[int, str]:
    """web.2 before web.10."""
    return len(name), name


def network_names(plan: Plan) -> dict[str, str]:
    """The engine's name of each network of the plan, to the topology's."""
    networks = yaml.safe_load(plan.document(names.STACK_FILE).text)["networks"]
    return {networks[name]["name"]: name for name in plan.topology.networks}


def _attached(plan: Plan, host: Host, row: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The plan's networks only: ingress and the default bridge are the engine's own."""
    known, planned = network_names(plan), {network.name for network in plan.networks}
    for name, settings in row["NetworkSettings"]["Networks"].items():
        if name in known and settings.get("IPAddress"):
            here = f"{known[name]}@{host.name}"
            yield here if here in planned else known[name], settings


def _address(settings: Mapping[str, Any]) -> Address:
    return Address(
        ip=settings["IPAddress"],
        prefix=settings["IPPrefixLen"],
        mac=settings.get("MacAddress", ""),
        ip6=settings.get("GlobalIPv6Address", ""),
    )


def _own_names(row: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Names that the engine resolves to this container, its hostname first. DNSNames is there from engine 25 on;
    before it, names are the container's own, its aliases and its short id, and never the hostname.
    """
    found = settings.get("DNSNames") or [row["Name"].removeprefix("/"), *(settings.get("Aliases") or ())]
    hostname = row["Config"]["Hostname"]
    return tuple(dict.fromkeys(sorted(found, key=lambda name: name != hostname)))


def _host_ports(host: Host, row: Mapping[str, Any]) -> Iterator[PublishedAddress]:
    for inside, bindings in (row["NetworkSettings"]["Ports"] or {}).items():
        target, protocol = inside.split("/")
        for port in sorted({int(binding["HostPort"]) for binding in bindings or ()}):
            yield PublishedAddress(host.name, host.address, port, int(target), protocol, "host")


def _ingress_ports(cluster: Cluster, plan: Plan, target: Target) -> Iterator[PublishedAddress]:
    manager = cluster.hosts[plan.managers[0]]
    argv = ("docker", "service", "inspect", "--format", "{{json .Endpoint.Ports}}")
    text = must(manager, (*argv, names.service(plan, target.service)), timeout_s=LOOK_TIMEOUT_S)
    for port in json.loads(text) or ():
        if port["PublishMode"] == "ingress":
            for host in cluster.hosts.values():
                yield PublishedAddress(
                    host.name, host.address, port["PublishedPort"], port["TargetPort"], port["Protocol"], "ingress"
                )
