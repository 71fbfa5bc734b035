"""Machines that are woken from a snapshot of a formed Swarm, and snapshots that were interrupted or spoilt."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import session
from harness.model.places import vms_dir
from harness.ports import TakesSnapshots
from harness.providers import snapshots
from harness.providers.libvirt import OwnLibvirt
from harness.session import Live, Options
from harness.transport.netns import connect_in
from tests.cluster_cli import Ended, only_run, start
from tests.cluster_guests import NEED_GUESTS_AND_TIME, RUN_TIMEOUT_S, named_after_runs
from tests.cluster_traces import Traces

LINE_TIMEOUT_S = 1800.0
DOWN_TIMEOUT_S = 300.0
MESH_TIMEOUT_S = 180.0
pytestmark = NEED_GUESTS_AND_TIME
#: Nobody else's topology has so much memory: what is taken and spoilt here is the test's own.
ALONE: dict[str, Any] = {
    "name": "alone",
    "cluster": {"provider": "vagrant", "nodes": {"manager": 1, "worker": 0}, "memory_mb": 777},
    "services": {"web": {"deploy": {"mode": "global"}}},
    "checks": [{"commands": {"steps": [{"name": "there", "node": "n1", "run": "true"}]}}],
}
MESH: dict[str, Any] = {
    "name": "mesh",
    "cluster": {"provider": "vagrant", "nodes": {"manager": 1, "worker": 2}, "memory_mb": 1021},
    "networks": {"app": {"driver": "overlay"}},
    "services": {
        "web": {
            "deploy": {"mode": "replicated", "replicas": 1, "endpoint_mode": "vip"},
            "networks": ["app"],
            "ports": [{"target": 5000, "published": 8000, "mode": "ingress"}],
        }
    },
    "checks": [{"connectivity": {"timeout_s": 5}}],
}
#: What answers by itself: listeners of checks come with agents, long after a machine has been woken.
HELLO = b"hello"
SERVER = f"""
import socketserver
class Hello(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall({HELLO!r})
socketserver.ThreadingTCPServer(("", 5000), Hello).serve_forever()
"""


def place() -> Path:
    return vms_dir() / "snapshots"


def entries() -> set[str]:
    return {path.name for path in place().glob("*")} if place().is_dir() else set()


@pytest.fixture(scope="module", autouse=True)
def ours() -> Iterator[None]:
    """Snapshots of these tests go with them."""
    before = entries()
    yield
    for name in entries() - before:
        shutil.rmtree(place() / name)


@pytest.fixture(autouse=True)
def nothing_is_left(traces: Traces) -> Iterator[None]:
    before = named_after_runs()
    yield
    start("down", "--all").end(DOWN_TIMEOUT_S)  # also after a test that failed
    assert named_after_runs() == before


def written(folder: Path, topology: dict[str, Any]) -> Path:
    path = folder / f"{topology['name']}.yaml"
    path.write_text(yaml.safe_dump(topology))
    return path


def run(folder: Path, topology: dict[str, Any]) -> Ended:
    runs = folder / f"runs-{time.time_ns()}"
    ended = start("run", written(folder, topology), "--reuse", "--runs-dir", runs).end(RUN_TIMEOUT_S)
    assert ended.code == 0, ended.told
    return Ended(ended.code, str(only_run(runs)), ended.stderr)


def killed(folder: Path, topology: dict[str, Any], line: str) -> None:
    process = start("run", written(folder, topology), "--reuse", "--runs-dir", folder / "runs-killed")
    process.wait_for(line, LINE_TIMEOUT_S)
    process.send(signal.SIGKILL)
    process.end(DOWN_TIMEOUT_S)
    ended = start("down", "--all").end(DOWN_TIMEOUT_S)
    assert ended.code == 0, ended.told
    assert json.loads(start("list", "--json").end(DOWN_TIMEOUT_S).stdout)["clusters"] == []
    assert named_after_runs() == []


def spoil(name: str) -> None:
    """The memory of a machine, cut short in a way that its size does not tell."""
    memory = next((place() / name).glob("n1.memory*"))
    size = memory.stat().st_size
    with memory.open("r+b") as stream:
        stream.truncate(size // 2)
        stream.truncate(size)


def test_a_snapshot_that_was_interrupted_or_spoilt_is_taken_anew(tmp_path: Path) -> None:
    """One cold start after another, so in one test: killed while it is taken; taken; killed while it is woken;
    woken; spoilt, and told so; woken once more.
    """
    before = entries()
    killed(tmp_path, ALONE, "taking a snapshot")
    assert entries() == before
    assert "taking a snapshot" in run(tmp_path, ALONE).stderr
    [name] = entries() - before
    killed(tmp_path, ALONE, "waking 1 machines")
    assert "waking 1 machines" in run(tmp_path, ALONE).stderr
    spoil(name)
    again = run(tmp_path, ALONE).stderr
    assert "did not wake" in again
    assert "taking a snapshot" in again
    assert "taking a snapshot" not in run(tmp_path, ALONE).stderr
    assert entries() - before == {name}


# --- three machines


def up(folder: Path, topology: dict[str, Any], *, woken: bool) -> tuple[Live, dict[str, float]]:
    """A live cluster, and after how many seconds what was said."""
    options, began = Options(seed=1), time.monotonic()
    plan = session.make_plan(
        session.topology_of(written(folder, topology), options), options, run=session.new_run()
    )
    said: dict[str, float] = {}

    def say(line: str) -> None:
        said[line] = round(time.monotonic() - began, 1)
        print(f"{said[line]:8.1f} s  {line}")

    return session.up(plan, say, snapshots=woken), said


def test_a_woken_swarm_answers_through_its_mesh_and_knows_what_time_it_is(tmp_path: Path) -> None:
    """Every node x the published port, also nodes without a task (part `ingress` of check connectivity)."""
    before = entries()
    first = run(tmp_path, MESH)
    [name] = entries() - before
    taken = snapshots.read(place() / name)
    assert taken is not None
    live, said = up(tmp_path, MESH, woken=True)
    try:
        age_s = time.time() - taken.taken_s
        for host in live.cluster.hosts.values():
            behind_s = time.time() - float(host.run(["date", "+%s.%N"], timeout_s=20).stdout)
            assert abs(behind_s) < age_s / 2, f"{host.name} is {behind_s:.1f} s behind"
        assert live.cluster.woken == taken.taken
    finally:
        session.down(live.cluster.name)
    second = run(tmp_path, MESH)
    assert "waking 3 machines" in second.stderr
    for ended in (first, second):
        results = json.loads((Path(ended.stdout) / "results.json").read_text())
        [check] = results["checks"]
        assert (results["verdict"], check["verdict"], check["wrong"]) == ("pass", "pass", 0)
        assert not results["skipped"]
    assert json.loads((Path(second.stdout) / "env.json").read_text())["woken"]
    print(f"asleep {age_s:.0f} s; deployed after {max(said.values())} s")


def answers(address: str) -> bool:
    own = OwnLibvirt()
    try:
        with connect_in(own.netns, address, 8000, timeout_s=3) as connection:
            connection.settimeout(3)
            return connection.recv(64) == HELLO
    except OSError:
        return False


def test_a_service_that_ran_when_its_swarm_fell_asleep_answers_through_the_mesh_of_all(tmp_path: Path) -> None:
    """Three machines, one task: by two of them the answer comes from another (IPVS, an overlay)."""
    web = {**MESH["services"]["web"], "command": ["python3", "-c", SERVER]}
    memory = {**MESH["cluster"], "memory_mb": 1019}  # nobody else's snapshot has a service in it
    live, _said = up(tmp_path, {**MESH, "cluster": memory, "services": {"web": web}}, woken=False)
    try:
        taker, waking_s = live.provider, 0.0
        assert isinstance(taker, TakesSnapshots)

        def say(line: str) -> None:
            nonlocal waking_s
            if line.startswith("waking "):
                waking_s = time.monotonic()

        cluster = taker.take_snapshot(live.cluster, live.plan, say)
        assert cluster.woken, "was made anew"
        waiting = {name: host.address for name, host in cluster.hosts.items()}
        deadline = time.monotonic() + MESH_TIMEOUT_S
        while waiting and time.monotonic() < deadline:
            for name in [name for name, address in waiting.items() if answers(address)]:
                print(f"{name} answers {time.monotonic() - waking_s:.1f} s after its waking began")
                del waiting[name]
        assert not waiting
    finally:
        session.down(live.cluster.name)
