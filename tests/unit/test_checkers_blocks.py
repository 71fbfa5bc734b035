"""The judge of blocks: a torn read, a mixed block, and reads that saw too little to say anything."""

from __future__ import annotations

import os
import random
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from harness.agent.block_frames import FRAME_BYTES, block_of, runs, text_of
from harness.checkers import judge
from harness.checkers._block_writes import NOT_WHOLE, NOTHING, is_mixed, overlapping, shown
from harness.model.history import NEVER, History, Op
from harness.model.verdict import Verdict
from tests.checkers_scene import make_check, make_plan, row
from tests.volumes_scene import HOSTS, around, broken, promise, shared_volume

HISTORIES = int(os.environ.get("HARNESS_HISTORIES", "2000"))
LENGTH = 8 * FRAME_BYTES


def value(worker: int, sequence: int) -> int:
    return worker << 32 | sequence


def blit(worker: int, sequence: int, start: int, end: int | None, **fields: Any) -> Op:
    host = HOSTS[worker % 2]
    whole = {
        "process": f"w{worker}", "host": host, "at": f"edge.{host}", "key": "data|0", "offset": 0,
        "length": LENGTH, "value": value(worker, sequence), "start_ns": start * 1000,
        "end_ns": NEVER if end is None else end * 1000, "outcome": "info" if end is None else "ok",
    }  # fmt: skip
    return row("blit", "blocks", **{**whole, **fields})


def scan(data: bytes, start: int, end: int, worker: int = 1, **fields: Any) -> Op:
    host = HOSTS[worker % 2]
    whole = {
        "process": f"w{worker}",
        "host": host,
        "at": f"edge.{host}",
        "key": "data|0",
        "offset": 0,
        "value": text_of(data, LENGTH),
        "length": LENGTH,
        "start_ns": start * 1000,
        "end_ns": end * 1000,
    }
    return row("scan", "blocks", **{**whole, **fields})  # fmt: skip


def finals(*blocks: bytes) -> list[Op]:
    return [
        scan(block, 10**6, 10**6 + 5, process=f"reader-{host}", host=host, at=f"edge.{host}")
        for host, block in zip(HOSTS, blocks, strict=True)
    ]


ONE, TWO, THREE = (block_of(worker, 0, LENGTH) for worker in (1, 2, 3))
MIX = ONE[: 3 * FRAME_BYTES] + TWO[3 * FRAME_BYTES :]
#: Both write at once; then each reads while worker 1 writes again.
RIGHT = [
    blit(1, 0, 0, 20), blit(2, 0, 5, 15), scan(TWO, 25, 45, 2), blit(1, 1, 30, 40),
    scan(block_of(1, 1, LENGTH), 35, 50, 1),
]  # fmt: skip
LAST = block_of(1, 1, LENGTH)


def verdict_on(rows: list[Op], expected: str = "holds") -> Verdict:
    plan = make_plan(volumes=(shared_volume(expected),), targets=())
    check = make_check("blocks", volume="data", workers_per_node=1, block_bytes=LENGTH)
    return judge(History.of([*around("blocks"), *rows]), plan, check)


def test_whole_blocks_pass() -> None:
    verdict = verdict_on(RIGHT + finals(LAST, LAST))
    assert verdict.verdict == "pass", verdict.reason
    assert {p.observed for p in verdict.promises} == {"kept"}
    assert (promise(verdict, "reads-not-torn").of, promise(verdict, "writes-not-mixed").of) == (2, 2)


def test_a_read_that_shows_a_write_under_way_in_part_is_torn() -> None:
    torn = LAST[: 3 * FRAME_BYTES] + TWO[3 * FRAME_BYTES :]
    verdict = verdict_on([*RIGHT, scan(torn, 32, 45, 2), *finals(LAST, LAST)])
    assert verdict.verdict == "fail"
    assert broken(verdict) == ["reads-not-torn"]
    witness = promise(verdict, "reads-not-torn").witness
    for words in (
        "3 frames of write 1 of worker 1 on n2 (0.030 to 0.040 ms), then 5 frames of write 0 of worker 2 on n1",
        "by one pread of w2 in edge.n1 on n1",
        f"at offset {3 * FRAME_BYTES}: ",
        " | 48424c4b 02000000",
    ):
        assert words in witness


def test_writes_that_ran_at_once_and_both_stand_in_the_block_are_mixed() -> None:
    """Seen by a read that began when both had ended, also where a later write covers it up."""
    verdict = verdict_on([*RIGHT, scan(MIX, 21, 24, 2), *finals(LAST, LAST)])
    assert broken(verdict) == ["writes-not-mixed"]
    assert "holds 3 frames of write 0 of worker 1 on n2" in promise(verdict, "writes-not-mixed").witness


def test_a_mix_that_every_host_reads_in_the_end_stays() -> None:
    later = LAST[:FRAME_BYTES] + TWO[FRAME_BYTES:]
    assert broken(verdict_on(RIGHT + finals(later, later))) == ["writes-not-mixed"]


def test_what_only_one_host_reads_in_the_end_is_that_hosts_read() -> None:
    later = LAST[:FRAME_BYTES] + TWO[FRAME_BYTES:]
    assert broken(verdict_on(RIGHT + finals(later, LAST))) == ["reads-not-torn"]


@pytest.mark.parametrize("damage", ["half", "corrupt", "phantom", "zeroed"])
def test_what_no_write_left_is_found(damage: str) -> None:
    data = {
        "half": TWO[: LENGTH // 2],
        "corrupt": TWO[:100] + b"!" + TWO[101:],
        "phantom": block_of(7, 7, LENGTH),
        "zeroed": TWO[: 4 * FRAME_BYTES] + bytes(4 * FRAME_BYTES),
    }[damage]
    assert broken(verdict_on([*RIGHT, scan(data, 60, 70), *finals(LAST, LAST)])) == ["reads-not-torn"]


def test_a_write_that_was_reserved_and_never_told_of_is_no_phantom() -> None:
    rows = [*RIGHT, scan(block_of(7, 7, LENGTH), 60, 70)]
    rows.append(row("reserve", "blocks", process="w7", host="n1", key="data", value=value(7, 0), length=8))
    assert verdict_on(rows + finals(LAST, LAST)).verdict == "pass"


def test_where_one_value_was_seen_the_check_is_unknown() -> None:
    rows = [blit(1, 0, 0, 20), blit(2, 0, 5, 15), scan(ONE, 2, 12), scan(ONE, 30, 40, 2)]
    verdict = verdict_on(rows + finals(ONE, ONE))
    assert verdict.verdict == "unknown"
    assert "1 different writes" in verdict.reason


def test_where_nothing_ran_at_once_both_promises_are_unmeasured() -> None:
    rows = [blit(1, 0, 0, 2), scan(ONE, 3, 4, 2), blit(2, 0, 5, 6), scan(TWO, 7, 8)]
    verdict = verdict_on(rows + finals(TWO, TWO))
    assert {p.name: p.observed for p in verdict.promises if p.name != "shared"} == {
        "writes-not-mixed": "unmeasured", "reads-not-torn": "unmeasured",
    }  # fmt: skip
    assert verdict.verdict == "unknown"


def test_a_host_that_did_not_read_in_the_end_leaves_it_unknown() -> None:
    verdict = verdict_on(RIGHT + finals(LAST, LAST)[:1])
    assert (verdict.verdict, "on n2" in verdict.reason) == ("unknown", True)


def test_frames_say_whose_they_are() -> None:
    assert runs(ONE) == [(value(1, 0), 0, 8)]
    assert runs(bytes(LENGTH)) == [(NOTHING, 0, 8)]
    assert runs(MIX) == [(value(1, 0), 0, 3), (value(2, 0), 3, 5)]
    assert runs(ONE[FRAME_BYTES:]) == [(NOT_WHOLE, 0, 7)]
    assert [run.value for run in shown(text_of(MIX, LENGTH)).runs] == [value(1, 0), value(2, 0)]
    assert shown(text_of(MIX, LENGTH)).after[:4] == b"HBLK"


def test_many_pieces_are_told_in_short() -> None:
    striped = b"".join((ONE if n % 2 else TWO)[n * FRAME_BYTES : (n + 1) * FRAME_BYTES] for n in range(8)) * 8
    text = text_of(striped, 8 * LENGTH)
    assert len(text) < 600
    assert not shown(text).whole


# --- simulated volumes -----------------------------------------------------------------------------------------


class Volume:
    """One block of two frames. Writes and reads take effect frame by frame, or at once where they are atomic."""

    def __init__(self, rng: random.Random, *, whole_writes: bool, whole_reads: bool) -> None:
        self._effects: list[tuple[float, int, int]] = []
        self.ops: list[Op] = []
        reads: list[tuple[int, int, tuple[float, float]]] = []
        for worker in range(1, rng.randint(2, 4) + 1):
            clock = rng.randint(0, 5)
            for sequence in range(rng.randint(1, 3)):
                start, end = clock, clock + rng.randint(0, 8)
                first, second = rng.uniform(start, end), rng.uniform(start, end)
                crashed = rng.random() < 0.15
                if rng.random() < 0.6:
                    second = first if whole_writes else second
                    self._write(rng, worker, sequence, (start, end), (first, second), crashed=crashed)
                else:
                    reads.append((start, end, (first, first if whole_reads else second)))
                clock = end + rng.randint(1, 3)
        self.ops += [self._read(*read) for read in reads]

    def _write(
        self,
        rng: random.Random,
        worker: int,
        sequence: int,
        span: tuple[int, int],
        at: tuple[float, float],
        *,
        crashed: bool,
    ) -> None:
        late = rng.uniform(0, 20) if crashed else 0
        if not crashed or rng.random() < 0.5:
            self._effects += [(moment + late, frame, value(worker, sequence)) for frame, moment in enumerate(at)]
        self.ops.append(blit(worker, sequence, span[0], None if crashed else span[1]))

    def _read(self, start: int, end: int, at: tuple[float, float]) -> Op:
        seen = [
            max(((t, v) for t, f, v in self._effects if f == frame and t < moment), default=(0, NOTHING))[1]
            for frame, moment in enumerate(at)
        ]
        text = str(seen[0]) if seen[0] == seen[1] else f"{seen[0]}@0+1 {seen[1]}@1+1 #512:|"
        return scan(b"", start, end, value=text)


@pytest.mark.parametrize(("whole_writes", "whole_reads"), [(True, True), (True, False), (False, True)])
def test_simulated_volumes_get_what_they_deserve(whole_writes: bool, whole_reads: bool) -> None:
    """Nothing is found where both are atomic; a block is called mixed only where writes are not."""
    rng, seen = random.Random(5), Counter[str]()
    for number in range(HISTORIES):
        volume = Volume(rng, whole_writes=whole_writes, whole_reads=whole_reads)
        writes = {int(op.value): op for op in volume.ops if op.f == "blit"}
        for op in volume.ops:
            found = shown(str(op.value)) if op.f == "scan" else None
            if found is None or found.whole:
                continue
            seen["mixed" if is_mixed(op, found, writes) else "torn"] += 1
            assert not (whole_writes and whole_reads), f"history {number}: {volume.ops}"
            assert not (whole_writes and is_mixed(op, found, writes)), f"history {number}: {volume.ops}"
    assert (seen["mixed"] > 0) == (not whole_writes)
    assert (seen["torn"] > 0) == (not (whole_writes and whole_reads))


def test_who_ran_at_once_equals_brute_force() -> None:
    rng = random.Random(6)
    for _ in range(HISTORIES // 4):
        ops = Volume(rng, whole_writes=True, whole_reads=True).ops
        writes, reads = ([op for op in ops if op.f == f] for f in ("blit", "scan"))
        if not writes or not reads:
            continue
        met = overlapping(History.of(reads), History.of(writes), same=False)
        own = overlapping(History.of(writes), History.of(writes), same=True)
        assert met.tolist() == [any(_at_once(read, write) for write in writes) for read in reads]
        others = [[other for other in writes if other is not write] for write in writes]
        assert own.tolist() == [any(_at_once(w, o) for o in rest) for w, rest in zip(writes, others, strict=True)]


def _at_once(one: Op, other: Op) -> bool:
    return one.start_ns <= other.end_ns and other.start_ns <= one.end_ns


def test_overlapping_of_nothing_is_nothing() -> None:
    empty = History.of([])
    assert np.count_nonzero(overlapping(History.of(RIGHT).only(f="scan"), empty, same=False)) == 0
    assert all(one.start_ns <= other.start_ns for one, other in pairwise(RIGHT[:2]))
