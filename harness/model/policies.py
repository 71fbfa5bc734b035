"""NetworkPolicy objects, and what they mean: which connections of pods they shut. Plain data and pure functions.

The meaning is that of networking.k8s.io/v1 ("Network Policies" in Kubernetes' documentation): a pod that no policy
of a direction selects is open in it; one that some select takes what any of their rules allows, and no more; a
connection needs the source's egress and the target's ingress.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Direction = Literal["Ingress", "Egress"]
#: In the order in which a packet meets them.
DIRECTIONS: tuple[Direction, ...] = ("Egress", "Ingress")

_PORT_NAME = r"^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$"


class _Part(BaseModel):
    """Fields are called as in the API, since that is what people write."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)


class Requirement(_Part):
    key: str = Field(..., pattern=r".")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _values_where_they_mean_something(self) -> Requirement:
        if bool(self.values) != (self.operator in ("In", "NotIn")):
            raise ValueError("In and NotIn have values, Exists and DoesNotExist have none")
        return self

    def holds(self, labels: Mapping[str, str]) -> bool:
        """NotIn holds where the key is missing, too."""
        present = self.key in labels
        return {
            "In": present and labels.get(self.key) in self.values,
            "NotIn": labels.get(self.key) not in self.values,
            "Exists": present,
            "DoesNotExist": not present,
        }[self.operator]


class LabelSelector(_Part):
    """An empty one selects all."""

    matchLabels: dict[str, str] = Field(default_factory=dict)  # noqa: N815
    matchExpressions: list[Requirement] = Field(default_factory=list)  # noqa: N815

    def selects(self, labels: Mapping[str, str]) -> bool:
        exact = all(labels.get(key) == value for key, value in self.matchLabels.items())
        return exact and all(each.holds(labels) for each in self.matchExpressions)


class IpBlock(_Part):
    cidr: str
    except_: list[str] = Field(default_factory=list, alias="except")

    @model_validator(mode="after")
    def _exceptions_lie_inside(self) -> IpBlock:
        whole = _network(self.cidr)
        for text in self.except_:
            part = _network(text)
            if part.version != whole.version or not part.subnet_of(whole):  # type: ignore[arg-type]
                raise ValueError(f"except: {text} does not lie within {self.cidr}")
        return self

    def holds(self, address: str) -> bool:
        asked = ipaddress.ip_address(address)
        return asked in _network(self.cidr) and not any(asked in _network(text) for text in self.except_)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Raises ValueError; bits behind the prefix are let be, as the API does."""
    return ipaddress.ip_network(text, strict=False)


class Peer(_Part):
    """Labels of pods and of namespaces, or a block of addresses."""

    podSelector: LabelSelector | None = None  # noqa: N815
    namespaceSelector: LabelSelector | None = None  # noqa: N815
    ipBlock: IpBlock | None = None  # noqa: N815

    @model_validator(mode="after")
    def _one_kind(self) -> Peer:
        selects = self.podSelector is not None or self.namespaceSelector is not None
        if selects == (self.ipBlock is not None):
            raise ValueError("a peer has an ipBlock, or a podSelector or namespaceSelector or both")
        return self


class PolicyPort(_Part):
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    port: Annotated[int, Field(ge=1, le=65535)] | Annotated[str, Field(pattern=_PORT_NAME)] | None = None


class IngressRule(_Part):
    from_: list[Peer] = Field(default_factory=list, alias="from")
    ports: list[PolicyPort] = Field(default_factory=list)

    @property
    def peers(self) -> list[Peer]:
        return self.from_


class EgressRule(_Part):
    to: list[Peer] = Field(default_factory=list)
    ports: list[PolicyPort] = Field(default_factory=list)

    @property
    def peers(self) -> list[Peer]:
        return self.to


class PolicySpec(_Part):
    podSelector: LabelSelector  # noqa: N815
    policyTypes: list[Direction] | None = None  # noqa: N815
    ingress: list[IngressRule] | None = None
    egress: list[EgressRule] | None = None

    @property
    def directions(self) -> Sequence[Direction]:
        """Without policyTypes: Ingress always, Egress where there are egress rules."""
        return self.policyTypes or (["Ingress", "Egress"] if self.egress else ["Ingress"])

    def rules(self, direction: Direction) -> Sequence[IngressRule | EgressRule]:
        return (self.ingress if direction == "Ingress" else self.egress) or []


class PolicyMetadata(_Part):
    name: str = Field(..., pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
    namespace: str | None = Field(
        None, description="One of the services' namespaces; default: where all others are"
    )
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class NetworkPolicy(_Part):
    """One object, as the API takes it. `endPort` is left out: not all versions that are served know it."""

    apiVersion: Literal["networking.k8s.io/v1"]  # noqa: N815
    kind: Literal["NetworkPolicy"]
    metadata: PolicyMetadata
    spec: PolicySpec

    @field_validator("spec")
    @classmethod
    def _types_are_named_once(cls, value: PolicySpec) -> PolicySpec:
        if value.policyTypes is not None and len(set(value.policyTypes)) != len(value.policyTypes):
            raise ValueError("policyTypes: one stands twice")
        return value

    def as_object(self) -> dict[str, Any]:
        """For the API: what was not said is not there, and an empty list is one."""
        made = self.model_dump(mode="json", exclude_none=True)
        return {**made, "metadata": {key: value for key, value in made["metadata"].items() if value}}


@dataclass(frozen=True)
class Pod:
    """A pod with an address of its own. `ports` are those with names: (name, protocol in lower case, number)."""

    namespace: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True)
class Connection:
    """`protocol` is tcp, udp or sctp."""

    source: Pod
    target: Pod
    protocol: str
    port: int


def shut_by(policies: Iterable[NetworkPolicy], connection: Connection) -> tuple[Direction, ...]:
    """The directions in which policies shut the connection; empty: it is open.

    Not for a pod that calls itself, nor for what a pod's own node sends to it: neither can be shut.
    """
    known = list(policies)
    return tuple(direction for direction in DIRECTIONS if not _passes(known, direction, connection))


def _passes(policies: Sequence[NetworkPolicy], direction: Direction, connection: Connection) -> bool:
    own, other = connection.source, connection.target
    if direction == "Ingress":
        own, other = other, own
    selecting = [policy for policy in policies if _selects(policy, direction, own)]
    return not selecting or any(
        _allows(policy, rule, other, connection) for policy in selecting for rule in policy.spec.rules(direction)
    )


def _selects(policy: NetworkPolicy, direction: Direction, pod: Pod) -> bool:
    right_place = policy.metadata.namespace == pod.namespace
    return right_place and direction in policy.spec.directions and policy.spec.podSelector.selects(pod.labels)


def _allows(policy: NetworkPolicy, rule: IngressRule | EgressRule, other: Pod, connection: Connection) -> bool:
    right_peer = not rule.peers or any(_means(policy, peer, other) for peer in rule.peers)
    return right_peer and (not rule.ports or any(_fits(port, connection) for port in rule.ports))


def _means(policy: NetworkPolicy, peer: Peer, pod: Pod) -> bool:
    """Without a namespaceSelector a peer is of the policy's own namespace; without a podSelector it is any pod."""
    if peer.ipBlock is not None:
        return peer.ipBlock.holds(pod.address)
    if peer.namespaceSelector is not None:
        right_space = peer.namespaceSelector.selects(pod.namespace_labels)
    else:
        right_space = pod.namespace == policy.metadata.namespace
    return right_space and (peer.podSelector is None or peer.podSelector.selects(pod.labels))


def _fits(port: PolicyPort, connection: Connection) -> bool:
    if port.protocol.lower() != connection.protocol:
        return False
    return port.port is None or connection.port in _numbers(port.port, connection)


def _numbers(port: int | str, connection: Connection) -> Iterator[int]:
    """A name is looked up in the pod that is connected to."""
    if isinstance(port, int):
        yield port
    else:
        for name, protocol, number in connection.target.ports:
            if (name, protocol) == (port, connection.protocol):
                yield number
