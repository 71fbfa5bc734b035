"""A Kubernetes of somebody else's: one by kind, reached as its users reach it, by a kubeconfig and nothing else.

Its API server is in the network namespace of the engine, so what arrives on a port of this machine is handed on.
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.model.places import state_name
from harness.orchestrators.kubernetes.names import KUBECTL
from harness.ports import Cluster
from harness.transport.netns import connect_in
from tests.cluster_bench import done

API_PORT = 6443
CONNECT_TIMEOUT_S = 10.0
#: What may change by itself meanwhile: clocks of leases and of nodes, and what controllers note down.
RESTLESS = ("events", "leases.coordination.k8s.io", "events.events.k8s.io", "endpoints", "endpointslices")


@contextmanager
def relayed(address: str, netns: str) -> Iterator[int]:
    """A port of the loopback behind which is the API server at `address` in the namespace."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, address, netns), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, address: str, netns: str) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        try:
            server = connect_in(netns, address, API_PORT, CONNECT_TIMEOUT_S)
        except OSError:
            client.close()
            continue
        server.settimeout(None)
        for pair in ((client, server), (server, client)):
            threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError:
        pass
    for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        try:
            end.shutdown(how)
        except OSError:
            continue


@dataclass(frozen=True)
class Foreign:
    """The owner's side: what a cluster holds, and whom it lets in."""

    cluster: Cluster
    port: int
    folder: Path

    def kubectl(self, *words: str, stdin: str = "") -> str:
        """As the owner."""
        return done(self.cluster.hosts["n1"], [*KUBECTL, *words], stdin)

    def listing(self) -> set[str]:
        """Every object of the cluster, of whatever kind, by its kind, namespace and name."""
        kinds = self.kubectl("api-resources", "--verbs=list", "-o", "name").split()
        asked = ",".join(kind for kind in kinds if kind not in RESTLESS)
        columns = "custom-columns=K:.kind,S:.metadata.namespace,N:.metadata.name,U:.metadata.uid"
        lines = self.kubectl("get", asked, "--all-namespaces", "--no-headers", "-o", columns).splitlines()
        return {" ".join(line.split()) for line in lines if line.strip()}

    def account(self, name: str, roles: Sequence[dict[str, Any]]) -> Path:
        """A kubeconfig of a service account in the namespace `ci` that may do what `roles` say, and no more."""
        for each in (*account(name), *roles):
            self.kubectl("apply", "-f", "-", stdin=json.dumps(each))
        authority = yaml.safe_load(done(self.cluster.hosts["n1"], ["cat", KUBECTL[2]]))["clusters"][0]["cluster"]
        server = {**authority, "server": f"https://127.0.0.1:{self.port}"}
        token = base64.b64decode(self._token(name)).decode()
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(kubeconfig(server, {"token": token}), sort_keys=False))
        path.chmod(0o600)
        return path

    def _token(self, name: str) -> str:
        secret = self.kubectl(
            "--namespace", SPACE, "get", "secret", f"{name}-token", "-o", "jsonpath={.data.token}"
        )
        assert secret, f"the cluster gave {name} no token yet"
        return secret


SPACE = "ci"
RBAC = "rbac.authorization.k8s.io"


def account(name: str) -> list[dict[str, Any]]:
    """The account, and a token of its own (core/v1, a secret of type service-account-token)."""
    annotation = {"kubernetes.io/service-account.name": name}
    metadata = {"name": name, "namespace": SPACE}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/service-account-token",
            "metadata": {"name": f"{name}-token", "namespace": SPACE, "annotations": annotation},
        },
    ]


def bound(name: str, *, role: str, namespace: str = "") -> dict[str, Any]:
    """A cluster role to an account: in one namespace, or in all and none."""
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    space = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": {"name": f"{name}-{role}", **space},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": SPACE}],
    }


def role(name: str, rules: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """A cluster role of rules (group, resources, verbs), words apart by blanks."""
    whole = [{"apiGroups": [g], "resources": r.split(), "verbs": v.split()} for g, r, v in rules]
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": whole}


def kubeconfig(server: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "theirs", "cluster": server}],
        "users": [{"name": "ci", "user": user}],
        "contexts": [{"name": "theirs", "context": {"cluster": "theirs", "user": "ci"}}],
        "current-context": "theirs",
    }


@contextmanager
def foreign(cluster: Cluster, folder: Path) -> Iterator[Foreign]:
    with relayed(cluster.hosts["n1"].address, f"{state_name()}-engine") as port:
        yield Foreign(cluster, port, folder)


def has_kubectl() -> bool:
    return shutil.which("kubectl") is not None
