"""`clock-skew`: the targets' wall clocks are set off by `offset_s`, and back when healed (clock_settime(2)).

Only a host with a kernel of its own has a clock of its own: a container node would set the machine's, so it is
never asked to (feature `own-clock`, and refused again where it would happen). CLOCK_MONOTONIC is not touched. How
far the wall clock was ahead of it before is noted on the host, and healing puts it back there: what time passes in
between is kept. A host whose time NTP keeps may be set right by that, and the fault is not felt then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel, Field, field_validator

from harness.faults import _wire
from harness.faults._rights import shell_of
from harness.faults._tuned import Params, Tuned
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Host, Right
from harness.transport.parallel import at_once

#: Gone with the host's power: a kernel that starts takes the time of the machine's clock.
NOTE = "/run/harness-clock-skew"
#: `skew NANOSECONDS`, `measure`, `heal`: what it prints is by how many nanoseconds the wall clock is, or was, off
#: the course that it had before; nothing where none is noted. The two clocks are read as close together as can be.
#: The number of the first PID namespace is PROC_PID_INIT_INO of Linux's include/linux/proc_ns.h.
SCRIPT = r"""
import os, sys, time
note, verb = sys.argv[1], sys.argv[2]

def once():
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return after - before, wall - (before + after) // 2

def ahead():
    return min(once() for _ in range(10))[1]

def put(course):
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    time.clock_settime_ns(time.CLOCK_REALTIME, now + course)

def noted():
    try:
        with open(note) as file:
            return int(file.read())
    except FileNotFoundError:
        return None

course = noted()
if verb == "skew":
    if os.readlink("/proc/self/ns/pid") != "pid:[4026531836]":
        sys.exit("a container's clock is its machine's, and is not set")
    if course is None:
        course = ahead()
        with open(note + ".new", "w") as file:
            file.write(str(course))
        os.rename(note + ".new", note)
    put(course + int(sys.argv[3]))
if course is not None:
    print(ahead() - course)
    if verb == "heal":
        put(course)
        os.remove(note)
"""


class ClockSkewParams(Params):
    offset_s: float = Field(60.0, ge=-1e8, le=1e8, description="Forward, or back where it is negative")

    @field_validator("offset_s")
    @classmethod
    def _is_some(cls, value: float) -> float:
        if abs(value) < 0.1:
            raise ValueError("a clock that is less than 0.1 s off is not set off")
        return value


@dataclass(frozen=True)
class ClockSkew(Tuned):
    name: str = "clock-skew"
    rights: frozenset[Right] = frozenset({"shell"})
    offset_s: float = 60.0
    params: type[BaseModel] = ClockSkewParams

    def demands(self) -> list[Demand]:
        return [Demand("own-clock", "fault clock-skew")]

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        """Raises CommandFailed where the host has no clock of its own, or it may not be set."""
        del direction  # a clock has none
        self._on(cluster, targets, ["skew", str(round(self.offset_s * 1e9))], timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """Every target's clock is off by what was asked for, to a tenth."""
        del direction
        measured = dict(zip(targets, self._on(cluster, targets, ["measure"], timeout_s), strict=True))
        told = ", ".join(f"{node} by {off:+.3f} s" for node, off in measured.items())
        felt = all(abs(off - self.offset_s) <= abs(self.offset_s) / 10 for off in measured.values())
        return Felt(felt, f"clocks are off: {told}")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """A node that is off has lost its note and gets the machine's time when it starts."""
        nodes = [node for node in cluster.hosts if not _is_off(cluster, node, timeout_s)]
        offs = self._on(cluster, nodes, ["heal"], timeout_s)
        return [
            f"the clock of {node}, {off:+.3f} s off, is set back"
            for node, off in zip(nodes, offs, strict=True)
            if off
        ]

    def _on(self, cluster: Cluster, nodes: Sequence[str], words: list[str], timeout_s: float) -> list[float]:
        shell_of(cluster, self.name)
        return at_once([partial(_told, cluster.hosts[node], words, timeout_s) for node in nodes])


def _is_off(cluster: Cluster, node: str, timeout_s: float) -> bool:
    return cluster.lifecycle is not None and cluster.lifecycle.state(node, timeout_s=timeout_s) == "off"


def _told(host: Host, words: list[str], timeout_s: float) -> float:
    """Seconds; 0 where nothing is noted, which is not felt and needs no healing."""
    if words[0] != "skew" and not host.run(["test", "-e", NOTE], timeout_s=timeout_s).ok:
        return 0.0  # also where there is no Python
    told = _wire.run(host, ["python3", "-I", "-S", "-c", SCRIPT, NOTE, *words], timeout_s)
    return int(told or 0) / 1e9


FAULT = ClockSkew()
