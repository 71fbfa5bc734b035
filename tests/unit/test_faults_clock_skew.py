"""A wall clock that is set off and back: by the script that runs on a host, with clocks of the test's own."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from harness.faults import clock_skew, configured
from harness.faults.clock_skew import FAULT, NOTE, SCRIPT
from harness.model.errors import CommandFailed
from harness.ports import Cluster, Felt, Host, Result
from tests.fakes import FakeHost, FakeLifecycle

SECOND = 10**9
FIRST = "pid:[4026531836]"


class Kernel:
    """A kernel's two clocks, and the script run on it as `python3 -c` would."""

    def __init__(self, folder: Path, namespace: str = FIRST) -> None:
        self.monotonic, self.wall = 1000 * SECOND, 1_700_000_000 * SECOND
        self.note = folder / "note"
        self.namespace = namespace

    def pass_s(self, seconds: float) -> None:
        self.monotonic += round(seconds * SECOND)
        self.wall += round(seconds * SECOND)

    def read(self, which: int) -> int:
        self.pass_s(1e-6)
        return self.monotonic if which == time.CLOCK_MONOTONIC else self.wall

    def set(self, which: int, value: int) -> None:
        assert which == time.CLOCK_REALTIME
        self.wall = value

    def run(self, *words: str) -> str:
        """What the script prints. Raises SystemExit where it refuses."""
        clocks = SimpleNamespace(
            CLOCK_MONOTONIC=time.CLOCK_MONOTONIC,
            CLOCK_REALTIME=time.CLOCK_REALTIME,
            clock_gettime_ns=self.read,
            clock_settime_ns=self.set,
        )
        files = SimpleNamespace(readlink=lambda _path: self.namespace, rename=os.rename, remove=os.remove)
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
            patch.setattr(sys, "argv", ["-c", str(self.note), *words])
            patch.setitem(sys.modules, "time", clocks)
            patch.setitem(sys.modules, "os", files)
            exec(compile(SCRIPT, "script", "exec"), {})
        return out.getvalue().strip()

    def off_s(self, before: int) -> float:
        """By how much the wall clock is off what it would be."""
        return (self.wall - self.monotonic - before) / SECOND


@pytest.mark.parametrize("offset_s", [300, -7200])
def test_the_clock_is_off_by_so_much_and_set_back_to_its_course(tmp_path: Path, offset_s: int) -> None:
    kernel = Kernel(tmp_path)
    before = kernel.wall - kernel.monotonic
    kernel.run("skew", str(offset_s * SECOND))
    assert kernel.off_s(before) == pytest.approx(offset_s, abs=1e-3)
    kernel.pass_s(50)
    assert int(kernel.run("measure")) / SECOND == pytest.approx(offset_s, abs=1e-3)
    assert int(kernel.run("heal")) / SECOND == pytest.approx(offset_s, abs=1e-3)
    assert kernel.off_s(before) == pytest.approx(0, abs=1e-3)
    assert kernel.run("heal") == ""


def test_a_clock_that_is_set_off_twice_goes_back_to_where_it_was_first(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    before = kernel.wall - kernel.monotonic
    kernel.run("skew", str(60 * SECOND))
    kernel.run("skew", str(90 * SECOND))
    assert kernel.off_s(before) == pytest.approx(90, abs=1e-3)
    kernel.run("heal")
    assert kernel.off_s(before) == pytest.approx(0, abs=1e-3)


def test_one_that_ntp_has_set_right_is_measured_so(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.run("skew", str(60 * SECOND))
    kernel.wall -= 60 * SECOND
    assert abs(int(kernel.run("measure"))) < SECOND / 1000


def test_a_containers_clock_is_not_set(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, namespace="pid:[4026532201]")
    wall = kernel.wall
    with pytest.raises(SystemExit, match="container"):
        kernel.run("skew", str(60 * SECOND))
    assert kernel.wall - wall < SECOND
    assert not kernel.note.exists()


# --- as a fault


def cluster_of(**hosts: Result) -> Cluster:
    def answering(result: Result) -> Host:
        there = Result(0 if result.stdout else 1, "", "")
        return FakeHost("n", answers={("python3",): result, ("test", "-e", NOTE): there})

    made = {name: answering(result) for name, result in hosts.items()}
    return Cluster("harness-r1", "r1", "fake", made, lifecycle=FakeLifecycle(list(hosts)))


def off(seconds: float) -> Result:
    return Result(0, str(round(seconds * SECOND)), "")


def felt(cluster: Cluster, nodes: Sequence[str]) -> Felt:
    return configured(FAULT, {"offset_s": 300}).felt(cluster, nodes, "both", timeout_s=5)


def test_it_is_felt_where_every_target_is_off_by_what_was_asked_for() -> None:
    cluster = cluster_of(n1=off(299.9), n2=off(300.1), n3=off(30.0), n4=off(-300))
    assert felt(cluster, ["n1", "n2"]) == Felt(True, "clocks are off: n1 by +299.900 s, n2 by +300.100 s")
    assert not felt(cluster, ["n1", "n3"]).felt
    assert not felt(cluster, ["n4"]).felt


def test_a_node_without_python_has_nothing_to_heal() -> None:
    assert FAULT.heal(cluster_of(n1=Result(0, "", "")), timeout_s=5) == []


def test_a_node_that_is_off_is_not_asked() -> None:
    cluster = cluster_of(n1=off(300), n2=off(300))
    assert cluster.lifecycle
    cluster.lifecycle.kill("n2", timeout_s=5)
    assert FAULT.heal(cluster, timeout_s=5) == ["the clock of n1, +300.000 s off, is set back"]


def test_what_a_host_refuses_is_told_in_its_words() -> None:
    cluster = cluster_of(n1=Result(1, "", "a container's clock is its machine's, and is not set"))
    with pytest.raises(CommandFailed, match="its machine's, and is not set"):
        FAULT.inject(cluster, ["n1"], "both", timeout_s=5)


def test_a_clock_that_would_hardly_be_off_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"less than 0\.1 s"):
        clock_skew.ClockSkewParams(offset_s=0.05)
