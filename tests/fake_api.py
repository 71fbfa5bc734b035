"""A Kubernetes that exists, as kubectl shows it: as much as the provider asks for, in memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.model.errors import DeadlineExceeded
from harness.ports import Progress, Result
from harness.providers.kube_access import Access
from harness.transport.kubectl import KubectlHost

Object = dict[str, Any]
#: Kinds by the words of kubectl.
KINDS = {
    "namespaces": "Namespace",
    "namespace": "Namespace",
    "configmaps": "ConfigMap",
    "daemonsets": "DaemonSet",
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "pods": "Pod",
    "services": "Service",
    "networkpolicies": "NetworkPolicy",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "network-attachment-definitions.k8s.cni.cncf.io": "NetworkAttachmentDefinition",
    "events": "Event",
}


@dataclass
class World:
    """What the cluster holds, and what it lets us do. Its nodes are taken by every DaemonSet at once."""

    nodes: list[str] = field(default_factory=lambda: ["theirs-10", "theirs-2"])
    denied: set[tuple[str, str]] = field(default_factory=set)
    #: Words of an event for pods in the nodes' network, where they are not allowed.
    no_host_network: str = ""
    #: And for all others.
    no_pods: str = ""
    #: What the containers of pods wait for, instead of running.
    waiting: str = ""
    #: And what is said of that.
    waiting_words: str = ""
    silent: str = ""
    has_multus: bool = False
    #: Nodes that take no new pods, with the run that shut them; empty where it was somebody else.
    shut: dict[str, str] = field(default_factory=dict)
    #: How many looks at a namespace that was told to go are not answered in time.
    slow: int = 0
    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    #: Says which call is answered by an error: the first word, and a word among the rest.
    fails: tuple[str, str] | None = None
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))


class FakeApi(KubectlHost):
    """Answers kubectl from a World."""

    def __init__(self, world: World) -> None:
        super().__init__("kubectl")
        object.__setattr__(self, "world", world)

    world: World

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        assert argv[0] == "kubectl"
        assert timeout_s > 0
        words = list(argv[1:])
        while words[0].startswith("--") and words[0] not in ("--namespace",):
            words = words[2:]
        space = ""
        if words[0] == "--namespace":
            space, words = words[1], words[2:]
        self.world.asked.append(tuple(words))
        if self.world.silent:
            return Result(1, "", self.world.silent)
        if self.world.fails and words[0] == self.world.fails[0] and self.world.fails[1] in stdin.decode():
            return Result(1, "", "Error from server: no space left on device")
        verb = getattr(self, f"_{words[0].replace('-', '_')}")
        answer: Result = verb(space or _after(words, "--namespace"), words[1:], stdin)
        return answer

    def _version(self, *_: object) -> Result:
        return Result(0, json.dumps({"serverVersion": {"gitVersion": "v1.31.0"}}), "")

    def _create(self, _space: str, _words: list[str], stdin: bytes) -> Result:
        made = json.loads(stdin)
        if made["kind"] != "List":
            self._put(made)
            return Result(0, "", "")
        answers = [{**item, "status": {"allowed": self._allows(item)}} for item in made["items"]]
        return Result(0, "\n".join(json.dumps(answer, indent=1) for answer in answers), "")

    def _allows(self, item: Object) -> bool:
        asked = item["spec"]["resourceAttributes"]
        whole = "/".join(filter(None, (asked["resource"], asked["subresource"])))
        return (asked["verb"], whole) not in self.world.denied

    def _apply(self, _space: str, _words: list[str], stdin: bytes) -> Result:
        self._put(json.loads(stdin))
        return Result(0, "", "")

    def _put(self, made: Object) -> None:
        whole = {**made, "metadata": {**made["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"}}
        meta = whole["metadata"]
        meta["uid"] = f"u{next(self.world.numbers)}"
        self.world.objects[made["kind"], meta.get("namespace", ""), meta["name"]] = whole
        if made["kind"] == "DaemonSet":
            self._schedule(whole)

    def _schedule(self, made: Object) -> None:
        spec = made["spec"]["template"]["spec"]
        terms = spec.get("affinity", {}).get("nodeAffinity", {})
        required = terms.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", ())
        only = [name for term in required for name in term["matchFields"][0]["values"]]
        wanted = [node for node in self.world.nodes if not only or node in only]
        made["metadata"]["generation"] = 1
        made["status"] = {"observedGeneration": 1, "desiredNumberScheduled": len(wanted)}
        space, name = made["metadata"]["namespace"], made["metadata"]["name"]
        self.world.objects = {k: o for k, o in self.world.objects.items() if o.get("owner") != (space, name)}
        if refusal := self.world.no_host_network if spec["hostNetwork"] else self.world.no_pods:
            event = {
                "kind": "Event",
                "type": "Warning",
                "reason": "FailedCreate",
                "message": refusal,
                "metadata": {"name": f"e{next(self.world.numbers)}", "namespace": space, "labels": {}},
                "involvedObject": {"name": name, "uid": made["metadata"]["uid"]},
            }
            self.world.objects["Event", space, event["metadata"]["name"]] = event  # type: ignore[index]
            return
        for node in wanted:
            self._start(space, name, node, made["spec"]["template"], spec["hostNetwork"])

    def _start(self, space: str, owner: str, node: str, template: Object, in_node: bool) -> None:
        number = next(self.world.numbers)
        state = (
            {"waiting": {"reason": self.world.waiting, "message": self.world.waiting_words}}
            if self.world.waiting
            else {"running": {}}
        )
        self.world.objects["Pod", space, f"{owner}-{number}"] = {
            "kind": "Pod",
            "owner": (space, owner),
            "metadata": {
                "name": f"{owner}-{number}",
                "namespace": space,
                "uid": f"u{number}",
                "labels": template["metadata"]["labels"],
            },
            "spec": {"nodeName": node, "hostNetwork": in_node},
            "status": {
                "phase": "Pending" if self.world.waiting else "Running",
                "hostIP": f"192.0.2.{1 + self.world.nodes.index(node)}",
                "containerStatuses": [{"state": state}],
            },
        }

    def _address(self, node: str) -> str:
        return f"192.0.2.{1 + self.world.nodes.index(node)}"

    def _get(self, space: str, words: list[str], _stdin: bytes) -> Result:
        if words[0] == "namespaces" and self.world.slow and any("namespace" in each for each in self.world.asked):
            self.world.slow -= 1
            raise DeadlineExceeded("kubectl did not end")
        if words[0] == "nodes":
            run = _after(words, "--selector").partition("=")[2]
            return Result(0, "".join(f"node/{node}\n" for node, by in self.world.shut.items() if by == run), "")
        return Result(0, json.dumps({"items": list(self._found(space, words))}), "")

    def _found(self, space: str, words: list[str]) -> Iterator[Object]:
        kinds = {KINDS[word] for word in words[0].split(",")}
        selector = dict(part.partition("=")[::2] for part in _after(words, "-l").split(",") if part)
        for (kind, where, _), each in list(self.world.objects.items()):
            labels = each["metadata"].get("labels", {})
            if (
                kind in kinds
                and where == space
                and all(labels.get(key) == value for key, value in selector.items())
            ):
                yield each

    def _delete(self, space: str, words: list[str], _stdin: bytes) -> Result:
        named = [word for word in words[1:2] if not word.startswith("-")]
        found = [each for each in self._found(space, words) if not named or each["metadata"]["name"] in named]
        for each in found:
            self._remove(each)
        return Result(0, "".join(f"{e['kind'].lower()}/{e['metadata']['name']}\n" for e in found), "")

    def _remove(self, each: Object) -> None:
        """With it goes what it made; with a namespace all that is in it."""
        meta = each["metadata"]
        where, name = meta.get("namespace", ""), meta["name"]
        self.world.objects = {
            key: other
            for key, other in self.world.objects.items()
            if other is not each
            and other.get("owner") != (where, name)
            and not (each["kind"] == "Namespace" and key[1] == name)
        }

    def _api_resources(self, _space: str, words: list[str], _stdin: bytes) -> Result:
        assert words[0] == "--api-group=k8s.cni.cncf.io"
        return Result(0, "network-attachment-definitions.k8s.cni.cncf.io\n" if self.world.has_multus else "", "")

    def _uncordon(self, _space: str, words: list[str], _stdin: bytes) -> Result:
        del self.world.shut[words[0].removeprefix("node/")]
        return Result(0, "", "")

    def _label(self, _space: str, words: list[str], _stdin: bytes) -> Result:
        assert words[1].endswith("-")
        return Result(0, "", "")

    def _logs(self, *_: object) -> Result:
        return Result(0, "it said this\n", "")


def _after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1] if flag in words else ""


@dataclass(frozen=True)
class FakeAccess(Access):
    """Access to a World."""

    world: World = field(default_factory=World)

    def api(self, progress: Progress) -> KubectlHost:
        return FakeApi(self.world)


def access(world: World, namespace: str | None = None) -> FakeAccess:
    return FakeAccess(Path("/etc/theirs"), "prod", namespace, world)
