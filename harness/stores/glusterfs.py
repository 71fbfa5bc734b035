"""`glusterfs`: a pool of peers, a brick on XFS on each server node, one volume, its FUSE client on every node;
or a volume that exists, of which each run mounts a directory of its own (mount.glusterfs(8), subdirectory mount).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field, field_validator

from harness.model.plan import Demand, Plan, Step, StorePlan
from harness.model.topology import Topology
from harness.ports import Store
from harness.stores import _existing
from harness.stores._scripted import WAITS, Options, Scripted, Scripts, each_node, hook, image, mounting
from harness.stores.local import formatting, mounted, size_bytes, taking, too_small

BRICKS = "/harness/bricks"
FORMAT_TIMEOUT_S = 60.0
PEERS_TIMEOUT_S = 60.0
VOLUME_TIMEOUT_S = 60.0
#: A client gives up a silent brick after this; Gluster's own default of 42 s outlasts most faults.
PING_TIMEOUT = {"network.ping-timeout": "5"}


class GlusterOptions(Options):
    replica: int = Field(1, ge=1, le=8, description="Copies of each file; 1: files are spread over the bricks")
    size: str = Field("512M", description="Of each brick; the file behind it is sparse")
    volume_options: dict[str, str] = Field(default_factory=dict, description="As `gluster volume set` takes them")
    mount_options: str = Field("", description="As `mount -o` takes them: direct-io-mode=yes")
    path: str = Field("", description="The volume of a server that exists, or a directory in it; empty: /STORE")

    @field_validator("size", mode="before")
    @classmethod
    def _is_a_size(cls, value: Any) -> str:
        size_bytes(str(value))
        return str(value)

    @field_validator("volume_options", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        """YAML reads on, off and numbers by itself."""
        if not isinstance(value, dict):
            return value
        return {str(k): ("on" if v else "off") if isinstance(v, bool) else str(v) for k, v in value.items()}

    @field_validator("volume_options")
    @classmethod
    def _are_options(cls, value: dict[str, str]) -> dict[str, str]:
        for name, given in value.items():
            if not re.fullmatch(r"[a-z0-9]+\.[a-z0-9.-]+", name):
                raise ValueError(f"{name!r} is no option of a volume: they have a dot, performance.write-behind")
            if not re.fullmatch(r"[\w.,:*/%-]+", given):
                raise ValueError(f"{name}: {given!r} is no value of an option")
        return value

    @field_validator("mount_options")
    @classmethod
    def _are_words(cls, value: str) -> str:
        if not re.fullmatch(r"[\w.,=:/-]*", value):
            raise ValueError("mount options are words with commas between them: direct-io-mode=enable,acl")
        return value

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        if value and not re.fullmatch(r"/[\w.-]+(/[\w.-]+)*/?", value):
            raise ValueError("a volume, or a directory in it, is written as it is mounted: /gv0 or /gv0/tests")
        return value


class Gluster(Scripted):
    """Options: `replica`, `size`, `volume_options`, `mount_options`. Of a volume that exists (`managed: false`,
    `address`): `path`, `mount_options`, and by `replica` and `volume_options` what it has; nothing of it is set.
    """

    kind = "glusterfs"
    options = GlusterOptions
    adopts = True
    plugin = True

    def demands(self, topology: Topology, store: str) -> list[Demand]:
        spec, wanted_by = topology.stores[store], f"store {store}"
        client = [Demand(feature, wanted_by) for feature in ("fuse", "package:glusterfs-client")]
        if not spec.managed:
            return client
        on_servers = ("loop", "fs-xfs", "package:xfsprogs", "package:glusterfs-server")
        return [*(Demand(feature, wanted_by, nodes=tuple(spec.nodes)) for feature in on_servers), *client]

    def misfits(self, topology: Topology, store: str, options: GlusterOptions) -> Iterator[tuple[str, str]]:
        spec = topology.stores[store]
        if not spec.managed:
            yield from _existing.misfits(topology, store, ["size"])
            return
        if options.path:
            yield "options.path", "it is the volume of a server that exists (managed: false); here it is /" + store
        nodes = len(spec.nodes or topology.cluster.nodes.names)
        if nodes % options.replica:
            bricks = f"{nodes} brick{'s' if nodes > 1 else ''}, one on each node"
            yield "options.replica", f"{bricks}, cannot be grouped by {options.replica}"
        yield from too_small("options.size", options.size, "xfs")
        stores = topology.stores.items()
        pools = [name for name, other in stores if other.kind == self.kind and other.managed]
        if store != pools[0]:
            yield "kind", f"a node has one pool of peers: {pools[0]} is a store of kind {self.kind} already"

    def plan(self, topology: Topology, store: str) -> StorePlan:
        """Every node mounts from the first server; others stand in where it does not answer."""
        made = super().plan(topology, store)
        if made.address:
            path = made.options["path"].rstrip("/") or f"/{store}"
            return replace(made, nodes=(), source=f"{made.address}:{path}")
        return replace(made, source=f"{made.nodes[0]}:/{store}")

    def scripts(self, plan: Plan, store: StorePlan) -> Scripts:
        attach = _attach(store, store.mounted_from(plan.run))
        mount, fresh = mounting(store, attach), f'timeout 30 {attach} "$point"'
        client = {"client": _client(store)}
        if store.address:
            down = _existing.leaving_script(plan, store, _aside(plan, store, _existing.REMOVING))
            return Scripts(servers=":", mount=mount, down=down, fresh=fresh, daemons=client)
        return Scripts(
            servers=_servers(plan, store),
            mount=mount,
            down=_down(plan, store),
            fresh=fresh,
            daemons={"glusterd": _GLUSTERD, "brick": _brick(store), **client},
            disk=taking(_brick_mount(store)),
        )

    def make(self, plan: Plan, store: StorePlan) -> Iterator[Step]:
        if store.address:
            yield from _existing.making(plan, store, _aside(plan, store, _existing.MAKING))
        else:
            yield from self._create(plan, store)

    def _create(self, plan: Plan, store: StorePlan) -> Iterator[Step]:
        yield from self._servers(plan, store)
        first = store.nodes[0]
        yield Step(f"store {store.name}, peers", "join the peers", first, _sh(_peers(store)), PEERS_TIMEOUT_S)
        yield from each_node(
            plan, f"store {store.name}, pool", "see all peers", _sh(_connected(store)),
            nodes=store.nodes, timeout_s=PEERS_TIMEOUT_S,
        )  # fmt: skip
        title = f"make a volume of {len(store.nodes)} bricks, replica {store.options['replica']}"
        yield Step(f"store {store.name}, volume", title, first, _sh(_volume(store)), VOLUME_TIMEOUT_S)

    def _servers(self, plan: Plan, store: StorePlan) -> Iterator[Step]:
        brick = formatting(image(plan, store.name), "xfs", store.options["size"])
        script = f"{brick} && sh {_hook(store, 'servers')}"
        yield from each_node(
            plan, f"store {store.name}, servers", "format a brick and start glusterd", _sh(script),
            nodes=store.nodes, timeout_s=FORMAT_TIMEOUT_S,
        )  # fmt: skip


def _volume_options(store: StorePlan) -> Mapping[str, str]:
    return {**PING_TIMEOUT, **store.options["volume_options"]}


def _sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def _hook(store: StorePlan, name: str) -> str:
    return hook(store.name, name)


def _brick_mount(store: StorePlan) -> str:
    return f"{BRICKS}/{store.name}"


#: A daemon keeps no pipe of whoever starts it.
_GLUSTERD = """
case "$1" in
pid) pgrep -x glusterd || true ;;
start) pgrep -x glusterd >/dev/null || glusterd </dev/null >/dev/null 2>&1 ;;
esac
"""


def _servers(plan: Plan, store: StorePlan) -> str:
    """After a restart of its node glusterd finds its peers and starts its brick by itself."""
    return f"""
set -eu
case " {" ".join(store.nodes)} " in *" $(uname -n) "*) ;; *) exit 0 ;; esac
{mounted(image(plan, store.name), _brick_mount(store), "xfs")}
mkdir -p {_brick_mount(store)}/brick
sh {_hook(store, "daemons/glusterd")} start
{WAITS}
waits 30 gluster --mode=script pool list
"""


def _brick(store: StorePlan) -> str:
    return f"""
case "$1" in
pid) pgrep -x glusterfsd || true ;;
start) pgrep -x glusterfsd >/dev/null || timeout 30 gluster --mode=script volume start {store.name} force ;;
esac
"""


def _client(store: StorePlan) -> str:
    """A client that died leaves a mount that answers nothing; containers that have it keep the dead one."""
    return f"""
case "$1" in
pid) pgrep -f -- '--process-name fuse .* {store.mount}$' || true ;;
start) sh {_hook(store, "mount")} ;;
esac
"""


def _attach(store: StorePlan, source: str) -> str:
    """The words that mount it, but for where."""
    others = ":".join(store.nodes[1:])
    words = [f"backup-volfile-servers={others}" if others else "", store.options["mount_options"]]
    options = ",".join(word for word in words if word)
    return f"mount -t glusterfs {f'-o {options} ' if options else ''}{source}"


def _aside(plan: Plan, store: StorePlan, act: str) -> str:
    return _existing.aside_script(plan, store, f'{_attach(store, store.source)} "$aside"', act)


def _peers(store: StorePlan) -> str:
    probes = "\n".join(f"waits 20 gluster --mode=script peer probe {node}" for node in store.nodes[1:])
    return f"set -eu\n{WAITS}\n{probes}\n"


def _connected(store: StorePlan) -> str:
    """Peers learn of each other one by one, and any of them refuses a volume while it misses another."""
    return f"""
set -eu
{WAITS}
connected() {{ [ "$(gluster --mode=script pool list | grep -c Connected)" = {len(store.nodes)} ]; }}
waits 40 connected
"""


def _volume(store: StorePlan) -> str:
    replica = int(store.options["replica"])
    shape = f"replica {replica} " if replica > 1 else ""
    bricks = " ".join(f"{node}:{_brick_mount(store)}/brick" for node in store.nodes)
    options = " ".join(f"{name} {shlex.quote(value)}" for name, value in _volume_options(store).items())
    return f"""
set -eu
gluster --mode=script volume create {store.name} {shape}transport tcp {bricks}
gluster --mode=script volume set {store.name} {options}
gluster --mode=script volume start {store.name}
"""


def _down(plan: Plan, store: StorePlan) -> str:
    """Clients of another store are left: it may mount a volume that exists."""
    return f"""
for name in glusterd glusterfsd; do pkill -KILL -x "$name" || true; done
for pid in $(pgrep -x glusterfs); do
  case "$(tr '\\0' ' ' <"/proc/$pid/cmdline")" in
  *" {store.mount} " | *" {store.fresh} ") kill -KILL "$pid" || true ;;
  *"--process-name fuse"*) ;;
  *) kill -KILL "$pid" || true ;;
  esac
done
umount {_brick_mount(store)} 2>/dev/null || umount -l {_brick_mount(store)} 2>/dev/null || true
rm -rf {_brick_mount(store)} /var/lib/glusterd/* /run/gluster
rm -f {image(plan, store.name)}
"""


STORE: Store = Gluster()
