"""`delete-pod`: the pods of a service on the targets are deleted, as by `kubectl delete pod`.

Those of Deployments and DaemonSets are made anew by their controllers, with other names and addresses. A pod that
stands by itself is made again by the healing. Until then a ConfigMap holds what was deleted, so that whoever heals
needs to know nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from harness.faults import _kubectl
from harness.faults._tuned import Params, Tuned
from harness.model.errors import EnvironmentBroken
from harness.model.plan import LABEL, Demand
from harness.ports import Cluster, Felt, Right

#: The label of ConfigMaps that hold what this fault deleted.
KEPT = "harness.fault=delete-pod"
NAME_END = "-deleted-pods"
#: What kubectl apply was given (kubectl(1), "last-applied-configuration").
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_GONE_TIMEOUT_S = 30.0


class DeletePodParams(Params):
    service: str | None = Field(None, description="Whose pods; default: those of all services")


@dataclass(frozen=True)
class DeletePod(Tuned):
    name: str = "delete-pod"
    orchestrator: str = "kubernetes"
    rights: frozenset[Right] = frozenset({"pods"})
    service: str | None = None
    params: type[BaseModel] = DeletePodParams

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        """The ConfigMap comes first: whoever is killed in between leaves nothing that cannot be made again."""
        del direction  # who is gone neither sends nor receives
        api = _kubectl.api(cluster, self.name, "pods", timeout_s)
        selector = f"{_kubectl.SERVICE}={self.service}" if self.service else ""
        struck = {node: api.pods(node, selector, timeout_s) for node in targets}
        empty = [node for node, found in struck.items() if not found]
        if empty:
            what = f"of service {self.service}" if self.service else "of ours"
            raise EnvironmentBroken(f"the fault delete-pod: no pod {what} runs on {', '.join(empty)}")
        rows = [row for found in struck.values() for row in found]
        for space in sorted({row["metadata"]["namespace"] for row in rows}):
            own = [row for row in rows if row["metadata"]["namespace"] == space]
            kept = json.dumps(_kept(cluster, space, own)).encode()
            api.kubectl("apply", "-f", "-", timeout_s=timeout_s, stdin=kept)
            names = [row["metadata"]["name"] for row in own]
            api.kubectl("--namespace", space, "delete", "pod", *names, "--wait=false", timeout_s=timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """Something was deleted on every target, and none of it is there any more but on its way out."""
        del direction
        api = _kubectl.api(cluster, self.name, "pods", timeout_s)
        deleted = [entry for kept in _all_kept(api, timeout_s) for entry in _entries(kept)]
        counts, left = {}, 0
        for node in targets:
            there = {row["metadata"]["uid"] for row in api.pods(node, "", timeout_s)}
            own = {entry["uid"] for entry in deleted if entry["node"] == api.node(node)}
            counts[node] = len(own - there)
            left += len(own & there)
        told = ", ".join(f"{count} pods of {node} were deleted" for node, count in counts.items())
        return Felt(all(counts.values()) and not left, told)

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        api = _kubectl.any_api(cluster, self.name, "pods", timeout_s)
        if api is None:
            return []
        undone = []
        for kept in _all_kept(api, timeout_s):
            space, name = kept["metadata"]["namespace"], kept["metadata"]["name"]
            alone = [entry["manifest"] for entry in _entries(kept) if entry["manifest"]]
            for manifest in alone:
                _make_again(api, manifest, timeout_s)
            forget = ("--namespace", space, "delete", "configmap", name, "--ignore-not-found")
            api.kubectl(*forget, timeout_s=timeout_s)
            made = f", of which {len(alone)} were made again" if alone else ""
            undone.append(f"{len(_entries(kept))} pods of {space} had been deleted{made}")
        return undone


def _make_again(api: _kubectl.Api, manifest: Mapping[str, Any], timeout_s: float) -> None:
    """Once the old one is gone: a name is given to one pod at a time."""
    metadata = manifest["metadata"]
    where = ("--namespace", metadata["namespace"])
    gone = ("wait", "--for=delete", f"pod/{metadata['name']}", f"--timeout={_GONE_TIMEOUT_S:g}s")
    asked = (*where, "get", "pod", metadata["name"], "--ignore-not-found", "-o", "json")
    found = api.kubectl(*asked, timeout_s=timeout_s)
    if found.strip() and not json.loads(found)["metadata"].get("deletionTimestamp"):
        return  # made again already, by a healing that was cut short
    if found.strip():
        api.kubectl(*where, *gone, timeout_s=_GONE_TIMEOUT_S + timeout_s)
    api.kubectl("apply", "-f", "-", timeout_s=timeout_s, stdin=json.dumps(manifest).encode())


def _kept(cluster: Cluster, space: str, rows: Sequence[_kubectl.Row]) -> dict[str, Any]:
    key, value = KEPT.split("=")
    entries = [
        {
            "uid": row["metadata"]["uid"],
            "node": row["spec"]["nodeName"],
            "manifest": _manifest(row),
        }
        for row in rows
    ]
    labels = {LABEL: cluster.run, key: value}
    metadata = {"name": f"{cluster.name}{NAME_END}", "namespace": space, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"pods": json.dumps(entries)}}


def _manifest(row: _kubectl.Row) -> Mapping[str, Any] | None:
    """None for a pod that has a controller."""
    if row["metadata"].get("ownerReferences"):
        return None
    applied: Mapping[str, Any] = json.loads(row["metadata"]["annotations"][_APPLIED])
    return applied


def _all_kept(api: _kubectl.Api, timeout_s: float) -> list[_kubectl.Row]:
    listed = ("get", "configmaps", *api.everywhere, "--selector", f"{LABEL}={api.run},{KEPT}", "-o", "json")
    rows: list[_kubectl.Row] = json.loads(api.kubectl(*listed, timeout_s=timeout_s))["items"]
    return rows


def _entries(kept: _kubectl.Row) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(kept["data"]["pods"])
    return entries


FAULT = DeletePod()
