"""The stack file: Compose's format, as `docker stack deploy` understands it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from harness.model.plan import LABEL, Plan
from harness.model.topology import Attachment, Mount, Port, Service
from harness.orchestrators.constraints import NODE_LABEL
from harness.orchestrators.swarm import names
from harness.ports import Declared

#: Keeps a workload container alive until SIGTERM; the init passes the signal on.
STAY_ALIVE = ("sleep", "infinity")
STOP_GRACE_S = 2
RESTART_DELAY = "500ms"
#: Of the format; 3.7 brought `init`.
VERSION = "3.8"


def stack_file(plan: Plan, networks: Mapping[str, Declared], volumes: Mapping[str, Declared], image: str) -> str:
    """All networks and volumes of the plan, and its scheduled services, as YAML."""
    services = {target.service: plan.topology.services[target.service] for target in names.scheduled(plan)}
    document: dict[str, Any] = {
        "version": VERSION,
        "networks": {name: dict(declared.stack) for name, declared in networks.items()},
        "volumes": {name: dict(declared.stack) for name, declared in volumes.items()},
        "services": {name: _service(plan, name, service, image) for name, service in services.items()},
    }
    for mode in sorted({_mode(service) for service in services.values() if not service.networks}):
        document["networks"][_mode_key(mode)] = {"name": mode, "external": True}
    return yaml.safe_dump(_escaped(document), sort_keys=False, width=1000)


def command(service: Service) -> list[str] | None:
    """What to run; None leaves it to an image that the user chose."""
    if service.command is not None:
        return list(service.command)
    return None if service.image else list(STAY_ALIVE)


def _service(plan: Plan, name: str, service: Service, image: str) -> dict[str, Any]:
    entry = {
        "image": service.image or image,
        "command": command(service),
        "init": True,
        "hostname": _hostname(name, service),
        "environment": dict(service.environment),
        "user": service.user,
        "read_only": service.read_only,
        "cap_drop": list(service.cap_drop),
        "networks": _networks(service),
        "ports": [_port(port) for port in service.ports],
        "volumes": [_mount(mount) for mount in service.volumes],
        "labels": {LABEL: plan.run, names.SERVICE_LABEL: name},
        "stop_grace_period": f"{STOP_GRACE_S}s",
        "deploy": _deploy(plan, name, service),
    }
    return {key: value for key, value in entry.items() if value not in (None, {}, [], False)}


def _hostname(name: str, service: Service) -> str | None:
    """`web-1`, `edge-n2`: engines from 25 on resolve it on every network.

    Without a dot: the engine would write what stands before it into /etc/hosts as a name of this container.
    With the node's network the hostname is the node's too.
    """
    if service.network_mode == "host":
        return None
    is_global = service.effective_deploy.mode == "global"
    return f"{name}-{{{{.Node.Hostname}}}}" if is_global else f"{name}-{{{{.Task.Slot}}}}"


def _deploy(plan: Plan, name: str, service: Service) -> dict[str, Any]:
    deploy = service.effective_deploy
    entry: dict[str, Any] = {
        "mode": deploy.mode,
        "endpoint_mode": deploy.endpoint_mode,
        "labels": {LABEL: plan.run, names.SERVICE_LABEL: name},
        "restart_policy": {"condition": "any", "delay": RESTART_DELAY},
        "update_config": {"parallelism": 0, "order": "stop-first"},
    }
    if deploy.mode == "replicated":
        entry["replicas"] = deploy.replicas
    constraints = [_constraint(text) for text in deploy.placement.constraints]
    if plan.provider == "existing":  # a swarm that exists may have nodes that are none of ours
        constraints.append(f"node.labels.{LABEL}=={plan.run}")
    return {**entry, "placement": {"constraints": constraints}} if constraints else entry


def _constraint(text: str) -> str:
    """As Swarm is given it: the topology's node names stand in a label."""
    return re.sub(r"^\s*node\.hostname\s*(==|!=)\s*", rf"node.labels.{NODE_LABEL}\1", text)


def _networks(service: Service) -> dict[str, Any]:
    """`stack deploy` ignores network_mode: the engine's own networks stand in the stack as external ones."""
    if service.networks:
        return {name: _attachment(attachment) for name, attachment in service.networks.items()}
    return {_mode_key(_mode(service)): {}}


def _attachment(attachment: Attachment) -> dict[str, Any]:
    return {"aliases": list(attachment.aliases)} if attachment.aliases else {}


def _mode(service: Service) -> str:
    return service.network_mode or "bridge"


def _mode_key(mode: str) -> str:
    """Topology names have no underscore: it can clash with none."""
    return f"engine_{mode}"


def _port(port: Port) -> dict[str, Any]:
    entry = {"target": port.target, "protocol": port.protocol, "mode": port.mode}
    return {**entry, "published": port.published} if port.published else entry


def _mount(mount: Mount) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": mount.type, "target": mount.target}
    if mount.source:
        entry["source"] = mount.source
    if mount.read_only:
        entry["read_only"] = True
    return entry


def _escaped(value: Any) -> Any:
    """`stack deploy` replaces $NAME by the manager's environment; $$ is a dollar."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [_escaped(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _escaped(entry) for key, entry in value.items()}
    return value
