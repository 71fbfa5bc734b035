"""A control plane of Kubernetes that faults can strike: kubectl and systemctl answer as far as faults look."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.faults._kubectl import CONFIG
from harness.faults.delete_pod import KEPT
from harness.faults.drain import LABEL, REPLICATED
from harness.faults.stop_kubelet import STOPPED
from harness.ports import Result

OK, NO = Result(0, "", ""), Result(1, "", "no")
MANAGER = "n1"
SPACE = "harness-r1"


@dataclass
class Plane:
    """On every node a pod of a Deployment, `web`, and one that stands by itself, `alone`; n1 is the control plane.

    A pod of a Deployment that is deleted or evicted is made anew at once, on its node if that takes pods.
    """

    nodes: Sequence[str]
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    shut: set[str] = field(default_factory=set)
    labelled: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    marked: set[str] = field(default_factory=set)
    made: int = 0

    def __post_init__(self) -> None:
        for node in self.nodes:
            self._web(node)
            self.apply(alone(node))

    def _web(self, node: str) -> None:
        self.made += 1
        labels = {"harness.run": "r1", "harness.service": "web", REPLICATED: "1"}
        metadata = {"name": f"web-{self.made}", "namespace": SPACE, "labels": labels, "ownerReferences": [{}]}
        self._add({"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}})

    def _add(self, pod: dict[str, Any]) -> None:
        self.made += 1
        pod["metadata"]["uid"] = f"uid-{self.made}"
        self.pods[pod["metadata"]["name"]] = pod

    def apply(self, thing: dict[str, Any]) -> None:
        if thing["kind"] == "ConfigMap":
            self.kept[thing["metadata"]["name"]] = thing
            return
        applied = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(thing)}
        self._add({**thing, "metadata": {**thing["metadata"], "annotations": applied}})

    def remove(self, name: str) -> None:
        pod = self.pods.pop(name)
        node = pod["spec"]["nodeName"]
        if pod["metadata"].get("ownerReferences") and node not in self.shut:
            self._web(node)

    def kubectl(self, argv: Sequence[str], stdin: bytes) -> Result:
        words = list(argv[3:])
        assert list(argv[1:3]) == ["--kubeconfig", CONFIG]
        if words[:1] == ["--namespace"]:
            assert words[1] == SPACE
            words = words[2:]
        match words:
            case ["get", "pods", "--all-namespaces", "--selector", selector, "--field-selector", where, *_]:
                return _listed(self._selected(selector.split(","), where.removeprefix("spec.nodeName=")))
            case ["get", "pod", name, *_]:
                return Result(0, json.dumps(self.pods[name]) if name in self.pods else "", "")
            case ["get", "configmaps", "--all-namespaces", "--selector", selector, *_]:
                assert selector == f"harness.run=r1,{KEPT}"
                return _listed(list(self.kept.values()))
            case ["get", "node", name, *_]:
                labels = {LABEL: "r1"} if name in self.labelled else {}
                row = {"metadata": {"labels": labels}, "spec": {"unschedulable": name in self.shut}}
                return Result(0, json.dumps(row), "")
            case ["get", "nodes", "--selector", selector, *_]:
                assert selector == f"{LABEL}=r1"
                return Result(0, "".join(f"node/{node}\n" for node in sorted(self.labelled)), "")
            case ["get", "nodes", "--field-selector", "spec.unschedulable=true", *_]:
                return Result(0, "".join(f"node/{node}\n" for node in sorted(self.shut)), "")
            case _:
                return self._change(words, stdin)

    def _change(self, words: list[str], stdin: bytes) -> Result:
        match words:
            case ["apply", "-f", "-"]:
                self.apply(json.loads(stdin))
            case ["delete", "pod", *names, "--wait=false"]:
                for name in names:
                    self.remove(name)
            case ["delete", "configmap", name, "--ignore-not-found"]:
                self.kept.pop(name, None)
            case ["label", "node", node, change, "--overwrite"]:
                assert change == f"{LABEL}=r1"
                self.labelled.add(node)
            case ["label", node, change]:
                assert change == f"{LABEL}-"
                self.labelled.discard(node.removeprefix("node/"))
            case ["uncordon", node]:
                self.shut.discard(node.removeprefix("node/"))
            case ["drain", node, *_]:
                self.shut.add(node)
                for pod in self._selected([REPLICATED], node):
                    self.remove(pod["metadata"]["name"])
            case _:
                return Result(1, "", f"unknown: {words}")
        return OK

    def _selected(self, selector: Sequence[str], node: str) -> list[dict[str, Any]]:
        def fits(pod: dict[str, Any]) -> bool:
            labels = pod["metadata"]["labels"]
            wanted = [part.split("=") for part in selector]
            return all(key in labels and (not value or labels[key] == value[0]) for key, *value in wanted)

        return [pod for pod in self.pods.values() if pod["spec"]["nodeName"] == node and fits(pod)]

    def systemctl(self, node: str) -> Callable[[Sequence[str], bytes], Result]:
        def systemctl(argv: Sequence[str], _stdin: bytes) -> Result:
            match list(argv[1:]):
                case ["show", *_, "kubelet"]:
                    return Result(0, "inactive" if node in self.stopped else "active", "")
                case ["stop", "kubelet"]:
                    self.stopped.add(node)
                case ["start", "kubelet"]:
                    self.stopped.discard(node)
                case _:
                    return NO
            return OK

        return systemctl

    def file(self, node: str, argv: Sequence[str]) -> Result | None:
        """None for files of others."""
        match list(argv):
            case ["test", "-e", path] if path == CONFIG:
                return OK if node == MANAGER else NO
            case ["test", "-e", path] if path == STOPPED:
                return OK if node in self.marked else NO
            case ["touch", path] if path == STOPPED:
                self.marked.add(node)
                return OK
            case ["rm", "-f", path] if path == STOPPED:
                self.marked.discard(node)
                return OK
        return None


def alone(node: str) -> dict[str, Any]:
    labels = {"harness.run": "r1", "harness.service": "alone"}
    metadata = {"name": f"alone-{node}", "namespace": SPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}}


def _listed(rows: list[dict[str, Any]]) -> Result:
    return Result(0, json.dumps({"items": rows}), "")
