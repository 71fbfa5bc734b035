"""An inventory: hosts that somebody else made, and how they are reached. It holds no secrets, and takes none."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.model.topology import MAX_NODES

#: What people write where they would give a secret away.
SECRETS = ("password", "passphrase", "sudo_password", "become_password", "token")
_REACHED = r"^[^\s@-][^\s@]*$"
Address = Annotated[str, Field(pattern=_REACHED)]
User = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@-]*$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _no_secrets(cls, value: Any) -> Any:
        found = [key for key in SECRETS if isinstance(value, dict) and key in value]
        if found:
            raise ValueError(f"{found[0]} does not belong here: name a key, or let ssh-agent hold it")
        return value


class Access(Part):
    """How a host is reached. `jump` is an address, or how the host in between is reached itself."""

    user: User | None = Field(None, description="Login name; default root")
    port: int | None = Field(None, ge=1, le=65535, description="Of sshd; default 22")
    key: str | None = Field(None, description="Private key file; default: ssh-agent, then ~/.ssh/id_*")
    sudo: bool | None = Field(None, description="Every command by `sudo -n`")
    jump: Address | Jump | None = Field(None, description="The host through which this one is reached")
    slowness: float | None = Field(
        None, ge=1, le=100, description="How many times longer it may take, such as 12 for an emulated machine"
    )


class Jump(Part):
    address: Address
    user: User | None = None
    port: int | None = Field(None, ge=1, le=65535)
    key: str | None = None


class ListedHost(Access):
    address: Address = Field(..., description="Where sshd is reached, a name or an IP address")
    wire: str | None = Field(None, description="IP address on the network between the hosts; default: `address`")
    role: Literal["manager", "worker"] | None = Field(None, description="Default: the first is the manager")

    @field_validator("wire")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            ipaddress.IPv4Address(value)
        return value

    @model_validator(mode="after")
    def _wire_is_known(self) -> ListedHost:
        if self.wire is None:
            try:
                ipaddress.IPv4Address(self.address)
            except ValueError:
                raise ValueError(f"`wire` is missing: the hosts need an IPv4 address for {self.address}") from None
        return self

    @property
    def wire_address(self) -> str:
        return self.wire or self.address


class Inventory(Part):
    """`folder` is where the file stands: relative paths are meant from there."""

    host_keys: Literal["known", "accept-new"] = Field(
        "known", description="accept-new: add the keys of hosts that are unknown; changed ones are always refused"
    )
    known_hosts: str = Field("~/.ssh/known_hosts", description="Host keys, as ssh(1) keeps them")
    swarm: Literal["new", "join"] = Field("new", description="join: use the Swarm that the hosts are in already")
    mtu: int = Field(1500, ge=576, le=65535, description="Largest IP packet between the hosts, in bytes")
    defaults: Access = Field(default_factory=Access, description="For hosts that do not say otherwise")
    hosts: list[ListedHost] = Field(..., min_length=1, max_length=MAX_NODES)
    folder: str = Field("", exclude=True)

    @field_validator("hosts")
    @classmethod
    def _distinct(cls, hosts: list[ListedHost]) -> list[ListedHost]:
        seen: set[str] = set()
        for host in hosts:
            if host.wire_address in seen:
                raise ValueError(f"{host.wire_address} stands twice")
            seen.add(host.wire_address)
        if sum(host.role == "manager" for host in hosts) > 1:
            raise ValueError("one host is the manager; the others are workers")
        return hosts

    @property
    def ordered(self) -> list[ListedHost]:
        """The manager first: the first, unless another one says so."""
        return sorted(self.hosts, key=lambda host: host.role != "manager")

    def path(self, text: str) -> Path:
        """A path of the file; `~` is the user's home."""
        return Path(self.folder) / Path(text).expanduser()


Access.model_rebuild()
ListedHost.model_rebuild()
