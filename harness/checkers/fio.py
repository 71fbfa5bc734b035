"""Judges what fio(1) verified: what one host wrote and synced, every other host must read block by block."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from harness.checkers._sharing import is_unshared, verdict_of
from harness.checkers._volumes import Measured
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

#: How fio's own words about a block begin that is not what was written (verify.c).
_BAD = ("verify: bad", "crc32c: verify failed")
_MIB = float(1 << 20)


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `volume`. A file that a reader does not find, or a block that is another one, breaks
    close-to-open; a program that failed for another reason says nothing.
    """
    writes = list(history.only(f="fio-write").ops())
    written = {row.at for row in writes if row.outcome == "ok"}
    verified = [row for row in history.only(f="fio-verify").ops() if row.key.partition("|")[2] in written]
    judged = [] if is_unshared(history, check.params["volume"]) else verified
    bad = [row for row in judged if _is_bad(row)]
    failed = [row for row in (*writes, *judged) if row.outcome != "ok" and not _is_bad(row)]
    good = [row for row in judged if row.outcome == "ok"]
    measured = Measured(len(bad), len(bad) + len(good), _told(bad[0]) if bad else "")
    doubts = [_failed(row) for row in failed]
    doubts += [] if written else ["no host wrote its file"]
    return verdict_of(
        history, plan, check, {"close-to-open": measured}, doubts=doubts,
        figures=dict(_figures(writes, verified)), counts=(len(written) + len(good) + len(bad), len(failed)),
    )  # fmt: skip


def _is_bad(row: Op) -> bool:
    """Whether fio read something else than what was written, or no such file."""
    return row.f == "fio-verify" and row.outcome == "fail" and (_is_absent(row) or bool(_complaint(row)))


def _is_absent(row: Op) -> bool:
    return "file creation disallowed" in str(row.value)


def _complaint(row: Op) -> str:
    """What fio says of the first bad block: it names file, offset and length. Empty where there is none."""
    lines = (line.strip() for line in str(row.value).splitlines())
    return next((line for line in lines if line.startswith(_BAD)), "")


def _told(row: Op) -> str:
    writer = row.key.partition("|")[2]
    what = "finds no such file" if _is_absent(row) else f"reads something else: {_complaint(row)}"
    return f"{row.at} on {row.host} verifies what {writer} wrote, synced and closed, and {what}"


def _failed(row: Op) -> str:
    last = (str(row.value).strip().splitlines() or ["no output"])[-1]
    return f"{row.f} of {row.at} on {row.host} failed (code {row.errno}): {last}"


def _figures(writes: Sequence[Op], verified: Sequence[Op]) -> Iterator[tuple[str, float]]:
    """Rates in MiB/s and latencies in ms, each the median of the hosts'."""
    for what, side, rows in (("write", "write", writes), ("verify", "read", verified)):
        jobs = [job[side] for row in rows if row.outcome == "ok" and (job := _job(row))]
        if jobs:
            yield f"{what}_mib_s", round(median(job["bw_bytes"] for job in jobs) / _MIB, 1)
            late = [job["clat_ns"]["percentile"]["99.000000"] for job in jobs if "percentile" in job["clat_ns"]]
            if late:
                yield f"{what}_p99_ms", round(median(late) / 1e6, 3)


def _job(row: Op) -> dict[str, Any] | None:
    """What fio reports of its one job; None where it cannot be read."""
    text = str(row.value)
    try:
        report, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])
        job: dict[str, Any] = report["jobs"][0]
    except (ValueError, LookupError, TypeError):
        return None
    return job
