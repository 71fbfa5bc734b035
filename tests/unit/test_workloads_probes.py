"""What the workloads ask for on a scene of three nodes: ten containers on two networks and a node's own."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.errors import UsageError
from harness.model.history import History, Op
from harness.model.plan import Demand, plan_from_json, plan_to_json
from harness.ports import Load, Look, Repeat, Stage
from harness.workloads import REGISTRY
from harness.workloads.recovery import Steady
from tests.runner_fakes import (
    APP,
    NODES,
    TARGETS,
    entries,
    first_containers,
    loads,
    make_check,
    make_plan,
    make_scene,
    programs,
    walk,
)

KINDS = sorted(REGISTRY)
#: They work on files, and ask nobody over a network.
ON_VOLUMES = {kind for kind, workload in REGISTRY.items() if "volume" in workload.params.model_fields}
ON_APP = 7  # web.1-3, edge.n1-3, probe
ON_BACK = 2  # lone, mate
BOTH = {"lone", "mate"}
VIAS = {"ip", "name", "alias", "service", "host-port", "node"}


def stages_of(kind: str, **params: Any) -> list[Stage]:
    check = make_check(kind, **params)
    return walk(REGISTRY[kind].stages(check, make_plan(check), random.Random(1)), make_scene())


def required(kind: str) -> dict[str, Any]:
    if kind == "commands":
        return {"steps": [{"name": "look", "node": "n1", "run": "true"}]}
    return {"volume": "shared"} if kind in ON_VOLUMES else {}


def keys(stages: list[Stage]) -> list[list[str]]:
    return [entry["key"].split("|") for _, entry in entries(stages, "probe", "probes")]


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_described_and_unknown_ones_refused(kind: str) -> None:
    model = REGISTRY[kind].params
    assert all(field.description for field in model.model_fields.values())
    with pytest.raises(ValidationError):
        model.model_validate({**required(kind), "retries": 3})


@pytest.mark.parametrize("kind", KINDS)
def test_filled_defaults_are_parameters_again(kind: str) -> None:
    model = REGISTRY[kind].params
    dumped = model.model_validate(required(kind)).model_dump(mode="json")
    assert model.model_validate(dumped).model_dump(mode="json") == dumped


@pytest.mark.parametrize("kind", KINDS)
def test_looks_before_anything_else(kind: str) -> None:
    assert stages_of(kind, **required(kind))[0] == Look("start")


@pytest.mark.parametrize(
    "kind", sorted(set(KINDS) - ON_VOLUMES - {"dns", "bind-mount", "commands", "consistency", "policies"})
)
def test_every_endpoint_listens_before_it_is_probed(kind: str) -> None:
    stages = stages_of(kind)
    first = loads(stages)[0]
    listening = {e["at"]: e for a in first.assignments for e in a.program.params["endpoints"]}
    assert listening.keys() == {c.name for c in first_containers() if not c.host} | NODES.keys()
    assert listening["edge.n1"]["ports"] == [7799, 5000]
    assert listening["web.1"]["ports"] == [7799]
    assert all(a.program.params["token"] == "secret" for a in first.assignments)


def test_connectivity_asks_every_pair_by_ip_once_a_protocol() -> None:
    found = Counter(k[3] for k in keys(stages_of("connectivity")) if k[0] == "ip" and k[1] == APP)
    open_pairs = {c.name: (ON_APP - 1) * 3 for c in first_containers() if APP in c.networks}
    # those of the other network ask all of app as well, and must not be answered
    assert found == {name: count + ON_BACK * 3 for name, count in open_pairs.items()}


def test_connectivity_asks_closed_pairs_once_and_both_ways() -> None:
    closed = [
        entry
        for _, entry in entries(stages_of("connectivity"), "probe", "probes")
        if entry["key"].startswith("ip|") and (entry["at"] in BOTH) != (entry["key"].split("|")[3] in BOTH)
    ]
    assert len(closed) == 2 * ON_APP * ON_BACK * 3
    assert {entry["attempts"] for entry in closed} == {1}


def test_connectivity_asks_names_by_tcp_and_udp() -> None:
    found = Counter(k[0] for k in keys(stages_of("connectivity")))
    assert found["name"] == (ON_APP * (ON_APP - 1) + ON_BACK * (ON_BACK - 1)) * 2
    # each of the seven asks web and edge, the six others ask probe, and lone and mate ask each other
    assert found["service"] == (ON_APP + ON_APP + ON_APP - 1 + ON_BACK) * 2
    assert found["alias"] == ON_APP * 2


def test_connectivity_asks_published_ports_from_every_node_and_from_containers_of_the_others() -> None:
    probes = [
        (host, entry["at"], entry["key"], entry["port"])
        for host, entry in entries(stages_of("connectivity"), "probe", "probes")
        if entry["key"].startswith("host-port|")
    ]
    assert len(probes) == 3 * (3 + 2)
    assert ("n1", "n1", "host-port|-|4|edge|192.0.2.1", 8000) in probes
    assert {at for _, at, key, _ in probes if key.endswith(".1")} == {"n1", "n2", "n3", "web.2", "web.3"}


def test_connectivity_asks_ingress_ports_of_every_node_from_each_other_one() -> None:
    check, scene = make_check("connectivity"), make_scene()
    meshed = tuple((service, replace(address, mode="ingress")) for service, address in scene.published)
    stages = walk(
        REGISTRY["connectivity"].stages(check, make_plan(check), random.Random(1)),
        replace(scene, published=meshed),
    )
    probes = {
        (entry["at"], entry["key"], entry["port"])
        for _, entry in entries(stages, "probe", "probes")
        if entry["key"].startswith("ingress|")
    }
    assert len(probes) == 3 * 2
    assert ("n2", "ingress|-|4|edge|192.0.2.1", 8000) in probes


def test_connectivity_asks_no_ingress_port_where_the_hosts_cannot_serve_it() -> None:
    check, scene = make_check("connectivity"), make_scene()
    meshed = tuple((service, replace(address, mode="ingress")) for service, address in scene.published)
    lacking = replace(make_plan(check), unmet=(Demand("ipvs", "service edge", part="ingress"),))
    stages = walk(
        REGISTRY["connectivity"].stages(check, lacking, random.Random(1)), replace(scene, published=meshed)
    )
    assert not [e for _, e in entries(stages, "probe", "probes") if e["key"].startswith("ingress|")]


def test_connectivity_asks_nodes_from_a_container_in_its_nodes_network() -> None:
    asked = [
        (host, entry["at"], entry["key"])
        for host, entry in entries(stages_of("connectivity"), "probe", "probes")
        if entry["key"].startswith("node|")
    ]
    assert {(host, at) for host, at, _ in asked} == {("n2", "bare")}
    assert Counter(key for _, _, key in asked) == {f"node|-|4|{n}|{ip}": 3 for n, ip in NODES.items()}


def test_connectivity_sends_nothing_by_protocols_that_were_not_asked_for() -> None:
    sent = {e["protocol"] for _, e in entries(stages_of("connectivity", protocols=["udp"]), "probe", "probes")}
    assert sent == {"udp", "tcp"}, "host-mode ports are probed by the protocol they are published with"
    only_icmp = keys(stages_of("connectivity", protocols=["icmp"], services=["web"]))
    assert {k[0] for k in only_icmp} == {"ip"}


def test_connectivity_is_narrowed_to_services() -> None:
    stages = stages_of("connectivity", services=["web", "lone"])
    assert {e["at"] for _, e in entries(stages, "probe", "probes")} == {"web.1", "web.2", "web.3", "lone"}
    with pytest.raises(UsageError, match="no service is called 'wbe'"):
        stages_of("connectivity", services=["wbe"])


def test_names_are_not_asked_where_the_network_resolves_none() -> None:
    check = make_check("connectivity")
    data = plan_to_json(make_plan(check))
    for network in data["networks"]:
        network["resolves_names"] = False
    stages = walk(REGISTRY["connectivity"].stages(check, plan_from_json(data), random.Random(1)), make_scene())
    assert {k[0] for k in keys(stages)} == {"ip", "host-port", "node"}


@pytest.mark.parametrize("kind", ["connectivity", "isolation", "mtu", "recovery"])
def test_every_probe_key_can_be_read_back(kind: str) -> None:
    known = {t.service for t in TARGETS} | {c.name for c in first_containers()} | NODES.keys()
    for _, entry in entries(stages_of(kind), "probe", "probes"):
        via, network, family, to, dialled = entry["key"].split("|")
        assert via in VIAS
        assert network in (*make_scene().containers[0].networks, "back", "-")
        assert family == "4"
        assert to in known
        assert dialled == entry.get("address", entry.get("name"))


def test_a_virtual_ip_that_cannot_work_is_not_dialled() -> None:
    check = make_check("connectivity")
    lacking = replace(make_plan(check), unmet=(Demand("ipvs", "service web", part="vip"),))
    stages = walk(REGISTRY["connectivity"].stages(check, lacking, random.Random(1)), make_scene())
    dialled = {k[4] for k in keys(stages) if k[0] in ("service", "alias")}
    assert dialled == {"edge", "probe", "lone", "mate"}


def test_the_same_container_is_asked_before_and_after() -> None:
    check = make_check("concurrent-append", volume="shared")
    twice = [replace(c, node="n1") if c.service == "web" else c for c in first_containers()]
    for seed in range(20):
        stages = REGISTRY["concurrent-append"].stages(check, make_plan(check), random.Random(seed))
        looks = entries(walk(stages, make_scene(twice)), "mount", "looks")
        assert len({entry["at"] for _, entry in looks}) == 1


def test_probes_are_done_by_the_agent_of_their_own_node() -> None:
    node_of = {c.name: (c.node, c.pid) for c in first_containers()} | {n: (n, 0) for n in NODES}
    for host, entry in entries(stages_of("connectivity"), "probe", "probes"):
        assert node_of[entry["at"]] == (host, entry["pid"])


def test_the_order_follows_the_seed() -> None:
    check = make_check("connectivity")

    def order(seed: int) -> list[list[str]]:
        return keys(
            walk(REGISTRY["connectivity"].stages(check, make_plan(check), random.Random(seed)), make_scene())
        )

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == sorted(order(2))


def test_isolation_asks_closed_pairs_and_one_open_control_each() -> None:
    asked = [(e["at"], e["key"].split("|")[3]) for _, e in entries(stages_of("isolation"), "probe", "probes")]
    controls = [(at, to) for at, to in asked if (at in BOTH) == (to in BOTH)]
    assert len(asked) - len(controls) == 2 * ON_APP * ON_BACK * 3
    assert Counter(at for at, _ in controls) == {c.name: 3 for c in first_containers() if not c.host}


def test_mtu_asks_both_sizes_on_every_ordered_pair_of_nodes() -> None:
    stages = stages_of("mtu", network=APP)
    node_of = {c.name: c.node for c in first_containers()}
    sizes: dict[tuple[str, str], list[int]] = {}
    for host, entry in entries(stages, "probe", "probes"):
        assert entry["df"] is True
        pair = host, node_of[entry["key"].split("|")[3]]
        sizes.setdefault(pair, []).append(entry["packet_bytes"])
    assert sizes == {(a, b): [1450, 1451] for a in NODES for b in NODES if a != b}
    assert [e["bytes"] for _, e in entries(stages, "bulk", "transfers")] == [1 << 20] * 6


def test_mtu_takes_the_size_that_is_given() -> None:
    asked = entries(stages_of("mtu", packet_bytes=1300), "probe", "probes")
    assert {entry["packet_bytes"] for _, entry in asked} == {1300, 1301}


def test_mtu_of_a_network_on_one_node_is_refused() -> None:
    check = make_check("mtu", network="back")
    alone = make_scene([c for c in first_containers() if c.name != "mate"])
    with pytest.raises(UsageError, match="two nodes"):
        walk(REGISTRY["mtu"].stages(check, make_plan(check), random.Random(1)), alone)
    with pytest.raises(UsageError, match="no running container is on network 'other'"):
        stages_of("mtu", network="other")


@pytest.mark.parametrize(
    ("kind", "method", "name"), [("throughput", "stream", "transfers"), ("latency", "rtt", "pairs")]
)
def test_measurements_never_share_the_wire_and_include_the_baseline(kind: str, method: str, name: str) -> None:
    stages = stages_of(kind, pairs=3)
    measuring = [load for load in loads(stages) if load.assignments[0].program.method == method]
    assert all(len(load.assignments) == 1 for load in measuring)
    sent = [entry["key"].split("|")[:2] for _, entry in entries(stages, method, name)]
    assert Counter(map(tuple, sent)) == {("node", "-"): 3, ("ip", APP): 3, ("ip", "back"): 2}
    # a ring: every node sends once and receives once
    assert sorted(host for host, e in entries(stages, method, name) if "|app|" in e["key"]) == sorted(NODES)


def test_recovery_keeps_connections_between_nodes_through_the_faults() -> None:
    stages = stages_of("recovery", hold_s=2)
    kept = next(load for load in loads(stages) if load.faults)
    assert kept.hold_s == 2
    assert {a.program.method for a in kept.assignments} == {"beat"}
    assert all(a.program.until_stopped for a in kept.assignments)
    connections = entries(stages, "beat", "connections")
    assert len({e["process"] for _, e in connections}) == len(connections) == 8
    afterwards = [stage for stage in stages if isinstance(stage, Repeat)]
    assert {a.program.method for load in loads(afterwards) for a in load.assignments} == {"probe", "lookup"}
    assert isinstance(stages[-1], Look), "what was right must still be there at a last look"


def test_recovery_is_over_only_when_all_has_been_right_for_long_enough() -> None:
    steady = Steady(stable_s=2)
    second = 10**9
    assert not steady.saw(True, 1 * second, 2 * second)
    assert not steady.saw(False, 2 * second, 3 * second), "what broke again starts anew"
    assert not steady.saw(True, 3 * second, 4 * second)
    assert steady.saw(True, 4 * second, 5 * second)


@pytest.mark.parametrize(("value", "enough"), [("ok web.1", True), ("ok ?", False), ("timeout", False)])
def test_recovery_asks_again_a_peer_that_did_not_say_who_it_is(value: str, enough: bool) -> None:
    (repeat,) = [stage for stage in stages_of("recovery", stable_s=0) if isinstance(stage, Repeat)][:1]
    row = Op("p", "n1", "web.1", "recovery", "tcp", "name|app|web.1|web.2|4", value, start_ns=1, end_ns=2)
    assert repeat.settled(History.of([row])) is enough


def test_append_puts_writers_on_every_node_and_one_file() -> None:
    stages = stages_of("concurrent-append", volume="shared", writers_per_node=2)
    writers = entries(stages, "append", "writers")
    assert Counter(host for host, _ in writers) == dict.fromkeys(NODES, 2)
    assert sorted(e["writer"] for _, e in writers) == [1, 2, 3, 4, 5, 6]
    assert {e["path"] for _, e in writers} == {"/data/.harness-r1-concurrent-append-secret.log"}
    assert {e["path"] for _, e in entries(stages, "read_log", "readers")} == {e["path"] for _, e in writers}
    load = next(load for load in loads(stages) if load.faults)
    assert load.hold_s == 5


def test_append_looks_at_mounts_before_and_after_and_leaves_nonces_first() -> None:
    methods = [
        stage.assignments[0].program.method
        for stage in stages_of("concurrent-append", volume="shared")
        if isinstance(stage, Load)
    ]
    assert methods == ["mount", "nonce", "nonce", "append", "mount", "read_log"]
    stages = stages_of("concurrent-append", volume="shared")
    assert {e["key"] for _, e in entries(stages, "mount", "looks")} == {"before|shared", "after|shared"}
    assert len(entries(stages, "nonce", "puts")) == 3
    gets = entries(stages, "nonce", "gets")
    assert len(gets) == 6
    assert all(not entry["key"].endswith(f"|{entry['at']}") for _, entry in gets)
    assert {e["text"] for _, e in gets} == {e["text"] for _, e in entries(stages, "nonce", "puts")}


def test_append_to_a_volume_that_nobody_mounts_is_refused() -> None:
    with pytest.raises(UsageError, match="no service mounts the volume 'other' writable"):
        stages_of("concurrent-append", volume="other")


def test_every_program_has_a_deadline() -> None:
    for kind in KINDS:
        stages = stages_of(kind, **required(kind))
        assert all(a.program.timeout_s > 0 for load in loads(stages) for a in load.assignments)
    assert programs(stages_of("latency"), "rtt")
