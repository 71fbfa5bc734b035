"""A Kubernetes of fake hosts: as much of kubectl and ctr as the orchestrator uses, in memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from harness.model.errors import DeadlineExceeded
from harness.orchestrators.kubernetes.names import CONTAINER, KUBECTL, SERVICE_LABEL
from harness.ports import Channel, Cluster, Host, Result, Right

OK = Result(0, "", "")
Object = dict[str, Any]


@dataclass
class FakeHost:
    """A Host whose commands are answered by the cluster that it belongs to."""

    kubernetes: FakeKubernetes
    name: str
    address: str
    silent: bool = False
    calls: list[tuple[str, ...]] = field(default_factory=list)
    rights: frozenset[Right] = frozenset({"shell"})

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        assert timeout_s > 0
        if self.silent:
            raise DeadlineExceeded(f"{self.name} did not answer")
        self.calls.append(tuple(argv))
        client = self.kubernetes.client
        if tuple(argv[: len(client)]) == client:
            return self.kubernetes.kubectl(list(argv[len(client) :]), stdin)
        if argv[0] == "ctr":
            return self.kubernetes.tasks(self.name)
        return Result(1, "", "no such file") if argv[0] == "cat" else OK

    def channel(self, argv: Sequence[str]) -> Channel:
        raise NotImplementedError("the orchestrator keeps no streams")


@dataclass
class FakeSeats:
    """A node of a cluster that gives no shell."""

    name: str
    address: str
    rights: frozenset[Right] = frozenset()
    taken: list[tuple[str, str, str]] = field(default_factory=list)

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        raise AssertionError(f"the orchestrator ran {argv} on a node that is not ours")

    def channel(self, argv: Sequence[str]) -> Channel:
        raise AssertionError(f"the orchestrator kept {argv} on a node that is not ours")

    def seat(self, container: str, namespace: str, pod: str) -> int:
        wanted = (container, namespace, pod)
        if wanted not in self.taken:
            self.taken.append(wanted)
        return 1 + self.taken.index(wanted)


class FakeKubernetes:
    """Nodes n1..nN, all Ready. Knobs say what goes wrong; pods come and go at once."""

    client: tuple[str, ...] = KUBECTL

    def __init__(self, nodes: int = 3) -> None:
        self.hosts = {f"n{i}": FakeHost(self, f"n{i}", f"192.0.2.{i}") for i in range(1, nodes + 1)}
        self.not_ready: set[str] = set()
        #: Service to what its pods' containers say instead of running: the state of a containerStatus.
        self.broken: dict[str, Object] = {}
        self.unplaced: set[str] = set()
        #: Service to what the API server says of its pods, which it does not let in.
        self.refused: dict[str, str] = {}
        #: Whose resource for further networks the API server has: nobody's, "Multus", or "ours" once it is made.
        self.attacher = ""
        #: Whether pods get the further networks that they ask for.
        self.attaches = True
        #: Pods that stay after they were told to go, with nothing that runs.
        self.linger: set[str] = set()
        #: Deployments of the cluster's DNS.
        self.dns: list[Object] = []
        #: The last one that was made, or that something was made in.
        self.namespace = ""
        self.asked: list[tuple[str, ...]] = []
        self.objects: dict[tuple[str, str], Object] = {}
        self.pods: dict[str, Object] = {}
        self._numbers = itertools.count(2)

    def cluster(self, run: str) -> Cluster:
        hosts: dict[str, Host] = dict(self.hosts)
        return Cluster(f"harness-{run}", run, "kind", hosts)

    def kubectl(self, words: list[str], stdin: bytes) -> Result:
        self.asked.append(tuple(words))
        if words[0] == "--namespace":
            words = words[2:]
        verb, *rest = words
        answer: Result = getattr(self, f"_{verb}")(rest, stdin)
        return answer

    def tasks(self, node: str) -> Result:
        lines = ["TASK PID STATUS"]
        for pod in self.pods.values():
            if pod["spec"]["nodeName"] == node:
                for status in pod["status"]["containerStatuses"]:
                    lines.append(f"{status['containerID'].partition('://')[2]} {pod['pid']} RUNNING")
        return Result(0, "\n".join(lines), "")

    # --- verbs

    def _get(self, words: list[str], _stdin: bytes) -> Result:
        kinds = {
            "nodes": "Node",
            "deployments": "Deployment",
            "daemonsets": "DaemonSet",
            "statefulsets": "StatefulSet",
            "services": "Service",
            "events": "Event",
        }
        if words[0] == "daemonset":
            return OK
        if "k8s-app=kube-dns" in words:
            return Result(0, json.dumps({"items": self.dns if words[0] == "deployments" else []}), "")
        if words[0] == "customresourcedefinitions":
            labels = {"ours": {"harness.run": "r0"}}.get(self.attacher, {})
            return Result(0, json.dumps({"metadata": {"labels": labels}}), "") if self.attacher else OK
        items: list[Object] = []
        for kind in words[0].split(","):
            if kind == "nodes":
                items += [self._node(name) for name in self.hosts]
            elif kind == "pods":
                items += self._selected(words)
            else:
                items += [each for each in self.objects.values() if each["kind"] == kinds.get(kind)]
        return Result(0, json.dumps({"items": items}), "")

    def _selected(self, words: list[str]) -> Iterator[Object]:
        selector = words[words.index("-l") + 1] if "-l" in words else ""
        wanted = dict(part.partition("=")[::2] for part in selector.split(","))
        service = wanted.get(SERVICE_LABEL, "")
        return (pod for pod in self.pods.values() if service in ("", pod["metadata"]["labels"][SERVICE_LABEL]))

    def _apply(self, _words: list[str], stdin: bytes) -> Result:
        plain = [each["metadata"]["name"] for each in yaml.safe_load_all(stdin) if each["kind"] == "Pod"]
        if told := [self.refused[name] for name in plain if name in self.refused]:
            return Result(1, "service/web created", "\n".join(told))
        for each in yaml.safe_load_all(stdin):
            if each["kind"] == "CustomResourceDefinition":
                self.attacher = "ours"
            self.namespace = each["metadata"].get("namespace") or each["metadata"]["name"]
            self.objects[each["kind"], each["metadata"]["name"]] = each
            self._reconcile(each)
        return OK

    def _scale(self, words: list[str], _stdin: bytes) -> Result:
        found = self._found(words[0])
        found["spec"]["replicas"] = int(words[1].partition("=")[2])
        self._reconcile(found)
        return OK

    def _patch(self, words: list[str], _stdin: bytes) -> Result:
        found = self._found(words[0])
        self.patches = json.loads(words[2])
        for name in [name for name, pod in self.pods.items() if pod["owner"] == found["metadata"]["name"]]:
            del self.pods[name]
        self._reconcile(found)
        return OK

    def _wait(self, _words: list[str], _stdin: bytes) -> Result:
        return OK

    def _rollout(self, _words: list[str], _stdin: bytes) -> Result:
        return OK

    def _delete(self, words: list[str], _stdin: bytes) -> Result:
        if "--force" in words:
            self.pods = {name: pod for name, pod in self.pods.items() if name not in words}
        elif words[0] in ("namespaces", "pods"):
            self._end({pod["metadata"]["name"] for pod in self._selected(words)})
        elif words[0].startswith("deployments,daemonsets"):
            self.objects = {}
            self.pods = {name: pod for name, pod in self.pods.items() if pod["owner"] == name}
        elif words[0] == "persistentvolumes":
            self.objects = {key: each for key, each in self.objects.items() if key[0] != "PersistentVolume"}
        else:
            self.pods.pop(words[0].partition("/")[2], None)
        return OK

    def _end(self, pods: set[str]) -> None:
        """What is left of their makers makes new ones."""
        kept = {name: pod for name, pod in self.pods.items() if name not in pods}
        self.pods = kept | {name: _ended(self.pods[name]) for name in pods & self.linger}
        for each in list(self.objects.values()):
            if each["kind"] != "Pod":
                self._reconcile(each)

    def _found(self, resource: str) -> Object:
        kind, _, name = resource.partition("/")
        kinds = {"deployment": "Deployment", "daemonset": "DaemonSet", "statefulset": "StatefulSet"}
        return self.objects[kinds[kind], name]

    # --- what controllers do

    def _node(self, name: str) -> Object:
        ready = "False" if name in self.not_ready else "True"
        return {
            "kind": "Node",
            "metadata": {"name": name},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }

    def _reconcile(self, each: Object) -> None:
        name = each["metadata"]["name"]
        if each["kind"] == "Pod" and name not in self.pods:
            self._start(name, name, each["metadata"], each["spec"], each["spec"]["nodeName"])
        if each["kind"] not in ("Deployment", "DaemonSet", "StatefulSet"):
            return
        if name in self.refused:
            self._refuse(each, self.refused[name])
            return
        own = [pod for pod, entry in self.pods.items() if entry["owner"] == name]
        wanted = list(self._places(each))
        for pod in own[len(wanted) :]:
            del self.pods[pod]
        template = each["spec"]["template"]
        each["metadata"].setdefault("uid", f"u{next(self._numbers)}")
        for node in wanted[len(own) :]:
            pod = f"{name}-{next(self._numbers)}"
            if each["kind"] == "StatefulSet":
                pod = next(free for free in (f"{name}-{i}" for i in itertools.count()) if free not in self.pods)
            self._start(pod, name, template["metadata"], template["spec"], node)
        each["status"] = {"readyReplicas": len(wanted), "numberReady": len(wanted)}

    def _refuse(self, each: Object, words: str) -> None:
        """A Deployment tells it itself, of the others an event does."""
        meta = each["metadata"]
        meta["uid"] = f"u{next(self._numbers)}"
        condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}
        each["status"] = {"conditions": [condition]} if each["kind"] == "Deployment" else {}
        about = {"kind": each["kind"], "name": meta["name"], "uid": meta["uid"]}
        if each["kind"] != "Deployment":
            self.objects["Event", f"e-{meta['name']}"] = {
                "kind": "Event",
                "metadata": {"name": f"e-{meta['name']}", "namespace": self.namespace, "creationTimestamp": ""},
                "involvedObject": about,
                "reason": "FailedCreate",
                "message": words,
            }

    def _places(self, each: Object) -> Iterator[str]:
        nodes = list(self.hosts)
        count = each["spec"].get("replicas", len(nodes))
        return (nodes[index % len(nodes)] for index in range(count))

    def _attached(self, asked: str, number: int) -> Object:
        """What a plugin in Multus's form tells: the cluster's network, then the others."""
        told = [{"name": "pods", "interface": "eth0", "ips": [f"10.244.0.{number}"], "default": True}]
        for index, name in enumerate(asked.split(", "), 1):
            link = {"interface": f"net{index}", "mac": f"02:00:00:00:{index:02}:{number:02}"}
            told.append({"name": name, **link, "ips": [f"10.7{index}.0.{number}"]})
        return {"k8s.v1.cni.cncf.io/network-status": json.dumps(told)} if self.attaches else {}

    def _start(self, pod: str, owner: str, template: Object, spec: Object, node: str) -> None:
        number = next(self._numbers)
        asked = template.get("annotations", {}).get("k8s.v1.cni.cncf.io/networks")
        state = self.broken.get(owner, {"running": {}})
        status: Object = {"name": CONTAINER, "state": state, "restartCount": 0}
        status["containerID"] = f"containerd://{number:064}"
        placed = owner not in self.unplaced
        condition = {"type": "PodScheduled", "status": str(placed), "message": "0/3 nodes are available"}
        self.pods[pod] = {
            "owner": owner,
            "pid": 1000 + number,
            "metadata": {
                "name": pod,
                "namespace": self.namespace,
                "uid": f"u{number}",
                "labels": template["labels"],
                "annotations": self._attached(asked, number) if asked else {},
                "creationTimestamp": f"2026-01-01T00:00:{number:02}Z",
            },
            "spec": {**spec, "nodeName": node if placed else ""},
            "status": {
                "phase": "Running" if "running" in state else "Pending",
                "podIP": self.hosts[node].address if spec.get("hostNetwork") else f"10.244.0.{number}",
                "containerStatuses": [status] if placed else [],
                "conditions": [condition],
            },
        }


def _ended(pod: Object) -> Object:
    status = {**pod["status"], "containerStatuses": [{"name": CONTAINER, "state": {"terminated": {}}}]}
    metadata = {**pod["metadata"], "deletionTimestamp": "2026-01-01T00:01:00Z"}
    return {**pod, "metadata": metadata, "status": status}


class ForeignKubernetes(FakeKubernetes):
    """One that was there before us: its nodes are called otherwise, and only its API answers."""

    def __init__(self, client: tuple[str, ...]) -> None:
        super().__init__()
        self.client = client
        self.called = {name: f"worker-{name}" for name in self.hosts}
        self.seats = {name: FakeSeats(name, host.address) for name, host in self.hosts.items()}
        self.api = FakeHost(self, "kubectl", "", rights=frozenset())
        self.hosts = {self.called[name]: host for name, host in self.hosts.items()}

    def cluster(self, run: str) -> Cluster:
        hosts: dict[str, Host] = dict(self.seats)
        return Cluster(f"harness-{run}", run, "existing", hosts, api=self.api, called=self.called)
