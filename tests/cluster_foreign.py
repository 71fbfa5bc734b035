"""A Kubernetes of somebody else's: one by kind, reached as its users reach it, by a kubeconfig and nothing else.

Its API server is in the network namespace of the engine, so what arrives on a port of this machine is handed on.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
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
TIMEOUT_S = 10.0
#: What may change by itself meanwhile: clocks of leases and of nodes, and what controllers note down.
RESTLESS = (
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "componentstatuses",
)


@contextmanager
def relayed(address: str, netns: str) -> Iterator[int]:
    """A port of the loopback behind which is the API server at `address` in the namespace."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        relay = _Relay(listener, address, netns)
        stack.callback(relay.close)
        yield listener.getsockname()[1]


class _Relay:
    """Every connection has a thread for each way; all of it ends with `close`."""

    def __init__(self, listener: socket.socket, address: str, netns: str) -> None:
        self._listener, self._address, self._netns = listener, address, netns
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for each in list(self._open):
            _end(each, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._carry, args=(client,)))
            self._threads[-1].start()

    def _carry(self, client: socket.socket) -> None:
        with client, suppress(OSError), connect_in(self._netns, self._address, API_PORT, TIMEOUT_S) as server:
            server.settimeout(None)
            self._open |= {client, server}
            back = threading.Thread(target=_pump, args=(server, client))
            back.start()
            _pump(client, server)
            back.join()
            self._open -= {client, server}


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    _end(sink, socket.SHUT_WR)


def _end(end: socket.socket, how: int) -> None:
    with suppress(OSError):
        end.shutdown(how)


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

    def secrets(self, account: Path) -> list[str]:
        return [entry["user"]["token"] for entry in yaml.safe_load(account.read_text())["users"]]

    def altered(self, account: Path, *, server: str = "", token: str = "") -> Path:
        """A kubeconfig that leads elsewhere, or that is of somebody whom nobody knows."""
        whole = yaml.safe_load(account.read_text())
        if server:
            whole["clusters"][0]["cluster"]["server"] = server
        if token:
            whole["users"][0]["user"]["token"] = token
        path = self.folder / "altered.kubeconfig"
        path.write_text(yaml.safe_dump(whole))
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


#: What a run needs in every namespace where it may make one; `edit` is enough where it is given one.
RUNS = (
    ("", "namespaces", "create get list delete"),
    ("", "pods services configmaps", "get list watch create patch delete"),
    ("", "pods/exec", "create"),
    ("", "pods/log", "get"),
    ("", "events", "list"),
    ("apps", "deployments daemonsets statefulsets", "get list watch create patch delete"),
    ("apps", "deployments/scale statefulsets/scale", "get patch"),
    ("networking.k8s.io", "networkpolicies", "get list watch create patch delete"),
)


#: What claims, further networks and drains need beyond that.
MORE = (
    ("", "persistentvolumeclaims", "get list watch create patch delete"),
    ("k8s.cni.cncf.io", "network-attachment-definitions", "get list watch create patch delete"),
    ("", "nodes", "get list patch"),
    ("", "pods/eviction", "create"),
)


def may_run(name: str, *, but: str = "", more: Sequence[tuple[str, str, str]] = ()) -> list[dict[str, Any]]:
    """The rights of a run, for an account; without the rule about `but`, and with those of `more`."""
    return [role(name, [rule for rule in (*RUNS, *more) if rule[1] != but]), bound(name, role=name)]


def may_run_in(name: str, namespace: str) -> list[dict[str, Any]]:
    """Those within a namespace that exists."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    return [space, bound(name, role="edit", namespace=namespace)]
