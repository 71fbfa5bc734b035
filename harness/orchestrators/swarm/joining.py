"""From engines to one swarm; hosts that are one already are adopted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.model.errors import DeadlineExceeded, EnvironmentBroken
from harness.model.plan import LABEL, Plan
from harness.orchestrators.constraints import NODE_LABEL, ROLE_LABEL
from harness.orchestrators.hosts import each, failure, must, script, ticks
from harness.ports import Cluster, Host, Progress

INFO_TIMEOUT_S = 15.0
INIT_TIMEOUT_S = 60.0
JOIN_TIMEOUT_S = 60.0
READY_TIMEOUT_S = 90.0
PORT = 2377
_S = 10**9

_INFO = ("docker", "info", "--format", "{{json .Swarm}}")
_INIT = 'docker swarm init --advertise-addr "$1" --dispatcher-heartbeat "$2" >/dev/null'
_JOIN = 'read -r token && docker swarm join --advertise-addr "$1" --token "$token" "$2" >/dev/null'
_LABEL = "set -e; for spec; do docker node update $spec >/dev/null; done"


@dataclass(frozen=True)
class Member:
    """What an engine says about its swarm. `state` is inactive, pending, active, error or locked."""

    state: str
    node_id: str
    is_manager: bool
    heartbeat_ns: int

    @property
    def is_active(self) -> bool:
        return self.state == "active"


def join(cluster: Cluster, plan: Plan, progress: Progress) -> None:
    """Raises EnvironmentBroken where a host belongs to another swarm or does not become Ready."""
    manager = cluster.hosts[plan.managers[0]]
    members = each(cluster.hosts.values(), member)
    _start(manager, members[manager.name], plan, progress)
    _join_workers(cluster, manager, members, progress)
    members |= each([host for host in cluster.hosts.values() if not members[host.name].is_active], member)
    ids = {name: found.node_id for name, found in members.items()}
    _await_ready(manager, ids, READY_TIMEOUT_S * cluster.slowness, progress)
    _label(manager, plan, ids)


def member(host: Host) -> Member:
    """Raises CommandFailed where no engine answers."""
    info = json.loads(must(host, _INFO, timeout_s=INFO_TIMEOUT_S))
    spec = (info.get("Cluster") or {}).get("Spec") or {}
    return Member(
        state=info["LocalNodeState"],
        node_id=info["NodeID"],
        is_manager=bool(info.get("ControlAvailable")),
        heartbeat_ns=(spec.get("Dispatcher") or {}).get("HeartbeatPeriod", 0),
    )


def _start(manager: Host, found: Member, plan: Plan, progress: Progress) -> None:
    heartbeat_s = plan.topology.cluster.effective_heartbeat_s
    if found.state == "inactive":
        progress(f"{manager.name}: starts a swarm")
        must(manager, script(_INIT, manager.address, f"{heartbeat_s}s"), timeout_s=INIT_TIMEOUT_S)
    elif found.is_active and found.is_manager:
        progress(f"{manager.name}: is a manager already")
        _adopt_heartbeat(manager, found, plan, progress)
    else:
        raise EnvironmentBroken(
            f"{manager.name} is in a swarm (state {found.state}) and not a manager that works",
            hint=f"take it out on that host: docker swarm leave --force; then run again ({manager.name})",
        )


def _adopt_heartbeat(manager: Host, found: Member, plan: Plan, progress: Progress) -> None:
    """Ours is set as the topology says; a cluster that was there before us keeps its own."""
    wanted_s = plan.topology.cluster.effective_heartbeat_s
    if found.heartbeat_ns == wanted_s * _S:
        return
    if plan.provider == "existing":
        progress(f"{manager.name}: the swarm keeps its heartbeat of {found.heartbeat_ns / _S:g} s")
        return
    must(
        manager,
        ("docker", "swarm", "update", "--dispatcher-heartbeat", f"{wanted_s}s"),
        timeout_s=INIT_TIMEOUT_S,
    )


def _join_workers(cluster: Cluster, manager: Host, members: Mapping[str, Member], progress: Progress) -> None:
    new = [host for host in cluster.hosts.values() if not members[host.name].is_active and host is not manager]
    if not new:
        return
    token = must(manager, ("docker", "swarm", "join-token", "-q", "worker"), timeout_s=INFO_TIMEOUT_S)
    each(new, lambda host: _join_one(host, manager, token.strip(), progress))


def _join_one(host: Host, manager: Host, token: str, progress: Progress) -> None:
    """The token goes through standard input: neither a log nor an error sees it."""
    argv = script(_JOIN, host.address, f"{manager.address}:{PORT}")
    result = host.run(argv, timeout_s=JOIN_TIMEOUT_S, stdin=f"{token}\n".encode())
    if not result.ok:
        raise failure(host, argv, result, hint=f"can {host.name} reach {manager.address}:{PORT}?")
    progress(f"{host.name}: joined")


def _await_ready(manager: Host, ids: Mapping[str, str], within_s: float, progress: Progress) -> None:
    missing: list[str] = sorted(ids)
    for _ in ticks(within_s):
        rows = nodes(manager)
        _refuse_strangers(ids, rows)
        missing = [name for name in ids if rows[ids[name]]["Status"] != "Ready"]
        if not missing:
            progress(f"all {len(ids)} nodes are Ready")
            return
    raise DeadlineExceeded(f"not Ready within {within_s:g} s: {', '.join(missing)}")


def nodes(manager: Host) -> dict[str, dict[str, Any]]:
    """Rows of `docker node ls` by node id."""
    text = must(manager, ("docker", "node", "ls", "--format", "{{json .}}"), timeout_s=INFO_TIMEOUT_S)
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return {row["ID"]: row for row in rows}


def _refuse_strangers(ids: Mapping[str, str], rows: Mapping[str, Any]) -> None:
    strangers = sorted(name for name, node_id in ids.items() if node_id not in rows)
    if strangers:
        raise EnvironmentBroken(
            f"in another swarm than the manager: {', '.join(strangers)}",
            hint="on each of them: docker swarm leave --force; then run again",
        )


def _label(manager: Host, plan: Plan, ids: Mapping[str, str]) -> None:
    specs = [
        f"--label-add {NODE_LABEL}={node.name} --label-add {ROLE_LABEL}={node.role} "
        f"--label-add {LABEL}={plan.run} {ids[node.name]}"
        for node in plan.nodes
    ]
    must(manager, script(_LABEL, *specs), timeout_s=INIT_TIMEOUT_S)
