"""Every fault on every store, under load: felt, healed, and what was synced is there for everybody afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.model.topology import Fault
from harness.session import Bench
from harness.session.judging import fault_records
from harness.transport.recorder import read_history
from tests.cluster_bench import live_bench

pytestmark = [pytest.mark.cluster, pytest.mark.nightly]

NODE, EVERYBODY = "n3", "all"
#: Fault, target and how long it holds; a disk that is full takes no record that could be looked for.
ON_NODES = [("pause", NODE, 3), ("kill", NODE, 3), ("drop-caches", EVERYBODY, 1), ("disk-full", EVERYBODY, 1)]
ON_LINKS = [("partition", NODE, 3), ("link-down", NODE, 3)]
ON_BRICKS = [("kill", "pool/brick@n2", 2), ("pause", "pool/brick@n2", 2), ("kill", "pool/glusterd@n2", 2)]
ON_CEPH = [
    ("kill", "pool/osd.1", 2),
    ("pause", "pool/osd.1", 2),
    ("kill", "pool/mds", 2),
    ("pause", "pool/mds", 2),
    ("evict", "n2", 2),
]
BLUESTORE = {"stores__pool__options__objectstore": "bluestore"}
#: Shipped topologies, the volume, what is laid over them, and what can befall their stores.
STORES = {
    "volume-local-xfs": ("data", {}, ON_NODES),
    "volume-local-ext4": ("data", {}, ON_NODES),
    "volume-glusterfs": ("data", {}, ON_NODES + ON_LINKS + ON_BRICKS),
    "volume-cephfs": ("shared", BLUESTORE, ON_NODES + ON_LINKS + ON_CEPH),
}
CASES = [
    pytest.param(name, Fault(fault=fault, target=target, at_s=1, hold_s=hold_s), id=f"{name}-{fault}-{target}")
    for name, (_, _, faults) in STORES.items()
    for fault, target, hold_s in faults
]


@pytest.fixture(scope="module")
def store(
    own_engine: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """One cluster for all faults of a store: each must leave it healthy for the next."""
    settings = STORES[request.param][1]
    with live_bench(request.param, tmp_path_factory.mktemp("store"), **settings) as made:
        yield made


@pytest.mark.parametrize(("store", "strike"), CASES, indirect=["store"])
def test_what_was_synced_outlives_it(store: Bench, strike: Fault) -> None:
    """Processes that write are killed as well, but where a fault already kills a server."""
    dies = "server" if strike.fault == "kill" else "client"
    load = {"rate_per_s": 20, "duration_s": 2, "killed": dies, "kill_share": 0.1}
    verdict = store.check("durability", inject=[strike], volume=STORES[store.live.plan.topology.name][0], **load)

    records = fault_records(read_history(store.folder).only(check=verdict.id))
    assert [(record.name, record.felt, record.healed) for record in records] == [(strike.fault, True, True)]
    assert store.problems() == []
    assert verdict.verdict == "pass", verdict.reason
    observed = {promise.name: promise.observed for promise in verdict.promises}
    assert observed[f"fsync-survives-{dies}-kill"] == "kept"
    assert set(verdict.operations) == {"n1", "n2", "n3"}
