"""`partition`: frames between the targets and all other nodes are dropped on the wire, one way or both.

By nft rules in the bridge family's forward hook, on the ports that lead to the nodes: what the machine itself says
to a node (the control channel) passes other hooks and is exempt. nft(8), "BRIDGE ADDRESS FAMILY".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from harness.faults._rights import wire_of
from harness.model.errors import CommandFailed
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Host, Right
from harness.transport.parallel import at_once


@dataclass(frozen=True)
class Partition:
    name: str = "partition"
    rights: frozenset[Right] = frozenset({"wire"})

    def demands(self) -> list[Demand]:
        return [Demand("nft-bridge", "fault partition")]

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        wire = wire_of(cluster, self.name)
        ports = dict(
            zip(cluster.hosts, at_once([partial(wire.port, node) for node in cluster.hosts]), strict=True)
        )
        inner = [ports[node] for node in targets]
        outer = [port for node, port in ports.items() if node not in targets]
        ruleset = render(table(cluster), inner, outer, direction)
        _nft(wire.host, ["-f", "-"], timeout_s, stdin=ruleset)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """Frames were dropped, and a target cannot reach another node (nor be reached: a ping needs both ways)."""
        del direction
        wire = wire_of(cluster, self.name)
        target = targets[0]
        peer = next(node for node in cluster.hosts if node not in targets)
        ping = ["ping", "-c", "1", "-W", "0.4", cluster.hosts[peer].address]
        cut = not cluster.hosts[target].run(ping, timeout_s=timeout_s).ok
        listed = _nft(wire.host, ["-j", "list", "table", "bridge", table(cluster)], timeout_s)
        dropped = sum(_counters(json.loads(listed)["nftables"]))
        answer = "no answer" if cut else "an answer"
        return Felt(cut and dropped > 0, f"{dropped} frames dropped; ping {target} to {peer}: {answer}")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        host = wire_of(cluster, self.name).host
        rows = json.loads(_nft(host, ["-j", "list", "tables"], timeout_s))["nftables"]
        tables = [(row["table"]["family"], row["table"]["name"]) for row in rows if "table" in row]
        if ("bridge", table(cluster)) not in tables:
            return []
        _nft(host, ["delete", "table", "bridge", table(cluster)], timeout_s)
        return [f"removed the nft table bridge {table(cluster)}"]


def table(cluster: Cluster) -> str:
    """The table's name carries the cluster's: it is its label."""
    return cluster.name


def render(name: str, inner: Sequence[str], outer: Sequence[str], direction: str) -> str:
    """The nft ruleset; `in` drops what goes to the inner ports, `out` what comes from them."""
    rules = list(_rules(inner, outer, direction))
    body = "\n    ".join(rules)
    return (
        f"table bridge {name} {{\n  chain forward {{\n    type filter hook forward priority 0; policy accept;\n"
        f"    {body}\n  }}\n}}\n"
    )


def _rules(inner: Sequence[str], outer: Sequence[str], direction: str) -> Iterator[str]:
    ours, others = _set(inner), _set(outer)
    if direction in ("both", "out"):
        yield f"iifname {ours} oifname {others} counter drop"
    if direction in ("both", "in"):
        yield f"iifname {others} oifname {ours} counter drop"


def _set(ports: Sequence[str]) -> str:
    return "{ " + ", ".join(f'"{port}"' for port in ports) + " }"


def _counters(rows: list[dict[str, dict[str, object]]]) -> Iterator[int]:
    for row in rows:
        for expression in row.get("rule", {}).get("expr", []):  # type: ignore[attr-defined]
            if "counter" in expression:
                yield expression["counter"]["packets"]


def _nft(host: Host, arguments: Sequence[str], timeout_s: float, stdin: str = "") -> str:
    argv = ["nft", *arguments]
    result = host.run(argv, timeout_s=timeout_s, stdin=stdin.encode())
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name)
    return result.stdout


FAULT = Partition()
