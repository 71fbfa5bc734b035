"""The enforcer of NetworkPolicy on clusters whose CNI is ours and enforces none."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml

from harness.model.errors import DeadlineExceeded
from harness.model.plan import LABEL, Plan
from harness.orchestrators.hosts import each, must, ticks
from harness.orchestrators.kubernetes import isolation, looking, names
from harness.orchestrators.kubernetes.enforcer import KNOWN_FILE
from harness.ports import Cluster, Host, Progress

#: Our CNI's DaemonSet (provider kind without an image registry).
OUR_CNI = "harness-cni"
NAME = "harness-policy"
SPACE = "kube-system"
ASK_TIMEOUT_S = 15.0
APPLY_TIMEOUT_S = 60.0
READY_TIMEOUT_S = 90.0
KNOWN_TIMEOUT_S = 30.0
_READABLE = ("pods", "namespaces")


def enforce(cluster: Cluster, plan: Plan, progress: Progress) -> bool:
    """Start the enforcer where the plan has policies, and the CNI is ours on a cluster that is. Says if it did.
    Others enforce, or are found out. It comes up beside the services: `await_enforced` before they are looked at.
    """
    if not isolation.has_policies(plan.topology) or cluster.api is not None:
        return False
    host = names.manager(cluster, plan)
    asked = (
        *names.client(plan),
        "--namespace",
        SPACE,
        "get",
        "daemonset",
        OUR_CNI,
        "--ignore-not-found",
        "-o",
        "name",
    )
    if not must(host, asked, timeout_s=ASK_TIMEOUT_S).strip():
        return False
    progress("networks: policies are enforced by a DaemonSet of ours")
    document = yaml.safe_dump_all(list(objects(plan))).encode()
    must(host, (*names.client(plan), "apply", "-f", "-"), timeout_s=APPLY_TIMEOUT_S, stdin=document)
    return True


def await_enforced(cluster: Cluster, plan: Plan) -> None:
    """Returns when it runs on every node. Raises CommandFailed."""
    waiting = f"--timeout={READY_TIMEOUT_S:g}s"
    argv = (*names.client(plan), "--namespace", SPACE, "rollout", "status", f"daemonset/{NAME}", waiting)
    must(names.manager(cluster, plan), argv, timeout_s=READY_TIMEOUT_S + ASK_TIMEOUT_S)


def await_known(cluster: Cluster, plan: Plan, timeout_s: float = KNOWN_TIMEOUT_S) -> None:
    """Returns when the enforcer of every node that has one knows all pods of the plan. Raises DeadlineExceeded."""
    if not isolation.has_policies(plan.topology) or cluster.api is not None:
        return
    late: dict[str, set[str]] = {}
    for _ in ticks(timeout_s, names.POLL_S):
        wanted = {found.pod.address for found in looking.containers(cluster, plan) if found.pod}
        known = each(cluster.hosts.values(), _known)
        late = {name: wanted - ips for name, ips in known.items() if ips is not None and wanted - ips}
        if not late:
            return
    told = "; ".join(f"{name}: {', '.join(sorted(ips))}" for name, ips in late.items())
    raise DeadlineExceeded(f"the enforcer of policies does not know after {timeout_s:g} s: {told}")


def _known(host: Host) -> set[str] | None:
    """None where no enforcer of ours runs."""
    result = host.run(("cat", KNOWN_FILE), timeout_s=ASK_TIMEOUT_S)
    return set(result.stdout.split()) if result.ok else None


def objects(plan: Plan) -> list[dict[str, Any]]:
    """All that the enforcer is: its rights, its program, a pod on each node."""
    metadata = {"name": NAME, "namespace": SPACE, "labels": {LABEL: plan.run}}
    program = resources.files(__package__).joinpath("enforcer.py").read_text(encoding="utf-8")
    rights = [
        {"apiGroups": [""], "resources": list(_READABLE), "verbs": ["list"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list"]},
    ]
    rbac = "rbac.authorization.k8s.io"
    bound = {"apiGroup": rbac, "kind": "ClusterRole", "name": NAME}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": SPACE}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rights},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": bound,
            "subjects": [subject],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"enforcer.py": program}},
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": _pods(plan)},
    ]


def _pods(plan: Plan) -> dict[str, Any]:
    container = {
        "name": names.CONTAINER,
        "image": joined_image(plan),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "/harness/enforcer.py"],
        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": "program", "mountPath": "/harness"}],
    }
    spec = {
        "serviceAccountName": NAME,
        "hostNetwork": True,
        "hostPID": True,
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "program", "configMap": {"name": NAME}}],
    }
    labels = {"app": NAME}
    return {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}}


def joined_image(plan: Plan) -> str:
    """The workload image: it has Python."""
    return next((image for image in plan.images if "/workload:" in image), plan.images[0])
