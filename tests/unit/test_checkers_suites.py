"""fio and stress-ng as judges of volumes: what they found, what they could not do, and what they did not say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.checkers import judge
from harness.model.history import History, Op
from harness.model.verdict import Verdict
from tests.checkers_scene import make_check, make_plan, row
from tests.volumes_scene import HOSTS, around, promise, shared_volume, unshared

BAD_CRC = "crc32c: verify failed at file /proc/7/root/data/x offset 196608, length 65536 (requested block: ...)"
BAD_MAGIC = "verify: bad magic header 0, wanted acca at file /proc/7/root/data/x offset 65536, length 65536"
ABSENT = "fio: file creation disallowed by allow_file_create=0"


def report(side: str, bytes_per_s: int, p99_ns: int) -> str:
    idle = {"bw_bytes": 0, "clat_ns": {}}
    busy = {"bw_bytes": bytes_per_s, "clat_ns": {"percentile": {"99.000000": p99_ns}}}
    return json.dumps({"fio version": "fio-3.39", "jobs": [{"error": 0, "read": idle, "write": idle, side: busy}]})


def wrote(host: str) -> Op:
    who = {"process": "controller", "host": host, "at": f"edge.{host}", "key": "data"}
    return row("fio-write", "fio", value=report("write", 100 << 20, 2_000_000), **who)


def verified(host: str, writer: str) -> Op:
    who = {"process": "controller", "host": host, "at": f"edge.{host}", "key": f"data|edge.{writer}"}
    return row("fio-verify", "fio", value=report("read", 300 << 20, 1_000_000), **who)


RIGHT = [*(wrote(host) for host in HOSTS), verified("n1", "n2"), verified("n2", "n1")]


def fio(rows: list[Op], nonces: list[Op] | None = None, expected: str = "holds") -> Verdict:
    plan = make_plan(volumes=(shared_volume(expected, "close-to-open"),), targets=())
    return judge(History.of([*around("fio", nonces), *rows]), plan, make_check("fio", volume="data"))


def changed(at: int, **fields: object) -> list[Op]:
    return [*RIGHT[:at], replace(RIGHT[at], **fields), *RIGHT[at + 1 :]]  # type: ignore[arg-type]


def test_files_that_every_other_host_verifies_pass_with_their_rates() -> None:
    verdict = fio(RIGHT)
    assert verdict.verdict == "pass", verdict.reason
    assert promise(verdict, "close-to-open").observed == "kept"
    assert verdict.figures == {
        "write_mib_s": 100.0, "write_p99_ms": 2.0, "verify_mib_s": 300.0, "verify_p99_ms": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "told"), [(BAD_CRC, BAD_CRC), (BAD_MAGIC, BAD_MAGIC), (ABSENT, "finds no such file")]
)
def test_another_block_or_no_file_breaks_the_promise_and_is_quoted(said: str, told: str) -> None:
    verdict = fio(changed(2, outcome="fail", errno=1, value=f"{{}}\n{said}\n  Expected CRC: 1\n"))
    assert verdict.verdict == "fail"
    assert "edge.n1 on n1 verifies what edge.n2 wrote, synced and closed" in verdict.reason
    assert told in verdict.reason


def test_a_promise_that_was_never_made_is_shown_and_passes() -> None:
    verdict = fio(changed(3, outcome="fail", errno=1, value=BAD_CRC), expected="may")
    assert verdict.verdict == "pass"
    assert promise(verdict, "close-to-open").observed == "broken"


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("outcome", ["fail", "info"])
def test_a_fio_that_fails_for_another_reason_says_nothing(at: int, outcome: str) -> None:
    verdict = fio(changed(at, outcome=outcome, errno=1, value="fio: pid=3, err=5, error=Input/output error"))
    assert verdict.verdict == "unknown"
    assert "Input/output error" in verdict.reason


def test_without_any_file_nothing_is_known() -> None:
    verdict = fio([replace(op, outcome="fail", value="no space") for op in RIGHT[:2]])
    assert verdict.verdict == "unknown"
    assert "no host wrote its file" in verdict.reason


def test_a_volume_that_is_not_shared_is_not_asked_for_others_files() -> None:
    absent = [replace(op, outcome="fail", errno=1, value=ABSENT) for op in RIGHT[2:]]
    verdict = fio([*RIGHT[:2], *absent], unshared("fio"), expected="may")
    assert verdict.verdict == "pass", verdict.reason
    assert "not shared" in verdict.reason
    assert promise(verdict, "close-to-open").observed == "unmeasured"


def test_a_report_that_cannot_be_read_only_lacks_its_figures() -> None:
    verdict = fio(changed(0, value="not JSON"))
    assert verdict.verdict == "pass"
    assert verdict.figures["write_mib_s"] == 100.0


# --- stress-ng

METRICS = """stress-ng: metrc: [5] stressor       bogo ops real time  usr time  sys time   bogo ops/s
stress-ng: metrc: [5] lockf             16648      2.05      0.01      0.22      8132.91       70492.19
stress-ng: metrc: [5] sync-file           100      2.05      0.01      0.22      8132.91       70492.19
stress-ng: info:  [5] successful run completed in 2.24s"""


def stressed(host: str, **fields: object) -> Op:
    who = {"process": "controller", "host": host, "at": f"edge.{host}", "key": "data", "value": METRICS}
    return row("stress-ng", "stress-ng", **{**who, **fields})


def stress(rows: list[Op], expected: str = "holds") -> Verdict:
    plan = make_plan(volumes=(shared_volume(expected, "one-host-semantics"),), targets=())
    return judge(History.of([*around("stress-ng"), *rows]), plan, make_check("stress-ng", volume="data"))


def test_stressors_that_found_nothing_pass_with_their_operations() -> None:
    verdict = stress([stressed("n1"), stressed("n2")])
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures == {"lockf_operations": 33_296, "sync_file_operations": 200}


def test_a_failed_verification_is_quoted() -> None:
    words = "stress-ng: fail:  [9] rename: rename failed, errno=2\nstress-ng: info: unsuccessful run"
    verdict = stress([stressed("n1"), stressed("n2", outcome="fail", errno=2, value=words)])
    assert verdict.verdict == "fail"
    assert "stress-ng of edge.n2 on n2: stress-ng: fail:  [9] rename: rename failed, errno=2" in verdict.reason


@pytest.mark.parametrize("code", [1, 3, 4, 5, 6, 7])
def test_stressors_that_could_not_work_say_nothing(code: int) -> None:
    verdict = stress([stressed("n1"), stressed("n2", outcome="fail", errno=code, value="out of inodes")])
    assert verdict.verdict == "unknown"
    assert f"stress-ng on n2 ended with {code}: out of inodes" in verdict.reason


def test_no_answer_is_no_pass() -> None:
    assert stress([stressed("n1", outcome="info", value="no answer in 65 s")]).verdict == "unknown"
    assert stress([]).verdict == "unknown"
