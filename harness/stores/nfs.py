"""`nfs`: nfs-ganesha on one node, or a server that exists; every node mounts it by the kernel's client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.model.plan import Demand, Plan, Step, StorePlan
from harness.model.topology import Topology
from harness.ports import Store
from harness.stores import _existing, _nfs
from harness.stores._nfs import NfsOptions
from harness.stores._scripted import Scripted, Scripts, each_node, hook, image
from harness.stores.local import formatting, taking, too_small

FORMAT_TIMEOUT_S = 60.0
SERVER_TIMEOUT_S = 60.0
DAEMON = "ganesha"


class Nfs(Scripted):
    """The server exports XFS on a loop file, under the store's name. Options: `version`, `mount_options`, `size`;
    of a server that exists (`managed: false`, `address`): `version`, `mount_options`, `path`. Each run has a
    directory of its own there, which goes with it.
    """

    kind = "nfs"
    options = NfsOptions
    adopts = True

    def demands(self, topology: Topology, store: str) -> list[Demand]:
        """The client first: without it nothing else is worth asking for."""
        wanted_by = f"store {store}"
        third = NfsOptions.model_validate(topology.stores[store].options).version == "3"
        client = [Demand(each, wanted_by) for each in ("fs-nfs" if third else "fs-nfs4", "package:nfs-common")]
        packages = ("nfs-ganesha", "nfs-ganesha-vfs", "xfsprogs", "rpcbind")
        wanted = ("loop", "fs-xfs", *(f"package:{package}" for package in packages))
        nodes = _nodes(topology, store)
        return [*client, *(Demand(feature, wanted_by, nodes=nodes) for feature in wanted if nodes)]

    def misfits(self, topology: Topology, store: str, options: NfsOptions) -> Iterator[tuple[str, str]]:
        spec = topology.stores[store]
        if not spec.managed:
            yield from _existing.misfits(topology, store, ["size"])
            return
        yield from too_small("options.size", options.size, "xfs")
        if options.path:
            yield "options.path", f"it is the export of a server that exists (managed: false); here it is /{store}"
        if len(spec.nodes) > 1:
            yield "nodes", f"an NFS store has one server: name one of {', '.join(spec.nodes)}"
        yield from self._crowded(topology, store)

    def _crowded(self, topology: Topology, store: str) -> Iterator[tuple[str, str]]:
        mine = _nodes(topology, store)
        for name, other in topology.stores.items():
            if name == store:
                return
            if other.kind == self.kind and _nodes(topology, name) == mine:
                yield "nodes", f"one NFS server a node: {mine[0]} serves the store {name}"

    def plan(self, topology: Topology, store: str) -> StorePlan:
        made = super().plan(topology, store)
        made = replace(made, nodes=_nodes(topology, store))
        return replace(made, source=_nfs.exported_by(made))

    def scripts(self, plan: Plan, store: StorePlan) -> Scripts:
        mount = _nfs.mount_script(plan, store)
        fresh = _nfs.fresh_words(plan, store)
        if store.address:
            return Scripts(servers=":", mount=mount, down=_nfs.leave_script(plan, store), fresh=fresh)
        return Scripts(
            servers=_nfs.servers_script(plan, store),
            mount=mount,
            down=_nfs.down_script(plan, store),
            fresh=fresh,
            daemons={DAEMON: _nfs.daemon_script(store)},
            disk=taking(_nfs.exported(store)),
        )

    def make(self, plan: Plan, store: StorePlan) -> Iterator[Step]:
        if store.address:
            yield from _existing.making(plan, store, _nfs.aside_script(plan, store, _existing.MAKING))
        else:
            yield from self._serve(plan, store)

    def _serve(self, plan: Plan, store: StorePlan) -> Iterator[Step]:
        """The steps that make the server, and nothing of its clients."""
        server, others = store.nodes[0], [node.name for node in plan.nodes if node.name not in store.nodes]
        if others:
            argv = ["sh", "-c", 'rm -f -- "$1"', "sh", hook(store.name, f"daemons/{DAEMON}")]
            yield from each_node(plan, f"store {store.name}, places", "no server here", argv, nodes=others)
        argv = ["sh", "-c", formatting(image(plan, store.name), "xfs", str(store.options["size"]))]
        phase = f"store {store.name}, file system"
        yield Step(phase, "format what is exported", server, tuple(argv), FORMAT_TIMEOUT_S)
        start = ("sh", hook(store.name, "servers"))
        yield Step(f"store {store.name}, server", "start nfs-ganesha", server, start, SERVER_TIMEOUT_S)


def _nodes(topology: Topology, store: str) -> tuple[str, ...]:
    """The node that serves, if it is one of ours."""
    spec = topology.stores[store]
    return tuple((spec.nodes or topology.cluster.nodes.names)[:1]) if spec.managed else ()


STORE: Store = Nfs()
