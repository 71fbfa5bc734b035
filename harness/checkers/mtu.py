"""Judges packet sizes: the promised one passes unfragmented, one byte more does not, bulk data arrives whole."""

from __future__ import annotations

from collections.abc import Iterable

from harness.checkers._answers import Answer, failure
from harness.checkers._scene import ProbeKey, Scene, scene_at
from harness.checkers._tally import Tally, last_of_each
from harness.model.history import History, Op
from harness.model.plan import NetworkPlan, Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

#: How a packet that is too large ends: refused on the way (or before it left), or dropped without a word.
REFUSED = ("mtu", "timeout")
#: More ordered pairs of nodes than this are not asked for on one network.
MAX_PAIRS = 30

Pair = tuple[str, str]


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `network`, `packet_bytes`. Sizes are those of IP packets, headers included."""
    scene, tally = scene_at(history), Tally()
    packets = last_of_each(history.only(f="df").ops())
    transfers = last_of_each(history.only(f="bulk").ops())
    chosen = check.params.get("network")
    for network in plan.networks:
        if chosen in (None, network.base) and len(scene.spread(network.name)) > 1:
            largest = int(check.params.get("packet_bytes") or network.packet_bytes)
            for family in network.families:
                _judge_family(tally, _of(packets, network, family), scene, network, family, largest)
                measured = _judge_transfers(tally, _of(transfers, network, family), scene)
                _require(tally, scene, network.name, measured, f"bulk data{_said_of(family)}")
    return tally.verdict(check, f"packets pass up to exactly the promised size: {_said(tally)}")


def _of(rows: Iterable[Op], network: NetworkPlan, family: int) -> list[Op]:
    keys = ((row, ProbeKey.parse(row.key)) for row in rows)
    return [row for row, key in keys if (key.network, key.family) == (network.name, family)]


def _said_of(family: int) -> str:
    return " by IPv6" if family == 6 else ""


def _judge_family(
    tally: Tally, packets: list[Op], scene: Scene, network: NetworkPlan, family: int, largest: int
) -> None:
    measured = _judge_packets(tally, packets, scene, largest)
    what = f"packets of {largest} and {largest + 1} bytes{_said_of(family)}"
    _require(tally, scene, network.name, measured, what)
    name = f"{network.name}_ipv6" if family == 6 else network.name
    tally.figures[f"{name}_packet_bytes"] = _passed(packets)


def _judge_packets(tally: Tally, rows: list[Op], scene: Scene, largest: int) -> set[Pair]:
    """Pairs of nodes for which both sizes were tried."""
    tried: dict[Pair, set[int]] = {}
    for row in rows:
        tried.setdefault(_nodes(row, scene), set()).add(row.length)
        if row.length == largest:
            _judge(tally, row, f"{largest} bytes to pass", Answer.of(row).got == "ok")
        elif row.length == largest + 1:
            _judge_larger(tally, row, largest)
        else:
            tally.ignored += 1
    return {pair for pair, sizes in tried.items() if sizes >= {largest, largest + 1}}


def _judge_larger(tally: Tally, row: Op, largest: int) -> None:
    got = Answer.of(row).got
    if got in ("ok", *REFUSED):
        _judge(tally, row, f"exactly {largest} bytes, not {row.length}", got in REFUSED)
    else:
        tally.doubts.append(
            f"{row.at}: a packet of {row.length} bytes ended as {got}, which says nothing of its size"
        )


def _judge_transfers(tally: Tally, rows: list[Op], scene: Scene) -> set[Pair]:
    for row in rows:
        arrived = Answer.of(row).got == "ok" and row.offset == row.length
        _judge(tally, row, f"{row.length} bytes to arrive", arrived, f" after {max(row.offset, 0)} bytes")
    return {_nodes(row, scene) for row in rows}


def _judge(tally: Tally, row: Op, expected: str, right: bool, detail: str = "") -> None:
    if right:
        tally.right()
    else:
        tally.fail(failure(row, ProbeKey.parse(row.key), expected, Answer.of(row).got), detail)


def _nodes(row: Op, scene: Scene) -> Pair:
    target = scene.containers.get(ProbeKey.parse(row.key).to)
    return row.host, target.node if target else ""


def _require(tally: Tally, scene: Scene, network: str, measured: set[Pair], what: str) -> None:
    """Every ordered pair of nodes, or as many of them as are ever asked for."""
    nodes = scene.spread(network)
    wanted = [(one, other) for one in nodes for other in nodes if one != other]
    lacking = [pair for pair in wanted if pair not in measured]
    if len(wanted) - len(lacking) < min(len(wanted), MAX_PAIRS):
        tally.doubts += [f"{what}: not tried on {network} from {one} to {other}" for one, other in lacking]


def _passed(rows: Iterable[Op]) -> int:
    """The largest size that every pair let through, as far as it was tried."""
    passed: dict[str, int] = {}
    for row in rows:
        size = row.length if Answer.of(row).got == "ok" else 0
        passed[f"{row.at}|{row.key}"] = max(passed.get(f"{row.at}|{row.key}", 0), size)
    return min(passed.values(), default=0)


def _said(tally: Tally) -> str:
    return ", ".join(f"{name.removesuffix('_packet_bytes')} {size}" for name, size in tally.figures.items())
