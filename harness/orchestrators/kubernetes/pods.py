"""A service's pod. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.model.plan import Plan
from harness.model.topology import Mount, Port, Service
from harness.orchestrators.constraints import eligible
from harness.orchestrators.kubernetes import names
from harness.ports import Declared

#: Keeps a workload container alive until SIGTERM; a first process without a handler would ignore the signal.
STAY_ALIVE = ("sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait")
STOP_GRACE_S = 2
HOSTNAME_LABEL = "kubernetes.io/hostname"

Object = dict[str, Any]


def pod_spec(plan: Plan, name: str, volumes: Mapping[str, Declared], image: str) -> Object:
    """`image` is that of services which name none."""
    service = plan.topology.services[name]
    return _without_empty(
        {
            "nodeName": service.node,
            "hostNetwork": service.network_mode == "host",
            "dnsPolicy": "ClusterFirstWithHostNet" if service.network_mode == "host" else None,
            "restartPolicy": "Never" if service.node else None,
            "terminationGracePeriodSeconds": STOP_GRACE_S,
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "containers": [_container(plan, service, image)],
            "volumes": [_volume(i, mount, volumes) for i, mount in enumerate(service.volumes)],
            "affinity": _affinity(plan, service),
            "topologySpreadConstraints": [] if service.node else [_spread(name)],
        },
        keep=("enableServiceLinks", "automountServiceAccountToken"),
    )


def _container(plan: Plan, service: Service, image: str) -> Object:
    published = not names.is_internal(plan.topology, service)
    return _without_empty(
        {
            "name": names.CONTAINER,
            "image": service.image or image,
            "imagePullPolicy": "IfNotPresent",
            "args": _arguments(service),
            "env": [{"name": key, "value": value} for key, value in service.environment.items()],
            "ports": [_port(service, port) for port in service.ports if published],
            "volumeMounts": [_mount(i, mount) for i, mount in enumerate(service.volumes)],
            "securityContext": _security(service),
        }
    )


def _arguments(service: Service) -> list[str]:
    """Compose's `command` replaces an image's CMD and leaves its ENTRYPOINT, as `args` do."""
    if service.command is not None:
        return list(service.command)
    return [] if service.image else list(STAY_ALIVE)


def on_nodes(service: Service, port: Port) -> bool:
    """Whether a port is one of the nodes that run the service. A plain container's are always its node's."""
    return bool(service.node) or port.mode == "host"


def _port(service: Service, port: Port) -> Object:
    """Its name is what policies may call it."""
    named = f"{port.protocol}-{port.target}"
    entry: Object = {"name": named, "containerPort": port.target, "protocol": port.protocol.upper()}
    return {**entry, "hostPort": port.published} if on_nodes(service, port) and port.published else entry


def _mount(number: int, mount: Mount) -> Object:
    entry: Object = {"name": f"v{number}", "mountPath": mount.target}
    return {**entry, "readOnly": True} if mount.read_only else entry


def _volume(number: int, mount: Mount, volumes: Mapping[str, Declared]) -> Object:
    if mount.type == "tmpfs":
        source: Object = {"emptyDir": {"medium": "Memory"}}
    elif mount.type == "bind":
        source = {"hostPath": {"path": mount.source, "type": "Directory"}}
    else:
        source = dict(volumes[mount.source].stack) if mount.source else {"emptyDir": {}}
    return {"name": f"v{number}", **source}


def _security(service: Service) -> Object:
    user, _, group = (service.user or "").partition(":")
    return _without_empty(
        {
            "runAsUser": int(user) if user else None,
            "runAsGroup": int(group) if group else None,
            "readOnlyRootFilesystem": service.read_only,
            "capabilities": {"drop": [name.removeprefix("CAP_") for name in service.cap_drop]}
            if service.cap_drop
            else {},
        }
    )


def _affinity(plan: Plan, service: Service) -> Object:
    """On a cluster that is not ours there may be more nodes than the topology's."""
    is_bound = service.effective_deploy.placement.constraints or plan.topology.cluster.is_foreign_kubernetes
    return on_these(eligible(service, plan.nodes)) if is_bound and not service.node else {}


def on_these(nodes: Sequence[str]) -> Object:
    """By names: a node's label may say otherwise. Terms are alternatives, and each takes one name (core/v1)."""
    terms = [{"matchFields": [{"key": names.NODE_FIELD, "operator": "In", "values": [node]}]} for node in nodes]
    required = {"nodeSelectorTerms": terms}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def _spread(name: str) -> Object:
    """As Swarm spreads: over nodes, while they are there."""
    return {
        "maxSkew": 1,
        "topologyKey": HOSTNAME_LABEL,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {names.SERVICE_LABEL: name}},
    }


def _without_empty(entry: Object, keep: tuple[str, ...] = ()) -> Object:
    return {key: value for key, value in entry.items() if key in keep or value not in (None, {}, [], False, "")}


def host_ports(pod: Mapping[str, Any]) -> Iterator[tuple[int, int, str]]:
    """(port of the node, port inside, protocol) of a live pod."""
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()):
            if port.get("hostPort") and not pod["spec"].get("hostNetwork"):
                yield port["hostPort"], port["containerPort"], port.get("protocol", "TCP").lower()
