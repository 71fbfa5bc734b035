"""Services as a stack file and as `docker run`: no key of a topology may be lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import STABLE, Deploy, Mount, Port, Service
from harness.planner import plan, problems
from tests.planner_topologies import CHOICE, EXAMPLE, IMAGE, planned, problem_keys, stack_of, topology

NETWORKS: dict[str, Any] = {
    "app": {"driver": "overlay", "attachable": True, "ipam": {"config": [{"subnet": "10.60.0.0/16"}]}}
}
VOLUMES: dict[str, Any] = {"data": {}}

#: For every key of a service, on top of `{networks: [app]}`: a value that is not the default.
SERVICE_KEYS: dict[str, dict[str, Any]] = {
    "image": {"image": "other:1"},
    "command": {"command": ["sleep", "9"]},
    "environment": {"environment": {"A": "1"}},
    "user": {"user": "1000"},
    "read_only": {"read_only": True},
    "cap_drop": {"cap_drop": ["NET_RAW"]},
    "deploy": {"deploy": {"replicas": 2}},
    "node": {"node": "n2"},
    "network_mode": {"network_mode": "host", "networks": {}},
    "networks": {"networks": {"app": {"aliases": ["www"]}}},
    "ports": {"ports": [{"target": 80, "mode": "host"}]},
    "volumes": {"volumes": ["data:/data"]},
}
DEPLOY_KEYS: dict[str, dict[str, Any]] = {
    "mode": {"mode": "global"},
    "replicas": {"replicas": 2},
    "endpoint_mode": {"endpoint_mode": "vip"},
    "placement": {"placement": {"constraints": ["node.role==worker"]}},
}
PORT_KEYS: dict[str, dict[str, Any]] = {
    "target": {"target": 81},
    "published": {"published": 8000},
    "protocol": {"protocol": "udp"},
    "mode": {"mode": "ingress"},
}
MOUNT_KEYS: dict[str, dict[str, Any]] = {
    "type": {"type": "bind", "source": "/srv"},
    "source": {"source": "data"},
    "target": {"target": "/else"},
    "read_only": {"read_only": True},
}


def outcome(service: dict[str, Any]) -> Any:
    """What a service becomes: problems, or steps and documents."""
    made = topology("name: x", networks=NETWORKS, volumes=VOLUMES, services={"s": service})
    found = problems(made, CHOICE, wire_mtu=1500)
    return found or _effects(plan(made, CHOICE, run="r1", seed=1, workload_image=IMAGE))


def _effects(made: Plan) -> Any:
    return made.steps, made.documents


def test_the_tables_below_cover_every_key_of_the_models() -> None:
    # refused, see below; and the only hostname there may be is what tasks have on Swarm without it
    assert set(SERVICE_KEYS) == set(Service.model_fields) - {"namespace", "hostname"}
    assert set(DEPLOY_KEYS) == set(Deploy.model_fields)
    assert set(PORT_KEYS) == set(Port.model_fields)
    assert set(MOUNT_KEYS) == set(Mount.model_fields)


def test_the_hostname_that_holds_is_what_tasks_have_anyway() -> None:
    base: dict[str, Any] = {"networks": {"app": {}}, "deploy": {"replicas": 2}}
    asked, plain = (
        plan(
            topology("name: x", networks=NETWORKS, services={"s": each}),
            CHOICE,
            run="r1",
            seed=1,
            workload_image=IMAGE,
        )
        for each in ({**base, "hostname": STABLE}, base)
    )
    assert _effects(asked) == _effects(plain)
    assert "s-{{.Task.Slot}}" in str(_effects(asked))


@pytest.mark.parametrize("key", SERVICE_KEYS)
def test_no_key_of_a_scheduled_service_is_lost(key: str) -> None:
    base: dict[str, Any] = {"networks": {"app": {}}}
    assert outcome({**base, **SERVICE_KEYS[key]}) != outcome(base)


@pytest.mark.parametrize("key", sorted(set(SERVICE_KEYS) - {"deploy"}))  # the model refuses it beside node
def test_no_key_of_a_plain_service_is_lost(key: str) -> None:
    base = {"networks": {"app": {}}, "node": "n1"}
    assert outcome({**base, **SERVICE_KEYS[key]}) != outcome(base)


@pytest.mark.parametrize("key", DEPLOY_KEYS)
def test_no_key_of_deploy_is_lost(key: str) -> None:
    assert outcome({"deploy": DEPLOY_KEYS[key]}) != outcome({"deploy": {}})


@pytest.mark.parametrize("node", [None, "n1"], ids=["scheduled", "plain"])
@pytest.mark.parametrize("key", sorted(PORT_KEYS))
def test_no_key_of_a_port_is_lost(key: str, node: str | None) -> None:
    base = {"target": 80, "mode": "host"}
    with_key = {"node": node, "ports": [{**base, **PORT_KEYS[key]}]}
    if node and key == "mode":
        made = topology("name: x", services={"s": with_key})
        assert plan(made, CHOICE, run="r1", seed=1, workload_image=IMAGE).notes
        return
    assert outcome(with_key) != outcome({"node": node, "ports": [base]})


@pytest.mark.parametrize("node", [None, "n1"], ids=["scheduled", "plain"])
@pytest.mark.parametrize("key", MOUNT_KEYS)
def test_no_key_of_a_mount_is_lost(key: str, node: str | None) -> None:
    base = {"type": "volume", "target": "/data"}
    changed = outcome({"node": node, "volumes": [{**base, **MOUNT_KEYS[key]}]})
    assert changed != outcome({"node": node, "volumes": [base]})


def test_a_static_address_reaches_a_plain_container_and_is_refused_elsewhere() -> None:
    place = {"app": {"ipv4_address": "10.60.3.4"}}
    assert outcome({"networks": place})[0][0] == "services.s.networks.app.ipv4_address"
    steps, _ = outcome({"node": "n1", "networks": place})
    assert "name=harness-r1-app,alias=s,ip=10.60.3.4" in steps[-1].argv
    outside = outcome({"node": "n1", "networks": {"app": {"ipv4_address": "10.99.0.1"}}})
    assert outside[0][0] == "services.s.networks.app.ipv4_address"


def test_the_stack_of_the_example() -> None:
    stack = stack_of(planned())
    assert stack["networks"]["app"] == {"name": "harness-r1-app", "external": True}
    assert stack["volumes"]["shared"]["driver_opts"]["device"] == "/harness/shared"
    assert stack["volumes"]["shared"]["labels"] == {"harness.run": "r1"}
    assert set(stack["services"]) == {"web", "edge"}
    web, edge = stack["services"]["web"], stack["services"]["edge"]
    assert web["deploy"]["endpoint_mode"] == "dnsrr"
    assert web["deploy"]["replicas"] == 3
    assert web["networks"] == {"app": {"aliases": ["www"]}}
    assert web["labels"] == {"harness.run": "r1", "harness.service": "web"}
    assert web["hostname"] == "web-{{.Task.Slot}}"
    assert (web["image"], web["command"], web["init"]) == (IMAGE, ["sleep", "infinity"], True)
    assert edge["ports"] == [{"target": 5000, "protocol": "tcp", "mode": "host", "published": 8000}]
    assert "replicas" not in edge["deploy"]


def test_network_mode_host_is_kept_in_the_stack_and_in_docker_run() -> None:
    stack = stack_of(planned("name: x", services={"bare": {"network_mode": "host"}}))
    key = next(iter(stack["services"]["bare"]["networks"]))
    assert stack["networks"][key] == {"name": "host", "external": True}
    argv = next(step.argv for step in planned().steps if step.title == "start bare")
    assert argv[argv.index("--network") + 1] == "host"


def test_a_service_without_networks_is_on_the_default_bridge_and_says_so() -> None:
    made = planned("name: x", services={"s": {}})
    stack = stack_of(made)
    assert stack["networks"][next(iter(stack["services"]["s"]["networks"]))]["name"] == "bridge"
    assert "default bridge" in made.notes[0]


def test_a_users_image_keeps_its_own_command() -> None:
    stack = stack_of(planned("name: x", services={"s": {"image": "db:1"}}))
    assert "command" not in stack["services"]["s"]


def test_constraints_by_hostname_use_the_label_that_join_sets() -> None:
    deploy = {"placement": {"constraints": ["node.hostname == n2"]}}
    stack = stack_of(planned("name: x", services={"s": {"deploy": deploy}}))
    assert stack["services"]["s"]["deploy"]["placement"] == {"constraints": ["node.labels.harness.name==n2"]}


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_every_text_survives_yaml_and_interpolation(value: str) -> None:
    stack = stack_of(planned("name: x", services={"s": {"environment": {"A": value}}}))
    escaped = stack["services"]["s"]["environment"]["A"]
    assert "$" not in escaped.replace("$$", "")
    assert escaped.replace("$$", "$") == value


def test_a_comma_in_a_mount_option_stays_inside_its_field() -> None:
    volumes = {"data": {"driver_opts": {"type": "none", "o": "bind,noatime", "device": "/srv"}}}
    made = planned("name: x", volumes=volumes, services={"s": {"node": "n1", "volumes": ["data:/data:ro"]}})
    argv = made.steps[-1].argv
    assert argv[argv.index("--mount") + 1] == (
        "type=volume,target=/data,source=harness-r1-data,volume-driver=local,volume-label=harness.run=r1,"
        'volume-opt=type=none,"volume-opt=o=bind,noatime",volume-opt=device=/srv,readonly'
    )


@pytest.mark.parametrize(
    ("service", "key"),
    [
        ("{ports: ['8000:80']}", "services.s.ports.0"),
        ("{network_mode: host, ports: [{target: 80, mode: host}]}", "services.s.ports"),
        ("{network_mode: none}", "services.s.network_mode"),
        ("{node: n1, networks: [closed]}", "services.s.networks.closed"),
        ("{volumes: ['./x:/x']}", "services.s.volumes.0.source"),
        ("{volumes: [{type: tmpfs, source: x, target: /x}]}", "services.s.volumes.0"),
        (
            "{deploy: {placement: {constraints: ['engine.labels.a==b']}}}",
            "services.s.deploy.placement.constraints.0",
        ),
        ("{deploy: {placement: {constraints: ['node.hostname==n9']}}}", "services.s.deploy.placement.constraints"),
        ("{deploy: {mode: global, replicas: 4}}", "services.s.deploy.replicas"),
        (
            "{deploy: {replicas: 4}, ports: [{target: 1, published: 2, mode: host}]}",
            "services.s.deploy.replicas",
        ),
        ("{networks: [tiny], deploy: {replicas: 3}}", "networks.tiny.ipam.config.0.subnet"),
    ],
)
def test_what_swarm_cannot_express_is_refused_by_its_key(service: str, key: str) -> None:
    text = f"""
name: x
networks:
  closed: {{driver: overlay}}
  tiny: {{driver: overlay, ipam: {{config: [{{subnet: 10.7.0.0/29}}]}}}}
services: {{s: {service}}}
"""
    assert problem_keys(text) == [key]


def test_a_subnet_that_just_fits_is_accepted() -> None:
    text = EXAMPLE.replace("10.60.0.0/16", "10.60.0.0/28")
    assert problem_keys(text) == []
    assert problem_keys(text.replace("replicas: 3", "replicas: 7")) == ["networks.app.ipam.config.0.subnet"]


def test_a_service_called_like_a_container_of_another_is_refused() -> None:
    assert problem_keys("name: x\nservices: {web: {}, web-1: {}}") == ["services.web"]
    assert problem_keys("name: x\nservices: {web: {deploy: {mode: global}}, web-n2: {}}") == ["services.web"]
    assert problem_keys("name: x\nservices: {web: {}, web-api: {}}") == []


def test_policies_are_refused_and_internal_ports_are_noted() -> None:
    head = "apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}"
    assert problem_keys(f"name: x\npolicies: [{{{head}, spec: {{podSelector: {{}}}}}}]") == ["policies"]
    assert problem_keys("name: x\nservices: {a: {namespace: b}}") == ["services.a.namespace"]
    networks = {"app": {"driver": "overlay", "internal": True}}
    service = {"networks": ["app"], "ports": [{"target": 80, "mode": "host"}]}
    assert "internal" in planned("name: x", networks=networks, services={"s": service}).notes[0]


def test_a_run_id_that_makes_names_too_long_is_refused() -> None:
    with pytest.raises(UsageError, match="63 characters"):
        plan(topology(), CHOICE, run="r" * 60, seed=1, workload_image=IMAGE)
