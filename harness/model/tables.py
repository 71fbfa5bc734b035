"""What a node knows of an overlay network's endpoints elsewhere, held against the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """A container on the network. `vtep` is its node's address on the wire, where VXLAN frames for it go."""

    name: str
    node: str
    vtep: str
    ip: str
    mac: str


@dataclass(frozen=True)
class Tables:
    """`fdb` maps MACs to the address of the node behind which they are, `neighbours` addresses to MACs.

    `balancer` is the address that the node itself has on the network (`lb-<network>`): empty where it has none.
    """

    node: str
    fdb: Mapping[str, str]
    neighbours: Mapping[str, str]
    balancer: str = ""

    @classmethod
    def parse(cls, node: str, text: str) -> Tables:
        """From three lines of JSON: the engine's containers of the network, `bridge fdb`, `ip neigh`.

        Raises ValueError where that is not what `text` is.
        """
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) != 3:
            raise ValueError(f"three tables were expected of {node}, not {len(lines)} lines")
        containers, fdb, neighbours = (json.loads(line) for line in lines)
        balancers = [entry["IPv4Address"] for name, entry in containers.items() if name.startswith("lb-")]
        return cls(
            node,
            {row["mac"]: row["dst"] for row in fdb if "dst" in row and not _is_flood(row["mac"])},
            {row["dst"]: row["lladdr"] for row in neighbours if "lladdr" in row},
            balancers[0].partition("/")[0] if balancers else "",
        )


def _is_flood(mac: str) -> bool:
    """The entry for what no other one is about."""
    return mac == "00:00:00:00:00:00"


def differences(present: Sequence[Endpoint], tables: Sequence[Tables]) -> Iterator[str]:
    """What a node lacks, has wrong, or still has of a task that is gone; each names the node and the table.

    Other nodes' balancers are allowed, wherever a table has them, and need not be there. They are known where the
    tables of every node with an endpoint are: else nothing is called stale.
    """
    balancers = {table.balancer for table in tables if table.balancer}
    all_known = {endpoint.node for endpoint in present} <= {table.node for table in tables}
    for table in tables:
        remote = [endpoint for endpoint in present if endpoint.node != table.node]
        yield from _forwarding(table, remote)
        yield from _neighbours(table, remote)
        yield from _stale(table, remote, balancers) if all_known else ()


def _forwarding(table: Tables, remote: Sequence[Endpoint]) -> Iterator[str]:
    for endpoint in remote:
        behind = table.fdb.get(endpoint.mac)
        if behind is None:
            yield f"{table.node}: its FDB lacks {endpoint.name} ({endpoint.mac}, on {endpoint.node})"
        elif behind != endpoint.vtep:
            yield (
                f"{table.node}: its FDB has {endpoint.name} ({endpoint.mac}) behind {behind}, "
                f"and it is behind {endpoint.vtep} ({endpoint.node})"
            )


def _neighbours(table: Tables, remote: Sequence[Endpoint]) -> Iterator[str]:
    for endpoint in remote:
        mac = table.neighbours.get(endpoint.ip)
        if mac != endpoint.mac:
            yield (
                f"{table.node}: its neighbours have {endpoint.ip} ({endpoint.name}) at {mac or 'no MAC'}, "
                f"not at {endpoint.mac}"
            )


def _stale(table: Tables, remote: Sequence[Endpoint], balancers: set[str]) -> Iterator[str]:
    known = {endpoint.ip for endpoint in remote}
    macs = {endpoint.mac for endpoint in remote}
    macs |= {mac for ip, mac in table.neighbours.items() if ip in balancers}
    for ip, mac in table.neighbours.items():
        if ip not in known and ip not in balancers:
            yield f"{table.node}: its neighbours still have {ip} ({mac}), which is no task that runs elsewhere"
    for mac, behind in table.fdb.items():
        if mac not in macs:
            yield f"{table.node}: its FDB still has {mac} behind {behind}, which is no task that runs elsewhere"
