"""What faults on the wire share: its ports, and tables of nft that are named after the cluster and the fault."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial

from harness.faults._rights import wire_of
from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.ports import Cluster, Host
from harness.transport.parallel import at_once


def ports(cluster: Cluster, fault: str, needed: Sequence[str] = ()) -> dict[str, str]:
    """Each node's interface on the wire; nodes that are gone have none. Raises EnvironmentBroken where that is one
    of `needed`.
    """
    wire = wire_of(cluster, fault)

    def port(node: str) -> str:
        try:
            return wire.port(node)
        except EnvironmentBroken as error:
            if node not in needed:
                return ""
            message = f"the fault {fault} cannot strike {node}, which has no port on the wire: {error.message}"
            raise EnvironmentBroken(message, hint="a node that is gone or off has no link") from error

    found = zip(cluster.hosts, at_once([partial(port, node) for node in cluster.hosts]), strict=True)
    return {node: name for node, name in found if name}


def chain(name: str, rules: Sequence[str]) -> str:
    """An nft table whose rules meet what passes from one port of the wire to another, and nothing else: what the
    machine itself says to a node (the control channel) passes other hooks. nft(8), "BRIDGE ADDRESS FAMILY".
    """
    body = "\n    ".join(rules)
    return (
        f"table bridge {name} {{\n  chain forward {{\n    type filter hook forward priority 0; policy accept;\n"
        f"    {body}\n  }}\n}}\n"
    )


def between(sources: Sequence[str], sinks: Sequence[str], match: str = "") -> str:
    """A rule that drops, and counts, what goes from ports to ports."""
    return f"iifname {_set(sources)} oifname {_set(sinks)} {match}{' ' if match else ''}counter drop"


def drop(
    cluster: Cluster,
    fault: str,
    name: str,
    paths: Sequence[tuple[Sequence[str], Sequence[str]]],
    match: str,
    *,
    needed: Sequence[str],
    timeout_s: float,
) -> None:
    """Drop what `match` says on each path, from nodes to nodes, in the table `name`; nodes that are gone are left
    out but for those of `needed`.
    """
    wire = wire_of(cluster, fault)
    found = ports(cluster, fault, needed)
    there = [[[found[node] for node in side if node in found] for side in path] for path in paths]
    rules = [between(sources, sinks, match) for sources, sinks in there if sources and sinks]
    nft(wire.host, ["-f", "-"], timeout_s, stdin=chain(name, rules))


def table(cluster: Cluster, fault: str) -> str:
    """The table's name carries the cluster's: it is its label."""
    return f"{cluster.name}-{fault}"


def nft(host: Host, arguments: Sequence[str], timeout_s: float, stdin: str = "") -> str:
    return run(host, ["nft", *arguments], timeout_s, stdin)


def dropped(host: Host, name: str, timeout_s: float) -> int:
    """How many frames the table's rules have dropped."""
    listed = nft(host, ["-j", "list", "table", "bridge", name], timeout_s)
    return sum(_counters(json.loads(listed)["nftables"]))


def remove_table(host: Host, name: str, timeout_s: float) -> list[str]:
    """Idempotent. Returns what was removed, for people."""
    rows = json.loads(nft(host, ["-j", "list", "tables"], timeout_s))["nftables"]
    tables = [(row["table"]["family"], row["table"]["name"]) for row in rows if "table" in row]
    if ("bridge", name) not in tables:
        return []
    nft(host, ["delete", "table", "bridge", name], timeout_s)
    return [f"removed the nft table bridge {name}"]


def run(host: Host, argv: Sequence[str], timeout_s: float, stdin: str = "") -> str:
    """Standard output. Raises CommandFailed."""
    result = host.run(argv, timeout_s=timeout_s, stdin=stdin.encode())
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name)
    return result.stdout


def pinged(cluster: Cluster, source: str, target: str, timeout_s: float, *options: str) -> bool:
    """Whether one ping from node to node is answered."""
    ping = ["ping", "-c", "1", "-W", "0.4", *options, cluster.hosts[target].address]
    return cluster.hosts[source].run(ping, timeout_s=timeout_s).ok


def peer_of(cluster: Cluster, targets: Sequence[str], present: Sequence[str] = ()) -> str:
    """A node that is not struck, or, where all are, another than the first. Raises EnvironmentBroken."""
    nodes = [node for node in cluster.hosts if not present or node in present]
    others = [node for node in nodes if node not in targets] or [node for node in nodes if node != targets[0]]
    if not others:
        raise EnvironmentBroken(f"{targets[0]} has no other node to speak to")
    return others[0]


def _set(names: Sequence[str]) -> str:
    return "{ " + ", ".join(f'"{name}"' for name in names) + " }"


def _counters(rows: list[dict[str, dict[str, object]]]) -> Iterator[int]:
    for row in rows:
        for expression in row.get("rule", {}).get("expr", []):  # type: ignore[attr-defined]
            if "counter" in expression:
                yield expression["counter"]["packets"]
