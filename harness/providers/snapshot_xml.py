"""Descriptions of what a snapshot has, under the names of another run: pure."""

from __future__ import annotations

import ipaddress
import json
import xml.etree.ElementTree as ET  # libvirt's own XML, from its own socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from harness.model.plan import cluster_name
from harness.providers.vagrant_plan import about, run_of


@dataclass(frozen=True)
class Naming:
    """What differs between a machine and the one that is woken from its snapshot."""

    run: str
    uuid: str
    says: Mapping[str, str]
    serial: str


def disk_of(domain: str) -> str:
    """The path of a machine's disk."""
    source = _source(ET.fromstring(domain))  # noqa: S314
    return source.get("file", "")


def machine(domain: str, naming: Naming) -> str:
    """A domain's XML for another run: its name, UUID, description, disk, console and networks."""
    root = ET.fromstring(domain)  # noqa: S314
    _say(root, "name", renamed(root.findtext("name", ""), naming.run))
    _say(root, "uuid", naming.uuid)
    _say(root, "description", json.dumps(dict(naming.says), sort_keys=True))
    source = _source(root)
    disk = PurePath(source.get("file", ""))
    source.set("file", str(disk.with_name(renamed(disk.name, naming.run))))
    for below in root.findall("devices/disk"):
        for chain in below.findall("backingStore"):
            below.remove(chain)
    for console in [*root.findall("devices/serial/source"), *root.findall("devices/console/source")]:
        if console.get("path"):
            console.set("path", naming.serial)
    for network in root.findall("devices/interface/source"):
        network.set("network", renamed(network.get("network", ""), naming.run))
        for live in ("bridge", "portid"):
            network.attrib.pop(live, None)
    return ET.tostring(root, encoding="unicode")


def about_of(domain: str) -> dict[str, str]:
    """What a machine's description says."""
    text = ET.fromstring(domain).findtext("description", "")  # noqa: S314
    return dict(about(text))


def mac_of(domain: str, which: str) -> str:
    """The MAC of a machine's link to the network `which` of its run, `wire` or `control`."""
    for link in ET.fromstring(domain).findall("devices/interface"):  # noqa: S314
        source, mac = link.find("source"), link.find("mac")
        if source is not None and mac is not None and source.get("network", "").endswith(f"-{which}"):
            return mac.get("address", "")
    raise ValueError(f"a machine without a link to {which}")


def subnet_of(network: str) -> str:
    """A network's subnet, as 10.212.1.0/24."""
    ip = ET.fromstring(network).find("ip")  # noqa: S314
    if ip is None:
        raise ValueError("a network without addresses")
    size = ip.get("prefix") or ip.get("netmask", "")
    return str(ipaddress.ip_network(f"{ip.get('address')}/{size}", strict=False))


def network(xml: str, run: str, hosts: Mapping[str, str]) -> str:
    """A network's XML for another run. `hosts` maps MACs to the addresses that they have had and shall have again.
    The bridge is libvirt's to choose; it keeps its MAC, which the machines know. It forwards at once: with STP its
    ports would listen for seconds first (IEEE 802.1D), to machines that talk from the first moment.
    """
    root = ET.fromstring(xml)  # noqa: S314
    root.attrib.pop("connections", None)
    _say(root, "name", renamed(root.findtext("name", ""), run))
    for uuid in root.findall("uuid"):
        root.remove(uuid)
    for bridge in root.findall("bridge"):
        bridge.attrib.pop("name", None)
        bridge.set("stp", "off")
    for dhcp in root.findall("ip/dhcp"):
        for old in dhcp.findall("host"):
            dhcp.remove(old)
        for mac, address in hosts.items():
            ET.SubElement(dhcp, "host", {"mac": mac, "ip": address})
    return ET.tostring(root, encoding="unicode")


def volume(name: str, capacity_bytes: int, below: str) -> str:
    """An empty disk over the disk `below`."""
    root = ET.Element("volume")
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "capacity").text = str(capacity_bytes)
    ET.SubElement(ET.SubElement(root, "target"), "format", {"type": "qcow2"})
    chain = ET.SubElement(root, "backingStore")
    ET.SubElement(chain, "path").text = below
    ET.SubElement(chain, "format", {"type": "qcow2"})
    return ET.tostring(root, encoding="unicode")


def renamed(name: str, run: str) -> str:
    """harness-OLD-n1 as harness-RUN-n1; a name that bears no run is left as it is."""
    old = run_of(name)
    return name if old is None else name.replace(cluster_name(old), cluster_name(run), 1)


def _source(root: ET.Element) -> ET.Element:
    found = root.find("devices/disk[@device='disk']/source")
    if found is None:
        raise ValueError("a machine without a disk")
    return found


def _say(root: ET.Element, tag: str, text: str) -> None:
    found = root.find(tag)
    if found is None:
        found = ET.SubElement(root, tag)
    found.text = text
