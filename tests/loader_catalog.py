"""A small catalog and shorthands for the tests of the loader."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.loader import loads
from harness.model.catalog import Catalog, Names
from harness.model.errors import Problem, TopologyError
from harness.model.topology import Topology


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Connectivity(Params):
    """All pairs."""

    protocols: list[Literal["icmp", "tcp", "udp"]] = Field(["icmp", "tcp", "udp"], min_length=1)
    services: list[str] = Field(default_factory=list)
    timeout_s: float = Field(1.0, ge=0.05, le=60)


class Mtu(Params):
    network: str | None = Field(None, description="The network to measure")
    packet_bytes: int | None = Field(None, ge=68, le=65535)


class Shape(Params):
    size: int = Field(..., gt=0)


class Append(Params):
    volume: str
    writers_per_node: int = Field(2, ge=1, le=64)
    duration_s: float = Field(5.0, gt=0, lt=3600)
    shape: Shape | None = None


def names(built: str, later: str = "") -> Names:
    return Names(frozenset(built.split()), frozenset(later.split()))


CATALOG = Catalog(
    providers=names("docker", "kind vagrant existing"),
    orchestrators=names("swarm", "kubernetes"),
    network_drivers=names("overlay bridge", "macvlan ipvlan"),
    volume_drivers=names("local glusterfs", "cephfs nfs"),
    store_kinds=names("local glusterfs", "cephfs nfs"),
    faults=names("pause partition", "clock-skew"),
    checks={"connectivity": Connectivity, "mtu": Mtu, "concurrent-append": Append},
    checks_later=frozenset({"dns"}),
)


def read(text: str, *overrides: tuple[str, str], catalog: Catalog = CATALOG) -> Topology:
    return loads(text, "x.yaml", catalog, overrides)


def problems(text: str, *overrides: tuple[str, str], catalog: Catalog = CATALOG) -> tuple[Problem, ...]:
    """Those of a text that must have some."""
    try:
        topology = read(text, *overrides, catalog=catalog)
    except TopologyError as error:
        return error.problems
    raise AssertionError(f"no problem was found, but {topology!r}")


def problem(text: str, *overrides: tuple[str, str], catalog: Catalog = CATALOG) -> Problem:
    """The one problem of a text that must have exactly one."""
    (found,) = problems(text, *overrides, catalog=catalog)
    return found
