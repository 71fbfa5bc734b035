"""NFS: a real server on a node, asked over the wire by its own protocol; and where the kernel has no client, a run
says so by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import session
from harness.model.places import data_dir
from harness.model.plan import Plan
from harness.ports import Cluster
from harness.session import Options, registries, storage
from harness.stores._scripted import execute, hook
from harness.stores.nfs import STORE
from harness.transport import daemons
from tests.cluster_bench import done, quiet
from tests.cluster_cli import harness, only_run
from tests.cluster_traces import Traces

pytestmark = pytest.mark.cluster
CALL_TIMEOUT_S = 20.0

#: Version 4 over TCP, one COMPOUND of PUTROOTFH, LOOKUP, GETFH (RFC 7530); prints its status: 0 OK, 2 NOENT.
ASK = """
import socket, struct, sys, time
pack = struct.pack
def opaque(data):
    return pack(">I", len(data)) + data + bytes(-len(data) % 4)
identity = pack(">I", 0) + opaque(b"test") + pack(">III", 0, 0, 0)
call = pack(">IIIIII", 7, 0, 2, 100003, 4, 1) + pack(">I", 1) + opaque(identity) + pack(">II", 0, 0)
call += opaque(b"") + pack(">III", 0, 3, 24) + pack(">I", 15) + opaque(sys.argv[2].encode()) + pack(">I", 10)
with socket.create_connection((sys.argv[1], 2049), timeout=10) as server:
    server.sendall(pack(">I", 0x80000000 | len(call)) + call)
    reply = b""
    while len(reply) < 32:
        reply += server.recv(4096) or sys.exit("the server hung up")
xid, kind, accepted, _, _, understood, status = struct.unpack(">7I", reply[4:32])
assert (xid, kind, accepted, understood) == (7, 1, 0, 0), reply
print(status)
"""
#: Prints daemons, mounts and files of a store.
LEFT = """
pgrep -lx 'ganesha.nfsd|rpcbind'
grep /harness/exports /proc/self/mounts
ls /var/lib/docker/harness
true
"""


@pytest.fixture(scope="module")
def served(own_engine: None) -> Iterator[tuple[Cluster, Plan]]:
    """Nodes without an orchestrator, and the store's server on n1: no client is needed for it."""
    options = Options(seed=1)
    topology = session.topology_of(data_dir("topologies") / "volume-nfs.yaml", options)
    plan = session.make_plan(topology, options, run=session.new_run())
    cluster = registries.provider().up(plan, quiet)
    try:
        serve(cluster, plan)
        yield cluster, plan
    finally:
        session.down(cluster.name)


def serve(cluster: Cluster, plan: Plan) -> None:
    """All that `up` does but for the mounts."""
    declared = STORE.declare(plan, "files")
    steps = [step for step in declared.steps if not step.phase.endswith("mounts")]
    execute(cluster, steps, {document.name: document.text for document in declared.documents})


def looked_up(cluster: Cluster, name: str) -> str:
    server = cluster.hosts["n1"].address
    return done(cluster.hosts["n2"], ["python3", "-", server, name], stdin=ASK).strip()


def test_the_server_answers_and_has_its_export_and_no_other(served: tuple[Cluster, Plan]) -> None:
    cluster, _ = served
    assert looked_up(cluster, "files") == "0"
    assert looked_up(cluster, "nothing") == "2"


def test_the_server_is_one_that_faults_can_name_and_comes_back(served: tuple[Cluster, Plan]) -> None:
    cluster, _ = served
    (server,) = daemons.daemons(cluster, "files", timeout_s=CALL_TIMEOUT_S)
    assert (server.name, server.node) == ("ganesha", "n1")
    daemons.tell(cluster, server, "KILL", timeout_s=CALL_TIMEOUT_S)
    assert daemons.state(cluster, server, timeout_s=CALL_TIMEOUT_S) == "gone"
    daemons.start(cluster, server, timeout_s=CALL_TIMEOUT_S)
    done(cluster.hosts["n1"], ["sh", hook("files", "servers")])  # returns when it answers
    assert looked_up(cluster, "files") == "0"


def test_version_3_answers_as_well(served: tuple[Cluster, Plan]) -> None:
    cluster, plan = served
    storage.down(plan, cluster)
    changed = plan.topology.stores["files"].model_copy(update={"options": {"version": "3"}})
    topology = plan.topology.model_copy(update={"stores": {"files": changed}})
    third = session.make_plan(topology, Options(seed=1), run=plan.run)
    serve(cluster, third)
    exports = done(cluster.hosts["n1"], ["showmount", "--no-headers", "--exports", "127.0.0.1"])
    assert exports.split()[0] == "/files"


def test_nothing_of_it_is_left(served: tuple[Cluster, Plan]) -> None:
    cluster, plan = served
    storage.down(plan, cluster)
    assert done(cluster.hosts["n1"], ["sh", "-c", LEFT]) == ""


def test_without_a_client_in_the_kernel_every_check_is_skipped_by_name(traces: Traces, tmp_path: Path) -> None:
    if "\tnfs4\n" in Path("/proc/filesystems").read_text():
        pytest.skip("needs a kernel without fs-nfs4")
    ended = harness("run", "volume-nfs", "--runs-dir", tmp_path)
    assert ended.code == 2, ended.told
    assert "No check ran" in ended.stdout
    assert "is mounted on" not in ended.stderr
    results = json.loads((only_run(tmp_path) / "results.json").read_text())
    whole = session.topology_of(data_dir("topologies") / "volume-nfs.yaml", Options(seed=1))
    assert {skip["check"] for skip in results["skipped"]} == {check.id for check in whole.checks}
    assert all(skip["needs"].startswith("fs-nfs4 (n1: ") for skip in results["skipped"])
