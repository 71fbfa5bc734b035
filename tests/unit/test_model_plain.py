"""Plain data: places, registries, topologies' short forms, plans and their JSON."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.model import errors, places
from harness.model.catalog import Names
from harness.model.errors import HarnessError, Problem, TopologyError
from harness.model.history import NEVER, History
from harness.model.plan import Demand, cluster_key, cluster_name, plan_from_json, plan_to_json
from harness.model.registry import collect
from harness.model.topology import Check, Cluster, Mount, Network, Nodes, Port, Service, Topology
from tests.planner_topologies import EXAMPLE, planned, topology

# --- places


def test_the_cache_follows_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert places.cache_dir() == Path("/elsewhere/harness")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/x")
    assert places.cache_dir() == Path("/home/x/.cache/harness")


@pytest.mark.parametrize(("name", "file"), [("topologies", "overlay.yaml"), ("images", "setup.sh")])
def test_data_that_travels_along_is_there(name: str, file: str) -> None:
    assert (places.data_dir(name) / file).is_file()


def test_an_installed_package_takes_the_data_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "harness"
    (package / "_data" / "images").mkdir(parents=True)
    monkeypatch.setattr(places, "__file__", str(package / "model" / "places.py"))
    assert places.data_dir("images") == package / "_data" / "images"


# --- registries


def test_a_registry_is_filled_from_the_modules_of_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "guests_of_a_test"
    package.mkdir()
    for name, text in {
        "__init__": "", "first_one": "GUEST = 1", "other": "GUEST = 2", "plain": "X = 1", "_helper": "GUEST = 3",
    }.items():  # fmt: skip
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert collect("guests_of_a_test", "GUEST") == {"first-one": 1, "other": 2}


def test_a_registry_of_a_package_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError):
        collect("harness.nowhere", "GUEST")


def test_names_are_known_whether_built_or_not() -> None:
    assert Names(frozenset({"a"}), frozenset({"b"})).known == {"a", "b"}


# --- errors


def test_every_error_has_a_code_that_is_no_verdicts() -> None:
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, HarnessError)]
    assert {each.exit_code for each in found} == {64, 70, 130}


def test_a_mistake_of_an_option_has_no_line() -> None:
    problem = Problem("--set", 2, 1, "networks.app.drvier", "unknown key 'drvier'", "driver")
    assert str(problem) == "--set: networks.app.drvier: unknown key 'drvier' (did you mean 'driver'?)"


def test_a_topologys_problems_stand_in_its_message() -> None:
    problems = [Problem("x.yaml", 3, 5, "a.b", "wrong", "right"), Problem("x.yaml", 1, 1, "", "empty")]
    assert str(TopologyError(problems)) == "x.yaml:3:5: a.b: wrong (did you mean 'right'?)\nx.yaml:1:1: empty"
    assert sorted(problems)[0].line == 1


# --- topologies


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (80, Port(target=80)),
        ("80", Port(target=80)),
        ("8000:5000", Port(target=5000, published=8000)),
        ("53:53/udp", Port(target=53, published=53, protocol="udp")),
    ],
)
def test_short_forms_of_a_port(short: Any, long: Port) -> None:
    assert Service.model_validate({"ports": [short]}).ports == [long]


@pytest.mark.parametrize("port", ["http", "80:", "1:2:3", "70000", 0, True, "80/sctp"])
def test_what_is_no_port_is_refused(port: Any) -> None:
    with pytest.raises(ValidationError):
        Service.model_validate({"ports": [port]})


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("data:/x", Mount(source="data", target="/x")),
        ("data:/x:ro", Mount(source="data", target="/x", read_only=True)),
        ("data:/x:rw", Mount(source="data", target="/x")),
        ("/srv:/x", Mount(type="bind", source="/srv", target="/x")),
        ("./srv:/x", Mount(type="bind", source="./srv", target="/x")),
    ],
)
def test_short_forms_of_a_mount(short: str, long: Mount) -> None:
    assert Service.model_validate({"volumes": [short]}).volumes == [long]


@pytest.mark.parametrize("mount", ["data", "data:x", "data:/x:no", "a:/b:ro:c"])
def test_what_is_no_mount_is_refused(mount: str) -> None:
    with pytest.raises(ValidationError):
        Service.model_validate({"volumes": [mount]})


@pytest.mark.parametrize(
    "service",
    [
        {"node": "n1", "deploy": {"replicas": 1}},
        {"network_mode": "host", "networks": ["app"]},
        {"networks": ["app", "app"]},
        {"user": True},
        {"environment": ["A"]},
        {"image": "x", "unknown": 1},
    ],
)
def test_a_service_that_contradicts_itself_is_refused(service: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Service.model_validate(service)


def test_values_without_quotes_are_texts_as_in_compose() -> None:
    service = Service.model_validate({"environment": {"A": 1, "B": True}, "user": 1000, "command": "ls -l"})
    assert (service.environment, service.user) == ({"A": "1", "B": "true"}, "1000")
    assert service.command == ["sh", "-c", "ls -l"]
    assert service.effective_deploy.endpoint_mode == "dnsrr"


@pytest.mark.parametrize("mtu", ["x", "67", "65536", "-1", "1e3"])
def test_an_mtu_that_is_none_is_refused(mtu: str) -> None:
    with pytest.raises(ValidationError, match="must be a number from 68 to 65535"):
        Network.model_validate({"driver": "overlay", "driver_opts": {"com.docker.network.driver.mtu": mtu}})


@pytest.mark.parametrize("key", ["subnet", "ip_range", "gateway"])
def test_an_address_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        Network.model_validate({"driver": "overlay", "ipam": {"config": [{key: "10.0.0.300"}]}})


def test_nodes_are_named_managers_first() -> None:
    assert Nodes(manager=1, worker=3).names == ["n1", "n2", "n3", "n4"]
    assert (Cluster().effective_heartbeat_s, Cluster(provider="vagrant").effective_heartbeat_s) == (1, 30)
    assert Cluster(heartbeat_s=5, provider="vagrant").effective_heartbeat_s == 5


def test_a_topology_does_not_change_after_loading() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        topology().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "a" * 32])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Topology.model_validate({"name": name})


# --- plans


def test_a_plan_comes_back_from_its_json() -> None:
    check = Check(kind="mtu", id="mtu", params={"network": "app"})
    plan = dataclasses.replace(
        planned(demands=[Demand("ipvs", "service web", "vip", ("n1",))]),
        checks=(check,),
        notes=("a note",),
        unmet=(Demand("ipvs", "service web", "vip"),),
    )
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


@pytest.mark.parametrize("key", ["run", "nodes", "steps", "targets", "volumes", "checks", "unmet"])
def test_a_plan_that_lacks_something_is_told_by_its_name(key: str) -> None:
    data = plan_to_json(planned())
    del data[key]
    with pytest.raises(ValueError, match=key):
        plan_from_json(data)


@pytest.mark.parametrize("schema", [None, 0, 2, "1"])
def test_a_plan_of_another_version_is_refused(schema: Any) -> None:
    with pytest.raises(ValueError, match="this version reads 1"):
        plan_from_json({**plan_to_json(planned()), "schema": schema})


def test_what_a_plan_holds_is_found_by_name() -> None:
    plan = planned()
    assert (plan.cluster, plan.managers) == (cluster_name(plan.run), ["n1"])
    assert plan.target("web").containers == 3
    assert (plan.network("app").name, plan.volume("shared").name) == ("app", "shared")
    with pytest.raises(StopIteration):
        plan.target("nobody")


def test_a_part_is_lacking_only_where_it_was_demanded() -> None:
    plan = dataclasses.replace(planned(), unmet=(Demand("ipvs", "service web", "vip"),))
    assert plan.lacks("service web", "vip")
    assert not plan.lacks("service web", "ingress")
    assert not plan.lacks("service edge", "vip")


def test_clusters_of_one_shape_have_one_key() -> None:
    same = topology(EXAMPLE.replace("name: overlay", "name: other"))
    other = topology(EXAMPLE.replace("worker: 2", "worker: 3"))
    assert cluster_key(topology()) == cluster_key(same) != cluster_key(other)


def test_nodes_with_stores_have_more_on_them_so_their_clusters_are_of_another_shape() -> None:
    stored = topology(f"{EXAMPLE}stores: {{disk: {{kind: local}}}}")
    assert cluster_key(stored) != cluster_key(topology())
    assert cluster_key(stored) == cluster_key(topology(f"{EXAMPLE}stores: {{other: {{kind: local}}}}"))


def test_packed_columns_are_integers_again() -> None:
    stamps = base64.b64encode(b"".join(n.to_bytes(8, "little", signed=True) for n in (5, -1, NEVER))).decode()
    batch = {"n": 3, "f": "append", "value": {"from": 7 << 32}, "start_ns": {"i8": stamps}}
    history = History.of_batches([batch, {"n": 1, "f": "append", "value": 1, "start_ns": 2}])
    assert history["start_ns"].tolist() == [5, -1, NEVER, 2]
    assert history["value"].tolist() == [7 << 32, (7 << 32) + 1, (7 << 32) + 2, 1]
    assert all(type(value) is int for value in history["value"])


@pytest.mark.parametrize(
    "packed",
    [
        {"i8": "AAAA"}, {"i8": "*"}, {"zstd": "x"}, {"from": 1, "to": 2}, {"after": 3}, {},
        {"u4": "AAAAAAAAAAAAAAAA"}, {"u4": "AAAA", "from": 1}, {"u4": "*", "from": 1},
    ],
)  # fmt: skip
def test_a_packed_column_that_cannot_be_read_is_refused(packed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        History.of_batches([{"n": 3, "f": "append", "value": 1, "start_ns": packed}])
