"""Further networks of pods in Multus's form: what nodes and the API server need for them.

Where the cluster has Multus, its resource is known already and nothing is made. Else nodes get `meta_plugin.py`,
and the API server the resource and a right to read it. All of that stays with the cluster, as the enforcer does.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import yaml

from harness.model.plan import LABEL, Plan
from harness.orchestrators.hosts import each, must, script
from harness.orchestrators.kubernetes import meta_plugin, names
from harness.ports import Cluster, Host, Progress

GROUP, PLURAL = "k8s.cni.cncf.io", "network-attachment-definitions"
CRD = f"{PLURAL}.{GROUP}"
NAME = meta_plugin.NAME
ASK_TIMEOUT_S = 15.0
INSTALL_TIMEOUT_S = 60.0

#: containerd hands over the configuration on standard input, so the program cannot come that way.
WRAPPER = """#!/bin/sh
# Written by the harness: gives pods further networks, as Multus does.
export PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
exec python3 /proc/1/root/opt/cni/harness-meta.py
"""
#: Before the configuration, which containerd reads as soon as it is there, comes all that it needs. The kubeconfig
#: is the node's own, in JSON, which Python can read without help.
_INSTALL = """
mkdir -p /etc/cni/harness-meta /opt/cni/bin "$2"
cat >/opt/cni/harness-meta.py
umask 077
kubectl config view --kubeconfig /etc/kubernetes/kubelet.conf --raw -o json >/etc/cni/harness-meta/kubeconfig
umask 022
printf %s "$3" >/opt/cni/bin/harness-meta.new
chmod 755 /opt/cni/bin/harness-meta.new
mv /opt/cni/bin/harness-meta.new /opt/cni/bin/harness-meta
printf %s "$4" >"$1/.harness-meta.new"
mv "$1/.harness-meta.new" "$1/00-harness-meta.conf"
"""


def attach(cluster: Cluster, plan: Plan, progress: Progress) -> None:
    """Returns when pods of the plan will get their further networks. Raises CommandFailed."""
    if not any(names.is_attached(plan.topology, name) for name in plan.topology.networks):
        return
    if cluster.api is not None:  # its provider has asked for the resource
        return
    host = names.manager(cluster, plan)
    argv = (*names.KUBECTL, "get", "customresourcedefinitions", CRD, "--ignore-not-found", "-o", "json")
    known = must(host, argv, timeout_s=ASK_TIMEOUT_S).strip()
    if known and LABEL not in (json.loads(known)["metadata"].get("labels") or {}):
        progress("networks: the cluster has Multus")
        return
    progress("networks: nodes get a CNI plugin of ours that reads Multus's resource")
    document = yaml.safe_dump_all(list(objects(plan))).encode()
    must(host, (*names.KUBECTL, "apply", "-f", "-"), timeout_s=INSTALL_TIMEOUT_S, stdin=document)
    waiting = ("wait", "--for=condition=established", f"--timeout={ASK_TIMEOUT_S:g}s", f"crd/{CRD}")
    must(host, (*names.KUBECTL, *waiting), timeout_s=2 * ASK_TIMEOUT_S)
    each(cluster.hosts.values(), _install)


def _install(host: Host) -> None:
    program = resources.files(__package__).joinpath("meta_plugin.py").read_bytes()
    told = (meta_plugin.CONFIGS, meta_plugin.NAD_CONFIGS, WRAPPER, json.dumps(config()))
    must(host, script(f"set -e{_INSTALL}", *told), timeout_s=INSTALL_TIMEOUT_S, stdin=program)


def config() -> dict[str, Any]:
    """Of the plugin. What its delegates can do with a runtime's words it must be told, too."""
    able = dict.fromkeys(("portMappings", "bandwidth", "dns"), True)
    return {"cniVersion": meta_plugin.VERSION, "name": NAME, "type": NAME, "capabilities": able}


def objects(plan: Plan) -> list[dict[str, Any]]:
    """Multus's resource, and nodes' right to read it. That of reading their own pods they have."""
    rbac = "rbac.authorization.k8s.io"
    labels = {LABEL: plan.run}
    rights = [{"apiGroups": [GROUP], "resources": [PLURAL], "verbs": ["get"]}]
    return [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": CRD, "labels": labels},
            "spec": _resource(),
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": NAME, "labels": labels},
            "rules": rights,
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME, "labels": labels},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": NAME},
            "subjects": [{"apiGroup": rbac, "kind": "Group", "name": "system:nodes"}],
        },
    ]


def _resource() -> dict[str, Any]:
    """As the standard of the Network Plumbing Working Group has it."""
    spec = {"type": "object", "properties": {"config": {"type": "string"}}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
    }
    kind = "NetworkAttachmentDefinition"
    called = {
        "plural": PLURAL,
        "singular": PLURAL.removesuffix("s"),
        "kind": kind,
        "shortNames": ["net-attach-def"],
    }
    return {"group": GROUP, "scope": "Namespaced", "names": called, "versions": [version]}
