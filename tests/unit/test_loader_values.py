"""Single values, the list of checks, and values from the command line."""

from __future__ import annotations

import pytest

from tests.loader_catalog import problem, problems, read


@pytest.mark.parametrize(
    ("text", "key", "message", "near"),
    [
        ("cluster: {nods: {}}", "cluster.nods", "unknown key 'nods'", "nodes"),
        ("clutser: {}", "clutser", "unknown key 'clutser'", "cluster"),
        ("cluster: 3", "cluster", "must be a mapping (key: value), not 3", None),
        ("cluster:", "cluster", "is empty: give it values (key: value below it) or leave it out", None),
        ("cluster: {nodes: {worker: 65}}", "cluster.nodes.worker", "must be at most 64, not 65", None),
        ("cluster: {nodes: {worker: -1}}", "cluster.nodes.worker", "must be at least 0, not -1", None),
        ("cluster: {nodes: {worker: 1.5}}", "cluster.nodes.worker", "must be a whole number, not 1.5", None),
        ("allow_sensitive: maybe", "allow_sensitive", "must be true or false, not maybe", None),
        ("networks: {a: }", "networks.a.driver", "is missing", None),
        ("policies: {a: b}", "policies", "must be a list (- value), not a mapping", None),
        ("policies:", "policies", "is empty: give it entries (- value below it) or leave it out", None),
        (
            "services: {a: {network_mode: hots}}",
            "services.a.network_mode",
            "must be host, bridge or none, not hots",
            "host",
        ),
        ("services: {a: {volumes: [x]}}", "services.a.volumes[0]", "a mount is written as", None),
        ("services: {a: {ports: ['80:99999']}}", "services.a.ports[0]", "target must be at most 65535", None),
        ("services: {a: {ports: [http]}}", "services.a.ports[0]", "a port is written as", None),
        (
            "services: {a: {volumes: [{type: tmpfs, target: x}]}}",
            "services.a.volumes[0].target",
            "begin with /",
            None,
        ),
        ("services: {Web: {}}", "services.Web", "is not a name: names are a-z, 0-9 and -", None),
        ("services: {a: {node: N1}}", "services.a.node", "unknown node 'N1'", "n1"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(text: str, key: str, message: str, near: str | None) -> None:
    found = [p for p in problems(f"name: x\n{text}\n") if p.key == key]
    assert [p.nearest for p in found if message in p.message] == [near]
    assert {p.line for p in found} == {2}


def test_a_missing_name_does_not_hide_the_rest() -> None:
    found = problems("cluster: {nodes: {worker: -1}}\nnetworks: {a: {driver: nope}}\n")
    assert [p.key for p in found] == ["name", "cluster.nodes.worker", "networks.a.driver"]


def test_too_many_services_are_counted() -> None:
    found = problem("name: x\nservices:\n" + "".join(f"  s{i}: {{}}\n" for i in range(201)))
    assert (found.key, found.message) == ("services", "has 201 entries: at most 200 are allowed")


def test_an_address_is_an_address() -> None:
    found = problem("name: x\nnetworks: {a: {driver: overlay, ipam: {config: [{gateway: here}]}}}\n")
    assert found.message == "'here' is not an IPv4 or IPv6 address"


def test_a_long_value_is_cut_in_a_message() -> None:
    assert len(problem(f"name: x\nnetworks: {{a: {{driver: {'z' * 9000}}}}}\n").message) < 200


# --- checks ------------------------------------------------------------------------------------------------


def checks(*lines: str) -> str:
    """A topology with checks; the first stands in line 4."""
    return "name: x\nnetworks: {app: {driver: overlay}}\nchecks:\n" + "".join(f"{line}\n" for line in lines)


def test_a_check_is_a_word_a_word_with_nothing_or_a_mapping() -> None:
    text = checks("- connectivity", "- mtu:", "- connectivity: {id: again}")
    assert [(check.kind, check.id) for check in read(text).checks] == [
        ("connectivity", "connectivity"),
        ("mtu", "mtu"),
        ("connectivity", "again"),
    ]


def test_no_checks_at_all_are_right() -> None:
    assert read("name: x\nchecks:\n").checks == []


def test_one_id_for_two_checks_is_refused() -> None:
    found = problems(checks("- mtu", "- mtu: {network: app}", "- connectivity: {id: mtu}"))
    assert [(p.line, p.key) for p in found] == [(5, "checks[1]"), (6, "checks[2].connectivity.id")]
    assert "also in line 4: give one of them an `id`" in found[0].message


@pytest.mark.parametrize("identity", ["Big", "'a b'", "5", "'a\n'", "~"])
def test_an_id_that_is_no_name_is_refused(identity: str) -> None:
    assert "is no id" in problem(checks(f"- mtu: {{id: {identity}}}")).message


def test_parameters_that_are_not_indented_are_explained() -> None:
    found = problem(checks("- mtu:", "  network: app"))
    assert (found.line, found.message) == (
        4,
        "is one check with its parameters: indent 'network' below 'mtu', or begin it with a dash",
    )


@pytest.mark.parametrize("entry", ["[mtu]", "5", "{}", "~"])
def test_an_entry_that_is_no_check_is_refused(entry: str) -> None:
    assert "is one check with its parameters" in problem(checks(f"- {entry}")).message


def test_checks_that_are_no_list_are_read_all_the_same() -> None:
    found = problems(checks("  mtu: {network: ap}"))
    assert [(p.line, p.key) for p in found] == [(3, "checks"), (4, "checks.mtu.network")]
    assert "must be a list of checks" in problem("name: x\nchecks: mtu\n").message


def test_parameters_are_held_against_the_checks_own_model() -> None:
    found = problems(
        checks(
            "- mtu: {packet_byte: 9}",
            "- concurrent-append: {duration_s: 0, writers_per_node: 65, shape: {sise: 1}}",
            "- connectivity: {protocols: [icmp, sctp], timeout_s: soon, fault: []}",
            "- connectivity: {protocols: [], id: other, faults: [{fault: pause, hold: 3}]}",
            "- mtu: [app]",
        ).replace("- mtu: [", "- connectivity: [")
    )
    assert [(p.line, p.key, p.nearest) for p in found if "twice" not in p.message] == [
        (4, "checks[0].mtu.packet_byte", "packet_bytes"),
        (5, "checks[1].concurrent-append.volume", None),
        (5, "checks[1].concurrent-append.duration_s", None),
        (5, "checks[1].concurrent-append.writers_per_node", None),
        (5, "checks[1].concurrent-append.shape.size", None),
        (5, "checks[1].concurrent-append.shape.sise", "size"),
        (6, "checks[2].connectivity.protocols[1]", None),
        (6, "checks[2].connectivity.timeout_s", None),
        (6, "checks[2].connectivity.fault", "faults"),
        (7, "checks[3].connectivity.protocols", None),
        (7, "checks[3].connectivity.faults[0].hold", "hold_s"),
        (8, "checks[4].connectivity", None),
    ]


def test_the_faults_of_an_unknown_check_are_read_as_well() -> None:
    found = problems(checks("- speed: {faults: [{fault: pause, at_s: -1, target: n9}]}"))
    assert [p.key for p in found] == [
        "checks[0].speed",
        "checks[0].speed.faults[0].at_s",
        "checks[0].speed.faults[0].target",
    ]


def test_too_many_checks_are_refused() -> None:
    text = checks(*(f"- mtu: {{id: mtu-{i}}}" for i in range(101)))
    assert "has 101 entries: at most 100 are allowed" in problem(text).message


# --- overrides ---------------------------------------------------------------------------------------------


def test_an_override_replaces_a_value_and_makes_missing_sections() -> None:
    topology = read(
        "name: x\ncluster:\nnetworks: {app: {driver: bridge}}\n",
        ("cluster.nodes.worker", "4"),
        ("networks.app.driver", "overlay"),
        ("networks.app.driver_opts.com.docker.network.driver.mtu", "1400"),
        ("services.web.networks", "[app]"),
        ("services.web.environment.A.B", "c"),
    )
    assert topology.cluster.nodes.worker == 4
    assert (topology.networks["app"].driver, topology.networks["app"].mtu) == ("overlay", 1400)
    assert list(topology.services["web"].networks) == ["app"]
    assert topology.services["web"].environment == {"A.B": "c"}


def test_the_last_of_two_overrides_wins() -> None:
    assert read("name: x\n", ("name", "a"), ("name", "b")).name == "b"


@pytest.mark.parametrize("key", ["services.a.ports[1].mode", "services.a.ports.1.mode"])
def test_an_override_reaches_into_a_list(key: str) -> None:
    text = "name: x\nservices: {a: {ports: [{target: 1, mode: host}, {target: 2, mode: ingress}]}}\n"
    assert read(text, (key, "host")).services["a"].ports[1].mode == "host"


@pytest.mark.parametrize(
    ("key", "index"),
    [("checks.small.packet_bytes", 2), ("checks.mtu.packet_bytes", 1), ("checks[1].mtu.packet_bytes", 1)],
)
def test_an_override_reaches_into_a_check_by_id_kind_or_number(key: str, index: int) -> None:
    text = checks("- connectivity", "- mtu: {network: app}", "- mtu: {id: small}")
    assert read(text, (key, "1300")).checks[index].params["packet_bytes"] == 1300


def test_a_bare_check_gets_parameters() -> None:
    assert (
        read(checks("- connectivity"), ("checks.connectivity.timeout_s", "3")).checks[0].params["timeout_s"] == 3
    )


def test_a_kind_that_stands_once_is_enough_whatever_its_id() -> None:
    text = checks("- mtu: {id: small}")
    assert read(text, ("checks.mtu", "{id: large, packet_bytes: 9000}")).checks[0].id == "large"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("cluster.nodes.worker", "many", "must be a whole number, not many"),
        ("clustr.nodes", "1", "unknown key 'clustr'"),
        ("name.x", "1", "nothing can be set below name: it is x"),
        ("cluster..nodes", "1", "is not a dotted key"),
        ("", "1", "the key is empty"),
        ("cluster.", "1", "is not a dotted key"),
        (".".join(["a"] * 40), "1", "deeper than 32"),
        ("cluster.nodes", "{worker: [", "not valid YAML"),
        ("cluster.nodes.worker", "22:22", "base 60"),
        ("networks[0]", "1", "is no list with an entry 0"),
        ("checks[5].mtu.network", "app", "is no list with an entry 5"),
        ("checks.speed.x", "1", "no check has the id or kind 'speed' (there is: a, b)"),
        ("checks.mtu.network", "app", "2 checks are called 'mtu'"),
        ("checks.a.network", "ap", "unknown network 'ap'"),
    ],
)
def test_a_problem_in_an_override_names_its_number_and_key(key: str, value: str, words: str) -> None:
    text = checks("- mtu: {id: a}", "- mtu: {id: b}")
    found = [p for p in problems(text, ("description", "fine"), (key, value)) if words in p.message]
    assert [(p.file, p.line) for p in found] == [("--set", 2)]


def test_problems_of_file_and_overrides_come_together() -> None:
    found = problems("name: X\n", ("cluster.nodes.worker", "-1"), ("cluster.provider", "vagrant"))
    assert [(p.file, p.line, p.key) for p in found] == [
        ("--set", 1, "cluster.nodes.worker"),
        ("--set", 2, "cluster.provider"),
        ("x.yaml", 1, "name"),
    ]
