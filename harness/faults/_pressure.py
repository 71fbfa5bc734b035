"""Processes that take something away from a node: bound to an hour, found by a word among their arguments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from harness.faults import _wire
from harness.faults._rights import shell_of
from harness.model.errors import EnvironmentBroken
from harness.ports import Cluster, Host

LIFE_S = 3600
#: Prints what the processes with the word $1 have used: [seconds of CPU, resident bytes] each. `end` kills them.
_FIND = r"""
import json, os, signal, sys
word, verb = sys.argv[1], sys.argv[2]
tick, page, found = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE"), {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
        if int(pid) == os.getpid() or len(words) < 4 or words[3] != word.encode():
            continue
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        continue
    found[int(pid)] = [(int(fields[11]) + int(fields[12])) / tick, int(fields[21]) * page]
if verb == "end":
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
print(json.dumps(list(found.values())))
"""


@dataclass(frozen=True)
class Pressure:
    """`program` is Python that runs until it is killed; its arguments begin with the word."""

    fault: str
    program: str

    def word(self, cluster: Cluster) -> str:
        return f"{cluster.name}-{self.fault}"

    def start(self, cluster: Cluster, targets: Sequence[str], arguments: Sequence[str], timeout_s: float) -> None:
        shell_of(cluster, self.fault)
        # python3 -c PROGRAM WORD ARGUMENT...; timeout(1) ends it where nobody heals
        begin = f'setsid timeout -s KILL {LIFE_S} python3 -c "$@" </dev/null >/dev/null 2>&1 &'
        for target in targets:
            argv = ["sh", "-c", begin, "sh", self.program, self.word(cluster), *arguments]
            _wire.run(cluster.hosts[target], argv, timeout_s)

    def used(self, cluster: Cluster, node: str, timeout_s: float) -> list[list[float]]:
        shell_of(cluster, self.fault)
        return _find(cluster.hosts[node], self.word(cluster), "show", timeout_s)

    def end(self, cluster: Cluster, timeout_s: float) -> list[str]:
        """On every node that is there."""
        shell_of(cluster, self.fault)
        undone = []
        for host in cluster.hosts.values():
            try:
                ended = _find(host, self.word(cluster), "end", timeout_s)
            except EnvironmentBroken:
                continue
            undone += [f"ended {len(ended)} processes of {self.fault} on {host.name}"] if ended else []
        return undone


def _find(host: Host, word: str, verb: str, timeout_s: float) -> list[list[float]]:
    told: list[list[float]] = json.loads(_wire.run(host, ["python3", "-c", _FIND, word, verb], timeout_s) or "[]")
    return told
