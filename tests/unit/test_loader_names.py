"""Names across sections and from the catalog, and values that cannot stand together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.model.errors import Problem
from tests.loader_catalog import CATALOG, names, problem, problems, read

NETWORKS = "networks: {app: {driver: overlay}, back: {driver: overlay}}\n"


def services(*lines: str) -> str:
    """A topology with two networks and services; the first stands in line 4."""
    return "name: x\n" + NETWORKS + "services:\n" + "".join(f"  {line}\n" for line in lines)


def about(found: tuple[Problem, ...]) -> list[tuple[int, str]]:
    return [(p.line, p.key) for p in found]


# --- the catalog -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("cluster: {provider: vagrant}", "cluster.provider", "not supported yet: provider 'vagrant'"),
        (
            "cluster: {orchestrator: kubernetes}",
            "cluster.orchestrator",
            "not supported yet: orchestrator 'kubernetes'",
        ),
        ("networks: {a: {driver: macvlan}}", "networks.a.driver", "not supported yet: network driver 'macvlan'"),
        ("volumes: {a: {driver: nfs}}", "volumes.a.driver", "not supported yet: volume driver 'nfs'"),
        ("stores: {a: {kind: cephfs}}", "stores.a.kind", "not supported yet: store kind 'cephfs'"),
        ("checks: [dns]", "checks[0].dns", "not supported yet: check 'dns'"),
        (
            "checks: [connectivity: {faults: [{fault: clock-skew}]}]",
            "checks[0].connectivity.faults[0].fault",
            "not supported yet: fault 'clock-skew'",
        ),
    ],
)
def test_what_is_not_built_is_not_supported_yet(text: str, key: str, message: str) -> None:
    found = problem(f"name: x\n{text}\n")
    assert (found.line, found.key, found.message, found.nearest) == (2, key, message, None)


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("cluster: {provider: dokcer}", "cluster.provider", "docker"),
        ("cluster: {orchestrator: Swarm}", "cluster.orchestrator", "swarm"),
        ("networks: {a: {driver: brigde}}", "networks.a.driver", "bridge"),
        ("volumes: {a: {driver: locl}}", "volumes.a.driver", "local"),
        ("stores: {a: {kind: gluster}}", "stores.a.kind", "glusterfs"),
        ("checks: [conectivity]", "checks[0].conectivity", "connectivity"),
        ("checks: [mtu: {faults: [{fault: partion}]}]", "checks[0].mtu.faults[0].fault", "partition"),
    ],
)
def test_an_unknown_name_comes_with_the_nearest(text: str, key: str, near: str) -> None:
    found = problem(f"name: x\n{text}\n")
    assert (found.key, found.nearest) == (key, near)
    assert found.message.startswith("unknown ")


def test_a_name_that_is_like_no_other_comes_with_all_of_them() -> None:
    found = problem("name: x\nnetworks: {a: {driver: xyz}}\n")
    assert (found.message, found.nearest) == ("unknown network driver 'xyz' (there is: bridge, overlay)", None)


def test_a_default_that_is_not_built_is_reported_at_its_section() -> None:
    catalog = replace(CATALOG, providers=names("existing", "docker"))
    assert about(problems("name: x\ncluster: {heartbeat_s: 1}\n", catalog=catalog)) == [(2, "cluster")]
    assert about(problems("name: x\n", catalog=catalog)) == [(1, "")]


# --- other sections ----------------------------------------------------------------------------------------


def test_networks_of_services_must_exist() -> None:
    found = problems(services("a: {networks: [ap]}", "b: {networks: {bak: {}}}", "c: {networks: [app, back]}"))
    assert [(p.line, p.key, p.nearest) for p in found] == [
        (4, "services.a.networks[0]", "app"),
        (5, "services.b.networks.bak", "back"),
    ]


def test_a_network_mode_among_networks_is_explained() -> None:
    assert "write `network_mode: host`" in problem(services("a: {networks: [host]}")).message


def test_volumes_in_mounts_must_exist() -> None:
    text = services(
        "a: {volumes: ['dat:/x', '/srv:/etc:ro', './here:/y']}",
        "b: {volumes: [{source: dta, target: /x}, {type: tmpfs, target: /y}]}",
        "d: {volumes: [{type: bind, source: /a, target: /z}]}",
        "c: {volumes: ['data:/x', {target: /y}]}",
    )
    found = problems(text + "volumes: {data: }\n")
    assert [(p.line, p.key, p.nearest) for p in found] == [
        (4, "services.a.volumes[0]", "data"),
        (5, "services.b.volumes[0].source", "data"),
    ]


def test_nodes_must_exist() -> None:
    text = "name: x\ncluster: {nodes: {worker: 1}}\nstores: {s: {kind: local, nodes: [n1, n4]}}\n"
    found = problems(text + "services: {a: {node: n3}, b: {node: n2}}\n")
    assert about(found) == [(3, "stores.s.nodes[1]"), (4, "services.a.node")]
    assert "(there is: n1, n2)" in found[0].message


def test_nodes_are_not_judged_while_their_number_is_unclear() -> None:
    found = problem("name: x\ncluster: {nodes: {worker: lots}}\nservices: {a: {node: n9}}\n")
    assert found.key == "cluster.nodes.worker"


def test_stores_must_exist_and_be_of_the_drivers_kind() -> None:
    text = "name: x\nstores: {pool: {kind: glusterfs}}\nvolumes:\n"
    text += "  a: {driver: glusterfs, store: pol}\n  b: {driver: local, store: pool}\n"
    found = problems(text)
    assert [(p.line, p.key, p.nearest) for p in found] == [
        (4, "volumes.a.store", "pool"),
        (5, "volumes.b.store", None),
    ]
    assert "of kind glusterfs" in found[1].message


@pytest.mark.parametrize(
    ("stores", "words"),
    [("{}", "needs a store"), ("{a: {kind: glusterfs}, b: {kind: glusterfs}}", "name one with `store`: a and b")],
)
def test_a_volume_without_a_store_needs_exactly_one_of_its_kind(stores: str, words: str) -> None:
    found = problem(f"name: x\nvolumes:\n  v: {{driver: glusterfs}}\nstores: {stores}\n")
    assert (found.line, found.key) == (3, "volumes.v")
    assert words in found.message


@pytest.mark.parametrize(
    ("check", "key", "near"),
    [
        ("mtu: {network: ap}", "mtu.network", "app"),
        ("concurrent-append: {volume: dat}", "concurrent-append.volume", "data"),
        ("connectivity: {services: [web, wbe]}", "connectivity.services[1]", "web"),
    ],
)
def test_what_checks_name_must_exist(check: str, key: str, near: str) -> None:
    text = services("web: {}") + f"volumes: {{data: }}\nchecks: [{check}]\n"
    found = problem(text)
    assert (found.key, found.nearest) == (f"checks[0].{key}", near)


@pytest.mark.parametrize("target", ["one", "minority", "majority", "all", "manager", "worker", "n3"])
def test_targets_of_faults(target: str) -> None:
    text = f"name: x\nchecks: [mtu: {{faults: [{{fault: pause, target: {target}}}]}}]\n"
    assert read(text).checks[0].faults[0].target == target


def test_a_daemon_of_a_store_is_a_target_and_its_store_must_be_there() -> None:
    text = "name: x\nstores: {pool: {kind: local}}\nchecks: [mtu: {faults: [{fault: pause, target: %s/osd.1}]}]\n"
    assert read(text % "pool").checks[0].faults[0].target == "pool/osd.1"
    found = problem(text % "poll")
    assert (found.key, found.nearest) == ("checks[0].mtu.faults[0].target", "pool")


def test_a_target_that_is_none_is_refused() -> None:
    found = problem("name: x\nchecks: [mtu: {faults: [{fault: pause, target: mayority}]}]\n")
    assert (found.key, found.nearest) == ("checks[0].mtu.faults[0].target", "majority")


def test_a_mistake_in_a_section_does_not_hide_or_make_others() -> None:
    text = "name: x\nnetworks: {app: {}}\nservices:\n"
    text += "  a: {node: n1, deploy: {}, networks: [app, ap], volumes: [data:/x]}\n"
    assert about(problems(text)) == [
        (2, "networks.app.driver"),
        (4, "services.a"),
        (4, "services.a.networks[1]"),
        (4, "services.a.volumes[0]"),
    ]


# --- conflicts ---------------------------------------------------------------------------------------------


def subnets(*texts: str) -> str:
    lines = [f"  net{i}: {{driver: overlay, ipam: {{config: [{{{text}}}]}}}}\n" for i, text in enumerate(texts)]
    return "name: x\nnetworks:\n" + "".join(lines)


def test_overlapping_subnets_are_named_with_both_lines() -> None:
    found = problem(subnets("subnet: 10.1.2.0/24", "subnet: 10.2.0.0/16", "subnet: 10.1.0.0/16"))
    assert (found.line, found.key) == (5, "networks.net2.ipam.config[0].subnet")
    assert (
        "10.1.0.0/16 (line 5) overlaps 10.1.2.0/24, networks.net0.ipam.config[0].subnet in line 3" in found.message
    )


def test_every_subnet_inside_another_is_found() -> None:
    found = problems(
        subnets("subnet: 10.0.0.0/8", "subnet: 10.1.0.0/16", "subnet: 10.9.0.0/16", "subnet: fd00::/64")
    )
    assert [p.line for p in found] == [4, 5]


def test_subnets_side_by_side_are_right() -> None:
    read(subnets("subnet: 10.1.0.0/16", "subnet: 10.2.0.0/16", "subnet: fd00::/64", "subnet: 'fd00:0:0:1::/64'"))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("subnet: 10.1.0.0/16, gateway: 10.2.0.1", "gateway"),
        ("subnet: 10.1.0.0/16, ip_range: 10.2.0.0/24", "ip_range"),
        ("subnet: 10.1.0.0/16, ip_range: fd00::/64", "ip_range"),
    ],
)
def test_gateway_and_range_lie_in_their_subnet(text: str, key: str) -> None:
    assert problem(subnets(text)).key == f"networks.net0.ipam.config[0].{key}"


def test_host_bits_are_refused_with_the_network_that_is_meant() -> None:
    found = problem(subnets("subnet: 10.1.2.3/16"))
    assert (found.message, found.nearest) == ("10.1.2.3/16 has host bits set", "10.1.0.0/16")


HOST = "{target: 80, published: 8000, mode: host}"
VIP = "deploy: {endpoint_mode: vip}"


def test_an_ingress_port_needs_a_vip() -> None:
    found = problem(services("a: {ports: ['8000:80']}"))
    assert found.key == "services.a.ports[0]"
    for words in ("dnsrr", "mode: host", "endpoint_mode: vip"):
        assert words in found.message


@pytest.mark.parametrize(
    "service",
    [
        "{ports: ['8000:80'], deploy: {endpoint_mode: vip}}",
        f"{{ports: [{HOST}]}}",
        "{node: n1, ports: ['8000:80']}",
    ],
)
def test_ports_that_swarm_can_publish_are_right(service: str) -> None:
    read(services(f"a: {service}"))


@pytest.mark.parametrize(
    ("service", "key"),
    [
        ("{ports: ['8000:80'], deploy: {endpoint_mode: vipp}}", "deploy.endpoint_mode"),
        ("{ports: ['8000:80'], deploy: {endpoint_mod: vip}}", "deploy.endpoint_mod"),
        ("{ports: ['8000:80'], node: 5}", "node"),
        ("{ports: [{target: 80, mode: hots}]}", "ports[0].mode"),
    ],
)
def test_no_conflict_is_made_of_another_mistake(service: str, key: str) -> None:
    assert problem(services(f"a: {service}")).key == f"services.a.{key}"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"{{ports: [{HOST}]}}", f"{{ports: [{HOST}]}}"),
        (f"{{ports: [{HOST}]}}", "{node: n2, ports: ['8000:80']}"),
        ("{node: n1, ports: ['8000:80']}", "{node: n1, ports: ['8000:90']}"),
        (f"{{{VIP}, ports: ['8000:80']}}", f"{{{VIP}, ports: ['8000:80']}}"),
        (f"{{{VIP}, ports: ['8000:80']}}", "{node: n1, ports: ['8000:80']}"),
    ],
)
def test_two_services_cannot_publish_one_port_on_a_node(first: str, second: str) -> None:
    found = problem(services(f"a: {first}", f"b: {second}"))
    assert (found.line, found.key) == (5, "services.b.ports[0]")
    assert "port 8000/tcp is published by a as well, in line 4" in found.message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{node: n1, ports: ['8000:80']}", "{node: n2, ports: ['8000:80']}"),
        ("{node: n1, ports: ['8000:80']}", "{node: n1, ports: ['8000:80/udp']}"),
        ("{node: n1, ports: [80]}", "{node: n1, ports: [80]}"),
        (
            f"{{ports: [{HOST}], deploy: {{placement: {{constraints: ['node.hostname==n1']}}}}}}",
            f"{{ports: [{HOST}], deploy: {{placement: {{constraints: ['node.hostname==n2']}}}}}}",
        ),
    ],
)
def test_ports_that_do_not_meet_are_right(first: str, second: str) -> None:
    read(services(f"a: {first}", f"b: {second}"))


def test_more_replicas_than_nodes_cannot_share_a_host_port() -> None:
    found = problem(services(f"a: {{deploy: {{replicas: 4}}, ports: [{HOST}]}}"))
    assert "4 replicas publish port 8000 in mode host on 3 nodes" in found.message
    read(services(f"a: {{deploy: {{replicas: 3}}, ports: [{HOST}]}}"))


@pytest.mark.parametrize("mode", ["host", "none"])
def test_ports_have_no_meaning_without_a_network_of_their_own(mode: str) -> None:
    found = problem(services(f"a: {{node: n1, network_mode: {mode}, ports: ['8000:80']}}"))
    assert found.key == "services.a.ports"


def test_two_mounts_cannot_have_one_target() -> None:
    found = problem(services("a: {volumes: ['d:/x', {type: tmpfs, target: /x/}]}") + "volumes: {d: }\n")
    assert (found.key, found.line) == ("services.a.volumes[1]", 4)


def test_a_bind_mount_needs_a_source() -> None:
    assert "needs a `source`" in problem(services("a: {volumes: [{type: bind, target: /x}]}")).message
