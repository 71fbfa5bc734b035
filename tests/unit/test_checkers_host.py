"""Containers in their node's network, and what that is worth beside bridge and overlay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.history import History, Op
from harness.model.plan import Target
from harness.model.verdict import Verdict
from tests.checkers_scene import NODES, make_check, make_plan, row

KIND = "host"
DEV = "Inter-|   Receive\n face |bytes\n    lo: 1 2\n  eth0: 3 4\n"
OTHER_DEV = DEV.replace("eth0", "eth1")
#: Way -> (round trip in ns, bytes in 1 ms).
WAYS = {
    "wire": (10_000, 2_000_000),
    "host": (20_000, 2_000_000),
    "bridge": (30_000, 1_000_000),
    "overlay": (40_000, 500_000),
}


def good() -> list[Op]:
    rows = [
        row("endpoint", KIND, process="-", host=n, at=n, key="start|node", value=ip) for n, ip in NODES.items()
    ]
    rows.append(row("task", KIND, process="bare", host="n1", at="bare", key="start|bare", value="running"))
    rows.append(row("endpoint", KIND, process="bare", host="n1", at="bare", key="start|node", value=NODES["n1"]))
    for node, ip in NODES.items():
        key = f"node|-|4|{node}|{ip}"
        rows += [row(f, KIND, at="bare", key=key, value=f"ok {node}") for f in ("tcp", "udp")]
        rows.append(row("icmp", KIND, at="bare", key=key, value="ok"))
    for at in ("bare", "n1"):
        rows.append(row("interfaces", KIND, at=at, key=at, value=DEV))
        rows.append(row("hostname", KIND, at=at, key=at, value="n1\n"))
    in_use = "OSError: [Errno 98] Address already in use"
    rows.append(row("second-bind", KIND, at="bare", key="7799/tcp", value=in_use, outcome="fail", errno=1))
    for way, (rtt_ns, length) in WAYS.items():
        key = f"ip|{way}|4|x|10.0.0.1"
        rows.append(row("rtt", KIND, at="bare", key=key, value="ok x", start_ns=1, end_ns=1 + rtt_ns))
        rows.append(
            row("stream", KIND, at="bare", key=key, value="ok x", length=length, start_ns=1, end_ns=1_000_001)
        )
    return rows


def verdict_on(rows: list[Op]) -> Verdict:
    targets = (Target("bare", 1, "plain", {}, node="n1", host=True),)
    return judge(History.of(rows), make_plan(targets=targets), make_check(KIND))


def changed(found: dict[str, Any], **fields: Any) -> list[Op]:
    return [
        replace(op, **fields) if all(getattr(op, name) == value for name, value in found.items()) else op
        for op in good()
    ]


def without(**found: Any) -> list[Op]:
    return [op for op in good() if any(getattr(op, name) != value for name, value in found.items())]


def test_the_hosts_network_passes_and_is_said_to_isolate_nothing() -> None:
    verdict = verdict_on(good())
    assert verdict.verdict == "pass", verdict.reason
    [promise] = verdict.promises
    assert (promise.expected, promise.observed) == ("may", "broken")
    assert promise.witness == "bare sees eth0, lo, as n1 does"


def test_every_way_is_compared_with_the_hosts_own() -> None:
    figures = verdict_on(good()).figures
    assert figures["host_rtt_p50_us"] == 20
    assert figures["bridge_to_host_rtt_ratio"] == 1.5
    assert figures["overlay_to_host_rtt_ratio"] == 2
    assert figures["wire_to_host_rtt_ratio"] == 0.5
    assert figures["host_median_gbit_s"] == 16
    assert figures["bridge_to_host_stream_ratio"] == 0.5


@pytest.mark.parametrize(
    ("found", "fields", "words"),
    [
        ({"f": "tcp", "key": f"node|-|4|n2|{NODES['n2']}"}, {"value": "refused"}, "bare -> n2 via node (tcp"),
        ({"f": "second-bind"}, {"value": "", "outcome": "ok"}, "could listen on 7799/tcp"),
        ({"f": "hostname", "at": "bare"}, {"value": "bare"}, "bare has the hostname bare, and n1 has n1"),
    ],
)
def test_what_is_wrong_fails_by_name(found: dict[str, Any], fields: dict[str, Any], words: str) -> None:
    verdict = verdict_on(changed(found, **fields))
    assert verdict.verdict == "fail"
    assert words in verdict.reason


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (changed({"f": "second-bind"}, value="python3: not found"), "failed for another reason"),
        (without(f="hostname", at="n1"), "or that of n1, is not known"),
        (without(f="udp", key=f"node|-|4|n3|{NODES['n3']}"), "not probed"),
        (changed({"f": "rtt", "key": "ip|overlay|4|x|10.0.0.1"}, value="timeout"), "rtt by way of overlay"),
        (without(f="rtt", key="ip|host|4|x|10.0.0.1"), "the host's own network was not measured"),
        (without(f="interfaces", at="bare"), ""),
    ],
)
def test_what_was_not_seen_is_unknown_or_not_claimed(rows: list[Op], words: str) -> None:
    verdict = verdict_on(rows)
    if words:
        assert verdict.verdict == "unknown"
        assert words in verdict.reason
    else:
        assert verdict.promises[0].observed == "unmeasured"


def test_an_own_network_would_be_isolated() -> None:
    verdict = verdict_on(changed({"f": "interfaces", "at": "bare"}, value=OTHER_DEV))
    assert verdict.promises[0].observed == "kept"
