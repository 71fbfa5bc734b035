"""A topology: the world that YAML describes, in Compose's words where Compose has a word.

Models only: they normalise short forms and check one value at a time. Names across sections, and what is not
built yet, are checked by the loader against a `Catalog`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from harness.model.policies import NetworkPolicy

NAME = r"^[a-z][a-z0-9-]{0,30}$"
Name = Annotated[str, Field(pattern=NAME)]
#: RFC 1123, as core/v1 wants a namespace's name.
NAMESPACE = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
MAX_NODES = 64
#: The driver option that says how a volume of a store comes to containers.
VIA = "via"


class Part(BaseModel):
    """Base of all sections: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Nodes(Part):
    manager: int = Field(1, ge=1, le=1, description="Managers (Swarm) or control planes; one")
    worker: int = Field(2, ge=0, le=MAX_NODES, description="Workers")

    @property
    def names(self) -> list[str]:
        return [f"n{i + 1}" for i in range(self.manager + self.worker)]


class Cluster(Part):
    provider: str = Field("docker", description="docker | kind | vagrant | existing")
    orchestrator: str = Field("swarm", description="swarm | kubernetes")
    nodes: Nodes = Field(default_factory=Nodes)
    heartbeat_s: int | None = Field(None, ge=1, le=600, description="Swarm's dispatcher heartbeat")
    engine: str | None = Field(
        None,
        description="Version of the engine on container nodes, or its beginning, such as 28.5; of Kubernetes, or "
        "kind's node image, for provider kind",
        # the loader takes a version as it is written
        json_schema_extra={"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
    )
    inventory: str | None = Field(None, description="Hosts that exist, for provider existing")
    kubeconfig: str | None = Field(
        None, description="A Kubernetes that exists, for provider existing: its kubeconfig"
    )
    context: str | None = Field(None, description="Which context of the kubeconfig; default: its current one")
    namespace: Annotated[str, Field(pattern=NAMESPACE)] | None = Field(
        None, description="A namespace of that Kubernetes that exists, where none can be made: it stays"
    )
    cni: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Manifests of a network for pods (flannel, Calico, ...), for provider kind; default: its own",
    )
    cni_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        None, description="Digest of these manifests: a file that has changed is refused. A run's folder says it"
    )
    workload_image: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="What containers are made of whose service names no image; default: the harness's own"
    )
    memory_mb: int | None = Field(None, ge=512, le=1 << 20, description="Of each machine, for provider vagrant")
    cpus: int | None = Field(None, ge=1, le=64, description="Of each machine, for provider vagrant")

    @field_validator("engine")
    @classmethod
    def _is_a_version(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("is empty: say a version, or leave it out")
        return value

    @model_validator(mode="before")
    @classmethod
    def _kubernetes_on_containers_is_kind(cls, data: Any) -> Any:
        """So that `--orchestrator kubernetes` is enough."""
        asked = data if isinstance(data, dict) else {}
        if asked.get("orchestrator") == "kubernetes" and asked.get("provider", "docker") == "docker":
            return {**asked, "provider": "kind"}
        return data

    @property
    def is_foreign_kubernetes(self) -> bool:
        """Whether it is one that was there before us, and that is reached by its API alone."""
        return self.provider == "existing" and self.orchestrator == "kubernetes"

    @property
    def kubectl(self) -> tuple[str, ...]:
        """What a command of kubectl begins with; on nodes that kubeadm made, its own configuration is there."""
        if not self.is_foreign_kubernetes:
            return ("kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf")
        words = (("--kubeconfig", self.kubeconfig), ("--context", self.context))
        return ("kubectl", *(word for key, value in words if value for word in (key, value)))

    @property
    def effective_heartbeat_s(self) -> int:
        return self.heartbeat_s or {"vagrant": 30, "existing": 5}.get(self.provider, 1)


class IpamConfig(Part):
    subnet: str | None = Field(None, description="Network in CIDR notation")
    gateway: str | None = Field(None, description="Address of the gateway")
    ip_range: str | None = Field(None, description="Part of the subnet to allocate from, in CIDR notation")

    @field_validator("subnet", "ip_range")
    @classmethod
    def _network(cls, value: str | None) -> str | None:
        if value is not None:
            ipaddress.ip_network(value)
        return value

    @field_validator("gateway")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            ipaddress.ip_address(value)
        return value


class Ipam(Part):
    config: list[IpamConfig] = Field(default_factory=list, max_length=4)


class Network(Part):
    driver: str = Field(..., description="overlay | macvlan | ipvlan | bridge")
    scope: Literal["local", "swarm"] | None = Field(
        None,
        description="local: made on each node by itself; swarm: one network; default: what its services need",
    )
    attachable: bool = False
    internal: bool = False
    enable_ipv6: bool = Field(False, description="Addresses of both families; needs an IPv6 subnet in ipam")
    ipam: Ipam = Field(default_factory=Ipam)
    driver_opts: dict[str, str] = Field(default_factory=dict)

    @field_validator("driver_opts", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        return _text_values(value)

    @property
    def mtu(self) -> int | None:
        """The MTU that the topology asks for; None where it leaves it to the driver."""
        text = self.driver_opts.get("com.docker.network.driver.mtu")
        return int(text) if text else None

    @field_validator("driver_opts")
    @classmethod
    def _mtu_is_a_number(cls, value: dict[str, str]) -> dict[str, str]:
        text = value.get("com.docker.network.driver.mtu")
        if text is not None and not (text.isdigit() and 68 <= int(text) <= 65535):
            raise ValueError("com.docker.network.driver.mtu must be a number from 68 to 65535")
        return value

    @property
    def parent(self) -> str:
        """The nodes' interface that macvlan and ipvlan stand on, or a VLAN of one (`eth0.20`)."""
        return self.driver_opts.get("parent", "eth0")

    @property
    def subnets(self) -> list[str]:
        return [config.subnet for config in self.ipam.config if config.subnet]

    def subnets_of(self, family: int) -> list[IpamConfig]:
        """The parts of `ipam` with a subnet of IPv4 (4) or IPv6 (6)."""
        return [c for c in self.ipam.config if c.subnet and ipaddress.ip_network(c.subnet).version == family]


class Store(Part):
    kind: str = Field(..., description="glusterfs | cephfs | nfs | local")
    nodes: list[Name] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)
    managed: bool = True
    address: str | None = None


class Volume(Part):
    driver: str = Field("local", description="local | glusterfs | cephfs | nfs")
    store: Name | None = None
    driver_opts: dict[str, str] = Field(default_factory=dict)
    storage_class: str | None = None
    access_mode: str | None = None

    @field_validator("driver_opts", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        return _text_values(value)

    @property
    def via(self) -> str:
        """How a volume of a store comes to containers, where the topology says it: `plugin`, `bind`, `in-tree`."""
        return self.driver_opts.get(VIA, "")


def _text_values(value: Any) -> Any:
    """Compose lets numbers and booleans stand unquoted in driver_opts."""
    if isinstance(value, dict):
        return {k: _scalar_text(v) if isinstance(v, bool | int | float) else v for k, v in value.items()}
    return value


def _scalar_text(value: bool | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Attachment(Part):
    """A service's place on one network."""

    aliases: list[Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$")]] = Field(
        default_factory=list
    )
    ipv4_address: str | None = None
    ipv6_address: str | None = None


class Port(Part):
    target: int = Field(..., ge=1, le=65535)
    published: int | None = Field(None, ge=1, le=65535)
    protocol: Literal["tcp", "udp"] = "tcp"
    mode: Literal["host", "ingress"] = "ingress"


class Mount(Part):
    type: Literal["volume", "bind", "tmpfs"] = "volume"
    source: str | None = None
    target: str = Field(..., pattern=r"^/")
    read_only: bool = False


class Placement(Part):
    constraints: list[str] = Field(default_factory=list)


class Deploy(Part):
    mode: Literal["replicated", "global"] = "replicated"
    replicas: int = Field(1, ge=0, le=500)
    endpoint_mode: Literal["vip", "dnsrr"] = "dnsrr"
    placement: Placement = Field(default_factory=Placement)


_PORT = re.compile(r"^(?:(?P<published>\d+):)?(?P<target>\d+)(?:/(?P<protocol>tcp|udp))?$")


def _port(value: Any) -> Any:
    """Compose's short forms: 80, "80", "8000:5000", "53:53/udp"."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"target": value}
    if isinstance(value, str):
        match = _PORT.match(value)
        if not match:
            raise ValueError(f"a port is written as 5000, 8000:5000 or 8000:5000/udp, not {value!r}")
        return {key: text for key, text in match.groupdict().items() if text}
    return value


def _mount(value: Any) -> Any:
    """Compose's short form: source:target[:ro]."""
    if not isinstance(value, str):
        return value
    parts = value.split(":")
    if len(parts) not in (2, 3) or (len(parts) == 3 and parts[2] not in ("ro", "rw")):
        raise ValueError(f"a mount is written as source:/target or source:/target:ro, not {value!r}")
    source, target = parts[:2]
    kind = "bind" if source.startswith(("/", ".", "~")) else "volume"
    return {"type": kind, "source": source, "target": target, "read_only": parts[-1] == "ro"}


def _attachments(value: Any) -> Any:
    if isinstance(value, list):
        names = [name for name in value if isinstance(name, str)]
        doubles = sorted({name for name in names if names.count(name) > 1})
        if doubles:
            raise ValueError(f"the network {doubles[0]!r} stands twice")
        return dict.fromkeys(names, Attachment()) if len(names) == len(value) else value
    if isinstance(value, dict):
        return {k: {} if v is None else v for k, v in value.items()}
    return value


def _environment(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(entry, str) and "=" in entry for entry in value):
        return dict(entry.split("=", 1) for entry in value)
    return _text_values(value)


def _command(value: Any) -> Any:
    return ["sh", "-c", value] if isinstance(value, str) else value


#: Go templates of `docker service create`: the service's name and the number of its task.
STABLE = "{{.Service.Name}}-{{.Task.Slot}}"


class Service(Part):
    image: str | None = Field(None, description="Default: the harness's workload image")
    hostname: str | None = Field(
        None,
        description="{{.Service.Name}}-{{.Task.Slot}}, as Compose has it for Swarm: the names of a replicated "
        "service's containers hold when they are replaced; a StatefulSet on Kubernetes",
    )
    command: Annotated[list[str] | None, BeforeValidator(_command)] = None
    environment: Annotated[dict[str, str], BeforeValidator(_environment)] = Field(default_factory=dict)
    user: str | None = None
    read_only: bool = False
    cap_drop: list[str] = Field(default_factory=list)
    deploy: Deploy | None = None
    node: Name | None = Field(None, description="Makes a plain container on that node")
    namespace: Name | None = Field(
        None, description="Kubernetes: its pods are in a namespace of their own, for selectors of policies"
    )
    network_mode: Literal["host", "bridge", "none"] | None = None
    networks: Annotated[dict[Name, Attachment], BeforeValidator(_attachments)] = Field(default_factory=dict)
    ports: list[Annotated[Port, BeforeValidator(_port)]] = Field(default_factory=list)
    volumes: list[Annotated[Mount, BeforeValidator(_mount)]] = Field(default_factory=list)

    @field_validator("user", mode="before")
    @classmethod
    def _user(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _one_shape(self) -> Service:
        if self.node and self.deploy:
            raise ValueError("a service has `node` (a plain container) or `deploy` (scheduled), not both")
        if self.hostname is not None and self.hostname.replace(" ", "") != STABLE:
            raise ValueError(
                f"the only `hostname` is {STABLE!r}: names that hold; else they are the orchestrator's"
            )
        if self.hostname is not None and (self.node or self.effective_deploy.mode != "replicated"):
            raise ValueError("`hostname` is for a replicated service; all others' names hold as it is")
        if self.network_mode and self.networks:
            raise ValueError("`network_mode` and `networks` exclude each other")
        return self

    @property
    def effective_deploy(self) -> Deploy:
        return self.deploy or Deploy()

    @property
    def is_stable(self) -> bool:
        """Whether the names of its containers hold."""
        return self.hostname is not None


class Fault(Part):
    """When and where a fault is injected, relative to the start of the check's load."""

    fault: str
    target: str = Field(
        "one", description="one | minority | majority | all | a role | a node's name | STORE/DAEMON (kill, pause)"
    )
    direction: Literal["both", "in", "out"] = "both"
    at_s: float = Field(1.0, ge=0, le=3600)
    hold_s: float = Field(3.0, gt=0, le=3600)
    repeat: int = Field(1, ge=1, le=100)
    params: dict[str, Any] = Field(default_factory=dict, description="Keys of the fault's own; flat in YAML")


class Check(Part):
    """One ready check. `params` is held against the check's own model by the loader, defaults filled in."""

    kind: str
    id: str
    params: dict[str, Any] = Field(default_factory=dict)
    faults: list[Fault] = Field(default_factory=list)


class PromiseOverride(Part):
    """What one volume promises other than the promise matrix says, and why."""

    volume: Name
    promise: str = Field(..., description="A promise of the matrix: `harness promises` lists them")
    expected: Literal["holds", "may", "unproven"]
    reason: str = Field(..., description="Who says so; it stands in the report")

    @field_validator("reason")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("an override says why")
        return value.strip()


class Topology(Part):
    name: Name
    description: str | None = None
    cluster: Cluster = Field(default_factory=Cluster)
    networks: dict[Name, Network] = Field(default_factory=dict)
    stores: dict[Name, Store] = Field(default_factory=dict)
    volumes: dict[Name, Volume] = Field(default_factory=dict)
    services: dict[Name, Service] = Field(default_factory=dict, max_length=200)
    policies: list[NetworkPolicy] = Field(
        default_factory=list, max_length=500, description="NetworkPolicy objects of Kubernetes"
    )
    promises: list[PromiseOverride] = Field(
        default_factory=list, max_length=200, description="Overrides of the promise matrix, each with its reason"
    )
    allow_sensitive: bool = False
    checks: list[Check] = Field(default_factory=list, max_length=100)

    @field_validator("networks", "volumes", "services", "stores", mode="before")
    @classmethod
    def _empty_sections(cls, value: Any) -> Any:
        """`app:` with nothing behind it means the defaults, as in Compose."""
        if isinstance(value, dict):
            return {k: {} if v is None else v for k, v in value.items()}
        return {} if value is None else value

    @property
    def vlans(self) -> dict[str, Network]:
        """The networks that stand on a VLAN of the nodes' interface (IEEE 802.1Q)."""
        linked = {name: net for name, net in self.networks.items() if net.driver in ("macvlan", "ipvlan")}
        return {name: net for name, net in linked.items() if "." in net.parent}
