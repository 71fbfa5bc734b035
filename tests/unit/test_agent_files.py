"""Mounts and nonces, as seen inside a container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.agent.files import mount_of
from harness.transport.agent import Agent, AgentError
from tests.agent_scene import TIMEOUT_S, Item, call, namespace, needs_namespaces, started_agent

PLACE = {"at": "web.1", "pid": 0}
READER = {"process": "reader-n1", **PLACE}


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with started_agent() as agent:
        yield agent


def put(folder: Path, text: str = "from web.1", **other: object) -> Item:
    return {**PLACE, "path": str(folder), "name": "nonce", "text": text, **other}


def get(folder: Path, text: str = "from web.1", **other: object) -> Item:
    return {**READER, **put(folder, text), "key": "shared|web.1", **other}


def test_what_was_left_is_seen(agent: Agent, tmp_path: Path) -> None:
    (op,) = call(agent, "nonce", puts=[put(tmp_path)], gets=[get(tmp_path)])

    assert (op.f, op.process, op.key, op.value, op.outcome) == ("nonce", "reader-n1", "shared|web.1", "seen", "ok")
    assert os.listdir(tmp_path) == ["nonce"]


@pytest.mark.parametrize("text", ["another", "from web.1 and more", ""])
def test_another_text_or_no_file_is_absent(agent: Agent, tmp_path: Path, text: str) -> None:
    gets = [get(tmp_path), get(tmp_path, name="nowhere")]
    ops = call(agent, "nonce", puts=[put(tmp_path, text)], gets=gets)

    assert [(op.value, op.outcome) for op in ops] == [("absent", "ok")] * 2


def test_a_get_that_fails_for_another_reason_is_no_answer(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "nonce").mkdir()
    (op,) = call(agent, "nonce", puts=[], gets=[get(tmp_path)])

    assert (op.value, op.outcome) == ("absent", "fail")
    assert op.errno


def test_a_put_that_fails_is_an_error(agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"web\.1: .*No such file"):
        call(agent, "nonce", puts=[put(tmp_path / "missing")], gets=[])


def test_a_mount_is_told_by_device_type_and_source(agent: Agent) -> None:
    looks = [{**READER, "path": path, "key": f"before|{path}"} for path in ("/proc", "/nowhere/at/all")]
    there, missing = call(agent, "mount", looks=looks)

    assert (there.f, there.key) == ("mount", "before|/proc")
    assert str(there.value).startswith(f"{os.stat('/proc').st_dev} proc proc r")
    assert (missing.value, missing.outcome, missing.errno) == ("", "fail", 2)


@needs_namespaces
def test_a_container_sees_its_own_mounts(agent: Agent, tmp_path: Path) -> None:
    setup = f"mount -t tmpfs ours {tmp_path}"
    with namespace(setup, unshare=("--net", "--mount")) as pid:
        look = {**READER, "pid": pid, "path": str(tmp_path), "key": "k"}
        (op,) = call(agent, "mount", looks=[look])
        agent.call("nonce", {"puts": [put(tmp_path, pid=pid)], "gets": []}, timeout_s=TIMEOUT_S)
        seen = call(agent, "nonce", puts=[], gets=[get(tmp_path, pid=pid), get(tmp_path)])

    assert " tmpfs ours rw," in str(op.value)
    assert [op.value for op in seen] == ["seen", "absent"]


MOUNTS = [
    "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw\n",
    "30 21 0:40 / /data rw - nfs4 server:/old rw\n",
    "31 21 0:41 / /data rw master:2 - fuse.glusterfs pool:/vol\\040one rw\n",
    "32 21 0:42 / /data\\040two ro,noatime - tmpfs tmpfs rw,size=1k\n",
    "33 21 0:43 / /layered rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d,xino=off\n",
]


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/data", ("fuse.glusterfs", "pool:/vol one", "rw")),
        ("/data/deep/in", ("fuse.glusterfs", "pool:/vol one", "rw")),
        ("/data two", ("tmpfs", "tmpfs", "ro,noatime,size=1k")),
        ("/layered", ("overlay", "overlay", "rw,xino=off")),
        ("/database", ("ext4", "/dev/vda", "rw,relatime")),
    ],
)
def test_the_nearest_and_topmost_mount_counts(path: str, mount: tuple[str, str, str]) -> None:
    assert mount_of(MOUNTS, path) == mount
