"""Captures: the packets of a network on every node, in a ring of small files, so that what came last is kept.

Raw captures are cut after 256 bytes a packet and are not redacted: they hold what containers say to each other.
The text beside them is of headers only (tcpdump(8), -q), and can be shown.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from harness.evidence.redacting import redact
from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.ports import Cluster, Host
from harness.transport.parallel import at_once

CALL_TIMEOUT_S = 20.0
#: A capture of a run that was killed ends by itself.
LONGEST_S = 3600
#: Bounds: files of 1 MB in the ring, and packets in the text.
FILES = 4
TEXT_PACKETS = 300
NOTHING = "no packets were seen: nobody said anything, or the network never came to this node\n"
#: Waits until the network is on the node, which an overlay is from its first container there on. An overlay's
#: packets are to be had in the engine's own namespace of it, a bridge's on its bridge; those of others pass the
#: node's link.
_WAIT = """
while :; do
  set -- "$1" "$2" $(docker network inspect --format "{{.Id}} {{.Driver}}" "$1" 2>/dev/null)
  space=/run/docker/netns/1-$(echo "$3" | cut -c1-10) bridge=br-$(echo "$3" | cut -c1-12) enter= device=
  case "$4" in
    overlay) [ ! -e "$space" ] || { enter="nsenter --net=$space"; device=any; } ;;
    bridge) [ ! -e "/sys/class/net/$bridge" ] || device=$bridge ;;
    ?*) device=eth0 ;;
  esac
  [ -z "$device" ] || break
  sleep 1
done
"""
_CAPTURE = f'exec $enter tcpdump -Z root -i "$device" -n -s 256 -U -C 1 -W {FILES} -w "$2/ring"'
_START = (
    'command -v tcpdump >/dev/null || { echo "tcpdump is missing" >&2; exit 5; }; rm -rf "$2"; mkdir -p "$2"; '
    f'setsid timeout -k 2 {LONGEST_S} sh -c "$3" sh "$1" "$2" >/dev/null 2>"$2.log" </dev/null & '
    'echo $! >"$2.pid"; for i in $(seq "$4"); do grep -q "listening on" "$2.log" && exit 0; sleep 0.2; done; '
    'kill -0 $(cat "$2.pid") || { cat "$2.log" >&2; exit 6; }'
)
#: `kill -- -PID`: timeout(1) leads its own session. libpcap hands over what the kernel has once a second.
_STOP = (
    '[ -e "$1.pid" ] || { echo "no capture runs" >&2; exit 4; }; sleep 1.1; '
    'kill -- -$(cat "$1.pid") 2>/dev/null; for i in 1 2 3 4 5; do kill -0 $(cat "$1.pid") 2>/dev/null || break; '
    "sleep 0.2; done; "
)
_TEXT = (
    'for file in $(ls -tr "$1"); do tcpdump -n -q -tttt -r "$1/$file" 2>/dev/null; done | '
    f"tail -n {TEXT_PACKETS}; "
)
_SAVE = 'tar -C "$1" -cz . | base64; rm -rf "$1" "$1.pid" "$1.log"'


def start(cluster: Cluster, captures: Mapping[str, str], *, within_s: float = 1.0) -> list[str]:
    """Begin to capture on every node; `captures` maps a network to its name at the engine. Returns what could not
    be begun, for people. A node gets `within_s` to say that it listens; one that has no part of the network yet
    begins when it comes.
    """
    calls = [
        partial(_started, host, network, engine_name, within_s)
        for network, engine_name in captures.items()
        for host in cluster.hosts.values()
    ]
    return [why for why in at_once(calls) if why]


def save(cluster: Cluster, captures: Mapping[str, str], into: Path) -> list[str]:
    """End the captures; `into/<node>/<network>.pcap.tar.gz` and `.packets.txt`. Returns what could not be had."""
    calls = [
        partial(_saved, host, network, engine_name, into / name)
        for network, engine_name in captures.items()
        for name, host in cluster.hosts.items()
    ]
    return [why for why in at_once(calls) if why]


def _started(host: Host, network: str, engine_name: str, within_s: float) -> str:
    looks = str(max(1, round(within_s / 0.2)))
    try:
        _run(host, _START, [engine_name, _ring(engine_name), _WAIT + _CAPTURE, looks])
    except EnvironmentBroken as error:
        return f"{host.name}: capture of {network}: {_last_line(error)}"
    return ""


def _saved(host: Host, network: str, engine_name: str, folder: Path) -> str:
    ring = _ring(engine_name)
    try:
        text = _run(host, _STOP + _TEXT, [ring])
        packed = base64.b64decode(_run(host, _SAVE, [ring]))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{network}.packets.txt").write_text(redact(text) or NOTHING)
        (folder / f"{network}.pcap.tar.gz").write_bytes(packed)
    except (EnvironmentBroken, OSError, binascii.Error) as error:
        return f"{host.name}: capture of {network}: {_last_line(error)}"
    return ""


def _ring(engine_name: str) -> str:
    return f"/run/harness-pcap-{engine_name}"


def _run(host: Host, script: str, words: list[str]) -> str:
    argv = ["sh", "-c", script, "sh", *words]
    result = host.run(argv, timeout_s=CALL_TIMEOUT_S)
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name)
    return result.stdout


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
