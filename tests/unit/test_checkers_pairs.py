"""Connectivity and isolation: who must be reached, who must not, and what proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.history import History, Op
from harness.model.plan import Target
from harness.model.verdict import Verdict
from tests.checkers_scene import CONTAINERS, NODES, TARGETS, ip_key, look, make_check, make_plan, probe

PROTOCOLS = ("icmp", "tcp", "udp")
KIND = "connectivity"


def networks(name: str) -> set[str]:
    return set(CONTAINERS[name][2])


def _answer(f: str, peer: str) -> str:
    return "ok" if f == "icmp" else f"ok {peer}"


def by_ip(kind: str = KIND) -> list[Op]:
    """Every ordered pair by IP, answered as it must be."""
    rows = []
    for source in CONTAINERS:
        for target in CONTAINERS:
            for network in networks(target) if source != target else ():
                for f in PROTOCOLS:
                    value = _answer(f, target) if network in networks(source) else "timeout"
                    rows.append(probe(kind, f, source, ip_key(network, target), value))
    return rows


def by_name(kind: str = KIND) -> list[Op]:
    """Names and aliases, from every container that is not alone in carrying them."""
    rows = []
    for source in CONTAINERS:
        for target in TARGETS:
            others = [n for n, (service, _, _) in CONTAINERS.items() if service == target.service and n != source]
            for network, names in target.networks.items():
                for name in names if others and network in networks(source) else ():
                    via = "service" if name == target.service else "alias"
                    key = f"{via}|{network}|4|{target.service}|{name}"
                    rows += [probe(kind, f, source, key, f"ok {others[0]}") for f in ("tcp", "udp")]
    return rows


GOOD = [*look(KIND), *by_ip(), *by_name()]


def verdict_on(rows: list[Op], kind: str = KIND, targets: tuple[Target, ...] = TARGETS, **params: Any) -> Verdict:
    return judge(History.of(rows), make_plan(targets=targets), make_check(kind, **params))


def changed(rows: list[Op], f: str, at: str, via_to: tuple[str, str], value: str) -> list[Op]:
    """The rows with one answer replaced. Fails if there is no such probe."""
    result = [
        replace(op, value=value)
        if (op.f, op.at) == (f, at) and (op.key.split("|")[0], op.key.split("|")[3]) == via_to
        else op
        for op in rows
    ]
    assert result != rows
    return result


def without(rows: list[Op], drop: Callable[[Op], bool]) -> list[Op]:
    kept = [op for op in rows if not drop(op)]
    assert kept != rows
    return kept


def test_all_pairs_as_they_must_be_pass() -> None:
    verdict = verdict_on(GOOD)
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.correct == len(by_ip()) + len(by_name())
    assert verdict.operations["n1"]["tcp"] > 0


@pytest.mark.parametrize("got", ["timeout", "refused", "unreachable", "reset", "dns", "mtu"])
def test_an_open_pair_without_an_answer_fails_and_is_named(got: str) -> None:
    verdict = verdict_on(changed(GOOD, "tcp", "web.1", ("ip", "db"), got))
    assert verdict.verdict == "fail"
    assert [failure.as_json() for failure in verdict.failures] == [
        {"from": "web.1", "to": "db", "via": "ip", "protocol": "tcp", "family": 4, "expected": "ok", "got": got}
    ]
    assert "web.1 -> db via ip (tcp/ipv4): expected ok" in verdict.reason


@pytest.mark.parametrize(
    ("via_to", "peer"), [(("ip", "db"), "web.2"), (("service", "web"), "db"), (("alias", "web"), "lone")]
)
def test_an_answer_from_somebody_else_is_a_wrong_peer(via_to: tuple[str, str], peer: str) -> None:
    verdict = verdict_on(changed(GOOD, "udp", "web.1", via_to, f"ok {peer}"))
    assert (verdict.verdict, verdict.failures[0].got) == ("fail", "wrong-peer")
    assert f"answered by {peer}" in verdict.reason


def test_any_container_of_a_service_may_answer_to_its_name() -> None:
    assert verdict_on(changed(GOOD, "udp", "db", ("alias", "web"), "ok web.2")).verdict == "pass"


@pytest.mark.parametrize("value", ["ok ?", "ok"])
def test_a_listener_that_is_not_ours_leaves_the_pair_unknown(value: str) -> None:
    verdict = verdict_on(changed(GOOD, "tcp", "web.1", ("ip", "db"), value))
    assert (verdict.verdict, verdict.no_value) == ("unknown", 1)
    assert "peer unverified" in verdict.reason


@pytest.mark.parametrize("got", ["unreachable", "dns"])
def test_silence_between_separate_networks_is_right(got: str) -> None:
    assert verdict_on(changed(GOOD, "tcp", "web.1", ("ip", "lone"), got)).verdict == "pass"


@pytest.mark.parametrize("got", ["ok lone", "ok ?", "refused", "reset", "mtu", "wrong-peer"])
def test_any_answer_between_separate_networks_fails(got: str) -> None:
    verdict = verdict_on(changed(GOOD, "tcp", "web.1", ("ip", "lone"), got))
    assert (verdict.verdict, verdict.failures[0].expected) == ("fail", "closed")


def test_a_container_that_reaches_nobody_proves_no_isolation() -> None:
    """Its own open pairs fail; those that it must not reach are without a value."""
    dead = [replace(op, value="timeout") if op.at == "lone" and op.f in PROTOCOLS else op for op in GOOD]
    verdict = verdict_on(dead)
    assert verdict.verdict == "fail"
    assert verdict.no_value == 9  # three containers that it must not reach, three protocols


def test_a_pair_that_nobody_probed_is_unknown_and_named() -> None:
    rows = without(GOOD, lambda op: (op.f, op.at) == ("icmp", "web.2") and "|db|" in op.key)
    verdict = verdict_on(rows)
    assert verdict.verdict == "unknown"
    assert "not probed: web.2 -> db via ip on app (icmp)" in verdict.reason


@pytest.mark.parametrize("via", ["service", "alias"])
def test_a_name_that_nobody_dialled_is_unknown(via: str) -> None:
    verdict = verdict_on(without(GOOD, lambda op: op.at == "db" and op.key.startswith(via)))
    assert verdict.verdict == "unknown"
    assert f"not probed: db -> {'web' if via == 'service' else 'www'} via {via}" in verdict.reason


def test_a_closed_pair_that_nobody_probed_is_unknown() -> None:
    verdict = verdict_on(without(GOOD, lambda op: op.at == "web.1" and "|lone|" in op.key))
    assert verdict.verdict == "unknown"
    assert "not probed: web.1 -> lone via ip on other" in verdict.reason


def test_only_the_protocols_that_were_asked_for_are_missed() -> None:
    tcp_only = without(GOOD, lambda op: op.f in ("icmp", "udp"))
    assert verdict_on(tcp_only, protocols=["tcp"]).verdict == "pass"
    assert verdict_on(tcp_only, protocols=["tcp", "udp"]).verdict == "unknown"


def test_fewer_containers_than_planned_fail_by_name() -> None:
    rows = [op for op in GOOD if "web.2" not in (op.at, op.key.split("|")[3] if op.key.count("|") > 3 else "")]
    verdict = verdict_on(without(rows, lambda op: op.at == "web.1" and "|web|" in op.key))
    assert verdict.verdict == "fail"
    assert "web: 1 of 2 containers run" in verdict.reason


def test_services_that_were_not_asked_for_are_left_out() -> None:
    def among(op: Op) -> bool:
        to = op.key.split("|")[3] if op.f in PROTOCOLS else ""
        return op.f not in PROTOCOLS or {op.at, to} <= {"web.1", "web.2", "web"}

    verdict = verdict_on([op for op in GOOD if among(op)], services=["web"])
    assert verdict.verdict == "pass", verdict.reason


def test_the_last_answer_of_a_repeated_probe_counts() -> None:
    again = probe(KIND, "tcp", "web.1", ip_key("app", "db"), "timeout", start_ns=20_000, end_ns=21_000)
    assert verdict_on([*GOOD, again]).verdict == "fail"
    assert verdict_on([again, *GOOD]).verdict == "pass"


def test_many_failures_are_cut_short_in_words_and_kept_whole_in_data() -> None:
    deaf = [replace(op, value="timeout") if op.at == "db" and op.f == "udp" else op for op in GOOD]
    verdict = verdict_on(deaf)
    assert len(verdict.failures) == 4  # both webs by IP, their service name and their alias
    assert verdict.reason.endswith("; and 1 more")


def test_a_probe_of_a_container_that_was_never_seen_is_ignored() -> None:
    stranger = probe(KIND, "tcp", "web.1", "ip|app|4|web.9|10.1.0.9", "timeout")
    verdict = verdict_on([*GOOD, stranger])
    assert (verdict.verdict, verdict.ignored) == ("pass", 1)


def own_names(*sources: str) -> list[Op]:
    return [probe(KIND, f, at, "name|app|4|web.2|h_web.2.x", "ok web.2") for at in sources for f in ("tcp", "udp")]


def test_a_containers_own_name_must_be_called_by_all_that_share_its_network() -> None:
    assert verdict_on(GOOD + own_names("web.1", "db")).verdict == "pass"
    verdict = verdict_on(GOOD + own_names("web.1"))
    assert verdict.verdict == "unknown"
    assert "not probed: db -> h_web.2.x via name" in verdict.reason


# --- host-mode ports and the nodes' own network -----------------------------------------------------------------

PORT = {"target": 5000, "published": 8000, "protocol": "tcp", "mode": "host"}
PUBLISHING = tuple(replace(t, ports=(PORT,)) if t.service == "db" else t for t in TARGETS)


def published(value: str) -> Op:
    return probe(KIND, "tcp", "n1", f"host-port|-|4|db|{NODES['n3']}", value)


def test_a_host_mode_port_is_answered_by_a_container_of_that_node() -> None:
    assert verdict_on([*GOOD, published("ok db")], targets=PUBLISHING).verdict == "pass"
    wrong = verdict_on([*GOOD, published("ok web.1")], targets=PUBLISHING)
    assert (wrong.verdict, wrong.failures[0].via, wrong.failures[0].got) == ("fail", "host-port", "wrong-peer")
    assert verdict_on([*GOOD, published("refused")], targets=PUBLISHING).verdict == "fail"


def test_a_host_mode_port_that_nobody_tried_is_unknown() -> None:
    verdict = verdict_on(GOOD, targets=PUBLISHING)
    assert verdict.verdict == "unknown"
    assert "not probed: anybody -> db at 172.30.0.3 via host-port" in verdict.reason


MESHED = tuple(replace(t, ports=({**PORT, "mode": "ingress"},)) if t.service == "web" else t for t in TARGETS)


def mesh(**answers: str) -> list[Op]:
    """Every node's ingress port, asked from another node; `answers` replaces what `n2` answered."""
    return [
        probe(KIND, "tcp", "n2" if node == "n1" else "n1", f"ingress|-|4|web|{ip}", answers.get(node, "ok web.2"))
        for node, ip in NODES.items()
    ]


def test_an_ingress_port_is_answered_on_every_node_by_any_container_of_the_service() -> None:
    assert verdict_on([*GOOD, *mesh(n3="ok web.1")], targets=MESHED).verdict == "pass"
    refused = verdict_on([*GOOD, *mesh(n3="refused")], targets=MESHED)
    assert (refused.verdict, refused.failures[0].via, refused.failures[0].got) == ("fail", "ingress", "refused")
    assert verdict_on([*GOOD, *mesh(n3="ok db")], targets=MESHED).failures[0].got == "wrong-peer"


def test_a_node_whose_ingress_port_nobody_tried_is_unknown() -> None:
    verdict = verdict_on([*GOOD, *mesh()[:2]], targets=MESHED)
    assert verdict.verdict == "unknown"
    assert "not probed: anybody -> web at 172.30.0.3 via ingress" in verdict.reason


def in_host_network(*nodes: str) -> list[Op]:
    """A container `bare` in n2's own network that reaches these nodes."""
    scene = look(KIND)
    task = replace(
        next(op for op in scene if op.f == "task"), process="bare", host="n2", at="bare", key="start|bare"
    )
    place = replace(task, f="endpoint", key="start|node", value=NODES["n2"])
    rows = [
        replace(probe(KIND, f, "n2", f"node|-|4|{node}|{NODES[node]}", _answer(f, node)), at="bare")
        for node in nodes
        for f in PROTOCOLS
    ]
    return [*GOOD, task, place, *rows]


HOSTED = (*TARGETS, Target("bare", 1, "plain", {}, node="n2", host=True))


def test_a_container_in_its_nodes_network_reaches_every_node() -> None:
    verdict = verdict_on(in_host_network(*NODES), targets=HOSTED)
    assert verdict.verdict == "pass", verdict.reason
    itself = changed(in_host_network(*NODES), "tcp", "bare", ("node", "n2"), "ok bare")
    assert verdict_on(itself, targets=HOSTED).verdict == "pass"


def test_a_node_that_its_container_did_not_try_is_unknown() -> None:
    verdict = verdict_on(in_host_network("n1", "n2"), targets=HOSTED)
    assert verdict.verdict == "unknown"
    assert "not probed: bare -> n3 via node" in verdict.reason


def test_a_node_answered_by_another_node_fails() -> None:
    rows = changed(in_host_network(*NODES), "tcp", "bare", ("node", "n3"), "ok n1")
    assert verdict_on(rows, targets=HOSTED).verdict == "fail"


# --- isolation -------------------------------------------------------------------------------------------------

ISOLATED = [*look("isolation"), *by_ip("isolation")]


def test_isolation_passes_on_silence_with_a_control() -> None:
    verdict = verdict_on(ISOLATED, "isolation")
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.correct == 36  # 3 x 2 pairs, both ways, three protocols


def test_isolation_fails_on_any_answer() -> None:
    verdict = verdict_on(changed(ISOLATED, "icmp", "db", ("ip", "mate"), "ok"), "isolation")
    assert (verdict.verdict, str(verdict.failures[0])) == (
        "fail",
        "db -> mate via ip (icmp/ipv4): expected closed, got ok",
    )


def test_isolation_is_unknown_without_a_control() -> None:
    dead = [replace(op, value="timeout") if op.at == "db" and op.f in PROTOCOLS else op for op in ISOLATED]
    verdict = verdict_on(dead, "isolation")
    assert verdict.verdict == "unknown"
    assert "db reached nobody, so its silence to lone says nothing" in verdict.reason


def test_isolation_is_unknown_where_a_pair_was_left_out() -> None:
    rows = without(ISOLATED, lambda op: op.at == "mate" and "|web.1|" in op.key)
    assert verdict_on(rows, "isolation").verdict == "unknown"


def test_isolation_is_unknown_where_all_share_a_network() -> None:
    one = {name: place for name, place in CONTAINERS.items() if "app" in place[2]}
    rows = [*look("isolation", containers=one), *(op for op in by_ip("isolation") if op.at in one)]
    among = [op for op in rows if op.f not in PROTOCOLS or op.key.split("|")[3] in one]
    verdict = verdict_on(among, "isolation")
    assert verdict.verdict == "unknown"
    assert "nothing to keep apart" in verdict.reason
