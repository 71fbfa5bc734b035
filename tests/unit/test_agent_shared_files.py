"""Programs on shared files, judged by their checkers: right as they are, and caught by name with a bug on purpose.

Workers of one agent on one directory stand for two hosts: their rows are told to come from n1 and n2.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.history import History, Op
from harness.model.verdict import Verdict
from harness.transport.agent import Agent
from tests.agent_scene import Recorder, call, finish, started_agent, wait_until
from tests.checkers_scene import make_check, make_plan
from tests.volumes_scene import HOSTS, around, broken, promise, shared_volume

WORKERS = 4
#: Programs that are not called as their checks.
PROGRAMS = {"durability": "durable", "no-space": "space"}
PARAMS: dict[str, dict[str, Any]] = {
    "counter": {"lock": "fcntl"},
    "names": {"peeks": 10, "rate_per_s": 50},
    "durability": {"record_bytes": 128, "kill_share": 0.05, "rate_per_s": 200, "writers": [1, 2, 3, 4]},
    "no-space": {"record_bytes": 128, "sync_share": 0.5, "rate_per_s": 200, "writers": [1, 2, 3, 4]},
    "visibility": {"names_per_s": 50, "rate_per_s": 500},
    "blocks": {"block_bytes": 16384, "blocks": 2, "writes": 0.5, "direct": False},
}

ATTEMPTS = 8


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with started_agent() as agent:
        yield agent


def entry(folder: Path, number: int, process: str, host: str) -> dict[str, Any]:
    """Workers with odd numbers are on the one host, those with even ones on the other."""
    return {
        "process": process,
        "at": f"edge.{host}",
        "pid": 0,
        "writer": number,
        "path": f"{folder}/file",
        "others": [other for other in range(1, WORKERS + 1) if other % 2 != number % 2],
    }


def recorded(agent: Agent, kind: str, folder: Path, rows: int, **params: Any) -> list[Op]:
    """What the workers did until there were `rows` rows, and what readers found in the end."""
    shared = {
        "program": PROGRAMS.get(kind, kind),
        "key": "data",
        "seed": 3,
        "rate_per_s": 0,
        "block": 64,
        **PARAMS[kind],
        **params,
    }
    workers = [entry(folder, n, f"w{n}", HOSTS[n % 2]) for n in range(1, WORKERS + 1)]
    readers = [entry(folder, n, f"reader-{host}", host) for n, host in enumerate(HOSTS, start=1)]
    recorder = Recorder()
    job = agent.open("work", {**shared, "workers": workers}, recorder.on_batch, recorder.on_reserve)
    wait_until(lambda: job.ended or enough(recorder.batches, rows))
    finish(job)
    # as a check does it: without what is only for work
    fixed = {name: value for name, value in shared.items() if name not in ("rate_per_s", "shim")}
    final = {**fixed, "workers": readers, "final": True, "deadline_s": 20}
    ops = [*recorder.ops(), *call(agent, "work", **final)]
    return [replace(op, check=kind, host=op.at.partition(".")[2]) for op in ops]


def enough(batches: list[dict[str, Any]], rows: int) -> bool:
    """Every worker has done something: on a busy machine the first can be through before the last has begun."""
    told = {name for batch in batches for name in listed(batch["process"])}
    return len(told) >= WORKERS and sum(batch["n"] for batch in batches) >= rows


def attempts(agent: Agent, kind: str, folder: Path, rows: int, **params: Any) -> Iterator[list[Op]]:
    """The same again, in folders of their own: who meets whom is the machine's choice, so one may show nothing."""
    for attempt in range(ATTEMPTS):
        (folder / str(attempt)).mkdir()
        yield recorded(agent, kind, folder / str(attempt), rows, **params)


def caught(agent: Agent, kind: str, folder: Path, rows: int, promise: str, **params: Any) -> Verdict:
    """The first verdict by which the promise is broken; where none is, the last."""
    for ops in attempts(agent, kind, folder, rows, **params):
        verdict = judged(kind, ops)
        if promise in broken(verdict):
            break
    return verdict


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def judged(kind: str, ops: list[Op], **params: Any) -> Verdict:
    plan = make_plan(volumes=(shared_volume(),), targets=())
    check = make_check(kind, volume="data", workers_per_node=WORKERS // 2, **{**PARAMS[kind], **params})
    return judge(History.of([*around(kind), *ops]), plan, check)


@pytest.mark.parametrize("lock", ["fcntl", "flock"])
def test_a_lock_of_this_kernel_excludes(agent: Agent, tmp_path: Path, lock: str) -> None:
    """Whether two wanted it at once is the machine's choice, so a verdict may say that nobody did."""
    ops = recorded(agent, "counter", tmp_path, 2000, lock=lock)
    verdict = judged("counter", ops)
    assert broken(verdict) == [], verdict.reason
    assert promise(verdict, "lock-read-write").observed == "kept"
    tokens = sorted(int(str(op.value).split()[0]) for op in ops if op.f == "increment")
    assert tokens == list(range(1, len(tokens) + 1))
    assert {int(op.value) for op in ops if op.f == "total"} == {len(tokens)}


@pytest.mark.parametrize(("shim", "promise"), [("no-lock", "lock-exclusion"), ("stale-read", "lock-read-write")])
def test_a_broken_counter_is_caught_by_name(agent: Agent, tmp_path: Path, shim: str, promise: str) -> None:
    verdict = caught(agent, "counter", tmp_path, 2000, promise, shim=shim)
    assert verdict.verdict == "fail"
    assert broken(verdict) == [promise], verdict.reason


def test_a_right_volume_keeps_its_blocks(agent: Agent, tmp_path: Path) -> None:
    """O_DIRECT, or a single writer and reader a block in turn, would be too weak: this file system may tear."""
    ops = recorded(agent, "blocks", tmp_path, 600, block_bytes=4096, direct=True)
    verdict = judged("blocks", ops, block_bytes=4096)
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["values_seen"] > 1


@pytest.mark.parametrize(
    ("shim", "promise"), [("torn-read", "reads-not-torn"), ("mixed-write", "writes-not-mixed")]
)
def test_a_tearing_and_a_mixing_volume_are_caught_by_name(
    agent: Agent, tmp_path: Path, shim: str, promise: str
) -> None:
    verdict = caught(agent, "blocks", tmp_path, 1200, promise, shim=shim, block_bytes=8192)
    assert verdict.verdict == "fail"
    assert promise in broken(verdict), verdict.reason


def test_names_have_one_winner_and_files_are_replaced_whole(agent: Agent, tmp_path: Path) -> None:
    verdict = judged("names", recorded(agent, "names", tmp_path, 2000))
    assert verdict.verdict == "pass", verdict.reason
    assert min(verdict.figures[f"{kind}_contended"] for kind in ("create", "mkdir", "link")) > 0
    assert verdict.figures["told_otherwise"] == verdict.figures["peek_errors"] == 0


RACES = [
    ("two-winners", "exclusive-create"),
    ("gap-rename", "rename-old-or-new"),
    ("slow-rename", "rename-old-or-new"),
]


@pytest.mark.parametrize(("shim", "promise"), RACES)
def test_wrong_names_are_caught_by_name(agent: Agent, tmp_path: Path, shim: str, promise: str) -> None:
    verdict = caught(agent, "names", tmp_path, 2000, promise, shim=shim)
    assert verdict.verdict == "fail"
    assert broken(verdict) == [promise], verdict.reason


def test_what_was_synced_outlives_its_process(agent: Agent, tmp_path: Path) -> None:
    outcomes: set[str] = set()
    for ops in attempts(agent, "durability", tmp_path, 400):
        verdict = judged("durability", ops)
        assert verdict.verdict == "pass", verdict.reason
        assert verdict.figures["kills"] > WORKERS
        outcomes |= {op.outcome for op in ops if op.f == "sync"}
        assert {op.errno for op in ops if op.f == "sync"} <= {0, errno.ESRCH}
        if outcomes == {"ok", "info"}:
            return
    raise AssertionError("no kill met a record that was under way")


def test_a_cache_that_dies_with_its_process_is_caught(agent: Agent, tmp_path: Path) -> None:
    verdict = caught(agent, "durability", tmp_path, 400, "fsync-survives-client-kill", shim="early-ack")
    assert verdict.verdict == "fail"
    assert broken(verdict) == ["fsync-survives-client-kill"], verdict.reason


def test_what_only_the_kernel_has_outlives_a_process(agent: Agent, tmp_path: Path) -> None:
    """The bug that a machine's power loss alone can show: the control of topologies/power-loss.yaml."""
    verdict = judged("durability", recorded(agent, "durability", tmp_path, 400, shim="no-sync"))
    assert verdict.verdict == "pass", verdict.reason


@pytest.fixture
def little(tmp_path: Path) -> Iterator[Path]:
    """A file system with no room for what the workers write, and room for half of the last record."""
    if os.geteuid() != 0:
        pytest.skip("needs mount (only root can mount a small file system)")
    folder = tmp_path / "little"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4104k", "little", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_file_system_that_gets_full_tells_so_and_keeps_the_rest(agent: Agent, little: Path) -> None:
    verdict = judged("no-space", recorded(agent, "no-space", little, 400, record_bytes=16384))
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["told_at_write"] > 0


def test_what_a_process_that_syncs_was_told_is_in_its_row(agent: Agent, little: Path) -> None:
    ops = recorded(agent, "durability", little, 400, record_bytes=16384, kill_share=0)
    syncs = [op for op in ops if op.f == "sync"]
    assert {(op.outcome, op.errno) for op in syncs} == {("ok", 0), ("info", errno.ENOSPC)}


def test_want_of_room_that_is_swallowed_is_caught(agent: Agent, little: Path) -> None:
    ops = recorded(agent, "no-space", little, 400, record_bytes=16384, shim="swallow")
    verdict = judged("no-space", ops)
    assert verdict.verdict == "fail"
    assert broken(verdict) == ["no-space-at-fsync", "no-space-surfaces"], verdict.reason
    assert "told no error" in promise(verdict, "no-space-surfaces").witness


def test_new_names_are_seen_by_the_others(agent: Agent, tmp_path: Path) -> None:
    verdict = judged("visibility", recorded(agent, "visibility", tmp_path, 400))
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["sights"] > 100


def test_names_that_do_not_appear_are_caught(agent: Agent, tmp_path: Path) -> None:
    verdict = caught(agent, "visibility", tmp_path, 400, "new-name-visible", shim="hidden")
    assert broken(verdict) == ["new-name-visible"], verdict.reason
