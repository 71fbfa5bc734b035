"""Tables of an overlay against the tasks that run: stale and missing rows are named with their node."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.checkers import judge
from harness.model.history import History, Op
from harness.model.tables import Endpoint, Tables, differences
from harness.model.verdict import Verdict
from tests.checkers_scene import CONTAINERS, NODES, look, make_check, make_plan, row

KIND = "consistency"
APP = {name: home for name, home in CONTAINERS.items() if "app" in home[2]}
BALANCERS = {node: f"10.1.0.10{number}" for number, node in enumerate(NODES)}


def mac(ip: str) -> str:
    return "02:42:" + ":".join(f"{int(part):02x}" for part in ip.split("."))


def endpoints() -> list[Endpoint]:
    return [Endpoint(n, node, NODES[node], nets["app"], mac(nets["app"])) for n, (_, node, nets) in APP.items()]


def tables(node: str) -> Tables:
    """Those of a node that knows all there is, other nodes' balancers included."""
    remote = [endpoint for endpoint in endpoints() if endpoint.node != node]
    others = {ip: NODES[other] for other, ip in BALANCERS.items() if other != node}
    return Tables(
        node,
        {**{e.mac: e.vtep for e in remote}, **{mac(ip): vtep for ip, vtep in others.items()}},
        {**{e.ip: e.mac for e in remote}, **{ip: mac(ip) for ip in others}},
        BALANCERS[node],
    )


def text(table: Tables) -> str:
    """As the node prints them."""
    flood = {"mac": "00:00:00:00:00:00", "dst": "172.30.0.9", "state": "permanent"}
    own = {"mac": "33:33:00:00:00:01", "ifname": "vxlan0", "state": "permanent"}
    fdb = [flood, own, *({"mac": m, "dst": d, "state": "permanent"} for m, d in table.fdb.items())]
    neighbours = [{"dst": ip, "lladdr": m, "state": ["PERMANENT"]} for ip, m in table.neighbours.items()]
    containers = {"lb-app": {"IPv4Address": f"{table.balancer}/24"}, "abc": {"IPv4Address": "10.1.0.1/24"}}
    return "\n".join(json.dumps(part) for part in (containers, fdb, neighbours))


def phase_rows(phase: str, *changed: Tables) -> Iterator[Op]:
    """A look, right names, and each node's tables; `changed` replaces those of its nodes."""
    yield from look(KIND, phase)
    for name, (service, node, nets) in APP.items():
        who = {"process": service, "host": node, "at": name}
        yield row("mac", KIND, **who, key=f"{phase}|app", value=mac(nets["app"]))
    yield row("dns", KIND, at="db", host="n3", key=f"{phase}|app|web", value="10.1.0.1,10.1.0.2")
    instead = {table.node: table for table in changed}
    for node in NODES:
        table = instead.get(node, tables(node))
        yield row("tables", KIND, host=node, at=node, key=f"{phase}|app", value=text(table))


def verdict_on(rows: list[Op]) -> Verdict:
    return judge(History.of(rows), make_plan(), make_check(KIND))


def good(*changed: Tables) -> list[Op]:
    return [*phase_rows("start"), *phase_rows("scaled-up", *changed)]


def test_what_nodes_print_is_read_back() -> None:
    for node in NODES:
        assert Tables.parse(node, text(tables(node))) == tables(node)


def test_agreement_passes_and_balancers_of_other_nodes_are_allowed() -> None:
    verdict = verdict_on(good())
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.correct == 2 * (6 * 2 + 1)
    bare = [replace(tables(node), fdb={}, neighbours={}) for node in NODES]
    only_tasks = [
        replace(
            table,
            fdb={e.mac: e.vtep for e in endpoints() if e.node != table.node},
            neighbours={e.ip: e.mac for e in endpoints() if e.node != table.node},
        )
        for table in bare
    ]
    assert verdict_on(good(*only_tasks)).verdict == "pass"


GONE = "10.1.0.77"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (replace(tables("n1"), neighbours={**tables("n1").neighbours, GONE: mac(GONE)}),
         f"scaled-up, app on n1: its neighbours still have {GONE}"),
        (replace(tables("n2"), fdb={**tables("n2").fdb, mac(GONE): NODES["n3"]}),
         f"scaled-up, app on n2: its FDB still has {mac(GONE)}"),
        (replace(tables("n3"), fdb={m: d for m, d in tables("n3").fdb.items() if m != mac("10.1.0.1")}),
         "app on n3: its FDB lacks web.1"),
        (replace(tables("n3"), fdb={**tables("n3").fdb, mac("10.1.0.1"): NODES["n2"]}),
         "its FDB has web.1 (02:42:0a:01:00:01) behind 172.30.0.2, and it is behind 172.30.0.1 (n1)"),
        (replace(tables("n1"), neighbours={**tables("n1").neighbours, "10.1.0.2": mac(GONE)}),
         "its neighbours have 10.1.0.2 (web.2) at"),
        (replace(tables("n1"), neighbours={}), "its neighbours have 10.1.0.2 (web.2) at no MAC"),
    ],
)  # fmt: skip
def test_what_is_stale_or_missing_is_named_with_its_node(table: Tables, words: str) -> None:
    verdict = verdict_on(good(table))
    assert verdict.verdict == "fail"
    assert words in verdict.reason


def test_names_that_lag_behind_fail() -> None:
    rows = [op for op in good() if not (op.f == "dns" and op.key.startswith("scaled-up"))]
    late = row("dns", KIND, at="db", host="n3", key="scaled-up|app|web", value="10.1.0.1")
    verdict = verdict_on([*rows, late])
    assert verdict.verdict == "fail"
    assert "on app in phase scaled-up, asked on n3" in verdict.reason


def test_the_last_tables_count() -> None:
    stale = replace(tables("n1"), neighbours={**tables("n1").neighbours, GONE: mac(GONE)})
    first = row("tables", KIND, host="n1", at="n1", key="start|app", value=text(stale), start_ns=1, end_ns=2)
    assert verdict_on([first, *good()]).verdict == "pass"


@pytest.mark.parametrize(
    ("found", "instead", "words"),
    [
        ({"host": "n2"}, None, "nobody read the tables of app on n2"),
        (
            {"host": "n2"},
            {"value": "no such network", "outcome": "fail"},
            "on n2 could not be read: no such network",
        ),
        ({"host": "n2"}, {"value": "[]"}, "three tables were expected of n2"),
        ({}, None, "no node's tables were read in phase scaled-up"),
    ],
)
def test_what_was_not_read_is_unknown(found: dict[str, str], instead: dict[str, str] | None, words: str) -> None:
    rows = []
    for op in good():
        if op.f == "tables" and op.key.startswith("scaled-up") and found.get("host", op.host) == op.host:
            rows += [row("tables", KIND, host=op.host, at=op.at, key=op.key, **instead)] if instead else []
        else:
            rows.append(op)
    verdict = verdict_on(rows)
    assert verdict.verdict == "unknown"
    assert words in verdict.reason


def test_random_tables_differ_exactly_where_a_row_was_changed() -> None:
    """Brute force: a row that is removed, added or moved is a difference, named with its node."""
    rng = random.Random(7)
    for _ in range(2000):
        made = [tables(node) for node in NODES]
        victim = rng.randrange(len(made))
        changed, is_changed = _changed(made[victim], rng)
        made[victim] = changed
        found = list(differences(endpoints(), made))
        assert bool(found) == is_changed, (changed, found)
        assert all(line.startswith(f"{changed.node}: ") for line in found)


def _changed(table: Tables, rng: random.Random) -> tuple[Tables, bool]:
    fdb, neighbours = dict(table.fdb), dict(table.neighbours)
    tasks = [endpoint for endpoint in endpoints() if endpoint.node != table.node]
    task = rng.choice(tasks)
    match rng.randrange(7):
        case 0:
            return table, False
        case 1:
            del fdb[task.mac]
        case 2:
            del neighbours[task.ip]
        case 3:
            fdb[mac(GONE)] = rng.choice(list(NODES.values()))
        case 4:
            neighbours[GONE] = mac(GONE)
        case 5:
            fdb[task.mac] = next(ip for ip in NODES.values() if ip != task.vtep)
        case _:
            neighbours[task.ip] = mac(GONE)
    return replace(table, fdb=fdb, neighbours=neighbours), True
