"""`checksum-offload`: the targets' kernels compute the checksum of all that they send, and leave none to the link.

Some network cards and drivers get checksums of encapsulated packets wrong (moby#41775). What goes away while this
fault holds was such a one; what a driver promises must hold with it and without it (ethtool(8), -K tx).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from harness.faults import _wire
from harness.faults._rights import shell_of
from harness.model.errors import EnvironmentBroken
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Host, Right
from harness.transport.parallel import at_once

#: Stands on a node while its offload was turned off by this fault: what was off before stays off.
NOTE = "/run/harness-checksum-offload"
_OFF = (
    f"set -eu; [ ! -e {NOTE} ] || exit 0; ethtool -k eth0 | grep -q '^tx-checksumming: on' || "
    f"{{ echo 'eth0 leaves no checksums to its link' >&2; exit 3; }}; : >{NOTE}; ethtool -K eth0 tx off >/dev/null"
)
_ON = (
    f"[ ! -e {NOTE} ] || if ethtool -K eth0 tx on >/dev/null 2>&1; then rm -f {NOTE}; echo on; else echo stuck; fi"
)
#: Sends UDP to a port that nobody has; prints how many of its packets were seen to leave, and of how many the
#: kernel had left the checksum to the link (packet(7), PACKET_AUXDATA; TP_STATUS_CSUMNOTREADY).
_LOOK = """
import socket, struct, sys, time
SOL_PACKET, AUXDATA, OUTGOING, NOT_READY = 263, 8, 4, 8
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
tap.bind(("eth0", 3))
tap.setsockopt(SOL_PACKET, AUXDATA, 1)
tap.settimeout(0.5)
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.connect((sys.argv[1], 9))
port = probe.getsockname()[1]
for _ in range(10):
    try:
        probe.send(bytes(64))
    except ConnectionRefusedError:
        pass
seen, left, end = 0, 0, time.monotonic() + 2
try:
    while seen < 10 and time.monotonic() < end:
        data, extra, _, address = tap.recvmsg(128, 256)
        if address[2] != OUTGOING or len(data) < 28 or data[9] != 17 or data[20:22] != struct.pack("!H", port):
            continue
        status = [struct.unpack("I", told[:4])[0] for level, kind, told in extra if kind == AUXDATA]
        seen, left = seen + 1, left + bool(status and status[0] & NOT_READY)
except TimeoutError:
    pass
print(seen, left)
"""


@dataclass(frozen=True)
class ChecksumOffload:
    name: str = "checksum-offload"
    rights: frozenset[Right] = frozenset({"shell"})

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        """Raises EnvironmentBroken where a target's link never had it."""
        del direction  # only what is sent has a checksum to be left
        self._on(cluster, targets, ["sh", "-c", _OFF], timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """Packets were seen to leave each target, every one with its checksum."""
        del direction
        shell_of(cluster, self.name)
        peer = cluster.hosts[_wire.peer_of(cluster, targets)].address
        counts = [text.split() for text in self._on(cluster, targets, ["python3", "-c", _LOOK, peer], timeout_s)]
        told = [
            f"{node} sent {seen} packets, {left} without a checksum"
            for node, (seen, left) in zip(targets, counts, strict=True)
        ]
        return Felt(all(int(seen) > 0 and int(left) == 0 for seen, left in counts), "; ".join(told))

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """Nodes that do not answer have nothing to heal: a link that is made anew has its offload."""
        shell_of(cluster, self.name)
        nodes = list(cluster.hosts)
        told = at_once([partial(_given_back, cluster.hosts[node], timeout_s) for node in nodes])
        return [
            f"checksums of {node} are left to its link again" for node, on in zip(nodes, told, strict=True) if on
        ]

    def _on(self, cluster: Cluster, nodes: Sequence[str], argv: Sequence[str], timeout_s: float) -> list[str]:
        shell_of(cluster, self.name)
        return at_once([partial(_wire.run, cluster.hosts[node], argv, timeout_s) for node in nodes])


def _given_back(host: Host, timeout_s: float) -> bool:
    """Raises EnvironmentBroken where a node that is there cannot do it."""
    try:
        told = host.run(["sh", "-c", _ON], timeout_s=timeout_s).stdout.strip()
    except EnvironmentBroken:
        return False
    if told == "stuck":
        raise EnvironmentBroken(
            f"the fault checksum-offload: {host.name} cannot give its link the checksums again"
        )
    return told == "on"


FAULT = ChecksumOffload()
