"""The volume plugin, called over a real unix socket as an engine calls it; and what a node keeps of it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from harness.stores import _volume_plugin as plugin
from tests.planner_topologies import planned

POOLED = """
name: pooled
stores: {pool: {kind: KIND, nodes: [n1, n2, n3]}}
volumes: {data: {driver: KIND, store: pool, driver_opts: {via: plugin}}}
services:
  web: {deploy: {mode: global}, volumes: ["data:/data"]}
  one: {node: n2, volumes: ["data:/data"]}
"""


class Client(http.client.HTTPConnection):
    """An engine's side: one kept connection."""

    def __init__(self, path: Path) -> None:
        super().__init__("plugin", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))

    def call(self, method: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """An engine sends no body where it has nothing to say."""
        data = b"" if body is None else json.dumps(body).encode()
        self.request("POST", f"/{method}", data, {"Accept": plugin.MEDIA_TYPE})
        response = self.getresponse()
        assert response.headers["Content-Type"] == plugin.MEDIA_TYPE
        return response.status, json.loads(response.read())

    def done(self, method: str, body: Any = None) -> dict[str, Any]:
        status, told = self.call(f"VolumeDriver.{method}", body)
        assert (status, told.pop("Err")) == (200, "")
        return told


class Store:
    """A directory that says whether it is mounted."""

    def __init__(self, folder: Path) -> None:
        self.mount = folder / "pool"
        self.mount.mkdir()
        self.mounted = True
        self.hangs = threading.Event()
        self.hangs.set()

    def point(self, fd: int) -> str:
        assert self.hangs.wait(30)
        return os.readlink(f"/proc/self/fd/{fd}") if self.mounted else "/"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def engine(store: Store, tmp_path: Path) -> Iterator[Client]:
    where = tmp_path / "glusterfs.sock"
    with plugin.Server(str(where), plugin.Volumes(str(store.mount), store.point)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        client = Client(where)
        yield client
        client.close()
        server.shutdown()
        thread.join()


def test_it_says_that_it_is_a_driver_of_volumes_that_are_the_same_everywhere(engine: Client) -> None:
    assert engine.call("Plugin.Activate") == (200, {"Implements": ["VolumeDriver"], "Err": ""})
    assert engine.done("Capabilities") == {"Capabilities": {"Scope": "global"}}


def test_every_call_may_come_twice(engine: Client, store: Store) -> None:
    place = f"{store.mount}/.volumes/data"
    for _ in range(2):
        assert engine.done("Create", {"Name": "data", "Opts": {}}) == {}
        assert engine.done("Mount", {"Name": "data", "ID": "a"}) == {"Mountpoint": place}
        assert engine.done("Path", {"Name": "data"}) == {"Mountpoint": place}
    assert Path(place).stat().st_mode & 0o7777 == 0o1777
    for _ in range(2):
        assert engine.done("Unmount", {"Name": "data", "ID": "a"}) == {}
    for _ in range(2):
        assert engine.done("Remove", {"Name": "data"}) == {}
    assert not Path(place).exists()
    assert engine.done("List") == {"Volumes": []}


def test_a_volume_that_another_node_made_is_there_and_its_data_are_left_alone(
    engine: Client, store: Store
) -> None:
    file = store.mount / ".volumes" / "shared" / "file"
    file.parent.mkdir(parents=True)
    file.write_text("kept")
    (store.mount / "not-a-volume").mkdir()
    assert [v["Name"] for v in engine.done("List")["Volumes"]] == ["shared"]
    assert engine.done("Get", {"Name": "shared"})["Volume"]["Mountpoint"] == str(file.parent)
    engine.done("Create", {"Name": "shared"})
    assert file.read_text() == "kept"


@pytest.mark.parametrize(
    ("call", "body", "why"),
    [
        ("Create", {"Name": "../pool"}, "no name of a volume"),
        ("Create", {"Name": ""}, "no name of a volume"),
        ("Create", {"Name": "data", "Opts": {"size": "1G"}}, "no options of their own: size"),
        ("Get", {"Name": "other"}, "no such volume: other"),
        ("Mount", {"Name": "other", "ID": "a"}, "no such volume: other"),
        ("Path", {"Name": "../.."}, "no such volume"),
        ("Remove", {"Name": ".."}, "no such volume"),
    ],
)
def test_what_cannot_be_is_refused(engine: Client, call: str, body: dict[str, Any], why: str) -> None:
    status, told = engine.call(f"VolumeDriver.{call}", body)
    assert status == 500
    assert why in told["Err"]


@pytest.mark.parametrize("call", ["Create", "Mount", "Path", "Get", "Remove", "List"])
def test_where_the_store_is_not_mounted_nothing_is_made_and_nothing_handed_out(
    engine: Client, store: Store, call: str
) -> None:
    """The directories are there: what stands below a mount that is gone is the node's own disk."""
    (store.mount / ".volumes" / "data").mkdir(parents=True)
    store.mounted = False
    status, told = engine.call(f"VolumeDriver.{call}", {"Name": "data", "ID": "a"})
    assert (status, told) == (500, {"Err": f"the store is not mounted at {store.mount}"})
    assert (store.mount / ".volumes" / "data").is_dir()
    assert engine.done("Unmount", {"Name": "data", "ID": "a"}) == {}


def test_a_mount_point_that_is_gone_is_refused_and_not_made(engine: Client, store: Store) -> None:
    store.mount.rmdir()
    status, told = engine.call("VolumeDriver.Create", {"Name": "data"})
    assert (status, told["Err"]) == (500, f"the store is not mounted at {store.mount}")
    assert not store.mount.exists()


def test_a_store_that_hangs_does_not_hold_the_engine(store: Store) -> None:
    store.hangs.clear()
    volumes = plugin.Volumes(str(store.mount), store.point)
    status, told = plugin.answer(volumes, "/VolumeDriver.Create", b'{"Name": "data"}', deadline_s=0.05)
    store.hangs.set()
    assert (status, told) == (500, {"Err": f"the store at {store.mount} did not answer in 0.05 s"})


@pytest.mark.parametrize(("path", "body", "status"), [("/No.Such", b"", 404), ("/VolumeDriver.Get", b"{", 400),
                                                      ("/VolumeDriver.Get", b"{}", 400)])  # fmt: skip
def test_what_is_no_call_of_the_protocol_is_told_so(store: Store, path: str, body: bytes, status: int) -> None:
    found, told = plugin.answer(plugin.Volumes(str(store.mount), store.point), path, body)
    assert (found, bool(told["Err"])) == (status, True)


def test_a_mount_is_known_by_the_kernel() -> None:
    fd = os.open("/proc/self/status", os.O_PATH)
    try:
        assert plugin.mount_point_of(fd) == "/proc"
    finally:
        os.close(fd)


def test_as_a_program_it_needs_nothing_of_ours_and_takes_the_place_of_one_that_was_killed(tmp_path: Path) -> None:
    where = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(where))
    argv = [sys.executable, "-I", "-S", plugin.__file__, str(where), str(tmp_path)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, cwd="/") as process:
        try:
            assert _answer(where) == (200, {"Implements": ["VolumeDriver"], "Err": ""})
            with closing(Client(where)) as client:
                refused = client.call("VolumeDriver.Create", {"Name": "data"})
            assert refused == (500, {"Err": f"the store is not mounted at {tmp_path}"})
        finally:
            process.kill()


def _answer(where: Path) -> tuple[int, dict[str, Any]]:
    for _ in range(300):
        with suppress(ConnectionRefusedError), closing(Client(where)) as client:
            return client.call("Plugin.Activate")
        threading.Event().wait(0.1)
    raise AssertionError("nobody listens")


@pytest.mark.parametrize("kind", ["glusterfs", "cephfs"])
def test_a_volume_via_the_plugin_has_its_driver_in_services_and_plain_containers(kind: str) -> None:
    plan = planned(POOLED.replace("KIND", kind))
    made = plan.engine_name("data")
    assert plan.volume("data").device == ""
    assert f"name: {made}\n    driver: {kind}\n" in plan.document("stack.yaml").text
    run = next(step.argv for step in plan.steps if step.title == "start one")
    mount = run[run.index("--mount") + 1]
    assert f"source={made}" in mount
    assert f"volume-driver={kind}" in mount
    assert "device" not in mount


@pytest.mark.parametrize("kind", ["glusterfs", "cephfs"])
def test_a_plugin_is_active_on_every_node_before_it_joins(kind: str) -> None:
    """Steps of stores come before joining; a node that starts again activates it by itself."""
    plan = planned(POOLED.replace("KIND", kind))
    last = [step for step in plan.prepare if step.phase == "store pool, plugins"]
    assert [step.node for step in last] == [node.name for node in plan.nodes]
    assert last == list(plan.prepare[-len(last) :])
    kept = plan.document("store-pool.sh").text
    assert f"/run/docker/plugins/{kind}.sock /harness/stores/pool" in kept
    assert "daemons/plugin start\nsh /var/lib/harness/stores/pool/activate" in kept
    assert plan.within_store("data") == f"{plugin.FOLDER}/{plan.engine_name('data')}"
