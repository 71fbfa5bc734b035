"""What every Fault keeps to: it holds at once, its own probe shows it, and it is healed from labels."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import get_args

import pytest

from harness import faults
from harness.features import FEATURES
from harness.model.errors import ChannelLost, EnvironmentBroken, UsageError
from harness.model.places import STORES_DIR
from harness.model.topology import Topology
from harness.ports import Cluster, Fault, Felt, Host, Result, Right, Tunable
from harness.session import CATALOG
from tests.fakes import FakeHost, FakeLifecycle, FakeWire
from tests.faulty_cluster import NODES, make_cluster
from tests.faulty_pods import MANAGER, Plane
from tests.runner_fakes import make_check

ALL = set(get_args(Right))


@pytest.fixture(params=sorted(faults.REGISTRY))
def fault(request: pytest.FixtureRequest) -> Fault:
    found: Fault = faults.REGISTRY[request.param]
    return found


@pytest.fixture
def cluster() -> Cluster:
    return make_cluster()


def felt(fault: Fault, cluster: Cluster, *targets: str) -> Felt:
    return fault.felt(cluster, struck(fault, *targets), "both", timeout_s=5)


def struck(fault: Fault, *nodes: str) -> list[str]:
    """What the fault calls them: the nodes, or the daemon on each."""
    return [f"pool/osd.{node[1:]}" for node in nodes] if fault.name == "kill" else list(nodes)


def test_it_is_registered_under_its_name_and_needs_known_rights_and_features(fault: Fault) -> None:
    assert faults.REGISTRY[fault.name] is fault
    assert fault.rights
    assert fault.rights <= ALL
    assert {demand.feature for demand in fault.demands()} <= set(FEATURES)


def test_its_own_keys_are_the_fields_that_they_set(fault: Fault) -> None:
    """With them left out it is the fault of the registry, and every one of them changes it."""
    if isinstance(fault, Tunable):
        model = faults.PARAMS[fault.name]
        assert fault.given({}) == fault
        assert set(model.model_fields) <= set(vars(fault))


#: Faults that act on what only one orchestrator has on its nodes; the others work with every one.
TIED = {
    "delete-pod": "kubernetes",
    "stop-kubelet": "kubernetes",
    "kill-container": "swarm",
    "kill-engine": "swarm",
}


@pytest.mark.parametrize(("orchestrator", "provider"), [("swarm", "docker"), ("kubernetes", "kind")])
def test_it_is_refused_where_its_nodes_have_nothing_that_it_acts_on(
    fault: Fault, orchestrator: str, provider: str
) -> None:
    check = make_check("connectivity", faults=[{"fault": "pause"}, {"fault": fault.name}])
    chosen = {"provider": provider, "orchestrator": orchestrator}
    topology = Topology.model_validate({"name": "x", "cluster": chosen, "checks": [check.model_dump()]})
    told = [message for key, message in CATALOG.problems(topology) if key == f"checks.{check.id}.faults.1.fault"]
    tied = TIED.get(fault.name, orchestrator)
    words = f"the fault {fault.name} acts on what only orchestrator {tied} has"
    assert told == ([] if tied == orchestrator else [words])


def test_what_was_injected_is_felt_on_every_target_with_evidence(fault: Fault, cluster: Cluster) -> None:
    fault.inject(cluster, struck(fault, "n2", "n3"), "both", timeout_s=5)
    for targets in (["n2"], ["n3"], ["n2", "n3"]):
        seen = felt(fault, cluster, *targets)
        assert seen.felt
        assert seen.evidence


def test_healing_says_what_it_undid_and_then_nothing_is_felt(fault: Fault, cluster: Cluster) -> None:
    fault.inject(cluster, struck(fault, "n2"), "both", timeout_s=5)
    assert len(fault.heal(cluster, timeout_s=5)) == 1
    assert fault.heal(cluster, timeout_s=5) == []


def test_healing_what_was_never_injected_is_nothing(fault: Fault, cluster: Cluster) -> None:
    assert fault.heal(cluster, timeout_s=5) == []


def test_another_process_heals_by_the_clusters_name_alone(fault: Fault, cluster: Cluster) -> None:
    fault.inject(cluster, struck(fault, "n1"), "both", timeout_s=5)
    fresh: Fault = copy.copy(fault)
    assert fresh.heal(replace(cluster), timeout_s=5) != []


def test_it_comes_again_after_healing(fault: Fault, cluster: Cluster) -> None:
    for _ in range(2):
        fault.inject(cluster, struck(fault, "n2"), "both", timeout_s=5)
        assert felt(fault, cluster, "n2").felt
        assert fault.heal(cluster, timeout_s=5)


def test_two_faults_on_one_link_hold_together_and_heal_apart(fault: Fault, cluster: Cluster) -> None:
    other = faults.REGISTRY["block-port" if fault.name == "partition" else "partition"]
    fault.inject(cluster, struck(fault, "n2"), "both", timeout_s=5)
    other.inject(cluster, ["n2"], "both", timeout_s=5)
    assert fault.heal(cluster, timeout_s=5)
    assert felt(other, cluster, "n2").felt
    assert other.heal(cluster, timeout_s=5)


@pytest.mark.parametrize("verb", ["inject", "felt", "heal"])
def test_a_right_that_is_missing_is_named(fault: Fault, cluster: Cluster, verb: str) -> None:
    bare: dict[str, Host] = {name: FakeHost(name, rights=frozenset()) for name in NODES}
    poor = replace(cluster, hosts=bare, wire=None, lifecycle=None)
    arguments = () if verb == "heal" else (struck(fault, "n2"), "both")
    with pytest.raises(EnvironmentBroken, match=f"{fault.name} needs the right `({'|'.join(fault.rights)})`"):
        getattr(fault, verb)(poor, *arguments, timeout_s=5)


def test_pause_is_felt_only_where_all_targets_stand_still(cluster: Cluster) -> None:
    assert isinstance(cluster.lifecycle, FakeLifecycle)
    cluster.lifecycle.stubborn = {"n3"}
    faults.REGISTRY["pause"].inject(cluster, ["n2", "n3"], "both", timeout_s=5)
    assert felt(faults.REGISTRY["pause"], cluster, "n2", "n3") == Felt(False, "n2 is frozen, n3 is running")


def test_pause_heals_every_node_and_names_only_those_that_stood_still(cluster: Cluster) -> None:
    faults.REGISTRY["pause"].inject(cluster, ["n1", "n3"], "in", timeout_s=5)
    assert faults.REGISTRY["pause"].heal(cluster, timeout_s=5) == ["thawed n1", "thawed n3"]


def test_a_node_that_is_off_is_not_thawed_and_not_called_healed(cluster: Cluster) -> None:
    assert cluster.lifecycle
    cluster.lifecycle.kill("n2", timeout_s=5)
    assert faults.REGISTRY["pause"].heal(cluster, timeout_s=5) == []
    assert cluster.lifecycle.state("n2", timeout_s=5) == "off"


def test_a_partition_that_drops_nothing_yet_is_not_felt(cluster: Cluster) -> None:
    """A ping that fails for another reason is no evidence of this fault."""
    dead = FakeHost("n2", address="192.0.2.2", answers={("ping",): Result(1, "", "")})
    without = replace(cluster, hosts={**cluster.hosts, "n2": dead})
    faults.REGISTRY["partition"].inject(without, ["n2"], "both", timeout_s=5)
    assert felt(faults.REGISTRY["partition"], without, "n2") == Felt(
        False, "0 frames dropped; ping n2 to n1: no answer"
    )


def test_a_partition_leaves_tables_of_others_alone(cluster: Cluster) -> None:
    assert cluster.wire
    cluster.wire.host.run(["nft", "-f", "-"], timeout_s=5, stdin=b"table bridge harness-r10 {}")
    faults.REGISTRY["partition"].inject(cluster, ["n2"], "both", timeout_s=5)
    faults.REGISTRY["partition"].heal(cluster, timeout_s=5)
    listed = cluster.wire.host.run(["nft", "-j", "list", "tables"], timeout_s=5).stdout
    assert [row["table"]["name"] for row in json.loads(listed)["nftables"] if "table" in row] == ["harness-r10"]


def test_an_nft_that_refuses_is_told_with_its_words(cluster: Cluster) -> None:
    refusing = FakeHost("wire", answers={("nft",): Result(1, "", "Operation not supported")})
    with pytest.raises(EnvironmentBroken, match="on wire: `nft -f -` ended with 1\nOperation not supported"):
        faults.REGISTRY["partition"].inject(replace(cluster, wire=FakeWire(refusing)), ["n2"], "both", timeout_s=5)


def test_a_drain_is_felt_when_no_task_is_left(cluster: Cluster) -> None:
    drain = faults.REGISTRY["drain"]
    assert felt(drain, cluster, "n2", "n3") == Felt(False, "1 tasks on n2, 1 tasks on n3")
    drain.inject(cluster, ["n2"], "both", timeout_s=5)
    assert felt(drain, cluster, "n2") == Felt(True, "0 tasks on n2")


def _file_of(plane: Plane, node: str, argv: Sequence[str], _stdin: bytes) -> Result:
    return plane.file(node, argv) or Result(1, "", "")


def pods_of(cluster: Cluster) -> tuple[Cluster, Plane]:
    """A cluster of Kubernetes: its nodes have no Docker."""
    plane = Plane(list(NODES))
    hosts: dict[str, Host] = {
        name: FakeHost(
            name,
            answers={
                ("docker",): Result(127, "", "docker: not found"),
                ("kubectl",): plane.kubectl,
                ("test",): partial(_file_of, plane, name),
            },
        )
        for name in NODES
    }
    return replace(cluster, hosts=hosts), plane


def test_a_drain_on_kubernetes_is_felt_when_no_replicated_pod_is_left(cluster: Cluster) -> None:
    drain, (pods, plane) = faults.REGISTRY["drain"], pods_of(cluster)
    assert felt(drain, pods, "n2") == Felt(False, "1 replicated pods on n2")
    plane.shut.add("n3")  # by somebody else
    drain.inject(pods, ["n2"], "both", timeout_s=5)
    assert felt(drain, pods, "n2") == Felt(True, "0 replicated pods on n2")
    assert "alone-n2" in plane.pods
    assert drain.heal(pods, timeout_s=5) == ["node n2 takes pods again"]
    assert plane.shut == {"n3"}


def test_a_node_that_somebody_else_has_shut_is_not_drained_since_healing_would_open_it(cluster: Cluster) -> None:
    drain, (pods, plane) = faults.REGISTRY["drain"], pods_of(cluster)
    plane.shut.add("n2")
    with pytest.raises(EnvironmentBroken, match="node n2 is shut for new pods already, and not by a run of ours"):
        drain.inject(pods, ["n2"], "both", timeout_s=5)
    assert drain.heal(pods, timeout_s=5) == []
    assert plane.shut == {"n2"}


def test_a_node_without_pods_that_others_may_still_give_some_is_not_drained(cluster: Cluster) -> None:
    drain, (pods, plane) = faults.REGISTRY["drain"], pods_of(cluster)
    plane.shut.add("n2")
    [name] = [name for name, pod in plane.pods.items() if name[:3] == "web" and pod["spec"]["nodeName"] == "n2"]
    plane.remove(name)
    plane.shut.clear()
    assert felt(drain, pods, "n2") == Felt(False, "0 replicated pods on n2")


def test_pods_of_one_service_are_deleted_and_those_that_stand_alone_made_again(cluster: Cluster) -> None:
    pods, plane = pods_of(cluster)
    fault = faults.configured(faults.REGISTRY["delete-pod"], {"service": "alone"})
    before = dict(plane.pods)
    fault.inject(pods, ["n2"], "both", timeout_s=5)
    assert before.keys() - plane.pods.keys() == {"alone-n2"}
    assert fault.felt(pods, ["n2"], "both", timeout_s=5) == Felt(True, "1 pods of n2 were deleted")
    assert fault.heal(pods, timeout_s=5) == ["1 pods of harness-r1 had been deleted, of which 1 were made again"]
    assert plane.pods["alone-n2"]["metadata"]["uid"] != before["alone-n2"]["metadata"]["uid"]


def test_a_pod_that_is_still_there_was_not_deleted(cluster: Cluster) -> None:
    pods, plane = pods_of(cluster)
    fault = faults.REGISTRY["delete-pod"]
    before = dict(plane.pods)
    fault.inject(pods, ["n2"], "both", timeout_s=5)
    plane.pods = before
    assert not fault.felt(pods, ["n2"], "both", timeout_s=5).felt


def test_a_healing_that_was_cut_short_makes_no_pod_twice(cluster: Cluster) -> None:
    pods, plane = pods_of(cluster)
    fault = faults.REGISTRY["delete-pod"]
    fault.inject(pods, ["n2"], "both", timeout_s=5)
    kept = dict(plane.kept)
    fault.heal(pods, timeout_s=5)
    there = plane.pods["alone-n2"]["metadata"]["uid"]
    plane.kept = kept
    fault.heal(pods, timeout_s=5)
    assert plane.pods["alone-n2"]["metadata"]["uid"] == there


def test_a_service_that_has_no_pod_on_the_target_cannot_be_struck(cluster: Cluster) -> None:
    fault = faults.configured(faults.REGISTRY["delete-pod"], {"service": "nobody"})
    with pytest.raises(EnvironmentBroken, match="no pod of service nobody runs on n2"):
        fault.inject(pods_of(cluster)[0], ["n2"], "both", timeout_s=5)


def test_a_control_plane_that_does_not_answer_is_not_taken_for_none(cluster: Cluster) -> None:
    """Else a healing would say that there was nothing to undo."""

    def silent(_argv: Sequence[str], _stdin: bytes) -> Result:
        raise ChannelLost("n1 does not answer")

    pods, _ = pods_of(cluster)
    pods = replace(pods, hosts={**pods.hosts, MANAGER: FakeHost(MANAGER, answers={("test",): silent})})
    with pytest.raises(ChannelLost):
        faults.REGISTRY["delete-pod"].heal(pods, timeout_s=5)


def test_a_kubelet_that_does_not_run_cannot_be_stopped(cluster: Cluster) -> None:
    fault = faults.REGISTRY["stop-kubelet"]
    fault.inject(cluster, ["n2"], "both", timeout_s=5)
    with pytest.raises(EnvironmentBroken, match="no kubelet of systemd's runs on n2"):
        fault.inject(cluster, ["n2"], "both", timeout_s=5)


def test_without_a_manager_nothing_can_be_drained(cluster: Cluster) -> None:
    workers = replace(cluster, hosts={name: host for name, host in cluster.hosts.items() if name != "n1"})
    with pytest.raises(EnvironmentBroken, match="needs a manager of a swarm or a control plane of Kubernetes"):
        faults.REGISTRY["drain"].inject(workers, ["n2"], "both", timeout_s=5)


def test_killing_a_kind_of_daemon_strikes_the_first_that_runs(cluster: Cluster) -> None:
    kill = faults.REGISTRY["kill"]
    for _ in range(2):
        kill.inject(cluster, ["pool/osd"], "both", timeout_s=5)
    assert kill.felt(cluster, ["pool/osd.1", "pool/osd@n2"], "both", timeout_s=5) == Felt(
        True, "pool/osd.1 on n1 has no process; pool/osd.2 on n2 has no process"
    )
    assert kill.felt(cluster, ["pool/osd.3"], "both", timeout_s=5) == Felt(False, "pool/osd.3 runs")
    assert kill.heal(cluster, timeout_s=5) == ["started pool/osd.1 on n1", "started pool/osd.2 on n2"]


def test_what_does_not_run_or_is_not_there_cannot_be_killed(cluster: Cluster) -> None:
    kill = faults.REGISTRY["kill"]
    kill.inject(cluster, ["pool/osd.2"], "both", timeout_s=5)
    with pytest.raises(EnvironmentBroken, match=r"pool/osd\.2 does not run"):
        kill.inject(cluster, ["pool/osd.2"], "both", timeout_s=5)
    with pytest.raises(UsageError, match="no daemon pool/os") as refused:
        kill.inject(cluster, ["pool/os"], "both", timeout_s=5)
    assert "pool/osd.1, pool/osd.2, pool/osd.3" in (refused.value.hint or "")


class Gone(FakeWire):
    """A wire that one node has left."""

    def port(self, node: str) -> str:
        if node == "n3":
            raise EnvironmentBroken("container n3 is not running")
        return super().port(node)


@pytest.fixture
def bereft(cluster: Cluster) -> Cluster:
    """A cluster of which n3 is gone: its link, and whatever is asked of it."""
    assert cluster.wire
    assert isinstance(cluster.wire.host, FakeHost)

    def lost(_argv: Sequence[str], _stdin: bytes) -> Result:
        raise ChannelLost("n3 is gone")

    n3 = FakeHost("n3", address=NODES["n3"], answers={(program,): lost for program in GONE_PROGRAMS})
    return replace(cluster, hosts={**cluster.hosts, "n3": n3}, wire=Gone(cluster.wire.host))


GONE_PROGRAMS = ("ping", "bash", "docker", "sh", "tc", "ethtool", "python3", "test", "cat", "rm")
#: Faults whose targets are links of the wire, or what runs on a node: not those of a node's or a store's own life.
ON_LINKS = ("block-port", "latency", "link-down", "loss", "mtu", "partition", "rate")
INSIDE = (
    "checksum-offload",
    "cpu-pressure",
    "disk-full",
    "drop-caches",
    "evict",
    "kill-container",
    "kill-engine",
    "memory-pressure",
)


@pytest.mark.parametrize("name", ON_LINKS)
def test_a_fault_on_a_node_that_is_gone_is_refused_with_its_name(bereft: Cluster, name: str) -> None:
    with pytest.raises(EnvironmentBroken, match=f"the fault {name} cannot strike n3, which has no port"):
        faults.REGISTRY[name].inject(bereft, ["n3"], "both", timeout_s=5)


@pytest.mark.parametrize("name", [*ON_LINKS, *INSIDE])
def test_a_node_that_is_gone_does_not_keep_others_from_being_healed(bereft: Cluster, name: str) -> None:
    fault = faults.REGISTRY[name]
    fault.inject(bereft, ["n2"], "both", timeout_s=5)
    assert fault.heal(bereft, timeout_s=5)


@pytest.mark.parametrize("name", ["disk-full", "drop-caches", "evict"])
def test_a_node_whose_container_does_not_run_keeps_no_other_from_being_healed(cluster: Cluster, name: str) -> None:
    """An engine says so by a code, as a command that failed does."""
    off = Result(1, "", "Error response from daemon: container n3 is not running")
    n3 = FakeHost("n3", address=NODES["n3"], answers=dict.fromkeys([("sh",), ("true",)], off))
    bereft = replace(cluster, hosts={**cluster.hosts, "n3": n3})
    fault = faults.REGISTRY[name]
    fault.inject(bereft, ["n2"], "both", timeout_s=5)
    assert fault.heal(bereft, timeout_s=5)


def test_what_a_node_cannot_give_back_is_told_and_not_called_healed(cluster: Cluster) -> None:
    def answer(argv: Sequence[str], _stdin: bytes) -> Result:
        finds = argv[1] == "-c"
        return Result(0, f"{STORES_DIR}/disk/disk", "") if finds else Result(1, "", "rm: Input/output error")

    n3 = FakeHost("n3", address=NODES["n3"], answers={("sh",): answer})
    with pytest.raises(EnvironmentBroken, match="Input/output error"):
        faults.REGISTRY["disk-full"].heal(replace(cluster, hosts={**cluster.hosts, "n3": n3}), timeout_s=5)


def test_a_link_has_one_fault_by_tc_at_a_time(cluster: Cluster) -> None:
    faults.REGISTRY["rate"].inject(cluster, ["n2"], "both", timeout_s=5)
    with pytest.raises(
        UsageError, match="latency cannot strike n2: its link has the fault rate already"
    ) as refused:
        faults.REGISTRY["latency"].inject(cluster, ["n2", "n3"], "in", timeout_s=5)
    assert refused.value.hint == "a link has one such fault at a time: heal rate first"
    assert faults.REGISTRY["latency"].heal(cluster, timeout_s=5) == []
    assert faults.REGISTRY["rate"].heal(cluster, timeout_s=5) == ["removed rate from the link of n2"]


def test_checksum_offload_is_felt_only_where_no_target_leaves_a_checksum_to_its_link(cluster: Cluster) -> None:
    offload = faults.REGISTRY["checksum-offload"]
    offload.inject(cluster, ["n2"], "both", timeout_s=5)
    assert felt(offload, cluster, "n2") == Felt(True, "n2 sent 9 packets, 0 without a checksum")
    assert felt(offload, cluster, "n2", "n3") == Felt(
        False, "n2 sent 9 packets, 0 without a checksum; n3 sent 9 packets, 9 without a checksum"
    )


@pytest.mark.parametrize("seen", ["0 0", "9 1"])
def test_checksum_offload_is_not_felt_where_nothing_was_seen_or_one_packet_had_none(
    cluster: Cluster, seen: str
) -> None:
    n2 = FakeHost("n2", address="192.0.2.2", answers={("python3",): Result(0, seen, "")})
    there = replace(cluster, hosts={**cluster.hosts, "n2": n2})
    assert felt(faults.REGISTRY["checksum-offload"], there, "n2").felt is False


def test_a_node_that_cannot_offload_again_is_told_and_not_called_healed(cluster: Cluster) -> None:
    n2 = FakeHost("n2", address="192.0.2.2", answers={("sh",): Result(0, "stuck", "")})
    with pytest.raises(EnvironmentBroken, match="n2 cannot give its link the checksums again"):
        faults.REGISTRY["checksum-offload"].heal(replace(cluster, hosts={**cluster.hosts, "n2": n2}), timeout_s=5)


def test_a_port_that_is_blocked_for_udp_only_is_felt_by_what_was_dropped(cluster: Cluster) -> None:
    blocked = faults.configured(faults.REGISTRY["block-port"], {"port": 7946, "protocol": "udp"})
    assert isinstance(cluster.wire, FakeWire)
    blocked.inject(cluster, ["n2"], "in", timeout_s=5)
    assert isinstance(cluster.wire.host, FakeHost)
    ruleset = cluster.wire.host.inputs[-1].decode()
    rule = 'iifname { "port-n1", "port-n3" } oifname { "port-n2" } meta l4proto udp th dport 7946 counter drop'
    assert [line.strip() for line in ruleset.splitlines() if "drop" in line] == [rule]
    assert blocked.felt(cluster, ["n2"], "in", timeout_s=5).felt


def test_killing_containers_of_a_service_that_has_none_there_says_so(cluster: Cluster) -> None:
    kill = faults.configured(faults.REGISTRY["kill-container"], {"service": "web"})
    kill.inject(cluster, ["n2"], "both", timeout_s=5)
    with pytest.raises(EnvironmentBroken, match="no container of service web runs on n2"):
        kill.inject(cluster, ["n2"], "both", timeout_s=5)


def test_a_disk_is_full_where_every_store_on_the_targets_says_so(cluster: Cluster) -> None:
    full = faults.REGISTRY["disk-full"]
    full.inject(cluster, ["n2"], "both", timeout_s=5)
    assert full.felt(cluster, ["n1", "n2"], "both", timeout_s=5) == Felt(
        False, "store pool on n1 is free; store pool on n2 is full"
    )
    assert full.heal(cluster, timeout_s=5) == ["gave back the room of store pool on n2"]


def test_nodes_without_room_of_a_store_cannot_be_filled(cluster: Cluster) -> None:
    hosts: dict[str, Host] = {"n1": FakeHost("n1", answers={("sh",): Result(0, "", "")})}
    full = faults.REGISTRY["disk-full"]
    with pytest.raises(UsageError, match="no store has its room on n1"):
        full.inject(replace(cluster, hosts=hosts), ["n1"], "both", timeout_s=5)
    assert full.felt(replace(cluster, hosts=hosts), ["n1"], "both", timeout_s=5).felt is False


def test_a_store_that_cannot_evict_says_which_can(cluster: Cluster) -> None:
    hosts: dict[str, Host] = {"n1": FakeHost("n1", answers={("sh",): Result(0, "", "")})}
    with pytest.raises(UsageError, match="no store can evict its clients on n1") as refused:
        faults.REGISTRY["evict"].inject(replace(cluster, hosts=hosts), ["n1"], "both", timeout_s=5)
    assert "CephFS" in (refused.value.hint or "")


@pytest.mark.parametrize(("name", "undone"), [("kill", "started n2"), ("pause", "thawed n2")])
def test_nodes_and_daemons_are_struck_by_the_same_fault(cluster: Cluster, name: str, undone: str) -> None:
    fault = faults.REGISTRY[name]
    for targets, words in ((["n2"], "n2 is"), (["pool/osd.2"], "pool/osd.2 on n2")):
        fault.inject(cluster, targets, "both", timeout_s=5)
        seen = fault.felt(cluster, targets, "both", timeout_s=5)
        assert (seen.felt, seen.evidence.startswith(words)) == (True, True), seen
        (told,) = fault.heal(cluster, timeout_s=5)
        assert told == (undone if targets == ["n2"] else told)
        assert not fault.felt(cluster, targets, "both", timeout_s=5).felt


def test_a_daemon_that_is_paused_is_not_dead(cluster: Cluster) -> None:
    faults.REGISTRY["pause"].inject(cluster, ["pool/osd.2"], "both", timeout_s=5)
    assert not faults.REGISTRY["kill"].felt(cluster, ["pool/osd.2"], "both", timeout_s=5).felt
    assert faults.REGISTRY["kill"].heal(cluster, timeout_s=5) == []
    assert faults.REGISTRY["pause"].heal(cluster, timeout_s=5) == ["continued pool/osd.2 on n2"]


def test_daemons_of_a_node_that_is_off_are_its_own_to_start(cluster: Cluster) -> None:
    """A node that starts has its stores' servers started by what it keeps."""
    kill = faults.REGISTRY["kill"]
    kill.inject(cluster, ["pool/osd.2"], "both", timeout_s=5)
    kill.inject(cluster, ["n2"], "both", timeout_s=5)
    assert kill.heal(cluster, timeout_s=5) == ["started n2"]


@pytest.mark.parametrize(
    ("kind", "handle", "verb"),
    [
        ("noqueue", "8001:", "replace"),
        ("noqueue", "0:", "add"),
        ("pfifo_fast", "0:", "add"),
        ("fq", "8001:", "add"),
    ],
)
def test_only_libvirts_bare_link_is_taken_over(cluster: Cluster, kind: str, handle: str, verb: str) -> None:
    told = json.dumps([{"kind": kind, "handle": handle, "root": True}])
    wire = FakeHost("wire", answers={("tc",): Result(0, told, "")})
    faults.REGISTRY["rate"].inject(replace(cluster, wire=FakeWire(wire)), ["n2"], "in", timeout_s=5)
    assert [argv[2] for argv in wire.ran if "show" not in argv] == [verb]


def test_a_wire_whose_kernel_lacks_a_discipline_is_told_from_the_nodes(cluster: Cluster) -> None:
    """That of machines is the one below them: the probe of features asks theirs."""

    def unknown(argv: Sequence[str], _stdin: bytes) -> Result:
        return Result(2, "", "Error: Specified qdisc kind is unknown.") if "add" in argv else Result(0, "[]", "")

    bare = replace(cluster, wire=FakeWire(FakeHost("wire", answers={("tc",): unknown})))
    latency = faults.REGISTRY["latency"]
    with pytest.raises(EnvironmentBroken, match="what goes to n2: the kernel below lacks netem") as refused:
        latency.inject(bare, ["n2"], "both", timeout_s=5)
    assert refused.value.hint == "say `direction: out`: a node's own kernel may have it"
    latency.inject(bare, ["n2"], "out", timeout_s=5)
