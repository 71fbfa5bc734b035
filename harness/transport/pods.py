"""Pods on their way out, seen to their end.

A kubelet may take a minute to tell the API that a pod is gone whose containers have ended long before (1.20: what
is left is seen again by its resync, each 60 to 90 s). So once the API itself says that nothing of a pod runs any
more, its object is removed without asking the kubelet again (`kubectl delete --force`). Not so where the kubelet
has mounted something for it: that must be unmounted before its claim or its server goes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from harness.model.errors import CommandFailed, DeadlineExceeded
from harness.ports import Host

#: kubectl costs half a second of a processor each time.
POLL_S = 1.0
CALL_TIMEOUT_S = 30.0
#: Volumes for which a kubelet mounts nothing that is not its own (core/v1, Volume).
LOCAL = frozenset({"emptyDir", "hostPath", "configMap", "secret", "downwardAPI", "projected"})
_AT_ONCE = ("--grace-period=0", "--force", "--ignore-not-found", "--wait=false")


def await_gone(
    host: Host,
    kubectl: Sequence[str],
    selected: Sequence[str],
    *,
    timeout_s: float,
    only: Collection[str] | None = None,
) -> None:
    """Returns when no pod that `selected` (`--namespace`, `-l`) means is left, or none of those with the UIDs of
    `only`; they have been told to go, or will be by what made them. Raises DeadlineExceeded that names them,
    CommandFailed.
    """
    until = time.monotonic() + timeout_s
    while left := _pods(host, kubectl, selected, only):
        if time.monotonic() > until:
            told = ", ".join(sorted(row["metadata"]["name"] for row in left))
            raise DeadlineExceeded(f"still there after {timeout_s:g} s: {told}")
        for space, names in _ended(left).items():
            _must(host, (*kubectl, "--namespace", space, "delete", "pods", *names, *_AT_ONCE))
        time.sleep(POLL_S)


def _pods(
    host: Host, kubectl: Sequence[str], selected: Sequence[str], only: Collection[str] | None
) -> list[Mapping[str, Any]]:
    told = _must(host, (*kubectl, "get", "pods", *selected, "-o", "json"))
    rows: list[Mapping[str, Any]] = json.loads(told)["items"]
    return [row for row in rows if only is None or row["metadata"]["uid"] in only]


def _ended(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """By namespace, pods that were told to go and of which nothing runs: no node took them, or one says so."""
    found: dict[str, list[str]] = {}
    for row in rows:
        states = [status.get("state", {}) for status in row["status"].get("containerStatuses", ())]
        is_still = bool(states) and not any("running" in state for state in states)
        is_free = not row["spec"].get("nodeName") or (is_still and not _mounts(row))
        if row["metadata"].get("deletionTimestamp") and is_free:
            found.setdefault(row["metadata"]["namespace"], []).append(row["metadata"]["name"])
    return found


def _mounts(row: Mapping[str, Any]) -> bool:
    """Whether the pod has a volume that comes from elsewhere than its node and the API."""
    kinds = {kind for volume in row["spec"].get("volumes", ()) for kind in volume if kind != "name"}
    return not kinds <= LOCAL


def _must(host: Host, argv: Sequence[str]) -> str:
    result = host.run(argv, timeout_s=CALL_TIMEOUT_S)
    if not result.ok:
        raise CommandFailed(list(argv), result.code, result.output, where=host.name)
    return result.stdout
