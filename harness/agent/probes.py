"""Short questions to many peers at once: probe, lookup, bulk. One loop a namespace, one task a question."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

from .icmp import DEFAULT_PACKET_BYTES, ping
from .loop import Task, run, sleep
from .namespaces import by_pid, each_network
from .protocol import Call
from .resolver import Resolv, resolv_of, resolve
from .rows import Row, probe_row
from .sockets import Missed, ask_udp, converse, deadline, identity, numeric, read_line, request, send_all

#: Questions under way at once in one namespace where a call does not say.
_PARALLEL = 256
#: Between attempts: a refusal comes at once, and what is to come up needs a moment.
_RETRY_PAUSE_S = 0.2

Item = dict[str, Any]
#: Asks one question and returns its row; `Missed` stands for a row of its own.
Ask = Callable[[Item, "Place"], Task[Row]]


class Place(NamedTuple):
    """What questions need of a container besides its network."""

    resolv: Resolv


class Reply(NamedTuple):
    """`value` as in the history; `number` an errno; `counted` the bytes that the peer counted, or -1."""

    value: str
    number: int = 0
    counted: int = -1
    outcome: str = ""


def probe(call: Call) -> Row:
    _ask_all(call, call.params["probes"], _probe)
    return {}


def lookup(call: Call) -> Row:
    _ask_all(call, call.params["lookups"], _lookup)
    return {}


def bulk(call: Call) -> Row:
    _ask_all(call, call.params["transfers"], _bulk)
    return {}


def _ask_all(call: Call, items: list[Item], ask: Ask) -> None:
    """Ask from every namespace at once. Questions from a container that is gone are answered `unreachable`."""
    groups = by_pid(items)
    limit = int(call.params.get("parallel") or _PARALLEL)

    def work(pid: int, group: list[Item]) -> None:
        place = Place(_resolv(pid, group))
        run((_record(call, ask(item, place)) for item in group), limit=limit)

    each_network(groups, work, lambda group: _gone(call, group))


def _record(call: Call, task: Task[Row]) -> Task[None]:
    call.rows.add((yield from task))


def _resolv(pid: int, group: list[Item]) -> Resolv:
    """Read only where a name is to be resolved."""
    return resolv_of(pid) if any("name" in item for item in group) else Resolv([], [])


def _gone(call: Call, group: list[Item]) -> None:
    now = time.monotonic_ns()
    for item in group:
        value = "timeout" if _word(item) in ("dns", "aaaa") else "unreachable"
        call.rows.add(probe_row(item, _word(item), value, now, now, errno=errno.ESRCH))


def _word(item: Item) -> str:
    """The kind of row that an item of any of the three calls makes."""
    if "protocol" in item:
        return "df" if item.get("df") else str(item["protocol"])
    if "bytes" in item:
        return "bulk"
    return "aaaa" if _family(item) == 6 else "dns"


def _family(item: Item) -> int:
    """Which addresses of a name are asked for: 4 or 6."""
    return int(item.get("family") or 4)


def _lookup(item: Item, place: Place) -> Task[Row]:
    start_ns = time.monotonic_ns()
    answer = yield from resolve(item["name"], place.resolv, deadline(item["timeout_s"]), _family(item))
    outcome = "ok" if answer.status in ("ok", "nxdomain") else "fail"
    return probe_row(item, _word(item), answer.value, start_ns, time.monotonic_ns(), outcome=outcome)


def _bulk(item: Item, _place: Place) -> Task[Row]:
    start_ns = time.monotonic_ns()
    try:
        reply = yield from _transfer(item, deadline(item["timeout_s"]))
    except Missed as why:
        reply = Reply(why.got, why.number, 0)
    return probe_row(
        item, "bulk", reply.value, start_ns, time.monotonic_ns(),
        length=item["bytes"], offset=reply.counted, errno=reply.number, outcome=reply.outcome,
    )  # fmt: skip


def _transfer(item: Item, until: float) -> Task[Reply]:
    """Raises Missed; `reset` also where the peer counted fewer bytes than were sent."""
    size = item["bytes"]
    peer = yield from converse(item, numeric(item["address"]), {"op": "sink", "bytes": size}, until)
    with closing(peer.sock):
        if peer.value == "ok ?":
            return Reply(peer.value, peer.number, 0, "fail")
        yield from send_all(peer.sock, bytes(size), until)
        line = peer.rest or (yield from read_line(peer.sock, until))[0]
    counted = _counted(line)
    return Reply(peer.value if counted == size else "reset", 0, counted)


def _counted(line: bytes) -> int:
    """What the peer says that it read; 0 where it does not say."""
    try:
        return int(json.loads(line)["bytes"])
    except (ValueError, KeyError, TypeError):
        return 0


def _probe(item: Item, place: Place) -> Task[Row]:
    """The row of the last attempt: the first that was answered, or the last of all."""
    attempts = max(1, item.get("attempts") or 1)
    for attempt in range(attempts):
        row = yield from _attempt(item, place)
        if row["outcome"] == "ok" or attempt + 1 == attempts:
            break
        yield from sleep(_RETRY_PAUSE_S)
    return row


def _attempt(item: Item, place: Place) -> Task[Row]:
    start_ns = time.monotonic_ns()
    until = deadline(item["timeout_s"])
    try:
        address = yield from _address(item, place, until)
        reply = yield from _ASK[item["protocol"]](item, address, until)
    except Missed as why:
        reply = Reply(why.got, why.number)
    return probe_row(
        item, _word(item), reply.value, start_ns, time.monotonic_ns(),
        length=_packet_bytes(item), errno=reply.number, outcome=reply.outcome,
    )  # fmt: skip


def _address(item: Item, place: Place, until: float) -> Task[str]:
    """The address to dial; the first of a name's. Raises Missed with `dns`."""
    if item.get("address"):
        return numeric(item["address"])
    answer = yield from resolve(item["name"], place.resolv, until, _family(item))
    if answer.status != "ok":
        raise Missed("dns")
    return answer.addresses[0]


def _packet_bytes(item: Item) -> int:
    return int(item.get("packet_bytes") or DEFAULT_PACKET_BYTES) if item["protocol"] == "icmp" else 0


def _tcp(item: Item, address: str, until: float) -> Task[Reply]:
    peer = yield from converse(item, address, {"op": "id", "bytes": 0}, until)
    peer.sock.close()
    return Reply(peer.value, peer.number, outcome="fail" if peer.number else "")


def _udp(item: Item, address: str, until: float) -> Task[Reply]:
    answer = yield from ask_udp((address, item["port"]), request({"op": "id", "n": 1}), until)
    return Reply(identity(answer, item.get("token") or ""))


def _icmp(item: Item, address: str, until: float) -> Task[Reply]:
    yield from ping(address, _packet_bytes(item), bool(item.get("df")), until)
    return Reply("ok")


_ASK: dict[str, Callable[[Item, str, float], Task[Reply]]] = {"tcp": _tcp, "udp": _udp, "icmp": _icmp}
