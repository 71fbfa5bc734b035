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
from harness.ports import Cluster, Felt, Host, Right

#: The label of ConfigMaps that hold what this fault deleted.
KEPT = "harness.fault=delete-pod"
NAME = "harness-deleted-pods"
#: What kubectl apply was given (kubectl(1), "last-applied-configuration").
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_GONE_TIMEOUT_S = 30.0


class DeletePodParams(Params):
    service: str | None = Field(None, description="Whose pods; default: those of all services")


@dataclass(frozen=True)
class DeletePod(Tuned):
    name: str = "delete-pod"
    rights: frozenset[Right] = frozenset({"shell"})
    service: str | None = None
    params: type[BaseModel] = DeletePodParams

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        """The ConfigMap comes first: whoever is killed in between leaves nothing that cannot be made again."""
        del direction  # who is gone neither sends nor receives
        host = _kubectl.control_plane(cluster, self.name, timeout_s)
        selector = f"harness.service={self.service}" if self.service else ""
        struck = {node: _kubectl.pods(host, node, selector, timeout_s) for node in targets}
        empty = [node for node, found in struck.items() if not found]
        if empty:
            what = f"of service {self.service}" if self.service else "of ours"
            raise EnvironmentBroken(f"the fault delete-pod: no pod {what} runs on {', '.join(empty)}")
        rows = [row for found in struck.values() for row in found]
        for space in sorted({row["metadata"]["namespace"] for row in rows}):
            own = [row for row in rows if row["metadata"]["namespace"] == space]
            kept = json.dumps(_kept(cluster.run, space, own)).encode()
            _kubectl.kubectl(host, "apply", "-f", "-", timeout_s=timeout_s, stdin=kept)
            names = [row["metadata"]["name"] for row in own]
            _kubectl.kubectl(
                host, "--namespace", space, "delete", "pod", *names, "--wait=false", timeout_s=timeout_s
            )

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """Something was deleted on every target, and none of it is there any more but on its way out."""
        del direction
        host = _kubectl.control_plane(cluster, self.name, timeout_s)
        deleted = [entry for kept in _all_kept(host, timeout_s) for entry in _entries(kept)]
        counts, left = {}, 0
        for node in targets:
            there = {row["metadata"]["uid"] for row in _kubectl.pods(host, node, "", timeout_s)}
            own = {entry["uid"] for entry in deleted if entry["node"] == node}
            counts[node] = len(own - there)
            left += len(own & there)
        told = ", ".join(f"{count} pods of {node} were deleted" for node, count in counts.items())
        return Felt(all(counts.values()) and not left, told)

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        host = _kubectl.any_control_plane(cluster, self.name, timeout_s)
        if host is None:
            return []
        undone = []
        for kept in _all_kept(host, timeout_s):
            space, name = kept["metadata"]["namespace"], kept["metadata"]["name"]
            alone = [entry["manifest"] for entry in _entries(kept) if entry["manifest"]]
            for manifest in alone:
                _make_again(host, manifest, timeout_s)
            _kubectl.kubectl(
                host, "--namespace", space, "delete", "configmap", name, "--ignore-not-found", timeout_s=timeout_s
            )
            made = f", of which {len(alone)} were made again" if alone else ""
            undone.append(f"{len(_entries(kept))} pods of {space} had been deleted{made}")
        return undone


def _make_again(host: Host, manifest: Mapping[str, Any], timeout_s: float) -> None:
    """Once the old one is gone: a name is given to one pod at a time."""
    metadata = manifest["metadata"]
    where = ("--namespace", metadata["namespace"])
    gone = ("wait", "--for=delete", f"pod/{metadata['name']}", f"--timeout={_GONE_TIMEOUT_S:g}s")
    found = _kubectl.kubectl(
        host, *where, "get", "pod", metadata["name"], "--ignore-not-found", "-o", "json", timeout_s=timeout_s
    )
    if found.strip() and not json.loads(found)["metadata"].get("deletionTimestamp"):
        return  # made again already, by a healing that was cut short
    if found.strip():
        _kubectl.kubectl(host, *where, *gone, timeout_s=_GONE_TIMEOUT_S + timeout_s)
    _kubectl.kubectl(host, "apply", "-f", "-", timeout_s=timeout_s, stdin=json.dumps(manifest).encode())


def _kept(run: str, space: str, rows: Sequence[_kubectl.Row]) -> dict[str, Any]:
    key, value = KEPT.split("=")
    entries = [
        {
            "uid": row["metadata"]["uid"],
            "node": row["spec"]["nodeName"],
            "manifest": _manifest(row),
        }
        for row in rows
    ]
    metadata = {"name": NAME, "namespace": space, "labels": {LABEL: run, key: value}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"pods": json.dumps(entries)}}


def _manifest(row: _kubectl.Row) -> Mapping[str, Any] | None:
    """None for a pod that has a controller."""
    if row["metadata"].get("ownerReferences"):
        return None
    applied: Mapping[str, Any] = json.loads(row["metadata"]["annotations"][_APPLIED])
    return applied


def _all_kept(host: Host, timeout_s: float) -> list[_kubectl.Row]:
    listed = ("get", "configmaps", "--all-namespaces", "--selector", KEPT, "-o", "json")
    rows: list[_kubectl.Row] = json.loads(_kubectl.kubectl(host, *listed, timeout_s=timeout_s))["items"]
    return rows


def _entries(kept: _kubectl.Row) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(kept["data"]["pods"])
    return entries


FAULT = DeletePod()
