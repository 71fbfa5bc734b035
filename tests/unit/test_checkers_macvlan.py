"""Macvlan: MACs at their own nodes' ports, and who must reach a container."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.history import History, Op
from harness.model.plan import NetworkPlan, Target
from harness.model.verdict import Verdict
from tests.checkers_scene import NODES, make_check, make_plan, row

KIND = "macvlan"
#: Name -> (node, address, MAC).
HOMES = {
    "a": ("n1", "10.70.0.2", "02:42:0a:46:00:02"),
    "b": ("n2", "10.70.0.66", "02:42:0a:46:00:42"),
    "c": ("n2", "10.70.0.67", "02:42:0a:46:00:43"),
}
PARENTS = {node: f"02:42:00:00:00:0{number}" for number, node in enumerate(NODES)}
PORTS = {node: f"veth{node}" for node in NODES}
TARGETS = tuple(Target(name, 1, "plain", {"lan": (name,)}, node=home[0]) for name, home in HOMES.items())


def key(via: str, to: str) -> str:
    return f"{via}|lan|4|{to}|{HOMES[to][1]}"


def fdb(updated_s: int = 0, **moved: str) -> str:
    """The wire's table; `moved` puts a container's MAC at another node's port, or nowhere."""
    homes = {mac: moved.get(name, node) for name, (node, _, mac) in HOMES.items()}
    seen = {**homes, **{mac: node for node, mac in PARENTS.items()}}
    common = {"master": "br-1", "state": ""}
    ages = {mac: updated_s if mac == HOMES["b"][2] else 0 for mac in seen}
    rows = [
        {"mac": mac, "ifname": PORTS[node], "updated": ages[mac], **common} for mac, node in seen.items() if node
    ]
    return json.dumps([*rows, {"mac": "33:33:00:00:00:01", "ifname": "br-1", "state": "permanent"}])


def scene(macs: dict[str, str] | None = None) -> list[Op]:
    rows = [
        row("endpoint", KIND, process="-", host=n, at=n, key="start|node", value=ip) for n, ip in NODES.items()
    ]
    for name, (node, ip, mac) in HOMES.items():
        who = {"process": name, "host": node, "at": name}
        rows.append(row("task", KIND, **who, key=f"start|{name}", value="running"))
        rows.append(row("endpoint", KIND, **who, key="start|lan", value=ip))
        rows.append(row("mac", KIND, **who, key="start|lan", value=(macs or {}).get(name, mac)))
    return rows


def commands(table: str | None = None) -> list[Op]:
    rows = [row("parent", KIND, host=n, at=n, key="lan", value=f"{mac}\n") for n, mac in PARENTS.items()]
    rows += [row("command", KIND, host=n, at=n, key=f"address of {n}", value="") for n in NODES]
    return [*rows, row("fdb", KIND, host="controller", key="wire", value=fdb() if table is None else table)]


def probes(**answers: str) -> list[Op]:
    """All of them, as they are on a good macvlan; `answers` replaces those whose `<via>_<at>_<to>` is named."""
    rows = []
    for to, (home, ip, _) in HOMES.items():
        for at in HOMES:
            if at != to:
                rows.append(row("icmp", KIND, at=at, host=HOMES[at][0], key=key("ip", to), value="ok"))
                rows.append(row("tcp", KIND, at=at, host=HOMES[at][0], key=key("ip", to), value=f"ok {to}"))
        for node in NODES:
            value = answers.get(f"visitor_{node}_{to}", "timeout" if node == home else "ok")
            rows.append(row("icmp", KIND, at=node, host=node, key=key("visitor", to), value=value))
        value = answers.get(f"shim_{home}_{to}", "ok")
        rows.append(row("icmp", KIND, at=home, host=home, key=key("shim", to), value=value))
        rows.append(row("dns", KIND, at="a", key=f"across|lan|{to}", value=answers.get(f"dns_{to}", "nxdomain")))
        if home == "n2":
            at, value = "bc".strip(to), answers.get(f"near_{to}", ip)
            rows.append(row("dns", KIND, at=at, host="n2", key=f"neighbour|lan|{to}", value=value))
    return rows


def verdict_on(rows: list[Op], *, resolves: bool = False, same_node: bool = True) -> Verdict:
    network = NetworkPlan("lan", "macvlan", 1500, resolves, subnets=("10.70.0.0/24",), same_node=same_node)
    return judge(History.of(rows), make_plan(targets=TARGETS, networks=(network,)), make_check(KIND))


def promises(verdict: Verdict) -> dict[str, tuple[str, str]]:
    return {promise.name: (promise.expected, promise.observed) for promise in verdict.promises}


GOOD = [*scene(), *commands(), *probes()]


def test_a_good_macvlan_passes_and_says_what_the_kernel_does_not_do() -> None:
    verdict = verdict_on(GOOD)
    assert (verdict.verdict, verdict.skipped) == ("pass", ())
    assert promises(verdict) == {
        "reached from its own node": ("may", "broken"),
        "reached through a shim": ("holds", "kept"),
        "names resolve across nodes": ("may", "broken"),
        "names resolve on a node": ("holds", "kept"),
    }
    assert verdict.promises[0].witness == "n1 -> a: timeout"
    assert "known limit" in verdict.promises[0].source


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([*scene({"c": HOMES["b"][2]}), *commands(), *probes()], "c and b have one MAC"),
        ([*scene({"a": PARENTS["n1"]}), *commands(), *probes()], "a and n1 have one MAC"),
        ([*scene(), *commands(fdb(b="n3")), *probes()], "b: its MAC was seen at vethn3, but n2 is at vethn2"),
        ([*scene(), *commands(fdb(b="")), *probes()], "b: its MAC was not seen on the wire"),
        ([*scene(), *commands(fdb(updated_s=9)), *probes()], "b: its MAC was not seen on the wire"),
        ([*scene(), *commands(), *probes(visitor_n3_a="timeout")], "n3 -> a via visitor"),
        ([*scene(), *commands(), *probes(shim_n2_c="timeout")], "reached through a shim: n2 -> c: timeout"),
        ([*scene(), *commands(), *probes(near_c="nxdomain")], "names resolve on a node: b asks for c: nxdomain"),
    ],
)
def test_what_is_wrong_fails_by_name(rows: list[Op], words: str) -> None:
    verdict = verdict_on(rows)
    assert verdict.verdict == "fail"
    assert words in verdict.reason


def test_a_pair_that_does_not_meet_fails() -> None:
    rows = [op for op in GOOD if not (op.f == "icmp" and op.at == "a" and op.key == key("ip", "b"))]
    broken = row("icmp", KIND, at="a", host="n1", key=key("ip", "b"), value="timeout")
    verdict = verdict_on([*rows, broken])
    assert verdict.verdict == "fail"
    assert verdict.failures[0].as_json()["to"] == "b"


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        ({"f": "parent", "at": "n2"}, "the wire has not seen n2"),
        ({"f": "mac", "at": "a"}, "a: its MAC is not known"),
        ({"f": "icmp", "at": "n3", "key": key("visitor", "a")}, "not probed: n3 -> a"),
        ({"at": "a", "key": key("ip", "b")}, "not probed: a -> b"),
    ],
)
def test_what_was_not_looked_at_is_unknown(left_out: dict[str, Any], words: str) -> None:
    rows = [op for op in GOOD if any(getattr(op, name) != value for name, value in left_out.items())]
    verdict = verdict_on(rows)
    assert verdict.verdict == "unknown"
    assert words in verdict.reason


def test_without_a_shim_nothing_is_shown_about_it() -> None:
    verdict = verdict_on([op for op in GOOD if not op.key.startswith("shim|")])
    assert verdict.verdict == "unknown"
    assert "reached through a shim: unmeasured" in verdict.reason


def test_neighbours_that_were_not_asked_for_leave_it_unknown() -> None:
    verdict = verdict_on([op for op in GOOD if not op.key.startswith("neighbour|")])
    assert verdict.verdict == "unknown"
    assert "names resolve on a node: unmeasured" in verdict.reason


def test_where_nobody_has_a_neighbour_nothing_is_promised_of_their_names() -> None:
    alone = [op for op in GOOD if op.at != "c" and "c" not in op.key.split("|")]
    verdict = verdict_on(alone)
    assert (verdict.verdict, "names resolve on a node" in promises(verdict)) == ("pass", False)


def test_a_command_that_failed_is_a_doubt() -> None:
    failed = row("command", KIND, host="n1", at="n1", key="shim of n1", value="File exists", outcome="fail")
    verdict = verdict_on([*GOOD, failed])
    assert verdict.verdict == "unknown"
    assert "shim of n1 on n1: File exists" in verdict.reason


def test_without_the_right_to_the_wire_that_part_is_skipped_by_name() -> None:
    without = [op for op in GOOD if op.f != "fdb"]
    refused = row("fdb", KIND, host="controller", key="wire", value="right wire", outcome="info")
    verdict = verdict_on([*without, refused])
    assert verdict.verdict == "pass"
    assert [(skip.part, skip.needs) for skip in verdict.skipped] == [("MACs on the wire", "right wire")]


def test_in_mode_private_containers_of_a_node_need_not_meet_and_a_shim_need_not_work() -> None:
    rows = [op for op in GOOD if {op.at, op.key.split("|")[-2] if "|" in op.key else ""} != {"b", "c"}]
    rows = [op for op in rows if not op.key.startswith("shim|")]
    silent = [row("icmp", KIND, at=h[0], host=h[0], key=key("shim", n), value="timeout") for n, h in HOMES.items()]
    assert verdict_on([*rows, *silent], same_node=False).verdict == "pass"


def test_names_of_a_swarms_macvlan_must_be_right() -> None:
    right = {f"dns_{name}": home[1] for name, home in HOMES.items()}
    assert verdict_on([*scene(), *commands(), *probes(**right)], resolves=True).verdict == "pass"
    for wrong in ("nxdomain", "timeout", HOMES["a"][1]):
        verdict = verdict_on([*scene(), *commands(), *probes(**{**right, "dns_b": wrong})], resolves=True)
        assert verdict.verdict == "fail"
        assert f"names resolve across nodes: a asks for b: {wrong}" in verdict.reason
