"""A Docker engine, reached by its socket: which one, and calls to it that have a deadline."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from python_on_whales import DockerClient
from python_on_whales.exceptions import DockerException

from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentBroken, UsageError
from harness.transport.deadlines import TIMED_OUT, bounded
from harness.transport.process import run_process

PROBE_TIMEOUT_S = 5.0
#: auto: the engine that answers, else our own; own: always our own; system: never our own.
CHOICE_VARIABLE = "HARNESS_ENGINE"


@dataclass(frozen=True)
class Engine:
    """`program` is the docker command line client as argv; `own` is true for the harness's own engine."""

    host: str
    program: tuple[str, ...]
    own: bool
    version: str = ""

    def argv(self, *arguments: str) -> list[str]:
        return [*self.program, "--host", self.host, *arguments]

    def client(self, timeout_s: float) -> DockerClient:
        """Typed calls, each ended after `timeout_s` (python-on-whales has no time-outs of its own)."""
        call = bounded(self.program, timeout_s)
        return DockerClient(host=self.host, client_call=call, client_type="docker")

    def ask_version(self, timeout_s: float = PROBE_TIMEOUT_S) -> str | None:
        """The server's version; None when no engine answers in time."""
        argv = self.argv("version", "--format", "{{.Server.Version}}")
        try:
            answer = run_process(argv, timeout_s=timeout_s, stdin=b"", where=self.host)
        except DeadlineExceeded:
            return None
        return answer.stdout.strip() or None if answer.ok else None


@contextmanager
def docker_errors(doing: str, *, hint: str | None = None) -> Iterator[None]:
    """Turns python-on-whales's errors into ours: what was being done, the command, its output."""
    try:
        yield
    except DockerException as error:
        if error.return_code in TIMED_OUT:
            raise DeadlineExceeded(f"{doing}: the engine did not answer in time", hint=hint) from error
        output = "\n".join(text for text in (error.stdout or "", error.stderr or "") if text)
        raise CommandFailed(error.docker_command, error.return_code, output, doing=doing, hint=hint) from error


def choice() -> str:
    found = os.environ.get(CHOICE_VARIABLE, "auto")
    if found not in ("auto", "own", "system"):
        raise UsageError(f"{CHOICE_VARIABLE} is auto, own or system, not {found!r}")
    return found


def system_engine() -> Engine | None:
    """The engine that DOCKER_HOST, or the default socket, leads to; None when it does not answer, or when
    HARNESS_ENGINE says to leave it alone.
    """
    program = shutil.which("docker")
    if program is None or choice() == "own":
        return None
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if host.startswith("unix://") and not Path(host.removeprefix("unix://")).exists():
        return None
    engine = Engine(host, (program,), own=False)
    version = engine.ask_version()
    return Engine(host, (program,), own=False, version=version) if version else None


def answering(own: Engine | None) -> list[Engine]:
    """Every engine that answers; `own` first, where it runs."""
    found = [own, system_engine()]
    distinct = {engine.host: engine for engine in found if engine is not None}
    return list(distinct.values())


def choose(start_own: Callable[[], Engine]) -> Engine:
    """The engine to make nodes on. Raises UsageError for a bad HARNESS_ENGINE, EnvironmentBroken for none."""
    chosen = choice()
    found = system_engine()
    if found is not None:
        return found
    if chosen == "system":
        raise EnvironmentBroken(
            "no Docker engine answers", hint="start one, or let the harness: HARNESS_ENGINE=own"
        )
    return start_own()
