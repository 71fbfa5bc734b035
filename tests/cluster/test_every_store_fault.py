"""Every fault on every store, under load: felt, healed, and what was synced is there for everybody afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.model.topology import Fault
from harness.session import Bench
from harness.session.judging import fault_records
from harness.transport.recorder import read_history
from tests.cluster_bench import live_bench
from tests.cluster_guests import NEED_GUESTS

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
ON_NFS = [("kill", "files/ganesha", 2), ("pause", "files/ganesha", 2)]
#: Of two guests, the one that does not serve.
ON_CLIENT = [(fault, "n2" if target == NODE else target, hold_s) for fault, target, hold_s in ON_NODES + ON_LINKS]


@dataclass(frozen=True)
class Stored:
    """A store of a shipped topology: its volume, what can befall it, what is laid over the topology, and when a
    fault strikes how long a load. Emulated writers take longer to begin.
    """

    volume: str
    faults: Sequence[tuple[str, str, float]]
    settings: Mapping[str, str] = field(default_factory=dict)
    at_s: float = 1
    duration_s: float = 2
    marks: Sequence[pytest.MarkDecorator] = ()


BLUESTORE = {"stores__pool__options__objectstore": "bluestore"}
GUESTS = {"cluster__provider": "vagrant", "cluster__nodes__worker": "1"}
STORES = {
    "volume-local-xfs": Stored("data", ON_NODES),
    "volume-local-ext4": Stored("data", ON_NODES),
    "volume-glusterfs": Stored("data", ON_NODES + ON_LINKS + ON_BRICKS),
    "volume-cephfs": Stored("shared", ON_NODES + ON_LINKS + ON_CEPH, BLUESTORE),
    "volume-nfs": Stored("shared", ON_CLIENT + ON_NFS, GUESTS, at_s=10, duration_s=12, marks=NEED_GUESTS),
}


def _cases() -> Iterator[Any]:
    for name, stored in STORES.items():
        for fault, target, hold_s in stored.faults:
            strike = Fault(fault=fault, target=target, at_s=stored.at_s, hold_s=hold_s)
            yield pytest.param(name, strike, id=f"{name}-{fault}-{target}", marks=stored.marks)


@pytest.fixture(scope="module")
def kept(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Bench]]:
    """One cluster for all faults of a store, as long as each leaves it healthy for the next.

    Not a fixture with parameters: pytest makes one anew for each row of a `parametrize`, also where its own stays.
    """
    with ExitStack() as stack:
        made: dict[str, Bench] = {}

        def get(name: str) -> Bench:
            if name not in made or made[name].problems():
                made.clear()
                stack.close()
                folder = tmp_path_factory.mktemp("store")
                made[name] = stack.enter_context(live_bench(name, folder, **STORES[name].settings))
            return made[name]

        yield get


@pytest.mark.parametrize(("name", "strike"), list(_cases()))
def test_what_was_synced_outlives_it(kept: Callable[[str], Bench], name: str, strike: Fault) -> None:
    """Processes that write are killed as well, but where a fault already kills a server."""
    dies = "server" if strike.fault == "kill" else "client"
    store, stored = kept(name), STORES[name]
    load = {"rate_per_s": 20, "duration_s": stored.duration_s, "killed": dies, "kill_share": 0.1}
    verdict = store.check("durability", inject=[strike], volume=stored.volume, **load)

    records = fault_records(read_history(store.folder).only(check=verdict.id))
    assert [(record.name, record.felt, record.healed) for record in records] == [(strike.fault, True, True)]
    assert store.problems() == []
    assert verdict.verdict == "pass", verdict.reason
    observed = {promise.name: promise.observed for promise in verdict.promises}
    assert observed[f"fsync-survives-{dies}-kill"] == "kept"
    assert set(verdict.operations) == {node.name for node in store.live.plan.nodes}
