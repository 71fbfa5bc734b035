"""Hosts that exist: what stands in the way, what marks them, and in which order it is taken back."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from harness.model.errors import (
    ChannelLost,
    CommandFailed,
    EnvironmentBroken,
    Incomplete,
    Unreachable,
    UsageError,
)
from harness.model.inventory import Inventory
from harness.ports import Result
from harness.providers import inspection, markers
from harness.providers.existing import ExistingProvider
from harness.providers.inspection import Complaint, Facts
from harness.providers.markers import Intent, Marker
from harness.transport.local import LocalHost
from harness.transport.process import ProcessChannel
from harness.transport.ssh import Login, SshHost
from tests.fakes import Answer, FakeHost
from tests.planner_topologies import planned

INVENTORY = Inventory.model_validate({"hosts": [{"address": "10.0.0.5"}, {"address": "10.0.0.6"}]})


def hosts(count: int = 2) -> dict[str, SshHost]:
    """None of them is ever connected to."""
    return {f"n{n}": SshHost(f"n{n}", Login(f"10.0.0.{n}")) for n in range(1, count + 1)}


# --- what stands in the way


def test_all_that_is_grave_is_told_at_once_and_notes_are_not() -> None:
    complaints = [
        Complaint("n1", "is in a swarm already", "leave it"),
        Complaint("n1 to n2", "4789/udp is closed", "open it"),
        Complaint("n2", "its clock is +2 s off", grave=False),
    ]
    with pytest.raises(EnvironmentBroken) as caught:
        inspection.refuse(complaints)

    assert "n1: is in a swarm already" in caught.value.message
    assert "n1 to n2: 4789/udp is closed" in caught.value.message
    assert "clock" not in caught.value.message
    assert caught.value.hint == "leave it; open it"
    inspection.refuse(complaints[2:])


def test_a_swarm_is_used_on_request_only() -> None:
    facts = {"n1": Facts(swarm="active", is_manager=True), "n2": Facts(swarm="inactive")}
    join = INVENTORY.model_copy(update={"swarm": "join"})

    assert [c.where for c in inspection._swarms(facts, hosts(), INVENTORY)] == ["n1"]
    assert list(inspection._swarms(facts, hosts(), join)) == []
    worker = {"n1": Facts(swarm="active", is_manager=False)}
    [complaint] = inspection._swarms(worker, hosts(), join)
    assert "no manager" in complaint.what


@pytest.mark.parametrize(
    ("offset_s", "error_s", "graves"),
    [(0.5, 0.1, []), (1.5, 1.0, []), (-5.0, 0.1, [False]), (4000.0, 0.1, [True])],
)
def test_a_clock_that_is_off_is_a_note_until_certificates_suffer(
    offset_s: float, error_s: float, graves: list[bool]
) -> None:
    found = inspection._clocks({"n1": Facts(offset_s=offset_s, error_s=error_s)})
    assert [complaint.grave for complaint in found] == graves


def test_a_subnet_that_a_host_reaches_already_is_named_with_network_and_device() -> None:
    plan = planned(
        "name: x\nservices: {a: {networks: [app]}}\n"
        "networks: {app: {driver: overlay, ipam: {config: [{subnet: 10.60.0.0/16}]}}}"
    )
    facts = {"n2": Facts(swarm="inactive", routes=[("10.60.7.0/24", "eth1"), ("192.168.0.0/24", "eth0")])}
    [complaint] = inspection._subnets(facts, plan)

    assert str(complaint) == "n2: 10.60.0.0/16 of network app overlaps 10.60.7.0/24, which it reaches by eth1"
    assert complaint.grave


def test_the_ingress_network_of_a_new_swarm_is_looked_for_as_well() -> None:
    facts = {"n1": Facts(swarm="inactive", routes=[("10.0.0.0/24", "eth0")])}
    [complaint] = inspection._subnets(facts, None)
    assert "ingress" in complaint.what
    assert not complaint.grave


def test_too_few_hosts_are_a_usage_error_before_any_is_asked() -> None:
    with pytest.raises(UsageError, match="3 nodes, and the inventory has 2 hosts"):
        ExistingProvider(INVENTORY).up(planned(), lambda _line: None)


def test_without_an_inventory_there_is_nothing_to_find(tmp_path: Path) -> None:
    provider = ExistingProvider()
    assert provider.clusters() == []
    assert provider.down("nobody") == []
    provider.logs("nobody", tmp_path)
    with pytest.raises(UsageError, match="needs an inventory"):
        provider.inspect(None, lambda _line: None)


# --- markers


def engine(name: str, state: str = "inactive", networks: Sequence[str] = (), *, fails: str = "") -> FakeHost:
    """Answers scripts by a line that says them; one that holds `fails` ends with 1."""

    def script(argv: Sequence[str], _stdin: bytes) -> Result:
        if argv[2] == markers._STATE:
            return Result(0, "\n".join([state, "bridge", *networks]) + "\n", "")
        return Result(1, "", "it is in use") if fails and fails in argv[2] else Result(0, "", "")

    answers: dict[tuple[str, ...], Result | Answer] = {("sh", "-c"): script, ("docker",): Result(0, "true\n", "")}
    return FakeHost(name, answers=answers)


INTENT = Intent("r1", "n1", "manager", "small", "{}", ("harness/workload:1",), adopts=False)


@pytest.mark.parametrize(
    ("state", "networks", "made"),
    [
        ("inactive", (), "gwbridge swarm"),
        ("inactive", ("docker_gwbridge",), "swarm"),
        ("active", ("docker_gwbridge",), ""),
    ],
)
def test_a_marker_says_what_of_the_host_is_ours_to_take_back(
    state: str, networks: Sequence[str], made: str
) -> None:
    host = engine("n1", state, networks)
    markers.mark(host, INTENT)

    create = host.ran[-1]
    assert create[:3] == ("docker", "volume", "create")
    assert create[-1] == "harness-r1"
    assert f"harness.made={made}" in create
    assert {"harness.run=r1", "harness.host=n1", "harness.images=harness/workload:1"} <= set(create)


def test_markers_are_read_back_from_their_labels_alone() -> None:
    labels = {
        "harness.run": "r1",
        "harness.host": "n1",
        "harness.role": "manager",
        "harness.topology": "small",
        "harness.key": "{}",
        "harness.made": "gwbridge swarm",
        "harness.images": "",
    }
    line = json.dumps({"Name": "harness-r1", "CreatedAt": "2026-01-01T00:00:00Z", "Labels": labels})
    host = FakeHost(answers={("sh", "-c"): Result(0, f"{line}\n", "")})
    [found] = markers.markers_on(host)

    assert (found.run, found.node, found.role, found.since) == ("r1", "n1", "manager", "2026-01-01T00:00:00Z")
    assert found.leaves
    assert not found.adopted
    assert found.images == ()


def marker(node: str, role: str, made: str = "swarm gwbridge") -> Marker:
    return Marker("r1", node, role, "small", "{}", "", frozenset(made.split()), ())


def scripts(host: FakeHost) -> list[str]:
    return [argv[2] for argv in host.ran if argv[:2] == ("sh", "-c")]


def test_services_go_before_containers_and_the_ingress_network_before_anybody_leaves() -> None:
    manager, worker = engine("n1"), engine("n2")
    errors: list[EnvironmentBroken] = []
    markers.remove([(manager, marker("n1", "manager")), (worker, marker("n2", "worker"))], errors)

    assert errors == []
    assert scripts(manager) == [
        markers._PROCESSES,
        markers._SERVICES,
        markers._CONTAINERS,
        markers._NETWORKS,
        markers._INGRESS,
        markers._LEAVE,
        markers._REST,
    ]
    assert scripts(worker) == [
        markers._PROCESSES,
        markers._CONTAINERS,
        markers._NETWORKS,
        markers._LEAVE,
        markers._REST,
    ]
    assert manager.ran[-1] == worker.ran[-1] == ("docker", "volume", "rm", "harness-r1")


def test_a_swarm_of_somebody_else_stays_with_its_ingress_network() -> None:
    manager, worker = engine("n1"), engine("n2")
    found = [(manager, marker("n1", "manager", "join")), (worker, marker("n2", "worker", "join"))]
    markers.remove(found, [])

    assert markers._NODES in scripts(manager)
    for host in (manager, worker):
        assert not {markers._LEAVE, markers._INGRESS} & set(scripts(host))


def test_a_host_that_cannot_be_cleaned_keeps_its_marker_and_the_others_go_on() -> None:
    bad, good = engine("n1", fails="docker rm"), engine("n2")
    errors: list[EnvironmentBroken] = []
    removed = markers.remove([(bad, marker("n1", "manager")), (good, marker("n2", "worker"))], errors)

    assert [type(error) for error in errors] == [CommandFailed]
    assert ("docker", "volume", "rm", "harness-r1") not in bad.ran
    assert removed == ["our marker on n2"]


def test_an_agent_whose_connection_was_cut_is_ended_by_its_environment_and_no_other_process_is() -> None:
    ours, other = (
        ProcessChannel(["sleep", "600"], where="an agent", env={**os.environ, markers.VARIABLE: run})
        for run in ("r1-of-this-test", "r1-of-this-test-and-more")
    )
    told = markers._lines(LocalHost(), markers._PROCESSES, f"{markers.VARIABLE}=r1-of-this-test")

    assert len(told) == 1
    with pytest.raises(ChannelLost):
        ours.receive(30)
    assert other.receive(0) is None
    other.close()
    ours.close()


# --- hosts that do not answer


class Silent(FakeHost):
    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        raise Unreachable(f"{self.name} cannot be reached")


def marked(name: str) -> FakeHost:
    labels = {
        "harness.run": "r1",
        "harness.host": name,
        "harness.role": "worker",
        "harness.topology": "small",
        "harness.key": "{}",
        "harness.made": "",
        "harness.images": "",
    }
    line = json.dumps({"Name": "harness-r1", "CreatedAt": "2026-01-01T01:00:00+01:00", "Labels": labels})

    def script(argv: Sequence[str], _stdin: bytes) -> Result:
        return Result(0, f"{line}\n" if argv[2] == markers._LIST else "", "")

    return FakeHost(name, answers={("sh", "-c"): script, ("docker",): Result(0, "", "")})


@pytest.fixture
def half_there() -> ExistingProvider:
    """Of two hosts the second does not answer."""
    provider = ExistingProvider(INVENTORY)
    provider._hosts = {"n1": marked("n1"), "n2": Silent("n2")}  # type: ignore[dict-item]
    return provider


def test_a_silent_host_hides_no_other_from_a_survey_and_is_named(half_there: ExistingProvider) -> None:
    seen = half_there.survey()
    assert [(info.run, info.nodes, info.since) for info in seen.clusters] == [("r1", 1, "2026-01-01T00:00:00Z")]
    assert [error.message for error in seen.unseen] == ["n2 cannot be reached"]
    remains = half_there.remains("harness-r1")
    assert remains is not None
    assert list(remains.hosts) == ["n1"]


def test_who_wants_the_whole_cluster_is_told_what_is_missing(half_there: ExistingProvider) -> None:
    for call in (half_there.clusters, partial(half_there.find, "r1"), partial(half_there.find, "nobody")):
        with pytest.raises(Incomplete, match="n2 cannot be reached"):
            call()


def test_what_is_reached_is_cleaned_and_the_rest_is_named(half_there: ExistingProvider) -> None:
    with pytest.raises(Incomplete, match="n2 cannot be reached") as caught:
        half_there.down("r1")
    assert caught.value.done == ("our marker on n1",)
