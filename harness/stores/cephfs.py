"""`cephfs`: a Ceph cluster on nodes (monitor, manager, OSDs, MDS), and CephFS mounted on every node; or a CephFS
that exists, of which each run mounts a directory of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.model.plan import Demand, Plan, Step, StorePlan
from harness.model.topology import Topology
from harness.ports import Store
from harness.stores import _ceph, _ceph_existing, _existing
from harness.stores._ceph import CephOptions
from harness.stores._scripted import SLOW, Scripted, Scripts, directories, each_node, hook

START_TIMEOUT_S = 60.0


class Cephfs(Scripted):
    """Monitor and manager are on the first of `nodes`; OSDs are dealt to the nodes from the first, MDS from
    the last. Options: `osds`, `objectstore`, `mds`, `pool_size`, `client`, `page_cache`, `device_mib`. Of one that
    exists (`managed: false`, and its monitors with commas between them as `address`): `user`, `keyring`,
    `file_system`, `path`, `client`, `page_cache`, and by `pool_size` how many replicas it has.
    """

    kind = "cephfs"
    options = CephOptions
    adopts = True
    addresses = ","
    plugin = True

    def demands(self, topology: Topology, store: str) -> list[Demand]:
        spec = topology.stores[store]
        options = CephOptions.model_validate(spec.options)
        client = "fuse" if options.client == "fuse" else "fs-ceph"
        packages = _ceph.packages(options) if spec.managed else _ceph_existing.packages(options)
        features = [client, *(f"package:{package}" for package in packages)]
        return [Demand(feature, f"store {store}") for feature in features]

    def misfits(self, topology: Topology, store: str, options: CephOptions) -> Iterator[tuple[str, str]]:
        if not options.page_cache and options.client == "kernel":
            yield "options.page_cache", "only ceph-fuse can do without the page cache"
        if topology.stores[store].managed:
            yield from self._misfits_of_ours(topology, store, options)
        else:
            yield from _ceph_existing.misfits(topology, store, options)

    def _misfits_of_ours(self, topology: Topology, store: str, options: CephOptions) -> Iterator[tuple[str, str]]:
        spec = topology.stores[store]
        for option in _ceph_existing.FOREIGN:
            if option in spec.options:
                yield f"options.{option}", "it is of a CephFS that exists (managed: false)"
        osds = options.osds or len(spec.nodes or topology.cluster.nodes.names)
        if options.pool_size > osds:
            yield "options.pool_size", f"{options.pool_size} replicas need as many OSDs; there are {osds}"
        ours = [name for name, each in topology.stores.items() if each.kind == self.kind and each.managed]
        if store != ours[0]:
            yield "kind", f"one Ceph cluster a topology: its monitors' ports are those of the store {ours[0]}"

    def plan(self, topology: Topology, store: str) -> StorePlan:
        made = super().plan(topology, store)
        return replace(made, nodes=()) if made.address else made

    def scripts(self, plan: Plan, store: StorePlan) -> Scripts:
        return _ceph_existing.scripts(plan, store) if store.address else self._scripts_of_ours(plan, store)

    def _scripts_of_ours(self, plan: Plan, store: StorePlan) -> Scripts:
        daemons = {name: _ceph.daemon_script(plan, store, name) for name in _ceph.layout(store).all}
        by_fuse = store.options["client"] == "fuse"
        if by_fuse:
            daemons["client"] = _ceph.client_script(store)
        attach = _ceph.attach_words(store, "$point", fresh=True)
        return Scripts(
            servers=_ceph.servers_script(plan, store),
            mount=_ceph.mount_script(store, directories(store)),
            down=_ceph.down_script(plan, store),
            fresh=f"timeout $((30 * {SLOW})) {attach} </dev/null >/dev/null 2>&1",
            daemons=daemons,
            disk=_ceph.disk_script(store),
            client=_ceph.eviction_script(store) if by_fuse else "",
        )

    def make(self, plan: Plan, store: StorePlan) -> Iterator[Step]:
        if store.address:
            yield from _existing.making(plan, store, _ceph_existing.making_script(plan, store))
        else:
            yield from self._create(plan, store)

    def _create(self, plan: Plan, store: StorePlan) -> Iterator[Step]:
        where, name = _ceph.layout(store), store.name
        for node in plan.nodes:
            mine = where.names(node.name)
            others = [hook(name, f"daemons/{each}") for each in where.all if each not in mine]
            argv = ["sh", "-c", 'rm -f -- "$@"', "sh", *others]
            yield from each_node(plan, f"store {name}, places", "its own daemons only", argv, nodes=[node.name])
        start = ["sh", hook(name, "servers")]
        yield from self._on(plan, store, "monitor", [*start, "mon mgr"], [where.monitor])
        create = ["sh", "-c", _ceph.create_script(plan, store)]
        yield from self._on(plan, store, "numbers of OSDs", create, [where.monitor])
        yield from self._on(plan, store, "servers", start, [node.name for node in plan.nodes])
        fs = ["sh", "-c", _ceph.file_system_script(store)]
        yield from self._on(plan, store, "file system", fs, [where.monitor])

    def _on(self, plan: Plan, store: StorePlan, what: str, argv: list[str], nodes: list[str]) -> Iterator[Step]:
        phase = f"store {store.name}, {what}"
        yield from each_node(plan, phase, what, argv, nodes=nodes, timeout_s=START_TIMEOUT_S)


STORE: Store = Cephfs()
