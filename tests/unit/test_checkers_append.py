"""The append checker's verdicts: injected bugs by name, unshared volumes, and runs too weak to say anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.history import History, Op
from harness.model.plan import Target
from harness.model.verdict import Promise, Verdict
from tests.checkers_scene import RECORD, append, make_check, make_plan, placed, read, reserve, row, volume_plan

#: Writers 1 (on n2) and 2 (on n3) append twice each, one after another.
APPENDS = [append(1, 0, 10, 20), append(2, 0, 30, 40), append(1, 1, 50, 60), append(2, 1, 70, 80)]
RIGHT = placed((1, 0), (2, 0), (1, 1), (2, 1))
HOSTS = ("n2", "n3")


def everywhere(records: list[tuple[int, int]], garbage: list[tuple[str, int, int]] | None = None) -> list[Op]:
    return [op for host in HOSTS for op in read(host, records, garbage or [])]


def mount(host: str, phase: str, look: str = "41 ext4 /dev/x", process: str = "") -> Op:
    return row("mount", "concurrent-append", host=host, at=f"edge.{host}", key=f"{phase}|data", value=look,
               process=process or f"reader-{host}")  # fmt: skip


def nonce(reader: str, writer: str, value: str) -> Op:
    return row(
        "nonce", "concurrent-append", host=reader, at=f"edge.{reader}", key=f"data|edge.{writer}", value=value
    )


def verdict_on(
    rows: list[Op], *, shared: bool = True, expected: str = "holds", targets: Any = (), writers_per_node: int = 1
) -> Verdict:
    plan = make_plan(volumes=(volume_plan(shared=shared, expected=expected),), targets=targets)
    check = make_check("concurrent-append", volume="data", writers_per_node=writers_per_node)
    return judge(History.of(rows), plan, check)


def promise(verdict: Verdict, name: str) -> Promise:
    return next(promise for promise in verdict.promises if promise.name == name)


def broken(verdict: Verdict) -> list[str]:
    return [promise.name for promise in verdict.promises if promise.observed == "broken"]


def test_a_right_history_passes_with_every_promise_kept() -> None:
    verdict = verdict_on(APPENDS + everywhere(RIGHT))
    assert verdict.verdict == "pass", verdict.reason
    assert {promise.observed for promise in verdict.promises} == {"kept"}
    assert (verdict.correct, verdict.wrong, verdict.no_value, verdict.ignored) == (4, 0, 0, 0)
    assert verdict.operations == {"n2": {"append": 2, "read": 1}, "n3": {"append": 2, "read": 1}}
    assert verdict.target == "data"
    assert promise(verdict, "shared").source == "the manual"


BUGS: dict[str, tuple[list[tuple[int, int]], list[tuple[str, int, int]], str, tuple[str, ...]]] = {
    "lost": (placed((1, 0), (1, 1), (2, 1)), [], "append-loses-nothing", ("record 0 of writer 2 on n3", "lost")),
    "duplicate": (
        [*RIGHT, (1 << 32, 4 * RECORD)],
        [],
        "append-no-duplicates",
        ("record 0 of writer 1 on n2", "offsets 0 and 32"),
    ),
    "torn": (RIGHT, [("torn", 32, 5)], "append-not-torn", ("torn record at offset 32, 5 bytes",)),
    "torn, shown": (
        RIGHT,
        [("torn 484c4f4701000000ab", 32, 12)],
        "append-not-torn",
        ("torn record at offset 32, 12 bytes, as read by", ": 484c4f47 01000000 ab ..."),
    ),
    "foreign, shown whole": (
        RIGHT,
        [("foreign 2321", 32, 2)],
        "append-not-torn",
        ("foreign bytes at offset 32, 2 bytes, as read by edge.n2 on n2: 2321 (volume data)",),
    ),
    "hole": (RIGHT, [("hole", 32, 16)], "append-not-torn", ("hole of NUL bytes at offset 32, 16 bytes",)),
    "foreign": (RIGHT, [("foreign", 32, 3)], "append-not-torn", ("foreign bytes at offset 32",)),
    "unexpected": (
        [*RIGHT, (1 << 32 | 9, 32)],
        [],
        "append-not-torn",
        ("unexpected", "record 9 of writer 1", "offset 32", "nobody appended it"),
    ),
    "reordered": (
        placed((2, 0), (1, 0), (1, 1), (2, 1)),
        [],
        "append-real-time-order",
        ("record 0 of writer 2", "offset 0", "record 0 of writer 1", "offset 8", "had finished before it started"),
    ),
}


def test_hosts_that_agree_only_later_pass_and_how_much_later_is_a_figure() -> None:
    early = [*read("n2", RIGHT), *read("n3", RIGHT[:2])]
    late = [op for host in HOSTS for op in read(host, RIGHT, at_s=64.5)]
    verdict = verdict_on([*APPENDS, *early, *late])
    assert verdict.verdict == "pass", verdict.reason
    assert (verdict.figures["final_read_rounds"], verdict.figures["settle_s"]) == (2, 4.5)
    assert "settle_s" not in verdict_on(APPENDS + everywhere(RIGHT)).figures


@pytest.mark.parametrize("bug", BUGS)
def test_an_injected_bug_is_caught_by_name(bug: str) -> None:
    records, garbage, name, words = BUGS[bug]
    verdict = verdict_on(APPENDS + everywhere(records, garbage))
    assert verdict.verdict == "fail"
    assert broken(verdict) == [name]
    assert promise(verdict, name).count == 1
    witness = promise(verdict, name).witness
    assert all(word in witness for word in words), witness
    assert "n2" in witness and "volume data" in witness  # noqa: PT018 - who saw it, and where
    assert f"{name} is broken" in verdict.reason


def test_figures_count_each_kind_of_damage() -> None:
    damage = [("torn", 40, 5), ("torn", 45, 3), ("hole", 48, 8)]
    verdict = verdict_on(APPENDS + everywhere([*RIGHT[:3], (1 << 32, 32)], damage))
    figures = {name: verdict.figures[name] for name in ("lost", "duplicate", "torn", "hole", "foreign", "readers")}
    assert figures == {"lost": 1, "duplicate": 1, "torn": 2, "hole": 1, "foreign": 0, "readers": 2}


@pytest.mark.parametrize("found", [True, False])
def test_an_append_without_an_answer_may_or_may_not_be_there(found: bool) -> None:
    appends = [*APPENDS, append(1, 2, 90, None)]
    records = [*RIGHT, (1 << 32 | 2, 32)] if found else RIGHT
    verdict = verdict_on(appends + everywhere(records))
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.ignored == 1


def test_a_reserved_number_that_was_never_reported_is_no_phantom() -> None:
    records = [*RIGHT, (1 << 32 | 9, 32)]
    assert verdict_on([*APPENDS, reserve(1, count=10), *everywhere(records)]).verdict == "pass"
    assert broken(verdict_on([*APPENDS, reserve(1, count=9), *everywhere(records)])) == ["append-not-torn"]


def test_an_append_that_was_refused_must_not_be_there() -> None:
    appends = [*APPENDS, append(1, 2, 90, 95, outcome="fail")]
    assert verdict_on(appends + everywhere(RIGHT)).verdict == "pass"
    verdict = verdict_on([*appends, reserve(1), *everywhere([*RIGHT, (1 << 32 | 2, 32)])])
    assert broken(verdict) == ["append-not-torn"]


def test_clocks_that_may_be_off_excuse_an_order_across_hosts_only() -> None:
    """10 us between them: not certain where clocks may be off by 5 us each, and certain within one host."""
    swapped = everywhere(placed((2, 0), (1, 0)))
    across = [append(1, 0, 10, 20, err_ns=5_000), append(2, 0, 30, 40, err_ns=5_000)]
    assert verdict_on(across + swapped).verdict == "pass"
    sharper = [append(1, 0, 10, 20, err_ns=5_000), append(2, 0, 30, 40, err_ns=4_000)]
    assert broken(verdict_on(sharper + swapped)) == ["append-real-time-order"]
    within = [append(1, 0, 10, 20, err_ns=99_000), append(1, 1, 21, 40, err_ns=99_000), append(2, 0, 5, 90)]
    verdict = verdict_on(within + everywhere(placed((2, 0), (1, 1), (1, 0))))
    assert broken(verdict) == ["append-real-time-order"]


def test_a_loss_is_counted_out_of_what_was_due_and_the_first_is_named() -> None:
    verdict = verdict_on(APPENDS + everywhere(placed((1, 0), (1, 1))))
    assert (verdict.correct, verdict.wrong) == (2, 2)
    loses = promise(verdict, "append-loses-nothing")
    assert (loses.count, loses.of) == (2, 4)
    assert "record 0 of writer 2 on n3 (started at 0.020 ms, acknowledged at 0.030 ms)" in loses.witness


def test_a_wrong_order_is_shown_by_the_two_records_that_stand_closest() -> None:
    """Both (1, 1) and (2, 1) stand before (1, 0), which finished long before; (2, 1) right before it."""
    verdict = verdict_on(APPENDS + everywhere(placed((1, 1), (2, 1), (1, 0), (2, 0))))
    order = promise(verdict, "append-real-time-order")
    assert order.count == 2
    assert "record 1 of writer 2 on n3 (started at 0.060 ms, acknowledged at 0.070 ms) stands at" in order.witness
    assert "offset 8, before record 0 of writer 1" in order.witness


def test_an_unanswered_append_that_started_too_late_for_its_place_is_a_wrong_order() -> None:
    records = [(1 << 32 | 2, 0), *((record, offset + RECORD) for record, offset in RIGHT)]
    verdict = verdict_on([*APPENDS, append(1, 2, 90, None), *everywhere(records)])
    witness = promise(verdict, "append-real-time-order").witness
    assert broken(verdict) == ["append-real-time-order"]
    assert "record 2 of writer 1 on n2 (started at 0.080 ms, never answered) stands at offset 0" in witness


def test_what_clocks_cannot_place_before_the_last_read_is_not_due() -> None:
    """The append ends 1 us before the read by its own clock, which may be off by 2 us."""
    last = append(1, 2, 60e6 - 5, 60e6 - 1, err_ns=2_000)
    assert verdict_on([*APPENDS, last, *everywhere(RIGHT)]).verdict == "pass"
    sure = append(1, 2, 60e6 - 5, 60e6 - 1, err_ns=500)
    assert broken(verdict_on([*APPENDS, sure, *everywhere(RIGHT)])) == ["append-loses-nothing"]


def own(host: str, *ids: tuple[int, int]) -> list[Op]:
    return read(host, placed(*ids))


def test_a_local_volume_is_not_shared_and_never_lost() -> None:
    rows = [*APPENDS, *own("n2", (1, 0), (1, 1)), *own("n3", (2, 0), (2, 1))]
    verdict = verdict_on(rows, shared=False, expected="may")
    assert verdict.verdict == "pass"
    assert verdict.reason.startswith("not shared, as a local volume promises")
    assert broken(verdict) == ["shared"]
    assert promise(verdict, "append-loses-nothing").observed == "kept"
    assert "lost" not in verdict.reason


def test_a_local_volume_without_a_reader_on_one_host_says_nothing_about_that_host() -> None:
    rows = [*APPENDS, *own("n2", (1, 0), (1, 1))]
    verdict = verdict_on(rows, shared=False, expected="may")
    assert (verdict.verdict, broken(verdict)) == ("unknown", ["shared"])
    assert "nobody read the file on n3" in verdict.reason


def test_what_a_host_loses_from_its_own_local_content_is_lost() -> None:
    rows = [*APPENDS, *own("n2", (1, 0)), *own("n3", (2, 0), (2, 1))]
    verdict = verdict_on(rows, shared=False, expected="may")
    assert broken(verdict) == ["shared", "append-loses-nothing"]
    assert "record 1 of writer 1 on n2" in promise(verdict, "append-loses-nothing").witness


def test_a_volume_that_should_be_shared_and_is_not_makes_the_run_void() -> None:
    rows = [*APPENDS, *own("n2", (1, 0)), *own("n3", (2, 0), (2, 1))]
    verdict = verdict_on(rows)
    assert verdict.verdict == "unknown"
    assert "not shared" in verdict.reason
    assert "lost" not in verdict.reason


def test_a_host_that_stands_alone_beside_others_breaks_sharing_and_loses_nothing() -> None:
    appends = [*APPENDS, append(3, 0, 10, 20)]
    rest = [op for host in HOSTS for op in read(host, RIGHT)]
    verdict = verdict_on([*appends, *rest, *own("n1", (3, 0))])
    assert (verdict.verdict, broken(verdict)) == ("fail", ["shared"])
    shared = promise(verdict, "shared")
    assert (shared.count, shared.of) == (1, 3)
    assert "not one content: n2/n3 and n1 do not see each other's records" in shared.witness


@pytest.mark.parametrize("silent", ["n1", "n3"])
def test_a_host_without_records_or_reader_belongs_to_the_others_and_has_lost(silent: str) -> None:
    """Not to a host that stands alone, wherever that is in the order of hosts."""
    apart = "n1" if silent == "n3" else "n3"
    crossing = [append(1, 0, 10, 20), append(4, 0, 30, 40), append(3 if silent == "n1" else 2, 0, 50, 60)]
    alone = 3 if apart == "n1" else 2
    rows = [*crossing, append(alone, 0, 10, 20), *own(apart, (alone, 0))]
    partner = row("append", "concurrent-append", process="w7", host="n4", at="edge.n4", key="data", value=7 << 32)
    both = [op for host in ("n2", "n4") for op in read(host, placed((7, 0), (1, 0), (4, 0)))]
    verdict = verdict_on([*rows, partner, *both])
    assert broken(verdict) == ["shared", "append-loses-nothing"]
    assert promise(verdict, "append-loses-nothing").count == 1


def test_readers_that_disagree_do_not_see_one_content() -> None:
    verdict = verdict_on([*APPENDS, *read("n2", RIGHT), *read("n3", RIGHT[:3])])
    assert (verdict.verdict, broken(verdict)) == ("fail", ["shared"])
    witness = promise(verdict, "shared").witness
    assert "not one content: record 1 of writer 2 on n3 is at offset 24 for edge.n2 on n2" in witness


def test_readers_that_see_other_offsets_disagree_too() -> None:
    swapped = placed((1, 0), (2, 0), (2, 1), (1, 1))
    overlapping = [*APPENDS[:2], append(1, 1, 50, 80), append(2, 1, 50, 80)]
    verdict = verdict_on([*overlapping, *read("n2", RIGHT), *read("n3", swapped)])
    assert broken(verdict) == ["shared"]
    assert "records at other offsets" in promise(verdict, "shared").witness


def test_a_file_left_by_one_host_and_not_seen_by_another_breaks_sharing() -> None:
    seen = [nonce("n2", "n3", "seen"), nonce("n3", "n2", "seen")]
    assert verdict_on([*APPENDS, *everywhere(RIGHT), *seen]).verdict == "pass"
    verdict = verdict_on([*APPENDS, *everywhere(RIGHT), seen[0], nonce("n3", "n2", "absent")])
    assert broken(verdict) == ["shared"]
    assert "edge.n3 on n3 does not see the file that edge.n2 on n2 left" in promise(verdict, "shared").witness


def test_a_look_that_failed_says_nothing_of_sharing() -> None:
    failed = replace(nonce("n3", "n2", "absent"), outcome="fail", errno=5)
    verdict = verdict_on([*APPENDS, *everywhere(RIGHT), nonce("n2", "n3", "seen"), failed])
    assert (verdict.verdict, broken(verdict)) == ("unknown", [])
    assert "edge.n3 on n3 could not look for the file that edge.n2 on n2 left (errno 5)" in verdict.reason


def test_an_empty_file_has_lost_everything() -> None:
    verdict = verdict_on(APPENDS + everywhere([]))
    assert (verdict.verdict, promise(verdict, "append-loses-nothing").count) == ("fail", 4)
    assert promise(verdict, "shared").observed == "unmeasured"


def test_an_append_that_finished_after_the_last_read_began_is_not_due() -> None:
    late = append(1, 2, 60e6, 60e6 + 5)
    verdict = verdict_on([*APPENDS, late, *everywhere(RIGHT)])
    assert verdict.verdict == "pass", verdict.reason


def test_only_the_last_read_of_a_reader_counts() -> None:
    early = [op for host in HOSTS for op in read(host, RIGHT[:1], at_s=1)]
    assert verdict_on([*APPENDS, *early, *everywhere(RIGHT)]).verdict == "pass"


def test_a_broken_promise_that_nobody_made_passes_and_is_shown() -> None:
    records = BUGS["reordered"][0]
    verdict = verdict_on(APPENDS + everywhere(records), expected="unproven")
    assert verdict.verdict == "pass"
    assert "append-real-time-order is broken and not promised" in verdict.reason


MOUNTS: dict[int, dict[str, str]] = {1: {}, 2: {"data": "/data"}, 3: {"data": "/data"}}
PLAIN = tuple(Target(f"p{i}", 1, "plain", {}, node=f"n{i}", mounts=mounts) for i, mounts in MOUNTS.items())


def test_plain_containers_that_mount_the_volume_are_expected_on_their_nodes() -> None:
    assert verdict_on([*APPENDS, *everywhere(RIGHT)], targets=PLAIN).verdict == "pass"
    assert verdict_on([*APPENDS, *everywhere(RIGHT)], targets=PLAIN, writers_per_node=2).verdict == "unknown"


GLOBAL = (Target("edge", 3, "global", {}, mounts={"data": "/data"}),)

UNKNOWN: dict[str, tuple[list[Op], dict[str, Any], str]] = {
    "no read": (APPENDS, {}, "no reader read the whole file"),
    "a read of one host only": ([*APPENDS, *read("n2", RIGHT)], {}, "nobody read the file on n3"),
    "fewer writers than nodes": ([*APPENDS, *everywhere(RIGHT)], {"targets": GLOBAL}, "2 of 3 writers wrote"),
    "fewer writers than asked": ([*APPENDS, *everywhere(RIGHT), mount("n2", "before"), mount("n3", "before")],
                                 {"writers_per_node": 2}, "2 of 4 writers wrote"),
    "a writer without an answer": ([*APPENDS, append(4, 0, 10, None), *everywhere(RIGHT)], {},
                                   "writer 4 on n2: nothing acknowledged"),
    "a writer that only reserved": ([*APPENDS, reserve(5), *everywhere(RIGHT)], {},
                                    "writer 5 on n3: nothing acknowledged"),
    "another mount afterwards": ([*APPENDS, *everywhere(RIGHT), mount("n2", "before"),
                                  mount("n2", "after", "42 ext4 /dev/x")], {}, "mount changed"),
    "a read that was cut": ([*APPENDS, *(op for op in everywhere(RIGHT) if op.offset != 8)], {},
                            "incomplete: 24 of 32 bytes"),
    "one id told twice": ([*APPENDS, APPENDS[0], *everywhere(RIGHT)], {}, "crashed"),
    "one host alone": ([append(1, 0, 1, 2), *read("n2", placed((1, 0)))], {}, "shared was not measured"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNKNOWN)
def test_a_run_too_weak_to_trust_is_unknown(case: str) -> None:
    rows, options, reason = UNKNOWN[case]
    verdict = verdict_on(rows, **options)
    assert verdict.verdict == "unknown"
    assert reason in verdict.reason


def test_the_same_mount_before_and_after_is_no_doubt() -> None:
    looks = [mount(host, phase) for host in HOSTS for phase in ("before", "after")]
    assert verdict_on([*APPENDS, *everywhere(RIGHT), *looks]).verdict == "pass"


def test_a_lost_record_fails_even_where_other_things_are_doubtful() -> None:
    verdict = verdict_on(APPENDS + everywhere(RIGHT[:3]), targets=GLOBAL)
    assert verdict.verdict == "fail"
    assert "2 of 3 writers wrote" in verdict.reason


ON_GLUSTER = replace(volume_plan(shared=True), fstype="fuse.glusterfs", source="n1:/pool")


def verdict_on_gluster(*looks: str) -> Verdict:
    """Of a good run in which n2 saw these mounts, before and after; n3 saw what is planned."""
    seen = {"n2": looks, "n3": ["41 fuse.glusterfs n1:/pool"] * 2}
    rows = [mount(h, phase, look) for h in seen for phase, look in zip(("before", "after"), seen[h], strict=True)]
    plan = make_plan(volumes=(ON_GLUSTER,))
    check = make_check("concurrent-append", volume="data", writers_per_node=1)
    return judge(History.of([*APPENDS, *everywhere(RIGHT), *rows]), plan, check)


def test_the_file_system_that_was_planned_is_no_doubt() -> None:
    assert verdict_on_gluster("40 fuse.glusterfs n1:/pool", "40 fuse.glusterfs n1:/pool").verdict == "pass"


@pytest.mark.parametrize("look", ["41 ext4 /dev/vda", "41 overlay overlay", "41 fuse.glusterfs n1:/other"])
def test_writes_to_anything_else_than_the_volume_void_the_run_by_name(look: str) -> None:
    """moby#34556: the mount is gone, and a directory of the node takes the writes; both looks agree."""
    verdict = verdict_on_gluster(look, look)
    assert verdict.verdict == "unknown"
    assert f"data is not mounted for edge.n2 on n2 (before): it has {look.partition(' ')[2]}" in verdict.reason
    assert "not fuse.glusterfs n1:/pool" in verdict.reason


def test_a_witness_says_which_files_how_they_were_mounted_and_on_which_kernels() -> None:
    where = [mount(host, "before") for host in HOSTS]
    where += [replace(op, f="file", value="/data/.harness-r-append-1f 6.1.0-test") for op in where]
    records, garbage, name, _ = BUGS["lost"]
    verdict = verdict_on([*where, *APPENDS, *everywhere(records, garbage)])
    witness = promise(verdict, name).witness
    assert witness.endswith("files: /data/.harness-r-append-1f*; mounted: ext4 /dev/x; kernel: 6.1.0-test")
    assert "kernel" not in verdict.reason


def test_a_promise_that_is_kept_has_no_witness_wherever_it_was() -> None:
    verdict = verdict_on([*(mount(host, "before") for host in HOSTS), *APPENDS, *everywhere(RIGHT)])
    assert {promise.witness for promise in verdict.promises} == {""}
