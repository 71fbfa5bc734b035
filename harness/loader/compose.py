"""A topology from a Compose file (compose-spec): what was taken, changed, and left out, and why. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from harness.loader.sensitive import sensitivity
from harness.model.errors import UsageError
from harness.model.topology import NAME

Verb = Literal["taken", "changed", "left out"]
MAX_BYTES = 1 << 20
NO_IPV6 = "Swarm's overlay has no IPv6; `driver: macvlan`, or a bridge of one node, has"
#: Why a key of a service is left out. Keys that are not here have no meaning for networks and volumes either.
REASONS = {
    "build": "images are not built; the harness's own image stands in",
    "depends_on": "services start at once, and all are awaited",
    "healthcheck": "the harness looks at tasks and at who answers itself",
    "restart": "a service that ends is started again by its orchestrator",
    "container_name": "containers are named after the run",
    "hostname": "containers are named after their service and place",
    "env_file": "files of the machine that Compose ran on are not there on the nodes",
    "extends": "write the service out in full",
    "profiles": "all services are deployed",
    "secrets": "no secrets are handed to services",
    "configs": "no configuration files are handed to services",
    "privileged": "no service of a topology is privileged",
    "cap_add": "a topology can only drop capabilities",
    "devices": "no devices are handed to services",
    "entrypoint": "write what is to run as `command`",
    "expose": "every port of a container can be reached on its networks",
    "links": "names on a common network do the same",
    "labels": "labels are the harness's own",
    "logging": "logs stay with the engines",
    "platform": "nodes run what the machine runs",
}
DEFAULT_REASON = "the format of topologies has no such key"
_TAKEN = {"image", "command", "environment", "user", "read_only", "cap_drop"}
_HANDLED = {"networks", "ports", "volumes", "network_mode", "deploy", "scale"}
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::?-(?P<default>[^}]*))?[^}]*\}|\$(?P<bare>\w+)")
_PORT = re.compile(
    r"^(?:(?P<ip>[\d.]+|\[[^]]*\]):)?(?:(?P<published>\d+):)?(?P<target>\d+)(?:/(?P<protocol>tcp|udp))?$"
)


@dataclass(frozen=True)
class Entry:
    """One line of the account: what happened to a key of the Compose file, and why."""

    line: int
    key: str
    verb: Verb
    why: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.key}: {self.verb}{f': {self.why}' if self.why else ''}"


@dataclass
class Converted:
    """`topology` as it is written to a file; `entries` in the order of the Compose file."""

    topology: dict[str, Any]
    entries: list[Entry] = field(default_factory=list)


def from_compose(text: str, name: str) -> Converted:
    """Raises UsageError where `text` is no Compose file. `name` is used where the file has none."""
    return _Conversion(text).convert(name)


class _Conversion:
    def __init__(self, text: str) -> None:
        if len(text) > MAX_BYTES:
            raise UsageError(f"a Compose file of {len(text):,} bytes is none: {MAX_BYTES:,} at most")
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"this is no YAML: {' '.join(str(error).split())}") from error
        if not isinstance(data, dict) or not isinstance(data.get("services"), dict):
            raise UsageError("this is no Compose file: it has no `services`")
        self._entries: list[Entry] = []
        self._data: dict[str, Any] = self._resolved(data, ())
        self._networks: set[str] = set()
        self._volumes: dict[str, bool] = {}

    # --- the whole

    def convert(self, name: str) -> Converted:
        services = {
            _name(key): self._service(key, service or {}) for key, service in self._section("services").items()
        }
        topology = {
            "name": _name(str(self._data.get("name") or name)),
            "networks": self._all_networks(),
            "volumes": self._all_volumes(),
            "services": services,
            "checks": list(_checks(services)),
        }
        for key in self._data:
            if key not in ("name", "services", "networks", "volumes", "version"):
                why = (
                    "extensions are for other tools" if key.startswith("x-") else REASONS.get(key, DEFAULT_REASON)
                )
                self._say((key,), "left out", why)
        entries = sorted(self._entries, key=lambda entry: entry.line)
        return Converted({key: value for key, value in topology.items() if value}, entries)

    def _section(self, name: str) -> Mapping[str, Any]:
        section = self._data.get(name) or {}
        if not isinstance(section, dict):
            raise UsageError(f"line {self._line((name,))}: `{name}` is no mapping")
        return section

    # --- services

    def _service(self, key: str, service: Mapping[str, Any]) -> dict[str, Any]:
        path = ("services", key)
        if not isinstance(service, dict):
            raise UsageError(f"line {self._line(path)}: service {key!r} is no mapping")
        made: dict[str, Any] = {}
        for part, value in service.items():
            if part in _TAKEN:
                made[part] = value
                self._say((*path, part), "taken")
            elif part not in _HANDLED:
                self._say((*path, part), "left out", REASONS.get(part, DEFAULT_REASON))
        made["deploy"] = self._deploy(path, service)
        made |= self._places(path, service)
        ports = [port for port in self._each(path, service, "ports", self._port) if port]
        mounts = [mount for mount in self._each(path, service, "volumes", self._mount) if mount]
        made |= {key: value for key, value in (("ports", ports), ("volumes", mounts)) if value}
        return made

    def _deploy(self, path: tuple[str, ...], service: Mapping[str, Any]) -> dict[str, Any]:
        deploy = service.get("deploy") or {}
        made: dict[str, Any] = {"mode": "replicated", "replicas": service.get("scale", 1)}
        for key, value in deploy.items():
            if key in ("mode", "replicas", "endpoint_mode") and isinstance(value, str | int):
                made[key] = value
                self._say((*path, "deploy", key), "taken")
            elif key == "placement" and isinstance(value, dict) and "constraints" in value:
                self._say((*path, "deploy", key), "left out", "nodes are called n1, n2, ...")
            else:
                self._say((*path, "deploy", key), "left out", DEFAULT_REASON)
        if made["mode"] not in ("replicated", "global"):
            made["mode"] = "replicated"
            self._say((*path, "deploy", "mode"), "changed", "jobs run as a replicated service")
        if made["mode"] == "global":
            del made["replicas"]
        return made

    def _places(self, path: tuple[str, ...], service: Mapping[str, Any]) -> dict[str, Any]:
        """`network_mode`, or `networks`: Compose's default network where neither is given."""
        mode = service.get("network_mode")
        if mode in ("host", "bridge"):
            self._say((*path, "network_mode"), "taken")
            return {"network_mode": mode}
        if mode is not None:
            self._say((*path, "network_mode"), "left out", f"{mode} is not one of host, bridge")
        named = service.get("networks") or ["default"]
        found = {}
        for key in named:
            self._networks.add(key)
            attachment = (named[key] if isinstance(named, dict) else None) or {}
            aliases = list(attachment.get("aliases") or ())
            found[_name(key)] = {"aliases": aliases} if aliases else {}
            for part in attachment:
                if part != "aliases":
                    self._say((*path, "networks", key, part), "left out", "scheduled services have no such thing")
        if "networks" in service:
            self._say((*path, "networks"), "taken")
        return {"networks": found}

    def _each(
        self, path: tuple[str, ...], service: Mapping[str, Any], key: str, convert: Callable[..., Any]
    ) -> Iterator[Any]:
        for index, value in enumerate(service.get(key) or ()):
            yield convert((*path, key, index), value, service)

    def _port(self, path: tuple[Any, ...], value: Any, service: Mapping[str, Any]) -> dict[str, Any] | None:
        given = value if isinstance(value, dict) else _short_port(str(value))
        if given is None or not str(given.get("target", "")).isdigit():
            self._say(path, "left out", "a range, or no port that can be read")
            return None
        port = {"target": int(given["target"]), "protocol": given.get("protocol") or "tcp"}
        if str(given.get("published") or "").isdigit():
            port["published"] = int(given["published"])
        vip = (service.get("deploy") or {}).get("endpoint_mode") == "vip"
        port["mode"] = "ingress" if vip and given.get("mode") != "host" else "host"
        replicas = (service.get("deploy") or {}).get("replicas", service.get("scale", 1))
        address = " (not on one address only)" if given.get("ip") or given.get("host_ip") else ""
        if port["mode"] == "host" and "published" in port and isinstance(replicas, int) and replicas > 1:
            del port["published"]
            self._say(path, "changed", f"the engine chooses it: several containers may share a node{address}")
        else:
            self._say(path, "changed" if address else "taken", f"published in mode {port['mode']}{address}")
        return port

    def _mount(self, path: tuple[Any, ...], value: Any, _service: Mapping[str, Any]) -> dict[str, Any] | None:
        given = value if isinstance(value, dict) else _short_mount(str(value))
        kind, source, target = given.get("type", "volume"), given.get("source"), str(given.get("target") or "")
        if not target.startswith("/"):
            self._say(path, "left out", "it has no absolute path inside the container")
            return None
        made: dict[str, Any] = {"type": kind, "target": posixpath.normpath(target)}
        if kind == "bind":
            why = _unbindable(str(source))
            if why:
                self._say(path, "left out", why)
                return None
            made["source"] = source
        elif kind == "volume":
            if not source:
                self._say(path, "left out", "a volume without a name is of no use to anybody else")
                return None
            self._volumes[str(source)] = True
            made["source"] = _name(str(source))
        elif kind != "tmpfs":
            self._say(path, "left out", f"a mount of type {kind}")
            return None
        if given.get("read_only") and kind != "tmpfs":
            made["read_only"] = True
        self._say(path, "taken")
        return made

    # --- networks and volumes

    def _all_networks(self) -> dict[str, Any]:
        declared = self._section("networks")
        for key in declared:
            if key not in self._networks:
                self._say(("networks", key), "left out", "no service is on it")
        return {_name(key): self._network(key, declared.get(key) or {}) for key in sorted(self._networks)}

    def _network(self, key: str, network: Mapping[str, Any]) -> dict[str, Any]:
        path = ("networks", key)
        driver = network.get("driver", "bridge")
        made: dict[str, Any] = {"driver": driver if driver in ("overlay", "macvlan", "ipvlan") else "overlay"}
        if made["driver"] == "overlay":
            made["attachable"] = True
        if driver != made["driver"]:
            self._say(path, "changed", f"driver {driver} does not reach other hosts; overlay does")
        if network.get("internal"):
            made["internal"] = True
        ranges = (network.get("ipam") or {}).get("config") or ()
        configs = [self._ipam(path, config, made["driver"]) for config in ranges]
        if any(configs):
            made["ipam"] = {"config": [config for config in configs if config]}
        if made["driver"] != "overlay" and network.get("enable_ipv6"):
            made["enable_ipv6"] = True
        if made["driver"] == driver and network.get("driver_opts"):
            made["driver_opts"] = network["driver_opts"]
        for part in network:
            if part == "external":
                self._say((*path, part), "changed", "the network is made for the run")
            elif part == "enable_ipv6":
                if "enable_ipv6" not in made and network[part]:
                    self._say((*path, part), "left out", NO_IPV6)
            elif part not in ("driver", "internal", "ipam", "attachable", "driver_opts", "name"):
                self._say((*path, part), "left out", DEFAULT_REASON)
        return made

    def _ipam(self, path: tuple[str, ...], config: Mapping[str, Any], driver: str) -> dict[str, Any]:
        if ":" in str(config.get("subnet", "")) and driver == "overlay":
            self._say((*path, "ipam"), "left out", NO_IPV6)
            return {}
        return {key: config[key] for key in ("subnet", "gateway", "ip_range") if config.get(key)}

    def _all_volumes(self) -> dict[str, Any]:
        declared = self._section("volumes")
        for key, volume in declared.items():
            if key not in self._volumes:
                self._say(("volumes", key), "left out", "no service mounts it")
            elif volume and (volume.get("driver", "local") != "local" or volume.get("driver_opts")):
                self._say(("volumes", key), "changed", "a local volume on each node; say what is to share it")
        return {_name(key): {"driver": "local"} for key in sorted(self._volumes)}

    # --- variables and places

    def _resolved(self, value: Any, path: tuple[Any, ...]) -> Any:
        """Variables are replaced by their defaults: whose environment would the others come from?"""
        if isinstance(value, dict):
            return {str(key): self._resolved(below, (*path, str(key))) for key, below in value.items()}
        if isinstance(value, list):
            return [self._resolved(below, (*path, index)) for index, below in enumerate(value)]
        if isinstance(value, str) and "$" in value:
            return self._without_variables(value, path)
        return value

    def _without_variables(self, text: str, path: tuple[Any, ...]) -> str:
        def default(match: re.Match[str]) -> str:
            found = match["default"]
            what = f"{match[0]} is {found!r}, its default" if found else f"{match[0]} has no default: left empty"
            self._say(path, "changed", what)
            return found or ""

        plain = _VARIABLE.sub(default, text.replace("$$", "\0"))
        return plain.replace("\0", "$")

    def _say(self, path: tuple[Any, ...], verb: Verb, why: str = "") -> None:
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
        self._entries.append(Entry(self._line(path), key, verb, why))

    def _line(self, path: tuple[Any, ...]) -> int:
        """Where a key stands; of one that is not there, where its parent does."""
        node, line = self._root, 1
        for part in path:
            found = _below(node, part)
            if found is None:
                break
            node, line = found
        return line


def _below(node: Any, part: Any) -> tuple[Any, int] | None:
    """The value under a key or index, and the line of that key."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for entry in node.value:
            if entry.value == part:
                return entry, entry.start_mark.line + 1
    return None


def _name(text: str) -> str:
    """A name as topologies have it: `my_app.Web` is `my-app-web`."""
    plain = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    named = plain if re.match(r"[a-z]", plain) else f"x-{plain}"
    assert re.match(NAME, named[:31])
    return named[:31].rstrip("-")


def _short_port(text: str) -> dict[str, Any] | None:
    match = _PORT.match(text)
    return match.groupdict() if match else None


def _short_mount(text: str) -> dict[str, Any]:
    """`source:target[:mode]`, or a target alone."""
    parts = text.split(":")
    if len(parts) == 1:
        return {"type": "volume", "target": parts[0]}
    kind = "bind" if parts[0].startswith(("/", ".", "~")) else "volume"
    return {"type": kind, "source": parts[0], "target": parts[1], "read_only": "ro" in parts[2:][:1]}


def _unbindable(source: str) -> str:
    if not source.startswith("/"):
        return "a path of the machine that Compose ran on, which the nodes do not have"
    why = sensitivity(source)
    return f"a sensitive path of the host ({why})" if why else ""


def _checks(services: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Those that say something about what there is."""
    yield {"connectivity": {}}
    networked = [service for service in services.values() if service.get("networks")]
    if any(service["deploy"]["mode"] == "replicated" for service in networked):
        yield {"dns": {}}
    volumes = {mount["source"] for s in services.values() for mount in s.get("volumes", ()) if _is_written(mount)}
    for volume in sorted(volumes):
        yield {"concurrent-append": {"id": f"append-{volume}", "volume": volume}}


def _is_written(mount: Mapping[str, Any]) -> bool:
    return mount["type"] == "volume" and not mount.get("read_only")
