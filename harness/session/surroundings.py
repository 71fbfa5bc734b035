"""Where a run took place, for env.json and the report: versions, addresses, how well clocks are known."""

from __future__ import annotations

import platform
from functools import partial
from typing import Any

from harness import __version__
from harness.model.clocks import HostClock, clocks_of
from harness.model.history import History
from harness.ports import Host
from harness.session.clusters import Live
from harness.session.options import Options
from harness.transport.kubectl import PodHost
from harness.transport.parallel import at_once

ENGINE_TIMEOUT_S = 10.0


def of_machine(options: Options) -> dict[str, Any]:
    """Known before anything is made."""
    return {"harness": __version__, "python": platform.python_version(), "no_skip": options.no_skip}


def of_cluster(live: Live) -> dict[str, Any]:
    hosts = live.cluster.hosts
    nodes = dict(zip(hosts, at_once([partial(_node_facts, host) for host in hosts.values()]), strict=True))
    woken = {"woken": live.cluster.woken} if live.cluster.woken else {}
    return {"cluster": live.cluster.name, "rights": sorted(live.cluster.rights), "nodes": nodes, **woken}


def _node_facts(host: Host) -> dict[str, str]:
    if isinstance(host, PodHost):
        told = host.run(["uname", "-r"], timeout_s=ENGINE_TIMEOUT_S).stdout.strip()
        return {"address": host.address, "kernel": told, "engine": f"Kubernetes {host.version}"}
    engine = "docker version --format '{{.Server.Version}}' 2>/dev/null || kubelet --version"
    ask = ["sh", "-c", f"uname -r; {engine}"]
    kernel, _, version = host.run(ask, timeout_s=ENGINE_TIMEOUT_S).stdout.strip().partition("\n")
    return {"address": host.address, "kernel": kernel, "engine": version.strip()}


def of_clocks(history: History) -> dict[str, Any]:
    """By host that has a clock of its own: how often and how well it was measured, and by how much its rows may be
    off. Empty where all hosts have one clock.
    """
    return {host: _clock_note(clock, history, host) for host, clock in clocks_of(history).items()}


def _clock_note(clock: HostClock, history: History, host: str) -> dict[str, Any]:
    errors = history.only(host=host)["err_ns"]
    return {
        "measured": len(clock.at),
        "best_ms": round(clock.error_ns / 1e6, 3),
        "worst_ms": round(int(errors.max(initial=0)) / 1e6, 3),
    }
