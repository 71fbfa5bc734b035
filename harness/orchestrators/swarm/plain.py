"""A service with `node` as `docker run` on that node."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping

from harness.model.plan import LABEL, Plan
from harness.model.topology import Service
from harness.orchestrators.swarm import names
from harness.orchestrators.swarm.stackfile import STOP_GRACE_S, command
from harness.ports import Declared


def run_argv(
    plan: Plan, name: str, networks: Mapping[str, Declared], volumes: Mapping[str, Declared], image: str
) -> tuple[str, ...]:
    """The whole command. Several `--network` need an engine of 25 or newer."""
    service = plan.topology.services[name]
    return (
        *("docker", "run", "--detach", "--init", "--restart", "no", "--stop-timeout", str(STOP_GRACE_S)),
        *("--name", names.plain(plan, name)),
        *("--label", f"{LABEL}={plan.run}", "--label", f"{names.SERVICE_LABEL}={name}"),
        *_hostname(name, service),
        *_networks(name, service, networks),
        *_mounts(service, volumes),
        *_settings(service),
        service.image or image,
        *(command(service) or ()),
    )


def _hostname(name: str, service: Service) -> Iterator[str]:
    """With the node's network the hostname is the node's too."""
    if service.network_mode != "host":
        yield from ("--hostname", name)


def _networks(name: str, service: Service, networks: Mapping[str, Declared]) -> Iterator[str]:
    if not service.networks:
        yield from ("--network", service.network_mode or "bridge")
    for network, attachment in service.networks.items():
        fields = [f"name={networks[network].stack['name']}"]
        fields += [f"alias={alias}" for alias in dict.fromkeys((name, *attachment.aliases))]
        fields += [f"ip={attachment.ipv4_address}"] if attachment.ipv4_address else []
        fields += [f"ip6={attachment.ipv6_address}"] if attachment.ipv6_address else []
        yield from ("--network", _csv(fields))


def _mounts(service: Service, volumes: Mapping[str, Declared]) -> Iterator[str]:
    for mount in service.volumes:
        fields = [f"type={mount.type}", f"target={mount.target}"]
        if mount.source and mount.source in volumes and mount.type == "volume":
            fields += _volume(volumes[mount.source].stack)
        elif mount.source:
            fields.append(f"source={mount.source}")
        fields += ["readonly"] if mount.read_only else []
        yield from ("--mount", _csv(fields))


def _volume(stack: Mapping[str, object]) -> Iterator[str]:
    """What the stack file would say, so that whoever comes first makes the same volume."""
    yield f"source={stack['name']}"
    if "driver" in stack:
        yield f"volume-driver={stack['driver']}"
    for key, flag in (("labels", "volume-label"), ("driver_opts", "volume-opt")):
        entries = stack.get(key, {})
        assert isinstance(entries, Mapping)
        yield from (f"{flag}={name}={value}" for name, value in entries.items())


def _settings(service: Service) -> Iterator[str]:
    for port in service.ports:
        published = f"{port.published}:" if port.published else ""
        yield from ("--publish", f"{published}{port.target}/{port.protocol}")
    for key, value in service.environment.items():
        yield from ("--env", f"{key}={value}")
    for capability in service.cap_drop:
        yield from ("--cap-drop", capability)
    if service.user:
        yield from ("--user", service.user)
    if service.read_only:
        yield "--read-only"


def _csv(fields: list[str]) -> str:
    """The CLI reads --mount and --network as one CSV record."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return text.getvalue()
