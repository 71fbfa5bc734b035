"""A plan's services as Kubernetes objects. Pure. Only core/v1, apps/v1 and networking/v1 (decision 018)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from harness.model.plan import Plan, Target
from harness.model.topology import Service
from harness.orchestrators.kubernetes import isolation, names
from harness.orchestrators.kubernetes.pods import on_nodes, pod_spec
from harness.ports import Declared, Scene

Object = dict[str, Any]


def namespace(plan: Plan) -> str:
    """The document of the namespaces that hold all else."""
    spaces = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": names.namespace_labels(plan, called)},
        }
        for called, name in names.namespaces(plan).items()
    ]
    return names.documents(spaces)


def policies(plan: Plan) -> str:
    """All NetworkPolicy objects; empty where there are none."""
    return names.documents(isolation.policies(plan))


def objects(plan: Plan, networks: Mapping[str, Declared], volumes: Mapping[str, Declared], image: str) -> str:
    """All objects but policies: names first, then pods."""
    all_objects = [
        *_names(plan),
        *_node_ports(plan),
        *(workload(plan, target, networks, volumes, image) for target in plan.targets),
    ]
    return names.documents(all_objects)


def workload(
    plan: Plan, target: Target, networks: Mapping[str, Declared], volumes: Mapping[str, Declared], image: str
) -> Object:
    """A Pod, a DaemonSet, a Deployment, or a StatefulSet where names must hold."""
    spec = pod_spec(plan, target.service, volumes, image)
    labels = dict(names.labels(plan, target.service))
    metadata = {**names.metadata(plan, target.service, target.service), "labels": labels}
    ours = {"labels": labels, **_annotations(plan, target, networks)}
    if target.kind == "plain":
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, **ours}, "spec": spec}
    body: Object = {
        "selector": {"matchLabels": {names.SERVICE_LABEL: target.service}},
        "template": {"metadata": ours, "spec": spec},
    }
    if target.kind == "global":
        return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": body}
    replicas = {"replicas": target.containers}
    if target.stable:  # as Deployments do, all pods come at once
        whole = {**replicas, "serviceName": target.service, "podManagementPolicy": "Parallel", **body}
        return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": whole}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {**replicas, **body}}


def _annotations(plan: Plan, target: Target, networks: Mapping[str, Declared]) -> Object:
    """Which further networks a pod is to have, with their interfaces: net1, net2 and on."""
    space = names.namespace(plan)
    further = [networks[name].stack for name in target.networks if names.is_attached(plan.topology, name)]
    if not further:
        return {}
    if not any("ips" in each for each in further):
        asked = ", ".join(f"{space}/{each['name']}" for each in further)
    else:
        whole = [{"name": e["name"], "namespace": space, "ips": e["ips"][target.service]} for e in further]
        asked = json.dumps(whole)
    return {"annotations": {names.NETWORKS_ANNOTATION: asked}}


def _names(plan: Plan) -> Iterator[Object]:
    """One Service for each name. Pods carry their names as labels, so several services may share an alias."""
    services = plan.topology.services
    everywhere = dict.fromkeys(name for service in services for name in names.names_of(plan.topology, service))
    for name in everywhere:
        carriers = _carriers(plan, name)
        spec: Object = {"selector": {f"{names.NAME_PREFIX}{name}": names.YES}}
        if any(service.effective_deploy.endpoint_mode == "vip" for service in carriers):
            spec |= {"type": "ClusterIP", "ports": _ports(carriers)}
        else:
            spec |= {"clusterIP": "None"}
        yield {"apiVersion": "v1", "kind": "Service", "metadata": names.metadata(plan, name), "spec": spec}


def _carriers(plan: Plan, name: str) -> list[Service]:
    services = plan.topology.services
    return [spec for service, spec in services.items() if name in names.names_of(plan.topology, service)]


def _ports(carriers: list[Service]) -> list[Object]:
    """A ClusterIP serves the ports that it names and no other: those of the topology, and the agents' own."""
    declared = {(port.target, port.protocol) for service in carriers for port in service.ports}
    wanted = sorted(declared | {(Scene.port, "tcp"), (Scene.port, "udp")})
    return [
        {"name": f"{protocol}-{port}", "port": port, "targetPort": port, "protocol": protocol.upper()}
        for port, protocol in wanted
    ]


def _node_ports(plan: Plan) -> Iterator[Object]:
    """Ports in ingress mode: on every node, whichever runs the service."""
    for name, service in plan.topology.services.items():
        ports = [port for port in service.ports if not on_nodes(service, port)]
        if not ports or names.is_internal(plan.topology, service):
            continue
        chosen = (
            not plan.topology.cluster.is_foreign_kubernetes
        )  # there, others may have it: the cluster gives one
        entries = [
            {
                "name": f"{port.protocol}-{port.target}",
                "port": port.target,
                "targetPort": port.target,
                "protocol": port.protocol.upper(),
                **({"nodePort": port.published} if port.published and chosen else {}),
            }
            for port in ports
        ]
        spec = {"type": "NodePort", "selector": {names.SERVICE_LABEL: name}, "ports": entries}
        metadata = names.metadata(plan, f"{name}-ports", name)
        yield {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
