"""Commands on hosts by SSH: over kept connections, against one ssh process each.

The project's goal is against `vagrant ssh -c` on guests, which loads Vagrant each time; a plain ssh(1) is the
closest that container nodes have, and much quicker than that, so that this row has no goal.

Started as `python -m tests.bench.remote INVENTORY` where the hosts can be reached; prints seconds as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from harness.loader import load_inventory
from harness.model.errors import EnvironmentBroken
from harness.ports import Progress
from harness.providers.existing import hosts_of
from harness.transport.parallel import at_once
from harness.transport.process import run_process
from harness.transport.ssh import SshHost
from tests.bench.table import Row
from tests.ssh_hosts import site

COMMANDS = 100
COMMAND_TIMEOUT_S = 60.0
ROUND_TIMEOUT_S = 600.0
ASK = ("cat", "/proc/uptime")


def over_ssh(rounds: int, progress: Progress) -> list[Row]:
    """Three hosts at once, one command after another on each; connecting counts for both."""
    kept, ratios = [], []
    with tempfile.TemporaryDirectory() as folder, site(Path(folder)) as hosts:
        argv = [*hosts.prefix, sys.executable, "-m", "tests.bench.remote", str(hosts.inventory())]
        for number in range(rounds):
            result = run_process(argv, timeout_s=ROUND_TIMEOUT_S, stdin=b"", where="this machine")
            if not result.ok:
                raise EnvironmentBroken(f"the bench of SSH failed: {result.output}")
            told = json.loads(result.stdout)
            progress(
                f"SSH, round {number + 1}: kept {told['kept_s']:.2f} s, a process each {told['each_s']:.2f} s"
            )
            kept.append(told["kept_s"])
            ratios.append(told["each_s"] / told["kept_s"])
    title = f"{COMMANDS} commands on each of 3 hosts by SSH, over kept connections"
    return [
        Row(title, kept, "s"),
        Row("the same by a process of ssh(1) each, times as long", ratios, "times"),
    ]


def main(path: str) -> None:
    hosts = list(hosts_of(load_inventory(Path(path))).values())
    kept_s = _taken(partial(_by_connection, host) for host in hosts)
    each_s = _taken(partial(_by_process, host) for host in hosts)
    print(json.dumps({"kept_s": kept_s, "each_s": each_s}))


def _taken(calls: Iterable[Callable[[], None]]) -> float:
    begin_s = time.perf_counter()
    at_once(list(calls))
    return time.perf_counter() - begin_s


def _by_connection(host: SshHost) -> None:
    for _ in range(COMMANDS):
        assert host.run(ASK, timeout_s=COMMAND_TIMEOUT_S).ok
    host.close()


def _by_process(host: SshHost) -> None:
    """As quick as ssh can be made without a kept connection: no terminal, no questions."""
    argv = [word for word in host.terminal(ASK) if word != "-t"]
    for _ in range(COMMANDS):
        result = run_process(["ssh", "-T", "-o", "BatchMode=yes", *argv[1:]],
                             timeout_s=COMMAND_TIMEOUT_S, stdin=b"", where=host.name)  # fmt: skip
        assert result.ok, result.output


if __name__ == "__main__":
    main(sys.argv[1])
