"""What the Vagrantfile is told, and what libvirt's words tell: pure."""

from __future__ import annotations

import ipaddress
import json
import re
import xml.etree.ElementTree as ET  # libvirt's own XML, from its own socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.model.errors import EnvironmentBroken
from harness.model.plan import PREFIX, Plan, cluster_key, cluster_name
from harness.providers.box import Box

#: Wires are /24s of the first block, control links the same of the second.
WIRE_BLOCK = ipaddress.IPv4Network("10.213.0.0/16")
CONTROL_BLOCK = ipaddress.IPv4Network("10.212.0.0/16")
FIRST_ADDRESS = 10
#: Of a console, in a message.
LAST_LINES = 8
MEMORY_MB = 1024
#: What stands in the environment of every process that makes something for a run.
RUN_VARIABLE = "HARNESS_RUN"
#: What an emulated guest's second processor costs the others; KVM's is there anyhow.
CPUS = {"kvm": 2, "qemu": 1}


@dataclass(frozen=True)
class Guest:
    """A domain of ours, from its XML. `mac` is that of its control link, `port` its interface on the wire.

    One that was woken says from which `snapshot`, of when (`woken`), and its address on the control link, for
    which it asks nobody.
    """

    domain: str
    run: str
    node: str
    running: bool
    emulated: bool = False
    address: str = ""
    topology: str = ""
    key: str = ""
    since: str = ""
    mac: str = ""
    port: str = ""
    serial: str = ""
    box: str = ""
    snapshot: str = ""
    woken: str = ""
    control: str = ""


def subnets(plan: Plan, taken: Iterable[str]) -> tuple[ipaddress.IPv4Network, ipaddress.IPv4Network]:
    """The wire's and the control link's, which overlap nothing of `taken` and nothing of the topology.

    Raises EnvironmentBroken where there is none left.
    """
    declared = [text for network in plan.topology.networks.values() for text in network.subnets]
    used = [ipaddress.IPv4Network(text, strict=False) for text in (*declared, *taken) if ":" not in text]
    pairs = list(zip(WIRE_BLOCK.subnets(new_prefix=24), CONTROL_BLOCK.subnets(new_prefix=24), strict=True))
    start = sum(plan.run.encode()) % 256
    for pair in pairs[start:] + pairs[:start]:
        if not any(one.overlaps(other) for one in pair for other in used):
            return pair
    raise EnvironmentBroken(f"no subnet of {WIRE_BLOCK} and {CONTROL_BLOCK} is free for the wire and for control")


def render(
    plan: Plan,
    box: Box,
    *,
    driver: str,
    wire: ipaddress.IPv4Network,
    control: ipaddress.IPv4Network,
    serial: Path,
    since: str,
    boot_timeout_s: int,
) -> dict[str, Any]:
    """The plan for the Vagrantfile, as JSON has it. `serial` is the folder of the guests' consoles."""
    cluster = plan.topology.cluster
    about = {"run": plan.run, "topology": plan.topology.name, "key": cluster_key(plan.topology), "since": since}
    about["box"] = box.folder.name
    machines = []
    for number, node in enumerate(plan.nodes):
        address = str(wire[FIRST_ADDRESS + number])
        machines.append(
            {
                "name": node.name,
                "address": address,
                "serial": str(serial / f"{node.name}.log"),
                "description": json.dumps({**about, "node": node.name, "address": address}, sort_keys=True),
            }
        )
    return {
        "prefix": f"{plan.cluster}-",
        "driver": driver,
        "memory_mb": cluster.memory_mb or MEMORY_MB,
        "cpus": cluster.cpus or CPUS[driver],
        "boot_timeout_s": boot_timeout_s,
        "box": {
            "name": box.name,
            "url": box.url,
            "kernel": str(box.kernel),
            "initrd": str(box.initrd),
            "user": "root",
            "key": str(box.key),
        },
        "wire": {"name": f"{plan.cluster}-wire"},
        "control": {"name": f"{plan.cluster}-control", "subnet": str(control)},
        "machines": machines,
    }


# --- libvirt's words


def run_of(name: str) -> str | None:
    """The run that a domain, network or volume is named after: harness-20260102-030405-abcdef-..."""
    found = re.match(rf"{PREFIX}(\d{{8}}-\d{{6}}-[0-9a-f]{{6}})(?:-|$)", name)
    return found[1] if found else None


def parse_guests(dumped: str) -> list[Guest]:
    """Guests of ours among domains' XML documents, one after another; in the order of their nodes."""
    documents = re.findall(r"<domain\b.*?</domain>", dumped, flags=re.DOTALL)
    guests = [guest for text in documents if (guest := _guest(ET.fromstring(text))) is not None]  # noqa: S314
    return sorted(guests, key=lambda guest: (guest.run, len(guest.node), guest.node))


def _guest(domain: ET.Element) -> Guest | None:
    name = domain.findtext("name", "")
    run = run_of(name)
    if run is None:
        return None
    said = about(domain.findtext("description", ""))
    control, wire = (_interface(domain, f"{cluster_name(run)}-{which}") for which in ("control", "wire"))
    serial = domain.find("devices/serial/source")
    return Guest(
        domain=name,
        run=run,
        node=name.removeprefix(f"{cluster_name(run)}-"),
        running="id" in domain.attrib,
        emulated=domain.get("type") == "qemu",
        address=said.get("address", ""),
        topology=said.get("topology", ""),
        key=said.get("key", ""),
        since=said.get("since", ""),
        box=said.get("box", ""),
        snapshot=said.get("snapshot", ""),
        woken=said.get("woken", ""),
        control=said.get("control", ""),
        mac=control.get("mac", ""),
        port=wire.get("port", ""),
        serial="" if serial is None else serial.get("path", ""),
    )


def about(text: str) -> Mapping[str, str]:
    """What a domain's description says, if it is one of ours."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _interface(domain: ET.Element, network: str) -> dict[str, str]:
    for interface in domain.findall("devices/interface"):
        source = interface.find("source")
        if source is not None and source.get("network") == network:
            mac, target = interface.find("mac"), interface.find("target")
            return {
                "mac": "" if mac is None else mac.get("address", ""),
                "port": "" if target is None else target.get("dev", ""),
            }
    return {}


def parse_leases(text: str) -> dict[str, str]:
    """MAC to IPv4 address, from `virsh net-dhcp-leases`."""
    found = re.findall(r"((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\s+ipv4\s+([0-9.]+)/", text)
    return dict(found)


#: What a kernel says when it has stopped for good, or an initrd without a root.
_DEAD = re.compile(
    r"(Kernel panic - not syncing.*|initrd: there is no root.*|KVM internal error.*|You are in emergency mode.*)"
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[78]|[\x00-\x08\x0b-\x1f]")


def console_lines(text: str) -> list[str]:
    """What a person reads on a serial console: no escapes, no blank lines."""
    plain = (_ESCAPES.sub("", line).strip() for line in text.replace("\r", "\n").splitlines())
    return [line for line in plain if line]


def death(lines: Sequence[str]) -> str | None:
    """Why a guest will never come up, in its own words; None while it may."""
    return next((found[1] for line in lines if (found := _DEAD.search(line))), None)


def last_words(node: str, lines: Sequence[str]) -> list[str]:
    """What a message shows of a console: its end, or, of a guest that is dead, how it came to that; the registers
    and calls that a kernel prints after its panic would be all that is seen.
    """
    end = next((number for number, line in enumerate(lines, 1) if _DEAD.search(line)), len(lines))
    return [f"{node} | {line[:160]}" for line in lines[max(0, end - LAST_LINES) : end]]
