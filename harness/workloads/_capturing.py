"""Captures of nodes' own devices around a load: begun before it, read after it by a program that counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import resources
from itertools import product

from harness.ports import Command, Scene
from harness.workloads._places import Item, Peer

COMMAND_TIMEOUT_S = 20.0
TCPDUMP = "package:tcpdump"
#: Returns when the capture has begun. `-U` writes each packet out at once; `-Z root` keeps the right to the file.
_BEGIN = (
    'rm -f "$1"; setsid timeout -k 2 300 tcpdump -i "$2" -n -U --immediate-mode -Z root -w "$1" "$3" '
    '</dev/null >"$1.log" 2>&1 & echo $! >"$1.pid"; '
    'for i in $(seq 100); do [ ! -s "$1" ] || exit 0; sleep 0.1; done; cat "$1.log"; exit 1'
)
#: What the kernel still has for it is written out when it is told to end, and that is waited for.
_STOP = (
    'read -r pid <"$2.pid" && kill -INT "$pid"; for i in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; '
    'sleep 0.1; done; exec python3 -c "$@"'
)
_END = 'read -r pid <"$1.pid" 2>/dev/null && kill "$pid" 2>/dev/null; rm -f "$1" "$1.log" "$1.pid"'


def file_of(run: str, check: str) -> str:
    return f"/tmp/harness-{run}-{check}.pcap"  # noqa: S108  # on the node


def asking(scene: Scene, peers: Iterable[Peer], timeout_s: float, attempts: int) -> Iterator[Item]:
    """Each pair by TCP and UDP, with the scene's token as the text."""
    for peer, protocol in product(peers, ("tcp", "udp")):
        probe = {
            "key": peer.key,
            "protocol": protocol,
            "address": peer.address,
            "port": scene.port,
            "token": scene.token,
            "timeout_s": timeout_s,
            "attempts": attempts,
        }
        yield peer.source.node, {**peer.source.fields, **probe}


def begin(scene: Scene, file: str, device: str, what: str) -> Iterator[Command]:
    """On every node: what passes `device` and pcap-filter(7) `what` goes into `file`; undone, nothing is left."""
    for node in scene.nodes:
        argv = ("sh", "-c", _BEGIN, "sh", file, device, what)
        undo = ("sh", "-c", _END, "sh", file)
        yield Command(node, f"capture on {node}", argv, COMMAND_TIMEOUT_S, undo=undo, at=node)


def read(scene: Scene, file: str, key: str, network: str = "") -> Iterator[Command]:
    """Each node ends its capture and counts what it holds (`_capture.py`). `network`: its engine's word."""
    script = (resources.files("harness.workloads") / "_capture.py").read_text()
    for node in scene.nodes:
        argv = ("sh", "-c", _STOP, "sh", script, file, network, scene.token)
        yield Command(node, key, argv, COMMAND_TIMEOUT_S, at=node, f="capture")
