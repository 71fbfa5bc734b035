"""Collectors: one command each, on every node and on the wire, all nodes at once; what fails is told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from harness.evidence import capturing
from harness.evidence.redacting import redact
from harness.model.errors import EnvironmentBroken
from harness.ports import Cluster, Host, Progress
from harness.transport.parallel import at_once

#: Of one collector on one node; the rest is cut off, and the file says so.
MAX_BYTES = 1 << 20
COLLECTOR_TIMEOUT_S = 10.0
#: Every namespace of the node's engine: its overlays and the containers' own.
_SPACES = (
    'for space in /run/docker/netns/*; do [ -e "$space" ] || continue; echo "== $space"; '
    'nsenter --net="$space" sh -c "{}"; done'
)
COLLECTORS: Mapping[str, str] = {
    "engine": "docker version; docker info",
    "containers": "docker ps --all --no-trunc",
    "networks": "docker network ls -q | xargs -r docker network inspect",
    "swarm": "docker node ls; docker service ls; docker service ls -q | xargs -rn1 docker service ps --no-trunc",
    "links": "ip -d -s link show; ip address show",
    "routes": "ip route show table all; ip -6 route show table all",
    "neighbours": "ip neigh show; " + _SPACES.format("ip neigh show"),
    "fdb": "bridge fdb show; " + _SPACES.format("bridge fdb show"),
    "overlay-links": _SPACES.format("ip -d -s link show; ip address show; ip route show"),
    "nft": "nft list ruleset; iptables-save",
    "ipvs": "cat /proc/net/ip_vs /proc/net/ip_vs_stats; " + _SPACES.format("cat /proc/net/ip_vs 2>/dev/null"),
    "xfrm": "ip -s xfrm state; ip xfrm policy",
    "qdiscs": "tc -s qdisc show",
    "conntrack": "cat /proc/net/nf_conntrack | head -n 5000",
    "sockets": "ss -tuanp",
    "sysctls": "sysctl -a 2>/dev/null | grep -E '^(net|vm|fs)\\.'",
    "mounts": "cat /proc/self/mountinfo; df -h",
    "processes": "ps axo pid,ppid,stat,rss,time,args",
    "dmesg": "dmesg | tail -n 500",
}
WIRE_COLLECTORS = ("links", "nft", "qdiscs", "dmesg")


def collect(
    cluster: Cluster,
    into: Path,
    progress: Progress,
    *,
    budget_s: float,
    captures: Mapping[str, str] | None = None,
    capture_s: float = 5.0,
) -> list[str]:
    """Write `into/<node>/<what>.txt` of every node, and of the wire; returns what could not be had.

    No collector starts once `budget_s` is over, and none raises: whoever collects is looking at something broken.
    `captures` maps a network to its name at the engine: its packets for `capture_s`, as `capturing` keeps them.
    """
    deadline = time.monotonic() + budget_s
    nodes = [partial(_node, host, into / name, list(COLLECTORS), deadline) for name, host in cluster.hosts.items()]
    if cluster.wire is not None:
        nodes.append(partial(_node, cluster.wire.host, into / "wire", list(WIRE_COLLECTORS), deadline))
    nodes.append(partial(_captured, cluster, into, captures or {}, capture_s))
    failed = [line for lines in at_once(nodes) for line in lines]
    progress(
        f"evidence of {len(cluster.hosts)} nodes in {into}" + (f", {len(failed)} parts missing" if failed else "")
    )
    return failed


def _node(host: Host, folder: Path, names: list[str], deadline: float) -> list[str]:
    failed = []
    for name in names:
        left_s = deadline - time.monotonic()
        why = _one(host, folder / f"{name}.txt", COLLECTORS[name], left_s) if left_s > 0 else "no time was left"
        if why:
            failed.append(f"{folder.name}: {name}: {why}")
    return failed


def _one(host: Host, file: Path, script: str, left_s: float) -> str:
    """Why it could not be had; empty where it is there."""
    bounded = f"{{ {script}\n}} 2>&1 | head -c {MAX_BYTES}"
    try:
        result = host.run(["sh", "-c", bounded], timeout_s=min(left_s, COLLECTOR_TIMEOUT_S))
        cut = "\n(cut off here)\n" if len(result.stdout) >= MAX_BYTES else ""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"$ {script}\n{redact(result.stdout)}{cut}")
    except (EnvironmentBroken, OSError) as error:
        return str(error).splitlines()[0]
    return ""


def _captured(cluster: Cluster, into: Path, captures: Mapping[str, str], capture_s: float) -> list[str]:
    if not captures:
        return []
    failed = capturing.start(cluster, captures)
    time.sleep(capture_s)
    return failed or capturing.save(cluster, captures, into)
