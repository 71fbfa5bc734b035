"""Running `kind create cluster`, in a way that can be cut short without anything coming into being afterwards."""

from __future__ import annotations

import os
import re
import shlex
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from harness.model.errors import ChannelLost, CommandFailed, DeadlineExceeded
from harness.ports import Progress
from harness.providers.engine import Engine
from harness.transport.process import ProcessChannel

#: At a load of 8 a cluster of three took 55 s; images may have to be pulled.
CREATE_TIMEOUT_S = 900.0
#: How long docker's clients that kind has started may go on once it has ended.
CLIENTS_TIMEOUT_S = 30.0
_ENDED = re.compile(rb"kind ended with (\d+)")

#: Ends kind, and kind alone, on SIGTERM and when nobody holds the other end of standard input any more: a
#: harness that was killed leaves no kind that goes on making nodes. What kind has already asked an engine for is
#: waited for apart.
_SCRIPT = """
exec 3<&0
trap 'kill "$kind" 2>/dev/null' TERM
"$@" </dev/null 2>&1 3<&- & kind=$!
{ cat <&3; kill "$kind"; } >/dev/null 2>&1 & watcher=$!
wait "$kind"; code=$?
while kill -0 "$kind" 2>/dev/null; do wait "$kind"; code=$?; done
kill "$watcher" 2>/dev/null
echo "kind ended with $code"
"""


def environment(engine: Engine, network: str, folder: Path) -> dict[str, str]:
    """What kind is told by its environment: the engine, the nodes' network, and a `docker` that it finds in
    `folder`, since the engine's client need not be in PATH.
    """
    folder.mkdir()
    client = folder / "docker"
    client.write_text(f'#!/bin/sh\nexec {shlex.join(engine.program)} "$@"\n')
    client.chmod(0o755)
    return {
        "PATH": f"{folder}:{os.environ.get('PATH', os.defpath)}",
        "DOCKER_HOST": engine.host,
        "KIND_EXPERIMENTAL_PROVIDER": "docker",
        "KIND_EXPERIMENTAL_DOCKER_NETWORK": network,
    }


def create(argv: Sequence[str], env: dict[str, str], stop: Event, progress: Progress) -> None:
    """Run `argv`, which is kind, to its end, or until `stop` is set; then no client of docker's that it has
    started runs any more. Its own lines about what it does go to `progress`. Raises CommandFailed,
    DeadlineExceeded.
    """
    channel = ProcessChannel(["sh", "-c", _SCRIPT, "kind", *argv], where="this machine", env={**os.environ, **env})
    try:
        lines, code = _follow(channel, stop, progress)
    finally:
        _await_clients(channel.pid)
        channel.close()
    if code and not stop.is_set():
        raise CommandFailed(argv, code, "\n".join(lines), doing="kind create cluster")


def _follow(channel: ProcessChannel, stop: Event, progress: Progress) -> tuple[list[str], int]:
    deadline = time.monotonic() + CREATE_TIMEOUT_S
    lines: list[str] = []
    told = False
    while True:
        late = time.monotonic() > deadline
        if (late or stop.is_set()) and not told:
            os.kill(channel.pid, signal.SIGTERM)
            told = True
        try:
            line = channel.receive(0.2)
        except ChannelLost:
            return lines, 1
        if line is None:
            continue
        ended = _ENDED.match(line)
        if ended and late:
            raise DeadlineExceeded(f"kind create cluster did not end within {CREATE_TIMEOUT_S:g} s")
        if ended:
            return lines, int(ended[1])
        lines.append(line.decode(errors="replace").rstrip())
        if step := step_of(lines[-1]):
            progress(f"kind: {step}")


def step_of(line: str) -> str:
    """What kind says that it begins with, without its pictures; empty for any other line."""
    begun = re.match(r"\s*•\s+(.*)", line)
    return re.sub(r"[^\x20-\x7e]+", " ", begun[1]).strip(" .").lower() if begun else ""


def _await_clients(group: int) -> None:
    """An engine goes on with what a client that was killed has asked for; one that ends by itself has seen it
    made.
    """
    deadline = time.monotonic() + CLIENTS_TIMEOUT_S
    while _clients(group) and time.monotonic() < deadline:
        time.sleep(0.1)


def _clients(group: int) -> list[int]:
    """Processes of docker's in the process group (proc_pid_stat(5))."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        name, rest = text.partition("(")[2].rpartition(")")[::2]
        state, _parent, its_group = rest.split()[:3]
        if name.startswith(("docker", "ld-linux")) and state != "Z" and int(its_group) == group:
            found.append(int(stat.parent.name))
    return found
