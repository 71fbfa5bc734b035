"""What faults by tc(8) share: a queueing discipline with a handle of ours, on one or both ends of a node's link.

What goes to a node is held back where the wire sends it, what a node sends at its own eth0. The handle is the
label: no engine and no distribution gives a link that number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.faults import _wire
from harness.faults._rights import shell_of, wire_of
from harness.model.errors import CommandFailed, EnvironmentBroken, UsageError
from harness.ports import Cluster, Host
from harness.transport.parallel import at_once

#: Major numbers of handles by fault, so that each heals its own. Hexadecimal, as tc prints them.
HANDLES = {"rate": "4ad1:", "latency": "4ad2:", "duplicate": "4ad3:", "reorder": "4ad4:", "corrupt": "4ad5:"}
#: What libvirt gives the link of a machine, and `add` would not override; what anybody else gave one stays theirs.
#: Healing leaves the kernel's default in its place.
_BARE = "noqueue"
#: The handle of what nobody gave a link: the kernel's default.
_DEFAULT = "0:"
#: The kernel's word for a discipline that it does not have.
_UNKNOWN = "qdisc kind is unknown"


@dataclass(frozen=True)
class End:
    """One end of a node's link: where tc runs, and on which interface."""

    node: str
    host: Host
    interface: str


def inject(
    cluster: Cluster,
    fault: str,
    targets: Sequence[str],
    direction: str,
    discipline: Sequence[str],
    timeout_s: float,
) -> None:
    """Raises UsageError where a link has a fault by tc already: it has one root only; EnvironmentBroken where the
    kernel of an end does not have the discipline: the wire of machines has another one than they.
    """
    found = [(end, disciplines(end, timeout_s)) for end in ends(cluster, fault, targets, direction)]
    for end, rows in found:
        _refuse_second(end, fault, rows)
    wire = wire_of(cluster, fault).host
    for end, rows in found:
        try:
            _add(end, fault, discipline, rows, timeout_s)
        except CommandFailed as error:
            if end.host is not wire or _UNKNOWN not in error.output:
                raise
            raise EnvironmentBroken(
                f"the fault {fault} cannot strike what goes to {end.node}: the kernel below lacks {discipline[0]}",
                hint="say `direction: out`: a node's own kernel may have it",
            ) from error


def _add(
    end: End, fault: str, discipline: Sequence[str], rows: Sequence[Mapping[str, Any]], timeout_s: float
) -> None:
    """`rows` are the disciplines that are there."""
    given = any(row.get("kind") == _BARE and row.get("handle") != _DEFAULT for row in rows)
    verb = "replace" if given else "add"
    argv = ["tc", "qdisc", verb, "dev", end.interface, "root", "handle", HANDLES[fault], *discipline]
    _wire.run(end.host, argv, timeout_s)


def ends(cluster: Cluster, fault: str, targets: Sequence[str], direction: str) -> list[End]:
    """`in` is the wire's end, `out` the node's own."""
    wire = wire_of(cluster, fault)
    shell_of(cluster, fault)
    ports = _wire.ports(cluster, fault, needed=targets)
    outer = [End(node, wire.host, ports[node]) for node in targets if direction in ("both", "in")]
    inner = [End(node, cluster.hosts[node], "eth0") for node in targets if direction in ("both", "out")]
    return outer + inner


def heal(cluster: Cluster, fault: str, timeout_s: float) -> list[str]:
    """Idempotent. Nodes that are gone have no link, and nothing to heal."""
    there = list(_wire.ports(cluster, fault))
    found = ends(cluster, fault, there, "both")
    told = at_once([partial(disciplines, end, timeout_s) for end in found])
    mine = [
        end for end, rows in zip(found, told, strict=True) if any(r.get("handle") == HANDLES[fault] for r in rows)
    ]
    for end in mine:
        _wire.run(end.host, ["tc", "qdisc", "del", "dev", end.interface, "root"], timeout_s)
    return [f"removed {fault} from the link of {node}" for node in dict.fromkeys(end.node for end in mine)]


def disciplines(end: End, timeout_s: float) -> list[dict[str, Any]]:
    """What `tc -s qdisc show` says of an end, with counters."""
    argv = ["tc", "-s", "-j", "qdisc", "show", "dev", end.interface]
    told: list[dict[str, Any]] = json.loads(_wire.run(end.host, argv, timeout_s) or "[]")
    return told


def counted(
    cluster: Cluster, fault: str, targets: Sequence[str], direction: str, timeout_s: float
) -> Iterator[int]:
    """How many packets each end's discipline has passed on or held back; nothing of ends that lack it."""
    for end in ends(cluster, fault, targets, direction):
        for row in disciplines(end, timeout_s):
            if row.get("handle") == HANDLES[fault]:
                yield int(row.get("overlimits", 0)) if fault == "rate" else int(row.get("packets", 0))


def pings(cluster: Cluster, fault: str, targets: Sequence[str], count: int, timeout_s: float) -> str:
    """What ping(8) prints of `count` quick pings from the first target to another node; empty without ping."""
    shell_of(cluster, fault)
    peer = cluster.hosts[_wire.peer_of(cluster, targets)]
    ping = ["ping", "-c", str(count), "-i", "0.02", "-W", "1", peer.address]
    try:
        return cluster.hosts[targets[0]].run(ping, timeout_s=timeout_s).stdout
    except EnvironmentBroken:
        return ""


def _refuse_second(end: End, fault: str, rows: Sequence[Mapping[str, Any]]) -> None:
    names = {handle: name for name, handle in HANDLES.items()}
    for row in rows:
        other = names.get(str(row.get("handle")))
        if other:
            message = f"the fault {fault} cannot strike {end.node}: its link has the fault {other} already"
            raise UsageError(message, hint=f"a link has one such fault at a time: heal {other} first")
