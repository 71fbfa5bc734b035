"""From the rows of a check on cells to columns: who wrote which value where, who read it, and who sees whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.checkers._append_log import islands
from harness.checkers._judge import target_of
from harness.checkers._sources import Reserved, sources
from harness.checkers._volumes import (
    Measured,
    absent_nonces,
    decided,
    failed_looks,
    promise_of,
    seen_nonces,
    too_few,
    too_few_workers,
    void_of,
)
from harness.checkers._zones import Ints, Mask, Registers
from harness.model.history import NEVER, History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

#: Fewer acknowledged operations of a kind than this say nothing.
LEAST = 20
_NOT_WHOLE = -1
_SHIFT, _LOW = 32, 0xFFFFFFFF


@dataclass(frozen=True)
class Cells:
    """`rows` are writes that may have happened and reads that brought a whole value, and `registers` the same in
    columns, with times as wide as clocks may be off; a register is a cell as one island of hosts sees it.

    `kinds` are the history's words for a write and a read. `sees` are pairs (reader's host, writer's host), by
    number in `hosts`. `dropped` counts reads without a value, by why.
    """

    kinds: tuple[str, str]
    rows: History
    registers: Registers
    host: Ints
    hosts: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    sees: frozenset[tuple[int, int]]
    acknowledged: Mask
    dropped: Mapping[str, int]
    origin_ns: int

    @property
    def crossing(self) -> bool:
        """Whether some host sees what another one wrote."""
        return any(reader != writer for reader, writer in self.sees)

    @property
    def unshared(self) -> bool:
        """Whether hosts see what they wrote themselves, and nobody anything of another host."""
        return bool(self.sees) and not self.crossing and len(self.groups) > 1

    @cached_property
    def reads(self) -> int:
        return int(np.count_nonzero(~self.registers.write))

    @cached_property
    def writers(self) -> dict[int, int]:
        """Writers of which a write was acknowledged, and their hosts."""
        done = self.registers.write & self.acknowledged
        numbers, hosts = self.registers.value[done] >> _SHIFT, self.host[done]
        changes = np.flatnonzero(np.diff(numbers, prepend=-1))
        return dict(zip(numbers[changes].tolist(), hosts[changes].tolist(), strict=True))

    def operation(self, row: int) -> str:
        """An operation for people, with times counted from the first one of the check."""
        op = next(self.rows.where(_only(row, len(self.rows))).ops())
        start = f"{(op.start_ns - self.origin_ns) / 1e6:.3f}"
        times = f"{start} ms, never answered" if op.end_ns == NEVER else f"{start} to {self._ms(op.end_ns)}"
        return f"the {op.f} of {self.name(int(op.value))} by {op.process} on {op.host} ({times})"

    def name(self, value: int) -> str:
        return f"value {value & _LOW} of writer {value >> _SHIFT}" if value else "the initial value"

    def cell(self, row: int) -> str:
        op = next(self.rows.where(_only(row, len(self.rows))).ops())
        return f"cell {op.key.rpartition('|')[2]} (offset {op.offset}, {op.length} bytes)"

    def _ms(self, time_ns: int) -> str:
        return f"{(time_ns - self.origin_ns) / 1e6:.3f} ms"


def _only(row: int, rows: int) -> Mask:
    mask = np.zeros(rows, dtype=bool)
    mask[row] = True
    return mask


def read_cells(history: History, volume: str, kinds: tuple[str, str]) -> Cells:
    """Raises ValueError where the rows contradict each other: one value written by two operations."""
    every = history.only(f=kinds)
    outcomes, values = every.coded("outcome"), every.value_int()
    write, ok = every.coded("f").is_in([kinds[0]]), outcomes.is_in(["ok"])
    refused = write & outcomes.is_in(["fail"])
    not_whole, failed = ~write & ok & (values == _NOT_WHOLE), ~write & ~ok
    whole = ~write & ok & ~not_whole
    kept = (write & ~refused) | whole
    rows, value, write, ok = every.where(kept), values[kept], write[kept], ok[kept]
    hosts = tuple(every.coded("host").texts.tolist())
    host = rows.coded("host").codes.astype(np.int64)
    key = _dense(rows.coded("key").codes.astype(np.int64))
    source, repeated = sources(key, value, write, _reserved(history, values[refused]))
    if len(repeated):
        raise ValueError(f"value {int(repeated[0])} was written by two operations")
    sees = frozenset(_seen(host, source, write) | _by_nonces(history, volume, hosts))
    groups = _groups(host, sees, len(hosts))
    err = rows["err_ns"]
    finish = rows["end_ns"]
    registers = Registers(
        key=key * len(groups) + _group_of(groups, len(hosts))[host] if len(groups) else key,
        value=value,
        write=write,
        source=source,
        start=rows["start_ns"] - err,
        finish=np.where(ok & (finish < NEVER), np.minimum(finish, NEVER - 1 - err) + err, NEVER),
    )
    return Cells(
        kinds=kinds,
        rows=rows,
        registers=registers,
        host=host,
        hosts=hosts,
        groups=groups,
        sees=sees,
        acknowledged=ok,
        dropped={"not_whole": int(np.count_nonzero(not_whole)), "failed": int(np.count_nonzero(failed))},
        origin_ns=int(rows["start_ns"].min()) if len(rows) else 0,
    )


def _dense(codes: Ints) -> Ints:
    """The same numbers without gaps: other kinds of rows have keys as well."""
    if not len(codes):
        return codes
    used = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    used[codes] = 1
    return (np.cumsum(used) - 1)[codes]


def _used(codes: npt.NDArray[Any]) -> set[int]:
    """Which of these small numbers occur."""
    return set(np.flatnonzero(np.bincount(codes)).tolist())


def _reserved(history: History, refused: Ints) -> Reserved:
    rows = history.only(f="reserve")
    return Reserved(rows.value_int(), rows["length"], refused)


def _seen(host: Ints, source: Ints, write: Mask) -> set[tuple[int, int]]:
    """Whose values each host read."""
    known = ~write & (source >= 0)
    count = int(host.max()) + 1 if len(host) else 0
    pairs = np.bincount(host[known] * count + host[source[known]], minlength=count * count)
    return {divmod(pair, count) for pair in np.flatnonzero(pairs).tolist()}


def _by_nonces(history: History, volume: str, hosts: tuple[str, ...]) -> set[tuple[int, int]]:
    number = {name: place for place, name in enumerate(hosts)}
    return {(number[a], number[b]) for a, b in seen_nonces(history, volume)}


def _groups(host: Ints, sees: frozenset[tuple[int, int]], hosts: int) -> tuple[tuple[int, ...], ...]:
    """Hosts that see each other's values, the largest group first. Apart from it stands only who sees its own
    values and nobody else's: who sees nothing at all is where it should be, and what it misses is stale.
    """
    busy = _used(host)
    groups = sorted((set(group) & busy for group in islands(hosts, sorted(sees))), key=len, reverse=True)
    at_home = {reader for reader, writer in sees if reader == writer}
    apart = [group for group in groups[1:] if group & at_home]
    main = busy - {host for group in apart for host in group}
    return tuple(tuple(sorted(group)) for group in (main, *apart) if group)


def _group_of(groups: tuple[tuple[int, ...], ...], hosts: int) -> Ints:
    number = np.zeros(hosts, dtype=np.int64)
    for place, group in enumerate(groups):
        number[list(group)] = place
    return number


def shared(cells: Cells, history: History, volume: str) -> Measured:
    """One content for all hosts. A single host cannot tell."""
    busy = len({host for group in cells.groups for host in group})
    if cells.unshared:
        return Measured(busy, busy, "not shared: no host sees a record of another host")
    if len(cells.groups) > 1:
        apart = ["/".join(cells.hosts[host] for host in group) for group in cells.groups]
        return Measured(len(apart) - 1, busy, f"{' and '.join(apart)} do not see what the others write")
    absent = absent_nonces(history, volume)
    if absent:
        return Measured(len(absent), busy + len(absent), absent[0])
    return Measured(0, busy) if cells.crossing else Measured()


def verdict_of(
    cells: Cells,
    promise: str,
    kept: Measured,
    figures: Mapping[str, Any],
    history: History,
    plan: Plan,
    check: Check,
) -> Verdict:
    """Of a check that measured one promise of its volume, besides whether it is shared at all."""
    volume = plan.volume(check.params["volume"])
    measured = {"shared": shared(cells, history, volume.name), promise: kept}
    promises = tuple(promise_of(name, each, volume) for name, each in measured.items())
    verdict = Verdict(
        check.id,
        check.kind,
        target_of(check),
        "pass",
        "",
        correct=kept.of - kept.count,
        wrong=sum(p.count for p in promises if p.outcome == "fail"),
        no_value=sum(p.outcome == "unknown" for p in promises),
        ignored=int(np.count_nonzero(~cells.acknowledged)) + sum(cells.dropped.values()),
        promises=promises,
        figures=counts(cells, figures),
    )
    doubts = doubts_of(cells, history, plan, check)
    void = void_of(history, volume, unshared=cells.unshared)
    return decided(verdict, volume, unshared=cells.unshared, doubts=doubts, void=void)


def doubts_of(cells: Cells, history: History, plan: Plan, check: Check) -> list[str]:
    """Why these operations are too few, or too much alike, to say that a promise is kept."""
    volume, per_node = check.params["volume"], int(check.params.get("workers_per_node", 1))
    write, read = cells.kinds
    done = int(np.count_nonzero(cells.registers.write & cells.acknowledged))
    return [
        *too_few_workers(
            history, plan, volume, per_node=per_node, found=len(cells.writers), what=f"workers have a {write}"
        ),
        *too_few({f"{write}s": done, f"{read}s": cells.reads}, LEAST),
        *_unread(cells),
        *_alike(cells),
        *failed_looks(history, volume),
    ]


def _unread(cells: Cells) -> list[str]:
    reading = _used(cells.host[~cells.registers.write])
    missing = sorted(cells.hosts[host] for host in set(cells.writers.values()) - reading)
    return [f"nobody read on {', '.join(missing)}"] if missing else []


def _alike(cells: Cells) -> list[str]:
    """With one value there is nothing to mix up."""
    read = cells.registers.value[~cells.registers.write]
    return ["all reads brought the same value"] if cells.reads and bool((read == read[0]).all()) else []


def counts(cells: Cells, found: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of what was done, with what was `found` among them: a terminal shows the first few."""
    write, read = cells.kinds
    writes = cells.registers.write
    return {
        f"{write}s": int(np.count_nonzero(writes & cells.acknowledged)),
        f"{read}s": cells.reads,
        "indeterminate": int(np.count_nonzero(writes & ~cells.acknowledged)),
        **found,
        "not_whole": cells.dropped["not_whole"],
        f"failed_{read}s": cells.dropped["failed"],
        "cells": len(_used(cells.rows.coded("key").codes)),
    }


def staleness(stale_ns: Ints) -> dict[str, Any]:
    """How many reads were stale, and by how much: quantiles over those that were."""
    found: dict[str, Any] = {"stale": len(stale_ns)}
    if len(stale_ns):
        for name, quantile in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            found[f"stale_{name}_ms"] = round(float(np.quantile(stale_ns, quantile)) / 1e6, 3)
    return found
