"""Sent to nodes as text: counts what a capture (pcap) holds. argv: file, network, token. Standard library only."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

ETHERNET, VLAN, IPV4, UDP, ESP, VXLAN = 14, 0x8100, 0x0800, 17, 50, 4789


def frames(data: bytes) -> Iterator[bytes]:
    """Frames of a pcap file (draft-ietf-opsawg-pcap); one that was cut short at the end is left out."""
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from(order + "I", data, at + 8)[0]
        if at + 16 + length > len(data):
            return
        yield data[at + 16 : at + 16 + length]
        at += 16 + length


def packet(frame: bytes) -> tuple[str, bytes | None]:
    """A frame's VLAN by its tag (IEEE 802.1Q; empty without one), and its IPv4 packet; None for anything else."""
    kind, start, tag = struct.unpack_from("!H", frame, 12)[0], ETHERNET, ""
    if kind == VLAN:
        control, kind = struct.unpack_from("!HH", frame, 14)
        start, tag = ETHERNET + 4, str(control & 0x0FFF)
    return tag, frame[start:] if kind == IPV4 else None


def vni(ip: bytes) -> int | None:
    """Of a VXLAN packet (RFC 7348); None where it is none."""
    header = (ip[0] & 15) * 4
    if ip[9] != UDP or struct.unpack_from("!H", ip, header + 2)[0] != VXLAN:
        return None
    number: int = struct.unpack_from("!I", ip, header + 12)[0]
    return number >> 8


def count(data: bytes, token: bytes) -> dict[str, Any]:
    """`esp`: packets of ESP; `vxlan`: packets in the clear by VNI; `text`: frames with the token in them; `tags`:
    those of IPv4, by VLAN and source address.
    """
    found: dict[str, Any] = {"frames": 0, "esp": 0, "vxlan": {}, "text": 0, "tags": {}}
    for frame in frames(data):
        tag, ip = packet(frame)
        found["frames"] += 1
        found["text"] += token in frame
        if ip is not None and token in frame:
            sources = found["tags"].setdefault(tag, {})
            source = ".".join(map(str, ip[12:16]))
            sources[source] = sources.get(source, 0) + 1
        if ip is not None and ip[9] == ESP:
            found["esp"] += 1
        elif ip is not None and vni(ip) is not None:
            number = str(vni(ip))
            found["vxlan"][number] = found["vxlan"].get(number, 0) + 1
    return found


def number_of(network: str) -> str:
    """The VNI that the engine gave a network; empty where this node has no container on it."""
    form = '{{index .Options "com.docker.network.driver.overlay.vxlanid_list"}}'
    asked = subprocess.run(
        ["docker", "network", "inspect", "--format", form, network],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else ""


def main() -> None:
    file, network, token = sys.argv[1:4]
    with open(file, "rb") as capture:
        found = count(capture.read(), token.encode())
    print(json.dumps({"vni": number_of(network) if network else "", **found}, sort_keys=True))


if __name__ == "__main__":
    main()
